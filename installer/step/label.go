package step

import (
	"context"
	"encoding/json"
)

// RestoreLabels gives what was installed the labels that the machine's SELinux
// policy has for it, before the first start.
type RestoreLabels struct {
	noUndo
	Paths []string `json:"paths"`
}

// Kind implements Step.
func (s *RestoreLabels) Kind() string { return "restore_labels" }

func (s *RestoreLabels) String() string {
	return "give files their SELinux labels, where SELinux is on"
}

// Do relabels.
func (s *RestoreLabels) Do(ctx context.Context, m *Machine) error {
	if m.Relabel == nil {
		return nil
	}
	return m.Relabel(ctx, s.Paths...)
}

// Undo has nothing to put back: what was labelled was made by this run.
func (s *RestoreLabels) Undo(context.Context, *Machine, json.RawMessage) error { return nil }
