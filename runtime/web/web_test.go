package web

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
)

func TestWhoIsNotSignedInIsAskedToAndComesWhereHeWanted(t *testing.T) {
	w := furnished(t)
	b := w.browser().get("/sites/main/users").says(http.StatusOK, "Sign in")
	if !strings.HasPrefix(b.path, "/login?next=") {
		t.Fatal(b.path)
	}
	b.send(url.Values{"name": {"sa"}, "password": {goodPassword}}).says(http.StatusOK, "Users", "anna")
	if b.path != "/sites/main/users" {
		t.Error(b.path)
	}
}

func TestAWrongPasswordIsToldWithoutSayingWhatWasWrongAndCounts(t *testing.T) {
	w := furnished(t)
	for _, name := range []string{"sa", "nobody"} {
		b := w.browser().get("/login").send(url.Values{"name": {name}, "password": {"wrong"}})
		b.says(http.StatusUnauthorized, "Name or password is wrong", `value="`+name+`"`, "sapassreset")
		if len(b.cookies) > 0 {
			t.Error("a cookie came back", b.cookies)
		}
	}
	if w.guard.offences != 2 {
		t.Errorf("the Protector heard of %d offences", w.guard.offences)
	}
}

func TestLogInsThatFailAgainAndAgainHaveToWait(t *testing.T) {
	w := furnished(t)
	b := w.browser().get("/login")
	for range 10 {
		b.send(url.Values{"name": {"sa"}, "password": {"wrong"}})
	}
	b.send(url.Values{"name": {"sa"}, "password": {"wrong"}}).says(http.StatusTooManyRequests, "Too many log-ins have failed")
	if b.header.Get("Retry-After") == "" {
		t.Error("it is not told how long")
	}
}

func TestABannedAddressReachesNoPage(t *testing.T) {
	w := furnished(t)
	b := w.as("sa")
	w.guard.banned = true
	for _, path := range []string{"/", "/sites", "/login", "/help", "/account", donePath, "/nowhere"} {
		b.get(path).says(http.StatusForbidden, "The address is banned")
	}
	b.post("/login", url.Values{"name": {"sa"}, "password": {goodPassword}}).says(http.StatusForbidden, "banned")
	b.post("/theme", url.Values{"theme": {"dark"}}).says(http.StatusForbidden, "banned")
	fresh := newWorld(t)
	fresh.guard.banned = true
	fresh.browser().get(SetupPath).says(http.StatusForbidden, "banned").post(SetupPath, url.Values{"code": {"GOOD-CODE"}}).says(http.StatusForbidden, "banned")
}

