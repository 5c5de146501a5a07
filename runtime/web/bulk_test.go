package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
	"ss-setup/runtime/sftpd"
)

const importPath = "/sites/main/import-users"

// sendUsers sends a file of users.
func (b *browser) sendUsers(content string) *browser {
	b.w.t.Helper()
	b.get(importPath)
	return b.parts(importPath, url.Values{"csrf": {csrfOf(b)}}, content)
}

func (b *browser) parts(path string, fields url.Values, content string) *browser {
	b.w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, values := range fields {
		check(b.w.t, form.WriteField(name, values[0]))
	}
	if content != "" {
		part, err := form.CreateFormFile("file", "users.csv")
		check(b.w.t, err)
		_, err = io.WriteString(part, content)
		check(b.w.t, err)
	}
	check(b.w.t, form.Close())
	r := httptest.NewRequest(http.MethodPost, "https://server"+path, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	return b.do(r)
}

// make sends the page that says that nothing is wrong with a file.
func (b *browser) make() *browser {
	b.w.t.Helper()
	_, values := b.form()
	return b.parts(importPath, values, "")
}

// names are the users of site main.
func (w *world) names() (out []string) {
	w.t.Helper()
	err := w.engine.Read(func(r *engine.Reader) error {
		for u, err := range engine.Users.InSite(r, "main") {
			if err != nil {
				return err
			}
			out = append(out, u.Name)
		}
		return nil
	})
	check(w.t, err)
	return out
}

func TestAFileOfUsersIsLookedAtAndThenImportedAsAWhole(t *testing.T) {
	w := furnished(t)
	w.write(&model.Group{Head: model.Head{Name: "team"}, Site: "main"})
	b := w.as("otto").sendUsers("\xef\xbb\xbfName;E-mail\n").says(http.StatusUnprocessableEntity, `The column "E-mail" is not known`)
	b.sendUsers("\xef\xbb\xbfname;email;groups;password;must change;storage;folder;quota bytes;disabled\r\n"+
		"bea;bea@example.com;team;"+goodPassword+";yes;files;/{user};1024;no\r\n"+
		"cleo;;;;;;;;yes\r\n").says(http.StatusOK, "2 users", "bea, cleo", "None is made yet").keepsQuiet(goodPassword)
	if got := w.names(); len(got) != 1 {
		t.Fatal("the dry run made users", got)
	}
	b.make().says(http.StatusOK, "2 users imported")
	u := w.user("bea")
	if u.Email != "bea@example.com" || u.Groups[0] != "team" || u.Password.Hash == "" || !u.Password.MustChange || u.Home.VFS != "files" || u.Quota.Hard != 1024 || u.By != "admin/otto" {
		t.Errorf("%+v", u)
	}
	if !w.user("cleo").Disabled {
		t.Error("cleo is not disabled")
	}
}

func TestAFileWithAWrongLineTellsItAndImportsNobody(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").sendUsers("name,groups,quota bytes,storage,email\n" +
		"good,,,,\n" +
		"anna,,,,\n" +
		"dan,nobody,,,\n" +
		"eve,,much,,\n" +
		"fay,,,nowhere,\n" +
		"good,,,,\n" +
		"short,\n" +
		"\"<script>\",,,,not an address\n")
	b.says(http.StatusUnprocessableEntity, "<td>3</td><td>Name: there is a user of this name", "<td>4</td><td>Groups[0]: there is no", "<td>5</td><td>Quota bytes: it is not a number",
		"<td>6</td><td>Home.vfs: there is no", "<td>7</td><td>Name: it is in the file before", "<td>8</td><td>It has 2 fields", "<td>9</td><td>Email:", "Nothing was imported")
	if strings.Contains(b.page, "<script>alert") || len(w.names()) != 1 {
		t.Error(w.names())
	}
	for text, file := range map[string]string{
		"An empty one": "", "There is no user in it": "name\n", "names no column name": "email\nx\n", "is there twice": "name,name\na,b\n",
		"not a table": "name\n\"a\n", "more than 5000 users": "name\n" + strings.Repeat("x\n", 5001), "has more than 4 MiB": "name\n" + strings.Repeat("xxxxxxx\n", 600_000),
	} {
		b.sendUsers(file)
		if !strings.Contains(strings.ToLower(plain(b.page)), strings.ToLower(text)) {
			t.Errorf("it does not say %q: %s", text, b.words())
		}
	}
}

