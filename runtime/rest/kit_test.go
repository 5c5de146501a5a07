package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.etcd.io/bbolt"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sites"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs/crypt"
	"ss-setup/runtime/vfs/keyring"
)

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

const goodPassword = "correct horse battery"

// world is the interface over an engine, with sites and storage that only pretend.
type world struct {
	t      testing.TB
	engine *engine.Engine
	store  *store.Store
	api    *API
	audit  *journal
	sites  *fakeSites

	mu   sync.Mutex
	time time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(time.Millisecond)
	return w.time
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

type journal struct {
	mu     sync.Mutex
	events []audit.Event
}

func (j *journal) Append(e audit.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) has(event, outcome, by string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if e.Event == event && e.Outcome == outcome && e.By == by {
			return true
		}
	}
	return false
}

// fakeSites run nothing.
type fakeSites struct {
	mu       sync.Mutex
	running  map[string]bool
	sessions map[string][]sftpd.Session
	fails    error
	made     []string
	// drains, if set, is what a stop waits for that is not one at once.
	drains chan struct{}
}

func (f *fakeSites) Status() []sites.SiteStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []sites.SiteStatus
	for _, site := range []string{"main", "other"} {
		s := sites.SiteStatus{Site: site, Running: f.running[site], Sessions: len(f.sessions[site])}
		if f.fails != nil {
			s.Problem = f.fails.Error()
		}
		list = append(list, s)
	}
	return list
}

func (f *fakeSites) StartSite(site string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running[site] = f.fails == nil
	return f.fails
}

func (f *fakeSites) StopSite(ctx context.Context, site string) error {
	if f.drains != nil && ctx.Err() == nil {
		<-f.drains
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running[site], f.sessions[site] = false, nil
	return nil
}

func (f *fakeSites) Needs(string) ([]sftpd.Need, error) {
	return []sftpd.Need{{Algorithm: "ssh-rsa", User: "anna", Client: "old", Last: start, Times: 3}}, nil
}

func (f *fakeSites) MakeVFS(v *model.VFS) error {
	if strings.Contains(v.Root, "forbidden") {
		return errors.New("ss-server may not write there; run: setfacl -m u:ss-server:rwx " + v.Root)
	}
	if clear := v.Passphrase.Clear; clear != "" && len(clear) < crypt.MinPassphrase {
		return crypt.ErrShortPassphrase
	}
	f.made = append(f.made, v.Root)
	if v.Type == model.VFSEncrypted {
		v.KeyID = "key-1"
	}
	return nil
}

func (f *fakeSites) Sessions(site string) []sftpd.Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]sftpd.Session(nil), f.sessions[site]...)
}

