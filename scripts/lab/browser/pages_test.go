//go:build linux && lab

package browser

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

const (
	adminPassword = "correct horse battery"
	userPassword  = "a long one of her own"
)

// TestAServerIsSetUpInTheBrowserAndTakesAFile is the first two minutes of an administrator,
// and a walk through the pages behind them.
func TestAServerIsSetUpInTheBrowserAndTakesAFile(t *testing.T) {
	s, b := serve(t), open(t)
	b.goTo(s.base + "/")
	b.look("01-code")
	b.fill(map[string]string{"code": "AAAA-AAAA"})
	b.press("Continue")
	b.says("Invalid OTP")
	b.look("02-invalid-otp")
	b.fill(map[string]string{"code": s.code()})
	b.press("Continue")
	b.says("How will this node run?")
	b.fill(map[string]string{"node_id": "romantic-lovelace", "description": "Files for customers"})
	b.look("03-node")
	b.press("Continue")
	b.fill(map[string]string{"superadmin.password.clear": "short", "again.clear": "short", "recovery_email": "sa@example.com"})
	b.press("Continue")
	b.says("10 characters")
	b.look("04-superadmin")
	b.fill(map[string]string{"superadmin.password.clear": adminPassword, "again.clear": adminPassword, "app": "on"})
	b.press("Continue")
	b.look("05-app")
	b.press("Go on without an app")
	b.fill(map[string]string{
		"sftp_port": s.sftp, "first_site.folder": filepath.Join(s.dir, "files"),
		"first_site.user.name": "anna", "first_site.user.password.clear": userPassword,
	})
	b.look("06-site")
	b.press("Continue")
	b.look("07-check")
	b.press("Set the server up")
	b.says("is set up")
	b.look("08-done")
	upload(t, s.sftp)
	b.press("Sign in")
	b.look("09-login")
	b.fill(map[string]string{"name": "sa", "password": adminPassword})
	b.press("Sign in")
	walk(s, b)
	behind(s, b)
	b.stayed(s.base)
}