func TestAnImportMeetsWhatChangedSinceItWasLookedAt(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").sendUsers("name\nbea\ncleo\n").says(http.StatusOK, "Nothing is wrong")
	w.write(&model.User{Head: model.Head{Name: "cleo"}, Site: "main"})
	b.make().says(http.StatusUnprocessableEntity, "Somebody changed something since", "Name: there is a user of this name")
	if got := w.names(); len(got) != 2 {
		t.Error(got)
	}
}

func TestWhatIsExportedCanBeImportedElsewhere(t *testing.T) {
	w := furnished(t)
	w.write(&model.User{Head: model.Head{Name: "bea"}, Site: "main", Description: "=1+1", Account: model.Account{Disabled: true, Reason: "left"}})
	b := w.as("sa").get("/sites/main/users.csv")
	file := b.page
	w.write(&model.VFS{Head: model.Head{Name: "files"}, Site: "other", Root: "/srv/ss-server/other/files"})
	b.get("/sites/other/import-users")
	path := "/sites/other/import-users"
	b.parts(path, url.Values{"csrf": {csrfOf(b)}}, file).says(http.StatusOK, "2 users", "anna, bea")
	_, values := b.form()
	b.parts(path, values, "").says(http.StatusOK, "2 users imported")
	check(t, w.engine.Read(func(r *engine.Reader) error {
		u, err := engine.Users.Get(r, "other", "bea")
		if err == nil && (u.Description != "=1+1" || !u.Disabled || u.Reason != "left") {
			t.Errorf("%+v", u)
		}
		return err
	}))
}

func TestAPasswordThatIsNotGoodEnoughIsToldWithItsLineBeforeAnyUserIsMade(t *testing.T) {
	w := furnished(t)
	b := w.as("otto").sendUsers("name,password\nbea," + goodPassword + "\ncleo,short\n")
	b.says(http.StatusUnprocessableEntity, "<td>3</td><td>Password.clear: the password is not good enough", "Nothing was imported").keepsQuiet("Nothing is wrong")
	// So is one that is no more when they are made.
	b.sendUsers("name,password\nbea,"+goodPassword+"\n").says(http.StatusOK, "Nothing is wrong")
	site := w.site("main")
	site.PasswordRule.MinLength = 100
	w.write(site)
	b.make().says(http.StatusUnprocessableEntity, "<td>2</td><td>Password.clear:", "Somebody changed something since")
	if got := w.names(); len(got) != 1 {
		t.Error(got)
	}
}

func TestUsersAreMadeThoughNobodyWaitsForIt(t *testing.T) {
	w := furnished(t)
	var file strings.Builder
	file.WriteString("name,password\n")
	for i := range 200 {
		fmt.Fprintf(&file, "u%03d,%s %d\n", i, goodPassword, i)
	}
	b := w.as("otto").sendUsers(file.String()).says(http.StatusOK, "200 users")
	_, values := b.form()
	gone, leave := context.WithCancel(t.Context())
	leave()
	b.gone = gone
	b.parts(importPath, values, "")
	b.gone = nil
	w.pages.jobs.Wait()
	if got := w.names(); len(got) != 201 || w.user("u199").Password.Hash == "" || w.user("u199").By != "admin/otto" {
		t.Errorf("%d users", len(got))
	}
	// Once they are made nobody makes them again.
	b.get(importPath+"?file="+values.Get("ready")).says(http.StatusOK, "200 users were made").keepsQuiet("Make 200")
	b.parts(importPath, values, "").says(http.StatusOK, "200 users imported")
}

func TestAFileOfUsersIsThereForWhoSentItOnly(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").sendUsers("name\nbea\n").says(http.StatusOK, "Nothing is wrong")
	_, values := b.form()
	otto := w.as("otto")
	for range 50 {
		otto.sendUsers("name\ncleo\n").says(http.StatusOK, "Nothing is wrong")
	}
	otto.parts(importPath, url.Values{"csrf": {csrfOf(otto)}, "ready": values["ready"]}, "").says(http.StatusUnprocessableEntity, "not here any more")
	otto.get(importPath+"?file="+values.Get("ready")).says(http.StatusNotFound, "not here any more").keepsQuiet("bea")
	b.make().says(http.StatusOK, "1 user imported")
	if got := w.names(); len(got) != 2 || got[1] != "bea" {
		t.Error(got)
	}
}

