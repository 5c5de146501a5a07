package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"ss-setup/installer/machine"
)

// OpenFirewall lets ports in through the host's firewall, on request only.
type OpenFirewall struct {
	Ports []int `json:"ports"`
}

type firewallUndo struct {
	Close []int `json:"close"`
	// File is what noted the ports that earlier installs opened.
	File preImage `json:"file,omitzero"`
}

// Kind implements Step.
func (s *OpenFirewall) Kind() string { return "open_firewall" }

func (s *OpenFirewall) String() string {
	return fmt.Sprintf("open ports %v in the host's firewall", s.Ports)
}

// Prepare notes which of the ports were open already.
func (s *OpenFirewall) Prepare(ctx context.Context, m *Machine) (any, error) {
	closed, err := s.closed(ctx, m)
	if err != nil || len(closed) == 0 {
		return firewallUndo{}, err
	}
	content, err := notePorts(m.FS, closed)
	if err != nil {
		return nil, err
	}
	u := firewallUndo{Close: closed}
	u.File, err = savePreImage(m, machine.OpenedPortsFile, digest(content))
	return u, err
}

// closed are those of the ports that are not open.
func (s *OpenFirewall) closed(ctx context.Context, m *Machine) ([]int, error) {
	open, err := m.Firewall.Opened(ctx, s.Ports)
	if err != nil {
		return nil, err
	}
	return without(s.Ports, open), nil
}

func without(ports, others []int) []int {
	return slices.DeleteFunc(slices.Clone(ports), func(p int) bool { return slices.Contains(others, p) })
}

// Do opens them. What it opens is noted before, so that an uninstall closes it
// whatever comes between.
func (s *OpenFirewall) Do(ctx context.Context, m *Machine) error {
	closed, err := s.closed(ctx, m)
	if err != nil || len(closed) == 0 {
		return err
	}
	content, err := notePorts(m.FS, closed)
	if err != nil {
		return err
	}
	if err := m.FS.WriteFile(machine.OpenedPortsFile, content, machine.Attr{Mode: 0o600}); err != nil {
		return err
	}
	return m.Firewall.Open(ctx, s.Ports)
}

// Undo closes those that were not open.
func (s *OpenFirewall) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	var u firewallUndo
	if err := json.Unmarshal(undo, &u); err != nil || len(u.Close) == 0 {
		return err
	}
	if err := m.Firewall.Close(ctx, u.Close); err != nil {
		return err
	}
	return u.File.restore(m, machine.OpenedPortsFile)
}

// OpenedPorts are the ports that installs opened in the host's firewall.
func OpenedPorts(f *machine.FS) ([]int, error) {
	content, err := f.ReadFile(machine.OpenedPortsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ports []int
	if err := json.Unmarshal(content, &ports); err != nil {
		return nil, fmt.Errorf("read %s: %w; make it a list of ports, such as [6443], or remove it", machine.OpenedPortsFile, err)
	}
	return ports, nil
}

// notePorts is the file that notes ports besides those that are noted.
func notePorts(f *machine.FS, more []int) ([]byte, error) {
	noted, err := OpenedPorts(f)
	if err != nil {
		return nil, err
	}
	content, err := json.Marshal(append(noted, without(more, noted)...))
	return append(content, '\n'), err
}

// CloseFirewall closes ports that installs opened, when the product goes.
type CloseFirewall struct {
	noUndo
	Ports []int `json:"ports"`
}

// Kind implements Step.
func (s *CloseFirewall) Kind() string { return "close_firewall" }

func (s *CloseFirewall) String() string {
	return fmt.Sprintf("close ports %v in the host's firewall, which were opened for it", s.Ports)
}

// Do closes them. A firewall that has been replaced or stopped since does not keep
// an uninstall from its end.
func (s *CloseFirewall) Do(ctx context.Context, m *Machine) error {
	err := m.Firewall.Close(ctx, s.Ports)
	open, lookErr := m.Firewall.Opened(ctx, s.Ports)
	if err = errors.Join(err, lookErr); err != nil {
		m.warn(fmt.Sprintf("ports %v may still be open in the firewall: %v", s.Ports, err))
	} else if len(open) > 0 {
		m.warn(fmt.Sprintf("ports %v are let in still: the firewall is off, and they may be open when it is on again, or a rule of somebody else's lets them in", open))
	}
	for _, path := range []string{machine.OpenedPortsFile, machine.OpenedPortsFile + machine.TempSuffix} {
		if err := m.FS.Remove(path); err != nil {
			return err
		}
	}
	return m.FS.SyncDir(machine.SetupDir)
}

// Undo is never called: the step stands after the commit.
func (s *CloseFirewall) Undo(context.Context, *Machine, json.RawMessage) error { return nil }
