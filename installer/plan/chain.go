package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// chain is what leads to the programs and data of a generation: the folder of
// the generation and its links. No receipt lists it, since every generation has it.
func chain(n int, release string) []receipt.Entry {
	dir := machine.Generation(n)
	entries := []receipt.Entry{{Path: dir, Type: receipt.Dir}}
	for _, l := range machine.GenerationPointers(n, release) {
		entries = append(entries, receipt.Entry{Path: filepath.Join(dir, l.Path), Type: receipt.Link, Target: l.Target})
	}
	return entries
}

// linkToCurrent is the link that puts a generation in force.
func linkToCurrent(n int) receipt.Entry {
	return receipt.Entry{Path: machine.Current, Type: receipt.Link, Target: machine.CurrentTarget(n)}
}

// isGone tells an entry that is not there, whatever of its path is missing.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// compareChain compares types and targets alone: mode and owner of a folder that
// every run makes anew are nobody's to depend on.
func compareChain(m *step.Machine, entries []receipt.Entry) ([]Deviation, error) {
	var out []Deviation
	for _, want := range entries {
		got, err := step.EntryOf(m, want.Path)
		switch {
		case isGone(err):
			out = append(out, missing(want))
			continue
		case err != nil:
			return nil, fmt.Errorf("look at %s: %w", want.Path, err)
		}
		if target, err := m.FS.ReadPointer(want.Path); err == nil && want.Type == receipt.Link {
			got.Type, got.Target = receipt.Link, target
		}
		want.Mode, want.Owner, want.Group, want.Config = got.Mode, got.Owner, got.Group, true
		out = append(out, compare(want, got)...)
	}
	return out, nil
}

func missing(want receipt.Entry) Deviation {
	return Deviation{Path: want.Path, Kind: "missing", Expected: string(want.Type)}
}

// FlawsOf compares what a generation needs in order to serve - its links and the
// programs of its release, not the package that a repair is made from - with its
// receipt. A generation without a receipt is held to its links alone.
func FlawsOf(m *step.Machine, n int) ([]Deviation, error) {
	r, err := readReceipt(m.FS, n)
	if err != nil {
		return nil, err
	}
	release := step.ReleaseOf(m.FS, n)
	if r != nil {
		release = r.Release
	}
	out, err := compareChain(m, chain(n, release))
	if err != nil || r == nil {
		return out, err
	}
	dir := machine.Release(release)
	for _, want := range r.Files {
		if !strings.HasPrefix(want.Path, dir+string(filepath.Separator)) || want.Path == filepath.Join(dir, bundle.PayloadName) {
			continue
		}
		got, err := step.EntryOf(m, want.Path)
		switch {
		case isGone(err):
			out = append(out, missing(want))
		case err != nil:
			return nil, fmt.Errorf("look at %s: %w", want.Path, err)
		default:
			out = append(out, compare(want, got)...)
		}
	}
	return out, nil
}

// mend is the command that puts a flaw of a generation right; empty when none does.
func mend(f *machine.FS, d Deviation) string {
	rest, ok := strings.CutPrefix(d.Path, machine.ReleasesDir+string(filepath.Separator))
	if !ok {
		if d.Kind == "link" {
			return pointCommand(d.Expected, f.Real(d.Path))
		}
		return ""
	}
	release, file, _ := strings.Cut(rest, string(filepath.Separator))
	dir := machine.Release(release)
	payload := filepath.Join(dir, bundle.PayloadName)
	if !f.Exists(payload) || file == bundle.ManifestName {
		return ""
	}
	return unpackCommand(f.Real(payload), f.Real(dir), file)
}

// CheckTarget refuses a rollback to a generation that could not serve.
func CheckTarget(m *step.Machine, p *Proposal) error {
	flaws, err := FlawsOf(m, p.Generation)
	if err != nil || len(flaws) == 0 {
		return err
	}
	what, cure := []string{}, []string{}
	for _, d := range flaws {
		what = append(what, d.Path+" ("+d.Kind+")")
		command := mend(m.FS, d)
		if command == "" {
			cure = []string{fmt.Sprintf("put %s back from a backup or the package of %s", d.Path, p.To)}
			break
		}
		if !slices.Contains(cure, command) {
			cure = append(cure, command)
		}
	}
	return fmt.Errorf("%w: generation %d cannot serve as it is: %s; nothing was changed; to mend it: %s; then run ss-setup rollback",
		ErrDamaged, p.Generation, strings.Join(what, ", "), strings.Join(cure, " && "))
}
