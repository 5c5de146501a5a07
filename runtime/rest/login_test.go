package rest

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/model"
)

func TestOnlyATokenOrASessionOpensAnything(t *testing.T) {
	w := furnished(t)
	good := w.super()
	for path := range w.api.huma.OpenAPI().Paths {
		for _, method := range []string{
			http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		} {
			if r := w.nobody().do(method, strings.TrimPrefix(path, Prefix), "{}"); path != Prefix+"/login" && r.StatusCode < 400 {
				t.Errorf("%s %s: %s", method, path, r.Status)
			}
		}
	}
	for _, wrong := range []string{
		"", "x", "sst_", "sst_all", "sst_all_", "sst__x", "sst_none_" + strings.Repeat("a", 52),
		good.token + "a", good.token[:len(good.token)-1], strings.ToUpper(good.token), strings.Replace(good.token, "all", "ALL", 1), strings.Repeat("sst_", 5000),
	} {
		c := &client{w: w, header: http.Header{"Authorization": {"Bearer " + wrong}}}
		c.get("/me").problem(unauthenticated)
	}
	for _, header := range []string{"Basic c2E6c2E=", "Bearer", good.token} {
		c := &client{w: w, header: http.Header{"Authorization": {header}}}
		if r := c.get("/me"); r.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: %s %v", header, r.Status, r.Header)
		}
	}
	if !w.audit.has("api.token", audit.Refused, "") {
		t.Error("a wrong token was not told in the audit log")
	}
	var me Me
	if good.get("/me").must(200).into(&me); me.By != "token/all" || !me.Super {
		t.Errorf("the token is %+v", me)
	}
}

func TestATokenIsShownOnceAndEndsInManyWays(t *testing.T) {
	w := furnished(t)
	c := w.super()
	var made MadeToken
	c.post("/tokens", map[string]any{
		"name": "robot", "sites": []string{"main"}, "rights": map[string]any{"view": []string{"user"}}, "expires": start.Add(time.Hour),
	}).must(201).into(&made)
	robot := &client{w: w, token: made.Secret}
	robot.get("/sites/main/users").must(200)
	robot.post("/sites/main/users", map[string]any{"name": "x"}).problem(forbidden)
	if text := string(c.get("/tokens/robot").text); strings.Contains(text, made.Secret) || strings.Contains(text, "hash") {
		t.Error(text)
	}
	if kept := object[*model.Token](w, made.Token.Key()); kept.Hash != tokenHash(made.Secret) {
		t.Errorf("kept %+v", kept)
	}
	for name, end := range map[string]map[string]any{
		"it is disabled":         {"disabled": true},
		"it is for other places": {"allowFrom": []string{"198.51.100.0/24"}},
		"it is over":             {"expires": start.Add(-time.Hour)},
	} {
		c.ifMatch("*").patch("/tokens/robot", end).must(200)
		if robot.get("/me").StatusCode != http.StatusUnauthorized {
			t.Errorf("%s, and it works", name)
		}
		c.ifMatch("*").patch("/tokens/robot", map[string]any{"disabled": nil, "allowFrom": nil, "expires": nil}).must(200)
		robot.get("/me").must(200)
	}
	robot.from = "198.51.100.9"
	c.ifMatch("*").patch("/tokens/robot", map[string]any{"allowFrom": []string{"198.51.100.0/24"}}).must(200)
	robot.get("/me").must(200)
	c.ifMatch("*").delete("/tokens/robot").must(204)
	robot.get("/me").problem(unauthenticated)
	// One of the same name is another one.
	c.post("/tokens", map[string]any{"name": "robot", "super": true}).must(201)
	robot.get("/me").problem(unauthenticated)
}

