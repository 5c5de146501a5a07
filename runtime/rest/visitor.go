package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sites"
)

// Visitor is somebody whose request was let in, and what he may. The web pages ask on his
// behalf, through the very functions that answer REST: rights, validation, revisions, limits
// and the audit log are those of the operation of the same name. Every error is a *Problem.
type Visitor struct {
	api    *API
	caller *caller
}

// Arrive lets a request in that needs no session - a page that asks who it is - as far as
// the Protector, the ration of its address and its origin allow.
func (a *API) Arrive(r *http.Request) (*Visitor, error) { return a.visitor(r, true) }

// Enter lets in the request of somebody who has logged in.
func (a *API) Enter(r *http.Request) (*Visitor, error) { return a.visitor(r, false) }

// Watch is Enter for a page that looks again by itself: nobody is there, perhaps, so the
// session's time runs on.
func (a *API) Watch(r *http.Request) (*Visitor, error) {
	return a.visitor(r.WithContext(context.WithValue(r.Context(), watchKey{}, true)), false)
}

// watchKey marks the requests of Watch.
type watchKey struct{}

func (a *API) visitor(r *http.Request, free bool) (*Visitor, error) {
	c, err := a.admit(r, free)
	if err != nil {
		return nil, problemOf(nil, err, a.Log)
	}
	return &Visitor{a, c}, nil
}

// From is the address that the request came from, behind trusted proxies.
func (v *Visitor) From() netip.Addr { return v.caller.from }

// Refused notes a way in that was refused outside of Login, as a wrong setup code: the
// Protector counts it, the audit log has it.
func (v *Visitor) Refused(event string) {
	v.api.offended(v.caller.from, audit.Event{Event: event, Outcome: audit.Refused})
}

// Login opens a session for who me is: cookie is the header Set-Cookie for it.
func (v *Visitor) Login(ctx context.Context, ask *LoginRequest) (me *Me, cookie string, err error) {
	out, err := perform(v.api, v.caller, "login", false, func() (*MeOut, error) { return v.api.loginOf(ctx, v.caller, ask) })
	if err != nil {
		return nil, "", err
	}
	return out.Body, out.SetCookie, nil
}

// Logout ends the session; cookie takes it out of the browser.
func (v *Visitor) Logout() (cookie string, err error) {
	out, err := perform(v.api, v.caller, "logout", true, func() (*Gone, error) { return v.api.logout(v.caller) })
	if err != nil {
		return "", err
	}
	return out.SetCookie, nil
}

