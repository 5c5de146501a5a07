package step

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// remove takes away what a run made of the new store.
func (s Store) remove(m *Machine) error {
	if err := refuseCurrent(m.FS, s.To); err != nil {
		return err
	}
	return removeTrees(m.FS, s.part(), s.to())
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
	if err := m.FS.RemoveAll(s.part()); err != nil {
		return err
	}
	return equalise(ctx, m, s.from(), s.part(), false)
}

// Undo removes the copy.
func (s *CopyStore) Undo(_ context.Context, m *Machine, _ json.RawMessage) error { return s.remove(m) }

// HoldStore holds the old store's own lock, so that nobody opens it while its
// copy is made equal and proven. The lock dies with the process.
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

// Do writes the blocks that differ.
func (s *EqualiseStore) Do(ctx context.Context, m *Machine) error {
	if m.FS.Exists(s.to()) {
		return nil
	}
	return equalise(ctx, m, s.from(), s.part(), true)
}

// Undo removes the copy.
func (s *EqualiseStore) Undo(_ context.Context, m *Machine, _ json.RawMessage) error {
	return s.remove(m)
}

// MigrateStore has the new release bring its own copy to its own schema - or
// make an empty store where there is no old one - and puts it in its place.
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
		return nil
	}
	uid, gid, err := m.owner(s.Account)
	if err != nil {
		return err
	}
	args := []string{"migrate", "--json", "--data", m.FS.Real(s.part())}
	if s.From == 0 {
		if err := m.FS.RemoveAll(s.part()); err != nil {
			return err
		}
		if err := m.FS.Mkdir(s.part(), 0o700); err != nil {
			return err
		}
		args = append(args, "--create")
	}
	if err := setOwners(m.FS, s.part(), uid, gid); err != nil {
		return err
	}
	cmd := Command{Path: program(s.Release, s.Service), Args: args, User: s.Account, Progress: m.Progress}
	if err := m.Programs.Run(ctx, cmd); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: %w", ErrReleaseFailed, err)
	}
	return s.publish(m, uid, gid)
}

func (s *MigrateStore) publish(m *Machine, uid, gid int) error {
	if err := setOwners(m.FS, s.part(), uid, gid); err != nil {
		return err
	}
	if err := m.FS.SyncTree(s.part()); err != nil {
		return err
	}
	if err := m.FS.Rename(s.part(), s.to()); err != nil {
		return err
	}
	return m.FS.SyncDir(filepath.Dir(s.to()))
}

// Undo removes the new store.
func (s *MigrateStore) Undo(_ context.Context, m *Machine, _ json.RawMessage) error {
	return s.remove(m)
}

func program(release, name string) string {
	return filepath.Join(machine.Release(release), "bin", name)
}

