package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// noFollow: Windows has no such flag; a link there needs a right to make it.
const noFollow = 0

// toSync is how a file is opened whose content is to be made durable: Windows asks
// for the right to write.
const toSync = os.O_RDWR

// noWait: opening a pipe there does not wait.
const noWait = 0

// Owner tells no numbers: owners are security identifiers here, and who may do
// what with a file follows from its folder's access list.
func Owner(fs.FileInfo) (uid, gid int) { return -1, -1 }

// SameMode is true: access lists stand in the place of modes.
func SameMode(_, _ fs.FileMode) bool { return true }

// SameOwner is true for the same reason.
func SameOwner(fs.FileInfo, int, int) bool { return true }

// device is the same for all: what is mounted in a folder shows as a reparse
// point, not as a folder, so nothing here ever walks into it.
func device(fs.FileInfo) uint64 { return 0 }

func chmod(name string, mode fs.FileMode) error { return os.Chmod(name, mode) }

func chtimes(name string, mtime time.Time) error { return os.Chtimes(name, mtime, mtime) }

// lockedPatience is how long a virus scanner or an indexer may keep a file open
// that is to be renamed or removed.
const lockedPatience = 30 * time.Second

// lockedPause is the pause between two tries: scanners are done within tenths of
// a second.
const lockedPause = 50 * time.Millisecond