func TestNobodyMayMoreAfterAnExportAndAnImport(t *testing.T) {
	w := furnished(t)
	until := start.Add(24 * time.Hour)
	was := &model.User{
		Head: model.Head{Name: "bea"}, Site: "main",
		Profile: model.Profile{
			Home:  model.Folder{VFS: "files", Path: "/out", Permissions: model.Permissions{model.PermList, model.PermDownload}},
			Quota: model.Quota{Soft: 10, Hard: 20}, AllowFrom: []string{"192.0.2.0/24", "198.51.100.7"}, Auth: []model.AuthChain{"publickey", "password,totp"}, MaxSessions: 3,
			Overrides: []model.PathPermissions{{Path: "/in", Permissions: model.Permissions{model.PermUpload}}},
		},
		Account: model.Account{EnableFrom: start, DisableFrom: until},
	}
	w.write(was, &model.User{Head: model.Head{Name: "cleo"}, Site: "main", Profile: model.Profile{Home: model.Folder{VFS: "files"}}})
	w.write(&model.VFS{Head: model.Head{Name: "files"}, Site: "other", Root: "/srv/ss-server/other/files"})
	b := w.as("sa").get("/sites/main/users.csv")
	file := b.page
	b.get("/sites/other/import-users").parts("/sites/other/import-users", url.Values{"csrf": {csrfOf(b)}}, file).says(http.StatusOK, "bea: other rights for paths within")
	_, values := b.form()
	b.parts("/sites/other/import-users", values, "").says(http.StatusOK, "3 users imported")
	var bea, cleo *model.User
	check(t, w.engine.Read(func(r *engine.Reader) (err error) {
		if bea, err = engine.Users.Get(r, "other", "bea"); err == nil {
			cleo, err = engine.Users.Get(r, "other", "cleo")
		}
		return err
	}))
	want := w.user("bea").Profile
	want.Overrides = nil
	if !reflect.DeepEqual(bea.Profile, want) || !bea.EnableFrom.Equal(start) || !bea.DisableFrom.Equal(until) {
		t.Errorf("%+v, want %+v", bea, want)
	}
	if len(cleo.Home.Permissions) > 0 {
		t.Errorf("%+v", cleo)
	}
}

// team is a world with the users u0 to u29.
func team(t *testing.T) (*world, []string) {
	w := furnished(t)
	w.write(&model.Group{Head: model.Head{Name: "team"}, Site: "main"})
	var names []string
	for i := range 30 {
		name := fmt.Sprintf("u%d", i)
		w.write(&model.User{Head: model.Head{Name: name}, Site: "main", Password: passwordOf(t, w)})
		names = append(names, name)
	}
	return w, names
}

func TestManyUsersAreChangedAtOnceAfterAPageThatNamesHowMany(t *testing.T) {
	w, names := team(t)
	b := w.as("otto")
	do := func(verb string, more url.Values) *browser {
		b.get("/sites/main/users").says(http.StatusOK, "Change several").get("/sites/main/users?tick=1").says(http.StatusOK, "With the ticked")
		b.post("/sites/main/bulk-users", url.Values{"csrf": {csrfOf(b)}, "do": {verb}, "id": names})
		_, values := b.form()
		for field, value := range more {
			values[field] = value
		}
		return b.post("/sites/main/bulk-users", values)
	}
	b.get("/sites/main/users")
	b.post("/sites/main/bulk-users", url.Values{"csrf": {csrfOf(b)}, "do": {"disable"}, "id": names}).says(http.StatusOK, "Disable 30 users", "and 10 more")
	if w.user("u0").Disabled {
		t.Fatal("nobody was asked")
	}
	do("disable", url.Values{"reason": {"left"}}).says(http.StatusOK, "30 users changed")
	if u := w.user("u29"); !u.Disabled || u.Reason != "left" || u.Password.Hash == "" || u.By != "admin/otto" {
		t.Errorf("%+v", u)
	}
	do("enable", nil).says(http.StatusOK, "30 users changed")
	do("must-change", nil).says(http.StatusOK, "30 users changed")
	do("group", nil).says(http.StatusUnprocessableEntity, "Choose a group")
	do("group", url.Values{"group": {"team"}}).says(http.StatusOK, "30 users changed")
	if u := w.user("u7"); u.Disabled || !u.Password.MustChange || len(u.Groups) != 1 || u.Groups[0] != "team" {
		t.Errorf("%+v", u)
	}
	do("delete", url.Values{"confirm": {"29"}}).says(http.StatusUnprocessableEntity, "Type 30, the number of users that go")
	do("delete", url.Values{"confirm": {"30"}}).says(http.StatusOK, "30 users changed")
	if got := w.names(); len(got) != 1 || got[0] != "anna" {
		t.Error(got)
	}
}

