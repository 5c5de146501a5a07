package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
)

const hostile = `<img src=x onerror="alert(1)">`

// crowded is a world with sessions of many users, each of a hostile client.
func crowded(t *testing.T, n int) *world {
	w := furnished(t)
	for i := range n {
		w.sites.sessions["main"] = append(w.sites.sessions["main"], sftpd.Session{
			ID: uint64(i + 1), User: fmt.Sprintf("user-%04d", i), Client: hostile, Addr: netip.MustParseAddrPort("192.0.2.1:1"), Started: start.Add(time.Duration(i) * time.Second),
			Received: int64((i * 7) % n), Sent: int64((i * 11) % n),
		})
	}
	return w
}

func TestSessionsComeAHundredAtATimeInTheOrderThatIsAskedFor(t *testing.T) {
	w := crowded(t, 250)
	b := w.as("sa").get("/sites/main/sessions").says(http.StatusOK, "250 in all", "user-0249", "user-0150", "Next 100").keepsQuiet("user-0149")
	next := regexp.MustCompile(`href="([^"]*from=[^"]*)"`).FindStringSubmatch(b.page)
	b.get(plain(next[1])).says(http.StatusOK, "user-0149").keepsQuiet("user-0150")
	b.get("/sites/main/sessions?from=200").says(http.StatusOK, "user-0049").keepsQuiet("Next 100")
	b.get("/sites/main/sessions?sort=user").says(http.StatusOK, "user-0000").keepsQuiet("user-0100")
	b.get("/sites/main/sessions?q=USER-001").says(http.StatusOK, "10 found", "user-0019").keepsQuiet("user-0020")
	for _, order := range sessionSorts {
		b.get("/sites/main/sessions?sort="+order.Value).says(http.StatusOK, `<option value="`+order.Value+`" selected>`)
	}
	for _, from := range []string{"-5", "9999999", "x"} {
		b.get("/sites/main/sessions?from=" + from).says(http.StatusOK)
	}
}

func TestWhatClientsCallThemselvesIsTextOnThePageAndInTheFile(t *testing.T) {
	w := crowded(t, 3)
	w.sites.sessions["main"][0].Client = "=HYPERLINK(1)"
	b := w.as("sa").get("/sites/main/sessions").says(http.StatusOK, hostile)
	if strings.Contains(b.page, "<img") {
		t.Error("it is more than text")
	}
	b.get("/sites/main/sessions.csv?q=user-0000").says(http.StatusOK, "user,address,client", "'=HYPERLINK(1)").keepsQuiet("user-0001", ",=HYPERLINK")
	if !strings.HasPrefix(b.header.Get("Content-Disposition"), "attachment") {
		t.Error(b.header)
	}
	w.as("otto").get("/sites/other/sessions.csv").says(http.StatusForbidden)
}

func TestEndingSessionsTellsTheTruth(t *testing.T) {
	w := crowded(t, 2)
	b := w.as("sa").get("/sites/main/sessions")
	form := func(typed url.Values) url.Values { typed.Set("csrf", csrfOf(b)); return typed }
	b.post("/sites/main/sessions/kick", form(url.Values{"session": {"1"}})).says(http.StatusOK, "The sessions were ended")
	b.post("/sites/main/sessions/kick", form(url.Values{"session": {"1"}})).says(http.StatusOK, "there was none any more").keepsQuiet("The sessions were ended")
	b.post("/sites/main/sessions/kick", form(url.Values{"user": {"anna"}})).says(http.StatusOK, "there was none any more")
	b.post("/sites/main/sessions/kick", form(url.Values{})).says(http.StatusOK, "none was ended")
	if n := len(w.sites.sessions["main"]); n != 1 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestEndingTheSessionsOfAUserLeadsBackToHimWhateverHisName(t *testing.T) {
	for _, name := range []string{"a#b", "100%", "o'neil"} {
		w := furnished(t)
		w.write(&model.User{Head: model.Head{Name: name}, Site: "main"})
		w.sites.sessions["main"] = []sftpd.Session{{ID: 1, User: name}}
		b := w.as("sa").get(userPath("main", name))
		action := formTag.FindAllStringSubmatch(b.page, -1)
		for _, f := range action {
			if strings.HasSuffix(f[1], "/kick") {
				next := regexp.MustCompile(`name="next" value="([^"]*)"`).FindStringSubmatch(f[2])
				b.post(plain(f[1]), url.Values{"csrf": {csrfOf(b)}, "user": {name}, "next": {plain(next[1])}}).says(http.StatusOK, "The sessions were ended", name)
			}
		}
		if !strings.HasPrefix(b.path, userPath("main", name)) {
			t.Errorf("%q: led to %s", name, b.path)
		}
	}
}