// upload is a user's first file.
func upload(t *testing.T, port string) {
	t.Helper()
	conn, err := ssh.Dial("tcp", "127.0.0.1:"+port, &ssh.ClientConfig{
		User: "anna", Auth: []ssh.AuthMethod{ssh.Password(userPassword)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), ClientVersion: "SSH-2.0-" + hostile,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client, err := sftp.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	for name, size := range map[string]int{"first.bin": 3 << 20, hostile: 10} {
		f, err := client.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// walk looks at each page.
func walk(s *server, b *tab) {
	b.t.Helper()
	b.says("Overview")
	b.look("10-overview")
	for i := range 12 {
		b.goTo(s.base + "/sites/main/new/users")
		b.fill(map[string]string{"name": fmt.Sprintf("user-%02d", i), "email": fmt.Sprintf("user-%02d@example.com", i), "home.vfs": "files"})
		b.press("Make user")
		b.says("Made.")
	}
	for _, page := range []struct{ name, path string }{
		{"11-sites", "/sites"},
		{"12-site", "/sites/main"},
		{"13-stop", "/sites/main/stop"},
		{"14-users", "/sites/main/users"},
		{"15-user", "/sites/main/users/anna"},
		{"16-new-user", "/sites/main/new/users"},
		{"17-sessions", "/sites/main/sessions"},
		{"18-groups-empty", "/sites/main/groups"},
		{"19-storage", "/sites/main/vfs"},
		{"20-bindings", "/sites/main/bindings"},
		{"21-hostkeys", "/sites/main/hostkeys"},
		{"22-protector", "/entries"},
		{"23-superadmins", "/superadmins"},
		{"24-new-admin", "/new/admins"},
		{"25-settings", "/settings"},
		{"26-audit", "/audit"},
		{"27-account", "/account"},
		{"28-help", "/help"},
		{"29-delete", "/sites/main/users/anna/delete"},
		{"30-missing", "/nowhere"},
	} {
		b.goTo(s.base + page.path)
		b.look(page.name)
	}
	b.goTo(s.base + "/sites/main/users")
	if err := b.eval(`(() => { const q = document.getElementById("q"); q.focus(); q.value = "user-07"; q.dispatchEvent(new Event("input", {bubbles: true})); })()`, nil); err != nil {
		b.t.Fatal(err)
	}
	b.until("result of the search", `document.querySelector("#part .found")?.innerText === "1 found" && document.activeElement.id === "q"`)
	ticks(s, b)
	b.goTo(s.base + "/sites/main/users/user-07")
	b.fill(map[string]string{"email": "no address", "quota.hard": "many"})
	b.press("Save changes")
	b.says("it is no size")
	b.look("31-wrong")
	letGo(b)
	conflict(s, b)
	colours(s, b)
	sessionOver(s, b)
}

// typing types into an input as a person does, with what scripts hear of it.
func typing(b *tab, name, text string) {
	b.t.Helper()
	script := fmt.Sprintf(`(() => { const e = document.querySelector('main [name=%q]'); e.value = %q; e.dispatchEvent(new Event("input", {bubbles: true})); })()`, name, text)
	if err := b.eval(script, nil); err != nil {
		b.t.Fatal(err)
	}
}

// ticks ticks a user and searches for another: the tick stays, out of sight and back in it.
func ticks(s *server, b *tab) {
	b.t.Helper()
	b.goTo(s.base + "/sites/main/users?tick=1")
	look := func(text, sees string) {
		b.t.Helper()
		if err := b.eval(`(() => { const q = document.getElementById("q"); q.value = "`+text+`"; q.dispatchEvent(new Event("input", {bubbles: true})); })()`, nil); err != nil {
			b.t.Fatal(err)
		}
		b.until("ticks beside "+text, sees)
	}
	if err := b.eval(`document.querySelector("#part [name=id][value=user-03]").click()`, nil); err != nil {
		b.t.Fatal(err)
	}
	sent := `new FormData(document.querySelector("form.bulk")).getAll("id").join() === "user-03"`
	look("user-07", sent+` && document.querySelector(".bulk-bar").innerText.includes("1 of them not shown now")`)
	look("nobody at all", `!document.querySelector("form.bulk")`)
	look("user-0", sent+` && document.querySelector("#part [value=user-03]").checked && !document.querySelector(".bulk-bar").innerText.includes("not shown")`)
}

// colours changes the scheme below a form in which something was typed.
func colours(s *server, b *tab) {
	b.t.Helper()
	b.goTo(s.base + "/sites/main?x=1")
	typing(b, "title", "typed before")
	if err := b.eval(`document.querySelector('.theme [value=dark]').click()`, nil); err != nil {
		b.t.Fatal(err)
	}
	b.until("dark page with what was typed", `document.documentElement.dataset.theme === "dark" && document.querySelector("main [name=title]").value === "typed before" && location.search === "?x=1"`)
	if err := b.eval(`document.querySelector('.theme [value=auto]').click()`, nil); err != nil {
		b.t.Fatal(err)
	}
	b.until("page as the system", `document.documentElement.dataset.theme === "auto"`)
	letGo(b)
}

// letGo has a page left without a question, of which the browser would complain: nobody has
// touched it.
func letGo(b *tab) {
	b.t.Helper()
	b.until("form that holds something", `document.querySelector("form.edit").touched`)
	if err := b.eval(`document.querySelector("form.edit").touched = false`, nil); err != nil {
		b.t.Fatal(err)
	}
}

// sessionOver ends the session below a form in which something was typed: the live part of the
// page finds it, and the form stays.
func sessionOver(s *server, b *tab) {
	b.t.Helper()
	b.goTo(s.base + "/sites/main")
	typing(b, "ssh.banner", "typed for an hour")
	const stays = `document.getElementById("over") && document.querySelector("main [name='ssh.banner']").value === "typed for an hour"`
	endSession(b)
	b.until("banner beside what was typed", stays)
	b.look("33-session-over")
	b.press("Save changes")
	b.says("what you typed waits here")
	b.fill(map[string]string{"name": "sa", "password": adminPassword})
	b.press("Sign in")
	b.says("You are signed in again")
	b.until("what was typed", `document.querySelector("main [name='ssh.banner']").value === "typed for an hour"`)
	// Nobody touches it now, and it stays all the same when that session is over, too.
	endSession(b)
	b.until("banner beside what came back", stays)
	letGo(b)
	b.goTo(s.base + "/login")
	b.fill(map[string]string{"name": "sa", "password": adminPassword})
	b.press("Sign in")
	b.says("Overview")
}

// endSession signs out behind the back of the page.
func endSession(b *tab) {
	b.t.Helper()
	var ok bool
	end := `fetch("/logout", {method: "POST", body: new URLSearchParams(new FormData(document.querySelector('form[action="/logout"]')))}).then((r) => r.ok)`
	if err := b.eval(end, &ok); err != nil || !ok {
		b.t.Fatal(ok, err)
	}
}

// conflict has two windows change one user.
func conflict(s *server, b *tab) {
	b.t.Helper()
	b.goTo(s.base + "/sites/main/users/user-08")
	change := `(async () => { const text = await (await fetch(location.href)).text(); const form = new DOMParser().parseFromString(text, "text/html").querySelector("form.edit");
		const data = new URLSearchParams(new FormData(form)); data.set("email", "other@example.com"); data.set("description", "Moved to Bonn"); return (await fetch(location.href, {method: "POST", body: data})).ok; })()`
	var ok bool
	if err := b.eval(change, &ok); err != nil || !ok {
		b.t.Fatal(ok, err)
	}
	b.fill(map[string]string{"email": "mine@example.com", "maxSessions": "3"})
	b.press("Save changes")
	b.says("Changed by somebody else")
	b.look("32-conflict")
	b.press("Save this choice")
	b.says("Saved.")
}
