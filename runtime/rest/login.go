package rest

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// How often a log-in may fail: for one address and for one account, at once and a minute.
const (
	addressTries, addressTriesPerMinute = 10, 1
	accountTries, accountTriesPerMinute = 30, 2
)

// Bounds of what somebody types who logs in. The schema of REST says them in characters;
// whoever asks otherwise is held to them here. No name that there is has more bytes.
const (
	maxLoginName = 200
	maxTyped     = auth.MaxPassword
	maxTypedCode = 40
)

// recoveryCodes are how many a person gets.
const recoveryCodes = 8

// LoginRequest opens a session.
type LoginRequest struct {
	Name     string `json:"name" maxLength:"200"`
	Password string `json:"password" maxLength:"1024" writeOnly:"true"`
	Code     string `json:"code,omitempty" maxLength:"40" writeOnly:"true" doc:"The code of the authenticator app, where there is one."`
	Recovery string `json:"recovery,omitempty" maxLength:"40" writeOnly:"true" doc:"A recovery code instead of code; it works once."`
	As       string `json:"as,omitempty" enum:"superadmin,admin" doc:"Which of two accounts of one name; the SuperAdmin if it is left out."`
}

// Me is who asks.
type Me struct {
	By    string       `json:"by" doc:"As it stands in objects that the caller changes."`
	Super bool         `json:"super" doc:"All rights."`
	Sites []string     `json:"sites,omitempty"`
	Right model.Rights `json:"rights,omitzero"`
	// The rest is of sessions.
	MustChange bool      `json:"mustChange,omitempty" doc:"Nothing is possible before another password is set."`
	TOTP       bool      `json:"totp,omitempty" doc:"Log-ins ask for the code of an authenticator app."`
	Recovery   int       `json:"recovery,omitempty" doc:"How many recovery codes are left."`
	Ends       time.Time `json:"ends,omitzero" doc:"When the session ends at the latest."`
}

// MeOut is Me as an answer, with the session's cookie where it is new or gone.
type MeOut struct {
	SetCookie string `header:"Set-Cookie"`
	Body      *Me
}

// Gone is an answer that takes the cookie away.
type Gone struct {
	SetCookie string `header:"Set-Cookie"`
}

// PasswordRequest sets another password of one's own.
type PasswordRequest struct {
	Current  string `json:"current" maxLength:"1024" writeOnly:"true"`
	New      string `json:"new" maxLength:"1024" writeOnly:"true"`
	Code     string `json:"code,omitempty" maxLength:"40" writeOnly:"true" doc:"Of the authenticator app, where there is one. Who has just logged in and must set another password has shown it."`
	Recovery string `json:"recovery,omitempty" maxLength:"40" writeOnly:"true" doc:"A recovery code instead of code; it works once."`
}

// Proof shows once more who it is.
type Proof struct {
	Password string `json:"password" maxLength:"1024" writeOnly:"true"`
	Code     string `json:"code,omitempty" maxLength:"40" writeOnly:"true" doc:"Of the authenticator app, where there is one."`
	Recovery string `json:"recovery,omitempty" maxLength:"40" writeOnly:"true" doc:"A recovery code instead of code; it works once."`
}

// CodeRequest proves that an authenticator app works.
type CodeRequest struct {
	Code string `json:"code" maxLength:"40" writeOnly:"true"`
}

// NewSecret is what an authenticator app is set up with.
type NewSecret struct {
	Secret string `json:"secret"`
	URI    string `json:"uri" doc:"What a QR code shows to the app."`
}

// NewSecretOut is NewSecret as an answer.
type NewSecretOut struct{ Body *NewSecret }

// Recovery are codes that each stand in once for the app.
type Recovery struct {
	Recovery []string `json:"recovery" nullable:"false"`
}

// RecoveryOut is Recovery as an answer.
type RecoveryOut struct {
	SetCookie string `header:"Set-Cookie"`
	Body      *Recovery
}

