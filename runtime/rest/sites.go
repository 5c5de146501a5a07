package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sites"
)

// StateOut is how a site runs, as an answer.
type StateOut struct{ Body sites.SiteStatus }

// StateList is how the sites run that the caller may see.
type StateList struct {
	Items []sites.SiteStatus `json:"items" nullable:"false"`
}

// StatesOut is StateList as an answer.
type StatesOut struct{ Body *StateList }

// Need is a client that needs a weak algorithm.
type Need struct {
	Algorithm string    `json:"algorithm"`
	User      string    `json:"user,omitempty" doc:"Empty if it came no further than the key exchange."`
	Client    string    `json:"client,omitempty"`
	Address   string    `json:"address,omitempty" doc:"Of the last time."`
	Last      time.Time `json:"last"`
	Times     int       `json:"times"`
	Allowed   bool      `json:"allowed" doc:"The site has the algorithm switched on."`
}

// NeedList are the clients of a site that need weak algorithms.
type NeedList struct {
	Items []Need `json:"items" nullable:"false"`
}

// NeedsOut is NeedList as an answer.
type NeedsOut struct{ Body *NeedList }

// Session is one of a user that runs.
type Session struct {
	ID       uint64    `json:"id"`
	User     string    `json:"user"`
	Address  string    `json:"address"`
	Client   string    `json:"client,omitempty" doc:"What the client calls itself; anybody can write anything there."`
	Key      string    `json:"key,omitempty" doc:"The fingerprint of the key that it was opened with."`
	Cipher   string    `json:"cipher,omitempty"`
	Started  time.Time `json:"started"`
	Active   time.Time `json:"active" doc:"When the client last asked for something."`
	Received int64     `json:"received" doc:"Bytes on the wire."`
	Sent     int64     `json:"sent"`
	Transfer int       `json:"transfers" doc:"How many files are open."`
}

// SessionList are the sessions of a site.
type SessionList struct {
	Items []Session `json:"items" nullable:"false"`
}

// SessionsOut is SessionList as an answer.
type SessionsOut struct{ Body *SessionList }

// Kicked tells how many sessions were ended.
type Kicked struct {
	Ended int `json:"ended"`
}

// KickedOut is Kicked as an answer.
type KickedOut struct{ Body *Kicked }

// KickQuery says whose sessions end.
type KickQuery struct {
	User string `query:"user" maxLength:"200" doc:"Only those of this user; of all if it is left out."`
}

// SessionID is a session in a path.
type SessionID struct {
	Session uint64 `path:"session"`
}

// UserStatus is whether a user can log in now, and when he last did.
type UserStatus struct {
	CanSignIn bool            `json:"canSignIn"`
	Reason    string          `json:"reason,omitempty" doc:"Why not."`
	Activity  engine.Activity `json:"activity"`
	Sessions  int             `json:"sessions"`
	Effective *model.User     `json:"effective" doc:"The user with what the groups give him."`
}

// UserStatusOut is UserStatus as an answer.
type UserStatusOut struct{ Body *UserStatus }

func (a *API) registerSites() {
	status := reflect.TypeFor[sites.SiteStatus]()
	operate(a, operation{
		method: http.MethodGet, path: "/states", id: "site-states", tag: "sites",
		summary: "Tell how all sites run", out: reflect.TypeFor[StateList](),
	}, func(_ context.Context, c *caller, _ *struct{}) (*StatesOut, error) { return a.states(c) })
	operate(a, operation{
		method: http.MethodGet, path: "/sites/{site}/state", id: "site-state", tag: "sites",
		summary: "Tell how a site runs", out: status, problems: []problemType{notFound},
	}, func(_ context.Context, c *caller, in *InSite) (*StateOut, error) { return a.stateOf(c, in.Site) })
	operate(a, operation{
		method: http.MethodGet, path: "/sites/{site}/needs", id: "site-needs", tag: "sites",
		summary: "List the clients that need weak algorithms", out: reflect.TypeFor[NeedList](), problems: []problemType{notFound},
		help: "For who may see the site and its users.",
	}, a.needs)
	for _, verb := range siteVerbs {
		operate(a, operation{
			method: http.MethodPost, path: "/sites/{site}/" + verb.name, id: verb.name + "-site", tag: "sites",
			summary: verb.summary, help: verb.help, out: status, problems: []problemType{notFound},
		}, func(ctx context.Context, c *caller, in *InSite) (*StateOut, error) {
			return a.runSite(ctx, c, verb, in.Site)
		})
	}
	a.registerSessions()
}

// siteVerb is what can be done to a site that runs.
type siteVerb struct {
	name, summary, help string
	do                  func(*API, context.Context, *caller, string) error
}

