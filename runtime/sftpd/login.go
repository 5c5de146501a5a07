package sftpd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/vfs"
)

// Step is one thing that a user shows to log in.
type Step string

// The steps. A password may come by the method "password" or as the answer to a
// question; a code always is one.
const (
	StepPassword Step = "password"
	StepKey      Step = "publickey"
	StepCode     Step = "totp"
	// stepNewPassword follows all others where a password must be changed.
	stepNewPassword Step = "new password"
)

// Login is an attempt to log in, as [Accounts] see it.
type Login struct {
	Site   string
	User   string
	Addr   netip.Addr
	Client string // what the client calls itself
	// Done are the steps that were taken, in order.
	Done []Step
	// Key is the fingerprint of the key that was used; empty if none was.
	Key string
}

// Account is who logged in.
type Account struct {
	// Name is how the user is called from here on; it may be spelt otherwise than at
	// the log-in.
	Name string
	// FS is what the session sees.
	FS vfs.FS
	// Up and Down limit the speed of all sessions of this account together, in bytes a
	// second; 0 is no limit.
	Up, Down int64
	// MaxSessions bounds its sessions on the site; 0 leaves it to the site.
	MaxSessions int
	// Release is called when the session is over; nil is nothing to do.
	Release func()
	// Recheck is asked instead of Accounts.Open whether the session may still be, once
	// when it begins and after users, keys or rights have changed. It may change what FS
	// shows; of the account that it returns only name and speed count. Nil is to ask
	// Accounts.Open.
	Recheck func(ctx context.Context) (Account, error)
}

// Accounts know who may log in. Each check takes as long for a user who does not exist
// as for one who does.
type Accounts interface {
	// Ways are the ways in: of each the steps, in order. Of a user who does not exist
	// they are those that most users have.
	Ways(ctx context.Context, l Login) [][]Step
	// Password, Key and Code check what was shown. Key is also asked by clients that
	// only want to know whether a key would do: it must change nothing.
	Password(ctx context.Context, l Login, password []byte) error
	Key(ctx context.Context, l Login, key ssh.PublicKey) error
	Code(ctx context.Context, l Login, code string) error
	// Open is asked when all steps were taken, whichever they were: may this account
	// log in now, from there? ErrChangePassword asks for a new password first.
	Open(ctx context.Context, l Login) (Account, error)
	// ChangePassword sets a new password. An error of [Refused] is told to the user,
	// who may try another one.
	ChangePassword(ctx context.Context, l Login, password []byte) error
}

// ErrChangePassword is returned by Accounts.Open for a user who must choose a new
// password.
var ErrChangePassword = errors.New("the password must be changed")

// Refused is an error whose text is for the user.
type Refused string

func (r Refused) Error() string { return string(r) }

// errStep is a method that is not the user's next step.
var errStep = errors.New("not a way to log in here")

// maxNewPasswords is how often a new password may be refused.
const maxNewPasswords = 3

// accountKey is under which the account is kept between log-in and session.
type accountKey struct{}

// loginState leads one connection through its steps.
type loginState struct {
	ctx      context.Context
	site     *Site
	conn     *conn
	login    Login
	left     [][]Step // what is still to do, for each way in
	failures int      // passwords and codes that were wrong
	keys     int      // keys that were refused
	attempts int
}

// config is the server's configuration for this one connection.
func (l *loginState) config() *ssh.ServerConfig {
	c := l.site.sshConfig()
	first := ssh.ServerAuthCallbacks{
		PasswordCallback: l.password, PublicKeyCallback: l.key, KeyboardInteractiveCallback: l.interactive,
	}
	c.PasswordCallback, c.PublicKeyCallback = first.PasswordCallback, first.PublicKeyCallback
	c.KeyboardInteractiveCallback = first.KeyboardInteractiveCallback
	c.VerifiedPublicKeyCallback = l.keyShown
	c.AuthLogCallback = l.logged
	return c
}

// begin notes whom the client wants to be. A client may change its mind until a step
// was taken; the library sees to that.
func (l *loginState) begin(meta ssh.ConnMetadata) {
	l.attempts++
	user := userOf(meta)
	if l.left != nil && l.login.User == user {
		return
	}
	l.login = Login{Site: l.site.name, User: user, Addr: addrOf(meta.RemoteAddr()), Client: string(meta.ClientVersion())}
	l.left = l.site.accounts.Ways(l.ctx, l.login)
}

// What a client says is looked up, kept and written down only as far as this, in bytes: no
// account has so long a name, and who has none could fill memory and logs.
const (
	maxUser   = 256
	maxReason = 1024
)

