package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"ss-setup/runtime/setup"
	"ss-setup/runtime/setup/answers"
)

// inWizard is a browser in which the setup code was right.
func inWizard(t *testing.T) (*world, *browser) {
	w := newWorld(t)
	w.setUp = func(context.Context, netip.Addr, *answers.Answers) (setup.Made, error) {
		t.Error("something was set up")
		return setup.Made{}, nil
	}
	b := w.browser().get("/").says(http.StatusOK, "Setup code")
	b.send(url.Values{"code": {"GOOD-CODE"}}).says(http.StatusOK, "How will this node run?")
	return w, b
}

func TestAWrongSetupCodeIsAnsweredWithInvalidOTPAndTheCure(t *testing.T) {
	w := newWorld(t)
	b := w.browser().get(SetupPath)
	b.send(url.Values{"code": {"BAD<-CODE"}}).says(http.StatusForbidden, "Invalid OTP", "sudo ss-server genssc", `value="BAD<-CODE"`)
	if strings.Contains(b.page, "BAD<-CODE") || len(b.cookies) > 0 || w.guard.offences != 1 {
		t.Errorf("not escaped, or a cookie %v, or %d offences", b.cookies, w.guard.offences)
	}
	b.send(url.Values{"code": {"SLOW-DOWN"}}).says(http.StatusTooManyRequests, "Wait 41 seconds")
	if b.header.Get("Retry-After") != "41" {
		t.Error(b.header)
	}
	b.send(url.Values{"code": {strings.Repeat("A", 1<<20)}}).says(http.StatusBadRequest)
	w.guard.banned = true
	b.get(SetupPath).says(http.StatusForbidden, "banned").post(SetupPath, url.Values{"code": {"GOOD-CODE"}}).says(http.StatusForbidden, "banned")
}

func TestTheWizardMakesWhatItWasTold(t *testing.T) {
	w, b := inWizard(t)
	node := regexp.MustCompile(`name="node_id" value="([a-z]+-[a-z]+)"`).FindStringSubmatch(b.page)
	if node == nil {
		t.Fatal("no name is proposed")
	}
	b.send(url.Values{"description": {"Files"}}).says(http.StatusOK, "Recovery e-mail")
	b.send(url.Values{"superadmin.password.clear": {"short"}, "again.clear": {"short"}}).says(http.StatusUnprocessableEntity, "10 characters", "It is missing", `value="sa"`)
	b.send(url.Values{"superadmin.password.clear": {goodPassword}, "again.clear": {"other"}, "recovery_email": {"sa@example.com"}}).says(http.StatusUnprocessableEntity, "It is not the same", "sa@example.com")
	b.send(url.Values{"superadmin.password.clear": {goodPassword}, "again.clear": {goodPassword}, "app": {"on"}}).says(http.StatusOK, "Authenticator app", `class="qr"`)
	secret := regexp.MustCompile(`data-copy="([A-Z2-7]{32})"`).FindStringSubmatch(b.page)[1]
	b.send(url.Values{"app-code": {"000000"}}).says(http.StatusUnprocessableEntity, "That is not the code")
	b.send(url.Values{"app-code": {codeOf(t, secret, w.now())}}).says(http.StatusOK, "First user", "Empty: 22, or 2222")
	b.send(url.Values{"first_site.name": {"Not Short"}, "sftp_port": {"99999"}, "first_site.user.name": {"anna"}})
	b.says(http.StatusUnprocessableEntity, "is not a short name", "99999 is no port", "Nobody could log in", `value="anna"`)
	b.send(url.Values{"first_site.name": {"main"}, "sftp_port": {"2200"}, "first_site.user.password.clear": {"a long one of her own"}}).says(http.StatusOK, "Nothing is saved yet", "2200", "anna", "yes, tested", "Change<span class=\"seen-not\"> SuperAdmin</span>", "> authenticator app</span>")

	var told *answers.Answers
	w.setUp = func(_ context.Context, _ netip.Addr, a *answers.Answers) (setup.Made, error) {
		return setup.Made{}, fmt.Errorf("%w: sftp_port: the server cannot listen there: in use; choose another port", answers.ErrInvalid)
	}
	b.send(nil).says(http.StatusUnprocessableEntity, "The server cannot listen there", `value="2200"`)
	b.send(url.Values{"sftp_port": {"2201"}}).says(http.StatusOK, "2201")
	w.setUp = func(_ context.Context, from netip.Addr, a *answers.Answers) (setup.Made, error) {
		told = a
		w.codes.done = true
		return setup.Made{
			Node: a.NodeID, SuperAdmin: a.SuperAdmin.Name, Site: "main", Port: a.SFTPPort, Folder: "/srv/ss-server/main", User: "anna",
			HostKeys: []setup.Fingerprint{{Algorithm: "ssh-ed25519", SHA256: "SHA256:abc"}},
		}, nil
	}
	b.send(nil).says(http.StatusOK, "is set up", "sftp -P 2201 anna@server", "SHA256:abc", "Keep these recovery codes").keepsQuiet(goodPassword)
	if told.NodeID != node[1] || told.Description != "Files" || told.SuperAdmin.TOTP.Secret.Clear != secret || len(told.SuperAdmin.TOTP.Recovery) != 8 ||
		!strings.HasPrefix(told.SuperAdmin.Password, "$argon2id$") || !strings.HasPrefix(told.FirstSite.User.Password, "$argon2id$") {
		t.Errorf("%+v", told)
	}
	w.browser().get(donePath).keepsQuiet("SHA256:abc")
	stranger := w.browser()
	stranger.cookies[setupCookie] = "guess"
	stranger.post(donePath, url.Values{}).keepsQuiet("SHA256:abc")
	b.post(donePath, url.Values{"csrf": {"guess"}}).says(http.StatusOK, "Keep these recovery codes")
	b.send(nil).says(http.StatusOK, "is set up", "SHA256:abc").keepsQuiet("Keep these recovery codes")
	b.get(SetupPath).says(http.StatusGone, "set up already")
	b.post(SetupPath, url.Values{"code": {"GOOD-CODE"}}).says(http.StatusGone)
}

