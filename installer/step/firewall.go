package step

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// OpenFirewall lets ports in through the host's firewall, on request only.
type OpenFirewall struct {
	Ports []int `json:"ports"`
}

type firewallUndo struct {
	Close []int `json:"close"`
}

// Kind implements Step.
func (s *OpenFirewall) Kind() string { return "open_firewall" }

func (s *OpenFirewall) String() string {
	return fmt.Sprintf("open ports %v in the host's firewall", s.Ports)
}

// Prepare notes which of the ports were open already.
func (s *OpenFirewall) Prepare(ctx context.Context, m *Machine) (any, error) {
	open, err := m.Firewall.Opened(ctx, s.Ports)
	if err != nil {
		return nil, err
	}
	var u firewallUndo
	for _, p := range s.Ports {
		if !slices.Contains(open, p) {
			u.Close = append(u.Close, p)
		}
	}
	return u, nil
}

// Do opens them.
func (s *OpenFirewall) Do(ctx context.Context, m *Machine) error {
	return m.Firewall.Open(ctx, s.Ports)
}

// Undo closes those that were not open.
func (s *OpenFirewall) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	var u firewallUndo
	if err := json.Unmarshal(undo, &u); err != nil || len(u.Close) == 0 {
		return err
	}
	return m.Firewall.Close(ctx, u.Close)
}