func (a *API) registerLogin() {
	me := reflect.TypeFor[Me]()
	operate(a, operation{
		method: http.MethodPost, path: "/login", id: "login", tag: "me", summary: "Open a session", free: true,
		help: "For web pages: the session is a cookie that only they send. Programs use tokens.",
		in:   reflect.TypeFor[LoginRequest](), out: me, problems: []problemType{codeRequired},
	}, func(ctx context.Context, c *caller, in *Raw) (*MeOut, error) {
		var ask LoginRequest
		if err := a.read(in.RawBody, &ask); err != nil {
			return nil, err
		}
		return a.loginOf(ctx, c, &ask)
	})
	operate(a, operation{
		method: http.MethodPost, path: "/logout", id: "logout", tag: "me", summary: "End the session", status: http.StatusNoContent, evenThen: true,
	}, func(_ context.Context, c *caller, _ *struct{}) (*Gone, error) { return a.logout(c) })
	operate(a, operation{
		method: http.MethodGet, path: "/me", id: "me", tag: "me", summary: "Tell who asks, and what he may", out: me, evenThen: true,
	}, func(_ context.Context, c *caller, _ *struct{}) (*MeOut, error) { return a.me(c) })
	operate(a, operation{
		method: http.MethodPost, path: "/me/password", id: "set-own-password", tag: "me", summary: "Set another password of one's own",
		help: "All other sessions of the account end; this one goes on under a new cookie.", evenThen: true,
		in: reflect.TypeFor[PasswordRequest](), out: me,
	}, func(ctx context.Context, c *caller, in *Raw) (*MeOut, error) {
		var ask PasswordRequest
		if err := a.read(in.RawBody, &ask); err != nil {
			return nil, err
		}
		return a.setPassword(ctx, c, &ask)
	})
	operate(a, operation{
		method: http.MethodPost, path: "/me/proof", id: "prove", tag: "me", summary: "Show once more who it is",
		help:   "For ten minutes the session may then do what the problem proof-required was told for. A log-in is such a proof, too; tokens need none.",
		status: http.StatusNoContent, in: reflect.TypeFor[Proof](),
	}, func(ctx context.Context, c *caller, in *Raw) (*Nothing, error) {
		var ask Proof
		if err := a.read(in.RawBody, &ask); err != nil {
			return nil, err
		}
		return a.prove(ctx, c, &ask)
	})
	a.registerTOTP()
}

func (a *API) registerTOTP() {
	operate(a, operation{
		method: http.MethodPost, path: "/me/totp", id: "begin-totp", tag: "me", summary: "Begin to set up an authenticator app",
		help: "It counts when a code of it was shown.", in: reflect.TypeFor[Proof](), out: reflect.TypeFor[NewSecret](),
	}, func(ctx context.Context, c *caller, in *Raw) (*NewSecretOut, error) {
		var ask Proof
		if err := a.read(in.RawBody, &ask); err != nil {
			return nil, err
		}
		return a.beginTOTP(ctx, c, &ask)
	})
	operate(a, operation{
		method: http.MethodPut, path: "/me/totp", id: "set-up-totp", tag: "me", summary: "Use the authenticator app from now on",
		help: "Recovery codes are told this once.", in: reflect.TypeFor[CodeRequest](), out: reflect.TypeFor[Recovery](),
	}, func(ctx context.Context, c *caller, in *Raw) (*RecoveryOut, error) {
		var ask CodeRequest
		if err := a.read(in.RawBody, &ask); err != nil {
			return nil, err
		}
		return a.useTOTP(ctx, c, ask.Code)
	})
	operate(a, operation{
		method: http.MethodPost, path: "/me/totp/remove", id: "remove-totp", tag: "me", summary: "Use no authenticator app any more",
		in: reflect.TypeFor[Proof](), out: reflect.TypeFor[Me](),
	}, func(ctx context.Context, c *caller, in *Raw) (*MeOut, error) {
		var ask Proof
		if err := a.read(in.RawBody, &ask); err != nil {
			return nil, err
		}
		return a.removeTOTP(ctx, c, &ask)
	})
}

