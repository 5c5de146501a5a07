package rest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
)

// role is a caller and what he may, as this test knows it.
type role struct {
	*client
	name  string
	super bool
	sites []string
	view  []model.Kind
	edit  []model.Kind
}

// sees tells whether the role may know of anything of a kind in a site; "server" stands
// for what belongs to none.
func (r *role) sees(kind, site string) bool {
	return r.super || slices.Contains(r.sites, site) && (slices.Contains(r.view, model.Kind(kind)) || slices.Contains(r.edit, model.Kind(kind)))
}

// changes tells whether the role may have made a change.
func (r *role) changes(c engine.Change) bool {
	site := c.Key.Site
	if c.Key.Kind == model.KindSite {
		site = c.Key.ID
	}
	if r.super {
		return true
	}
	return slices.Contains(r.sites, site) && slices.Contains(r.edit, c.Key.Kind) && (c.Key.Kind != model.KindSite || c.Op == engine.OpUpdate)
}

// Everything in the world has a mark in its name that says what it is and where.
var mark = regexp.MustCompile(`mk-([a-z]+)-([a-z]+)-`)

func marked(kind model.Kind, site string, n int) string {
	if site == "" {
		site = "server"
	}
	return fmt.Sprintf("mk-%s-%s-%d", kind, site, n)
}

var roleSites = []string{"alpha", "beta", "gamma"}

// sampleObject is a marked object of a kind, as a body.
func sampleObject(rnd *rand.Rand, kind model.Kind, site string, n int) map[string]any {
	m := marked(kind, site, n)
	o := map[string]any{"name": m}
	switch kind {
	case model.KindUser:
		o["description"], o["email"] = m+" text", m+"@example.com"
		if site != "" && (n == 0 || rnd.IntN(2) == 0) {
			o["groups"] = []string{marked(model.KindGroup, site, 0)}
			o["home"] = map[string]any{"vfs": marked(model.KindVFS, site, 0)}
		}
	case model.KindVFS:
		o["description"], o["root"] = m+" text", "/srv/ss-server/"+site+"/"+m
	case model.KindLDAP:
		o["disabled"], o["reason"] = true, m+" text"
	case model.KindBinding:
		o["node"], o["port"] = "n1", 3000+10*rnd.IntN(3)+rnd.IntN(3)
	case model.KindCertificate:
		o["type"], o["domains"] = "self-signed", []string{m + ".example.com"}
	case model.KindEntry:
		o["list"], o["network"], o["notes"] = "block", fmt.Sprintf("198.51.100.%d", n), m+" text"
		delete(o, "name")
	case model.KindSuperAdmin, model.KindAdmin:
		o["email"] = m + "@example.com"
	case model.KindSite:
		o["name"], o["title"] = fmt.Sprintf("x%d", n), marked(kind, fmt.Sprintf("x%d", n), 0)
	case model.KindNode, model.KindGroup, model.KindToken:
		o["description"] = m + " text"
	}
	return o
}

