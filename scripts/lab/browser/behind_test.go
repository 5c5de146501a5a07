//go:build linux && lab

package browser

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// hostile is a text that does something where it is taken for more than text.
const hostile = `<img src=x onerror=window.hacked=1>`

// send presses the one button of the page's form, and waits for the page behind it.
func (b *tab) send() {
	b.t.Helper()
	b.do("Runtime.evaluate", map[string]any{"expression": "window.before = true"}, nil)
	b.until("button of the form", `(() => { const e = document.querySelector("main form.edit button.primary, main form.card button.primary"); e?.click(); return e; })()`)
	b.until("page behind the form", `!window.before && document.readyState === "complete" && document.querySelector("main")`)
}

// prove shows who it is where the page asks for that.
func (b *tab) prove() {
	b.t.Helper()
	var asked bool
	if err := b.eval(`document.querySelector("main [name='proof.clear']") !== null`, &asked); err != nil {
		b.t.Fatal(err)
	}
	if asked {
		b.fill(map[string]string{"proof.clear": adminPassword})
	}
}

// choose puts a file into the input of the page.
func (b *tab) choose(path string) {
	b.t.Helper()
	var root struct{ Root struct{ NodeID int } }
	b.do("DOM.getDocument", nil, &root)
	var input struct{ NodeID int }
	b.do("DOM.querySelector", map[string]any{"nodeId": root.Root.NodeID, "selector": "main input[type=file]"}, &input)
	b.do("DOM.setFileInputFiles", map[string]any{"nodeId": input.NodeID, "files": []string{path}}, nil)
}

// unhurt wants that nothing on the page ran that somebody else wrote.
func (b *tab) unhurt(where string) {
	b.t.Helper()
	var hacked bool
	if err := b.eval(`Boolean(window.hacked) || document.querySelector("main img") !== null`, &hacked); err != nil || hacked {
		b.t.Errorf("%s: what a client wrote is more than text (%v)", where, err)
	}
}

