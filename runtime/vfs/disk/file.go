package disk

import (
	"io/fs"
	"os"

	"ss-setup/runtime/vfs"
)

// File is an open file of a disk VFS.
type File struct {
	file *os.File
	name vfs.Path
	max  int64
}

var _ vfs.File = (*File)(nil)

// ReadAt is io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, vfs.Error("read", f.name, vfs.ErrTooLarge)
	}
	n, err := f.file.ReadAt(p, off)
	return n, fail("read", f.name, err)
}

// WriteAt is io.WriterAt.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fits(off, int64(len(p))); err != nil {
		return 0, err
	}
	n, err := f.file.WriteAt(p, off)
	return n, fail("write", f.name, err)
}

// fits keeps sizes in bounds: a client may name any offset, and a file with a hole of
// exabytes is nothing but a trap for whoever copies it.
func (f *File) fits(off, n int64) error {
	if off < 0 || off > f.max-n {
		return vfs.Error("write", f.name, vfs.ErrTooLarge)
	}
	return nil
}

// Truncate sets the size.
func (f *File) Truncate(size int64) error {
	if err := f.fits(size, 0); err != nil {
		return err
	}
	return fail("truncate", f.name, f.file.Truncate(size))
}

// Size is the size now.
func (f *File) Size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, fail("stat", f.name, err)
	}
	return info.Size(), nil
}

// Stat is Stat of vfs.File.
func (f *File) Stat() (vfs.Info, error) {
	info, err := f.file.Stat()
	if err != nil {
		return vfs.Info{}, fail("stat", f.name, err)
	}
	return fromOS(f.name.Base(), info), nil
}

// Same says whether both are the same file of the machine, whatever their names.
func (f *File) Same(g *File) bool {
	one, errOne := f.file.Stat()
	two, errTwo := g.file.Stat()
	return errOne == nil && errTwo == nil && os.SameFile(one, two)
}

// SetStat is SetStat of vfs.File.
func (f *File) SetStat(c vfs.Change) error {
	if c.Size != nil {
		if err := f.Truncate(*c.Size); err != nil {
			return err
		}
	}
	if c.Mode != nil && modesMatter {
		if err := f.file.Chmod(c.Mode.Perm()); err != nil {
			return fail("setstat", f.name, err)
		}
	}
	if c.AccessTime == nil && c.ModTime == nil {
		return nil
	}
	return fail("setstat", f.name, setTimes(f.file, c.AccessTime, c.ModTime))
}

// Sync is Sync of vfs.File.
func (f *File) Sync() error { return fail("sync", f.name, f.file.Sync()) }

// Close is Close of vfs.File.
func (f *File) Close() error { return fail("close", f.name, ignoreClosed(f.file.Close())) }

// Abort is Close: this layer knows nothing of uploads.
func (f *File) Abort() error { return f.Close() }

func ignoreClosed(err error) error {
	if pathErr, ok := err.(*fs.PathError); ok && pathErr.Err == os.ErrClosed { //nolint:errorlint // exactly this one
		return nil
	}
	return err
}
