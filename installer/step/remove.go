package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
)

// BeginRemoval is the point of no return of an uninstall: its record in the
// journal is all it does.
type BeginRemoval struct{ noUndo }

// Kind implements Step.
func (s *BeginRemoval) Kind() string { return "begin_removal" }

func (s *BeginRemoval) String() string { return "from here on only forward" }

// Do has nothing to do.
func (s *BeginRemoval) Do(context.Context, *Machine) error { return nil }

// Undo has nothing to put back.
func (s *BeginRemoval) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

// RemoveInstalled removes one installed file or link and puts back what stood
// there before the first install. What was edited since is kept as .ss-save. The
// originals themselves are removed by a step of their own, when all are back.
type RemoveInstalled struct {
	noUndo
	placed
	// Was is the fingerprint of what was installed; empty when any content may go.
	Was string `json:"was,omitempty"`
}

// NewRemoveInstalled makes a RemoveInstalled step.
func NewRemoveInstalled(path, was string) *RemoveInstalled {
	return &RemoveInstalled{placed: placed{path}, Was: was}
}

// Kind implements Step.
func (s *RemoveInstalled) Kind() string { return "remove_installed" }

func (s *RemoveInstalled) String() string { return "remove " + s.Path }

// Do removes the file.
func (s *RemoveInstalled) Do(_ context.Context, m *Machine) error {
	m = m.lenient()
	o, err := loadOriginal(m.FS, s.Path)
	if err != nil {
		return err
	}
	now, err := fingerprint(m.FS, s.Path)
	if err != nil {
		m.warn(fmt.Sprintf("left alone: %v", err))
		return nil
	}
	if o != nil && now == o.content() {
		return o.putBack(m, s.Path, now)
	}
	if err := s.takeAway(m, now); err != nil || o == nil {
		return err
	}
	return o.putBack(m, s.Path, "")
}

func (s *RemoveInstalled) takeAway(m *Machine, now string) error {
	for _, beside := range []string{s.Path + machine.TempSuffix, waiting(s.Path)} {
		if err := m.FS.Remove(beside); err != nil {
			return err
		}
	}
	switch {
	case now == "":
		return nil
	case s.Was != "" && now != s.Was:
		save := saveName(m.FS, s.Path)
		m.warn(fmt.Sprintf("%s had been edited; it is kept as %s", s.Path, save))
		if err := m.FS.Rename(s.Path, save); err != nil {
			return err
		}
	default:
		if err := m.FS.Remove(s.Path); err != nil {
			return err
		}
	}
	return m.FS.SyncDir(filepath.Dir(s.Path))
}

// Undo is never called: the step stands after the commit.
func (s *RemoveInstalled) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

// lenient is the same machine for removals after the commit: what another program
// keeps open then may wait for the next restart.
func (m *Machine) lenient() *Machine {
	if m.AtRestart == nil {
		return m
	}
	l := *m
	l.FS = m.FS.Lenient(func(path string) { m.AtRestart(path, "is removed") })
	return &l
}

// removingSuffix marks a tree that is being deleted: nobody finds it half gone
// under its name.
const removingSuffix = ".ss-removing"

// RemoveTree removes a folder with all that is in it, never through a link and
// never across a mount point.
type RemoveTree struct {
	noUndo
	placed
	// IfEmpty removes the folder only when nothing is in it, Unless only when nothing in
	// it has a name of this pattern.
	IfEmpty bool   `json:"if_empty,omitempty"`
	Unless  string `json:"unless,omitempty"`
}

// NewRemoveTree makes a RemoveTree step.
func NewRemoveTree(path string) *RemoveTree { return &RemoveTree{placed: placed{path}} }

// NewRemoveEmpty makes a RemoveTree step for a folder that goes only when it is empty.
func NewRemoveEmpty(path string) *RemoveTree {
	return &RemoveTree{placed: placed{path}, IfEmpty: true}
}

// NewRemoveUnless makes a RemoveTree step for a folder that stays when something in it has
// a name of the pattern.
func NewRemoveUnless(path, pattern string) *RemoveTree {
	return &RemoveTree{placed: placed{path}, Unless: pattern}
}

// Kind implements Step.
func (s *RemoveTree) Kind() string { return "remove_tree" }

func (s *RemoveTree) String() string {
	if s.IfEmpty {
		return "remove " + s.Path + " if it is empty"
	}
	if s.Unless != "" {
		return "remove " + s.Path + " unless it has " + s.Unless
	}
	return "remove " + s.Path + " and all that is in it"
}

// keeps names what keeps the folder.
func (s *RemoveTree) keeps(m *Machine) (string, error) {
	if s.Unless == "" {
		return "", nil
	}
	entries, err := m.FS.ReadDir(s.Path)
	for _, e := range entries {
		if fits, _ := filepath.Match(s.Unless, e.Name()); fits {
			return e.Name(), nil
		}
	}
	return "", err
}

