package rest

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/protector"
)

// requestsPerMinute is what an address, and a caller, may ask unless the settings say
// otherwise; half of it at once.
const requestsPerMinute = 1200

// admit decides whether a request is answered, and tells who asks: nobody for what is open
// to all.
func (a *API) admit(r *http.Request, free bool) (*caller, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	from := addressOf(r, settings.Web.TrustedProxies)
	if err := a.letIn(from); err != nil {
		return nil, err
	}
	limit := float64(settings.Web.RequestsPerMinute)
	if limit == 0 {
		limit = requestsPerMinute
	}
	if err := a.ration("address/"+network(from), limit); err != nil {
		return nil, err
	}
	// Requests without a browser's headers pass: it is browsers that are led astray.
	if err := a.origin.Check(r); err != nil {
		return nil, problem(crossOrigin, "a page of another site sent this; open the server's own pages")
	}
	if free {
		c := &caller{from: from}
		if cookie, err := r.Cookie(SessionCookie); err == nil {
			c.came = cookie.Value
		}
		return c, nil
	}
	c, err := a.identify(r, from, settings)
	if err != nil {
		return nil, err
	}
	if err := a.ration(c.name(), limit); err != nil {
		return nil, err
	}
	return c, nil
}

// letIn asks the Protector about an address.
func (a *API) letIn(from netip.Addr) error {
	if a.Protector == nil {
		return nil
	}
	if err := a.Protector.Admit(from); err != nil {
		return problem(forbidden, "%v", err)
	}
	return nil
}

func (a *API) ration(key string, perMinute float64) error {
	if wait := a.limits.take(key, perMinute, max(perMinute/2, 1)); wait > 0 {
		return later(tooMany, wait, "more than %.0f requests a minute; wait a moment", perMinute)
	}
	return nil
}

func (a *API) settings() (s *model.Settings, err error) {
	err = a.Engine.Read(func(r *engine.Reader) (err error) {
		s, err = engine.CurrentSettings(r)
		return err
	})
	return s, err
}

func idleOf(s *model.Settings) time.Duration {
	if s.Web.SessionMinutes > 0 {
		return time.Duration(s.Web.SessionMinutes) * time.Minute
	}
	return sessionIdle
}

// identify finds who asks. A token that was sent counts, whatever cookies came along.
func (a *API) identify(r *http.Request, from netip.Addr, settings *model.Settings) (*caller, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, problem(unauthenticated, "send a token as Authorization: Bearer TOKEN")
		}
		return a.byToken(strings.TrimSpace(token), from)
	}
	cookie, err := r.Cookie(SessionCookie)
	if err != nil {
		return nil, problem(unauthenticated, "send a token as Authorization: Bearer TOKEN, or log in at %s/login", Prefix)
	}
	return a.bySession(r, cookie.Value, from, settings)
}

// errSession is the answer to every session that does not hold, whatever the reason.
func errSession() *Problem { return problem(unauthenticated, "the session is over; log in again") }

func (a *API) bySession(r *http.Request, value string, from netip.Addr, settings *model.Settings) (*caller, error) {
	s := a.sessions.find(value, idleOf(settings), r.Context().Value(watchKey{}) == nil)
	if s == nil {
		return nil, errSession()
	}
	return a.sessionCaller(r, s, from)
}

// sessionCaller is who has a session, as his account is now.
func (a *API) sessionCaller(r *http.Request, s *session, from netip.Addr) (*caller, error) {
	found, _, err := a.accounts.read(s.account.String())
	if errors.Is(err, auth.ErrUnknown) {
		a.sessions.end(s)
		return nil, errSession()
	}
	if err != nil {
		return nil, err
	}
	stamp := found.stamp()
	if subtle.ConstantTimeCompare(stamp[:], s.stamp[:]) != 1 {
		a.sessions.end(s)
		return nil, errSession()
	}
	c := found.caller(from)
	c.session = s
	switch _, err := a.gate(nil).MayLogIn(r.Context(), s.account.String(), from, true); {
	case errors.Is(err, auth.ErrMustChange):
		c.mustChange = true
	case err != nil:
		return nil, problem(unauthenticated, "%v; log in again when that has changed", err)
	}
	return c, nil
}

// gate is package auth over the accounts of administrators.
func (a *API) gate(settings *model.Settings) *auth.Gate {
	g := &auth.Gate{Users: a.accounts, Hasher: a.Hasher, Log: a.Log, Now: a.Now}
	if settings != nil {
		g.Policy = auth.PolicyOf(settings.PasswordRule)
	}
	return g
}

// byToken is the caller of a token. All refusals are one: which it was, nobody learns.
func (a *API) byToken(text string, from netip.Addr) (*caller, error) {
	t, err := a.tokenOf(text)
	if err != nil {
		return nil, err
	}
	now := a.Now()
	why := ""
	switch {
	case t == nil:
		why = "it is none"
	case t.Disabled:
		why = "it is disabled"
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		why = "it has expired"
	case len(t.AllowFrom) > 0 && !model.Within(from, t.AllowFrom):
		why = "it may not be used from this address"
	}
	if why == "" {
		return &caller{key: t.Key(), from: from, super: t.Super, sites: t.Sites, rights: t.Rights}, nil
	}
	by := ""
	if t != nil {
		by = t.Key().String()
	}
	a.offended(from, audit.Event{Event: "api.token", Outcome: audit.Refused, By: by, Message: why})
	return nil, problem(unauthenticated, "the token is not valid here; a SuperAdmin can make another")
}

// offended notes a way in that was refused. An address that goes on is noted now and then.
func (a *API) offended(from netip.Addr, e audit.Event) {
	if a.Protector != nil {
		a.Protector.Offend(from, protector.BadLogin)
	}
	if a.limits.take("told/"+network(from), 6, 20) == 0 {
		e.From = from.String()
		a.tell(nil, e)
	}
}
