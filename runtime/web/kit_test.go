package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/protector"
	"ss-setup/runtime/rest"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/setup"
	"ss-setup/runtime/setup/answers"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sites"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs/keyring"
)

// world is a server with its pages: store, engine and REST interface are real, the sites
// and the machine are not.
type world struct {
	t      testing.TB
	engine *engine.Engine
	api    *rest.API
	pages  *Pages
	sites  *fakeSites
	guard  *fakeProtector
	codes  *fakeCodes
	audit  *record
	setUp  SetUp
	// What restores and backups work with.
	backups  Backups
	restorer Restorer
	intake   *Intake

	mu   sync.Mutex
	time time.Time
}

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

const goodPassword = "correct horse battery"

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

type fakeSites struct {
	mu       sync.Mutex
	running  map[string]bool
	sessions map[string][]sftpd.Session
}

func (f *fakeSites) Status() (list []sites.SiteStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range []string{"main", "other"} {
		list = append(list, sites.SiteStatus{
			Site: name, Running: f.running[name], Sessions: len(f.sessions[name]),
			Bindings: []sites.BindingStatus{{Name: "sftp", Address: ":2222", Listening: f.running[name]}},
		})
	}
	return list
}

func (f *fakeSites) StartSite(site string) error { return f.run(site, true) }

func (f *fakeSites) StopSite(_ context.Context, site string) error { return f.run(site, false) }

func (f *fakeSites) run(site string, on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running[site] = on
	return nil
}

func (f *fakeSites) Sessions(site string) []sftpd.Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[site]
}

func (f *fakeSites) Kick(site, _ string, which func(sftpd.Session) bool) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var left []sftpd.Session
	for _, s := range f.sessions[site] {
		if which(s) {
			n++
		} else {
			left = append(left, s)
		}
	}
	f.sessions[site] = left
	return n, nil
}

func (f *fakeSites) Needs(string) ([]sftpd.Need, error) { return nil, nil }

func (f *fakeSites) MakeVFS(*model.VFS) error { return nil }

type fakeProtector struct {
	banned   bool
	offences int
}

func (f *fakeProtector) Admit(netip.Addr) error {
	if f.banned {
		return errors.New("the address is banned")
	}
	return nil
}

func (f *fakeProtector) Offend(netip.Addr, protector.Offence) bool { f.offences++; return false }

// record is an audit log that a test looks into.
type record struct {
	mu     sync.Mutex
	events []audit.Event
}

func (r *record) Append(e audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// of are the events of a sort.
func (r *record) of(event string) (out []audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Event == event {
			out = append(out, e)
		}
	}
	return out
}

// fakeCodes accepts the code GOOD-CODE and answers SLOW-DOWN with a wait.
type fakeCodes struct {
	from  netip.Addr
	done  bool
	ended bool
	// token is that of the session that was opened last.
	token string
	now   func() time.Time
}

func (f *fakeCodes) Done() (bool, error) { return f.done, nil }

func (f *fakeCodes) Redeem(typed string, from netip.Addr) (setup.Session, error) {
	f.from = from
	switch typed {
	case "GOOD-CODE":
		f.ended = false
		return setup.Session{Token: f.token, Expires: f.now().Add(30 * time.Minute)}, nil
	case "SLOW-DOWN":
		return setup.Session{}, &setup.TooManyError{Wait: 40 * time.Second}
	}
	return setup.Session{}, setup.ErrInvalid
}

func (f *fakeCodes) Session(token string) (time.Time, bool) {
	return f.now().Add(30 * time.Minute), token == f.token && !f.ended && !f.done
}