// Do removes the tree.
func (s *RemoveTree) Do(_ context.Context, m *Machine) error {
	if m.Removing != nil {
		m.Removing(s.Path)
	}
	m = m.lenient()
	parent := filepath.Dir(s.Path)
	if !m.FS.Exists(parent) {
		return nil
	}
	if m.FS.Exists(s.Path) {
		if s.IfEmpty {
			return s.removeEmpty(m)
		}
		switch kept, err := s.keeps(m); {
		case err != nil:
			return err
		case kept != "":
			m.warn(fmt.Sprintf("%s stays: it has %s", s.Path, kept))
			return nil
		}
		if mounted, err := m.FS.MountedInside(s.Path); err != nil || mounted != "" {
			return errors.Join(err, removeAround(m, s.Path))
		}
		if err := m.FS.RemoveAll(s.Path + removingSuffix); err != nil {
			return err
		}
		err := m.FS.Rename(s.Path, s.Path+removingSuffix)
		switch {
		case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EXDEV):
			return s.emptyMountPoint(m)
		case errors.Is(err, machine.ErrLocked):
			// A folder with an open file in it keeps its name on Windows.
			return m.FS.RemoveAll(s.Path)
		case err != nil:
			return err
		}
		if err := m.FS.SyncDir(parent); err != nil {
			return err
		}
	}
	if err := m.FS.RemoveAll(s.Path + removingSuffix); err != nil {
		return err
	}
	return m.FS.SyncDir(parent)
}

func (s *RemoveTree) removeEmpty(m *Machine) error {
	info, err := m.FS.Lstat(s.Path)
	if err != nil || !info.IsDir() {
		return err
	}
	entries, err := m.FS.ReadDir(s.Path)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		m.warn(fmt.Sprintf("%s stays: it is not empty", s.Path))
		return nil
	}
	if err := m.FS.Remove(s.Path); err != nil {
		if errors.Is(err, syscall.EBUSY) {
			return nil // a mount point of the administrator's
		}
		return err
	}
	return m.FS.SyncDir(filepath.Dir(s.Path))
}

// emptyMountPoint removes what is in a folder that is itself a mount point.
func (s *RemoveTree) emptyMountPoint(m *Machine) error {
	m.warn(fmt.Sprintf("%s is a mount point; it is emptied and stays", s.Path))
	return removeAround(m, s.Path)
}

// removeAround removes what is in a folder but for what is mounted in it, and the
// folders that lead there.
func removeAround(m *Machine, dir string) error {
	entries, err := m.FS.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		child := filepath.Join(dir, e.Name())
		err := m.FS.RemoveAll(child)
		if errors.Is(err, machine.ErrOtherFilesystem) {
			err = keepMounted(m, dir, child)
		}
		if err != nil {
			return err
		}
	}
	return m.FS.SyncDir(dir)
}

func keepMounted(m *Machine, dir, child string) error {
	mounted, err := m.FS.MountedInside(dir)
	if err == nil && mounted == child {
		m.warn(fmt.Sprintf("%s stays: another file system is mounted there", child))
		return nil
	}
	return errors.Join(err, removeAround(m, child))
}

// Undo is never called: the step stands after the commit.
func (s *RemoveTree) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

// Collect removes generations that ended by a successful update, and releases
// that no generation names any more.
type Collect struct {
	noUndo
	Generations []int `json:"generations"`
}

// Kind implements Step.
func (s *Collect) Kind() string { return "collect" }

func (s *Collect) String() string {
	if len(s.Generations) == 0 {
		return "remove releases that no generation uses"
	}
	return fmt.Sprintf("remove generations %v and releases that no generation uses", s.Generations)
}

// Do removes them.
func (s *Collect) Do(_ context.Context, m *Machine) error {
	m = m.lenient()
	for _, n := range s.Generations {
		if err := refuseCurrent(m.FS, n); err != nil {
			return err
		}
		if err := removeTrees(m.FS, machine.Generation(n), machine.ServerData(n), machine.LicensedData(n)); err != nil {
			return err
		}
	}
	return collectReleases(m.FS)
}

func collectReleases(f *machine.FS) error {
	used := map[string]bool{}
	generations, err := f.ReadDir(machine.GenerationsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, g := range generations {
		if n, err := strconv.Atoi(g.Name()); err == nil {
			used[ReleaseOf(f, n)] = true
		}
	}
	releases, err := f.ReadDir(machine.ReleasesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, r := range releases {
		if used[r.Name()] {
			continue
		}
		if err := removeRelease(f, machine.Release(r.Name())); err != nil {
			return err
		}
	}
	return nil
}

// removeRelease renames a release folder before it is emptied, so that one that
// is half gone is known. What has no manifest is not a release, but somebody's.
func removeRelease(f *machine.FS, dir string) error {
	if !strings.HasSuffix(dir, removingSuffix) {
		if !f.Exists(filepath.Join(dir, bundle.ManifestName)) {
			return nil
		}
		if err := f.RemoveAll(dir + removingSuffix); err != nil {
			return err
		}
		err := f.Rename(dir, dir+removingSuffix)
		switch {
		case errors.Is(err, machine.ErrLocked):
			return removeTrees(f, dir)
		case err != nil:
			return err
		}
		dir += removingSuffix
	}
	return removeTrees(f, dir)
}

// Undo is never called: the step stands after the commit.
func (s *Collect) Undo(context.Context, *Machine, json.RawMessage) error { return nil }