func TestAChangeOfManyUsersIsMadeToAllOrToNone(t *testing.T) {
	w, names := team(t)
	b := w.as("sa").get("/sites/main/users")
	form := url.Values{"csrf": {csrfOf(b)}, "do": {"group"}, "group": {"nobody"}, "sure": {"yes"}, "id": append(names, "long-gone")}
	if b.post("/sites/main/bulk-users", form); b.status < 400 {
		t.Error(b.status)
	}
	for _, name := range names {
		if len(w.user(name).Groups) > 0 {
			t.Fatal(name, "was changed")
		}
	}
	form.Set("group", "team")
	b.post("/sites/main/bulk-users", form).says(http.StatusOK, "30 users changed")
}

func TestWhoMayOnlyLookChangesAndImportsNobody(t *testing.T) {
	w := furnished(t)
	b := w.as("vera").get("/sites/main/users?tick=1").says(http.StatusOK, "anna").keepsQuiet("With the ticked", "Change several", "Import from CSV")
	form := url.Values{"csrf": {csrfOf(b)}, "do": {"delete"}, "id": {"anna"}, "sure": {"yes"}, "confirm": {"1"}}
	b.post("/sites/main/bulk-users", form).says(http.StatusForbidden, "Not allowed")
	b.get(importPath).says(http.StatusForbidden)
	b.parts(importPath, url.Values{"csrf": {form.Get("csrf")}}, "name\nx\n").says(http.StatusForbidden)
	otto := w.as("otto").get("/sites/main/users")
	otto.post("/sites/other/bulk-users", url.Values{"csrf": {csrfOf(otto)}, "do": {"delete"}, "id": {"hidden-bert"}, "sure": {"yes"}, "confirm": {"1"}}).says(http.StatusForbidden)
	if got := w.names(); len(got) != 1 {
		t.Error(got)
	}
}

func TestWhatWasTickedOutlivesTheEndOfTheSession(t *testing.T) {
	w, names := team(t)
	b := w.as("otto").get("/sites/main/users?tick=1")
	_, form := b.form()
	form["id"], form["do"] = names[:3], []string{"disable"}
	back := func() *browser {
		return b.says(http.StatusUnauthorized, "what you typed waits here").send(url.Values{"name": {"otto"}, "password": {goodPassword}}).says(http.StatusOK, "Disable 3 users", "signed in again")
	}
	w.pass(time.Hour)
	b.post("/sites/main/bulk-users", form)
	back()
	w.pass(time.Hour)
	b.send(url.Values{"reason": {"left"}})
	back().says(http.StatusOK, `value="left"`)
	if w.user(names[0]).Disabled {
		t.Fatal("it was done without being asked for")
	}
	b.send(nil).says(http.StatusOK, "3 users changed")
	if u := w.user(names[2]); !u.Disabled || u.Reason != "left" {
		t.Errorf("%+v", u)
	}
	if b.get("/sites/main/bulk-users").says(http.StatusOK, "Users"); b.path != "/sites/main/users" {
		t.Error(b.path)
	}
}

func TestAUserMayBeCalledLikeAPage(t *testing.T) {
	w := furnished(t)
	b := w.as("otto")
	for _, name := range []string{"bulk", "new", "delete", "import-users", "users.csv", "state", "kick"} {
		b.get("/sites/main/new/users").send(url.Values{"name": {name}}).says(http.StatusOK, "Made.")
		b.send(url.Values{"description": {"changed"}}).says(http.StatusOK, "Saved")
		if w.user(name).Description != "changed" {
			t.Error(name, "was not saved")
		}
		b.get("/sites/main/users/"+name+"/delete").send(url.Values{"confirm": {name}}).says(http.StatusOK, "Deleted")
	}
}

