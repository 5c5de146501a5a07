package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// noFollow refuses to write through a link that somebody planted.
const noFollow = unix.O_NOFOLLOW

// toSync is how a file is opened whose content is to be made durable.
const toSync = os.O_RDONLY

// noWait keeps the opening of a pipe from waiting for a writer.
const noWait = unix.O_NONBLOCK

// Owner tells the numeric owner and group of a file.
func Owner(info fs.FileInfo) (uid, gid int) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(st.Uid), int(st.Gid)
}

func device(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Dev
}

// SameMode tells whether a file has a mode.
func SameMode(has, wanted fs.FileMode) bool { return has == wanted }

// SameOwner tells whether a file belongs to an account and a group.
func SameOwner(info fs.FileInfo, uid, gid int) bool {
	u, g := Owner(info)
	return u == uid && g == gid
}

// rename and remove need no patience here: an open file hinders nobody.
func rename(from, to string) error { return os.Rename(from, to) }

func remove(path string) error { return os.Remove(path) }

// isNotEmpty is never true: a file that is removed is gone from its folder at once.
func isNotEmpty(error) bool { return false }

func removePending(path string) error { return os.Remove(path) }

func removeAtRestart(path string) error {
	return &fs.PathError{Op: "remove at the next restart", Path: path, Err: errors.ErrUnsupported}
}

// ReadPointer reads where a pointer leads. A pointer is the one kind of file that
// one rename turns from one target to another: a link here.
func (f *FS) ReadPointer(path string) (string, error) {
	info, err := f.Lstat(path)
	if err != nil {
		return "", err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return "", fmt.Errorf("%s is not a link", path)
	}
	return f.Readlink(path)
}

// MakePointer makes a pointer where nothing is. It is not synced: SyncDir the parent.
func (f *FS) MakePointer(target, path string) error { return f.Symlink(target, path) }

// ReplacePointer makes path a pointer to target in one rename and syncs its folder.
func (f *FS) ReplacePointer(target, path string) error { return f.ReplaceLink(target, path) }

// MkdirPrivate makes one folder that nobody but root gets into, from its first instant.
// It is not synced: SyncDir the parent.
func (f *FS) MkdirPrivate(path string) error { return f.Mkdir(path, 0o700) }

func syncDir(path string) error {
	d, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openNameless makes a file in a folder that has no name yet.
func openNameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		if errors.Is(err, unix.EISDIR) {
			err = errors.ErrUnsupported // a kernel that does not know the flag
		}
		return nil, &fs.PathError{Op: "create", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// nameFile gives such a file its name, unless the name is taken.
func nameFile(h *os.File, path string) error {
	// By way of /proc: an empty path in its stead needs a right that containers lack.
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", h.Fd()), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, unix.ENOENT) {
		// A chroot without /proc; root has the right there.
		err = unix.Linkat(int(h.Fd()), "", unix.AT_FDCWD, path, unix.AT_EMPTY_PATH)
	}
	if err != nil {
		err = &fs.PathError{Op: "link", Path: path, Err: err}
	}
	return err
}

// allocate keeps the file's length: a journal's end is where its records end.
func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// Writable tells whether the file system that holds path takes writes.
func Writable(f *FS, path string) bool {
	return unix.Access(f.Real(path), unix.W_OK) == nil
}