func (a *API) logout(c *caller) (*Gone, error) {
	if c.session == nil {
		return nil, errNoSession()
	}
	a.sessions.end(c.session)
	a.tell(c, audit.Event{Event: "api.logout", Outcome: audit.Done})
	return &Gone{SetCookie: cookie("")}, nil
}

func (a *API) beginTOTP(ctx context.Context, c *caller, proof *Proof) (*NewSecretOut, error) {
	if err := a.proved(ctx, c, proof); err != nil {
		return nil, err
	}
	secret := auth.NewSecret()
	a.sessions.setPending(c.session, secret)
	return &NewSecretOut{Body: a.newSecret(c, secret)}, nil
}

func (a *API) newSecret(c *caller, secret string) *NewSecret {
	return &NewSecret{Secret: secret, URI: auth.SecretURI("SS Server", c.key.ID, secret)}
}

func (a *API) removeTOTP(ctx context.Context, c *caller, proof *Proof) (*MeOut, error) {
	if err := a.proved(ctx, c, proof); err != nil {
		return nil, err
	}
	err := a.accounts.change(ctx, c.name(), func(contact *model.Contact) { contact.TOTP = model.TOTP{} })
	if err != nil {
		return nil, err
	}
	return a.goOn(c)
}

func errNoSession() *Problem {
	return problem(forbidden, "this is for people who have logged in, not for tokens")
}

// accountKey is the account that somebody means by a name.
func (a *API) accountKey(name, as string) (key model.Key, err error) {
	super, admin := model.SuperAdminKey(name), model.AdminKey(name)
	switch as {
	case "superadmin":
		return super, nil
	case "admin":
		return admin, nil
	}
	key = admin
	err = a.Engine.Read(func(r *engine.Reader) error {
		if r.Has(super) {
			key = super
		}
		return nil
	})
	return key, err
}

// loginOf is login in the place of the session that the browser had.
func (a *API) loginOf(ctx context.Context, c *caller, ask *LoginRequest) (*MeOut, error) {
	out, err := a.login(ctx, c.from, ask)
	if err == nil {
		a.sessions.left(c.came)
	}
	return out, err
}

// login opens a session for who shows password and code. What is said of a wrong one is
// the same whatever was wrong.
func (a *API) login(ctx context.Context, from netip.Addr, ask *LoginRequest) (*MeOut, error) {
	// What is too long fits nobody. It is counted as what it begins with: names are kept, in
	// the audit log and among the limits, by whoever cares to send them.
	name := cut(ask.Name, maxLoginName)
	key, err := a.accountKey(name, ask.As)
	if err != nil {
		return nil, err
	}
	if err := a.tryAgain(key, from); err != nil {
		return nil, err
	}
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	g := a.gate(settings)
	if err = auth.ErrWrong; name == ask.Name && fits(ask.Password, ask.Code, ask.Recovery) {
		err = a.check(ctx, g, key, from, ask)
	}
	if err != nil {
		if errors.Is(err, errCodeRequired) {
			a.notTried(key, from)
			return nil, problem(codeRequired, "the account asks for the code of its authenticator app; send it as code, or a recovery code as recovery")
		}
		return nil, a.refused(key, from, err)
	}
	a.notTried(key, from)
	found, _, err := a.accounts.read(key.String())
	if err != nil {
		return nil, err
	}
	a.noteLogin(key, from)
	value, s := a.sessions.open(key, found.stamp())
	c := found.caller(from)
	c.session, c.mustChange = s, found.contact.Password.MustChange
	a.tell(c, audit.Event{Event: "api.login", Outcome: audit.Done})
	out, err := a.me(c)
	if err != nil {
		return nil, err
	}
	out.SetCookie = cookie(value)
	return out, nil
}

// fits tells whether a password and codes are as long as there are any.
func fits(password string, codes ...string) bool {
	return len(password) <= maxTyped && !slices.ContainsFunc(codes, func(c string) bool { return len(c) > maxTypedCode })
}

