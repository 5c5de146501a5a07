package sites

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
)

// accounts are the users of a site as the SFTP server asks for them.
type accounts struct{ site *site }

var _ sftpd.Accounts = (*accounts)(nil)

// gatePoll is how often a log-in looks whether the generation is open.
const gatePoll = 10 * time.Millisecond

// Ways implements sftpd.Accounts. Before the generation is open the client waits here,
// for as long as its log-in may take.
func (a *accounts) Ways(ctx context.Context, l sftpd.Login) [][]sftpd.Step {
	r := a.site.rules.Load()
	if !a.site.waitOpen(ctx, limits(r.site.Limits).Login) {
		return nil
	}
	chains, code := r.site.SSH.Auth, false
	if u, err := a.site.find(l.User); err == nil {
		code = u.TOTP.On()
		if len(u.Auth) > 0 {
			chains = u.Auth
		}
	}
	return ways(chains, code)
}

func (s *site) waitOpen(ctx context.Context, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !s.m.opt.Open() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(gatePoll):
		}
	}
	return true
}

// usual are the ways in of a site that names none.
var usual = []model.AuthChain{"publickey", "password"}

// ways are chains as steps. Who has an authenticator app is asked for its code in every
// way, whether the chain names it or not.
func ways(chains []model.AuthChain, code bool) [][]sftpd.Step {
	if len(chains) == 0 {
		chains = usual
	}
	var out [][]sftpd.Step
	for _, chain := range chains {
		var way []sftpd.Step
		for _, method := range chain.Methods() {
			way = append(way, stepOf(method))
		}
		if code && !slices.Contains(way, sftpd.StepCode) {
			way = append(way, sftpd.StepCode)
		}
		out = append(out, slices.Compact(way))
	}
	return out
}

func stepOf(m model.AuthMethod) sftpd.Step {
	switch m {
	case model.AuthPublicKey:
		return sftpd.StepKey
	case model.AuthTOTP:
		return sftpd.StepCode
	}
	return sftpd.StepPassword // by either method
}

// Password implements sftpd.Accounts.
func (a *accounts) Password(ctx context.Context, l sftpd.Login, password []byte) error {
	r := a.site.rules.Load()
	if _, err := a.site.find(l.User); errors.Is(err, auth.ErrUnknown) {
		if err := a.site.newcomer(ctx, r, l.User, password); err == nil || !errors.Is(err, auth.ErrWrong) {
			return err
		}
	}
	return r.gate.Password(ctx, l.User, password)
}

// Key implements sftpd.Accounts.
func (a *accounts) Key(_ context.Context, l sftpd.Login, key ssh.PublicKey) error {
	u, err := a.site.find(l.User)
	if errors.Is(err, auth.ErrUnknown) {
		return auth.ErrWrong
	}
	if err != nil {
		return err
	}
	return hasKey(u, ssh.FingerprintSHA256(key), a.site.m.opt.Now())
}

// hasKey tells whether a key is one of the user's, and still may be used.
func hasKey(u *model.User, fingerprint string, now time.Time) error {
	for _, k := range u.Keys {
		if k.Fingerprint == fingerprint && (k.Expires.IsZero() || now.Before(k.Expires)) {
			return nil
		}
	}
	return auth.ErrWrong
}

// Code implements sftpd.Accounts.
func (a *accounts) Code(ctx context.Context, l sftpd.Login, code string) error {
	return a.site.rules.Load().gate.Code(ctx, l.User, code)
}

// Open implements sftpd.Accounts.
func (a *accounts) Open(ctx context.Context, l sftpd.Login) (sftpd.Account, error) {
	return a.site.open(ctx, l)
}

// ChangePassword implements sftpd.Accounts.
func (a *accounts) ChangePassword(ctx context.Context, l sftpd.Login, password []byte) error {
	err := a.site.rules.Load().gate.ChangePassword(ctx, l.User, password)
	if errors.Is(err, auth.ErrPolicy) {
		return sftpd.Refused(err.Error())
	}
	return err
}

// find is a user with what the groups give, as anybody may write the name:
// auth.ErrUnknown if there is none.
func (s *site) find(name string) (u *model.User, err error) {
	err = s.m.opt.Engine.Read(func(r *engine.Reader) error {
		u, err = findIn(r, s.name, name)
		return err
	})
	return u, err
}

func findIn(r *engine.Reader, site, name string) (*model.User, error) {
	u, err := engine.Users.Get(r, site, name)
	if missing := (*engine.NotFoundError)(nil); errors.As(err, &missing) {
		return nil, auth.ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	groups := make([]*model.Group, 0, len(u.Groups))
	for _, name := range u.Groups {
		g, err := engine.Groups.Get(r, site, name)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return u.Effective(groups), nil
}

// users are the accounts of a site as package auth asks for them.
type users struct{ site *site }

var _ auth.Users = (*users)(nil)

// User implements auth.Users.
func (s *users) User(_ context.Context, name string) (auth.User, error) {
	var u *model.User
	var did engine.Activity
	err := s.site.m.opt.Engine.Read(func(r *engine.Reader) (err error) {
		if u, err = findIn(r, s.site.name, name); err == nil {
			did, err = r.Activity(u.Key())
		}
		return err
	})
	if err != nil {
		return auth.User{}, err
	}
	secret, err := s.site.m.opt.Engine.Reveal(u.Key(), "totp.secret", u.TOTP.Secret)
	if err != nil {
		return auth.User{}, err
	}
	return auth.User{
		Name: u.Name, Hash: u.Password.Hash, Directory: model.Fold(u.LDAP), Changed: u.Password.Changed, MustChange: u.Password.MustChange, Legacy: u.Password.Legacy,
		Secret: secret, LastStep: did.Step, Disabled: u.Disabled, From: u.EnableFrom, Until: u.DisableFrom, Allow: prefixes(u.AllowFrom),
	}, nil
}

func prefixes(networks []string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range networks {
		// They were validated; what is none here lets nobody in.
		p, _ := model.Network(text)
		out = append(out, p)
	}
	return out
}

// Rehash implements auth.Users.
func (s *users) Rehash(ctx context.Context, name, old, better string) error {
	return s.change(ctx, "system", name, func(u *model.User) bool {
		if u.Password.Hash != old {
			return false
		}
		u.Password.Hash, u.Password.Legacy = better, false
		return true
	})
}

// SetPassword implements auth.Users.
func (s *users) SetPassword(ctx context.Context, name, hash string) error {
	return s.change(ctx, "user/"+name, name, func(u *model.User) bool {
		u.Password = model.Password{Hash: hash, Changed: s.site.m.opt.Now().UTC()}
		return true
	})
}

// TakeStep implements auth.Users.
func (s *users) TakeStep(_ context.Context, name string, step int64) (bool, error) {
	return s.site.m.opt.Engine.TakeStep(model.UserKey(s.site.name, name), step)
}

func (s *users) change(ctx context.Context, by, name string, fn func(*model.User) bool) error {
	_, err := s.site.m.opt.Engine.Write(ctx, by, func(tx *engine.Tx) error {
		u, err := engine.Users.Get(tx.Reader, s.site.name, name)
		if err != nil {
			return fmt.Errorf("change the password of user %s: %w", name, err)
		}
		if !fn(u) {
			return nil
		}
		return tx.Put(u)
	})
	return err
}
