package step

import (
	"context"
	"encoding/json"
)

// AllowToServe gives an account the right to log on as a service. An uninstall leaves
// it: the account is an administrator's, and may run other services by then.
type AllowToServe struct {
	Account string `json:"account"`
}

type allowUndo struct {
	// Had: the account had the right already.
	Had bool `json:"had"`
}

// Kind implements Step.
func (s *AllowToServe) Kind() string { return "allow_to_serve" }

func (s *AllowToServe) String() string { return "let " + s.Account + " log on as a service" }

// Prepare looks whether the account has the right.
func (s *AllowToServe) Prepare(_ context.Context, m *Machine) (any, error) {
	had, err := m.LogonRights.MayServe(s.Account)
	return allowUndo{Had: had}, err
}

// Do gives the right; twice is once.
func (s *AllowToServe) Do(_ context.Context, m *Machine) error {
	return m.LogonRights.AllowToServe(s.Account)
}

// Undo takes it unless the account had it before.
func (s *AllowToServe) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u allowUndo
	if err := json.Unmarshal(undo, &u); err != nil || u.Had {
		return err
	}
	return m.LogonRights.ForbidToServe(s.Account)
}
