package rest

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"strings"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// account is a SuperAdmin or an Admin as it is kept.
type account struct {
	key     model.Key
	object  model.Object
	contact *model.Contact
	super   bool
	sites   []string
	rights  model.Rights
}

// accountIn reads an account; *engine.NotFoundError if there is none.
func accountIn(r *engine.Reader, key model.Key) (*account, error) {
	o, err := r.Get(key)
	if err != nil {
		return nil, err
	}
	a := &account{key: key, object: o}
	switch o := o.(type) {
	case *model.SuperAdmin:
		a.contact, a.super = &o.Contact, true
	case *model.Admin:
		a.contact, a.sites, a.rights = &o.Contact, o.Sites, o.Rights
	default:
		return nil, &engine.NotFoundError{Key: key}
	}
	return a, nil
}

// stamp is of what a session was opened with.
func (a *account) stamp() [sha256.Size]byte {
	return sha256.Sum256([]byte(a.contact.Password.Hash + "\x00" + a.contact.TOTP.Secret.Sealed))
}

func (a *account) caller(from netip.Addr) *caller {
	return &caller{key: a.key, from: from, super: a.super, sites: a.sites, rights: a.rights}
}

// administrators are the accounts of SuperAdmins and Admins for package auth. Their names
// there are their keys, as "superadmin/sa".
type administrators struct {
	engine *engine.Engine
	now    func() time.Time
}

func (a administrators) read(name string) (found *account, seen engine.Activity, err error) {
	key, err := model.ParseKey(name)
	if err != nil {
		return nil, seen, auth.ErrUnknown
	}
	err = a.engine.Read(func(r *engine.Reader) (err error) {
		if found, err = accountIn(r, key); err != nil {
			return err
		}
		seen, err = r.Activity(key)
		return err
	})
	if missing := (*engine.NotFoundError)(nil); errors.As(err, &missing) {
		err = auth.ErrUnknown
	}
	return found, seen, err
}

// User implements auth.Users.
func (a administrators) User(_ context.Context, name string) (auth.User, error) {
	found, seen, err := a.read(name)
	if err != nil {
		return auth.User{}, err
	}
	c := found.contact
	secret, err := a.engine.Reveal(found.key, "totp.secret", c.TOTP.Secret)
	if err != nil {
		return auth.User{}, err
	}
	u := auth.User{
		Name: name, Hash: c.Password.Hash, Changed: c.Password.Changed, MustChange: c.Password.MustChange, Legacy: c.Password.Legacy,
		Secret: secret, LastStep: seen.Step, Disabled: c.Disabled, From: c.EnableFrom, Until: c.DisableFrom,
	}
	for _, text := range c.AllowFrom {
		p, err := model.Network(text)
		if err != nil {
			return auth.User{}, err
		}
		u.Allow = append(u.Allow, p)
	}
	return u, nil
}

// change changes an account as itself.
func (a administrators) change(ctx context.Context, name string, fn func(*model.Contact)) error {
	key, err := model.ParseKey(name)
	if err != nil {
		return err
	}
	_, err = a.engine.Write(ctx, name, func(tx *engine.Tx) error {
		found, err := accountIn(tx.Reader, key)
		if err != nil {
			return err
		}
		fn(found.contact)
		return tx.Update(found.object)
	})
	return err
}

// Rehash implements auth.Users.
func (a administrators) Rehash(ctx context.Context, name, old, better string) error {
	return a.change(ctx, name, func(c *model.Contact) {
		if c.Password.Hash == old {
			c.Password.Hash, c.Password.Legacy = better, false
		}
	})
}

// TakeStep implements auth.Users.
func (a administrators) TakeStep(_ context.Context, name string, step int64) (bool, error) {
	key, err := model.ParseKey(name)
	if err != nil {
		return false, err
	}
	return a.engine.TakeStep(key, step)
}

// SetPassword implements auth.Users.
func (a administrators) SetPassword(ctx context.Context, name, hash string) error {
	return a.change(ctx, name, func(c *model.Contact) {
		c.Password = model.Password{Hash: hash, Changed: a.now().UTC()}
	})
}

// takeRecovery uses a recovery code up; false if it is none.
func (a administrators) takeRecovery(ctx context.Context, name, code string) (taken bool, err error) {
	err = a.change(ctx, name, func(c *model.Contact) {
		if i := auth.FindRecovery(c.TOTP.Recovery, code); i >= 0 {
			c.TOTP.Recovery = append(c.TOTP.Recovery[:i:i], c.TOTP.Recovery[i+1:]...)
			taken = true
		}
	})
	return taken && err == nil, err
}

// policyProblem is the refusal of a password.
func policyProblem(field string, err error) *Problem {
	what := strings.TrimPrefix(err.Error(), auth.ErrPolicy.Error()+": ")
	return wrongField(field, auth.ErrPolicy.Error(), what)
}
