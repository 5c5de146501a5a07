package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"ss-setup/runtime/durable"
)

// replacedMark stands in the name of a store that another took the place of and that no
// snapshot could be made of.
const replacedMark = ".replaced-"

// Replaced tells what became of the store of before.
type Replaced struct {
	// Snapshot is the copy that was made of it; SetAside where it lies itself, because
	// no snapshot could be made. Neither is there if there was no store.
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	SetAside string    `json:"set_aside,omitempty"`
}

// OpenFresh opens a store that is filled for Replace. Commits do not wait for the disk: until
// Replace, which checks all of it and has all of it on the disk, nobody uses it.
func (s Schema) OpenFresh(dir string) (*Store, error) {
	st, err := s.Open(dir)
	if err != nil {
		return nil, err
	}
	st.db.NoSync = true
	return st, nil
}

// Replace puts the store in the file fresh, which nobody else has open, in the place of
// the one in dir. The new one is checked as a whole first, of the old one a snapshot is
// kept; where it is damaged, or of another schema, it is kept itself. Until the one rename
// at the end nothing of the old store is touched, and it may be cut anywhere. The old
// store's lock is held: ErrInUse while a server runs. tell hears what is being done.
func (s Schema) Replace(dir, fresh string, snapshots Snapshots, tell func(string)) (r Replaced, err error) {
	tell("checking the new store")
	if err := s.ready(fresh); err != nil {
		return Replaced{}, err
	}
	if err := Adopt(dir, fresh); err != nil {
		return Replaced{}, err
	}
	old, err := s.Open(dir)
	unlock := func() error {
		if old == nil {
			return nil
		}
		was := old
		old = nil
		return was.Close()
	}
	defer func() { err = errors.Join(err, unlock()) }()
	switch {
	case err == nil:
		tell("making a snapshot of the store of before")
		snap, failed := snapshots.Take(old, SnapshotRestore)
		if r.Snapshot = &snap; failed != nil {
			r.Snapshot, err = nil, failed
		}
	case errors.Is(err, ErrNoStore):
		err = nil
	}
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrOlderSchema) || errors.Is(err, ErrNewerSchema) {
		tell("setting the store of before aside")
		r.SetAside, err = keepBeside(s.Path(dir), snapshots.Now().UTC().Format(snapshotTime))
	}
	if err != nil {
		return Replaced{}, fmt.Errorf("keep the store of before: %w", err)
	}
	if runtime.GOOS == "windows" {
		// It renames over no open file. A server that opens the store in between
		// makes the rename fail.
		if err := unlock(); err != nil {
			return Replaced{}, err
		}
	}
	tell("putting the new store in place")
	if err := os.Rename(fresh, s.Path(dir)); err != nil {
		return Replaced{}, fmt.Errorf("put the new store in place: %w", err)
	}
	return r, durable.SyncDir(dir)
}

// ready checks a whole store of the program's own schema and has it on the disk.
func (s Schema) ready(path string) (err error) {
	db, err := s.openFile(path, true)
	if err != nil {
		return err
	}
	at, err := s.schemaOf(db)
	if err == nil {
		err = s.accept(path, at)
	}
	if err == nil {
		_, err = s.checkDB(db)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync the new store: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync the new store: %w", err)
	}
	return nil
}

// keepBeside gives a store a second name, so that it is there under one at every moment.
func keepBeside(path, when string) (string, error) {
	for n := 1; ; n++ {
		to := path + replacedMark + when
		if n > 1 {
			to += fmt.Sprintf("-%d", n)
		}
		err := os.Link(path, to)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("set the store aside: %w", err)
		}
		return to, durable.SyncDir(filepath.Dir(path))
	}
}
