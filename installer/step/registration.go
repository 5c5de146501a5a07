package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"ss-setup/installer/machine"
)

// RegisterService makes the entry of a service in a service manager that keeps
// entries instead of files. One that is there keeps its account: an administrator
// may have chosen it, all but the one that may do everything. Which release and generation an entry names is
// SwitchGeneration's to change.
type RegisterService struct {
	Service     string            `json:"service"`
	DisplayName string            `json:"display_name"`
	Description string            `json:"description"`
	Account     string            `json:"account"`
	Restarts    *machine.Restarts `json:"restarts"`
	Release     string            `json:"release"`
	Generation  int               `json:"generation"`
	// ByHand: nothing starts it by itself yet, for an older product still serves.
	ByHand bool `json:"by_hand,omitempty"`
}

// allMighty is the account under which no service of ours runs.
const allMighty = "LocalSystem"

type registerUndo struct {
	Existed bool                 `json:"existed"`
	Was     machine.Registration `json:"was,omitzero"`
}

// Kind implements Step.
func (s *RegisterService) Kind() string { return "register_service" }

func (s *RegisterService) String() string {
	return fmt.Sprintf("register service %s (%s)", s.Service, s.Account)
}

// Prepare keeps the entry that is there. Before anything is installed it is
// somebody else's.
func (s *RegisterService) Prepare(_ context.Context, m *Machine) (any, error) {
	was, err := m.Registrar.Registered(s.Service)
	if errors.Is(err, fs.ErrNotExist) {
		return registerUndo{}, nil
	}
	if err != nil {
		return nil, err
	}
	if m.KeepOriginals && !strings.Contains(was.Command, machine.ReleasesDir) {
		return nil, fmt.Errorf("there is a service %s of another product already (%s); remove it with sc.exe delete %[1]s and run ss-setup again", s.Service, was.Command)
	}
	return registerUndo{Existed: true, Was: was}, nil
}

// Do makes or mends the entry.
func (s *RegisterService) Do(ctx context.Context, m *Machine) error {
	r := machine.Registration{
		Service: s.Service, DisplayName: s.DisplayName, Description: s.Description, Start: machine.StartAtBoot, Restarts: s.Restarts,
	}
	if s.ByHand {
		r.Start = machine.StartByHand
	}
	now, err := m.Registrar.Registered(s.Service)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Account = s.Account
		r.Command = machine.ServiceCommand(s.Service, s.Release, s.Generation)
	case err != nil:
		return err
	case strings.EqualFold(now.Account, allMighty):
		r.Account = s.Account
	}
	return m.Registrar.Register(ctx, r)
}

// Undo removes the entry, or makes it what it was.
func (s *RegisterService) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	var u registerUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	if u.Existed {
		return m.Registrar.Register(ctx, u.Was)
	}
	if err := m.Services.Stop(ctx, s.Service); err != nil {
		return err
	}
	return m.Registrar.Unregister(ctx, s.Service)
}

// UnregisterService removes the entry of a service for good.
type UnregisterService struct {
	noUndo
	Service string `json:"service"`
}

// Kind implements Step.
func (s *UnregisterService) Kind() string { return "unregister_service" }

func (s *UnregisterService) String() string { return "remove service " + s.Service }

// Do removes the entry.
func (s *UnregisterService) Do(ctx context.Context, m *Machine) error {
	return m.Registrar.Unregister(ctx, s.Service)
}

// Undo is never called: the step stands after the commit.
func (s *UnregisterService) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

// entryServices are the services whose entries name release and generation.
var entryServices = []string{machine.ServerService, machine.LicensedService}

// entryUndo are the commands in the entries of services, by name.
type entryUndo struct {
	Commands map[string]string `json:"commands,omitempty"`
}

// entryCommands reads what the entries of services name; nothing where there are
// no entries.
func (m *Machine) entryCommands() (any, error) {
	if m.Registrar == nil {
		return nil, nil
	}
	u := entryUndo{Commands: map[string]string{}}
	for _, name := range entryServices {
		r, err := m.Registrar.Registered(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		u.Commands[name] = r.Command
	}
	return u, nil
}

// retarget has the entries of services name generation n, each in one call.
func (m *Machine) retarget(ctx context.Context, n int) error {
	if m.Registrar == nil {
		return nil
	}
	release := ReleaseOf(m.FS, n)
	if release == "" {
		return fmt.Errorf("generation %d names no release", n)
	}
	for _, name := range entryServices {
		if err := m.retargetOne(ctx, name, machine.ServiceCommand(name, release, n)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) retargetOne(ctx context.Context, service, command string) error {
	now, err := m.Registrar.Registered(service)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || now.Command == command {
		return err
	}
	return m.Registrar.Register(ctx, machine.Registration{Service: service, Command: command})
}

// restoreCommands puts back what entries named. A boot may have started a service
// by the entry that goes, on data that go too, so it is stopped first.
func (m *Machine) restoreCommands(ctx context.Context, undo json.RawMessage) error {
	if m.Registrar == nil {
		return nil
	}
	var u entryUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	for _, name := range entryServices {
		command, was := u.Commands[name]
		now, err := m.Registrar.Registered(name)
		if !was || errors.Is(err, fs.ErrNotExist) || err == nil && now.Command == command {
			continue
		}
		if err != nil {
			return err
		}
		if err := m.Services.Stop(ctx, name); err != nil {
			return err
		}
		if err := m.retargetOne(ctx, name, command); err != nil {
			return err
		}
	}
	return nil
}