// cut is the beginning of a text, of at most so many bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

var errCodeRequired = errors.New("the code is missing")

// check is all steps of a log-in.
func (a *API) check(ctx context.Context, g *auth.Gate, key model.Key, from netip.Addr, ask *LoginRequest) error {
	name := key.String()
	if err := g.Password(ctx, name, []byte(ask.Password)); err != nil {
		return err
	}
	if _, err := g.MayLogIn(ctx, name, from, true); err != nil && !errors.Is(err, auth.ErrMustChange) {
		return err
	}
	return a.secondStep(ctx, g, key, ask.Code, ask.Recovery)
}

// secondStep checks the code of an account that has an authenticator app.
func (a *API) secondStep(ctx context.Context, g *auth.Gate, key model.Key, code, recovery string) error {
	found, _, err := a.accounts.read(key.String())
	switch {
	case err != nil:
		return err
	case !found.contact.TOTP.On():
		return nil
	case code != "":
		return g.Code(ctx, key.String(), code)
	case recovery == "":
		return errCodeRequired
	}
	taken, err := a.accounts.takeRecovery(ctx, key.String(), recovery)
	if err == nil && !taken {
		err = auth.ErrWrong
	}
	return err
}

func tryKeys(key model.Key, from netip.Addr) (address, account string) {
	return "login/" + network(from), "login/" + key.String()
}

// atHome tells whether somebody logged in to the account from there the last time, or sits
// at the machine itself: he is bounded by his address alone. Otherwise whoever guesses from
// many addresses would keep him out for as long as he likes.
func (a *API) atHome(key model.Key, from netip.Addr) (bool, error) {
	if from.IsLoopback() {
		return true, nil
	}
	_, seen, err := a.accounts.read(key.String())
	if err != nil {
		if errors.Is(err, auth.ErrUnknown) {
			err = nil
		}
		return false, err
	}
	last, err := netip.ParseAddr(seen.LastFrom)
	return err == nil && network(last) == network(from), nil
}

// tryAgain counts an attempt before it is made, so that many at once are counted too.
func (a *API) tryAgain(key model.Key, from netip.Addr) error {
	address, account := tryKeys(key, from)
	wait := a.limits.take(address, addressTriesPerMinute, addressTries)
	home, err := a.atHome(key, from)
	if err != nil {
		return err
	}
	if wait == 0 && !home {
		wait = a.limits.take(account, accountTriesPerMinute, accountTries)
	}
	if wait > 0 {
		return later(tooMany, wait, "too many log-ins have failed; wait, and try again")
	}
	return nil
}

// notTried takes an attempt back that did not fail.
func (a *API) notTried(key model.Key, from netip.Addr) {
	address, account := tryKeys(key, from)
	a.limits.give(address, addressTries)
	if home, err := a.atHome(key, from); err == nil && !home {
		a.limits.give(account, accountTries)
	}
}

// refused is the answer to a log-in that failed.
func (a *API) refused(key model.Key, from netip.Addr, err error) error {
	if errors.Is(err, auth.ErrBusy) {
		a.notTried(key, from)
		return err
	}
	known := []error{auth.ErrWrong, auth.ErrUnknown, auth.ErrDisabled, auth.ErrNotYet, auth.ErrOver, auth.ErrAddress}
	for _, k := range known {
		if !errors.Is(err, k) {
			continue
		}
		a.offended(from, audit.Event{Event: "api.login", Outcome: audit.Refused, By: key.String(), Message: err.Error()})
		a.note(key, func(n *engine.Activity) { n.Failures++ })
		return problem(unauthenticated, "name, password or code is wrong, or the account may not be used now")
	}
	return err
}

func (a *API) noteLogin(key model.Key, from netip.Addr) {
	now := a.Now().UTC()
	a.note(key, func(n *engine.Activity) { n.LastLogin, n.LastFrom, n.Failures = now, from.String(), 0 })
}