func TestASessionOpensWithThePasswordAndIsASecretOfTheBrowser(t *testing.T) {
	w := furnished(t)
	r := w.nobody().post("/login", map[string]any{"name": "SA", "password": goodPassword}).must(200)
	if len(r.Cookies()) != 1 {
		t.Fatal(r.Header)
	}
	c := r.Cookies()[0]
	if c.Name != "__Host-ss-session" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || len(c.Value) < 43 {
		t.Errorf("the cookie is %+v", c)
	}
	var me Me
	if r.into(&me); me.By != "superadmin/sa" || !me.Super || me.Ends.IsZero() {
		t.Errorf("it is %+v", me)
	}
	s := w.login("sa", goodPassword)
	s.get("/me").must(200)
	if !w.audit.has("api.login", audit.Done, "superadmin/sa") {
		t.Error("the log-in is not in the audit log")
	}
	for _, other := range []string{"", "x", s.cookie + "A", s.cookie[1:]} {
		(&client{w: w, cookie: other}).get("/me").problem(unauthenticated)
	}
	// A wrong token is not mended by a good cookie.
	(&client{w: w, cookie: s.cookie, token: "sst_x_y"}).get("/me").problem(unauthenticated)
	out := s.post("/logout", nil).must(204)
	if len(out.Cookies()) != 1 || out.Cookies()[0].MaxAge >= 0 {
		t.Errorf("logged out with %v", out.Header)
	}
	s.get("/me").problem(unauthenticated)
	w.super().post("/logout", nil).problem(forbidden)
}

func TestASessionEnds(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"when it is left alone": func(w *world) { w.pass(sessionIdle + time.Minute) },
		"after the time of the settings": func(w *world) {
			w.super().ifMatch("*").patch("/settings", map[string]any{"web": map[string]any{"sessionMinutes": 2}}).must(200)
			w.pass(3 * time.Minute)
		},
		"when the password is set anew": func(w *world) {
			w.super().ifMatch("*").patch("/admins/otto", map[string]any{"password": map[string]any{"clear": "another horse battery"}}).must(200)
		},
		"when an authenticator is set up": func(w *world) {
			w.super().ifMatch("*").patch("/admins/otto", map[string]any{"totp": map[string]any{"secret": map[string]any{"clear": auth.NewSecret()}}}).must(200)
		},
		"when the account is disabled": func(w *world) {
			w.super().ifMatch("*").patch("/admins/otto", map[string]any{"disabled": true}).must(200)
		},
		"when the account may not be used from there": func(w *world) {
			w.super().ifMatch("*").patch("/admins/otto", map[string]any{"allowFrom": []string{"198.51.100.0/24"}}).must(200)
		},
		"when the account is over": func(w *world) {
			w.super().ifMatch("*").patch("/admins/otto", map[string]any{"disableFrom": w.now().Add(-time.Minute)}).must(200)
		},
		"when the account is gone": func(w *world) { w.super().ifMatch("*").delete("/admins/otto").must(204) },
	} {
		t.Run(name, func(t *testing.T) {
			w := furnished(t)
			s := w.login("otto", goodPassword)
			s.get("/sites/main/users").must(200)
			end(w)
			s.get("/sites/main/users").problem(unauthenticated)
		})
	}
	t.Run("after half a day, however it is used", func(t *testing.T) {
		w := furnished(t)
		s := w.login("otto", goodPassword)
		for range 12*60/20 - 1 {
			w.pass(20 * time.Minute)
			s.get("/me").must(200)
		}
		w.pass(20 * time.Minute)
		s.get("/me").problem(unauthenticated)
	})
	t.Run("not when another right is given, which counts at once", func(t *testing.T) {
		w := furnished(t)
		s := w.login("otto", goodPassword)
		w.super().ifMatch("*").patch("/admins/otto", map[string]any{"rights": map[string]any{"view": []string{"group"}, "edit": nil}}).must(200)
		s.get("/sites/main/users").problem(forbidden)
		s.get("/sites/main/groups").must(200)
	})
}

func TestALogInThatFailsSaysNothingOfWhy(t *testing.T) {
	w := furnished(t)
	w.super().ifMatch("*").patch("/admins/otto", map[string]any{"disabled": true}).must(200)
	var said []string
	for _, ask := range []map[string]any{
		{"name": "sa", "password": "wrong"},
		{"name": "sa", "password": ""},
		{"name": "none", "password": "wrong"},
		{"name": "otto", "password": goodPassword},
		{"name": "sa", "password": goodPassword, "as": "admin"},
		{"name": "anna", "password": "wrong"},
		{"name": "sa/../x", "password": "wrong"},
	} {
		said = append(said, w.nobody().post("/login", ask).problem(unauthenticated).Detail)
	}
	for _, text := range said {
		if text != said[0] {
			t.Errorf("%q and %q", text, said[0])
		}
	}
	if !w.audit.has("api.login", audit.Refused, "superadmin/sa") || !w.audit.has("api.login", audit.Refused, "admin/none") {
		t.Error("the audit log does not tell of it")
	}
}