var siteVerbs = []siteVerb{
	{"start", "Start a site", "A binding that cannot be had is told in the answer.", (*API).startSite},
	{"stop", "Stop a site at once, with all its sessions", "It stays so until it or the server is started.", (*API).stopSite},
	{"drain", "Stop a site when its transfers are done", "The answer comes at once; the limits of the site say how long they may take.", (*API).drainSite},
}

func (a *API) runSite(ctx context.Context, c *caller, verb siteVerb, site string) (*StateOut, error) {
	if !c.super {
		return nil, notAllowed(c, verb.name, model.KindSite, site)
	}
	if err := a.siteRuns(site); err != nil {
		return nil, err
	}
	if err := verb.do(a, ctx, c, site); err != nil {
		return nil, err
	}
	return a.siteState(site)
}

func (a *API) states(c *caller) (*StatesOut, error) {
	if !c.mayViewAny(model.KindSite, "") {
		return nil, notAllowed(c, "see", model.KindSite, "")
	}
	out := &StateList{Items: []sites.SiteStatus{}}
	if a.Sites == nil {
		return &StatesOut{Body: out}, nil
	}
	for _, s := range a.Sites.Status() {
		if c.mayView(model.SiteKey(s.Site)) {
			out.Items = append(out.Items, whole(s))
		}
	}
	return &StatesOut{Body: out}, nil
}

func (a *API) stateOf(c *caller, site string) (*StateOut, error) {
	if !c.mayView(model.SiteKey(site)) {
		return nil, notAllowed(c, "see", model.KindSite, site)
	}
	return a.siteState(site)
}

// startSite starts a site. That it cannot be served is no refusal: its state tells why.
func (a *API) startSite(_ context.Context, c *caller, site string) error {
	err := a.Sites.StartSite(site)
	a.tellSite(c, "start", site, err)
	if errors.Is(err, sites.ErrNoSite) {
		return err
	}
	return nil
}

func (a *API) stopSite(ctx context.Context, c *caller, site string) error {
	now, cancel := context.WithCancel(ctx)
	cancel()
	err := a.Sites.StopSite(now, site)
	a.tellSite(c, "stop", site, err)
	return err
}

func (a *API) drainSite(_ context.Context, c *caller, site string) error {
	a.draining.Go(func() {
		err := a.Sites.StopSite(context.Background(), site)
		a.tellSite(c, "drain", site, err)
	})
	return nil
}

func (a *API) tellSite(c *caller, verb, site string, err error) {
	e := audit.Event{Event: "site." + verb, Outcome: audit.Done, Site: site, Object: model.SiteKey(site).String()}
	if err != nil {
		e.Outcome, e.Message = audit.Failed, err.Error()
	}
	a.tell(c, e)
}

// siteRuns refuses sites that are not there, and servers that run none.
func (a *API) siteRuns(site string) error {
	if err := a.siteThere(site); err != nil {
		return err
	}
	if a.Sites == nil {
		return later(unavailable, 0, "this server runs no sites now")
	}
	return nil
}

func (a *API) siteState(site string) (*StateOut, error) {
	if err := a.siteRuns(site); err != nil {
		return nil, err
	}
	for _, s := range a.Sites.Status() {
		if s.Site == site {
			return &StateOut{Body: whole(s)}, nil
		}
	}
	return &StateOut{Body: whole(sites.SiteStatus{Site: site})}, nil
}

// whole has an empty list where there is none.
func whole(s sites.SiteStatus) sites.SiteStatus {
	if s.Bindings == nil {
		s.Bindings = []sites.BindingStatus{}
	}
	return s
}

func (a *API) needs(_ context.Context, c *caller, in *InSite) (*NeedsOut, error) {
	for _, key := range []model.Key{model.SiteKey(in.Site), {Kind: model.KindUser, Site: in.Site}} {
		if !c.mayView(key) {
			return nil, notAllowed(c, "see", key.Kind, in.Site)
		}
	}
	if err := a.siteRuns(in.Site); err != nil {
		return nil, err
	}
	found, err := a.Sites.Needs(in.Site)
	if err != nil {
		return nil, err
	}
	out := &NeedList{Items: []Need{}}
	for _, n := range found {
		item := Need{Algorithm: n.Algorithm, User: n.User, Client: n.Client, Last: n.Last, Times: n.Times, Allowed: n.Allowed}
		if n.Addr.IsValid() {
			item.Address = n.Addr.String()
		}
		out.Items = append(out.Items, item)
	}
	return &NeedsOut{Body: out}, nil
}

