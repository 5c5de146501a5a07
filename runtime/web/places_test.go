package web

import (
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestNoTemplateNamesCommandsAndPlacesOfOneSystemOnly(t *testing.T) {
	only := regexp.MustCompile(`sudo |/(etc|srv|var|opt)/|C:\\\\`)
	for _, e := range must(files.ReadDir("templates")) {
		text := must(files.ReadFile("templates/" + e.Name()))
		if found := only.FindAll(text, -1); found != nil {
			t.Errorf("%s has %q", e.Name(), found)
		}
	}
}

func TestTheHelpNamesWhatIsOnThisMachine(t *testing.T) {
	w := furnished(t)
	b := w.browser().get("/help").says(http.StatusOK, root("ss-server genssc"), here().Config, here().Files)
	if sudo := strings.Contains(b.page, "sudo "); sudo != (runtime.GOOS == "linux") {
		t.Errorf("sudo: %v", sudo)
	}
}

func TestWhoIsSignedInKeepsTheNavigationOnHelpAndRefusals(t *testing.T) {
	w := furnished(t)
	for path, status := range map[string]int{"/help": http.StatusOK, "/nowhere": http.StatusNotFound, "/superadmins": http.StatusForbidden, "/sites/main/users/nobody": http.StatusNotFound} {
		b := w.as("otto").get(path).says(status, `aria-label="Main"`, `href="/account"`, "Sign out")
		if b.get("/nowhere"); csrfOf(b) == "" {
			t.Error("nobody can sign out there")
		}
		b = w.browser()
		b.get("/help").says(http.StatusOK, "Help").keepsQuiet("Sign out")
		b.get("/nowhere").says(http.StatusNotFound).keepsQuiet("Sign out")
	}
	b := w.as("otto")
	w.guard.banned = true
	b.get("/sites").says(http.StatusForbidden).keepsQuiet("Sign out")
}