// note is no condition of a log-in.
func (a *API) note(key model.Key, fn func(*engine.Activity)) {
	if err := a.Engine.NoteActivity(map[model.Key]func(*engine.Activity){key: fn}); err != nil {
		a.Log.Warn("a log-in was not noted", "account", key.String(), "error", err)
	}
}

func (a *API) me(c *caller) (*MeOut, error) {
	out := &Me{By: c.name(), Super: c.super, Sites: c.sites, Right: c.rights, MustChange: c.mustChange}
	if c.session != nil {
		found, _, err := a.accounts.read(c.name())
		if err != nil {
			return nil, err
		}
		out.TOTP, out.Recovery = found.contact.TOTP.On(), len(found.contact.TOTP.Recovery)
		out.Ends = c.session.created.Add(sessionLife).UTC()
	}
	return &MeOut{Body: out}, nil
}

// needsProof tells that too much time has passed since it was shown who has the session.
func (a *API) needsProof(c *caller) bool { return c.session != nil && !a.sessions.proven(c.session) }

// sure lets nobody who found a session open make himself master of the server.
func (a *API) sure(c *caller) error {
	if a.needsProof(c) {
		return problem(proofRequired, "show once more that it is you, at %s/me/proof, and repeat the request", Prefix)
	}
	return nil
}

// needsProofOf tells the kinds whose objects are the way to all rights.
func needsProofOf(k model.Kind) bool { return k == model.KindSuperAdmin || k == model.KindToken }

// notOwn keeps how somebody logs in from who found his session open: that is changed with the
// password that there is, and nowhere else.
func notOwn(c *caller, old, o model.Object) error {
	if c.session == nil || o.Key() != c.key {
		return nil
	}
	const cure = "change it on the page of your account, with the password that you have now"
	for i, f := range o.Passwords() {
		if was := old.Passwords()[i].Password; f.Password.Clear != "" || was.Hash != "" && !f.Password.Set {
			return wrongField(f.Field, "it is your own", cure)
		}
	}
	if t, was := model.SecondFactor(o), model.SecondFactor(old); t != nil && was != nil && (t.Secret.Clear != "" || was.On() && !t.Secret.Set) {
		return wrongField("totp", "it is your own", cure)
	}
	return nil
}

// prove notes that it was shown once more who has the session.
func (a *API) prove(ctx context.Context, c *caller, p *Proof) (*Nothing, error) {
	if err := a.proved(ctx, c, p); err != nil {
		return nil, err
	}
	return &Nothing{}, nil
}

// proved lets nobody change how he logs in who found a session open. What was shown counts for a
// while.
func (a *API) proved(ctx context.Context, c *caller, p *Proof) error {
	if c.session == nil {
		return errNoSession()
	}
	if err := a.tryAgain(c.key, c.from); err != nil {
		return err
	}
	g, err := a.gate(nil), auth.ErrWrong
	if fits(p.Password, p.Code, p.Recovery) {
		if err = g.Password(ctx, c.name(), []byte(p.Password)); err == nil {
			err = a.secondStep(ctx, g, c.key, p.Code, p.Recovery)
		}
	}
	if err != nil {
		return a.unproved(c, "password", err)
	}
	a.notTried(c.key, c.from)
	a.sessions.prove(c.session)
	return nil
}

// unproved is the answer to who did not show who he is; field is where what is wrong was typed.
func (a *API) unproved(c *caller, field string, err error) error {
	switch {
	case errors.Is(err, errCodeRequired):
		a.notTried(c.key, c.from)
		return wrongField("code", "it is missing", "give the code of the authenticator app, or a recovery code")
	case !errors.Is(err, auth.ErrWrong):
		return err
	}
	a.offended(c.from, audit.Event{Event: "api.proof", Outcome: audit.Refused, By: c.name()})
	switch field {
	case "current":
		return wrongField(field, "it is not the password", "type it again")
	case "code":
		return wrongField(field, "it is not right, or was used before", "wait for the next one and type that, or a recovery code")
	}
	return wrongField(field, "it is not right, or the code is not", "type both again; a code works once")
}