func TestTheWizardGoesBackAndKeepsWhatWasTyped(t *testing.T) {
	_, b := inWizard(t)
	b.send(url.Values{"node_id": {"rack-4"}, "description": {"kept"}}).says(http.StatusOK, "Recovery e-mail")
	b.send(url.Values{"recovery_email": {"half@"}, "go": {"back"}}).says(http.StatusOK, `value="rack-4"`, `value="kept"`)
	b.send(nil).says(http.StatusOK, `value="half@"`)
	b.get(SetupPath+"?step=4").says(http.StatusOK, "Recovery e-mail") // no step is left out
}

func TestTheWizardSaysThatClustersComeLater(t *testing.T) {
	_, b := inWizard(t)
	b.send(url.Values{"way": {"join"}, "node_id": {"rack-4"}}).says(http.StatusOK, "comes with clustering in a later release")
	b.send(url.Values{"go": {"on"}}).says(http.StatusOK, "Recovery e-mail")
	b.get(SetupPath+"?step=1").says(http.StatusOK, `value="rack-4"`)
}

func TestTheWizardOutlivesTheEndOfItsSessionAndARestart(t *testing.T) {
	w, b := inWizard(t)
	b.send(url.Values{"node_id": {"rack-4"}}).says(http.StatusOK, "Recovery e-mail")
	w.codes.ended = true
	w.restart()
	b.send(url.Values{"recovery_email": {"sa@example.com"}, "superadmin.password.clear": {goodPassword}, "again.clear": {goodPassword}})
	b.says(http.StatusForbidden, "Setup code", "what you typed is kept").keepsQuiet(goodPassword)
	b.send(url.Values{"code": {"WRONG-ONE"}}).says(http.StatusForbidden, "Invalid OTP")
	b.send(url.Values{"code": {"GOOD-CODE"}}).says(http.StatusOK, `value="rack-4"`)
	b.send(nil).says(http.StatusOK, `value="sa@example.com"`)
}

func TestTheWizardCanSetUpWithoutASite(t *testing.T) {
	w, b := inWizard(t)
	b.send(nil).send(url.Values{"superadmin.password.clear": {goodPassword}, "again.clear": {goodPassword}, "recovery_email": {"sa@example.com"}})
	b.send(url.Values{"first_site": nil}).says(http.StatusOK, "none yet")
	w.setUp = func(_ context.Context, _ netip.Addr, a *answers.Answers) (setup.Made, error) {
		if a.FirstSite != nil || a.SFTPPort != 0 || a.SuperAdmin.TOTP.On() {
			t.Errorf("%+v", a)
		}
		return setup.Made{}, errors.New("the disk is full")
	}
	b.send(nil).says(http.StatusInternalServerError, "nothing was changed", "The set-up failed")
	w.setUp = func(context.Context, netip.Addr, *answers.Answers) (setup.Made, error) {
		return setup.Made{}, setup.ErrDone
	}
	b.send(nil).says(http.StatusGone, "Somebody was quicker")
}

