package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"syscall"

	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// chain is what leads to the programs and data of a generation: the folder of
// the generation and its links. No receipt lists it, since every generation has it.
func chain(n int, release string) []receipt.Entry {
	dir := machine.Generation(n)
	link := func(name, target string) receipt.Entry {
		return receipt.Entry{Path: filepath.Join(dir, name), Type: receipt.Link, Target: target}
	}
	return []receipt.Entry{
		{Path: dir, Type: receipt.Dir},
		link("release", "../../releases/"+release),
		link("data", machine.ServerData(n)),
		link("licensed", machine.LicensedData(n)),
	}
}

// linkToCurrent is the link that puts a generation in force.
func linkToCurrent(n int) receipt.Entry {
	return receipt.Entry{Path: machine.Current, Type: receipt.Link, Target: path.Join("generations", strconv.Itoa(n))}
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
		want.Mode, want.Owner, want.Group, want.Config = got.Mode, got.Owner, got.Group, true
		out = append(out, compare(want, got)...)
	}
	return out, nil
}

func missing(want receipt.Entry) Deviation {
	return Deviation{Path: want.Path, Kind: "missing", Expected: string(want.Type)}
}
