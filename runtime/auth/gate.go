package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// User is what is known of an account for letting it in.
type User struct {
	Name string
	// Hash of the password; empty if it has none here.
	Hash string
	// Legacy tells a hash of version 4 or 5, which may be wrong for some characters.
	Legacy bool
	// Directory names the LDAP profile that checks the password; empty is Hash.
	Directory string
	// Changed is when the password was chosen.
	Changed    time.Time
	MustChange bool
	// Secret of one-time codes; empty if the user has none. LastStep is that of the
	// last code that was taken.
	Secret   string
	LastStep int64
	Disabled bool
	// From and Until bound when the account may be used; zero is no bound.
	From, Until time.Time
	// Allow are the addresses to log in from; none is all.
	Allow []netip.Prefix
}

// ErrUnknown is returned by Users for a name that does not exist.
var ErrUnknown = errors.New("no such user")

// Users keep the accounts.
type Users interface {
	User(ctx context.Context, name string) (User, error)
	// Rehash replaces a hash by a better one of the same password, if it still is old.
	Rehash(ctx context.Context, name, old, better string) error
	// TakeStep remembers the step of a code, and is false if that or a later one was
	// taken meanwhile.
	TakeStep(ctx context.Context, name string, step int64) (bool, error)
	// SetPassword keeps the hash of a password that the user chose.
	SetPassword(ctx context.Context, name, hash string) error
}

// Directory checks passwords elsewhere. The error of a wrong one is ErrWrong.
type Directory interface {
	Check(ctx context.Context, name string, password []byte) error
}

// Gate lets users in.
type Gate struct {
	Users       Users
	Hasher      *Hasher
	Directories map[string]Directory
	Policy      Policy
	Log         *slog.Logger
	Now         func() time.Time
}

// Password checks a password. What it says to a user is the same whatever was wrong:
// the error is ErrWrong, or the server's own trouble.
func (g *Gate) Password(ctx context.Context, name string, password []byte) error {
	if len(password) == 0 {
		return ErrWrong // a directory would take it for a log-in without a name
	}
	user, err := g.Users.User(ctx, name)
	if errors.Is(err, ErrUnknown) {
		return g.Hasher.CheckNobody(ctx, password)
	}
	if err != nil {
		return fmt.Errorf("look up user %s: %w", name, err)
	}
	if user.Directory != "" {
		return g.inDirectory(ctx, user, password)
	}
	if user.Hash == "" {
		return g.Hasher.CheckNobody(ctx, password)
	}
	old, err := g.Hasher.Check(ctx, user.Hash, password)
	if errors.Is(err, ErrScheme) {
		g.Log.Warn("the password of a user must be set again", "user", name, "error", err)
		return g.Hasher.CheckNobody(ctx, password)
	}
	switch {
	case err == nil && old:
		g.rehash(ctx, user, password)
	case errors.Is(err, ErrWrong) && user.Legacy:
		g.Log.Warn("an imported password did not fit; versions 4 and 5 encoded some characters wrongly, so if the user is sure of it, set it again", "user", name)
	}
	return err
}

func (g *Gate) inDirectory(ctx context.Context, user User, password []byte) error {
	d := g.Directories[user.Directory]
	if d == nil {
		g.Log.Error("a user's LDAP profile is missing or disabled", "user", user.Name, "profile", user.Directory)
		return g.Hasher.CheckNobody(ctx, password)
	}
	err := d.Check(ctx, user.Name, password)
	if err != nil && !errors.Is(err, ErrWrong) {
		g.Log.Error("the directory cannot be asked", "user", user.Name, "profile", user.Directory, "error", err)
	}
	return err
}

// rehash is no condition of the log-in.
func (g *Gate) rehash(ctx context.Context, user User, password []byte) {
	better, err := g.Hasher.Hash(ctx, password)
	if err == nil {
		err = g.Users.Rehash(ctx, user.Name, user.Hash, better)
	}
	if err != nil {
		g.Log.Warn("a password could not be hashed anew; the next log-in tries again", "user", user.Name, "error", err)
	}
}

// Code checks a one-time code, and takes it.
func (g *Gate) Code(ctx context.Context, name, code string) error {
	user, err := g.Users.User(ctx, name)
	if err != nil || user.Secret == "" {
		if err == nil || errors.Is(err, ErrUnknown) {
			err = ErrWrong
		}
		return err
	}
	step, err := CheckCode(user.Secret, code, g.Now(), user.LastStep)
	if err != nil {
		return err
	}
	first, err := g.Users.TakeStep(ctx, name, step)
	if err != nil {
		return fmt.Errorf("remember the code of user %s: %w", name, err)
	}
	if !first {
		return ErrWrong
	}
	return nil
}

// What keeps an account out that has shown who it is.
var (
	ErrDisabled   = errors.New("the account is disabled")
	ErrNotYet     = errors.New("the account may not be used yet")
	ErrOver       = errors.New("the account may no longer be used")
	ErrAddress    = errors.New("the account may not be used from this address")
	ErrMustChange = errors.New("the password must be changed")
)

// MayLogIn is the one place where it is decided whether an account may log in now, or
// stay: whatever way it came, and again when something about it changes. byPassword
// tells that a password was shown, which may be too old.
func (g *Gate) MayLogIn(ctx context.Context, name string, from netip.Addr, byPassword bool) (User, error) {
	user, err := g.Users.User(ctx, name)
	if err != nil {
		return User{}, err
	}
	now := g.Now()
	switch {
	case user.Disabled:
		return user, ErrDisabled
	case !user.From.IsZero() && now.Before(user.From):
		return user, ErrNotYet
	case !user.Until.IsZero() && !now.Before(user.Until):
		return user, ErrOver
	case !allowed(user.Allow, from):
		return user, ErrAddress
	case byPassword && user.Directory == "" && (user.MustChange || g.Policy.Expired(user.Changed, now)):
		return user, ErrMustChange
	}
	return user, nil
}

func allowed(list []netip.Prefix, from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	for _, p := range list {
		if p.Contains(from) {
			return true
		}
	}
	return len(list) == 0
}

// ChangePassword sets a password that a user chose. An error with ErrPolicy in it is
// for the user.
func (g *Gate) ChangePassword(ctx context.Context, name string, password []byte) error {
	user, err := g.Users.User(ctx, name)
	if err != nil {
		return err
	}
	if user.Directory != "" {
		return fmt.Errorf("the password of user %s is kept in the directory %s; change it there", name, user.Directory)
	}
	if err := g.Policy.Check(name, string(password)); err != nil {
		return err
	}
	switch _, err := g.Hasher.Check(ctx, user.Hash, password); {
	case err == nil:
		return fmt.Errorf("%w: it must be another one than before", ErrPolicy)
	case errors.Is(err, ErrBusy):
		return err
	}
	hash, err := g.Hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	return g.Users.SetPassword(ctx, name, hash)
}
