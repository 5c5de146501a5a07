package web

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// found is a browser with a session of sa that was left open some time ago.
func (w *world) found() *browser {
	w.t.Helper()
	b := w.as("sa")
	w.pass(20 * time.Minute)
	return b.get("/")
}

func TestWhoFindsASessionOpenDoesNotBecomeMasterOfTheServer(t *testing.T) {
	w := furnished(t)
	w.write(&model.SuperAdmin{Head: model.Head{Name: "second"}, Contact: model.Contact{Email: "second@example.com", Password: passwordOf(t, w)}})
	second := func() (s *model.SuperAdmin) {
		check(t, w.engine.Read(func(r *engine.Reader) (err error) {
			s, err = engine.SuperAdmins.Get(r, "", "second")
			return err
		}))
		return s
	}
	hash := second().Password.Hash
	b := w.found()
	for path, form := range map[string]url.Values{
		"/new/superadmins":           {"name": {"evil"}, "email": {"evil@example.com"}, "password.clear": {"evil battery staple"}},
		"/superadmins/second":        {"password.clear": {"evil battery staple"}},
		"/superadmins/second/delete": {"confirm": {"second"}},
		"/new/tokens":                {"name": {"evil"}, "super": {"on"}},
		"/backup":                    {"clear": {"true"}},
	} {
		for _, proof := range []string{"", "not the password"} {
			form.Set("proof.clear", proof)
			b.get(path).says(http.StatusOK, "Your own password")
			if path == "/backup" {
				form.Set("csrf", csrfOf(b))
				b.post(path, form)
			} else {
				b.send(form)
			}
			b.says(http.StatusUnprocessableEntity, `id="proof-wrong"`).keepsQuiet("evil battery staple", "not the password")
		}
	}
	b.get("/superadmins").keepsQuiet("evil").get("/tokens").keepsQuiet("evil").get("/backup").keepsQuiet("Ready to download")
	if second().Password.Hash != hash {
		t.Error("the password of another was changed")
	}
	// Who knows the password is asked once.
	b.get("/superadmins/second").send(url.Values{"password.clear": {"another battery staple"}, "proof.clear": {goodPassword}}).says(http.StatusOK, "Saved")
	if second().Password.Hash == hash {
		t.Error("the password was not changed")
	}
	b.get("/backup").keepsQuiet("Your own password")
	b.post("/backup", url.Values{"csrf": {csrfOf(b)}, "clear": {"true"}}).says(http.StatusOK, "Ready to download")
	w.as("otto").get("/sites/main/users/anna").keepsQuiet("Your own password")
}

func TestOnesOwnPasswordIsChangedOnThePageOfTheAccountOnly(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/superadmins/sa").says(http.StatusOK, "This is you").keepsQuiet("password.clear")
	b.send(url.Values{"email": {"sa@example.org"}}).says(http.StatusOK, "Saved")
	// Nor by a form that nobody was shown: it has no such field.
	b.send(url.Values{"email": {"sa@example.net"}, "password.clear": {"evil battery staple"}, "totp": {"on"}}).says(http.StatusOK, "Saved")
	w.as("sa").get("/account").says(http.StatusOK)
}

func TestARestoreAsksWhoIsThere(t *testing.T) {
	w, f, _ := uploaded(t)
	b := w.as("sa").get("/restore")
	b.upload(sent(b), "b.zip", "own").says(http.StatusOK, "1,234").keepsQuiet("Your own password")
	page := b.path
	w.pass(20 * time.Minute)
	agree := url.Values{"csrf": {csrfOf(b)}, "seen": {seenBy(b)}, "replace": {"true"}}
	b.post(page+"/import", agree).says(http.StatusUnprocessableEntity, `id="proof-wrong"`)
	if len(f.done()) > 0 {
		t.Fatal("it was imported without a proof")
	}
	agree.Set("proof.clear", goodPassword)
	b.post(page+"/import", agree).says(http.StatusOK)
	b.path = page
	b.until("In force")
}

