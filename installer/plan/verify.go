package plan

import (
	"context"
	"fmt"

	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// Deviation is one place where the machine differs from the receipt.
type Deviation struct {
	Path string `json:"path"`
	// Kind is missing, content, mode, owner, link, type, registry, enabled, command,
	// account or running; of the last four the path is the service.
	Kind     string `json:"kind"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

// Kinds of deviations that files do not show.
const (
	// KindRunning: a service failed.
	KindRunning = "running"
	// KindCommand: the entry of a service runs another program or generation.
	KindCommand = "command"
	// KindAccount: a service runs as another account.
	KindAccount = "account"
	// KindRegistry: a value of the registry is another.
	KindRegistry = "registry"
)

// Verify compares every installed file, link, folder and service with the receipt,
// and the links that lead from current to programs and data; on Windows entries of
// services and the registry too. What an administrator may edit is compared in owner
// and mode alone. A service that failed is a deviation; one that was stopped or masked
// is not, since that is an administrator's to do.
func Verify(_ context.Context, m *step.Machine, s *Situation) ([]Deviation, error) {
	if err := s.CheckLink(); err != nil {
		return nil, err
	}
	if !s.Installed() {
		return nil, fmt.Errorf("%w, so there is nothing to verify", ErrNothingInstalled)
	}
	if s.Receipt == nil {
		return nil, fmt.Errorf("%w: the receipt of generation %d is lost; run: ss-setup install --repair", ErrDamaged, s.Current)
	}
	leads, err := compareChain(m, append([]receipt.Entry{linkToCurrent(s.Current)}, chain(s.Current, s.Receipt.Release)...))
	if err != nil {
		return nil, err
	}
	out := append([]Deviation{}, leads...)
	for _, want := range s.Receipt.Files {
		got, err := step.EntryOf(m, want.Path)
		if isGone(err) {
			out = append(out, missing(want))
			continue
		}
		if err != nil {
			return nil, err
		}
		if want.SHA256 != got.SHA256 && step.WaitsForRestart(m.FS, want.Path, want.SHA256) {
			got.SHA256 = want.SHA256 // the system puts it right by itself
		}
		out = append(out, compare(want, got)...)
	}
	entries, err := compareEntries(m, s)
	if err != nil {
		return nil, err
	}
	out = append(out, entries...)
	for _, svc := range s.Receipt.Services {
		now := s.Services[svc.Name]
		if m.Registrar == nil && svc.Enabled && !now.Enabled && !now.Masked {
			out = append(out, Deviation{Path: svc.Name, Kind: "enabled", Expected: "enabled", Found: "disabled"})
		}
		if now.Failed && !now.Active && !now.Masked {
			out = append(out, Deviation{Path: svc.Name, Kind: KindRunning, Expected: "running", Found: "failed"})
		}
	}
	return out, nil
}

func compare(want, got receipt.Entry) []Deviation {
	differ := func(kind, expected, found string) []Deviation {
		return []Deviation{{Path: want.Path, Kind: kind, Expected: expected, Found: found}}
	}
	if want.Type != got.Type {
		return differ("type", string(want.Type), string(got.Type))
	}
	var out []Deviation
	if want.Type == receipt.Link && want.Target != got.Target {
		out = append(out, differ("link", want.Target, got.Target)...)
	}
	if want.Type == receipt.File && !want.Config && want.SHA256 != got.SHA256 {
		out = append(out, differ("content", want.SHA256, got.SHA256)...)
	}
	if want.Mode != got.Mode {
		out = append(out, differ("mode", want.Mode, got.Mode)...)
	}
	if want.Owner != got.Owner || want.Group != got.Group {
		out = append(out, differ("owner", want.Owner+":"+want.Group, got.Owner+":"+got.Group)...)
	}
	return out
}
