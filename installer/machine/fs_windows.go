package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// noFollow: Windows has no such flag; a link there needs a right to make it.
const noFollow = 0

// noWait: opening a pipe there does not wait.
const noWait = 0

// Owner tells no numbers here: owners are security identifiers on Windows.
func Owner(fs.FileInfo) (uid, gid int) { return -1, -1 }

// device is the same for all: RemoveAll cannot tell volumes apart here yet.
func device(fs.FileInfo) uint64 { return 0 }

// at calls do with the name of path: folders of services are guarded by their
// access lists here.
func (f *FS) at(path string, do func(name string) error) error { return do(f.Real(path)) }

func openFile(name, _ string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag|noFollow, mode)
}

func chmod(name string, mode fs.FileMode) error { return os.Chmod(name, mode) }

func chtimes(name string, mtime time.Time) error { return os.Chtimes(name, mtime, mtime) }

func syncDir(path string) error { return unsupported("sync folder " + path) }

func openNameless(dir string) (*os.File, error) {
	return nil, unsupported("make a file without a name in " + dir)
}

func nameFile(_ *os.File, path string) error { return unsupported("name " + path) }

func allocate(f *os.File, _ int64) error { return unsupported("allocate " + f.Name()) }

// unsupported is the answer of all that this release does on Linux only.
func unsupported(what string) error {
	return fmt.Errorf("%s: not on Windows in this release: %w", what, errors.ErrUnsupported)
}

// Writable tells whether a folder is there; what may be written in it, its
// access list decides at the first write.
func Writable(f *FS, path string) bool { return f.Exists(path) }
