package rest

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
)

// SiteState is a site as it runs on this node.
type SiteState struct {
	State    string         `json:"state" enum:"running,stopped,draining,failed"`
	Reason   string         `json:"reason,omitempty" doc:"Why it failed, and what to do."`
	Since    time.Time      `json:"since,omitzero"`
	Sessions int            `json:"sessions"`
	Bindings []BindingState `json:"bindings,omitempty"`
	// Weak are the weak algorithms that are switched on, as "NAME: WHY".
	Weak []string `json:"weak,omitempty" doc:"Weak algorithms that are switched on, each with why it is weak."`
}

// BindingState is whether a site listens where it should.
type BindingState struct {
	Name      string `json:"name"`
	Address   string `json:"address" doc:"HOST:PORT."`
	Listening bool   `json:"listening"`
	Reason    string `json:"reason,omitempty" doc:"Why it does not listen, and what to do."`
}

// StateOut is SiteState as an answer.
type StateOut struct{ Body SiteState }

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
	state := operation{
		method: http.MethodGet, path: "/sites/{site}/state", id: "site-state", tag: "sites",
		summary: "Tell how a site runs", out: reflect.TypeFor[SiteState](), problems: []problemType{notFound},
	}
	operate(a, state, func(_ context.Context, c *caller, in *InSite) (*StateOut, error) {
		if !c.mayView(model.SiteKey(in.Site)) {
			return nil, notAllowed(c, "see", model.KindSite, in.Site)
		}
		return a.siteState(in.Site)
	})
	for _, verb := range []struct {
		name, summary string
		do            func(Sites, context.Context, string) error
	}{
		{"start", "Start a site", Sites.Start},
		{"stop", "Stop a site at once, with all its sessions", Sites.Stop},
		{"drain", "Stop a site as soon as its transfers are done", Sites.Drain},
	} {
		operate(a, operation{
			method: http.MethodPost, path: "/sites/{site}/" + verb.name, id: verb.name + "-site", tag: "sites",
			summary: verb.summary, out: reflect.TypeFor[SiteState](), problems: []problemType{notFound},
		}, func(ctx context.Context, c *caller, in *InSite) (*StateOut, error) {
			if !c.super {
				return nil, notAllowed(c, verb.name, model.KindSite, in.Site)
			}
			if err := a.siteRuns(in.Site); err != nil {
				return nil, err
			}
			err := verb.do(a.Sites, ctx, in.Site)
			e := audit.Event{Event: "site." + verb.name, Outcome: audit.Done, Site: in.Site, Object: model.SiteKey(in.Site).String()}
			if err != nil {
				e.Outcome, e.Message = audit.Failed, err.Error()
			}
			if a.tell(c, e); err != nil {
				return nil, err
			}
			return a.siteState(in.Site)
		})
	}
	a.registerSessions()
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
	return &StateOut{Body: a.Sites.State(site)}, nil
}

func (a *API) registerSessions() {
	mayView := func(r model.Rights) bool { return r.MayView(model.KindUser) }
	mayEdit := func(r model.Rights) bool { return r.MayEdit(model.KindUser) }
	operate(a, operation{
		method: http.MethodGet, path: "/sites/{site}/sessions", id: "list-sessions", tag: "sessions", summary: "List the sessions of a site",
		help: "For who may see the site's users.", out: reflect.TypeFor[SessionList](), problems: []problemType{notFound},
	}, func(_ context.Context, c *caller, in *InSite) (*SessionsOut, error) {
		if !c.inSite(in.Site, mayView) {
			return nil, notAllowed(c, "see", model.KindUser, in.Site)
		}
		if err := a.siteRuns(in.Site); err != nil {
			return nil, err
		}
		list := &SessionList{Items: []Session{}}
		for _, s := range a.Sites.Sessions(in.Site) {
			list.Items = append(list.Items, sessionView(s))
		}
		return &SessionsOut{Body: list}, nil
	})
	type some struct {
		InSite
		KickQuery
	}
	kick := operation{
		method: http.MethodDelete, path: "/sites/{site}/sessions", id: "kick-sessions", tag: "sessions", summary: "End sessions of a site",
		help: "For who may change the site's users.", out: reflect.TypeFor[Kicked](), problems: []problemType{notFound},
	}
	operate(a, kick, func(_ context.Context, c *caller, in *some) (*KickedOut, error) {
		if !c.inSite(in.Site, mayEdit) {
			return nil, notAllowed(c, "end the sessions of", model.KindUser, in.Site)
		}
		return a.kick(c, in.Site, func(s sftpd.Session) bool { return in.User == "" || model.Fold(s.User) == model.Fold(in.User) })
	})
	type one struct {
		InSite
		SessionID
	}
	kick.path, kick.id, kick.summary = "/sites/{site}/sessions/{session}", "kick-session", "End a session"
	operate(a, kick, func(_ context.Context, c *caller, in *one) (*KickedOut, error) {
		if !c.inSite(in.Site, mayEdit) {
			return nil, notAllowed(c, "end the sessions of", model.KindUser, in.Site)
		}
		out, err := a.kick(c, in.Site, func(s sftpd.Session) bool { return s.ID == in.Session })
		if err == nil && out.Body.Ended == 0 {
			return nil, problem(notFound, "there is no such session any more")
		}
		return out, err
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
	n := a.Sites.Kick(site, "ended by "+c.name(), which)
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
	err := a.Engine.Read(func(r *engine.Reader) error {
		u, err := engine.Users.Get(r, key.Site, key.ID)
		if err != nil {
			return err
		}
		var groups []*model.Group
		for _, name := range u.Groups {
			g, err := engine.Groups.Get(r, key.Site, name)
			if err != nil {
				return err
			}
			groups = append(groups, g)
		}
		out.Effective = u.Effective(groups)
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