// Me is who asks.
func (v *Visitor) Me() (*Me, error) {
	out, err := perform(v.api, v.caller, "me", true, func() (*MeOut, error) { return v.api.me(v.caller) })
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// Name is who asks as it stands in objects and logs, as in "admin/otto".
func (v *Visitor) Name() string { return v.caller.name() }

// MustChange tells that nothing is possible before another password is set.
func (v *Visitor) MustChange() bool { return v.caller.mustChange }

// Super tells a SuperAdmin.
func (v *Visitor) Super() bool { return v.caller.super }

// NeedsSuper is the problem of who is no SuperAdmin and wants to do something, in words; id
// names it in the audit log. It is nil for a SuperAdmin.
func (v *Visitor) NeedsSuper(id, what string) error {
	_, err := perform(v.api, v.caller, id, false, func() (*Nothing, error) {
		if v.caller.super {
			return nil, nil
		}
		return nil, problem(forbidden, "%s may not %s; a SuperAdmin may", v.caller.name(), what)
	})
	return err
}

// NotThere is the problem of something that is not there, with the cure.
func (v *Visitor) NotThere(what, cure string) error {
	return problem(notFound, "%s is not there; %s", what, cure)
}

// MayView tells whether an object may be seen; for a key without ID, whether any of the
// kind may in its site.
func (v *Visitor) MayView(k model.Key) bool { return v.caller.mayView(k) }

// MayEdit tells whether an object may be made, changed and deleted. Sites are made and
// deleted by SuperAdmins only.
func (v *Visitor) MayEdit(k model.Key) bool { return v.caller.mayEdit(k) }

// MayList tells whether the list of a kind may be seen.
func (v *Visitor) MayList(k model.Kind, site string) bool { return v.caller.mayViewAny(k, site) }

// SetPassword sets another password of one's own; the session goes on under the new cookie.
func (v *Visitor) SetPassword(ctx context.Context, ask *PasswordRequest) (cookie string, err error) {
	out, err := perform(v.api, v.caller, "set-own-password", true, func() (*MeOut, error) { return v.api.setPassword(ctx, v.caller, ask) })
	if err != nil {
		return "", err
	}
	return out.SetCookie, nil
}

// PasswordTakesCode tells that SetPassword takes the code of the app, where there is one.
func (v *Visitor) PasswordTakesCode() bool { return v.api.ownPasswordTakesCode(v.caller) }

// NeedsProof tells that Prove must come before SuperAdmins and tokens can be made, changed or
// deleted, and before the server's secrets leave it or are replaced.
func (v *Visitor) NeedsProof() bool { return v.api.needsProof(v.caller) }

// Prove shows once more who it is.
func (v *Visitor) Prove(ctx context.Context, proof *Proof) error {
	_, err := perform(v.api, v.caller, "prove", false, func() (*Nothing, error) { return v.api.prove(ctx, v.caller, proof) })
	return err
}

// BeginTOTP begins to set up an authenticator app.
func (v *Visitor) BeginTOTP(ctx context.Context, proof *Proof) (*NewSecret, error) {
	out, err := perform(v.api, v.caller, "begin-totp", false, func() (*NewSecretOut, error) { return v.api.beginTOTP(ctx, v.caller, proof) })
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// PendingTOTP is what BeginTOTP began in this session, nil if nothing.
func (v *Visitor) PendingTOTP() *NewSecret {
	if v.caller.session == nil {
		return nil
	}
	secret := v.api.sessions.pendingOf(v.caller.session)
	if secret == "" {
		return nil
	}
	return v.api.newSecret(v.caller, secret)
}

// UseTOTP uses the app from now on; the recovery codes are told this once.
func (v *Visitor) UseTOTP(ctx context.Context, code string) (recovery []string, cookie string, err error) {
	out, err := perform(v.api, v.caller, "set-up-totp", false, func() (*RecoveryOut, error) { return v.api.useTOTP(ctx, v.caller, code) })
	if err != nil {
		return nil, "", err
	}
	return out.Body.Recovery, out.SetCookie, nil
}

// RemoveTOTP uses no app any more.
func (v *Visitor) RemoveTOTP(ctx context.Context, proof *Proof) (cookie string, err error) {
	out, err := perform(v.api, v.caller, "remove-totp", false, func() (*MeOut, error) { return v.api.removeTOTP(ctx, v.caller, proof) })
	if err != nil {
		return "", err
	}
	return out.SetCookie, nil
}

// List is a page of the objects of a kind, without their secrets.
func (v *Visitor) List(k model.Kind, site string, q *ListQuery) (*Page[model.Object], error) {
	out, err := perform(v.api, v.caller, "list-"+kindNamed(k).many, false, func() (*List, error) { return v.api.list(v.caller, k, site, q) })
	if err != nil {
		return nil, err
	}
	return out.Body.(*Page[model.Object]), nil
}

// Get is an object without its secrets.
func (v *Visitor) Get(key model.Key) (model.Object, error) {
	return v.object("get", key.Kind, func() (*One, error) { return v.api.get(v.caller, key, "") })
}

// Create makes an object of its JSON form. What is told of it only once - the text of a
// token - is in secret.
func (v *Visitor) Create(ctx context.Context, k model.Kind, site string, form any) (o model.Object, secret string, err error) {
	raw, err := json.Marshal(form)
	if err != nil {
		return nil, "", fmt.Errorf("write a new %s as JSON: %w", k.Noun(), err)
	}
	named := kindNamed(k)
	out, err := perform(v.api, v.caller, "create-"+named.one, false, func() (*One, error) {
		return v.api.create(ctx, v.caller, named, "/"+named.path, site, raw)
	})
	if err != nil {
		return nil, "", err
	}
	if made, ok := out.Body.(*MadeToken); ok {
		return made.Token, made.Secret, nil
	}
	return out.Body.(model.Object), "", nil
}

// Change applies a merge patch (RFC 7396) to the revision rev of an object.
func (v *Visitor) Change(ctx context.Context, key model.Key, rev uint64, patch any) (model.Object, error) {
	raw, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("write the change of %s as JSON: %w", model.Describe(key), err)
	}
	return v.object("change", key.Kind, func() (*One, error) {
		return v.api.change(ctx, v.caller, key, etag(rev), func(old model.Object) ([]byte, error) { return patched(old, raw) })
	})
}

// Delete deletes the revision rev of an object.
func (v *Visitor) Delete(ctx context.Context, key model.Key, rev uint64) error {
	_, err := perform(v.api, v.caller, "delete-"+kindNamed(key.Kind).one, false, func() (*Nothing, error) {
		return v.api.delete(ctx, v.caller, key, etag(rev))
	})
	return err
}

func (v *Visitor) object(verb string, k model.Kind, fn func() (*One, error)) (model.Object, error) {
	out, err := perform(v.api, v.caller, verb+"-"+kindNamed(k).one, false, fn)
	if err != nil {
		return nil, err
	}
	return out.Body.(model.Object), nil
}

// States tells how the sites run that may be seen.
func (v *Visitor) States() ([]sites.SiteStatus, error) {
	out, err := perform(v.api, v.caller, "site-states", false, func() (*StatesOut, error) { return v.api.states(v.caller) })
	if err != nil {
		return nil, err
	}
	return out.Body.Items, nil
}

// State tells how a site runs.
func (v *Visitor) State(site string) (sites.SiteStatus, error) {
	out, err := perform(v.api, v.caller, "site-state", false, func() (*StateOut, error) { return v.api.stateOf(v.caller, site) })
	if err != nil {
		return sites.SiteStatus{}, err
	}
	return out.Body, nil
}

// RunSite does a verb to a site: start, stop or drain.
func (v *Visitor) RunSite(ctx context.Context, verb, site string) (sites.SiteStatus, error) {
	for _, known := range siteVerbs {
		if known.name != verb {
			continue
		}
		out, err := perform(v.api, v.caller, verb+"-site", false, func() (*StateOut, error) { return v.api.runSite(ctx, v.caller, known, site) })
		if err != nil {
			return sites.SiteStatus{}, err
		}
		return out.Body, nil
	}
	return sites.SiteStatus{}, problem(notFound, "a site can be started, stopped or drained")
}

// Sessions are the sessions of a site.
func (v *Visitor) Sessions(site string) ([]Session, error) {
	out, err := perform(v.api, v.caller, "list-sessions", false, func() (*SessionsOut, error) { return v.api.sessionsOf(v.caller, site) })
	if err != nil {
		return nil, err
	}
	return out.Body.Items, nil
}

// Kick ends the sessions of a user of a site, or of all its users if user is empty.
func (v *Visitor) Kick(site, user string) (ended int, err error) {
	return v.kicked("kick-sessions", func() (*KickedOut, error) { return v.api.kickUser(v.caller, site, user) })
}

// KickSession ends one session.
func (v *Visitor) KickSession(site string, id uint64) (ended int, err error) {
	return v.kicked("kick-session", func() (*KickedOut, error) { return v.api.kickOne(v.caller, site, id) })
}

func (v *Visitor) kicked(id string, fn func() (*KickedOut, error)) (int, error) {
	out, err := perform(v.api, v.caller, id, false, fn)
	if err != nil {
		return 0, err
	}
	return out.Body.Ended, nil
}

// Needs are the clients of a site that need weak algorithms.
func (v *Visitor) Needs(ctx context.Context, site string) ([]Need, error) {
	out, err := perform(v.api, v.caller, "site-needs", false, func() (*NeedsOut, error) { return v.api.needs(ctx, v.caller, &InSite{Site: site}) })
	if err != nil {
		return nil, err
	}
	return out.Body.Items, nil
}

// UserStatus tells whether a user can log in now, and why not.
func (v *Visitor) UserStatus(key model.Key) (*UserStatus, error) {
	out, err := perform(v.api, v.caller, "user-status", false, func() (*UserStatusOut, error) { return v.api.userStatus(v.caller, key) })
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// Reach tells what a user may at a path, or where other rights begin if path is empty.
func (v *Visitor) Reach(key model.Key, path string) ([]sites.Reach, error) {
	out, err := perform(v.api, v.caller, "user-rights", false, func() (*ReachOut, error) { return v.api.reach(v.caller, key, path) })
	if err != nil {
		return nil, err
	}
	return out.Body.Items, nil
}

// JudgeHostKey tells whether a host key may be used.
func (v *Visitor) JudgeHostKey(key model.Key) (hostkey.Finding, error) {
	out, err := perform(v.api, v.caller, "judge-host-key", false, func() (*FindingOut, error) { return v.api.judgeHostKey(v.caller, key) })
	if err != nil {
		return hostkey.Finding{}, err
	}
	return out.Body, nil
}

// JudgeKey tells what there is to say of a public key, a line as in a .pub file.
func (v *Visitor) JudgeKey(line string) hostkey.Finding { return v.api.judgeLine(line) }

// Audit reads the audit log, as far as the visitor may.
func (v *Visitor) Audit(ctx context.Context, q *AuditQuery) (*AuditPage, error) {
	out, err := perform(v.api, v.caller, "read-audit-log", false, func() (*AuditOut, error) { return v.api.readAudit(ctx, v.caller, q) })
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// kindNamed is how REST names a kind; a test holds that it names all.
func kindNamed(k model.Kind) kind {
	for _, known := range kinds() {
		if known.Kind == k {
			return known
		}
	}
	return kind{Kind: k, one: string(k), many: string(k)}
}
