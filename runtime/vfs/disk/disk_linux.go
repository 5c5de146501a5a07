package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ss-setup/runtime/vfs"
)

const (
	extraFlags  = unix.O_NONBLOCK | unix.O_NOCTTY
	dirFlags    = unix.O_DIRECTORY
	modesMatter = true
)

// meaning gives the system's errors the values of package vfs.
func meaning(err error) error {
	switch {
	case errors.Is(err, unix.ENOTEMPTY):
		return meant(vfs.ErrNotEmpty, err)
	case errors.Is(err, unix.EISDIR):
		return meant(vfs.ErrIsDir, err)
	case errors.Is(err, unix.ENOTDIR):
		return meant(vfs.ErrNotDir, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return meant(vfs.ErrNoSpace, err)
	case errors.Is(err, unix.EXDEV):
		return meant(vfs.ErrCrossDevice, err)
	case errors.Is(err, unix.EROFS):
		return meant(vfs.ErrReadOnly, err)
	case errors.Is(err, unix.EFBIG):
		return meant(vfs.ErrTooLarge, err)
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.ETXTBSY):
		return meant(vfs.ErrBusy, err)
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return meant(vfs.ErrNotRegular, err)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EILSEQ):
		return meant(vfs.ErrBadPath, err)
	}
	return err
}

// retryBusy is for systems where another program's look at a file holds it for a moment.
func retryBusy(do func() error) error { return do() }

func accessTime(info os.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Atim.Unix())
	}
	return info.ModTime()
}

// entries reads up to n names and looks at each through the folder that is open: a
// folder that is swapped for a link meanwhile shows nothing of where that leads.
func entries(dir *os.File, n int) ([]vfs.Info, error) {
	for {
		names, err := dir.Readdirnames(n)
		if len(names) == 0 {
			if err == nil {
				err = io.EOF
			}
			return nil, err
		}
		infos := make([]vfs.Info, 0, len(names))
		err = withFD(dir, func(fd int) error {
			for _, name := range names {
				var st unix.Stat_t
				switch err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); {
				case errors.Is(err, unix.ENOENT):
					// Removed since.
				case err != nil:
					return err
				default:
					infos = append(infos, fromStat(name, &st))
				}
			}
			return nil
		})
		if err != nil || len(infos) > 0 {
			return infos, err
		}
	}
}

func fromStat(name string, st *unix.Stat_t) vfs.Info {
	mode := fs.FileMode(st.Mode & 0o777)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	}
	for bit, ours := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if st.Mode&bit != 0 {
			mode |= ours
		}
	}
	return vfs.Info{Name: name, Size: st.Size, Mode: mode, ModTime: time.Unix(st.Mtim.Unix()), AccessTime: time.Unix(st.Atim.Unix())}
}

// withFD lends the descriptor of file to use.
func withFD(file *os.File, use func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var useErr error
	if err := conn.Control(func(fd uintptr) { useErr = use(int(fd)) }); err != nil {
		return err
	}
	return useErr
}

// renameNew renames unless the target is there, in one step where the file system can.
func (f *FS) renameNew(from, to vfs.Path) error {
	source, err := f.openDir(from.Parent())
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := f.openDir(to.Parent())
	if err != nil {
		return err
	}
	defer target.Close()
	err = withFD(source, func(oldDir int) error {
		return withFD(target, func(newDir int) error {
			return unix.Renameat2(oldDir, path.Base(from.Local()), newDir, path.Base(to.Local()), unix.RENAME_NOREPLACE)
		})
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return f.renameFree(from, to)
	}
	return err
}

func (f *FS) openDir(dir vfs.Path) (*os.File, error) {
	return f.root.OpenFile(dir.Local(), unix.O_PATH|unix.O_DIRECTORY, 0)
}

// setTimes goes by the descriptor: the name may be another file's by now.
func setTimes(file *os.File, access, mod *time.Time) error {
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	for i, t := range []*time.Time{access, mod} {
		if t == nil {
			continue
		}
		ts, err := unix.TimeToTimespec(*t)
		if err != nil {
			return err
		}
		times[i] = ts
	}
	return withFD(file, func(fd int) error {
		// No path: the descriptor itself. The wrapper in x/sys always gives one.
		_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
}

func (f *FS) space() (vfs.Space, error) {
	root, err := f.openDir(vfs.Root)
	if err != nil {
		return vfs.Space{}, err
	}
	defer root.Close()
	var st unix.Statfs_t
	if err := withFD(root, func(fd int) error { return unix.Fstatfs(fd, &st) }); err != nil {
		return vfs.Space{}, err
	}
	return vfs.Space{
		Total: int64(st.Blocks) * st.Bsize, Free: int64(st.Bavail) * st.Bsize,
		Files: int64(st.Files), FreeFiles: int64(st.Ffree),
		BlockSize: st.Bsize, MaxName: st.Namelen, ReadOnly: st.Flags&unix.ST_RDONLY != 0,
	}, nil
}

func (f *FS) syncDir(dir vfs.Path) error {
	d, err := f.root.Open(dir.Local())
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
