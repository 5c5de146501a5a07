package sftpdtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/vfs"
)

// User is someone who may log in to a Site.
type User struct {
	Password string
	Keys     []ssh.PublicKey
	Code     string
	// Ways are the ways in; none is a password or a key.
	Ways        [][]sftpd.Step
	MustChange  bool
	Disabled    bool
	FS          vfs.FS
	Up, Down    int64
	MaxSessions int
	Recheck     func(context.Context) (sftpd.Account, error)
}

// Accounts are users in memory.
type Accounts struct {
	mu    sync.Mutex
	users map[string]*User
}

// NewAccounts begins with the users.
func NewAccounts(users map[string]*User) *Accounts { return &Accounts{users: users} }

// Change changes a user while the site runs.
func (a *Accounts) Change(name string, change func(*User)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a.users[name])
}

var errWrong = errors.New("wrong")

func (a *Accounts) with(name string, check func(*User) bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.users[name]; u == nil || !check(u) {
		return errWrong
	}
	return nil
}

// Ways implements sftpd.Accounts.
func (a *Accounts) Ways(_ context.Context, l sftpd.Login) [][]sftpd.Step {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.users[l.User]; u != nil && u.Ways != nil {
		return u.Ways
	}
	return [][]sftpd.Step{{sftpd.StepPassword}, {sftpd.StepKey}}
}

// Password implements sftpd.Accounts.
func (a *Accounts) Password(_ context.Context, l sftpd.Login, password []byte) error {
	return a.with(l.User, func(u *User) bool { return u.Password != "" && u.Password == string(password) })
}

// Key implements sftpd.Accounts.
func (a *Accounts) Key(_ context.Context, l sftpd.Login, key ssh.PublicKey) error {
	return a.with(l.User, func(u *User) bool {
		for _, k := range u.Keys {
			if bytes.Equal(k.Marshal(), key.Marshal()) {
				return true
			}
		}
		return false
	})
}

// Code implements sftpd.Accounts.
func (a *Accounts) Code(_ context.Context, l sftpd.Login, code string) error {
	return a.with(l.User, func(u *User) bool { return u.Code != "" && u.Code == code })
}

// Open implements sftpd.Accounts.
func (a *Accounts) Open(_ context.Context, l sftpd.Login) (sftpd.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.users[l.User]
	switch {
	case u == nil || u.Disabled:
		return sftpd.Account{}, errors.New("disabled")
	case u.MustChange:
		return sftpd.Account{}, sftpd.ErrChangePassword
	}
	return sftpd.Account{Name: l.User, FS: u.FS, Up: u.Up, Down: u.Down, MaxSessions: u.MaxSessions, Recheck: u.Recheck}, nil
}

// ChangePassword implements sftpd.Accounts.
func (a *Accounts) ChangePassword(_ context.Context, l sftpd.Login, password []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(password) < 8 {
		return sftpd.Refused("The password is too short.")
	}
	u := a.users[l.User]
	u.Password, u.MustChange = string(password), false
	return nil
}

// NewKey makes a key.
func NewKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// Start serves a site on a loopback port until the test ends, and returns its address.
func Start(t testing.TB, c sftpd.Config, p sftpd.Parts) (*sftpd.Site, string) {
	t.Helper()
	if c.Name == "" {
		c.Name = "test"
	}
	if c.HostKeys == nil {
		c.HostKeys = []ssh.Signer{NewKey(t)}
	}
	site, err := sftpd.New(c, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := site.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		site.Stop(now)
	})
	return site, site.Addrs()[0].String()
}