func TestWhoHasAnAppShowsItsCodeToo(t *testing.T) {
	w := furnished(t)
	secret := auth.NewSecret()
	w.write(&model.SuperAdmin{Head: model.Head{Name: "second"}, Contact: model.Contact{Email: "second@example.com", Password: passwordOf(t, w), TOTP: model.TOTP{Secret: model.Secret{Clear: secret}}}})
	b := w.browser().get("/login").send(url.Values{"name": {"second"}, "password": {goodPassword}}).send(url.Values{"code": {codeOf(t, secret, w.now())}}).says(http.StatusOK, "Overview")
	w.pass(20 * time.Minute)
	typed := url.Values{"name": {"robot"}, "super": {"on"}, "proof.clear": {goodPassword}}
	b.get("/new/tokens").send(typed).says(http.StatusUnprocessableEntity, `id="proof-code-wrong"`)
	typed.Set("proof-code.clear", codeOf(t, secret, w.now()))
	b.send(typed).says(http.StatusOK, "sst_robot_")
}

// withApp is a SuperAdmin second who has an app, signed in some time ago.
func (w *world) withApp() (b *browser, secret string, recovery []string) {
	w.t.Helper()
	secret = auth.NewSecret()
	recovery, hashes := auth.NewRecovery(2)
	contact := model.Contact{Email: "second@example.com", Password: passwordOf(w.t, w), TOTP: model.TOTP{Secret: model.Secret{Clear: secret}, Recovery: hashes}}
	w.write(&model.SuperAdmin{Head: model.Head{Name: "second"}, Contact: contact})
	b = w.browser().get("/login").send(url.Values{"name": {"second"}, "password": {goodPassword}})
	b.send(url.Values{"code": {codeOf(w.t, secret, w.now())}}).says(http.StatusOK, "Overview")
	w.pass(20 * time.Minute)
	return b.get("/"), secret, recovery
}

func TestThePageOfTheOwnPasswordIsNoWayAroundTheCode(t *testing.T) {
	w := furnished(t)
	b, secret, _ := w.withApp()
	const next = "evil battery staple"
	change := url.Values{"current.clear": {goodPassword}, "new.clear": {next}, "again.clear": {next}}
	ask := func() *browser {
		b.get("/account").says(http.StatusOK, `name="password-code.clear"`)
		change.Set("csrf", csrfOf(b))
		return b.post("/account/password", change)
	}
	ask().says(http.StatusUnprocessableEntity, `id="password-code-wrong"`).keepsQuiet(`id="code-wrong"`, next)
	b.get("/new/tokens").says(http.StatusOK, "Your own password")
	change.Set("password-code.clear", codeOf(t, secret, w.now()))
	ask().says(http.StatusOK, "The password was changed")
	w.as("sa").get("/account").keepsQuiet("password-code")
}

func TestWhoLostThePhoneGetsRidOfTheAppByARecoveryCode(t *testing.T) {
	w := furnished(t)
	b, _, recovery := w.withApp()
	b.get("/new/tokens").says(http.StatusOK, "ss-server disable2fa")
	b.send(url.Values{"name": {"robot"}, "super": {"on"}, "proof.clear": {goodPassword}, "proof-code-recovery.clear": {recovery[0]}}).says(http.StatusOK, "sst_robot_")
	b.get("/account").says(http.StatusOK, "1 recovery code is left", "ss-server disable2fa")
	remove := url.Values{"csrf": {csrfOf(b)}, "password.clear": {goodPassword}, "code-recovery.clear": {recovery[0]}}
	b.post("/account/totp/remove", remove).says(http.StatusUnprocessableEntity, "a code works once")
	remove.Set("code-recovery.clear", recovery[1])
	b.post("/account/totp/remove", remove).says(http.StatusOK, "Log-ins ask for no code any more")
	w.browser().get("/login").send(url.Values{"name": {"second"}, "password": {goodPassword}}).says(http.StatusOK, "Overview")
}
