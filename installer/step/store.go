package step

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"ss-setup/installer/machine"
)

// Store is what the steps on a service's store have in common.
type Store struct {
	Service string `json:"service"`
	// Account owns the store.
	Account string `json:"account"`
	From    int    `json:"from_generation"`
	To      int    `json:"generation"`
}

// dataDir is the folder of a service's store in generation n.
func dataDir(service string, n int) string {
	if service == machine.LicensedService {
		return machine.LicensedData(n)
	}
	return machine.ServerData(n)
}

// storeFile is the database in that folder.
func storeFile(service string) string {
	if service == machine.LicensedService {
		return "license.db"
	}
	return "store.db"
}

func (s Store) from() string { return dataDir(s.Service, s.From) }
func (s Store) to() string   { return dataDir(s.Service, s.To) }
func (s Store) part() string { return s.to() + ".part" }

// ahead is a second copy, which is migrated while the old release serves.
func (s Store) ahead() string { return s.to() + ".ahead" }

// remove takes away what a run made of the new store.
func (s Store) remove(m *Machine) error {
	if err := refuseCurrent(m.FS, s.To); err != nil {
		return err
	}
	return removeTrees(m.FS, s.part(), s.ahead(), s.to())
}

// CopyStore copies a store into the next generation while the old release
// serves from it. The copy is not yet equal: EqualiseStore makes it so.
type CopyStore struct{ Store }

// Kind implements Step.
func (s *CopyStore) Kind() string { return "copy_store" }

func (s *CopyStore) String() string {
	return fmt.Sprintf("copy the store of %s to %s", s.Service, s.part())
}

// Prepare needs nothing: what Do makes is new.
func (s *CopyStore) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// Do copies.
func (s *CopyStore) Do(ctx context.Context, m *Machine) error {
	for _, path := range []string{s.part(), s.ahead()} {
		if err := m.FS.RemoveAll(path); err != nil {
			return err
		}
	}
	return equalise(ctx, m, s.from(), s.part(), false)
}

// Undo removes the copy.
func (s *CopyStore) Undo(_ context.Context, m *Machine, _ json.RawMessage) error { return s.remove(m) }

// HoldStore holds the old store's own lock, so that nobody opens it while its
// copy is made equal and proven. The lock dies with the process, and a recovery
// that goes forward takes it again. Nobody new comes in between: after the switch
// services and commands find the new store by the link current. A command that had
// found the old one before and waited for its lock may; while it has the lock the
// recovery goes back, to the store that it writes to.
type HoldStore struct {
	Store
	// Optional: a store that is missing is no error; it is not needed any more.
	Optional bool `json:"optional,omitempty"`
}

// Kind implements Step.
func (s *HoldStore) Kind() string { return "hold_store" }

func (s *HoldStore) String() string {
	return fmt.Sprintf("hold the store of %s in generation %d", s.Service, s.From)
}

// Held implements txn.Held.
func (s *HoldStore) Held() {}

// Prepare needs nothing.
func (s *HoldStore) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// Do takes the lock.
func (s *HoldStore) Do(_ context.Context, m *Machine) error {
	path := filepath.Join(s.from(), storeFile(s.Service))
	if _, held := m.locks[path]; held {
		return nil
	}
	if s.Optional && !m.FS.Exists(path) {
		return nil
	}
	if !m.FS.Exists(path) {
		return fmt.Errorf("the store %s is missing; restore a backup, or start anew with ss-setup install -F", path)
	}
	lock, err := lockStore(m.FS.Real(path))
	if err != nil {
		return fmt.Errorf("lock %s: %w; end the program that has it open", path, err)
	}
	if m.locks == nil {
		m.locks = map[string]io.Closer{}
	}
	m.locks[path] = lock
	return nil
}

// Undo lets the lock go.
func (s *HoldStore) Undo(_ context.Context, m *Machine, _ json.RawMessage) error {
	path := filepath.Join(s.from(), storeFile(s.Service))
	lock, held := m.locks[path]
	if !held {
		return nil
	}
	delete(m.locks, path)
	return lock.Close()
}

func (m *Machine) releaseStores() {
	for path, lock := range m.locks {
		_ = lock.Close()
		delete(m.locks, path)
	}
}

// EqualiseStore makes the copy equal to the store, block by block, after the
// service has stopped.
type EqualiseStore struct{ Store }