// ownPasswordTakesCode tells that another password of one's own takes the code of the app, where
// there is one: who knows the password alone gets no fresh proof for it. Who must set another
// password has shown the code a moment ago, to log in.
func (a *API) ownPasswordTakesCode(c *caller) bool { return !c.mustChange || a.needsProof(c) }

func (a *API) setPassword(ctx context.Context, c *caller, ask *PasswordRequest) (*MeOut, error) {
	if c.session == nil {
		return nil, errNoSession()
	}
	if err := a.tryAgain(c.key, c.from); err != nil {
		return nil, err
	}
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	g, err := a.gate(settings), auth.ErrWrong
	if fits(ask.Current, ask.Code, ask.Recovery) {
		err = g.Password(ctx, c.name(), []byte(ask.Current))
	}
	if err != nil {
		return nil, a.unproved(c, "current", err)
	}
	// The policy knows the account by its key; what must not be in a password is the name. It
	// comes before the code: that works once.
	if err := g.Policy.Check(c.key.ID, ask.New); err != nil {
		a.notTried(c.key, c.from)
		return nil, policyProblem("new", err)
	}
	if a.ownPasswordTakesCode(c) {
		if err := a.secondStep(ctx, g, c.key, ask.Code, ask.Recovery); err != nil {
			return nil, a.unproved(c, "code", err)
		}
		a.sessions.prove(c.session)
	}
	a.notTried(c.key, c.from)
	if err := g.ChangePassword(ctx, c.name(), []byte(ask.New)); errors.Is(err, auth.ErrPolicy) {
		return nil, policyProblem("new", err)
	} else if err != nil {
		return nil, err
	}
	a.tell(c, audit.Event{Event: "api.password", Outcome: audit.Done})
	return a.goOn(c)
}

func (a *API) useTOTP(ctx context.Context, c *caller, code string) (*RecoveryOut, error) {
	if c.session == nil {
		return nil, errNoSession()
	}
	secret := a.sessions.pendingOf(c.session)
	if secret == "" {
		return nil, wrongField("code", "no app is being set up", "begin with POST "+Prefix+"/me/totp")
	}
	if err := a.tryAgain(c.key, c.from); err != nil {
		return nil, err
	}
	step, err := auth.CheckCode(secret, cut(code, maxTypedCode), a.Now(), 0)
	if err != nil {
		return nil, wrongField("code", "it is not the code of the app", "look whether the clocks of phone and server are right, and type the code of now")
	}
	a.notTried(c.key, c.from)
	codes, hashes := auth.NewRecovery(recoveryCodes)
	err = a.accounts.change(ctx, c.name(), func(contact *model.Contact) {
		contact.TOTP = model.TOTP{Secret: model.Secret{Clear: secret}, Recovery: hashes}
	})
	if err != nil {
		return nil, err
	}
	if _, err := a.Engine.TakeStep(c.key, step); err != nil {
		return nil, err
	}
	next, err := a.goOn(c)
	if err != nil {
		return nil, err
	}
	return &RecoveryOut{SetCookie: next.SetCookie, Body: &Recovery{Recovery: codes}}, nil
}

// goOn ends all sessions of an account whose credentials have changed, and opens another
// for the one who changed them. What was shown before of who he is counts on: a new cookie is no
// proof.
func (a *API) goOn(c *caller) (*MeOut, error) {
	a.sessions.endAll(c.key)
	found, _, err := a.accounts.read(c.name())
	if err != nil {
		return nil, err
	}
	value, s := a.sessions.open(c.key, found.stamp())
	a.sessions.takeOver(s, c.session)
	again := found.caller(c.from)
	again.session = s
	out, err := a.me(again)
	if err != nil {
		return nil, err
	}
	out.SetCookie = cookie(value)
	return out, nil
}
