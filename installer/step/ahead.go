package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ss-setup/installer/machine"
)

// MigrateAhead has the new release migrate a second copy of the store while the
// old release still serves, so that users need not wait for it. It decides
// nothing: EqualiseStore removes the result when the store has changed since by as
// much as a byte, and MigrateStore then migrates after the stop. Where it cannot
// be done - a store that is written to all the time, too little room, a migration
// that fails - the update goes on without.
type MigrateAhead struct {
	Store
	Release string `json:"release"`
}

// Kind implements Step.
func (s *MigrateAhead) Kind() string { return "migrate_ahead" }

func (s *MigrateAhead) String() string {
	return fmt.Sprintf("migrate a copy of the store of %s while it serves", s.Service)
}

// Prepare needs nothing: the copy is this run's own.
func (s *MigrateAhead) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// errNotAhead is why a store is migrated after the stop.
var errNotAhead = errors.New("it is migrated after the stop")

// Do copies the copy and migrates it.
func (s *MigrateAhead) Do(ctx context.Context, m *Machine) error {
	if err := m.FS.RemoveAll(s.ahead()); err != nil {
		return err
	}
	err := s.migrate(ctx, m)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errNotAhead), machine.DiskFull(err):
		m.Log.Info("the store is not migrated ahead", "service", s.Service, "why", err)
		return m.FS.RemoveAll(s.ahead())
	}
	return err
}

func (s *MigrateAhead) migrate(ctx context.Context, m *Machine) error {
	uid, gid, err := m.owner(s.Account)
	if err != nil {
		return err
	}
	if err := s.settle(ctx, m); err != nil {
		return err
	}
	if err := s.room(m); err != nil {
		return err
	}
	if err := equalise(ctx, m, s.part(), s.ahead(), false); err != nil {
		return err
	}
	if err := setOwners(m.FS, s.ahead(), uid, gid); err != nil {
		return err
	}
	// From here on the old service, which has the same account, could change the
	// copy, too: root leaves it alone until that one has stopped.
	if err := m.Programs.Run(ctx, s.migration(m, s.Release, s.ahead())); err != nil {
		return fmt.Errorf("%w: %w", errNotAhead, err)
	}
	return nil
}

// settleTries bounds the wait for a moment in which nobody writes to the store.
const settleTries = 3

// settle makes sure that the copy is the store as it was at one instant, and not
// parts of several. It is when a second reading of all of it finds nothing new:
// each commit of the database leaves a number in the first block that never comes
// again, so between the two readings there was none. What a commit under way
// has written lies in pages that are not in use yet.
func (s *MigrateAhead) settle(ctx context.Context, m *Machine) error {
	for range settleTries {
		e := newEqualiser(ctx, m, false)
		if err := e.run(s.from(), s.part()); err != nil || !e.changed {
			return err
		}
	}
	return fmt.Errorf("%w: it is being written to", errNotAhead)
}

// room asks for what the preflight checks did not count: this copy, beside what
// its migration writes and a little for everybody else.
func (s *MigrateAhead) room(m *Machine) error {
	const others = 64 << 20
	size, err := treeSize(m.FS, s.part())
	if err != nil {
		return err
	}
	space, err := machine.SpaceAt(m.FS, s.part())
	if err != nil {
		return fmt.Errorf("%w: %w", errNotAhead, err)
	}
	if int64(space.Available) < 2*size+others {
		return fmt.Errorf("%w: %s has too little room", errNotAhead, space.Dir)
	}
	return nil
}

// Undo removes the copies.
func (s *MigrateAhead) Undo(_ context.Context, m *Machine, _ json.RawMessage) error {
	return s.remove(m)
}

// readyAhead tells whether there is a store that was migrated ahead. While it was
// migrated the old service had the rights to put something of somebody else's in
// it, which must not be given to the account: then it is removed.
func (s *MigrateStore) readyAhead(m *Machine, uid, gid int) (bool, error) {
	err := ownedBy(m.FS, s.ahead(), uid, gid)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, errNotOwned):
		m.Log.Warn("what was migrated ahead is not used", "service", s.Service, "why", err)
		return false, m.FS.RemoveAll(s.ahead())
	}
	return false, err
}

var errNotOwned = errors.New("it belongs to somebody else")

// ownedBy tells whether a whole tree belongs to one account. Below a root, where
// programs run as the caller, what they make is the caller's.
func ownedBy(f *machine.FS, path string, uid, gid int) error {
	info, err := f.Lstat(path)
	if err != nil {
		return err
	}
	u, g := machine.Owner(info)
	if (u != uid || g != gid) && (f.Root == "" || u != os.Getuid()) {
		return fmt.Errorf("%s: %w", path, errNotOwned)
	}
	if !info.IsDir() {
		return nil
	}
	entries, err := f.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ownedBy(f, filepath.Join(path, e.Name()), uid, gid); err != nil {
			return err
		}
	}
	return nil
}
