package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ss-setup/installer/machine"
)

// StartupOf tells how a service starts now.
func StartupOf(ctx context.Context, m *Machine, service string) (machine.Startup, error) {
	s := machine.Startup{Service: service}
	state, err := m.Services.State(ctx, service)
	if err != nil {
		return s, err
	}
	s.Active = state.Active
	if m.Registrar != nil && state.Installed {
		entry, err := m.Registrar.Registered(service)
		if err != nil {
			return s, err
		}
		s.Start = entry.Start
	}
	s.Links, err = m.Services.StartLinks(service)
	return s, err
}

func startupsOf(ctx context.Context, m *Machine, services []string) ([]machine.Startup, error) {
	all := make([]machine.Startup, 0, len(services))
	for _, name := range services {
		s, err := StartupOf(ctx, m, name)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// setStartup has a service start as s says: exactly its links, or its start. It starts
// and stops nothing.
func setStartup(ctx context.Context, m *Machine, s machine.Startup) error {
	if m.Registrar != nil {
		if s.Start == "" {
			return nil // there was no entry
		}
		now, err := m.Registrar.Registered(s.Service)
		if err != nil || now.Start == s.Start {
			return err
		}
		return m.Registrar.Register(ctx, machine.Registration{Service: s.Service, Start: s.Start})
	}
	now, err := m.Services.StartLinks(s.Service)
	if err != nil {
		return err
	}
	for _, l := range now {
		if slices.Contains(s.Links, l) {
			continue
		}
		if err := m.FS.Remove(l.Path); err != nil {
			return err
		}
		if err := m.FS.SyncDir(filepath.Dir(l.Path)); err != nil {
			return err
		}
	}
	for _, l := range s.Links {
		if slices.Contains(now, l) {
			// Whoever made it may have been cut before it was on the disk.
			if err := m.FS.SyncDir(filepath.Dir(l.Path)); err != nil {
				return err
			}
			continue
		}
		if err := makeParents(m, m.FS.MissingParents(l.Path)); err != nil {
			return err
		}
		if err := m.FS.ReplaceLink(l.Target, l.Path); err != nil {
			return err
		}
	}
	return nil
}

// DisableServices keeps services from starting with the machine. They stay installed.
type DisableServices struct {
	Services []string `json:"services"`
}

// Kind implements Step.
func (s *DisableServices) Kind() string { return "disable_services" }

func (s *DisableServices) String() string {
	return "keep " + strings.Join(s.Services, " and ") + " from starting with the machine"
}

// Prepare notes how the services start.
func (s *DisableServices) Prepare(ctx context.Context, m *Machine) (any, error) {
	return startupsOf(ctx, m, s.Services)
}

// Do takes away what starts them, and looks whether they are still started all the same.
func (s *DisableServices) Do(ctx context.Context, m *Machine) error {
	for _, name := range s.Services {
		if err := setStartup(ctx, m, machine.Startup{Service: name, Start: machine.StartDisabled}); err != nil {
			return fmt.Errorf("keep %s from starting: %w", name, err)
		}
	}
	if m.Offline {
		return nil
	}
	for _, name := range s.Services {
		starters, err := startersOf(ctx, m, name, s.Services, true)
		if err != nil {
			return err
		}
		if len(starters) > 0 {
			return stillStarted(name, starters[0])
		}
		state, err := m.Services.State(ctx, name)
		if err != nil {
			return err
		}
		if state.Enabled {
			return fmt.Errorf("%s still starts with the machine; disable it by hand first", name)
		}
	}
	return nil
}

// startersOf are what starts a service without its links, but for services that are
// disabled with it.
func startersOf(ctx context.Context, m *Machine, name string, disabled []string, unlinked bool) ([]string, error) {
	starters, err := m.Services.Starters(ctx, name, unlinked)
	return slices.DeleteFunc(starters, func(unit string) bool {
		return slices.Contains(disabled, strings.TrimSuffix(unit, ".service"))
	}), err
}

func stillStarted(service, starter string) error {
	return fmt.Errorf("%s starts %s; disable it first, with: systemctl disable --now %[1]s", starter, service)
}

// Undo gives it back.
func (s *DisableServices) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	var was []machine.Startup
	if err := json.Unmarshal(undo, &was); err != nil {
		return err
	}
	var failed error
	for _, service := range was {
		if err := setStartup(ctx, m, service); err != nil {
			failed = errors.Join(failed, fmt.Errorf("let %s start with the machine again: %w", service.Service, err))
		}
	}
	return failed
}

// EnableServices has services start with the machine as they did when they were noted.
type EnableServices struct {
	Services []machine.Startup `json:"services"`
}

// Kind implements Step.
func (s *EnableServices) Kind() string { return "enable_services" }

func (s *EnableServices) String() string {
	var names []string
	for _, service := range s.Services {
		names = append(names, service.Service)
	}
	return "let " + strings.Join(names, " and ") + " start with the machine again"
}

// Prepare notes how the services start until then.
func (s *EnableServices) Prepare(ctx context.Context, m *Machine) (any, error) {
	var names []string
	for _, service := range s.Services {
		names = append(names, service.Service)
	}
	return startupsOf(ctx, m, names)
}

// Do enables them.
func (s *EnableServices) Do(ctx context.Context, m *Machine) error {
	for _, service := range s.Services {
		if err := setStartup(ctx, m, service); err != nil {
			return fmt.Errorf("let %s start with the machine: %w", service.Service, err)
		}
	}
	return nil
}

// Undo takes it back, and stops what a boot in between has started.
func (s *EnableServices) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	var was []machine.Startup
	if err := json.Unmarshal(undo, &was); err != nil {
		return err
	}
	var failed error
	for i, service := range was {
		for _, l := range s.Services[i].Links {
			failed = errors.Join(failed, m.FS.Remove(l.Path+machine.TempSuffix))
		}
		if err := setStartup(ctx, m, service); err != nil {
			failed = errors.Join(failed, fmt.Errorf("keep %s from starting: %w", service.Service, err))
		}
		if !service.Active {
			failed = errors.Join(failed, m.Services.Stop(ctx, service.Service))
		}
	}
	return failed
}

