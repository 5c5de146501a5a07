package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// What the parameters of an operation can say.
type (
	placed   interface{ place() string }
	named    interface{ id() string }
	knowing  interface{ known() string }
	revised  interface{ revision() string }
	carrying interface{ raw() []byte }
	listing  interface{ list() *ListQuery }
)

// One is an object that is answered.
type One struct {
	Status   int
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     any
}

// List is a page that is answered.
type List struct{ Body any }

// Nothing is an answer without a body.
type Nothing struct{}

func registerList[I any, P interface {
	*I
	placed
	listing
}](a *API, k kind, path, of string) {
	operate(a, operation{
		method: http.MethodGet, path: path, id: "list-" + k.many + of, tag: tagOf(k),
		summary: strings.Replace(summaryOf(http.MethodGet, k, of), "Get a", "List each", 1), out: k.page, problems: []problemType{notFound},
	}, func(_ context.Context, c *caller, in *I) (*List, error) {
		return a.list(c, k.Kind, P(in).place(), P(in).list())
	})
}

func registerGet[I any, P interface {
	*I
	placed
	named
	knowing
}](a *API, k kind, path, of string) {
	operate(a, operation{
		method: http.MethodGet, path: path, id: "get-" + k.one + of, tag: tagOf(k),
		summary: summaryOf(http.MethodGet, k, of), out: k.object, problems: []problemType{notFound},
	}, func(_ context.Context, c *caller, in *I) (*One, error) {
		p := P(in)
		return a.get(c, keyOf(k.Kind, p.place(), p.id()), p.known())
	})
}

func registerCreate[I any, P interface {
	*I
	placed
	carrying
}](a *API, k kind, path, of string) {
	operate(a, operation{
		method: http.MethodPost, path: path, id: "create-" + k.one + of, tag: tagOf(k), summary: summaryOf(http.MethodPost, k, of), help: k.help,
		in: k.made, out: k.created, status: http.StatusCreated, problems: problemsOf(k),
	}, func(ctx context.Context, c *caller, in *I) (*One, error) {
		p := P(in)
		return a.create(ctx, c, k, path, p.place(), p.raw())
	})
}

func registerWrites[I any, P interface {
	*I
	placed
	named
	revised
	carrying
}](a *API, k kind, path, of string) {
	o := operation{
		method: http.MethodPut, path: path, id: "replace-" + k.one + of, tag: tagOf(k), summary: summaryOf(http.MethodPut, k, of),
		help: "Fields that are left out are taken away. A secret or password that is to stay is sent as {\"set\": true}, as it was read.",
		in:   k.object, out: k.object, problems: problemsOf(k),
	}
	operate(a, o, func(ctx context.Context, c *caller, in *I) (*One, error) {
		p := P(in)
		return a.change(ctx, c, keyOf(k.Kind, p.place(), p.id()), p.revision(), func(model.Object) ([]byte, error) { return p.raw(), nil })
	})
	o.method, o.id, o.summary, o.help, o.patch = http.MethodPatch, "change-"+k.one+of, summaryOf(http.MethodPatch, k, of), "", true
	operate(a, o, func(ctx context.Context, c *caller, in *I) (*One, error) {
		p := P(in)
		return a.change(ctx, c, keyOf(k.Kind, p.place(), p.id()), p.revision(), func(old model.Object) ([]byte, error) {
			return patched(old, p.raw())
		})
	})
}

func registerDelete[I any, P interface {
	*I
	placed
	named
	revised
}](a *API, k kind, path, of string) {
	operate(a, operation{
		method: http.MethodDelete, path: path, id: "delete-" + k.one + of, tag: tagOf(k), summary: summaryOf(http.MethodDelete, k, of),
		status: http.StatusNoContent, problems: problemsOf(k),
	}, func(ctx context.Context, c *caller, in *I) (*Nothing, error) {
		p := P(in)
		return a.delete(ctx, c, keyOf(k.Kind, p.place(), p.id()), p.revision())
	})
}

// KeyOf is the key of an object as anybody may write its name.
func KeyOf(k model.Kind, site, id string) model.Key { return keyOf(k, site, id) }

func keyOf(k model.Kind, site, id string) model.Key {
	if list, network, ok := strings.Cut(id, ":"); ok && k == model.KindEntry {
		return model.EntryKey(site, model.List(list), network)
	}
	return model.Key{Kind: k, Site: site, ID: model.Fold(id)}
}

// etag is a revision as a header says it.
func etag(rev uint64) string { return `"` + strconv.FormatUint(rev, 10) + `"` }

// anyRevision is If-Match: * - whichever there is.
const anyRevision = ^uint64(0)