// peopled is a world with marked objects of every kind in three sites and the server.
func peopled(t testing.TB) *world {
	w := newWorld(t)
	w.write(&model.Node{Head: model.Head{Name: "n1"}})
	log := audit.Open(filepath.Join(t.TempDir(), "audit"), audit.DefaultLimits(), w.now, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = log.Close() })
	w.api.Events = log
	for _, site := range roleSites {
		for _, kind := range model.FullRights().View {
			m := marked(kind, site, 0)
			log.Append(audit.Event{Event: "config.change", Site: site, Object: model.Key{Kind: kind, Site: site, ID: m}.String(), Message: m})
		}
		for _, event := range []string{"session.login", "file.upload"} {
			log.Append(audit.Event{Event: event, Site: site, Message: marked(model.KindUser, site, 0)})
		}
		log.Append(audit.Event{Event: "config.change", Object: model.SiteKey(site).String(), Message: marked(model.KindSite, site, 0)})
	}
	for _, site := range roleSites {
		w.write(&model.Site{Head: model.Head{Name: site}, Title: marked(model.KindSite, site, 0)})
		w.sites.sessions[site] = []sftpd.Session{{ID: 1, Site: site, User: marked(model.KindUser, site, 0)}}
	}
	super := w.super()
	rnd := rand.New(rand.NewPCG(1, 2))
	list := kinds()
	// Users last: they refer to the rest.
	slices.SortStableFunc(list, func(a, b kind) int {
		return strings.Compare(strings.TrimPrefix(string(a.Kind), "user"), strings.TrimPrefix(string(b.Kind), "user"))
	})
	slices.Reverse(list)
	for _, k := range list {
		if k.single || k.kept || k.Kind == model.KindSite {
			continue
		}
		for n := range 2 {
			if k.inServer {
				super.post("/"+k.path, sampleObject(rnd, k.Kind, "", n)).must(http.StatusCreated)
			}
			for i, site := range roleSites {
				if !k.inSites {
					break
				}
				o := sampleObject(rnd, k.Kind, site, n)
				if k.Kind == model.KindBinding {
					o["port"] = 3000 + 10*i + n
				}
				super.post("/sites/"+site+"/"+k.path, o).must(http.StatusCreated)
			}
		}
	}
	return w
}

func (w *world) role(name string, sites []string, view, edit []model.Kind) *role {
	token := w.tokenFor(&model.Token{Head: model.Head{Name: name}, Sites: sites, Rights: model.Rights{View: view, Edit: edit}})
	return &role{client: token, name: name, sites: sites, view: view, edit: edit}
}

// TestNoRoleSeesOrChangesWhatItMayNot has random roles ask random things, and looks at
// every answer for marks, and at every change for its author.
func TestNoRoleSeesOrChangesWhatItMayNot(t *testing.T) {
	seeds := []uint64{1, 2, rand.Uint64()}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := peopled(t)
			rnd := rand.New(rand.NewPCG(seed, 7))
			all := model.FullRights().Edit
			everything := model.Kinds() // rights that an Admin cannot use
			roles := []*role{
				{client: w.tokenFor(&model.Token{Head: model.Head{Name: "ruler"}, Super: true}), name: "ruler", super: true},
				w.role("alpha-admin", []string{"alpha"}, nil, all),
				w.role("two-sites", []string{"alpha", "beta"}, all, []model.Kind{model.KindUser, model.KindGroup}),
				w.role("storage", []string{"beta"}, nil, []model.Kind{model.KindVFS}),
				w.role("greedy", []string{"gamma"}, everything, everything),
				w.role("bindings", []string{"gamma"}, nil, []model.Kind{model.KindBinding, model.KindSite}),
				w.role("nothing", []string{"alpha"}, nil, nil),
				w.role("nowhere", nil, everything, everything),
			}
			byName := map[string]*role{}
			for _, r := range roles {
				byName["token/"+r.name] = r
			}
			var mu sync.Mutex
			stop := w.engine.Listen(func(_ context.Context, changes []engine.Change) {
				mu.Lock()
				defer mu.Unlock()
				for _, c := range changes {
					if r := byName[c.By]; r != nil && !r.changes(c) {
						t.Errorf("%s did %s %s", c.By, c.Op, c.Key)
					}
				}
			})
			defer stop()
			steps, done := 800, map[string]int{}
			if testing.Short() {
				steps = 200
			}
			for range steps {
				r := roles[rnd.IntN(len(roles))]
				method, path, body := randomCall(rnd)
				c := r.client
				if rnd.IntN(4) > 0 {
					c = c.ifMatch("*")
				}
				w.pass(1e9)
				got := c.do(method, path, body)
				if got.StatusCode >= 500 && got.StatusCode != http.StatusServiceUnavailable {
					t.Fatalf("%s: %s %s", r.name, got.what, got.text)
				}
				if !r.super {
					done[fmt.Sprint(got.StatusCode/100)]++
				}
				for _, found := range mark.FindAllStringSubmatch(string(got.text)+got.Header.Get("Location"), -1) {
					if !r.sees(found[1], found[2]) {
						t.Errorf("%s learned of %s by %s %v: %s %s", r.name, found[0], got.what, body, got.Status, got.text)
					}
				}
			}
			// A test in which nothing succeeds shows nothing.
			if done["2"] < steps/20 || done["4"] < steps/5 {
				t.Errorf("the answers were %v", done)
			}
		})
	}
}