// setOwners gives a whole tree to one account.
func setOwners(f *machine.FS, path string, uid, gid int) error {
	if err := f.Chown(path, uid, gid); err != nil {
		return err
	}
	info, err := f.Lstat(path)
	if err != nil || !info.IsDir() {
		return err
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
	return nil
}

// blockSize of comparing two files: large enough to read at the disk's speed,
// small enough that a changed database page costs little.
const blockSize = 256 << 10

// equaliser makes one tree equal to another.
type equaliser struct {
	ctx         context.Context
	m           *Machine
	done, total int64
	a, b        []byte
	// owners: give the copy its owners. Until the service has stopped the copy is
	// root's alone, so that nobody can put links in its way.
	owners bool
}

// equalise makes the tree at to equal to that at from: content, mode, owner and
// time of files. What is equal already is not written again.
func equalise(ctx context.Context, m *Machine, from, to string, owners bool) error {
	e := &equaliser{ctx: ctx, m: m, a: make([]byte, blockSize), b: make([]byte, blockSize), owners: owners}
	var err error
	if e.total, err = treeSize(m.FS, from); err != nil {
		return fmt.Errorf("read the store %s: %w", from, err)
	}
	if err := e.tree(from, to); err != nil {
		return err
	}
	return m.FS.SyncDir(filepath.Dir(to))
}

func treeSize(f *machine.FS, path string) (int64, error) {
	info, err := f.Lstat(path)
	if err != nil {
		return 0, err
	}
	if !info.IsDir() {
		return info.Size(), nil
	}
	entries, err := f.ReadDir(path)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, entry := range entries {
		size, err := treeSize(f, filepath.Join(path, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		sum += size
	}
	return sum, nil
}

func (e *equaliser) tree(from, to string) error {
	info, err := e.m.FS.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the running service removed it meanwhile
	}
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		return e.folder(from, to, info)
	case info.Mode()&fs.ModeSymlink != 0:
		return e.link(from, to)
	case info.Mode().IsRegular():
		return e.file(from, to, info)
	}
	return nil // a socket or pipe of the running service
}

func (e *equaliser) folder(from, to string, info fs.FileInfo) error {
	f := e.m.FS
	if there, err := f.Lstat(to); err == nil && !there.IsDir() {
		if err := f.Remove(to); err != nil {
			return err
		}
	}
	if err := f.Mkdir(to, info.Mode().Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := f.ReadDir(from)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, entry := range entries {
		keep[entry.Name()] = true
		if err := e.tree(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
			return err
		}
	}
	if err := e.prune(to, keep); err != nil {
		return err
	}
	if err := e.own(to, info); err != nil {
		return err
	}
	return f.SyncDir(to)
}

func (e *equaliser) own(to string, info fs.FileInfo) error {
	uid, gid := machine.Owner(info)
	if !e.owners {
		uid, gid = 0, 0
	}
	return setFolder(e.m.FS, to, info.Mode().Perm(), uid, gid)
}

func (e *equaliser) prune(dir string, keep map[string]bool) error {
	there, err := e.m.FS.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range there {
		if keep[entry.Name()] {
			continue
		}
		if err := e.m.FS.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (e *equaliser) link(from, to string) error {
	target, err := e.m.FS.Readlink(from)
	if err != nil {
		return err
	}
	if now, err := e.m.FS.Readlink(to); err == nil && now == target {
		return nil
	}
	if err := e.m.FS.RemoveAll(to); err != nil {
		return err
	}
	return e.m.FS.Symlink(target, to)
}

func (e *equaliser) file(from, to string, info fs.FileInfo) error {
	src, err := e.m.FS.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := e.target(to, info.Mode().Perm())
	if err != nil {
		return err
	}
	changed, err := e.blocks(src, dst)
	if err == nil {
		var there fs.FileInfo
		if there, err = dst.Stat(); err == nil && there.Size() != info.Size() {
			changed, err = true, dst.Truncate(info.Size())
		}
	}
	if err == nil {
		err = e.attributes(to, info)
	}
	if err == nil && changed {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}

func (e *equaliser) target(to string, mode fs.FileMode) (*machine.File, error) {
	there, err := e.m.FS.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e.m.FS.Create(to, mode)
	case err != nil:
		return nil, err
	case there.Mode().IsRegular():
		return e.m.FS.OpenWrite(to)
	}
	if err := e.m.FS.RemoveAll(to); err != nil {
		return nil, err
	}
	return e.m.FS.Create(to, mode)
}

func (e *equaliser) attributes(to string, info fs.FileInfo) error {
	there, err := e.m.FS.Lstat(to)
	if err != nil {
		return err
	}
	if uid, gid := machine.Owner(info); e.owners {
		if err := e.m.FS.Chown(to, uid, gid); err != nil {
			return err
		}
	}
	if there.Mode() != info.Mode() {
		if err := e.m.FS.Chmod(to, info.Mode()); err != nil {
			return err
		}
	}
	if there.ModTime().Equal(info.ModTime()) {
		return nil
	}
	return e.m.FS.Chtimes(to, info.ModTime())
}

// blocks writes what differs of src into dst.
func (e *equaliser) blocks(src io.ReaderAt, dst *machine.File) (changed bool, err error) {
	for off := int64(0); ; off += blockSize {
		if e.ctx.Err() != nil {
			return changed, context.Cause(e.ctx)
		}
		n, err := src.ReadAt(e.a, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return changed, err
		}
		if n > 0 {
			k, rerr := dst.ReadAt(e.b[:n], off)
			if rerr != nil && !errors.Is(rerr, io.EOF) {
				return changed, rerr
			}
			if k != n || !bytes.Equal(e.a[:n], e.b[:n]) {
				if _, err := dst.WriteAt(e.a[:n], off); err != nil {
					return changed, err
				}
				changed = true
			}
			e.done += int64(n)
			e.m.progress(min(e.done, e.total), e.total)
		}
		if err != nil {
			return changed, nil
		}
	}
}