// revisionOf reads If-Match.
func revisionOf(header string) (uint64, error) {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0, problem(noRevision, "send the ETag of the object that you read as If-Match, or * to change whichever there is")
	}
	if header == "*" {
		return anyRevision, nil
	}
	text := strings.TrimPrefix(header, "W/")
	rev, err := strconv.ParseUint(strings.Trim(text, `"`), 10, 64)
	if err != nil || len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' || rev == anyRevision {
		return 0, problem(badRequest, "If-Match is not an ETag of this server; send one as it was read, with its quotes")
	}
	return rev, nil
}

func (a *API) get(c *caller, key model.Key, known string) (*One, error) {
	if !c.mayView(key) {
		return nil, notAllowed(c, "see", key.Kind, key.Site)
	}
	var found model.Object
	err := a.Engine.Read(func(r *engine.Reader) (err error) {
		found, err = read(r, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := a.answer(http.StatusOK, found)
	if known == out.ETag {
		return &One{Status: http.StatusNotModified, ETag: out.ETag}, nil
	}
	return out, nil
}

// read is an object; settings are there even if none were ever kept.
func read(r *engine.Reader, key model.Key) (model.Object, error) {
	if key.Kind == model.KindSettings {
		return engine.CurrentSettings(r)
	}
	return r.Get(key)
}

// answer is an object without its secrets.
func (a *API) answer(status int, o model.Object) *One {
	model.Redact(o)
	return &One{Status: status, ETag: etag(o.Header().Rev), Body: o}
}

func (a *API) create(ctx context.Context, c *caller, k kind, path, site string, raw []byte) (*One, error) {
	// Only SuperAdmins may make sites, and an Admin's right to change one gives none.
	if !c.mayEdit(model.Key{Kind: k.Kind, Site: site}) {
		return nil, notAllowed(c, "make", k.Kind, site)
	}
	if needsProofOf(k.Kind) {
		if err := a.sure(c); err != nil {
			return nil, err
		}
	}
	o, err := a.decode(k, raw)
	if err != nil {
		return nil, err
	}
	*o.Header() = model.Head{Name: o.Header().Name}
	setSite(o, site)
	if err := a.siteThere(site); err != nil {
		return nil, err
	}
	w := &write{api: a, ctx: ctx, caller: c, new: o}
	if err := w.prepare(); err != nil {
		return nil, err
	}
	if _, err := a.Engine.Write(ctx, c.name(), func(tx *engine.Tx) error {
		for _, o := range append([]model.Object{o}, w.beside...) {
			if err := tx.Create(o); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	out := a.answer(http.StatusCreated, o)
	out.Location = Prefix + strings.Replace(path, "{site}", url.PathEscape(site), 1) + "/" + url.PathEscape(o.Key().ID)
	if w.token != "" {
		out.Body = &MadeToken{Token: o.(*model.Token), Secret: w.token}
	}
	return out, nil
}

// decode reads a new object; what a kind is made of may be less than the object.
func (a *API) decode(k kind, raw []byte) (model.Object, error) {
	if k.Kind == model.KindHostKey {
		return a.decodeHostKey(raw)
	}
	return a.decodeObject(k.Kind, raw)
}

func (a *API) decodeObject(k model.Kind, raw []byte) (model.Object, error) {
	o := k.New()
	if err := a.read(raw, o); err != nil {
		return nil, err
	}
	withoutKept(o)
	return o, nil
}

// withoutKept takes out what only the server may set. The schema knows no such fields; this
// is for the day when one is forgotten there.
func withoutKept(o model.Object) {
	for _, f := range o.Secrets() {
		f.Secret.Sealed = ""
	}
	for _, f := range o.Passwords() {
		f.Password.Hash = ""
	}
	if t := model.SecondFactor(o); t != nil {
		t.Recovery = nil
	}
	if t, ok := o.(*model.Token); ok {
		t.Hash = ""
	}
}

// setSite puts the site of the path into an object.
func setSite(o model.Object, site string) {
	switch o := o.(type) {
	case *model.Binding:
		o.Site = site
	case *model.Group:
		o.Site = site
	case *model.User:
		o.Site = site
	case *model.VFS:
		o.Site = site
	case *model.LDAPProfile:
		o.Site = site
	case *model.HostKey:
		o.Site = site
	case *model.Certificate:
		o.Site = site
	case *model.Entry:
		o.Site = site
	case *model.Legacy:
		o.Site = site
	}
}

func (a *API) siteThere(site string) error {
	if site == "" {
		return nil
	}
	return a.Engine.Read(func(r *engine.Reader) error {
		if !r.Has(model.SiteKey(site)) {
			return &engine.NotFoundError{Key: model.SiteKey(site)}
		}
		return nil
	})
}

// again bounds how often a change of whichever revision there is begins anew because
// somebody was quicker.
const again = 5

// change replaces an object by what body makes of the one there is.
func (a *API) change(ctx context.Context, c *caller, key model.Key, ifMatch string, body func(old model.Object) ([]byte, error)) (*One, error) {
	if !c.mayEdit(key) {
		return nil, notAllowed(c, "change", key.Kind, key.Site)
	}
	if needsProofOf(key.Kind) {
		if err := a.sure(c); err != nil {
			return nil, err
		}
	}
	rev, err := revisionOf(ifMatch)
	if err != nil {
		return nil, err
	}
	for range again {
		out, err := a.changeOnce(ctx, c, key, rev, body)
		if quicker := (*engine.ConflictError)(nil); rev != anyRevision || !errors.As(err, &quicker) {
			return out, err
		}
	}
	return nil, later(unavailable, 0, "%s is changed by others all the time; repeat the request", model.Describe(key))
}

func (a *API) changeOnce(ctx context.Context, c *caller, key model.Key, rev uint64, body func(old model.Object) ([]byte, error)) (*One, error) {
	var old model.Object
	err := a.Engine.Read(func(r *engine.Reader) (err error) {
		old, err = read(r, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	if rev == anyRevision {
		rev = old.Header().Rev
	}
	raw, err := body(model.Clone(old))
	if err != nil {
		return nil, err
	}
	o, err := a.decodeObject(key.Kind, raw)
	if err != nil {
		return nil, err
	}
	head := o.Header()
	*head = model.Head{Name: head.Name, Rev: rev}
	if head.Name == "" || key.Kind == model.KindEntry {
		head.Name = old.Header().Name
	}
	setSite(o, key.Site)
	if got := o.Key(); got != key {
		return nil, wrongField(nameField(key.Kind), "it cannot change: it is "+model.Describe(key), "leave it as it is, or make another object and delete this one")
	}
	if err := notOwn(c, old, o); err != nil {
		return nil, err
	}
	// What follows compares with the object that was read: it must be the one that is
	// replaced, and not one that somebody makes of it meanwhile whose revision was guessed.
	if was := old.Header(); was.Rev != rev {
		return nil, &engine.ConflictError{Key: key, Rev: was.Rev, By: was.By, Modified: was.Modified, Differences: model.Diff(old, o)}
	}
	w := &write{api: a, ctx: ctx, caller: c, old: old, new: o}
	if err := w.prepare(); err != nil {
		return nil, err
	}
	_, err = a.Engine.Write(ctx, c.name(), func(tx *engine.Tx) error {
		if old.Header().Rev == 0 && head.Rev == 0 {
			return tx.Create(o) // the settings, for the first time
		}
		return tx.Update(o)
	})
	if err != nil {
		return nil, err
	}
	return a.answer(http.StatusOK, o), nil
}

// nameField is what the name of an object is made of.
func nameField(k model.Kind) string {
	if k == model.KindEntry {
		return "network"
	}
	return "name"
}

// patched is an object as JSON after a merge patch.
func patched(old model.Object, patch []byte) ([]byte, error) {
	model.Redact(old)
	text, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	var target, changes any
	if err := exactly(text, &target); err != nil {
		return nil, err
	}
	if err := exactly(patch, &changes); err != nil {
		return nil, problem(badRequest, "the body is not JSON: %v", plainJSON(err))
	}
	if _, ok := changes.(map[string]any); !ok {
		return nil, problem(badRequest, "a merge patch is an object with the fields to change")
	}
	return json.Marshal(mergePatch(target, changes))
}

// exactly decodes without rounding numbers.
func exactly(text []byte, into any) error {
	if !json.Valid(text) {
		return json.Unmarshal(text, into)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}

func (a *API) delete(ctx context.Context, c *caller, key model.Key, ifMatch string) (*Nothing, error) {
	// The right to change a site is none to delete it.
	if !c.mayEdit(key) || key.Kind == model.KindSite && !c.super {
		return nil, notAllowed(c, "delete", key.Kind, key.Site)
	}
	if needsProofOf(key.Kind) {
		if err := a.sure(c); err != nil {
			return nil, err
		}
	}
	rev, err := revisionOf(ifMatch)
	if err != nil {
		return nil, err
	}
	switch rev {
	case anyRevision:
		rev = 0
	case 0:
		return nil, problem(conflict, "no object that is kept has the revision 0; read it anew")
	}
	_, err = a.Engine.Write(ctx, c.name(), func(tx *engine.Tx) error { return tx.Delete(key, rev) })
	return &Nothing{}, err
}