// behind looks at the pages that need something to be there first.
func behind(s *server, b *tab) {
	b.t.Helper()
	for _, made := range []struct {
		path  string
		typed map[string]string
	}{
		{"/sites/main/new/groups", map[string]string{"name": "staff", "description": hostile}},
		{"/sites/main/new/ldap", map[string]string{"name": "directory", "urls": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=com"}},
		{"/new/certificates", map[string]string{"name": "own", "type": "self-signed", "domains": "files.example.com"}},
		{"/new/admins", map[string]string{"name": "vera", "password.clear": adminPassword, "sites": "on", "rights.view": "on"}},
		{"/new/admins", map[string]string{"name": "otto", "password.clear": adminPassword, "password.mustChange": "on", "sites": "on", "rights.edit": "on"}},
		{"/sites/main/new/entries", map[string]string{"network": "192.0.2.0/24", "notes": hostile}},
	} {
		b.goTo(s.base + made.path)
		b.fill(made.typed)
		b.send()
		b.says("Made.")
	}
	b.goTo(s.base + "/new/tokens")
	b.fill(map[string]string{"name": "robot", "super": "on"})
	b.prove()
	b.send()
	b.says("Copy the token now")
	b.look("40-once")
	b.press("I have kept it")
	b.says("robot")
	for _, page := range []struct{ name, path string }{
		{"41-groups", "/sites/main/groups"},
		{"42-directories", "/sites/main/ldap"},
		{"43-certificates", "/certificates"},
		{"44-tokens", "/tokens"},
		{"45-nodes", "/nodes"},
		{"46-admins", "/admins"},
		{"47-protector", "/sites/main/entries"},
		{"48-sessions", "/sites/main/sessions"},
		{"49-audit-files", "/audit?event=file."},
		{"50-audit-filters", "/audit?by=user/anna&since=2020-01-01T00:00"},
		{"51-try-a-path", "/sites/main/users/anna?path=/in/1.txt"},
		{"52-updates", "/updates"},
	} {
		b.goTo(s.base + page.path)
		b.look(page.name)
		b.unhurt(page.name)
	}
	b.goTo(s.base + "/sites/main/sessions")
	b.says(hostile)
	b.goTo(s.base + "/audit?event=file.")
	b.says(hostile)
	bulk(s, b)
	backups(s, b)
	tables(s, b)
	others(s, b)
	withoutScript(s, b)
	secondFactor(s, b)
}

// bulk ticks users.
func bulk(s *server, b *tab) {
	b.t.Helper()
	b.goTo(s.base + "/sites/main/users?tick=1")
	b.look("60-tick")
	b.fill(map[string]string{"id": "on"})
	b.press("Disable")
	b.look("61-bulk")
	b.press("Leave")
}

// backups makes one, and looks at what a restore of it would do.
func backups(s *server, b *tab) {
	b.t.Helper()
	b.goTo(s.base + "/backup")
	b.look("62-backup")
	b.fill(map[string]string{"passphrase.clear": "four words are many", "again.clear": "four words are many"})
	b.prove()
	b.send()
	b.until("backup", `document.body.innerText.includes("Ready to download")`)
	b.look("63-backup-ready")
	s.run("backup", "--home", "current", "--state", "var", "--control", filepath.Join(s.dir, "run/c"), "own.zip")
	b.goTo(s.base + "/restore")
	b.look("64-restore")
	b.choose(filepath.Join(s.dir, "own.zip"))
	b.send()
	b.until("dry run", `document.body.innerText.includes("Put it in force")`)
	b.look("65-arrival")
	b.press("Remove the file")
	s.write("letter.txt", "Dear Sir or Madam")
	b.choose(filepath.Join(s.dir, "letter.txt"))
	b.send()
	b.until("refusal", `document.body.innerText.includes("cannot be used so")`)
	b.look("66-arrival-refused")
	b.goTo(s.base + "/restore")
	b.look("67-restore-waiting")
}

// tables imports users.
func tables(s *server, b *tab) {
	b.t.Helper()
	path := filepath.Join(s.dir, "users.csv")
	for name, text := range map[string]string{"69-import-wrong": "name,email\nberta,no address\n", "70-import-ready": "name,email\nberta,berta@example.com\n"} {
		b.goTo(s.base + "/sites/main/import-users")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.t.Fatal(err)
		}
		b.choose(path)
		b.send()
		b.look(name)
	}
}

// others are an Admin who only looks, and one who must change his password first.
func others(s *server, b *tab) {
	b.t.Helper()
	other := open(b.t)
	signIn := func(name string) {
		other.goTo(s.base + "/login")
		other.fill(map[string]string{"name": name, "password": adminPassword})
		other.press("Sign in")
	}
	signIn("vera")
	for _, page := range []struct{ name, path string }{
		{"71-reader", "/"},
		{"72-reader-users", "/sites/main/users"},
		{"73-reader-user", "/sites/main/users/anna"},
		{"74-reader-site", "/sites/main"},
		{"75-not-allowed", "/superadmins"},
	} {
		other.goTo(s.base + page.path)
		other.look(page.name)
	}
	signIn("otto")
	other.says("Choose another password")
	other.look("76-must-change")
	other.stayed(s.base)
}

// secondFactor sets up an authenticator app, and signs in with a recovery code of it.
func secondFactor(s *server, b *tab) {
	b.t.Helper()
	b.goTo(s.base + "/account")
	var secret string
	b.fill(map[string]string{"password.clear": adminPassword})
	b.press("Set up an app")
	b.look("77-app")
	if err := b.eval(`document.querySelector("main [data-copy]").dataset.copy`, &secret); err != nil {
		b.t.Fatal(err)
	}
	b.fill(map[string]string{"code": codeOf(b, secret)})
	b.press("Use the app from now on")
	b.look("78-recovery-codes")
	var recovery string
	if err := b.eval(`document.querySelector("main .codes [data-copy]").dataset.copy`, &recovery); err != nil {
		b.t.Fatal(err)
	}
	b.press("I have kept it")
	b.look("79-account-with-app")
	b.press("Sign out")
	b.fill(map[string]string{"name": "sa", "password": adminPassword})
	b.press("Sign in")
	b.look("80-code")
	b.fill(map[string]string{"recovery": recovery})
	b.press("Sign in")
	b.says("Overview")
}

// codeOf is what an app shows, after RFC 6238.
func codeOf(b *tab, secret string) string {
	b.t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(secret, "="))
	if err != nil {
		b.t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	if err := binary.Write(mac, binary.BigEndian, uint64(time.Now().Unix()/30)); err != nil {
		b.t.Fatal(err)
	}
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
}

// withoutScript does with scripting off what is done most.
func withoutScript(s *server, b *tab) {
	b.t.Helper()
	b.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	b.scriptless = true
	b.goTo(s.base + "/sites/main/users")
	b.until("page without a script", `!document.documentElement.classList.contains("scripted")`)
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": 400, "height": 860, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.until("button on a phone", `[...document.querySelectorAll("main .search .button")].every(e => e.offsetWidth > 0)`)
	b.fill(map[string]string{"q": "user-07"})
	b.press("Search")
	b.says("1 found")
	colours := `getComputedStyle(document.querySelector(".theme div")).visibility`
	b.until("colours to choose", colours+` === "visible"`)
	b.goTo(s.base + "/sites/main/users/user-07")
	b.until("no colours beside a form", colours+` === "hidden"`)
	b.fill(map[string]string{"email": "no address"})
	b.send()
	b.says("is not an e-mail address")
	b.fill(map[string]string{"email": "seven@example.com"})
	b.send()
	b.says("Saved.")
	b.goTo(s.base + "/sites/main/users/user-07?path=/x")
	b.says("Lies in")
	b.goTo(s.base + "/audit")
	b.fill(map[string]string{"event": "config."})
	b.press("Search")
	b.says(`user "user-07"`)
	b.goTo(s.base + "/sites/main/stop")
	b.press("Stop now")
	b.says("The site was stopped")
	b.press("Start")
	b.press("Start")
	b.says("The site was started")
	b.goTo(s.base + "/backup")
	b.fill(map[string]string{"clear": "on"})
	b.prove()
	b.send()
	b.until("backup", `document.body.innerText.includes("Readable for everybody who") || document.querySelector("main .more a")?.click()`)
	b.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": false}, nil)
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1280, "height": 860, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.scriptless = false
}