func (a *API) registerSessions() {
	operate(a, operation{
		method: http.MethodGet, path: "/sites/{site}/sessions", id: "list-sessions", tag: "sessions", summary: "List the sessions of a site",
		help: "For who may see the site's users.", out: reflect.TypeFor[SessionList](), problems: []problemType{notFound},
	}, func(_ context.Context, c *caller, in *InSite) (*SessionsOut, error) { return a.sessionsOf(c, in.Site) })
	type some struct {
		InSite
		KickQuery
	}
	kick := operation{
		method: http.MethodDelete, path: "/sites/{site}/sessions", id: "kick-sessions", tag: "sessions", summary: "End sessions of a site",
		help: "For who may change the site's users.", out: reflect.TypeFor[Kicked](), problems: []problemType{notFound},
	}
	operate(a, kick, func(_ context.Context, c *caller, in *some) (*KickedOut, error) {
		return a.kickUser(c, in.Site, in.User)
	})
	type one struct {
		InSite
		SessionID
	}
	kick.path, kick.id, kick.summary = "/sites/{site}/sessions/{session}", "kick-session", "End a session"
	operate(a, kick, func(_ context.Context, c *caller, in *one) (*KickedOut, error) {
		return a.kickOne(c, in.Site, in.Session)
	})
	type user struct {
		InSite
		ObjectID
	}
	operate(a, operation{
		method: http.MethodGet, path: "/sites/{site}/users/{id}/status", id: "user-status", tag: "users", summary: "Tell whether a user can log in now",
		out: reflect.TypeFor[UserStatus](), problems: []problemType{notFound},
	}, func(_ context.Context, c *caller, in *user) (*UserStatusOut, error) {
		return a.userStatus(c, keyOf(model.KindUser, in.Site, in.ID))
	})
	type at struct {
		InSite
		ObjectID
		ReachQuery
	}
	operate(a, operation{
		method: http.MethodGet, path: "/sites/{site}/users/{id}/rights", id: "user-rights", tag: "users", summary: "Tell what a user may where",
		help: "With what the groups give, as sessions find it, but for symbolic links on the way.",
		out:  reflect.TypeFor[ReachList](), problems: []problemType{notFound},
	}, func(_ context.Context, c *caller, in *at) (*ReachOut, error) {
		return a.reach(c, keyOf(model.KindUser, in.Site, in.ID), in.Path)
	})
}

// ReachQuery is a path to be looked at.
type ReachQuery struct {
	Path string `query:"path" maxLength:"4096" doc:"As the user sees it; every path where other rights begin if it is left out."`
}

// ReachList is what a user may where.
type ReachList struct {
	Items []sites.Reach `json:"items" nullable:"false"`
}

// ReachOut is ReachList as an answer.
type ReachOut struct{ Body *ReachList }

// reach tells what a user may at a path, or where other rights begin.
func (a *API) reach(c *caller, key model.Key, path string) (*ReachOut, error) {
	if !c.mayView(key) {
		return nil, notAllowed(c, "see", key.Kind, key.Site)
	}
	out := &ReachList{Items: []sites.Reach{}}
	err := a.Engine.Read(func(r *engine.Reader) error {
		u, err := effective(r, key)
		if err != nil {
			return err
		}
		var paths []string
		if path != "" {
			paths = []string{path}
		}
		found, err := sites.Reaches(r, u, paths...)
		out.Items = append(out.Items, found...)
		return err
	})
	if errors.Is(err, sites.ErrPath) {
		return nil, wrongField("path", err.Error(), "write it as the user sees it, as in /in/invoices")
	}
	if err != nil {
		return nil, err
	}
	return &ReachOut{Body: out}, nil
}