// TestNoAddressMeansAnObjectAndSomethingElse looks for a word in an address in whose place
// another address has the name of an object, which may be that word.
func TestNoAddressMeansAnObjectAndSomethingElse(t *testing.T) {
	split := func(pattern string) (string, []string) {
		method, path, _ := strings.Cut(pattern, " ")
		return method, strings.Split(strings.Replace(strings.Trim(path, "/"), "{$}", "", 1), "/")
	}
	patterns := furnished(t).pages.patterns
	if len(patterns) < 50 {
		t.Fatal(patterns)
	}
	for _, one := range patterns {
		for _, two := range patterns {
			a, left := split(one)
			b, right := split(two)
			if one == two || a != b || len(left) != len(right) {
				continue
			}
			both := true
			for i := range left {
				wild := strings.HasPrefix(left[i], "{") || strings.HasPrefix(right[i], "{")
				both = both && (wild || left[i] == right[i])
			}
			if both {
				t.Errorf("%s and %s can be one address", one, two)
			}
		}
	}
}

func TestFormsOfManyUsersWantTheTokenOfTheirSession(t *testing.T) {
	w := furnished(t)
	b := w.as("sa")
	form := url.Values{"do": {"delete"}, "id": {"anna"}, "sure": {"yes"}, "confirm": {"1"}}
	for _, token := range []string{"", "forged", csrfOf(w.as("sa").get("/sites/main/users"))} {
		form.Set("csrf", token)
		b.post("/sites/main/bulk-users", form).says(http.StatusForbidden, "That form is of another session")
		b.parts(importPath, url.Values{"csrf": {token}}, "name\nx\n").says(http.StatusForbidden, "That form is of another session")
	}
	if got := w.names(); len(got) != 1 {
		t.Error(got)
	}
}

func TestNamesThatClientsChooseAreNeverMoreThanText(t *testing.T) {
	w := furnished(t)
	w.pages.Facts = func() Facts { return Facts{} }
	script := `<script>alert(1)</script>`
	w.write(&model.Group{Head: model.Head{Name: "g"}, Site: "main", Description: script},
		&model.User{Head: model.Head{Name: "mallory"}, Site: "main", Description: script, Email: "m@example.com", Account: model.Account{Disabled: true, Reason: script}})
	hostile := regexp.MustCompile(`<script>alert|"onerror=`)
	b := w.as("sa")
	for _, path := range []string{"/sites/main/users", "/sites/main/users?tick=1", "/sites/main/users?q=" + url.QueryEscape(script), "/sites/main/users/mallory", "/sites/main/groups", "/audit?q=" + url.QueryEscape(script), "/sites/main/users?imported=" + url.QueryEscape(script)} {
		if b.get(path); hostile.MatchString(b.page) {
			t.Errorf("%s has a script", path)
		}
	}
	b.get("/sites/main/users")
	b.post("/sites/main/bulk-users", url.Values{"csrf": {csrfOf(b)}, "do": {"disable"}, "id": {script, `"onerror="x`}})
	if hostile.MatchString(b.page) {
		t.Error("the page that asks has a script")
	}
	if b.sendUsers("name,email\n\"" + script + "\",<img src=x onerror=alert(1)>\n"); regexp.MustCompile(`<script>alert|<img`).MatchString(b.page) {
		t.Error("the page of a refused file has a script")
	}
}

func TestASessionThatNobodyOpenedReachesNothing(t *testing.T) {
	w := furnished(t)
	real := w.as("sa")
	cookie := real.cookies[rest.SessionCookie]
	for _, value := range []string{"", "x", strings.ToLower(cookie), cookie[:len(cookie)-1], cookie + "x", strings.Repeat("A", len(cookie))} {
		b := w.browser()
		b.cookies[rest.SessionCookie] = value
		for _, path := range []string{"/", "/backup", "/restore", importPath, "/sites/main/users.csv"} {
			if b.get(path); !strings.Contains(b.page, "Sign in") {
				t.Errorf("%q opened %s", value, path)
			}
		}
	}
	// A session that was left cannot be used again.
	b := w.as("sa")
	old := b.cookies[rest.SessionCookie]
	b.get("/").post("/logout", url.Values{"csrf": {csrfOf(b)}})
	b.cookies[rest.SessionCookie] = old
	if b.get("/backup"); !strings.Contains(b.page, "Sign in") {
		t.Error("a session that ended was replayed")
	}
}

func FuzzReadUsers(f *testing.F) {
	for _, seed := range []string{"name\nanna\n", "name;password\nanna;x\n", "\xef\xbb\xbfname,groups\na,\"b, c\"\n", "name,key\na,ssh-ed25519 AAAA\n", "name\n\"", "name,disabled\na,maybe\n", "name,quota bytes\na,-1\n", "name,name\n", "", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, wrong, err := readUsers(text)
		if err != nil {
			return
		}
		if len(read.forms) != len(read.lines) || len(read.forms) != len(read.names) || len(read.forms)+len(wrong) == 0 || len(read.forms) > maxCSVRows {
			t.Errorf("%d users, %d lines, %d names, %d wrong", len(read.forms), len(read.lines), len(read.names), len(wrong))
		}
	})
}