func (f *fakeSites) Kick(site, _ string, which func(sftpd.Session) bool) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var left []sftpd.Session
	for _, s := range f.sessions[site] {
		if !which(s) {
			left = append(left, s)
		}
	}
	n := len(f.sessions[site]) - len(left)
	f.sessions[site] = left
	return n, nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	schema := store.Schema{
		Product: "ss-server", File: "store.db", LockWait: 5 * time.Second,
		Migrations: []store.Migration{{Name: "make room", Apply: func(tx *bbolt.Tx, _ store.Progress) error { return engine.Prepare(tx) }}},
	}
	w := &world{
		t: t, time: start, audit: &journal{},
		sites: &fakeSites{running: map[string]bool{}, sessions: map[string][]sftpd.Session{}},
	}
	dir := t.TempDir()
	if _, err := schema.Migrate(dir, true, func(int64, int64, string) {}); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.store, err = schema.Open(dir); err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if w.engine, err = engine.Open(engine.Options{Store: w.store, Sealer: seal.New(ring), Log: log, Now: w.now}); err != nil {
		t.Fatal(err)
	}
	hasher, err := auth.NewHasher(auth.Params{Memory: 64, Time: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.api = New(Options{
		Engine: w.engine, Hasher: hasher, Sites: w.sites, Audit: w.audit,
		Files: "/srv/ss-server", Log: log, Now: w.now,
	})
	t.Cleanup(func() {
		if err := errors.Join(w.api.Close(), w.engine.Close(), w.store.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// furnished is a world with two sites, a SuperAdmin and an Admin of site main.
func furnished(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	hash, err := w.api.Hasher.Hash(context.Background(), []byte(goodPassword))
	if err != nil {
		t.Fatal(err)
	}
	password := model.Password{Hash: hash, Changed: start}
	otto := &model.Admin{Head: model.Head{Name: "otto"}, Sites: []string{"main"}, Rights: model.FullRights()}
	otto.Password = password
	sa := &model.SuperAdmin{Head: model.Head{Name: "sa"}, Contact: model.Contact{Email: "sa@example.com", Password: password}}
	w.write(sa, &model.Node{Head: model.Head{Name: "n1"}}, siteOf("main"), siteOf("other"), otto,
		&model.VFS{Head: model.Head{Name: "files"}, Site: "main", Root: "/srv/ss-server/main/files"},
		&model.VFS{Head: model.Head{Name: "secretplace"}, Site: "other", Root: "/srv/ss-server/other/files"},
		&model.User{Head: model.Head{Name: "anna"}, Site: "main", Email: "anna@example.com", Profile: model.Profile{Home: model.Folder{VFS: "files"}}},
		&model.User{Head: model.Head{Name: "hidden-bert"}, Site: "other", Email: "bert@hidden.example"},
	)
	return w
}

func siteOf(name string) *model.Site { return &model.Site{Head: model.Head{Name: name}} }

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

// client asks as somebody.
type client struct {
	w      *world
	token  string
	cookie string
	from   string
	header http.Header
}

// super is a client with a token that may everything.
func (w *world) super() *client {
	w.t.Helper()
	return w.tokenFor(&model.Token{Head: model.Head{Name: "all"}, Super: true})
}

// admin is a client with rights over kinds in site main; all that belong to a site if none
// are named.
func (w *world) admin(name string, view, edit []model.Kind) *client {
	w.t.Helper()
	rights := model.Rights{View: view, Edit: edit}
	if view == nil && edit == nil {
		rights = model.FullRights()
	}
	return w.tokenFor(&model.Token{Head: model.Head{Name: name}, Sites: []string{"main"}, Rights: rights})
}

func (w *world) tokenFor(t *model.Token) *client {
	w.t.Helper()
	text, err := MakeToken(context.Background(), w.engine, "system", t)
	if err != nil {
		w.t.Fatal(err)
	}
	return &client{w: w, token: text}
}

func (w *world) nobody() *client { return &client{w: w} }

// login is a client with a session.
func (w *world) login(name, password string) *client {
	w.t.Helper()
	c := &client{w: w}
	r := c.post("/login", map[string]any{"name": name, "password": password})
	r.must(http.StatusOK)
	c.take(r)
	return c
}

func (c *client) take(r *reply) {
	for _, cookie := range r.Cookies() {
		if cookie.Name == SessionCookie {
			c.cookie = cookie.Value
		}
	}
}

// with is the client with one more header.
func (c *client) with(name, value string) *client {
	next := *c
	next.header = c.header.Clone()
	if next.header == nil {
		next.header = http.Header{}
	}
	next.header.Set(name, value)
	return &next
}

func (c *client) get(path string) *reply             { return c.do(http.MethodGet, path, nil) }
func (c *client) post(path string, body any) *reply  { return c.do(http.MethodPost, path, body) }
func (c *client) delete(path string) *reply          { return c.do(http.MethodDelete, path, nil) }
func (c *client) put(path string, body any) *reply   { return c.do(http.MethodPut, path, body) }
func (c *client) patch(path string, body any) *reply { return c.do(http.MethodPatch, path, body) }
func (c *client) ifMatch(tag string) *client         { return c.with("If-Match", tag) }
func (c *client) request(method, path string, body any) *http.Request {
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			c.w.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	r := httptest.NewRequest(method, "https://server"+Prefix+path, reader)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.cookie != "" {
		r.AddCookie(&http.Cookie{Name: SessionCookie, Value: c.cookie})
	}
	if c.from != "" {
		r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(c.from), 4711).String()
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	return r
}

// do asks, and holds the answer against the document.
func (c *client) do(method, path string, body any) *reply {
	c.w.t.Helper()
	r := c.request(method, path, body)
	recorder := httptest.NewRecorder()
	c.w.api.ServeHTTP(recorder, r)
	got := &reply{t: c.w.t, what: method + " " + path, Response: recorder.Result(), text: recorder.Body.Bytes()}
	c.w.fits(r, got)
	return got
}

// reply is an answer.
type reply struct {
	*http.Response
	t    testing.TB
	what string
	text []byte
}

func (r *reply) must(status int) *reply {
	r.t.Helper()
	if r.StatusCode != status {
		r.t.Fatalf("%s: %s, want %d: %s", r.what, r.Status, status, r.text)
	}
	return r
}

// problem is the answer as a refusal of a sort.
func (r *reply) problem(sort problemType) *Problem {
	r.t.Helper()
	var p Problem
	if err := json.Unmarshal(r.text, &p); err != nil || p.Type != typePrefix+string(sort) || p.Status != r.StatusCode {
		r.t.Fatalf("%s: %s, want %s: %s", r.what, r.Status, sort, r.text)
	}
	if r.Header.Get("Content-Type") != "application/problem+json" || p.Title == "" || p.Detail == "" {
		r.t.Errorf("%s: %v %s", r.what, r.Header, r.text)
	}
	return &p
}

// field is the message for a field of a refusal.
func (r *reply) field(name string) model.FieldError {
	r.t.Helper()
	for _, e := range r.problem(invalid).Errors {
		if e.Field == name {
			return e
		}
	}
	r.t.Fatalf("%s: nothing is said of %s: %s", r.what, name, r.text)
	return model.FieldError{}
}

func (r *reply) into(v any) *reply {
	r.t.Helper()
	if err := json.Unmarshal(r.text, v); err != nil {
		r.t.Fatalf("%s: %v: %s", r.what, err, r.text)
	}
	return r
}

func (r *reply) tag() string { return r.Header.Get("ETag") }

// names are the names in a list.
func (r *reply) names() []string {
	r.t.Helper()
	var page Page[model.Head]
	r.must(http.StatusOK).into(&page)
	out := []string{}
	for _, o := range page.Items {
		out = append(out, o.Name)
	}
	return out
}

// fits holds an answer against what the document says of its operation.
func (w *world) fits(r *http.Request, got *reply) {
	w.t.Helper()
	_, pattern := w.api.mux.Handler(r)
	method, path, found := strings.Cut(pattern, " ")
	if !found || path == DocumentPath {
		return
	}
	item, ok := w.api.huma.OpenAPI().Paths[path]
	if !ok {
		w.t.Errorf("%s is not in the document", pattern)
		return
	}
	text, err := json.Marshal(item)
	if err != nil {
		w.t.Fatal(err)
	}
	var operations map[string]struct {
		Responses map[string]struct {
			Content map[string]any `json:"content"`
		} `json:"responses"`
	}
	if err := json.Unmarshal(text, &operations); err != nil {
		w.t.Fatal(err)
	}
	response, ok := operations[strings.ToLower(method)].Responses[fmt.Sprint(got.StatusCode)]
	if got.StatusCode == http.StatusNotModified {
		return
	}
	if !ok {
		w.t.Errorf("%s: the document knows no answer %s", pattern, got.Status)
		return
	}
	if len(response.Content) == 0 {
		if len(got.text) > 0 {
			w.t.Errorf("%s: a body where none is documented: %s", pattern, got.text)
		}
		return
	}
	media := got.Header.Get("Content-Type")
	if _, ok := response.Content[media]; !ok {
		w.t.Errorf("%s: the document knows no answer %s of the type %s", pattern, got.Status, media)
		return
	}
	if media == "text/event-stream" {
		return
	}
	at := fmt.Sprintf("#/paths/%s/%s/responses/%d/content/%s/schema", pointer(path), strings.ToLower(method), got.StatusCode, pointer(media))
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(got.text))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.schema(at).Validate(value); err != nil {
		w.t.Errorf("%s %s does not fit the document: %v\n%s", pattern, got.Status, err, got.text)
	}
}

func pointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D", "+", "%2B").Replace(name)
}

// schemas are those of the document, which is one for all tests.
var schemas = struct {
	sync.Mutex
	compiler *jsonschema.Compiler
	all      map[string]*jsonschema.Schema
}{all: map[string]*jsonschema.Schema{}}

func (w *world) schema(at string) *jsonschema.Schema {
	w.t.Helper()
	schemas.Lock()
	defer schemas.Unlock()
	if s := schemas.all[at]; s != nil {
		return s
	}
	const document = "https://server/openapi.json"
	if schemas.compiler == nil {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.api.document().text))
		if err != nil {
			w.t.Fatal(err)
		}
		schemas.compiler = jsonschema.NewCompiler()
		schemas.compiler.AssertFormat()
		if err := schemas.compiler.AddResource(document, value); err != nil {
			w.t.Fatal(err)
		}
	}
	s, err := schemas.compiler.Compile(document + at)
	if err != nil {
		w.t.Fatal(err)
	}
	schemas.all[at] = s
	return s
}

// object is one as it is kept.
func object[O model.Object](w *world, key model.Key) O {
	w.t.Helper()
	var found model.Object
	err := w.engine.Read(func(r *engine.Reader) (err error) {
		found, err = r.Get(key)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found.(O)
}
