package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// CreateAccount makes a locked system account.
type CreateAccount struct {
	Name string `json:"name"`
	Home string `json:"home"`
}

type accountUndo struct {
	Existed bool `json:"existed"`
}

// Kind implements Step.
func (s *CreateAccount) Kind() string { return "create_account" }

func (s *CreateAccount) String() string { return "create account " + s.Name }

// Prepare notes whether the account is there already.
func (s *CreateAccount) Prepare(_ context.Context, m *Machine) (any, error) {
	_, _, err := m.Accounts.Lookup(s.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return accountUndo{}, nil
	}
	return accountUndo{Existed: true}, err
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
	return m.Accounts.Remove(ctx, s.Name)
}

// RemoveAccount removes an account for good, after the commit of an uninstall.
type RemoveAccount struct {
	noUndo
	Name string `json:"name"`
	// Unless lists folders: while one of them is left, the account stays, so
	// that what is in them keeps an owner with a name.
	Unless []string `json:"unless,omitempty"`
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
	return m.Accounts.Remove(ctx, s.Name)
}

// Undo is never called: the step stands after the commit.
func (s *RemoveAccount) Undo(context.Context, *Machine, json.RawMessage) error { return nil }