// randomCall is something that can be asked.
func randomCall(rnd *rand.Rand) (method, path string, body any) {
	list := kinds()
	k := list[rnd.IntN(len(list))]
	site := roleSites[rnd.IntN(len(roleSites))]
	at := "/" + k.path
	if k.inSites && (!k.inServer || rnd.IntN(3) > 0) {
		at = "/sites/" + site + at
	} else {
		site = ""
	}
	n := rnd.IntN(4)
	id := marked(k.Kind, site, n)
	switch k.Kind {
	case model.KindEntry:
		id = fmt.Sprintf("block:198.51.100.%d", n)
	case model.KindSite:
		if id = roleSites[rnd.IntN(3)]; rnd.IntN(3) == 0 {
			id = fmt.Sprintf("x%d", n)
		}
	case model.KindHostKey:
		if rnd.IntN(2) == 0 {
			id = "ed25519"
		}
	}
	one := at + "/" + url.PathEscape(id)
	if k.single {
		one = at
	}
	o := sampleObject(rnd, k.Kind, site, n)
	switch rnd.IntN(12) {
	case 0, 1:
		return http.MethodGet, at + randomQuery(rnd), nil
	case 2, 3:
		return http.MethodGet, one, nil
	case 4, 5:
		return http.MethodPost, at, o
	case 6:
		return http.MethodPut, one, o
	case 7, 8:
		delete(o, "name")
		if rnd.IntN(3) == 0 {
			// Another's site in the body is nobody's.
			o["site"] = roleSites[rnd.IntN(3)]
		}
		return http.MethodPatch, one, o
	case 9:
		return http.MethodDelete, one, nil
	case 10:
		return http.MethodGet, fmt.Sprintf("/changes?since=%d&limit=1000", rnd.IntN(60)), nil
	}
	site = roleSites[rnd.IntN(3)]
	rest := []struct{ method, path string }{
		{http.MethodGet, "/sites/" + site + "/sessions"},
		{http.MethodDelete, "/sites/" + site + "/sessions?user=" + marked(model.KindUser, site, 0)},
		{http.MethodDelete, "/sites/" + site + "/sessions/1"},
		{http.MethodGet, "/sites/" + site + "/state"},
		{http.MethodGet, "/states"},
		{http.MethodGet, "/sites/" + site + "/needs"},
		{http.MethodPost, "/sites/" + site + "/start"},
		{http.MethodPost, "/sites/" + site + "/stop"},
		{http.MethodGet, "/sites/" + site + "/users/" + marked(model.KindUser, site, rnd.IntN(3)) + "/status"},
		{http.MethodGet, "/sites/" + site + "/hostkeys/" + marked(model.KindHostKey, site, rnd.IntN(3)) + "/verdict"},
		{http.MethodGet, "/audit?site=" + site},
		{http.MethodGet, "/audit"},
		{http.MethodGet, "/me"},
	}
	call := rest[rnd.IntN(len(rest))]
	return call.method, call.path, nil
}

func randomQuery(rnd *rand.Rand) string {
	q := url.Values{}
	if rnd.IntN(2) == 0 {
		q.Set("q", []string{"mk", "text", "alpha", "gamma"}[rnd.IntN(4)])
	}
	if rnd.IntN(3) == 0 {
		q.Set("sort", []string{"-name", "modified", "-created"}[rnd.IntN(3)])
	}
	if rnd.IntN(3) == 0 {
		site := roleSites[rnd.IntN(3)]
		q.Set("refersTo", []string{"node/n1", "site/" + site, "group/" + site + "/" + marked(model.KindGroup, site, 0)}[rnd.IntN(3)])
	}
	q.Set("total", fmt.Sprint(rnd.IntN(2) == 0))
	return "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}
