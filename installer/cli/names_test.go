package cli

import (
	"strings"
	"testing"
)

func TestCommandsAreNamedAsTheyWorkHere(t *testing.T) {
	onPath, absent := func() string { return "ss-setup" }, func() string { return "" }
	yes, no := func() bool { return true }, func() bool { return false }
	for name, c := range map[string]struct {
		n           names
		given, want string
	}{
		"nothing installed, called in the package's folder": {
			names{called: "./ss-setup", beside: true, installed: absent, needsPackage: yes},
			"nothing is here; run: ss-setup install", "nothing is here; run: ./ss-setup install",
		},
		"nothing installed, a copy on the PATH without a package": {
			names{called: "ss-setup", installed: onPath, needsPackage: yes},
			"run: ss-setup install -F", "run: ss-setup install -F --from DIR",
		},
		"nothing installed, a copy on the PATH, the package beside this program": {
			names{called: "/media/p/ss-setup", beside: true, installed: onPath, needsPackage: yes},
			"run: ss-setup install", "run: /media/p/ss-setup install",
		},
		"a package was named": {
			names{called: "ss-setup", from: "/media/my package", installed: onPath, needsPackage: yes},
			"run: ss-setup install", "run: ss-setup install --from '/media/my package'",
		},
		"a repair needs no package": {
			names{called: "./ss-setup", beside: true, installed: onPath, needsPackage: no},
			"/opt/x is damaged; run: ss-setup install --repair", "/opt/x is damaged; run: ss-setup install --repair",
		},
		"an update does": {
			names{called: "ss-setup", installed: onPath, needsPackage: no},
			"to go on run: ss-setup install --update", "to go on run: ss-setup install --update --from DIR",
		},
		"not on the PATH": {
			names{called: "./ss-setup", beside: true, installed: func() string { return "/opt/ss-server/bin/ss-setup" }, needsPackage: no},
			"run: ss-setup recover", "run: /opt/ss-server/bin/ss-setup recover",
		},
		"no copy at all": {
			names{called: "./ss-setup", beside: true, installed: absent, needsPackage: yes},
			"run: ss-setup status", "run: ./ss-setup status",
		},
		"an image": {
			names{called: "./ss-setup", root: "/mnt/image", beside: true, installed: onPath, needsPackage: no},
			"it stays until ss-setup forget 3.", "it stays until ./ss-setup forget 3 --root /mnt/image.",
		},
		"two commands": {
			names{called: "ss-setup", installed: onPath, needsPackage: yes},
			"ss-setup install takes them over, ss-setup uninstall --purge removes them", "ss-setup install --from DIR takes them over, ss-setup uninstall --purge removes them",
		},
		"a command that is whole already": {
			names{called: "./ss-setup", beside: true, installed: absent, needsPackage: yes},
			"run: /usr/bin/ss-setup install --repair", "run: /usr/bin/ss-setup install --repair",
		},
		"no command": {
			names{called: "./ss-setup", installed: absent, needsPackage: yes},
			"another ss-setup is running; move it away and run ss-setup again", "another ss-setup is running; move it away and run ss-setup again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.n.text(c.given); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestWordsAreQuotedForAShell(t *testing.T) {
	for word, want := range map[string]string{
		"plain-1.0/x": "plain-1.0/x", "two words": "'two words'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'",
	} {
		if got := shellWord(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

func TestACommandToRepeatLeavesOutThePasswordOfAProxy(t *testing.T) {
	got := again("install", "--proxy", "http://me:secret@proxy.test:3128")
	if strings.Contains(got, "secret") || !strings.Contains(got, "@proxy.test:3128") {
		t.Errorf("says %s", got)
	}
}

// The wizard unpacks this program and takes it away again: nobody can call it.
func TestWhoIsRunByTheWizardNamesTheWizard(t *testing.T) {
	t.Setenv(frontVariable, "setup.exe")
	onPath, absent := func() string { return "ss-setup" }, func() string { return "" }
	yes, no := func() bool { return true }, func() bool { return false }
	for name, c := range map[string]struct {
		n           names
		given, want string
	}{
		"what needs the package": {
			names{called: "/tmp/x/ss-setup", beside: true, installed: onPath, needsPackage: no},
			"run: ss-setup install --update --yes", "run: setup.exe",
		},
		"nothing installed": {
			names{called: "/tmp/x/ss-setup", beside: true, installed: absent, needsPackage: yes},
			"run: ss-setup recover", "run: setup.exe",
		},
		"what the installed copy does": {
			names{called: "/tmp/x/ss-setup", beside: true, installed: onPath, needsPackage: no},
			"run: ss-setup recover", "run: ss-setup recover",
		},
	} {
		if got := c.n.text(c.given); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	if got := again("install", "--silent"); got != "setup.exe" {
		t.Errorf("to do the same again: %s", got)
	}
}
