package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/durable"
)

// Repaired is what a repair did.
type Repaired struct {
	// Rebuilt: what is derived of the content was made anew.
	Rebuilt bool `json:"rebuilt,omitempty"`
	// Restored is the snapshot that took the damaged store's place, SetAside where the
	// damaged one lies now.
	Restored *Snapshot `json:"restored,omitempty"`
	SetAside string    `json:"set_aside,omitempty"`
	// Skipped are newer snapshots that could not be used, with the reasons.
	Skipped []string `json:"skipped,omitempty"`
	// Faults are what of the content is for people to look at.
	Faults []string `json:"faults,omitempty"`
}

// setAsideMark stands in the name of a damaged store that was set aside.
const setAsideMark = ".damaged-"

// Repair puts the store in dir in order. A sound one is left alone; of one whose index
// does not fit the index is made anew; in the place of a damaged one comes the newest
// usable snapshot, and the damaged one is set aside, never deleted. A store of another
// schema is refused: migrating is another step. If there is no usable snapshot nothing
// changes: ErrNoSnapshot.
//
// It may be cut anywhere and run again.
func (s Schema) Repair(dir string, snapshots Snapshots) (r Repaired, err error) {
	faults, err := s.Check(dir)
	switch {
	case err == nil:
		return Repaired{Faults: faults}, s.current(dir)
	case errors.Is(err, ErrInconsistent):
		return s.rebuild(dir)
	case errors.Is(err, ErrCorrupt):
		return s.restore(dir, snapshots, err)
	case errors.Is(err, ErrNoStore) && s.wasSetAside(dir):
		// An earlier repair was cut between its two renames.
		return s.restore(dir, snapshots, err)
	}
	return Repaired{}, err
}

// current refuses a store that is sound and waits for a migration.
func (s Schema) current(dir string) (err error) {
	db, err := s.open(dir, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	at, err := s.schemaOf(db)
	if err != nil {
		return err
	}
	return s.accept(db.Path(), at)
}

func (s Schema) rebuild(dir string) (Repaired, error) {
	db, err := s.open(dir, false)
	if err != nil {
		return Repaired{}, err
	}
	err = guard(db.Path(), func() error {
		if s.Rebuild == nil {
			return errors.New("this program cannot make it anew; restore a backup")
		}
		return db.Update(s.Rebuild)
	})
	r := Repaired{Rebuilt: err == nil}
	if err == nil {
		r.Faults, err = s.checkDB(db)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return Repaired{}, fmt.Errorf("repair %s: %w", s.Path(dir), err)
	}
	return r, nil
}

// restore brings the newest usable snapshot: whole and checked under another name first,
// then two renames.
func (s Schema) restore(dir string, snapshots Snapshots, damage error) (r Repaired, err error) {
	list, err := snapshots.List()
	if err != nil {
		return Repaired{}, errors.Join(damage, err)
	}
	path := s.Path(dir)
	fresh := path + ".restored" + partSuffix
	for _, snap := range list {
		if err := s.unfold(snap, fresh); err != nil {
			r.Skipped = append(r.Skipped, fmt.Sprintf("%s: %v", snap.Path, err))
			continue
		}
		r.Restored = &snap
		break
	}
	if r.Restored == nil {
		return r, errors.Join(fmt.Errorf("%w in %s: %w; restore a backup, or start anew with ss-setup install -F", ErrNoSnapshot, snapshots.Dir, damage), removeIfThere(fresh))
	}
	if err := Adopt(dir, fresh); err != nil {
		return r, err
	}
	if r.SetAside, err = setAside(path, snapshots.Now().UTC().Format(snapshotTime)); err != nil {
		return r, err
	}
	if err := os.Rename(fresh, path); err != nil {
		return r, fmt.Errorf("put the restored store in place: %w", err)
	}
	if err := durable.SyncDir(dir); err != nil {
		return r, err
	}
	r.Faults, err = s.Check(dir)
	return r, err
}

// unfold makes a store of the program's own schema of a snapshot.
func (s Schema) unfold(snap Snapshot, to string) error {
	if snap.Schema > s.Version() {
		return fmt.Errorf("%w: it has schema %d, this release knows schemas up to %d", ErrNewerSchema, snap.Schema, s.Version())
	}
	if err := decompress(snap.Path, to); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	db, err := s.openFile(to, false)
	if err != nil {
		return err
	}
	return errors.Join(s.bring(db), db.Close())
}

// bring migrates and checks a store that nobody uses yet.
func (s Schema) bring(db *bbolt.DB) error {
	at, err := s.schemaOf(db)
	if err != nil {
		return err
	}
	if at > s.Version() {
		return s.accept(db.Path(), at)
	}
	if err := checkAll(db); err != nil {
		return err
	}
	if err := s.apply(db, at, func(int64, int64, string) {}); err != nil {
		return err
	}
	_, err = s.checkDB(db)
	if errors.Is(err, ErrInconsistent) && s.Rebuild != nil {
		if err = db.Update(s.Rebuild); err == nil {
			_, err = s.checkDB(db)
		}
	}
	return err
}

// setAside renames a damaged store; there may be none any more.
func setAside(path, when string) (string, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	for n := 1; ; n++ {
		to := path + setAsideMark + when
		if n > 1 {
			to += fmt.Sprintf("-%d", n)
		}
		// A rename would replace what lies there.
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		if err := os.Rename(path, to); err != nil {
			return "", fmt.Errorf("set the damaged store aside: %w", err)
		}
		return to, durable.SyncDir(filepath.Dir(path))
	}
}

// wasSetAside tells whether a repair set a store aside in dir.
func (s Schema) wasSetAside(dir string) bool {
	found, err := filepath.Glob(s.Path(dir) + setAsideMark + "*")
	return err == nil && len(found) > 0
}