// Transient implements txn.Transient: a boot may start what was stopped on the way back.
func (s *EnableServices) Transient() {}

// LeaveGeneration puts no generation in force: an older product serves instead.
type LeaveGeneration struct {
	From int `json:"from_generation"`
}

// Kind implements Step.
func (s *LeaveGeneration) Kind() string { return "leave_generation" }

func (s *LeaveGeneration) String() string {
	return fmt.Sprintf("put generation %d out of force", s.From)
}

// Prepare refuses when something else is in force.
func (s *LeaveGeneration) Prepare(_ context.Context, m *Machine) (any, error) {
	now, err := CurrentGeneration(m.FS)
	if err == nil && now != s.From {
		err = fmt.Errorf("generation %d is in force, not %d as planned", now, s.From)
	}
	return nil, err
}

// Do removes what names it.
func (s *LeaveGeneration) Do(_ context.Context, m *Machine) error {
	if err := m.FS.Remove(machine.Current); err != nil {
		return err
	}
	return m.FS.SyncDir(filepath.Dir(machine.Current))
}

// Undo puts it in force again.
func (s *LeaveGeneration) Undo(_ context.Context, m *Machine, _ json.RawMessage) error {
	if err := m.FS.Remove(machine.Current + machine.TempSuffix); err != nil {
		return err
	}
	now, err := CurrentGeneration(m.FS)
	if err != nil || now == s.From {
		return errors.Join(err, m.FS.SyncDir(filepath.Dir(machine.Current)))
	}
	return m.FS.ReplacePointer(machine.CurrentTarget(s.From), machine.Current)
}

// Passed reads whether nothing is in force.
func (s *LeaveGeneration) Passed(_ context.Context, m *Machine) (bool, error) {
	now, err := CurrentGeneration(m.FS)
	return now == 0, err
}