func TestAnAppThatWasTickedIsProvedBeforeTheWizardGoesOn(t *testing.T) {
	_, b := inWizard(t)
	b.send(nil).send(url.Values{"superadmin.password.clear": {goodPassword}, "again.clear": {goodPassword}, "recovery_email": {"sa@example.com"}, "app": {"on"}})
	b.says(http.StatusOK, "Code that the app shows")
	token := csrfOf(b)
	b.get(SetupPath+"?step=3").says(http.StatusOK, "Recovery e-mail").keepsQuiet("First user")
	b.get(SetupPath).says(http.StatusOK, "Code that the app shows")
	for _, step := range []string{"3", "4"} { // inWizard complains if anything is set up
		b.post(SetupPath, url.Values{"csrf": {token}, "step": {step}}).says(http.StatusOK, "Code that the app shows")
	}
	b.send(url.Values{"go": {"skip"}}).says(http.StatusOK, "First user")
}

func TestTheLastPageIsShownAlsoWhenTheSessionOfTheCodeEndsJustThen(t *testing.T) {
	w, b := inWizard(t)
	b.send(nil).send(url.Values{"superadmin.password.clear": {goodPassword}, "again.clear": {goodPassword}, "recovery_email": {"sa@example.com"}}).send(url.Values{"first_site": nil})
	w.setUp = func(context.Context, netip.Addr, *answers.Answers) (setup.Made, error) {
		w.codes.done = true
		return setup.Made{Node: "n1"}, nil
	}
	action, form := b.form()
	r := httptest.NewRequest(http.MethodPost, "https://server"+action, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(&http.Cookie{Name: setupCookie, Value: b.cookies[setupCookie]})
	rec := httptest.NewRecorder()
	w.pages.ServeHTTP(rec, r)
	c := rec.Result().Cookies()
	if len(c) != 1 || c[0].Name != setupCookie || c[0].Value != b.cookies[setupCookie] || !c[0].Expires.Equal(start.Add(doneLife)) {
		t.Errorf("%v", c)
	}
}

// slowWriter takes nothing before it is let go on.
type slowWriter struct {
	*httptest.ResponseRecorder
	begun, goOn chan struct{}
}

func (s slowWriter) Write(p []byte) (int, error) {
	close(s.begun)
	<-s.goOn
	return s.ResponseRecorder.Write(p)
}

func TestSomebodyWithASlowLineKeepsNobodyFromTheWizard(t *testing.T) {
	w, b := inWizard(t)
	r := httptest.NewRequest(http.MethodGet, "https://server"+SetupPath, nil)
	r.AddCookie(&http.Cookie{Name: setupCookie, Value: b.cookies[setupCookie]})
	slow := slowWriter{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(func() { w.pages.ServeHTTP(slow, r) })
	<-slow.begun
	b.get(SetupPath).says(http.StatusOK, "How will this node run?") // a deadlock if the plan is locked
	close(slow.goOn)
	reading.Wait()
}

func TestAStepOfTheWizardNeedsTheTokenOfItsSession(t *testing.T) {
	_, b := inWizard(t)
	_, form := b.form()
	form.Set("csrf", "guess")
	b.post(SetupPath, form).says(http.StatusForbidden, "of another session")
	b.cookies[setupCookie] = "guess"
	b.get(SetupPath).says(http.StatusOK, "Setup code").keepsQuiet("How will this node run?")
}

func TestTheSetupCookieIsOneThatNoScriptAndNoOtherSiteCanUse(t *testing.T) {
	_, b := inWizard(t)
	if b.cookies["__Host-ss-setup"] != "token" {
		t.Error(b.cookies)
	}
}

func FuzzSetupForm(f *testing.F) {
	for _, seed := range []string{"code=GOOD-CODE", "code=%00", "code=<script>&code=2", "%zz", "step=2&carry=%7B%22a%22%3A%5B%22%3Cscript%3E%22%5D%7D", strings.Repeat("a=b&", 5000)} {
		f.Add(seed)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, form string) {
		values, err := url.ParseQuery(form)
		if err != nil {
			return
		}
		w.t = t
		b := w.browser().post(SetupPath, values)
		if b.status >= 500 || strings.Contains(b.page, "<script>") {
			t.Errorf("%q: %d", form, b.status)
		}
	})
}

func TestALinkAfterTheEndOfItsSessionLosesNothingOfTheWizard(t *testing.T) {
	w, b := inWizard(t)
	b.send(url.Values{"node_id": {"rack-4"}})
	b.send(url.Values{"recovery_email": {"sa@example.com"}, "superadmin.password.clear": {goodPassword}, "again.clear": {goodPassword}}).says(http.StatusOK, "First user")
	w.codes.ended = true
	b.get(SetupPath+"?step=2").says(http.StatusOK, "Setup code", "what you typed is kept")
	w.codes.token = "another"
	b.send(url.Values{"code": {"GOOD-CODE"}}).says(http.StatusOK, `value="rack-4"`)
	b.send(nil).says(http.StatusOK, `value="sa@example.com"`).keepsQuiet("It was taken")
	b.send(nil).says(http.StatusUnprocessableEntity, "It is missing") // passwords are told anew
}

func TestEveryWayThroughTheWizardCarriesWhatWasTyped(t *testing.T) {
	w, b := inWizard(t)
	b.send(url.Values{"node_id": {"rack-4"}}).says(http.StatusOK, "Recovery e-mail").keepsQuiet(`href="/init/setup?step`)
	b.send(url.Values{"recovery_email": {"half@"}, "go": {"1"}}).says(http.StatusOK, `value="rack-4"`)
	b.send(url.Values{"go": {"2"}}).says(http.StatusOK, `value="half@"`)
	b.send(url.Values{"go": {"4"}}).says(http.StatusOK, `value="half@"`) // no step is left out
	b.send(url.Values{"recovery_email": {"sa@example.com"}, "superadmin.password.clear": {goodPassword}, "again.clear": {goodPassword}})
	b.send(url.Values{"first_site.name": {"files"}, "sftp_port": {"2200"}}).says(http.StatusOK, "Nothing is saved yet", "2200").keepsQuiet(`href="/init/setup?step`)
	// A restart and a "Change" on the last page.
	w.codes.ended = true
	w.restart()
	b.send(url.Values{"go": {"3"}}).says(http.StatusForbidden, "what you typed is kept")
	b.send(url.Values{"code": {"GOOD-CODE"}}).says(http.StatusOK, `value="rack-4"`)
	b.send(nil).says(http.StatusOK, `value="sa@example.com"`)
	b.send(url.Values{"superadmin.password.clear": {goodPassword}, "again.clear": {goodPassword}}).says(http.StatusOK, `value="2200"`)
}

func TestTheTestOfTheAppCarriesWhatWasTypedBefore(t *testing.T) {
	w, b := inWizard(t)
	b.send(nil).send(url.Values{"superadmin.password.clear": {goodPassword}, "again.clear": {goodPassword}, "recovery_email": {"sa@example.com"}, "app": {"on"}})
	b.says(http.StatusOK, "Code that the app shows")
	w.codes.ended = true
	w.restart()
	b.send(url.Values{"app-code": {"123456"}}).says(http.StatusForbidden, "what you typed is kept")
	b.send(url.Values{"code": {"GOOD-CODE"}}).send(nil).says(http.StatusOK, `value="sa@example.com"`)
}

func TestALateRequestTakesThePlanFromNoOtherSession(t *testing.T) {
	w, b := inWizard(t)
	late := b.cookies[setupCookie]
	w.codes.token = "another"
	other := w.browser().get(SetupPath)
	other.send(url.Values{"code": {"GOOD-CODE"}}).send(url.Values{"node_id": {"rack-5"}}).says(http.StatusOK, "Recovery e-mail")
	if plan := w.pages.planOf(late, ""); plan != nil {
		t.Errorf("a session that has ended has the plan %+v", plan)
	}
	other.get(SetupPath).says(http.StatusOK, "Recovery e-mail")
	other.get(SetupPath+"?step=1").says(http.StatusOK, `value="rack-5"`)
}