// told is an audit log of events that a client chose the words of.
type told []audit.Event

func (e told) Newest(context.Context, audit.Filter) ([]audit.Event, error) { return e, nil }

func TestWhatAClientSaysOfItselfAndItsFilesIsNeverMoreThanText(t *testing.T) {
	w := furnished(t)
	script := `"><script>alert(1)</script>`
	w.sites.sessions["main"] = []sftpd.Session{{ID: 1, Site: "main", User: "anna" + script, Client: "SSH-2.0-" + script, Addr: netip.MustParseAddrPort("192.0.2.7:1"), Started: start}}
	w.api.Events = told{
		{Seq: 1, Time: start, Event: "file.upload", Outcome: "done", By: "user/anna", From: "192.0.2.7", Site: "main", Object: "/" + script, Message: script},
		{Seq: 2, Time: start, Event: "session.refused", Outcome: "refused", By: "user/" + script, From: script, Site: script, Message: script},
		{Seq: 3, Time: start, Event: script, Outcome: script, By: "admin/otto", Object: "user/main/" + script},
	}
	b := w.as("sa")
	for path, text := range map[string]string{"/sites/main/sessions": "SSH-2.0-" + script, "/audit": "/" + script, "/": "", "/sites/main/sessions?q=" + url.QueryEscape(script): script} {
		b.get(path).says(http.StatusOK, text)
		if strings.Contains(b.page, "<script>alert") || strings.Contains(b.page, `""><`) {
			t.Errorf("%s has a script", path)
		}
	}
}

func TestGroupsWithCommasInTheirNamesComeBackFromAFile(t *testing.T) {
	w := furnished(t)
	for _, name := range []string{"Sales, EU", "Sales", "EU", "=Staff", "a, b"} {
		w.write(&model.Group{Head: model.Head{Name: name}, Site: "main"}, &model.Group{Head: model.Head{Name: name}, Site: "other"})
	}
	groups := map[string][]string{"bea": {"Sales, EU"}, "cleo": {"EU", "Sales, EU"}, "dan": {"Sales", "EU"}, "eve": {"=Staff", "a, b"}, "fay": {"Sales"}}
	for name, list := range groups {
		w.write(&model.User{Head: model.Head{Name: name}, Site: "main", Groups: list})
	}
	w.write(&model.VFS{Head: model.Head{Name: "files"}, Site: "other", Root: "/srv/ss-server/other/files"})
	b := w.as("sa").get("/sites/main/users.csv")
	file := b.page
	const path = "/sites/other/import-users"
	b.get(path).parts(path, url.Values{"csrf": {csrfOf(b)}}, file).says(http.StatusOK, "6 users")
	_, values := b.form()
	b.parts(path, values, "").says(http.StatusOK, "6 users imported")
	// Commas are read as before where nobody wrote the separator.
	b.get(path).parts(path, url.Values{"csrf": {csrfOf(b)}}, "name,groups\ngil,\"Sales, EU\"\n").says(http.StatusOK, "1 user")
	_, values = b.form()
	b.parts(path, values, "").says(http.StatusOK, "1 user imported")
	groups["gil"] = []string{"Sales", "EU"}
	check(t, w.engine.Read(func(r *engine.Reader) error {
		for name, want := range groups {
			u, err := engine.Users.Get(r, "other", name)
			if err != nil {
				return err
			}
			if !slices.Equal(u.Groups, want) {
				t.Errorf("%s: %q, want %q", name, u.Groups, want)
			}
		}
		return nil
	}))
}

func TestOnlyUsersThatWereChangedAreCountedAsSuch(t *testing.T) {
	w, names := team(t)
	b := w.as("otto").get("/sites/main/users")
	do := func(verb string, ids ...string) *browser {
		return b.post("/sites/main/bulk-users", url.Values{"csrf": {csrfOf(b)}, "do": {verb}, "id": ids, "sure": {"yes"}})
	}
	rev := w.user("anna").Rev
	do("must-change", "anna", names[0], names[1]).says(http.StatusOK, "2 users changed", "Left out: 1") // anna has no password
	do("must-change", names[1], names[2]).says(http.StatusOK, "1 user changed", "Left out: 1")
	do("enable", "anna").says(http.StatusOK, "0 users changed", "Left out: 1")
	do("disable", "anna").says(http.StatusOK, "1 user changed").keepsQuiet("Left out")
	if got := w.user("anna").Rev; got == rev || !w.user("anna").Disabled {
		t.Errorf("revision %d after %d", got, rev)
	}
}