func TestTheSessionCookieIsOneThatNoScriptAndNoOtherSiteCanUse(t *testing.T) {
	w := furnished(t)
	r := httptest.NewRequest(http.MethodPost, "https://server/login", strings.NewReader(url.Values{"name": {"sa"}, "password": {goodPassword}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	w.pages.ServeHTTP(rec, r)
	c := rec.Result().Cookies()
	if len(c) != 1 || c[0].Name != "__Host-ss-session" || !c[0].Secure || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode || c[0].Path != "/" || c[0].Domain != "" {
		t.Errorf("%+v", c)
	}
}

func TestAnAppIsSetUpAndAskedForAtTheNextLogIn(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/account").says(http.StatusOK, "Set up an app")
	b.post("/account/totp", url.Values{"csrf": {csrfOf(b)}, "password.clear": {goodPassword}}).says(http.StatusOK, "Scan it", "<svg class=\"qr\"")
	secret := regexp.MustCompile(`data-copy="([A-Z2-7]{32})"`).FindStringSubmatch(b.page)
	if secret == nil {
		t.Fatal(b.page)
	}
	b.send(url.Values{"code": {"000000"}}).says(http.StatusUnprocessableEntity, "It is not the code of the app")
	b.send(url.Values{"code": {codeOf(t, secret[1], w.now())}}).says(http.StatusOK, "Keep these recovery codes")
	recovery := regexp.MustCompile(`data-copy="([A-Z2-7-]{19})"`).FindAllStringSubmatch(b.page, -1)
	if len(recovery) != 8 {
		t.Fatalf("%d recovery codes", len(recovery))
	}
	b.get(b.path).says(http.StatusOK, recovery[0][1]).send(nil).says(http.StatusOK, "8 recovery codes are left").keepsQuiet(recovery[0][1])
	w.pass(time.Minute)
	again := w.browser().get("/login").send(url.Values{"name": {"sa"}, "password": {goodPassword}}).says(http.StatusOK, "Code of the authenticator app").keepsQuiet(goodPassword)
	again.send(url.Values{"code": {"123456"}}).says(http.StatusUnauthorized, "The code is not right")
	again.send(url.Values{"code": {codeOf(t, secret[1], w.now())}}).says(http.StatusOK, "Overview")
	other := w.browser().get("/login").send(url.Values{"name": {"sa"}, "password": {goodPassword}})
	other.send(url.Values{"recovery": {recovery[0][1]}}).says(http.StatusOK, "Overview")
}

// codeOf is the code that an app shows, after RFC 6238.
func codeOf(t testing.TB, secret string, now time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	if err := binary.Write(mac, binary.BigEndian, uint64(now.Unix()/30)); err != nil {
		t.Fatal(err)
	}
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
}

var csrfInput = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func csrfOf(b *browser) string {
	if found := csrfInput.FindStringSubmatch(b.page); found != nil {
		return found[1]
	}
	return ""
}

func TestWhoMustChangeThePasswordReachesNothingElse(t *testing.T) {
	w := furnished(t)
	w.as("sa").get("/admins/otto").send(url.Values{"password.mustChange": {"on"}}).says(http.StatusOK, "Saved")
	b := w.browser().get("/login").send(url.Values{"name": {"otto"}, "password": {goodPassword}}).says(http.StatusOK, "Choose another password")
	b.get("/sites/main/users").says(http.StatusOK, "Choose another password")
	b.send(url.Values{"current.clear": {goodPassword}, "new.clear": {"another battery"}, "again.clear": {"anther battery"}}).says(http.StatusUnprocessableEntity, "It is not the same")
	b.send(url.Values{"current.clear": {goodPassword}, "new.clear": {"short"}, "again.clear": {"short"}}).says(http.StatusUnprocessableEntity, "at least")
	b.send(url.Values{"current.clear": {goodPassword}, "new.clear": {"another battery"}, "again.clear": {"another battery"}}).says(http.StatusOK, "The password was changed")
	b.get("/sites/main/users").says(http.StatusOK, "anna")
}

func TestAFormWithoutTheTokenOfItsSessionChangesNothing(t *testing.T) {
	w := furnished(t)
	b, other := w.as("sa"), w.as("sa")
	b.get("/sites/main/users/anna")
	other.get("/sites/main/users/anna")
	for name, token := range map[string]string{"none": "", "guessed": "AAAA", "of another session": csrfOf(other)} {
		_, form := b.get("/sites/main/users/anna").form()
		form.Set("csrf", token)
		form.Set("email", "evil@example.com")
		b.post("/sites/main/users/anna", form)
		if got := w.user("anna").Email; got != "anna@example.com" {
			t.Fatalf("%s: the address is %s", name, got)
		}
		b.says(http.StatusOK, "evil@example.com")
	}
	b.post("/logout", url.Values{}).says(http.StatusForbidden, "of another session")
}

func TestWhatIsRefusedStandsBesideItsFieldAndWhatWasTypedStays(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/sites/main/users/anna").says(http.StatusOK, `value="anna@example.com"`)
	b.send(url.Values{"email": {"no address"}, "description": {"from Bonn <script>"}, "quota.hard": {"many"}})
	b.says(http.StatusUnprocessableEntity, `name="name" value="anna"`, `id="f-quota-hard-wrong"`, "it is no size", `value="no address"`, `from Bonn <script></textarea>`)
	if strings.Contains(b.page, "<script><") {
		t.Error("not escaped")
	}
	b.send(url.Values{"quota.hard": {"10 GiB"}}).says(http.StatusUnprocessableEntity, `id="f-email-wrong"`, "is not an e-mail address", `value="10 GiB"`, `aria-invalid="true"`)
	b.send(url.Values{"email": {"anna@example.org"}}).says(http.StatusOK, "Saved", `value="10 GiB"`)
	if u := w.user("anna"); u.Quota.Hard != 10<<30 || u.Email != "anna@example.org" || len(u.Home.Permissions) != 10 || u.Description != "from Bonn <script>" {
		t.Errorf("%+v", u)
	}
}

func TestAUserIsMadeWithKeyPasswordAndFolders(t *testing.T) {
	w := furnished(t)
	key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5S0dHYC3ebWbnYoEexdBN0AyC1eqCUWMUHcN1C7qbf carl@laptop"
	b := w.as("otto").get("/sites/main/new/users").says(http.StatusOK, "New user")
	b.send(url.Values{
		"name": {"carl"}, "home.vfs": {"files"}, "password.clear": {"short"}, "keys": {key},
		"folders.0.mount": {"/in"}, "folders.0.vfs": {"files"}, "folders.0.path": {"/inbox"}, "folders.0.permissions": {"list", "upload"},
	}).says(http.StatusUnprocessableEntity, `id="f-password-clear-wrong"`, `value="carl"`, "carl@laptop", `value="/inbox"`)
	b.send(url.Values{"password.clear": {"long enough for all"}}).says(http.StatusOK, "Made.", "Can sign in")
	u := w.user("carl")
	if len(u.Keys) != 1 || u.Keys[0].Name != "carl@laptop" || u.Password.Hash == "" || len(u.Folders) != 1 || u.Folders[0].Mount != "/in" || len(u.Folders[0].Permissions) != 2 {
		t.Errorf("%+v", u)
	}
	// What is saved again without a change stays as it is.
	added := u.Keys[0].Added
	w.pass(10 * time.Minute)
	b.send(url.Values{"folders.0.mount": {""}, "folders.0.path": {""}, "description": {"x"}}).says(http.StatusOK, "Saved")
	if u := w.user("carl"); len(u.Folders) != 0 || !u.Keys[0].Added.Equal(added) || u.Password.Hash == "" {
		t.Errorf("%+v", u)
	}
	b.get("/sites/main/new/users").send(url.Values{"name": {"CARL"}}).says(http.StatusConflict, `id="f-name-wrong"`, "exists already")
}

func TestTwoAdminsWhoChangeOneUserLoseNothing(t *testing.T) {
	w := furnished(t)
	first, second := w.as("sa").get("/sites/main/users/anna"), w.as("otto").get("/sites/main/users/anna")
	first.send(url.Values{"email": {"first@example.com"}, "description": {"by the first"}}).says(http.StatusOK, "Saved")
	second.send(url.Values{"email": {"second@example.com"}, "maxSessions": {"3"}})
	second.says(http.StatusConflict, "superadmin/sa", "first@example.com", "second@example.com", "by the first", "only superadmin/sa changed it", "only you changed it")
	if w.user("anna").Email != "first@example.com" {
		t.Fatal("the second overwrote the first")
	}
	// Both changed the address; the second's choice is preset, he takes the first's.
	second.send(url.Values{"take-email": {"theirs"}}).says(http.StatusOK, "Saved")
	u := w.user("anna")
	if u.Email != "first@example.com" || u.Description != "by the first" || u.MaxSessions != 3 {
		t.Errorf("%s, %s, %d", u.Email, u.Description, u.MaxSessions)
	}
}

func TestAThirdWhoIsQuickerWhileTheSecondChoosesIsShownAsWell(t *testing.T) {
	w := furnished(t)
	first, second := w.as("sa").get("/sites/main/users/anna"), w.as("otto").get("/sites/main/users/anna")
	first.send(url.Values{"email": {"first@example.com"}})
	second.send(url.Values{"email": {"second@example.com"}}).says(http.StatusConflict, "first@example.com")
	w.as("sa").get("/sites/main/users/anna").send(url.Values{"email": {"third@example.com"}})
	second.send(nil).says(http.StatusConflict, "third@example.com", "second@example.com")
	second.send(nil).says(http.StatusOK, "Saved")
	if got := w.user("anna").Email; got != "second@example.com" {
		t.Error(got)
	}
}

func TestAChoiceAgainstOnesOwnVersionStandsWhenAThirdWasQuicker(t *testing.T) {
	w := furnished(t)
	first, second := w.as("sa").get("/sites/main/users/anna"), w.as("otto").get("/sites/main/users/anna")
	first.send(url.Values{"email": {"first@example.com"}})
	second.send(url.Values{"email": {"second@example.com"}}).says(http.StatusConflict, "first@example.com")
	w.as("sa").get("/sites/main/users/anna").send(url.Values{"description": {"by a third"}})
	second.send(url.Values{"take-email": {"theirs"}}).says(http.StatusConflict, "by a third").keepsQuiet("second@example.com")
	second.send(nil)
	if u := w.user("anna"); u.Email != "first@example.com" || u.Description != "by a third" {
		t.Errorf("%s, %s", u.Email, u.Description)
	}
}

func TestWhatWasTypedForAUserThatIsGoneCanMakeItAnew(t *testing.T) {
	w := furnished(t)
	first, second := w.as("sa"), w.as("otto").get("/sites/main/users/anna")
	first.get("/sites/main/users/anna/delete").says(http.StatusOK, "goes for ever")
	first.send(url.Values{"confirm": {"ana"}}).says(http.StatusUnprocessableEntity, "That is not the name", `value="ana"`)
	first.send(url.Values{"confirm": {"anna"}}).says(http.StatusOK, "Deleted")
	second.send(url.Values{"description": {"typed for long"}}).says(http.StatusConflict, "was deleted by somebody else", "typed for long</textarea>")
	second.send(nil).says(http.StatusOK, "Made.")
	if got := w.user("anna").Description; got != "typed for long" {
		t.Error(got)
	}
}

func TestAFormOutlivesTheEndOfItsSession(t *testing.T) {
	for name, end := range map[string]func(*world){
		"left alone for too long": func(w *world) { w.pass(time.Hour) },
		"the server restarted":    func(w *world) { w.pass(13 * time.Hour); w.restart() },
	} {
		t.Run(name, func(t *testing.T) {
			w := furnished(t)
			b := w.as("otto").get("/sites/main/users/anna")
			end(w)
			b.send(url.Values{"description": {"typed for an hour"}, "password.clear": {"a secret password"}})
			b.says(http.StatusUnauthorized, "Your session is over", "what you typed waits here").keepsQuiet("a secret password")
			b.send(url.Values{"name": {"otto"}, "password": {"wrong"}}).says(http.StatusUnauthorized, "Name or password is wrong")
			b.send(url.Values{"name": {"otto"}, "password": {goodPassword}}).says(http.StatusOK, "You are signed in again", "typed for an hour</textarea>")
			if w.user("anna").Description != "" {
				t.Fatal("it was saved without being asked for")
			}
			b.send(nil).says(http.StatusOK, "Saved")
			if got := w.user("anna").Description; got != "typed for an hour" {
				t.Error(got)
			}
		})
	}
}

func TestRolesSeeAndChangeWhatTheirRightsSay(t *testing.T) {
	w := furnished(t)
	vera, otto := w.as("vera"), w.as("otto")
	vera.get("/").keepsQuiet("/superadmins", "New site", "/tokens")
	vera.get("/sites").says(http.StatusOK, "main").keepsQuiet("other", "New site")
	vera.get("/sites/main/users").says(http.StatusOK, "anna").keepsQuiet("New user")
	vera.get("/sites/main/users/anna").says(http.StatusOK, "You may look at this, not change it").keepsQuiet("Save changes", "Delete user")
	form := url.Values{"csrf": {csrfOf(vera)}, "rev": {"1"}, "email": {"evil@example.com"}}
	vera.post("/sites/main/users/anna", form).says(http.StatusForbidden, "may not change any user")
	vera.post("/sites/main/users/anna/delete", url.Values{"csrf": form["csrf"], "confirm": {"anna"}, "rev": {"1"}}).says(http.StatusForbidden, "may not delete")
	vera.post("/sites/main/stop", url.Values{"csrf": form["csrf"]}).says(http.StatusForbidden, "may not stop")
	for _, path := range []string{"/sites/other", "/sites/other/users", "/sites/other/users/hidden-bert", "/sites/nowhere/users", "/superadmins", "/admins/otto", "/tokens", "/settings", "/new/sites"} {
		otto.get(path).says(http.StatusForbidden).keepsQuiet("bert@hidden")
	}
	if !w.sites.running["main"] || w.user("anna").Email != "anna@example.com" {
		t.Error("something was changed")
	}
}

func TestASiteIsStoppedOnlyAfterItWasSaidWhatEnds(t *testing.T) {
	w := furnished(t)
	w.sites.sessions["main"] = []sftpd.Session{{ID: 1, User: "anna", Client: `<img src=x onerror="alert(1)">`}, {ID: 2, User: "anna"}}
	b := w.as("sa")
	b.get("/sites").says(http.StatusOK, "Running", "Listening")
	b.get("/sites/main/sessions").says(http.StatusOK, "anna")
	if strings.Contains(b.page, "<img") {
		t.Error("what a client calls itself is not shown as text")
	}
	b.get("/sites/main/stop").says(http.StatusOK, "2 sessions end")
	if !w.sites.running["main"] {
		t.Fatal("it was stopped by looking")
	}
	b.send(nil).says(http.StatusOK, "The site was stopped", "Stopped")
	b.get("/sites/main/start").send(nil).says(http.StatusOK, "The site was started", "Running")
	b.get("/sites/main/sessions").send(nil).says(http.StatusOK, "The sessions were ended")
	if n := len(w.sites.sessions["main"]); n != 1 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestEveryKindOfObjectCanBeListedMadeAndChanged(t *testing.T) {
	w := furnished(t)
	b := w.as("sa")
	for _, c := range []struct {
		fresh   string
		typed   url.Values
		change  url.Values
		told    string
		deletes string
	}{
		{"/new/sites", url.Values{"name": {"third"}, "title": {"The third"}, "limits.perUser": {"5"}, "protector.level": {"strict"}}, url.Values{"ssh.banner": {"Hello\r\nyou"}, "speed.0.up": {"1 MiB"}}, "third", "third"},
		{"/sites/main/new/groups", url.Values{"name": {"staff"}}, url.Values{"description": {"x"}}, "staff", "staff"},
		{"/sites/main/new/vfs", url.Values{"name": {"more"}, "root": {"/srv/ss-server/main/more"}}, url.Values{"quota.hard": {"1.5 GiB"}}, "more", "more"},
		{"/sites/main/new/bindings", url.Values{"name": {"second"}, "node": {"n1"}, "port": {"2022"}}, url.Values{"disabled": {"on"}}, "second", "second"},
		{"/sites/main/new/hostkeys", url.Values{"name": {"spare"}}, url.Values{"disabled": {"on"}}, "SHA256:", "spare"},
		{"/sites/main/new/entries", url.Values{"network": {"192.0.2.0/24"}}, url.Values{"notes": {"x"}, "expires": {"2027-01-01T10:00"}}, "192.0.2.0/24", "block:192.0.2.0/24"},
		{"/new/entries", url.Values{"network": {"198.51.100.7"}}, url.Values{"notes": {"x"}}, "198.51.100.7", "block:198.51.100.7"},
		{"/sites/main/new/ldap", url.Values{"name": {"dir"}, "urls": {"ldaps://ldap.example.com"}, "baseDN": {"dc=example,dc=com"}, "bindDN": {"cn=x,dc=example,dc=com"}, "bindPassword.clear": {"hush"}}, url.Values{"timeoutSeconds": {"7"}}, "ldaps://ldap.example.com", "dir"},
		{"/new/certificates", url.Values{"name": {"own"}, "type": {"self-signed"}, "domains": {"files.example.com"}}, url.Values{"domains": {"files.example.com\r\nftp.example.com"}}, "files.example.com", "own"},
		{"/new/nodes", url.Values{"name": {"n2"}}, url.Values{"description": {"x"}}, "n2", "n2"},
		{"/new/superadmins", url.Values{"name": {"sb"}, "email": {"sb@example.com"}, "password.clear": {goodPassword}}, url.Values{"reason": {"x"}}, "sb", "sb"},
		{"/new/admins", url.Values{"name": {"ada"}, "password.clear": {goodPassword}, "sites": {"main"}, "rights.view": {"user"}, "rights.edit": {"user", "group"}}, url.Values{"email": {"ada@example.com"}}, "ada", "ada"},
	} {
		b.get(c.fresh).send(c.typed).says(http.StatusOK, "Made.", c.told)
		b.send(c.change).says(http.StatusOK, "Saved.")
		at := strings.SplitN(b.path, "?", 2)[0]
		b.get(at[:strings.LastIndex(at, "/")]).says(http.StatusOK, c.told)
		for _, key := range []string{"ed25519", "ecdsa"} {
			if at == "/sites/third" { // what belongs to a site goes first
				b.get(at+"/hostkeys/"+key+"/delete").send(url.Values{"confirm": {key}}).says(http.StatusOK, "Deleted.")
			}
		}
		b.get(at+"/delete").send(url.Values{"confirm": {c.deletes}}).says(http.StatusOK, "Deleted.")
	}
	b.get("/new/tokens").send(url.Values{"name": {"robot"}, "super": {"on"}}).says(http.StatusOK, "Copy the token now", "sst_robot_")
	once := b.path
	w.as("otto").get(once).says(http.StatusNotFound).keepsQuiet("sst_robot_")
	w.as("sa").get(once).says(http.StatusNotFound).keepsQuiet("sst_robot_") // another session of the same
	b.get(once).says(http.StatusOK, "sst_robot_").send(nil).says(http.StatusOK, "robot").keepsQuiet("sst_robot_")
	b.get(once).says(http.StatusNotFound, "until somebody had kept it").keepsQuiet("sst_robot_")
	b.get("/settings").send(url.Values{"web.sessionMinutes": {"20"}, "mail.host": {"mail.example.com"}, "mail.from": {"x@example.com"}, "mail.password.clear": {"hush-hush"}}).says(http.StatusOK, "Saved", "one is set").keepsQuiet("hush-hush")
}

func TestWhatOthersNeedIsNotDeletedAndTheyAreNamed(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/sites/main/vfs/files/delete").says(http.StatusOK, "stay where they are")
	b.send(url.Values{"confirm": {"files"}}).says(http.StatusConflict, "is used by 1 others", `href="/sites/main/users/anna"`)
}

func TestNamesOfAllSortsLeadToTheirPages(t *testing.T) {
	w := furnished(t)
	for _, name := range []string{"new", "delete", "o'neil", "änne & co", "a%2Fb", "100%", "x+y@example.com"} {
		b := w.as("sa").get("/sites/main/new/users").send(url.Values{"name": {name}, "home.vfs": {"files"}})
		b.says(http.StatusOK, "Made.", name)
		b.send(url.Values{"description": {"found"}}).says(http.StatusOK, "Saved")
		if w.user(name).Description != "found" {
			t.Errorf("%q was not changed", name)
		}
	}
}

func TestAListIsSearchedSortedAndPaged(t *testing.T) {
	w := furnished(t)
	var users []model.Object
	for i := range 250 {
		users = append(users, &model.User{Head: model.Head{Name: fmt.Sprintf("user-%03d", i)}, Site: "main", Email: fmt.Sprintf("u%d@bonn.example", i)})
	}
	w.write(users...)
	b := w.as("sa").get("/sites/main/users").says(http.StatusOK, "251 in all", "user-098", "Next 100").keepsQuiet("user-150")
	next := regexp.MustCompile(`href="([^"]*after=[^"]*)"`).FindStringSubmatch(b.page)
	b.get(plain(next[1])).says(http.StatusOK, "user-150")
	b.get("/sites/main/users?q=U17@BONN").says(http.StatusOK, "1 found", "user-017").keepsQuiet("user-018")
	b.get("/sites/main/users?sort=-name").says(http.StatusOK, "user-249").keepsQuiet("user-001")
	b.get("/sites/main/users?q=%3Cscript%3E").says(http.StatusOK, "Nothing has “<script>” in it")
	r := httptest.NewRequest(http.MethodGet, "https://server/sites/main/users?q=user-01", nil)
	r.Header.Set("X-Part", "rows")
	b.do(r).says(http.StatusOK, "10 found").keepsQuiet("<html", "<main")
}

func TestAListIsNarrowedByWhatItsObjectsReferTo(t *testing.T) {
	w := furnished(t)
	w.write(&model.Group{Head: model.Head{Name: "Staff of Bonn"}, Site: "main"})
	var users []model.Object
	for i := range 120 {
		users = append(users, &model.User{Head: model.Head{Name: fmt.Sprintf("user-%03d", i)}, Site: "main", Groups: []string{"Staff of Bonn"}})
	}
	w.write(users...)
	b := w.as("sa").get("/sites/main/users").says(http.StatusOK, "121 in all", "Group Staff of Bonn", "Storage files")
	of := regexp.MustCompile(`<option value="([^"]+)">Group Staff`).FindStringSubmatch(b.page)
	b.get("/sites/main/users?of="+url.QueryEscape(plain(of[1]))).says(http.StatusOK, "120 found", "user-099").keepsQuiet(">anna<")
	next := regexp.MustCompile(`href="([^"]*after=[^"]*)"`).FindStringSubmatch(b.page)
	export := regexp.MustCompile(`href="([^"]*users.csv[^"]*)"`).FindStringSubmatch(b.page)
	b.get(plain(next[1])).says(http.StatusOK, "120 found", "user-119")
	if b.get(plain(export[1])); strings.Count(b.page, "\n") != 121 {
		t.Error("the file has other users than the list")
	}
	b.get("/sites/main/users?of=vfs/main/files").says(http.StatusOK, "1 found", "anna")
	b.get("/sites/main/users?of=vfs/other/x").says(http.StatusOK, "121 in all")
	for _, entry := range []url.Values{{"network": {"192.0.2.0/24"}}, {"network": {"198.51.100.0/24"}, "list": {"safe"}}} {
		b.get("/sites/main/new/entries").send(entry).says(http.StatusOK, "Made.")
	}
	b.get("/sites/main/entries?of=safe").says(http.StatusOK, "1 found", "198.51.100.0/24").keepsQuiet("192.0.2.0/24")
	b.get("/sites/main/entries?of=allow").says(http.StatusOK, "Nothing fits").keepsQuiet("192.0.2.0/24")
	b.get("/admins?of=site/other").says(http.StatusOK, "Nothing fits")
	b.get("/admins?of=site/main").says(http.StatusOK, "otto")
}

func TestEveryListIsHadAsAFile(t *testing.T) {
	w := furnished(t)
	b := w.as("sa")
	b.get("/sites/main/new/entries").send(url.Values{"network": {"192.0.2.0/24"}}).says(http.StatusOK, "Made.")
	for _, res := range resources() {
		if res.single || res.index != nil {
			continue
		}
		at := res.at("")
		if res.kind.Scoped() {
			at = res.at("main")
		}
		if b.get(at); strings.Contains(b.page, "Export as CSV") != strings.Contains(b.page, `class="found"`) {
			t.Errorf("%s has no file, or one of nothing", at)
		}
		if b.get(at + ".csv"); b.status != http.StatusOK || !strings.HasPrefix(b.header.Get("Content-Type"), "text/csv") {
			t.Errorf("%s.csv: %d %v", at, b.status, b.header)
		}
	}
	b.get("/sites/main/entries.csv").says(http.StatusOK, "network,list,until,why", "192.0.2.0/24,block,for ever")
	b.get("/sites/main/entries.csv?of=safe").says(http.StatusOK).keepsQuiet("192.0.2.0/24")
	w.as("otto").get("/admins.csv").says(http.StatusForbidden)
}

func TestAListTooLongForAnOrderStandsByNameAndSaysSo(t *testing.T) {
	w := furnished(t)
	var users []model.Object
	for i := range 2001 {
		users = append(users, &model.User{Head: model.Head{Name: fmt.Sprintf("user-%04d", i)}, Site: "main"})
	}
	w.write(users...)
	b := w.as("sa").get("/sites/main/users?sort=-modified").says(http.StatusOK, "2,002 in all", "More than 2,000 fit", "user-0001", `<option value="name" selected>`)
	b.get("/sites/main/users?sort=-modified&q=user-00").says(http.StatusOK, "100 found", `<option value="-modified" selected>`).keepsQuiet("More than 2,000 fit")
}

func TestUsersAreExportedAsFarAsTheyWereSearchedFor(t *testing.T) {
	w := furnished(t)
	var users []model.Object
	for i := range 1500 {
		users = append(users, &model.User{Head: model.Head{Name: fmt.Sprintf("user-%04d", i)}, Site: "main", Description: "=HYPERLINK(1)"})
	}
	w.write(users...)
	b := w.as("vera").get("/sites/main/users").says(http.StatusOK, "Export as CSV")
	b.get("/sites/main/users.csv").says(http.StatusOK, "name,email", "anna,anna@example.com", "user-1499", "'=HYPERLINK(1)").keepsQuiet(",=HYPERLINK", "$argon2id")
	if n := strings.Count(b.page, "\n"); n != 1502 || !strings.HasPrefix(b.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%d lines, %v", n, b.header)
	}
	b.get("/sites/main/users.csv?q=user-01").says(http.StatusOK, "user-0199").keepsQuiet("user-0200")
	b.get("/sites/other/users.csv").says(http.StatusForbidden)
}

func TestAPageThatLooksAgainByItselfKeepsNoSessionAlive(t *testing.T) {
	w := furnished(t)
	b := w.as("sa")
	for range 10 {
		w.pass(5 * time.Minute)
		r := httptest.NewRequest(http.MethodGet, "https://server/", nil)
		r.Header.Set("X-Part", "live")
		r.Header.Set("X-Live", "1")
		b.do(r)
	}
	if b.status != http.StatusUnauthorized || strings.Contains(b.page, "<html") {
		t.Error(b.status)
	}
}

// allPages are the pages that a SuperAdmin can open.
func allPages(w *world) []string {
	paths := []string{"/", "/account", "/audit", "/help", "/sites", "/sites/main", "/sites/main/stop", "/sites/main/drain", "/sites/main/start", "/sites/main/sessions", "/sites/main/users/anna/delete", "/nowhere"}
	for _, res := range resources() {
		switch {
		case res.single:
			paths = append(paths, "/"+res.path)
		case res.kind.Scoped():
			paths = append(paths, res.at("main"))
			if !res.kept {
				paths = append(paths, res.fresh("main"))
			}
		default:
			paths = append(paths, res.at(""), res.fresh(""))
		}
	}
	for _, content := range []string{"lossy", "own"} {
		f, err := w.intake.receive(strings.NewReader(content), "backup.zip", -1, 100)
		check(w.t, err)
		id, looked := w.intake.add(f, "superadmin/sa")
		<-looked
		paths = append(paths, "/restore/"+id)
	}
	return append(paths, "/backup", "/restore", "/sites/main/import-users", "/updates", "/sites/main/users?tick=1", "/sites/main/users/anna", "/sites/main/vfs/files", "/superadmins/sa", "/admins/otto", "/nodes/n1")
}

func TestNoPageHasAnythingInlineOrFromElsewhere(t *testing.T) {
	w := furnished(t)
	b := w.as("sa")
	elsewhere := regexp.MustCompile(`(?i)(src|href|action)="(https?:)?//`)
	inline := regexp.MustCompile(`(?i)<script>|<style|\son[a-z]+=|\sstyle=|javascript:`)
	for _, path := range allPages(w) {
		b.get(path)
		if path != "/audit" && path != "/nowhere" && b.status != http.StatusOK {
			t.Errorf("%s: %d", path, b.status)
		}
		if found := append(elsewhere.FindAllString(b.page, -1), inline.FindAllString(b.page, -1)...); found != nil {
			t.Errorf("%s has %q", path, found)
		}
	}
}

func TestEveryPageIsALandmarkedDocumentWhoseInputsHaveLabels(t *testing.T) {
	w := furnished(t)
	b := w.as("sa")
	id := regexp.MustCompile(`\sid="([^"]+)"`)
	visible := regexp.MustCompile(`<(?:input type="(?:text|password|search|checkbox|radio|datetime-local)"|select|textarea)[^>]*>`)
	refers := regexp.MustCompile(`(?:aria-describedby|aria-labelledby|for)="([^"]+)"`)
	for _, path := range append(allPages(w), "/login") {
		page := b.get(path).page
		for _, once := range []string{"<!DOCTYPE html>", `<html lang="en"`, "<title>", "<main", "<h1>"} {
			if strings.Count(page, once) != 1 {
				t.Errorf("%s: %d times %s", path, strings.Count(page, once), once)
			}
		}
		if strings.Contains(page, "<no value>") || strings.Contains(page, "ZgotmplZ") {
			t.Errorf("%s: a hole in the page", path)
		}
		var ids []string
		for _, m := range id.FindAllStringSubmatch(page, -1) {
			if slices.Contains(ids, m[1]) {
				t.Errorf("%s: two have the id %s", path, m[1])
			}
			ids = append(ids, m[1])
		}
		for _, m := range refers.FindAllStringSubmatch(page, -1) {
			for _, to := range strings.Fields(m[1]) {
				if !slices.Contains(ids, to) {
					t.Errorf("%s: %s leads nowhere", path, m[0])
				}
			}
		}
		for _, tag := range visible.FindAllString(page, -1) {
			m := id.FindStringSubmatch(tag)
			if m == nil || !strings.Contains(page, `for="`+m[1]+`"`) {
				t.Errorf("%s: no label for %s", path, tag)
			}
		}
	}
}

func TestWhatIsReadOutStandsOutsideOfWhatIsReplaced(t *testing.T) {
	w := furnished(t)
	b := w.as("sa")
	for _, path := range []string{"/", "/sites", "/sites/main/users", "/sites/main/users?q=nobody", "/sites/main/sessions", "/audit", "/backup", "/restore"} {
		if b.get(path); strings.Count(b.page, `id="said"`) != 1 {
			t.Errorf("%s has no region to read out", path)
		}
		r := httptest.NewRequest(http.MethodGet, "https://server"+path, nil)
		for _, part := range []string{"rows", "live", "state", "backups"} {
			r.Header.Set("X-Part", part)
			if b.do(r.Clone(t.Context())); !strings.Contains(b.page, "<html") && strings.Contains(b.page, `role="status"`) {
				t.Errorf("%s: the part %s has a region of its own, which nobody hears", path, part)
			}
		}
	}
}

func TestTheStateOfTheSitesIsAWordAndNoColourAlone(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").says(http.StatusOK, "1 of 2", "Not all run")
	w.sites.running["other"] = true
	b.get("/").says(http.StatusOK, "2 of 2", "All run").keepsQuiet("Not all run")
}

func TestTheFirstPageIsSmall(t *testing.T) {
	w := furnished(t)
	var users []model.Object
	for i := range 150 {
		users = append(users, &model.User{Head: model.Head{Name: fmt.Sprintf("user.with-a-long-name-%03d", i)}, Site: "main", Email: fmt.Sprintf("user.with.a.long.name.%d@mail.example.com", i), Profile: model.Profile{Home: model.Folder{VFS: "files", Path: "/{user}"}}})
	}
	w.write(users...)
	total := len(w.as("sa").get("/sites/main/users").page)
	page := total
	for _, a := range w.pages.assets.byName {
		total += len(a.gzip)
	}
	if total > 60_000 {
		t.Errorf("%d bytes, of them the page %d", total, page)
	}
}

func TestAssetsAreFoundAndCachedForEver(t *testing.T) {
	w := furnished(t)
	b := w.browser().get("/login")
	for _, path := range regexp.MustCompile(`(?:href|src)="(/static/[^"#]+)`).FindAllStringSubmatch(b.page, -1) {
		b.get(path[1])
		if b.status != http.StatusOK || !strings.Contains(b.header.Get("Cache-Control"), "immutable") || strings.Contains(b.page, "url(") || strings.Contains(b.page, "@import") {
			t.Errorf("%s: %d %v", path[1], b.status, b.header)
		}
	}
	b.get("/static/style.css").says(http.StatusNotFound)
}

func TestColoursAreChosenAndKept(t *testing.T) {
	w := furnished(t)
	b := w.browser().get("/login").says(http.StatusOK, `data-theme="auto"`)
	b.post("/theme", url.Values{"theme": {"dark"}, "page": {"/help"}}).says(http.StatusOK, `data-theme="dark"`)
	if b.path != "/help" {
		t.Error(b.path)
	}
	b.post("/theme", url.Values{"theme": {"auto"}, "page": {"//evil.example/"}}).says(http.StatusOK, `data-theme="auto"`)
}

func TestADraftFindsItsPageWhateverItsName(t *testing.T) {
	for _, name := range []string{"o'neil", "änne & co", "100%", "a b+c"} {
		w := furnished(t)
		b := w.as("sa").get("/sites/main/new/users").send(url.Values{"name": {name}}).says(http.StatusOK, "Made.")
		w.pass(time.Hour)
		b.send(url.Values{"description": {"typed"}}).says(http.StatusUnauthorized, "what you typed waits here")
		b.send(url.Values{"name": {"sa"}, "password": {goodPassword}}).says(http.StatusOK, "You are signed in again", "typed</textarea>")
	}
}

func TestALogInEndsTheSessionThatTheBrowserHad(t *testing.T) {
	w := furnished(t)
	b, thief := w.as("sa"), w.browser()
	thief.cookies["__Host-ss-session"] = b.cookies["__Host-ss-session"]
	b.get("/login").send(url.Values{"name": {"sa"}, "password": {"wrong"}}).says(http.StatusUnauthorized)
	thief.get("/sites").says(http.StatusOK)
	b.get("/login").send(url.Values{"name": {"otto"}, "password": {goodPassword}}).says(http.StatusOK, "otto")
	thief.get("/sites").says(http.StatusUnauthorized)
}

func TestAnAdminWithTheNameOfASuperAdminCanSignIn(t *testing.T) {
	w := furnished(t)
	w.as("sa").get("/new/superadmins").send(url.Values{"name": {"otto"}, "email": {"x@example.com"}, "password.clear": {"quite another one"}}).says(http.StatusOK, "Made.")
	b := w.browser().get("/login").send(url.Values{"name": {"otto"}, "password": {goodPassword}}).says(http.StatusUnauthorized, "signs in here")
	b.get("/login?as=admin").send(url.Values{"name": {"otto"}, "password": {goodPassword}}).says(http.StatusOK, "Overview", "otto <small>Admin</small>")
}

func TestNoLogInLeadsToAnotherServer(t *testing.T) {
	w := furnished(t)
	for _, next := range []string{"//evil.example/", "https://evil.example/", `/\evil.example`, "javascript:alert(1)"} {
		b := w.browser().get("/login?next=" + url.QueryEscape(next)).send(url.Values{"name": {"sa"}, "password": {goodPassword}})
		if b.path != "/" {
			t.Errorf("%s leads to %s", next, b.path)
		}
	}
}

func TestEveryKindThatRESTNamesHasAWayHere(t *testing.T) {
	for _, k := range model.Kinds() {
		if !slices.ContainsFunc(resources(), func(res resource) bool { return res.kind == k }) {
			t.Errorf("%s has no page", k)
		}
	}
}

func TestKeptObjectsAreShownWhereThereAreAnyAndCanBeDeleted(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/sites/main/users").keepsQuiet("Kept objects")
	w.write(&model.Legacy{Head: model.Head{Name: "trigger " + hostile}, Site: "main", Source: "6.2.60", Type: "trigger", Data: []byte(`{"run":"<script>alert(1)</script>"}`)})
	b.get("/sites/main/users").says(http.StatusOK, "Kept objects")
	b.get("/sites/main/legacy").says(http.StatusOK, "6.2.60", "trigger "+hostile)
	at := regexp.MustCompile(`href="(/sites/main/legacy/[^"]+)"`).FindStringSubmatch(b.page)
	b.get(plain(at[1])).says(http.StatusOK, `"run": `, "Delete").keepsQuiet("Save changes")
	if strings.Contains(b.page, "<img") || strings.Contains(b.page, "<script>alert") {
		t.Error("it is more than text")
	}
	w.as("otto").get(plain(at[1])).says(http.StatusOK, "Delete")
	b.get(plain(at[1])+"/delete").send(url.Values{"confirm": {"trigger " + hostile}}).says(http.StatusOK, "Deleted.")
	b.get("/sites/main/users").keepsQuiet("Kept objects")
}

func TestEveryRightHasAWord(t *testing.T) {
	for _, k := range append([]model.Kind{model.KindSite}, model.FullRights().View...) {
		if kindWords[k] == "" {
			t.Errorf("%s has none", k)
		}
	}
	for _, o := range permissions {
		if o.Text == "" {
			t.Errorf("%s has none", o.Value)
		}
	}
}

func FuzzForm(f *testing.F) {
	for _, seed := range []string{"email=x&rev=1&was=%7B%7D", "folders.0.mount=%2Fin&folders.499.mount=x", "was=null&quota.hard=1e99", "keys=a%0Ab&speed.0.up=%00", "%zz"} {
		f.Add(seed)
	}
	sections := append(profileSections(nil), signIn(), accountSection("The user"))
	f.Fuzz(func(t *testing.T, sent string) {
		values, err := url.ParseQuery(sent)
		if err != nil {
			return
		}
		form := formOf(sections, map[string]any{"rev": 1.0, "keys": []any{map[string]any{"key": "a b"}}})
		form.take(values)
		if _, ok := form.patch(); !ok && len(form.Wrong()) == 0 {
			t.Error("refused, and nobody is told why")
		}
		for _, s := range form.Sections {
			form.Inputs(s)
		}
	})
}

func TestNoButtonOfTheLogInLosesWhatWaitsForIt(t *testing.T) {
	w := furnished(t)
	w.as("sa").get("/new/superadmins").send(url.Values{"name": {"otto"}, "email": {"x@example.com"}, "password.clear": {"quite another one"}}).says(http.StatusOK, "Made.")
	signIn := func() *browser {
		b := w.browser().get("/login").send(url.Values{"name": {"otto"}, "password": {"wrong"}}).says(http.StatusUnauthorized, `name="admin"`)
		return b.send(url.Values{"password": {""}, "admin": {"1"}}).says(http.StatusOK, "as an Admin here", `value="otto"`).send(url.Values{"password": {goodPassword}}).says(http.StatusOK, "otto <small>Admin</small>")
	}
	b := signIn().get("/sites/main/users/anna")
	w.pass(time.Hour)
	b.send(url.Values{"email": {"typed@example.com"}}).says(http.StatusUnauthorized, "what you typed waits here")
	b.send(url.Values{"name": {"otto"}, "password": {goodPassword}}).says(http.StatusUnauthorized, "Name or password is wrong")
	b.send(url.Values{"admin": {"1"}}).says(http.StatusOK).send(url.Values{"password": {goodPassword}}).says(http.StatusOK, "You are signed in again", `value="typed@example.com"`)
	// So with an app, where another account was meant.
	b.get("/account").post("/account/totp", url.Values{"csrf": {csrfOf(b)}, "password.clear": {goodPassword}})
	secret := regexp.MustCompile(`data-copy="([A-Z2-7]{32})"`).FindStringSubmatch(b.page)[1]
	b.send(url.Values{"code": {codeOf(t, secret, w.now())}}).says(http.StatusOK, "Keep these recovery codes")
	s := w.as("sa").get("/sites/main/users/anna")
	w.pass(time.Hour)
	s.send(url.Values{"email": {"typed@example.net"}}).says(http.StatusUnauthorized, "what you typed waits here")
	s.send(url.Values{"admin": {"1"}}).send(url.Values{"name": {"otto"}, "password": {goodPassword}}).says(http.StatusOK, "Code of the authenticator app")
	s.send(url.Values{"again": {"1"}}).says(http.StatusOK, "Password").keepsQuiet("Code of the authenticator app", "as an Admin here", `value="otto"`)
	s.send(url.Values{"name": {"sa"}, "password": {goodPassword}}).says(http.StatusOK, "You are signed in again", `value="typed@example.net"`)
}

func TestAnExportStandsInTheOrderOfItsList(t *testing.T) {
	w := furnished(t)
	for i := range 5 {
		w.pass(time.Minute)
		w.write(&model.User{Head: model.Head{Name: fmt.Sprintf("user-%d", 4-i)}, Site: "main"}, &model.Group{Head: model.Head{Name: fmt.Sprintf("group-%d", 4-i)}, Site: "main"})
	}
	b := w.as("sa")
	for _, c := range []struct{ path, first, then string }{
		{"/sites/main/users?q=user&sort=-modified", "user-0", "user-4"},
		{"/sites/main/users?q=user&sort=-name", "user-4", "user-0"},
		{"/sites/main/groups?sort=-created", "group-0", "group-4"},
		{"/sites/main/groups?sort=name", "group-0", "group-4"},
	} {
		export := regexp.MustCompile(`href="([^"]*\.csv[^"]*)"`).FindStringSubmatch(b.get(c.path).page)
		if b.get(plain(export[1])); strings.Index(b.page, c.first) > strings.Index(b.page, c.then) || !strings.Contains(b.page, c.first) {
			t.Errorf("%s: %s", c.path, b.page)
		}
	}
	var users []model.Object
	for i := range 2001 {
		users = append(users, &model.User{Head: model.Head{Name: fmt.Sprintf("more-%04d", i)}, Site: "main"})
	}
	w.write(users...)
	if b.get("/sites/main/users.csv?sort=-modified").says(http.StatusOK, "more-2000"); strings.Count(b.page, "\n") != 2001+5+2 {
		t.Errorf("%d lines", strings.Count(b.page, "\n"))
	}
}

func TestAPageBehindWhatWasDeletedBeginsAnewAndSaysSo(t *testing.T) {
	w := furnished(t)
	w.as("sa").get("/sites/main/users?sort=-modified&after=gone").says(http.StatusOK, "was deleted meanwhile", "anna", `<option value="-modified" selected>`)
}
