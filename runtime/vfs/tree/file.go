package tree

import (
	"errors"
	"io/fs"
	"sync"

	"ss-setup/runtime/vfs"
)

// file is an open file of a tree. What it adds to the quotas is measured at each write:
// others may change the size of the same file.
type file struct {
	vfs.File
	tree    *Tree
	spot    spot
	writing bool
	fixed   int64 // bytes at the start that may not be changed

	mu      sync.Mutex
	refused error // a write that was refused: what came is no whole file
}

// ReadAt is io.ReaderAt, at the session's speed.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if waitErr := f.tree.view.Load().Down.Wait(f.tree.ctx, n); waitErr != nil {
		return 0, vfs.Error("read", f.spot.path, waitErr)
	}
	return n, f.spot.back(err)
}

// WriteAt is io.WriterAt, at the session's speed and within its quotas.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if !f.writing || off < f.fixed && len(p) > 0 {
		return 0, vfs.Error("write", f.spot.path, fs.ErrPermission)
	}
	if err := f.tree.view.Load().Up.Wait(f.tree.ctx, len(p)); err != nil {
		return 0, vfs.Error("write", f.spot.path, err)
	}
	n := 0
	err := f.sized("write", off, int64(len(p)), func() (err error) {
		n, err = f.File.WriteAt(p, off)
		return err
	})
	return n, err
}

// sized does what may make the file reach up to off+n, counted before it is done, and
// takes back what it did not add.
func (f *file) sized(op string, off, n int64, do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.refused != nil:
		return vfs.Error(op, f.spot.path, f.refused)
	case off < 0 || off+n < off:
		return vfs.Error(op, f.spot.path, vfs.ErrTooLarge)
	case len(f.spot.mount.Quotas) == 0:
		return f.spot.back(do())
	}
	before, err := f.File.Stat()
	if err != nil {
		return f.spot.back(err)
	}
	counted := max(before.Size, off+n)
	if err := f.spot.mount.count(counted-before.Size, 0); err != nil {
		f.refused = err
		return vfs.Error(op, f.spot.path, err)
	}
	err = do()
	if err != nil || op == opTruncate {
		if after, statErr := f.File.Stat(); statErr == nil {
			f.spot.mount.uncount(max(0, counted-after.Size), 0)
		}
	}
	return f.spot.back(err)
}

const opTruncate = "truncate"

// SetStat is SetStat of vfs.File; see Tree.SetStat. A size that is set before the writes
// is counted like a write.
func (f *file) SetStat(c vfs.Change) error {
	if c.Size != nil {
		if err := f.resize(*c.Size); err != nil {
			return err
		}
		c.Size = nil
	}
	if c = f.spot.may(c); c == (vfs.Change{}) {
		return nil
	}
	return f.spot.back(f.File.SetStat(c))
}

func (f *file) resize(size int64) error {
	if !f.writing || size < f.fixed {
		return vfs.Error(opTruncate, f.spot.path, fs.ErrPermission)
	}
	return f.sized(opTruncate, size, 0, func() error { return f.File.SetStat(vfs.Change{Size: &size}) })
}

// Sync is Sync of vfs.File.
func (f *file) Sync() error { return f.spot.back(f.File.Sync()) }

// Stat is Stat of vfs.File.
func (f *file) Stat() (vfs.Info, error) {
	info, err := f.File.Stat()
	return info, f.spot.back(err)
}

// Close is Close of vfs.File. An upload of which a write was refused is no whole file.
func (f *file) Close() error {
	f.mu.Lock()
	refused := f.refused
	f.mu.Unlock()
	if refused != nil {
		return errors.Join(vfs.Error("close", f.spot.path, refused), f.Abort())
	}
	return f.spot.back(f.File.Close())
}

// Abort is Abort of vfs.File.
func (f *file) Abort() error { return f.spot.back(f.File.Abort()) }