func TestAPasswordThatIsNotThereCannotBeOneToChange(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/sites/main/users/anna").send(url.Values{"password.mustChange": {"on"}})
	b.says(http.StatusUnprocessableEntity, `id="f-password-mustChange-wrong"`, "There is no password that could be changed")
	b.send(url.Values{"password.clear": {"a long one of her own"}}).says(http.StatusOK, "Saved")
	if !w.user("anna").Password.MustChange {
		t.Error("it was dropped")
	}
	b.send(url.Values{"password.mustChange": nil}).says(http.StatusOK, "Saved").send(url.Values{"password.mustChange": {"on"}}).says(http.StatusOK, "Saved")
	b.sendUsers("name,must change\nbea,yes\n").says(http.StatusUnprocessableEntity, "<td>2</td><td>Password.mustChange: there is no password")
}

func TestAllThatASearchFindsAreTickedAtOnce(t *testing.T) {
	w := furnished(t)
	w.write(&model.Group{Head: model.Head{Name: "team"}, Site: "main"})
	var users []model.Object
	for i := range 240 {
		u := &model.User{Head: model.Head{Name: fmt.Sprintf("u%03d", i)}, Site: "main"}
		if i < 120 {
			u.Groups = []string{"team"}
		}
		if i >= 100 {
			u.Email = "someone@bonn.example"
		}
		users = append(users, u)
	}
	w.write(users...)
	b := w.as("otto").get("/sites/main/users?tick=1&q=bonn").says(http.StatusOK, "All 140 that were found, on the other pages as well")
	_, form := b.form()
	form.Set("do", "disable")
	form.Set("all", "yes")
	b.post("/sites/main/bulk-users", form).says(http.StatusOK, "Disable 140 users").send(nil).says(http.StatusOK, "140 users changed")
	if w.user("u099").Disabled || !w.user("u100").Disabled || w.user("u000").Disabled || w.user("anna").Disabled {
		t.Error("others were changed")
	}
	// It is what was found when it was asked for, whatever comes later.
	b.get("/sites/main/users?tick=1&of=group/main/team").says(http.StatusOK, "All 120 that were found")
	_, form = b.form()
	form.Set("do", "delete")
	form.Set("all", "yes")
	b.post("/sites/main/bulk-users", form).says(http.StatusOK, "Delete 120 users")
	w.write(&model.User{Head: model.Head{Name: "late"}, Site: "main", Groups: []string{"team"}})
	b.send(url.Values{"confirm": {"120"}}).says(http.StatusOK, "120 users changed")
	if got := w.names(); len(got) != 122 || got[0] != "anna" || got[1] != "late" {
		t.Errorf("%d users are left", len(got))
	}
	// A group that is gone means nobody.
	form.Set("of", "group/main/gone")
	b.post("/sites/main/bulk-users", form).says(http.StatusOK, "No user was ticked")
	form.Set("of", "rubbish")
	if b.post("/sites/main/bulk-users", form); b.status < 400 {
		t.Error(b.status)
	}
	if got := w.names(); len(got) != 122 {
		t.Errorf("%d users are left", len(got))
	}
}

func TestMoreThanCanBeChangedAtOnceAreNotTickedTogether(t *testing.T) {
	w := furnished(t)
	var users []model.Object
	for i := range mostBulk {
		users = append(users, &model.User{Head: model.Head{Name: fmt.Sprintf("u%04d", i)}, Site: "main"})
	}
	w.write(users...)
	b := w.as("otto").get("/sites/main/users?tick=1").says(http.StatusOK, "With the ticked").keepsQuiet("on the other pages as well")
	b.post("/sites/main/bulk-users", url.Values{"csrf": {csrfOf(b)}, "do": {"disable"}, "all": {"yes"}}).says(http.StatusOK, "No user was ticked, or too many")
	b.get("/sites/main/users?tick=1&q=u0").says(http.StatusOK, "All 1,000 that were found")
}
