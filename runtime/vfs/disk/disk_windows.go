package disk

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"ss-setup/runtime/vfs"
)

const (
	extraFlags = 0
	dirFlags   = 0
	// The one mode bit of Windows is "read-only", which keeps even its owner from
	// replacing a file. What a client sends after an upload is not meant like that.
	modesMatter = false
)

// meaning gives the system's errors the values of package vfs.
func meaning(err error) error {
	switch {
	case errors.Is(err, windows.ERROR_DIR_NOT_EMPTY):
		return meant(vfs.ErrNotEmpty, err)
	case errors.Is(err, syscall.EISDIR):
		return meant(vfs.ErrIsDir, err)
	case errors.Is(err, windows.ERROR_DIRECTORY), errors.Is(err, syscall.ENOTDIR):
		return meant(vfs.ErrNotDir, err)
	case errors.Is(err, windows.ERROR_DISK_FULL), errors.Is(err, windows.ERROR_HANDLE_DISK_FULL), errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED):
		return meant(vfs.ErrNoSpace, err)
	case errors.Is(err, windows.ERROR_NOT_SAME_DEVICE):
		return meant(vfs.ErrCrossDevice, err)
	case errors.Is(err, windows.ERROR_WRITE_PROTECT):
		return meant(vfs.ErrReadOnly, err)
	case errors.Is(err, windows.ERROR_FILE_TOO_LARGE):
		return meant(vfs.ErrTooLarge, err)
	case errors.Is(err, windows.ERROR_NOT_SUPPORTED), errors.Is(err, windows.ERROR_INVALID_FUNCTION), errors.Is(err, windows.ERROR_PRIVILEGE_NOT_HELD):
		// Links need a right that services do not have unless it is given to them.
		return meant(vfs.ErrUnsupported, err)
	case busy(err):
		return meant(vfs.ErrBusy, err)
	case errors.Is(err, windows.ERROR_INVALID_NAME), errors.Is(err, windows.ERROR_BAD_PATHNAME),
		errors.Is(err, windows.ERROR_FILENAME_EXCED_RANGE), errors.Is(err, syscall.ELOOP):
		return meant(vfs.ErrBadPath, err)
	}
	return err
}

func busy(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}

// retryBusy tries again for half a second: a virus scanner or an indexer holds a file
// for a moment after each change.
func retryBusy(do func() error) error {
	var err error
	for range 10 {
		if err = do(); !busy(err) && !errors.Is(err, windows.ERROR_ACCESS_DENIED) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func accessTime(info os.FileInfo) time.Time {
	if d, ok := info.Sys().(*syscall.Win32FileAttributeData); ok {
		return time.Unix(0, d.LastAccessTime.Nanoseconds())
	}
	return info.ModTime()
}

// entries reads up to n entries. The system gives what is asked of each with its name.
func entries(dir *os.File, n int) ([]vfs.Info, error) {
	found, err := dir.Readdir(n)
	if len(found) == 0 {
		if err == nil {
			err = io.EOF
		}
		return nil, err
	}
	infos := make([]vfs.Info, len(found))
	for i, info := range found {
		infos[i] = fromOS(info.Name(), info)
	}
	return infos, nil
}

// renameNew renames unless the target is there.
func (f *FS) renameNew(from, to vfs.Path) error { return f.renameFree(from, to) }

func setTimes(file *os.File, access, mod *time.Time) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	err = conn.Control(func(h uintptr) {
		callErr = windows.SetFileTime(windows.Handle(h), nil, fileTime(access), fileTime(mod))
	})
	return errors.Join(err, callErr)
}

func fileTime(t *time.Time) *windows.Filetime {
	if t == nil {
		return nil
	}
	ft := windows.NsecToFiletime(t.UnixNano())
	return &ft
}

func (f *FS) space() (vfs.Space, error) {
	dir, err := windows.UTF16PtrFromString(f.root.Name())
	if err != nil {
		return vfs.Space{}, err
	}
	var free, total uint64
	if err := windows.GetDiskFreeSpaceEx(dir, &free, &total, nil); err != nil {
		return vfs.Space{}, err
	}
	return vfs.Space{
		Total: int64(total), Free: int64(free), Files: vfs.Unlimited, FreeFiles: vfs.Unlimited,
		BlockSize: 4096, MaxName: vfs.MaxName,
	}, nil
}

// syncDir has nothing to do: NTFS journals names by itself and flushes no folders.
func (f *FS) syncDir(vfs.Path) error { return nil }