// brief is text that a client chose, cut where it is too long.
func brief(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func userOf(meta ssh.ConnMetadata) string { return brief(meta.User(), maxUser) }

// next tells whether a step is one of the user's next.
func (l *loginState) next(s Step) bool {
	return slices.ContainsFunc(l.left, func(way []Step) bool { return len(way) > 0 && way[0] == s })
}

func (l *loginState) password(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	l.begin(meta)
	if err := l.checkPassword(password); err != nil {
		return nil, err
	}
	return l.took(StepPassword)
}

func (l *loginState) checkPassword(password []byte) error {
	if !l.next(StepPassword) {
		return errStep
	}
	return l.shown(l.site.accounts.Password(l.ctx, l.login, password))
}

// shown counts what was wrong, at once: a client may leave before it hears of it.
func (l *loginState) shown(err error) error {
	if err != nil {
		l.failures++
		l.site.offended(l.conn, l.login.Addr, offenceLogin)
	}
	return err
}

// key answers whether a key would do. It counts nothing: agents offer all keys they have.
func (l *loginState) key(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	l.begin(meta)
	err := errStep
	if l.next(StepKey) {
		err = l.site.accounts.Key(l.ctx, l.login, key)
	}
	if err != nil {
		l.keys++
		return nil, err
	}
	return &ssh.Permissions{}, nil
}

// keyShown is called when the client has proven that it holds the key.
func (l *loginState) keyShown(meta ssh.ConnMetadata, key ssh.PublicKey, _ *ssh.Permissions, algorithm string) (*ssh.Permissions, error) {
	l.begin(meta)
	l.login.Key = ssh.FingerprintSHA256(key)
	if isWeak(algorithm) {
		l.site.needs.note(Need{Algorithm: algorithm, User: l.login.User, Client: l.login.Client, Addr: l.login.Addr, Allowed: true})
	}
	return l.took(StepKey)
}

// interactive asks one question after the other as long as the next step is one that
// can be asked for.
func (l *loginState) interactive(meta ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	l.begin(meta)
	for {
		var perms *ssh.Permissions
		var err error
		switch {
		case l.next(stepNewPassword):
			perms, err = l.askNewPassword(ask)
		case l.next(StepPassword):
			perms, err = l.askPassword(ask)
		case l.next(StepCode):
			perms, err = l.askCode(ask)
		default:
			return nil, errStep
		}
		if !isPartial(err) || !l.next(stepNewPassword) && !l.next(StepPassword) && !l.next(StepCode) {
			return perms, err
		}
	}
}

func isPartial(err error) bool {
	_, partial := errors.AsType[*ssh.PartialSuccessError](err)
	return partial
}

func (l *loginState) askPassword(ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	answers, err := ask("", "", []string{"Password: "}, []bool{false})
	if err != nil {
		return nil, err
	}
	if err := l.checkPassword([]byte(answers[0])); err != nil {
		return nil, err
	}
	return l.took(StepPassword)
}

func (l *loginState) askCode(ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	answers, err := ask("", "", []string{"Verification code: "}, []bool{true})
	if err != nil {
		return nil, err
	}
	if err := l.shown(l.site.accounts.Code(l.ctx, l.login, answers[0])); err != nil {
		return nil, err
	}
	return l.took(StepCode)
}

func (l *loginState) askNewPassword(ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	why := "Your password must be changed."
	for range maxNewPasswords {
		answers, err := ask("", why, []string{"New password: ", "New password again: "}, []bool{false, false})
		if err != nil {
			return nil, err
		}
		if answers[0] != answers[1] {
			why = "The two were not the same."
			continue
		}
		err = l.site.accounts.ChangePassword(l.ctx, l.login, []byte(answers[0]))
		if refused, ok := errors.AsType[Refused](err); ok {
			why = string(refused)
			continue
		}
		if err != nil {
			return nil, err
		}
		return l.took(stepNewPassword)
	}
	return nil, errors.New("no new password was chosen")
}

// took goes on behind a step: to the session, or to what is still to be shown.
func (l *loginState) took(s Step) (*ssh.Permissions, error) {
	l.login.Done = append(l.login.Done, s)
	var left [][]Step
	done := false
	for _, way := range l.left {
		if len(way) > 0 && way[0] == s {
			left = append(left, way[1:])
			done = done || len(way) == 1
		}
	}
	l.left = left
	if !done {
		return nil, l.more()
	}
	account, err := l.site.accounts.Open(l.ctx, l.login)
	if errors.Is(err, ErrChangePassword) {
		l.left = [][]Step{{stepNewPassword}}
		return nil, l.more()
	}
	if err != nil {
		return nil, l.shown(fmt.Errorf("the account was not let in: %w", err))
	}
	return &ssh.Permissions{ExtraData: map[any]any{accountKey{}: account}}, nil
}

// more asks for the next steps.
func (l *loginState) more() error {
	var next ssh.ServerAuthCallbacks
	if l.next(StepPassword) {
		next.PasswordCallback = l.password
	}
	if l.next(StepKey) {
		next.PublicKeyCallback = l.key
	}
	if l.next(StepPassword) || l.next(StepCode) || l.next(stepNewPassword) {
		next.KeyboardInteractiveCallback = l.interactive
	}
	return &ssh.PartialSuccessError{Next: next}
}

// logged sees every attempt, those that the library refused by itself too.
func (l *loginState) logged(meta ssh.ConnMetadata, method string, err error) {
	if method == "none" || err == nil || isPartial(err) {
		return
	}
	if algorithm, refused := refusedAlgorithm(err); refused {
		l.begin(meta)
		l.keys++
		l.site.needs.note(Need{Algorithm: brief(algorithm, maxUser), User: userOf(meta), Client: string(meta.ClientVersion()), Addr: addrOf(meta.RemoteAddr())})
	}
	l.site.log.Info("log-in refused", "user", userOf(meta), "method", brief(method, maxUser), "address", addrOf(meta.RemoteAddr()), "client", string(meta.ClientVersion()), "error", brief(err.Error(), maxReason))
}

// refusedAlgorithm knows the library's error for a signature algorithm that is not in
// the list; it has no type of its own.
func refusedAlgorithm(err error) (string, bool) {
	var name string
	n, _ := fmt.Sscanf(err.Error(), "ssh: algorithm %q not accepted", &name)
	return name, n == 1
}
