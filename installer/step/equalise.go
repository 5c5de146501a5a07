package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"ss-setup/installer/machine"
)

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
	// beforeChange, when set, is called before the copy is changed for the first time.
	beforeChange func() error
	// changed: the two differed in more than owners.
	changed bool
}

// equalise makes the tree at to equal to that at from: content, mode, owner and
// time of files. What is equal already is not written again.
func equalise(ctx context.Context, m *Machine, from, to string, owners bool) error {
	return newEqualiser(ctx, m, owners).run(from, to)
}

func newEqualiser(ctx context.Context, m *Machine, owners bool) *equaliser {
	return &equaliser{ctx: ctx, m: m, a: make([]byte, blockSize), b: make([]byte, blockSize), owners: owners}
}

// change is called before every change of the copy but that of owners.
func (e *equaliser) change() error {
	if e.changed {
		return nil
	}
	if e.beforeChange != nil {
		if err := e.beforeChange(); err != nil {
			return err
		}
	}
	e.changed = true
	return nil
}

func (e *equaliser) run(from, to string) error {
	var err error
	if e.total, err = treeSize(e.m.FS, from); err != nil {
		return fmt.Errorf("read the store %s: %w", from, err)
	}
	if err := e.entry(from, to); err != nil {
		return err
	}
	return e.m.FS.SyncDir(filepath.Dir(to))
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
	err := e.entry(from, to)
	// Looking whether it is gone would not do: it may be back.
	var failed *fs.PathError
	if errors.Is(err, fs.ErrNotExist) && errors.As(err, &failed) && failed.Path == e.m.FS.Real(from) {
		return nil // the running service removed it meanwhile
	}
	return err
}

func (e *equaliser) entry(from, to string) error {
	info, err := e.m.FS.Lstat(from)
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
	if err := e.makeFolder(to, info); err != nil {
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

// makeFolder makes a folder with the mode of another one, unless it is there.
func (e *equaliser) makeFolder(to string, info fs.FileInfo) error {
	f := e.m.FS
	there, err := f.Lstat(to)
	if err == nil && there.IsDir() && there.Mode().Perm() == info.Mode().Perm() {
		return nil
	}
	if err := e.change(); err != nil {
		return err
	}
	if err == nil && !there.IsDir() {
		if err := f.Remove(to); err != nil {
			return err
		}
	}
	if err := f.Mkdir(to, info.Mode().Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
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
		if err := e.change(); err != nil {
			return err
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
	if err := e.change(); err != nil {
		return err
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
	changed, err := e.content(src, dst, info.Size())
	if err == nil {
		err = e.attributes(to, info)
	}
	if err == nil && changed {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}

func (e *equaliser) content(src io.ReaderAt, dst *machine.File, size int64) (changed bool, err error) {
	if changed, err = e.blocks(src, dst); err != nil {
		return changed, err
	}
	there, err := dst.Stat()
	if err != nil || there.Size() == size {
		return changed, err
	}
	if err := e.change(); err != nil {
		return changed, err
	}
	return true, dst.Truncate(size)
}

func (e *equaliser) target(to string, mode fs.FileMode) (*machine.File, error) {
	there, err := e.m.FS.Lstat(to)
	switch {
	case err == nil && there.Mode().IsRegular():
		return e.m.FS.OpenWrite(to)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := e.change(); err != nil {
		return nil, err
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
		if err := e.change(); err != nil {
			return err
		}
		if err := e.m.FS.Chmod(to, info.Mode()); err != nil {
			return err
		}
	}
	if there.ModTime().Equal(info.ModTime()) {
		return nil
	}
	if err := e.change(); err != nil {
		return err
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
				if err := e.change(); err != nil {
					return changed, err
				}
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