func TestWhoGuessesWaits(t *testing.T) {
	w := furnished(t)
	evil := &client{w: w, from: "203.0.113.7"}
	for range addressTries {
		evil.post("/login", map[string]any{"name": "sa", "password": "wrong"}).problem(unauthenticated)
	}
	r := evil.post("/login", map[string]any{"name": "sa", "password": goodPassword})
	if r.problem(tooMany); r.Header.Get("Retry-After") == "" {
		t.Error(r.Header)
	}
	// Others are let in, as often as they like.
	for range 2 * addressTries {
		(&client{w: w, from: "203.0.113.8"}).post("/login", map[string]any{"name": "sa", "password": goodPassword}).must(200)
	}
	w.pass(2 * time.Minute)
	evil.post("/login", map[string]any{"name": "sa", "password": goodPassword}).must(200)
	// Many addresses together are bounded by the account.
	for i := range accountTries + 5 {
		r := (&client{w: w, from: fmt.Sprintf("198.51.100.%d", i)}).post("/login", map[string]any{"name": "otto", "password": "wrong"})
		if i >= accountTries+2 && r.StatusCode != http.StatusTooManyRequests {
			t.Errorf("attempt %d: %s", i, r.Status)
		}
	}
}

// TestWhoGuessesKeepsNobodyOut: from many addresses the tries of an account are soon gone.
func TestWhoGuessesKeepsNobodyOut(t *testing.T) {
	w := furnished(t)
	home := &client{w: w, from: "203.0.113.8"}
	good := map[string]any{"name": "sa", "password": goodPassword}
	home.post("/login", good).must(200)
	for i := range accountTries + 5 {
		(&client{w: w, from: fmt.Sprintf("198.51.100.%d", i)}).post("/login", map[string]any{"name": "sa", "password": "wrong"})
	}
	(&client{w: w, from: "198.51.100.200"}).post("/login", good).problem(tooMany)
	home.post("/login", good).must(200)
	// That he comes and goes makes no room for guesses.
	(&client{w: w, from: "198.51.100.201"}).post("/login", good).problem(tooMany)
	for range addressTries {
		home.post("/login", map[string]any{"name": "sa", "password": "wrong"}).problem(unauthenticated)
	}
	home.post("/login", good).problem(tooMany)
	(&client{w: w, from: "127.0.0.1"}).post("/login", good).must(200)
}

func TestACodeIsAskedForAfterThePassword(t *testing.T) {
	w := furnished(t)
	s := w.login("otto", goodPassword)
	s.post("/me/totp", map[string]any{"password": "wrong"}).field("password")
	s.put("/me/totp", map[string]any{"code": "123456"}).field("code")
	var fresh NewSecret
	s.post("/me/totp", map[string]any{"password": goodPassword}).must(200).into(&fresh)
	if !strings.HasPrefix(fresh.URI, "otpauth://totp/") || len(fresh.Secret) < 16 {
		t.Errorf("told %+v", fresh)
	}
	s.put("/me/totp", map[string]any{"code": "000000"}).field("code")
	if w.login("otto", goodPassword).cookie == "" {
		t.Error("it counts before it was proved")
	}
	var codes Recovery
	r := s.put("/me/totp", map[string]any{"code": w.code(fresh.Secret)}).must(200)
	if r.into(&codes); len(codes.Recovery) != recoveryCodes {
		t.Errorf("told %v", codes)
	}
	s.get("/me").problem(unauthenticated)
	s.take(r)
	var me Me
	if s.get("/me").must(200).into(&me); !me.TOTP || me.Recovery != recoveryCodes {
		t.Errorf("it is %+v", me)
	}
	ask := map[string]any{"name": "otto", "password": goodPassword}
	w.nobody().post("/login", ask).problem(codeRequired)
	ask["code"] = w.code(fresh.Secret)
	w.nobody().post("/login", ask).problem(unauthenticated) // it was used to set the app up
	w.pass(time.Minute)
	ask["code"] = w.code(fresh.Secret)
	w.nobody().post("/login", ask).must(200)
	w.nobody().post("/login", ask).problem(unauthenticated)
	delete(ask, "code")
	ask["recovery"] = strings.ToLower(codes.Recovery[2])
	w.nobody().post("/login", ask).must(200)
	w.nobody().post("/login", ask).problem(unauthenticated)
	w.pass(time.Minute)
	s.post("/me/totp/remove", map[string]any{"password": goodPassword}).field("code")
	off := s.post("/me/totp/remove", map[string]any{"password": goodPassword, "code": w.code(fresh.Secret)}).must(200)
	s.take(off)
	if s.get("/me").must(200).into(&me); me.TOTP && strings.Contains(string(off.text), "totp") {
		t.Errorf("it is %s", off.text)
	}
	w.login("otto", goodPassword)
}