// Kind implements Step.
func (s *EqualiseStore) Kind() string { return "equalise_store" }

func (s *EqualiseStore) String() string {
	return fmt.Sprintf("bring the copy of the store of %s up to date", s.Service)
}

// Prepare needs nothing: the copy is this run's own.
func (s *EqualiseStore) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// Do writes the blocks that differ. What was migrated ahead came from the copy as
// it is, so it goes before the first change of the copy.
func (s *EqualiseStore) Do(ctx context.Context, m *Machine) error {
	if m.FS.Exists(s.to()) {
		return nil
	}
	e := newEqualiser(ctx, m, true)
	e.beforeChange = func() error { return m.FS.RemoveAll(s.ahead()) }
	return e.run(s.from(), s.part())
}

// Undo removes the copy.
func (s *EqualiseStore) Undo(_ context.Context, m *Machine, _ json.RawMessage) error {
	return s.remove(m)
}

// MigrateStore has the new release bring its own copy to its own schema - or
// make an empty store where there is no old one - and puts it in its place. What
// MigrateAhead made and EqualiseStore left standing is taken as it is.
type MigrateStore struct {
	Store
	Release string `json:"release"`
}

// Kind implements Step.
func (s *MigrateStore) Kind() string { return "migrate_store" }

func (s *MigrateStore) String() string {
	if s.From == 0 {
		return "make an empty store for " + s.Service
	}
	return fmt.Sprintf("migrate the store of %s to release %s", s.Service, s.Release)
}

// Prepare needs nothing: the copy is this run's own.
func (s *MigrateStore) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// Do migrates, syncs and renames.
func (s *MigrateStore) Do(ctx context.Context, m *Machine) error {
	if m.FS.Exists(s.to()) {
		return m.FS.RemoveAll(s.part())
	}
	uid, gid, err := m.owner(s.Account)
	if err != nil {
		return err
	}
	ready, err := s.readyAhead(m, uid, gid)
	if err != nil {
		return err
	}
	if ready {
		if err := s.publish(m, s.ahead(), uid, gid); err != nil {
			return err
		}
		return m.FS.RemoveAll(s.part())
	}
	if err := s.migrate(ctx, m, uid, gid); err != nil {
		return err
	}
	return s.publish(m, s.part(), uid, gid)
}

func (s *MigrateStore) migrate(ctx context.Context, m *Machine, uid, gid int) error {
	var more []string
	if s.From == 0 {
		if err := m.FS.RemoveAll(s.part()); err != nil {
			return err
		}
		if err := m.FS.Mkdir(s.part(), 0o700); err != nil {
			return err
		}
		more = append(more, "--create")
	}
	if err := setOwners(m.FS, s.part(), uid, gid); err != nil {
		return err
	}
	if err := m.Programs.Run(ctx, s.migration(m, s.Release, s.part(), more...)); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: %w", ErrReleaseFailed, err)
	}
	return nil
}

// migration is the call by which a release migrates the store in dir.
func (s Store) migration(m *Machine, release, dir string, more ...string) Command {
	args := append([]string{"migrate", "--json", "--data", m.FS.Real(dir)}, more...)
	return Command{Path: program(release, s.Service), Args: args, User: s.Account, Progress: m.Progress}
}

// publish gives what lies at path its owners, makes it durable, and only then
// gives it its name.
func (s *MigrateStore) publish(m *Machine, path string, uid, gid int) error {
	if err := setOwners(m.FS, path, uid, gid); err != nil {
		return err
	}
	if err := m.FS.SyncTree(path); err != nil {
		return err
	}
	if err := m.FS.Rename(path, s.to()); err != nil {
		return err
	}
	return m.FS.SyncDir(filepath.Dir(s.to()))
}

// Undo removes the new store.
func (s *MigrateStore) Undo(_ context.Context, m *Machine, _ json.RawMessage) error {
	return s.remove(m)
}

func program(release, name string) string {
	return machine.Program(release, name)
}

// setOwners gives a whole tree to one account, folders last: while root walks
// through one, nobody else can change what is in it.
func setOwners(f *machine.FS, path string, uid, gid int) error {
	info, err := f.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return f.Chown(path, uid, gid)
	}
	entries, err := f.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := setOwners(f, filepath.Join(path, e.Name()), uid, gid); err != nil {
			return err
		}
	}
	return f.Chown(path, uid, gid)
}