// effective is a user with what the groups give him.
func effective(r *engine.Reader, key model.Key) (*model.User, error) {
	u, err := engine.Users.Get(r, key.Site, key.ID)
	if err != nil {
		return nil, err
	}
	var groups []*model.Group
	for _, name := range u.Groups {
		g, err := engine.Groups.Get(r, key.Site, name)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return u.Effective(groups), nil
}

func mayViewUsers(r model.Rights) bool { return r.MayView(model.KindUser) }

func mayEditUsers(r model.Rights) bool { return r.MayEdit(model.KindUser) }

func (a *API) sessionsOf(c *caller, site string) (*SessionsOut, error) {
	if !c.inSite(site, mayViewUsers) {
		return nil, notAllowed(c, "see", model.KindUser, site)
	}
	if err := a.siteRuns(site); err != nil {
		return nil, err
	}
	list := &SessionList{Items: []Session{}}
	for _, s := range a.Sites.Sessions(site) {
		list.Items = append(list.Items, sessionView(s))
	}
	return &SessionsOut{Body: list}, nil
}

// kickUser ends the sessions of a user, or of all.
func (a *API) kickUser(c *caller, site, user string) (*KickedOut, error) {
	if !c.inSite(site, mayEditUsers) {
		return nil, notAllowed(c, "end the sessions of", model.KindUser, site)
	}
	return a.kick(c, site, func(s sftpd.Session) bool { return user == "" || model.Fold(s.User) == model.Fold(user) })
}

func (a *API) kickOne(c *caller, site string, id uint64) (*KickedOut, error) {
	if !c.inSite(site, mayEditUsers) {
		return nil, notAllowed(c, "end the sessions of", model.KindUser, site)
	}
	out, err := a.kick(c, site, func(s sftpd.Session) bool { return s.ID == id })
	if err == nil && out.Body.Ended == 0 {
		return nil, problem(notFound, "there is no such session any more")
	}
	return out, err
}

func sessionView(s sftpd.Session) Session {
	return Session{
		ID: s.ID, User: s.User, Address: s.Addr.String(), Client: s.Client, Key: s.Key, Cipher: s.Cipher,
		Started: s.Started, Active: s.Active, Received: s.Received, Sent: s.Sent, Transfer: len(s.Transfers),
	}
}

func (a *API) kick(c *caller, site string, which func(sftpd.Session) bool) (*KickedOut, error) {
	if err := a.siteRuns(site); err != nil {
		return nil, err
	}
	n, err := a.Sites.Kick(site, "ended by "+c.name(), which)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		a.tell(c, audit.Event{Event: "session.kick", Outcome: audit.Done, Site: site})
	}
	return &KickedOut{Body: &Kicked{Ended: n}}, nil
}

func (a *API) userStatus(c *caller, key model.Key) (*UserStatusOut, error) {
	if !c.mayView(key) {
		return nil, notAllowed(c, "see", key.Kind, key.Site)
	}
	out := &UserStatus{}
	var ways []model.AuthChain
	err := a.Engine.Read(func(r *engine.Reader) error {
		u, err := effective(r, key)
		if err != nil {
			return err
		}
		site, err := engine.Sites.Get(r, "", key.Site)
		if err != nil {
			return err
		}
		out.Effective = u
		if ways = out.Effective.Auth; len(ways) == 0 {
			ways = site.SSH.Auth
		}
		out.Activity, err = r.Activity(key)
		return err
	})
	if err != nil {
		return nil, err
	}
	out.CanSignIn, out.Reason = out.Effective.Active(a.Now())
	if out.CanSignIn && out.Effective.Home.VFS == "" && len(out.Effective.Folders) == 0 {
		out.CanSignIn, out.Reason = false, "the user has no home and no folder"
	}
	if out.CanSignIn && out.Effective.Password.Hash == "" && len(out.Effective.Keys) == 0 && out.Effective.LDAP == "" {
		out.CanSignIn, out.Reason = false, "the user has neither password nor key"
	}
	if out.CanSignIn && len(ways) > 0 && !slices.ContainsFunc(ways, func(way model.AuthChain) bool { return passable(way, out.Effective) }) {
		out.CanSignIn, out.Reason = false, fmt.Sprintf("no way in (%s) can be passed with what the user has: %s", listed(ways), belongings(out.Effective))
	}
	model.Redact(out.Effective)
	if a.Sites != nil {
		for _, s := range a.Sites.Sessions(key.Site) {
			if model.Fold(s.User) == key.ID {
				out.Sessions++
			}
		}
	}
	return &UserStatusOut{Body: out}, nil
}

// passable tells whether the user has what all methods of a way ask for.
func passable(way model.AuthChain, u *model.User) bool {
	for _, m := range way.Methods() {
		switch m {
		case model.AuthPublicKey:
			if len(u.Keys) == 0 {
				return false
			}
		case model.AuthTOTP:
			if !u.TOTP.On() {
				return false
			}
		default:
			if u.Password.Hash == "" && u.LDAP == "" {
				return false
			}
		}
	}
	return true
}

func listed(ways []model.AuthChain) string {
	words := make([]string, len(ways))
	for i, way := range ways {
		words[i] = string(way)
	}
	return strings.Join(words, " or ")
}

// belongings are what the user logs in with.
func belongings(u *model.User) string {
	var has []string
	for what, there := range map[string]bool{
		"a password": u.Password.Hash != "" || u.LDAP != "", "a key": len(u.Keys) > 0, "an authenticator app": u.TOTP.On(),
	} {
		if there {
			has = append(has, what)
		}
	}
	slices.Sort(has)
	return strings.Join(has, ", ")
}
