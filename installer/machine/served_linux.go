package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// served are the folders below which the accounts of services make, rename and
// remove what they like, also while root works there.
var served = []string{ServerStateDir, LicensedStateDir, FilesDir, ServerLogDir}

// errInTheWay is a link where a folder was: nothing honest changes folders into
// links under an installer's feet.
var errInTheWay = errors.New("no folder, or a link to one: root does not follow it; put a folder there")

// at calls do with a name by which path can be reached. Below a served folder that
// is a name in the very folder that was opened, one after the other, without
// following a link: what is put in the way afterwards leads nowhere else.
func (f *FS) at(path string, do func(name string) error) error {
	real := f.Real(path)
	for _, dir := range served {
		below, ok := strings.CutPrefix(path, dir+"/")
		if !ok || !hasProc() {
			continue
		}
		parents := strings.Split(below, "/")
		last := parents[len(parents)-1]
		fd, err := openBelow(f.Real(dir), parents[:len(parents)-1])
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return named(do(fmt.Sprintf("/proc/self/fd/%d/%s", fd, last)), real)
	}
	return do(real)
}

// hasProc tells whether an open folder has a name. A root without /proc is one in
// which an image is made, and no service runs.
var hasProc = sync.OnceValue(func() bool {
	_, err := os.Stat("/proc/self/fd")
	return err == nil
})

// openBelow opens a folder and then one in it after the other.
func openBelow(dir string, names []string) (int, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for _, name := range names {
		if err != nil {
			break
		}
		dir += "/" + name
		var next int
		next, err = unix.Openat(fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		_ = unix.Close(fd)
		fd = next
	}
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ENOTDIR):
		err = errInTheWay
	}
	return -1, &fs.PathError{Op: "open", Path: dir, Err: err}
}

// openFile opens a file by the name by which it can be reached, never through a
// link. Errors of the open file tell its own name.
func openFile(name, own string, flag int, mode fs.FileMode) (*os.File, error) {
	if name == own {
		return os.OpenFile(name, flag|noFollow, mode)
	}
	for {
		fd, err := unix.Open(name, flag|noFollow|unix.O_CLOEXEC|unix.O_LARGEFILE, uint32(mode.Perm()))
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), own), nil
		case !errors.Is(err, unix.EINTR):
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// named puts the file's own name into an error of a call.
func named(err error, path string) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok && strings.HasPrefix(e.Path, "/proc/self/fd/") {
		e.Path = path
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		for _, name := range []*string{&e.Old, &e.New} {
			if strings.HasPrefix(*name, "/proc/self/fd/") && strings.HasSuffix(path, (*name)[strings.LastIndex(*name, "/"):]) {
				*name = path
			}
		}
	}
	return err
}

// chmod sets the mode of a file or folder, never through a link.
func chmod(name string, mode fs.FileMode) error {
	if !hasProc() {
		return os.Chmod(name, mode)
	}
	fd, err := unix.Open(name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "chmod", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err = unix.Fstat(fd, &stat); err == nil && stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		err = unix.ELOOP
	}
	if err != nil {
		return &fs.PathError{Op: "chmod", Path: name, Err: err}
	}
	// Linux has no chmod by such a handle, only by its name.
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode)
}

// chtimes sets the modification time, of a link itself.
func chtimes(name string, mtime time.Time) error {
	at := unix.NsecToTimespec(mtime.UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "chtimes", Path: name, Err: err}
	}
	return nil
}
