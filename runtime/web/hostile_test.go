package web

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestALogInUnderAHugeNameIsRefusedAndLeavesLittleBehind(t *testing.T) {
	w := furnished(t)
	huge := strings.Repeat("<", 30_000)
	for _, form := range []url.Values{
		{"name": {huge}, "password": {"x"}}, {"name": {huge}, "password": {"x"}, "as": {"admin"}}, {"name": {"sa"}, "password": {huge}},
	} {
		w.browser().post("/login", form).says(http.StatusUnauthorized, "Name or password is wrong")
	}
	if w.guard.offences != 3 {
		t.Errorf("the Protector heard of %d offences", w.guard.offences)
	}
	for _, e := range w.audit.of("api.login") {
		if line, err := json.Marshal(e); err != nil || len(line) > 2<<10 {
			t.Errorf("%d bytes in the audit log, %v", len(line), err)
		}
	}
}

// counted is a body that tells how much of it was read.
type counted struct {
	io.Reader
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

func TestNothingIsReadOfWhoIsNotLetInAndLittleOfWhoHasNotSignedIn(t *testing.T) {
	w := furnished(t)
	big := url.Values{"page": {"/sites/main"}, "ssh.banner": {strings.Repeat("x", 400_000)}}.Encode()
	ask := func(path, kind, body string) (status, read int) {
		c := &counted{Reader: strings.NewReader(body)}
		r := httptest.NewRequest(http.MethodPost, "https://server"+path, c)
		r.Header.Set("Content-Type", kind)
		rec := httptest.NewRecorder()
		w.pages.ServeHTTP(rec, r)
		return rec.Code, c.read
	}
	const plainForm, parts = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
	file := "--b\r\nContent-Disposition: form-data; name=\"from\"\r\n\r\n" + big + "\r\n--b--\r\n"
	var named strings.Builder // parts with nothing but a name
	for i := range 40 {
		fmt.Fprintf(&named, "--b\r\nContent-Disposition: form-data; name=\"%d%s\"\r\n\r\n\r\n", i, strings.Repeat("n", 50_000))
	}
	for _, sent := range []struct{ path, kind, body string }{
		{"/sites/main", plainForm, big},
		{"/login", plainForm, big},
		{"/theme", plainForm, big},
		{"/restore", parts, file},
		{importPath, parts, file},
		{"/restore", parts, named.String() + "--b--\r\n"},
		{importPath, parts, named.String()},
	} {
		path, kind, body := sent.path, sent.kind, sent.body
		w.guard.banned = true
		if status, read := ask(path, kind, body); status != http.StatusForbidden || read > 0 {
			t.Errorf("%s while banned: status %d, %d bytes read", path, status, read)
		}
		w.guard.banned = false
		if _, read := ask(path, kind, body); read > maxLogin+64<<10 {
			t.Errorf("%s without a session: %d bytes read", path, read)
		}
	}
}

func TestABannedAddressGetsNoFileOfThePagesEither(t *testing.T) {
	w := furnished(t)
	style := w.pages.assets.names["style.css"]
	w.browser().get(style).says(http.StatusOK, "--accent")
	w.guard.banned = true
	w.browser().get(style).says(http.StatusForbidden, "banned").keepsQuiet("--accent")
}

func TestOfAFormWithAFileTheFieldsAreBoundedWithTheirNamesAndTheFileIsNot(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/restore")
	fields := sent(b)
	for i := range 20 {
		fields.Set(fmt.Sprint(i)+strings.Repeat("n", 50_000), "")
	}
	b.upload(fields, "b.zip", "own").says(http.StatusBadRequest, "could not be read")
	b.get("/restore")
	w.pages.MaxUpload = 4 << 20
	b.upload(sent(b), "b.zip", strings.Repeat("x", 2<<20)).says(http.StatusUnprocessableEntity, "It is a letter")
}

func TestAFormThatIsTooLargeToWaitForALogInIsSaidToBe(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/sites/main")
	w.pass(time.Hour)
	b.send(url.Values{"ssh.banner": {strings.Repeat("x", 100_000)}}).says(http.StatusUnauthorized, "too much to wait here")
	if len(b.page) > 20_000 {
		t.Errorf("a page of %d bytes", len(b.page))
	}
	b.send(url.Values{"name": {"sa"}, "password": {goodPassword}}).says(http.StatusOK, "Overview")
}

func TestWhatSomebodyTypedWaitsForHimOnly(t *testing.T) {
	w := furnished(t)
	b := w.as("otto").get("/sites/main/users/anna")
	w.pass(time.Hour)
	b.send(url.Values{"description": {"typed by otto"}}).says(http.StatusUnauthorized, "what you typed waits here")
	b.send(url.Values{"name": {"sa"}, "password": {goodPassword}}).says(http.StatusOK, "Somebody else had typed").keepsQuiet("typed by otto")
	// Nor does the address of a draft lead anybody else to it.
	otto := w.as("otto").get("/sites/main/users/anna")
	_, form := otto.form()
	form.Set("csrf", "of another session")
	form.Set("description", "typed by otto")
	if otto.post("/sites/main/users/anna", form).says(http.StatusOK, "typed by otto", "another session of yours"); !strings.Contains(otto.path, "draft=") {
		t.Fatal(otto.path)
	}
	w.as("sa").get(otto.path).says(http.StatusOK).keepsQuiet("typed by otto")
	form.Set("by", "superadmin/sa")
	otto.post("/sites/main/users/anna", form).says(http.StatusForbidden, "of another session")
}

func TestDraftsOfOneCrowdOutNobodyElses(t *testing.T) {
	w := furnished(t)
	first, ok := w.pages.hold(url.Values{"page": {"/a"}, "by": {"admin/vera"}}, "admin/vera")
	if !ok {
		t.Fatal("it was not kept")
	}
	for range 300 {
		w.pages.hold(url.Values{"page": {"/a"}, "by": {"admin/otto"}, "x": {strings.Repeat("x", 400_000)}}, "admin/otto")
	}
	if _, ok := w.pages.drafts.get(first); !ok {
		t.Error("it is gone")
	}
	if _, bytes, _ := w.pages.drafts.of("admin/otto"); bytes > 2<<20 {
		t.Errorf("%d bytes of one", bytes)
	}
}

func TestWhoseSessionEndsOnAFormThatKeepsNothingComesBackToItsPage(t *testing.T) {
	w := furnished(t)
	for _, path := range []string{"/account", "/backup", "/sites/main/import-users", "/sites/main/users/anna"} {
		b := w.as("sa").get(path)
		w.pass(time.Hour)
		action, form := b.form()
		if path == "/sites/main/import-users" {
			form.Del("file")
			b.parts(action, form, "name\nx\n")
		} else {
			b.post(action, form)
		}
		b.says(http.StatusUnauthorized, "Your session is over").send(url.Values{"name": {"sa"}, "password": {goodPassword}}).says(http.StatusOK)
		if at, _, _ := strings.Cut(b.path, "?"); at != path {
			t.Errorf("%s leads to %s", path, b.path)
		}
	}
}

func TestAnotherColourComesBackToTheVeryAddress(t *testing.T) {
	w := furnished(t)
	b := w.as("sa")
	for _, path := range []string{"/sites/main/users?q=ann&sort=-name&tick=1", "/sites/main/users/anna"} {
		b.get(path).says(http.StatusOK, `name="page" value="`+path+`"`)
		b.post("/theme", url.Values{"theme": {"dark"}, "page": {path}}).says(http.StatusOK, `data-theme="dark"`)
		if b.path != path {
			t.Errorf("%s leads to %s", path, b.path)
		}
	}
	// A page that answers a form has no address to come back to but that of the page before.
	b.get("/account").send(url.Values{"password.clear": {"wrong"}}).says(http.StatusUnprocessableEntity, `name="page" value="/account"`)
}