// isLocked tells the errors of a file that another program keeps open.
func isLocked(err error) bool {
	for _, known := range []error{
		windows.ERROR_ACCESS_DENIED, windows.ERROR_SHARING_VIOLATION, windows.ERROR_LOCK_VIOLATION,
		windows.ERROR_USER_MAPPED_FILE, windows.ERROR_DELETE_PENDING,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// patiently repeats act while a file is kept open by another program.
func patiently(patience time.Duration, act func() error) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(lockedPause) {
		err := act()
		if err == nil || !isLocked(err) {
			return err
		}
		if time.Now().After(deadline) {
			return errors.Join(ErrLocked, err)
		}
	}
}

// rename puts one file or folder in the place of another and returns when that
// is on the disk. A program that runs cannot be replaced, only moved away.
func rename(from, to string) error {
	err := moveFile(from, to, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
	if err == nil || !isLocked(err) {
		return err
	}
	if isProgram(to) && retire(to) == nil {
		return rename(from, to)
	}
	return patiently(lockedPatience, func() error {
		return moveFile(from, to, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
	})
}

// remove removes a file, a link or an empty folder. A program that runs is moved
// away instead.
func remove(path string) error {
	release, err := holdParent(path)
	if err != nil {
		return err
	}
	defer release()
	err = os.Remove(path)
	if err == nil || !isLocked(err) {
		return err
	}
	if isProgram(path) && retire(path) == nil {
		return nil
	}
	return patiently(lockedPatience, func() error { return os.Remove(path) })
}

func isProgram(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && strings.EqualFold(filepath.Ext(path), ".exe")
}

// retire moves a running program out of the way, to the system's folder for
// temporary files, where the next restart removes it.
func retire(path string) error {
	dir := filepath.Join(SystemDir, "Temp")
	for i := range 100 {
		away := filepath.Join(dir, fmt.Sprintf("%s-%x-%d.old", filepath.Base(path), time.Now().UnixNano(), i))
		err := moveFile(path, away, windows.MOVEFILE_WRITE_THROUGH)
		if errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
			continue
		}
		if err != nil {
			return err
		}
		// It costs room until then at worst.
		_ = removeAtRestart(away)
		return nil
	}
	return fmt.Errorf("move %s away: no free name in %s", path, dir)
}

func moveFile(from, to string, flags uint32) error {
	old, err := windows.UTF16PtrFromString(longPath(from))
	if err != nil {
		return &fs.PathError{Op: "rename", Path: from, Err: err}
	}
	var name *uint16
	if to != "" {
		if name, err = windows.UTF16PtrFromString(longPath(to)); err != nil {
			return &fs.PathError{Op: "rename", Path: to, Err: err}
		}
	}
	if err := windows.MoveFileEx(old, name, flags); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// isNotEmpty tells the error of a folder out of which all has been removed, but
// something of it is still open in another program.
func isNotEmpty(err error) bool { return errors.Is(err, windows.ERROR_DIR_NOT_EMPTY) }

// removePending removes a folder whose files go when other programs close them.
func removePending(path string) error {
	for deadline := time.Now().Add(lockedPatience); ; time.Sleep(lockedPause) {
		err := os.Remove(path)
		if !isNotEmpty(err) || time.Now().After(deadline) {
			return err
		}
	}
}

// removeAtRestart has the system remove a file or an empty folder when it starts
// next.
func removeAtRestart(path string) error {
	return moveFile(path, "", windows.MOVEFILE_DELAY_UNTIL_REBOOT)
}

// ReplaceAtRestart has the system put one file in the place of another when it
// starts next.
func (f *FS) ReplaceAtRestart(from, to string) error {
	if err := f.before(OpRename, to); err != nil {
		return err
	}
	return moveFile(f.Real(from), f.Real(to), windows.MOVEFILE_DELAY_UNTIL_REBOOT|windows.MOVEFILE_REPLACE_EXISTING)
}

// longPath lifts the limit of 260 characters off an absolute path.
func longPath(path string) string {
	const most = 240 // a folder's own limit is 248, with room for a short name
	switch {
	case len(path) < most, !filepath.IsAbs(path), strings.HasPrefix(path, `\\?\`):
		return path
	case strings.HasPrefix(path, `\\`):
		return `\\?\UNC\` + filepath.Clean(path)[2:]
	}
	return `\\?\` + filepath.Clean(path)
}

// MkdirPrivate makes one folder that nobody but SYSTEM and Administrators gets into, from
// its first instant; what is made in it has that from it.
func (f *FS) MkdirPrivate(path string) error {
	if err := f.before(OpMkdir, path); err != nil {
		return err
	}
	return f.at(path, MakePrivate)
}

// syncDir flushes a folder's own data where the file system can. NTFS journals
// names, and every rename here is written through, so one that cannot loses nothing.
func syncDir(path string) error {
	name, err := windows.UTF16PtrFromString(longPath(path))
	if err != nil {
		return &fs.PathError{Op: "sync", Path: path, Err: err}
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, windows.GENERIC_WRITE, share, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if isLocked(err) {
		return nil // this file system opens no folder for writing
	}
	if err != nil {
		return &fs.PathError{Op: "sync", Path: path, Err: err}
	}
	_ = windows.FlushFileBuffers(h)
	return windows.CloseHandle(h)
}

// openNameless: no file is without a name here.
func openNameless(dir string) (*os.File, error) {
	return nil, &fs.PathError{Op: "make a file without a name", Path: dir, Err: errors.ErrUnsupported}
}

func nameFile(_ *os.File, path string) error {
	return &fs.PathError{Op: "name", Path: path, Err: errors.ErrUnsupported}
}

// allocate keeps the file's length: a journal's end is where its records end.
func allocate(f *os.File, size int64) error {
	const fileAllocationInfo = 5
	err := windows.SetFileInformationByHandle(windows.Handle(f.Fd()), fileAllocationInfo, (*byte)(unsafe.Pointer(&size)), uint32(unsafe.Sizeof(size)))
	if errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED) {
		return &fs.PathError{Op: "allocate", Path: f.Name(), Err: err}
	}
	return nil // a file system that reserves nothing
}

// Writable tells whether a folder is there; what may be written in it, its
// access list decides at the first write.
func Writable(f *FS, path string) bool { return f.Exists(path) }

// maxPointer bounds what is read of a pointer.
const maxPointer = 4 << 10

// ReadPointer reads where a pointer leads. A pointer is the one kind of file that
// one rename turns from one target to another: a file with the target in it here.
func (f *FS) ReadPointer(path string) (string, error) {
	info, err := f.Lstat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", path)
	}
	content, err := f.ReadSmall(path, maxPointer)
	if err != nil {
		return "", err
	}
	target := strings.TrimRight(string(content), "\r\n")
	if target == "" || strings.ContainsAny(target, "\r\n") {
		return "", fmt.Errorf("%s does not hold one name", path)
	}
	return target, nil
}

// MakePointer makes a pointer where nothing is.
func (f *FS) MakePointer(target, path string) error { return f.ReplacePointer(target, path) }

// ReplacePointer makes path a pointer to target in one rename.
func (f *FS) ReplacePointer(target, path string) error {
	return f.WriteFile(path, []byte(target+"\r\n"), Attr{Mode: 0o644})
}