// code is what an authenticator shows now.
func (w *world) code(secret string) string {
	w.t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		w.t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	if err := binary.Write(mac, binary.BigEndian, w.now().Unix()/30); err != nil {
		w.t.Fatal(err)
	}
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

func TestAPasswordThatMustChangeLetsInForThatOnly(t *testing.T) {
	w := furnished(t)
	w.super().ifMatch("*").patch("/admins/otto", map[string]any{"password": map[string]any{"clear": "handed out once", "mustChange": true}}).must(200)
	s := w.login("otto", "handed out once")
	var me Me
	if s.get("/me").must(200).into(&me); !me.MustChange {
		t.Errorf("it is %+v", me)
	}
	s.get("/sites/main/users").problem(mustChange)
	s.post("/me/password", map[string]any{"current": "wrong", "new": "mine and mine alone"}).field("current")
	s.post("/me/password", map[string]any{"current": "handed out once", "new": "handed out once"}).field("new")
	s.post("/me/password", map[string]any{"current": "handed out once", "new": "short"}).field("new")
	s.post("/me/password", map[string]any{"current": "handed out once", "new": "otto otto otto"}).field("new")
	other := w.login("otto", "handed out once")
	r := s.post("/me/password", map[string]any{"current": "handed out once", "new": "mine and mine alone"}).must(200)
	other.get("/me").problem(unauthenticated)
	s.take(r)
	s.get("/sites/main/users").must(200)
	w.login("otto", "mine and mine alone")
}

func TestAStreamEndsWhenThePasswordMustChange(t *testing.T) {
	w := furnished(t)
	r := w.login("otto", goodPassword).request(http.MethodGet, "/changes/stream", nil)
	c, err := w.api.admit(r, false)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = w.api.stillThere(r, c); err != nil {
		t.Fatal(err)
	}
	otto := object[*model.Admin](w, model.AdminKey("otto"))
	otto.Password.MustChange = true
	w.write(otto)
	if _, err := w.api.stillThere(r, c); err == nil {
		t.Error("it goes on")
	}
}

func TestAPageOfAnotherSiteCannotAsk(t *testing.T) {
	w := furnished(t)
	s := w.login("sa", goodPassword)
	for name, header := range map[string][2]string{
		"cross-site":     {"Sec-Fetch-Site", "cross-site"},
		"same-site":      {"Sec-Fetch-Site", "same-site"},
		"another origin": {"Origin", "https://evil.example"},
		"no origin":      {"Origin", "null"},
	} {
		c := s.with(header[0], header[1])
		if r := c.post("/sites", map[string]any{"name": "evil"}); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", name, r.Status)
		}
		c.ifMatch("*").delete("/sites/main/users/anna").problem(crossOrigin)
		c.post("/login", map[string]any{"name": "sa", "password": goodPassword}).problem(crossOrigin)
	}
	s.with("Sec-Fetch-Site", "same-origin").with("Origin", "https://server").post("/sites", map[string]any{"name": "fine"}).must(201)
}

func TestRequestsAreRationed(t *testing.T) {
	w := furnished(t)
	super := w.super()
	super.ifMatch("*").patch("/settings", map[string]any{"web": map[string]any{"requestsPerMinute": 60}}).must(200)
	a := w.admin("busy", nil, nil)
	a.from = "203.0.113.5"
	limited := func(c *client) *reply {
		for range 200 {
			if r := c.get("/me"); r.StatusCode != http.StatusOK {
				return r
			}
		}
		t.Fatal("never")
		return nil
	}
	if r := limited(a); r.Header.Get("Retry-After") == "" || r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%s %v", r.Status, r.Header)
	}
	// Another address does not help the token, nor another token the address.
	moved := *a
	moved.from = "203.0.113.6"
	moved.get("/me").problem(tooMany)
	other := w.admin("idle", nil, nil)
	other.from = "203.0.113.5"
	other.get("/me").problem(tooMany)
	other.from = "203.0.113.99"
	other.get("/me").must(200)
	w.pass(3 * time.Second)
	a.get("/me").must(200)
}