func newWorld(t testing.TB) *world {
	t.Helper()
	schema := store.Schema{
		Product: "ss-server", File: "store.db", LockWait: 5 * time.Second,
		Migrations: []store.Migration{{Name: "make room", Apply: func(tx *bbolt.Tx, _ store.Progress) error { return engine.Prepare(tx) }}},
	}
	w := &world{t: t, time: start, audit: &record{}, guard: &fakeProtector{}, sites: &fakeSites{running: map[string]bool{"main": true}, sessions: map[string][]sftpd.Session{}}}
	w.codes = &fakeCodes{now: w.now, token: "token"}
	w.backups, w.restorer, w.intake = &fakeBackups{dir: t.TempDir()}, &fakeRestorer{}, NewIntake(w.now, slog.New(slog.DiscardHandler))
	w.intake.Open(t.TempDir())
	dir := t.TempDir()
	if _, err := schema.Migrate(dir, true, func(int64, int64, string) {}); err != nil {
		t.Fatal(err)
	}
	st, err := schema.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if w.engine, err = engine.Open(engine.Options{Store: st, Sealer: seal.New(ring), Log: log, Now: w.now}); err != nil {
		t.Fatal(err)
	}
	hasher, err := auth.NewHasher(auth.Params{Memory: 64, Time: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.api = rest.New(rest.Options{
		Engine: w.engine, Hasher: hasher, Sites: w.sites, Protector: w.guard, Audit: w.audit, Files: "/srv/ss-server", Log: log, Now: w.now,
	})
	w.restart()
	t.Cleanup(func() {
		if err := errors.Join(w.api.Close(), w.engine.Close(), st.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// restart makes the pages anew, as a server's restart does.
func (w *world) restart() {
	w.pages = New(Options{
		Backups: w.backups, Restorer: w.restorer, Intake: w.intake, MaxUpload: 1000,
		API: w.api, Codes: w.codes, Version: "7.0.0", Now: w.now,
		SetUp: func(ctx context.Context, from netip.Addr, a *answers.Answers) (setup.Made, error) {
			return w.setUp(ctx, from, a)
		},
	})
}

// furnished is a world with two sites, a SuperAdmin sa, and the Admins otto, who may
// everything in site main, and vera, who may only look.
func furnished(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.codes.done = true
	hash, err := w.api.Hasher.Hash(context.Background(), []byte(goodPassword))
	if err != nil {
		t.Fatal(err)
	}
	password := model.Password{Hash: hash, Changed: start}
	admin := func(name string, rights model.Rights) *model.Admin {
		return &model.Admin{Head: model.Head{Name: name}, Contact: model.Contact{Password: password}, Sites: []string{"main"}, Rights: rights}
	}
	w.write(
		&model.SuperAdmin{Head: model.Head{Name: "sa"}, Contact: model.Contact{Email: "sa@example.com", Password: password}},
		&model.Node{Head: model.Head{Name: "n1"}}, &model.Site{Head: model.Head{Name: "main"}, Title: "Files for customers"}, &model.Site{Head: model.Head{Name: "other"}},
		admin("otto", model.FullRights()), admin("vera", model.Rights{View: []model.Kind{model.KindSite, model.KindUser, model.KindVFS}}),
		&model.VFS{Head: model.Head{Name: "files"}, Site: "main", Root: "/srv/ss-server/main/files"},
		&model.User{Head: model.Head{Name: "anna"}, Site: "main", Email: "anna@example.com", Profile: model.Profile{Home: model.Folder{VFS: "files", Permissions: model.UsualPermissions()}}},
		&model.User{Head: model.Head{Name: "hidden-bert"}, Site: "other", Email: "bert@hidden.example"},
	)
	return w
}

func (w *world) write(objects ...model.Object) {
	w.t.Helper()
	_, err := w.engine.Write(context.Background(), "system", func(tx *engine.Tx) error {
		for _, o := range objects {
			if err := tx.Put(o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// user reads a user of site main.
func (w *world) user(name string) (u *model.User) {
	w.t.Helper()
	err := w.engine.Read(func(r *engine.Reader) (err error) {
		u, err = engine.Users.Get(r, "main", name)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// browser keeps cookies, and what the last page said.
type browser struct {
	w       *world
	cookies map[string]string
	// path is the address of the page that is shown.
	path   string
	status int
	header http.Header
	page   string
	// gone is the context of a browser that does not wait, nil for one that does.
	gone context.Context
}

func (w *world) browser() *browser { return &browser{w: w, cookies: map[string]string{}} }

// as is a browser in which somebody has signed in.
func (w *world) as(name string) *browser {
	w.t.Helper()
	b := w.browser()
	b.get("/login")
	b.send(url.Values{"name": {name}, "password": {goodPassword}})
	if b.status != http.StatusOK || b.path != "/" {
		w.t.Fatalf("log-in of %s: %d at %s: %s", name, b.status, b.path, b.words())
	}
	return b
}

func (b *browser) get(path string) *browser {
	b.w.t.Helper()
	return b.do(httptest.NewRequest(http.MethodGet, "https://server"+path, nil))
}

// post sends a form to a path by itself, without what the page's form carries.
func (b *browser) post(path string, form url.Values) *browser {
	b.w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://server"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

// do asks, keeps cookies and follows redirections as a browser does.
func (b *browser) do(r *http.Request) *browser {
	b.w.t.Helper()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if b.gone != nil {
		r = r.WithContext(b.gone)
	}
	rec := httptest.NewRecorder()
	b.w.pages.ServeHTTP(rec, r)
	got := rec.Result()
	for _, c := range got.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	if to := got.Header.Get("Location"); got.StatusCode == http.StatusSeeOther {
		return b.get(to)
	}
	text, err := io.ReadAll(got.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	b.status, b.header, b.page, b.path = got.StatusCode, got.Header, string(text), r.URL.RequestURI()
	return b
}

var (
	formTag  = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<input ([^>]*)>`)
	areaTag  = regexp.MustCompile(`(?s)<textarea id="[^"]*" name="([^"]*)"[^>]*>(.*?)</textarea>`)
	pickTag  = regexp.MustCompile(`(?s)<select id="[^"]*" name="([^"]*)"[^>]*>(.*?)</select>`)
	picked   = regexp.MustCompile(`<option value="([^"]*)" selected>`)
	quoted   = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

// form is the last form of the page but for that of the menu and theme, as a browser would
// send it.
func (b *browser) form() (action string, values url.Values) {
	b.w.t.Helper()
	var found []string
	for _, f := range formTag.FindAllStringSubmatch(b.page[strings.Index(b.page, "<main"):], -1) {
		if found == nil || strings.Contains(f[0], `class="edit"`) {
			found = f
		}
	}
	if found == nil {
		b.w.t.Fatalf("no form at %s (%d): %s", b.path, b.status, b.words())
	}
	values = url.Values{}
	for _, tag := range inputTag.FindAllStringSubmatch(found[2], -1) {
		attr := map[string]string{}
		for _, a := range quoted.FindAllStringSubmatch(tag[1], -1) {
			attr[a[1]] = plain(a[2])
		}
		if (attr["type"] == "checkbox" || attr["type"] == "radio") && !strings.Contains(tag[1], " checked") || attr["name"] == "" || strings.HasSuffix(tag[1], " disabled") {
			continue
		}
		if attr["type"] == "text" {
			attr["value"] = oneLine.Replace(attr["value"])
		}
		values.Add(attr["name"], asSentBreaks(attr["value"]))
	}
	for _, tag := range areaTag.FindAllStringSubmatch(found[2], -1) {
		// The first line break belongs to the tag.
		values.Add(tag[1], asSentBreaks(strings.TrimPrefix(oneBreak.Replace(plain(tag[2])), "\n")))
	}
	for _, tag := range pickTag.FindAllStringSubmatch(found[2], -1) {
		if on := picked.FindStringSubmatch(tag[2]); on != nil {
			values.Add(tag[1], plain(on[1]))
		} else {
			values.Add(tag[1], "")
		}
	}
	return plain(found[1]), values
}

// asSentBreaks makes line breaks those that browsers send.
func asSentBreaks(text string) string {
	return strings.ReplaceAll(oneBreak.Replace(text), "\n", "\r\n")
}

// oneLine is what browsers make of a text in an input of one line.
var oneLine = strings.NewReplacer("\r", "", "\n", "")

func plain(text string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'", "&#43;", "+", "&amp;", "&").Replace(text)
}

// send fills in the page's form and sends it. A value of nil unticks.
func (b *browser) send(typed url.Values) *browser {
	b.w.t.Helper()
	action, values := b.form()
	for name, list := range typed {
		values[name] = list
	}
	return b.post(action, values)
}

// says wants a status and texts in the page.
func (b *browser) says(status int, texts ...string) *browser {
	b.w.t.Helper()
	if b.status != status {
		b.w.t.Errorf("%s: status %d, want %d", b.path, b.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(plain(b.page), text) {
			b.w.t.Errorf("%s does not say %q: %s", b.path, text, b.words())
		}
	}
	return b
}

var anyTag = regexp.MustCompile(`(?s)<[^>]*>\s*`)

// words are those of the page's content, for who looks for a fault.
func (b *browser) words() string {
	text := anyTag.ReplaceAllString(b.page[max(strings.Index(b.page, "<main"), 0):], " ")
	return text[:min(len(text), 1500)]
}

func (b *browser) keepsQuiet(texts ...string) *browser {
	b.w.t.Helper()
	for _, text := range texts {
		if strings.Contains(plain(b.page), text) {
			b.w.t.Errorf("%s says %q", b.path, text)
		}
	}
	return b
}
