package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"ss-setup/installer/machine"
)

// CreateAccount makes a locked system account.
type CreateAccount struct {
	Name string `json:"name"`
	Home string `json:"home"`
}

type accountUndo struct {
	Existed bool `json:"existed"`
	// GroupExisted: the group of its name is somebody else's.
	GroupExisted bool `json:"group_existed,omitempty"`
	// Files are the account files as they were: a file that has its content back
	// gets its time back as well.
	Files []accountFile `json:"files,omitempty"`
}

type accountFile struct {
	Path    string    `json:"path"`
	SHA256  string    `json:"sha256"`
	ModTime time.Time `json:"mod_time"`
}

// accountFiles is where a Unix system keeps accounts.
var accountFiles = []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"}

// Kind implements Step.
func (s *CreateAccount) Kind() string { return "create_account" }

func (s *CreateAccount) String() string { return "create account " + s.Name }

// Prepare notes whether the account is there already.
func (s *CreateAccount) Prepare(_ context.Context, m *Machine) (any, error) {
	_, _, err := m.Accounts.Lookup(s.Name)
	if !errors.Is(err, fs.ErrNotExist) {
		return accountUndo{Existed: true}, err
	}
	u := accountUndo{}
	if u.GroupExisted, err = m.Accounts.HasGroup(s.Name); err != nil {
		return nil, err
	}
	for _, path := range accountFiles {
		info, err := m.FS.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sum, err := fileDigest(m.FS, path)
		if err != nil {
			return nil, err
		}
		u.Files = append(u.Files, accountFile{path, sum, info.ModTime()})
	}
	return u, nil
}

// Do creates the account.
func (s *CreateAccount) Do(ctx context.Context, m *Machine) error {
	_, err := m.Accounts.Create(ctx, s.Name, s.Home)
	return err
}

// Undo removes the account if this step made it.
func (s *CreateAccount) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	var u accountUndo
	if err := json.Unmarshal(undo, &u); err != nil || u.Existed {
		return err
	}
	if err := m.Accounts.Remove(ctx, s.Name, u.GroupExisted); err != nil {
		return err
	}
	for _, path := range accountFiles {
		if err := m.FS.Remove(path + machine.TempSuffix); err != nil {
			return err
		}
	}
	for _, f := range u.Files {
		if err := f.restoreTime(m); err != nil {
			return err
		}
	}
	return nil
}

func (f accountFile) restoreTime(m *Machine) error {
	info, err := m.FS.Lstat(f.Path)
	if err != nil || info.ModTime().Equal(f.ModTime) {
		return err
	}
	if sum, err := fileDigest(m.FS, f.Path); err != nil || sum != f.SHA256 {
		return err // somebody else has changed it too
	}
	return m.FS.Chtimes(f.Path, f.ModTime)
}

// RemoveAccount removes an account for good, after the commit of an uninstall.
type RemoveAccount struct {
	noUndo
	Name string `json:"name"`
	// Unless lists folders: while one of them is left, the account stays, so
	// that what is in them keeps an owner with a name.
	Unless []string `json:"unless,omitempty"`
	// KeepGroup: the group of its name was there before the account.
	KeepGroup bool `json:"keep_group,omitempty"`
}

// Kind implements Step.
func (s *RemoveAccount) Kind() string { return "remove_account" }

func (s *RemoveAccount) String() string { return "remove account " + s.Name }

// Do removes the account.
func (s *RemoveAccount) Do(ctx context.Context, m *Machine) error {
	for _, dir := range s.Unless {
		if m.FS.Exists(dir) {
			m.warn(fmt.Sprintf("account %s stays, locked: it owns %s", s.Name, dir))
			return nil
		}
	}
	return m.Accounts.Remove(ctx, s.Name, s.KeepGroup)
}

// Undo is never called: the step stands after the commit.
func (s *RemoveAccount) Undo(context.Context, *Machine, json.RawMessage) error { return nil }
