package tree

import (
	"errors"
	"io/fs"
	"sync"

	"ss-setup/runtime/vfs"
)

// file is an open file of a tree.
type file struct {
	vfs.File
	tree    *Tree
	spot    spot
	writing bool
	created bool  // by this open
	fixed   int64 // bytes at the start that may not be changed

	mu       sync.Mutex
	known    int64 // the size that is counted
	replaced int64 // what is counted for the file that this one replaces
	refused  error // a write that was refused: what came is no whole file
	ended    bool
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
	if off < f.fixed && len(p) > 0 {
		return 0, vfs.Error("write", f.spot.path, fs.ErrPermission)
	}
	if err := f.tree.view.Load().Up.Wait(f.tree.ctx, len(p)); err != nil {
		return 0, vfs.Error("write", f.spot.path, err)
	}
	if err := f.grow(off, int64(len(p))); err != nil {
		return 0, vfs.Error("write", f.spot.path, err)
	}
	n, err := f.File.WriteAt(p, off)
	return n, f.spot.back(err)
}

// grow counts what a write adds before it is done.
func (f *file) grow(off, n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.refused != nil:
		return f.refused
	case off < 0 || off+n < off:
		return vfs.ErrTooLarge
	case off+n <= f.known:
		return nil
	}
	// Another handle may have made it longer.
	info, err := f.File.Stat()
	if err != nil {
		return err
	}
	f.known = max(f.known, info.Size)
	if off+n <= f.known {
		return nil
	}
	if err := f.spot.mount.count(off+n-f.known, 0); err != nil {
		f.refused = err
		return err
	}
	f.known = off + n
	return nil
}

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
	if size < f.fixed {
		return vfs.Error("truncate", f.spot.path, fs.ErrPermission)
	}
	if err := f.grow(size, 0); err != nil {
		return vfs.Error("truncate", f.spot.path, err)
	}
	if err := f.File.SetStat(vfs.Change{Size: &size}); err != nil {
		f.settle()
		return f.spot.back(err)
	}
	f.settle()
	return nil
}

// settle brings the count to the size that the file has.
func (f *file) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if info, err := f.File.Stat(); err == nil {
		f.settleAt(info.Size)
	}
}

// settleAt takes what is counted too much from the quotas. f.mu is held.
func (f *file) settleAt(size int64) {
	if size < f.known {
		f.spot.mount.uncount(f.known-size, 0)
		f.known = size
	}
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
		return errors.Join(vfs.Error("close", f.spot.path, refused), f.end(f.File.Abort))
	}
	return f.end(f.File.Close)
}

// Abort is Abort of vfs.File.
func (f *file) Abort() error { return f.end(f.File.Abort) }

func (f *file) end(end func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil
	}
	f.ended = true
	err := f.spot.back(end())
	if f.writing {
		f.account(err == nil)
	}
	return err
}

// account brings the count to what is there now.
func (f *file) account(done bool) {
	m := f.spot.mount
	info, err := m.FS.Stat(f.spot.inner)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Nothing was kept of it, or it was removed while it was open, which counted then.
		if f.created && !done {
			m.uncount(f.known, 1)
		}
	case err == nil:
		f.settleAt(info.Size)
		if done {
			m.uncount(f.replaced, 0)
			f.replaced = 0
		}
	}
}