func TestTheAddressBehindATrustedProxyCounts(t *testing.T) {
	w := furnished(t)
	w.super().ifMatch("*").patch("/settings", map[string]any{"web": map[string]any{"trustedProxies": []string{"10.0.0.0/8"}}}).must(200)
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1", "198.51.100.1", "192.0.2.1"},
		{"10.0.0.1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1", "1.2.3.4, 198.51.100.1, 10.9.9.9", "198.51.100.1"},
		{"10.0.0.1", "rubbish", "10.0.0.1"},
		{"10.0.0.1", "198.51.100.1, rubbish", "10.0.0.1"},
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"},
	} {
		settings, err := w.api.settings()
		if err != nil {
			t.Fatal(err)
		}
		r := (&client{w: w, from: c.remote}).with("X-Forwarded-For", c.forwarded).request(http.MethodGet, "/me", nil)
		if got := addressOf(r, settings.Web.TrustedProxies).String(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestAMadeTokenIsTheCommandLinesWord(t *testing.T) {
	w := furnished(t)
	if _, err := MakeToken(context.Background(), w.engine, "root", &model.Token{Head: model.Head{Name: "Bad Name"}}); err == nil {
		t.Error("made")
	}
	text, err := MakeToken(context.Background(), w.engine, "root", &model.Token{Head: model.Head{Name: "first"}, Super: true})
	if err != nil {
		t.Fatal(err)
	}
	(&client{w: w, token: text}).get("/superadmins").must(200)
	if _, err := MakeToken(context.Background(), w.engine, "root", &model.Token{Head: model.Head{Name: "first"}}); err == nil {
		t.Error("made twice")
	}
}

func TestLimitsRememberNoLongNames(t *testing.T) {
	b := newBuckets(func() time.Time { return start })
	long := strings.Repeat("x", 10_000)
	for i := range 3 {
		if wait := b.take("login/admin/"+long, 1, 2); (wait > 0) != (i == 2) {
			t.Errorf("try %d: wait %s", i+1, wait)
		}
	}
	b.give("login/admin/"+long, 2)
	if b.take("login/admin/"+long, 1, 2) > 0 || b.take("login/admin/"+long+"y", 1, 2) > 0 {
		t.Error("one name was taken for another")
	}
	for key := range b.all {
		if len(key) > maxKey {
			t.Errorf("a key of %d bytes", len(key))
		}
	}
}

func TestASessionThatWasLeftOpenMakesNobodyMasterOfTheServer(t *testing.T) {
	w := furnished(t)
	s := w.login("sa", goodPassword)
	evil := map[string]any{"name": "evil", "email": "evil@example.com", "password": map[string]any{"clear": "another battery staple"}}
	token := map[string]any{"name": "evil", "super": true}
	own := map[string]any{"password": map[string]any{"clear": "evil battery staple"}}
	s.ifMatch("*").patch("/superadmins/sa", own).field("password")
	s.ifMatch("*").patch("/superadmins/sa", map[string]any{"password": nil}).field("password")
	s.ifMatch("*").patch("/superadmins/sa", map[string]any{"email": "sa@example.org"}).must(200)
	w.pass(proofLife)
	s.get("/superadmins/sa").must(200)
	s.post("/superadmins", evil).problem(proofRequired)
	s.post("/tokens", token).problem(proofRequired)
	s.ifMatch("*").patch("/superadmins/sa", map[string]any{"email": "evil@example.com"}).problem(proofRequired)
	s.ifMatch("*").delete("/superadmins/sa").problem(proofRequired)
	s.post("/me/proof", map[string]any{"password": "wrong"}).field("password")
	s.post("/tokens", token).problem(proofRequired)
	s.post("/me/proof", map[string]any{"password": goodPassword}).must(204)
	s.post("/tokens", token).must(201)
	s.ifMatch("*").patch("/superadmins/sa", own).field("password")
	program := w.super()
	program.post("/me/proof", map[string]any{"password": goodPassword}).problem(forbidden)
	program.post("/superadmins", evil).must(201)
}

// withApp is a session of an account that has just set up an app, and what the app knows.
func (w *world) withApp(name string) (s *client, secret string, recovery []string) {
	w.t.Helper()
	s = w.login(name, goodPassword)
	var fresh NewSecret
	s.post("/me/totp", map[string]any{"password": goodPassword}).must(200).into(&fresh)
	var codes Recovery
	r := s.put("/me/totp", map[string]any{"code": w.code(fresh.Secret)}).must(200)
	r.into(&codes)
	s.take(r)
	w.pass(time.Minute)
	return s, fresh.Secret, codes.Recovery
}

func TestThePasswordAloneGivesNoFreshProofWhereThereIsAnApp(t *testing.T) {
	w := furnished(t)
	s, secret, recovery := w.withApp("sa")
	w.pass(proofLife)
	token := map[string]any{"name": "evil", "super": true}
	s.post("/tokens", token).problem(proofRequired)
	const next = "another battery staple"
	ask := map[string]any{"current": goodPassword, "new": next}
	s.post("/me/password", ask).field("code")
	ask["code"] = "000000"
	s.post("/me/password", ask).field("code")
	s.post("/tokens", token).problem(proofRequired)
	// A password that is refused costs no code.
	ask["code"], ask["new"] = w.code(secret), "short"
	s.post("/me/password", ask).field("new")
	ask["new"] = next
	s.take(s.post("/me/password", ask).must(200))
	s.post("/tokens", token).must(201)
	w.pass(time.Minute)
	s.take(s.post("/me/password", map[string]any{"current": next, "new": goodPassword, "recovery": recovery[0]}).must(200))
	s.post("/me/password", map[string]any{"current": goodPassword, "new": next, "recovery": recovery[0]}).field("code")
}

func TestWhoMustChangeThePasswordShowsTheCodeOnceUnlessHeWaits(t *testing.T) {
	w := furnished(t)
	_, secret, _ := w.withApp("otto")
	w.super().ifMatch("*").patch("/admins/otto", map[string]any{"password": map[string]any{"clear": "handed out once", "mustChange": true}}).must(200)
	r := w.nobody().post("/login", map[string]any{"name": "otto", "password": "handed out once", "code": w.code(secret)}).must(200)
	s := w.nobody()
	s.take(r)
	ask := map[string]any{"current": "handed out once", "new": "mine and mine alone"}
	w.pass(proofLife)
	s.post("/me/password", ask).field("code")
	r = w.nobody().post("/login", map[string]any{"name": "otto", "password": "handed out once", "code": w.code(secret)}).must(200)
	s = w.nobody()
	s.take(r)
	s.take(s.post("/me/password", ask).must(200))
	s.get("/sites/main/users").must(200)
}

func TestAnAppThatIsSetUpLateIsNoProof(t *testing.T) {
	w := furnished(t)
	s := w.login("sa", goodPassword)
	var fresh NewSecret
	s.post("/me/totp", map[string]any{"password": goodPassword}).must(200).into(&fresh)
	w.pass(proofLife)
	s.take(s.put("/me/totp", map[string]any{"code": w.code(fresh.Secret)}).must(200))
	s.post("/tokens", map[string]any{"name": "evil", "super": true}).problem(proofRequired)
}

func TestARecoveryCodeStandsInForTheLostPhone(t *testing.T) {
	w := furnished(t)
	s, _, recovery := w.withApp("sa")
	w.pass(proofLife)
	token := map[string]any{"name": "robot", "super": true}
	s.post("/tokens", token).problem(proofRequired)
	s.post("/me/proof", map[string]any{"password": goodPassword, "recovery": "AAAA-AAAA-AAAA-AAAA"}).field("password")
	s.post("/me/proof", map[string]any{"password": "wrong", "recovery": recovery[0]}).field("password")
	s.post("/me/proof", map[string]any{"password": goodPassword, "recovery": recovery[0]}).must(204)
	s.post("/tokens", token).must(201)
	s.post("/me/proof", map[string]any{"password": goodPassword, "recovery": recovery[0]}).field("password")
	s.take(s.post("/me/totp/remove", map[string]any{"password": goodPassword, "recovery": recovery[1]}).must(200))
	var me Me
	if s.get("/me").must(200).into(&me); me.TOTP || me.Recovery != 0 {
		t.Errorf("it is %+v", me)
	}
	w.login("sa", goodPassword)
}
