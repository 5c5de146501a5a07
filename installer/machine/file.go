package machine

import (
	"io"
	"io/fs"
	"os"
)

// File is a file opened for change through FS.
type File struct {
	f    *os.File
	fs   *FS
	path string
}

// Write appends at the file's position.
func (h *File) Write(p []byte) (int, error) {
	if err := h.fs.before(OpWrite, h.path); err != nil {
		return 0, err
	}
	return h.f.Write(p)
}

// WriteAt writes at an offset.
func (h *File) WriteAt(p []byte, off int64) (int, error) {
	if err := h.fs.before(OpWrite, h.path); err != nil {
		return 0, err
	}
	return h.f.WriteAt(p, off)
}

// ReadAt reads at an offset.
func (h *File) ReadAt(p []byte, off int64) (int, error) { return h.f.ReadAt(p, off) }

// Seek moves the position of the next Write.
func (h *File) Seek(off int64, whence int) (int64, error) { return h.f.Seek(off, whence) }

// Truncate cuts or extends the file.
func (h *File) Truncate(size int64) error {
	if err := h.fs.before(OpWrite, h.path); err != nil {
		return err
	}
	return h.f.Truncate(size)
}

// Allocate reserves size bytes of disk for the file without changing its length,
// so that later writes cannot fail for lack of space.
func (h *File) Allocate(size int64) error {
	if err := h.fs.before(OpAlloc, h.path); err != nil {
		return err
	}
	return allocate(h.f, size)
}

// Sync makes the content durable.
func (h *File) Sync() error {
	if err := h.fs.before(OpSync, h.path); err != nil {
		return err
	}
	return h.f.Sync()
}

// Stat tells about the open file.
func (h *File) Stat() (fs.FileInfo, error) { return h.f.Stat() }

// Close closes the file. It does not sync.
func (h *File) Close() error { return h.f.Close() }

var _ io.WriterAt = (*File)(nil)
