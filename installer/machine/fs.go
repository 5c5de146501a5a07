// Package machine is everything that ss-setup knows about the machine under it:
// files, services, accounts, ports, disks, firewall and clock, each behind one
// small interface with a file per operating system. It knows nothing of plans,
// releases or journals.
package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// Op names one kind of changing call.
type Op string

// The changing calls of FS.
const (
	OpMkdir   Op = "mkdir"
	OpCreate  Op = "create"
	OpWrite   Op = "write"
	OpSync    Op = "sync"
	OpSyncDir Op = "syncdir"
	OpRename  Op = "rename"
	OpLink    Op = "link"
	OpRemove  Op = "remove"
	OpSymlink Op = "symlink"
	OpChown   Op = "chown"
	OpChmod   Op = "chmod"
	OpChtimes Op = "chtimes"
	OpAlloc   Op = "allocate"
)

// FS is the one door through which ss-setup changes files. Every method takes
// the path that a file has on the machine; Root, when not empty, is the folder
// that holds the machine's tree (an image that is being built).
//
// Below the folders in which services have their files, their accounts may put
// links in the way of root at any instant. There no method follows one, neither in
// the middle of a path nor, where it changes something, at its end.
type FS struct {
	Root string
	// Before, when set, is asked before every changing call; its error is
	// returned in place of the call. Fault tests use it.
	Before func(op Op, path string) error

	later *removals
}

// Real is where the machine's path lies for this process.
func (f *FS) Real(path string) string {
	if f.Root == "" {
		return path
	}
	return filepath.Join(f.Root, path)
}

func (f *FS) before(op Op, path string) error {
	if f.Before == nil {
		return nil
	}
	if err := f.Before(op, path); err != nil {
		return &fs.PathError{Op: string(op), Path: path, Err: err}
	}
	return nil
}

// Lstat tells about a path without following a link.
func (f *FS) Lstat(path string) (info fs.FileInfo, err error) {
	err = f.at(path, func(name string) (err error) {
		info, err = os.Lstat(name)
		return err
	})
	return info, err
}

// Exists tells whether something, even a dangling link, stands at path.
func (f *FS) Exists(path string) bool {
	_, err := f.Lstat(path)
	return err == nil
}

// Readlink reads the target of a link.
func (f *FS) Readlink(path string) (target string, err error) {
	err = f.at(path, func(name string) (err error) {
		target, err = os.Readlink(name)
		return err
	})
	return target, err
}

// ReadFile reads a whole file. It follows links: use Open for what others write.
func (f *FS) ReadFile(path string) ([]byte, error) { return os.ReadFile(f.Real(path)) }

// ReadDir lists a folder, sorted by name.
func (f *FS) ReadDir(path string) (entries []fs.DirEntry, err error) {
	err = f.at(filepath.Join(path, "entry"), func(name string) (err error) {
		entries, err = os.ReadDir(filepath.Dir(name))
		return err
	})
	return entries, err
}

// Open opens a file for reading. A link in its place, or a pipe that would keep
// the reader waiting, is an error.
func (f *FS) Open(path string) (*os.File, error) {
	h, err := f.open(path, os.O_RDONLY|noWait, 0)
	if err != nil {
		return nil, err
	}
	info, err := h.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("it is not a file")}
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (f *FS) open(path string, flag int, mode fs.FileMode) (h *os.File, err error) {
	err = f.at(path, func(name string) (err error) {
		h, err = openFile(name, f.Real(path), flag, mode)
		return err
	})
	return h, err
}

// ReadSmall reads a file that others may write, up to limit bytes.
func (f *FS) ReadSmall(path string, limit int64) ([]byte, error) {
	h, err := f.Open(path)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(h, limit))
	return content, errors.Join(err, h.Close())
}

// Mkdir makes one folder with exactly mode, whatever the umask; the parent must
// exist. It is not synced: SyncDir the parent.
func (f *FS) Mkdir(path string, mode fs.FileMode) error {
	if err := f.before(OpMkdir, path); err != nil {
		return err
	}
	return f.at(path, func(name string) error {
		if err := os.Mkdir(name, mode.Perm()); err != nil {
			return err
		}
		return chmod(name, mode)
	})
}

// Create opens path for writing, empty, with exactly mode. What is there already
// is overwritten in place.
func (f *FS) Create(path string, mode fs.FileMode) (*File, error) {
	return f.openFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, mode)
}

// OpenWrite opens an existing file for reading and writing in place.
func (f *FS) OpenWrite(path string) (*File, error) {
	return f.openFile(path, os.O_RDWR, 0)
}

func (f *FS) openFile(path string, flag int, mode fs.FileMode) (*File, error) {
	if err := f.before(OpCreate, path); err != nil {
		return nil, err
	}
	h, err := f.open(path, flag, mode.Perm())
	if err != nil {
		return nil, err
	}
	if flag&os.O_CREATE != 0 {
		if err := h.Chmod(mode); err != nil {
			return nil, errors.Join(err, h.Close())
		}
	}
	return &File{f: h, fs: f, path: path}, nil
}

// Rename puts what is at from in the place of to, in one instant.
func (f *FS) Rename(from, to string) error {
	if err := f.before(OpRename, to); err != nil {
		return err
	}
	return f.at(from, func(from string) error {
		return f.at(to, func(to string) error { return rename(from, to) })
	})
}

// Remove removes a file, a link or an empty folder. Nothing there is no error.
func (f *FS) Remove(path string) error {
	if _, err := f.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := f.before(OpRemove, path); err != nil {
		return err
	}
	err := f.at(path, remove)
	if f.later != nil && isNotEmpty(err) && !f.later.waitsIn(path) {
		err = removePending(f.Real(path))
	}
	if f.later != nil && (errors.Is(err, ErrLocked) || isNotEmpty(err)) {
		if err = removeAtRestart(f.Real(path)); err == nil {
			f.later.add(path)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Lenient is the same door for removals that may wait: what another program
// keeps open is removed at the next restart of the machine, where the system
// knows how, and told to later.
func (f *FS) Lenient(tell func(path string)) *FS {
	lenient := *f
	lenient.later = &removals{tell: tell}
	return &lenient
}

// removals are those that wait for the next restart, in the order in which the
// system will make them.
type removals struct {
	tell  func(path string)
	paths []string
}

// add tells of the files, not of the folders that they are in.
func (r *removals) add(path string) {
	if !r.waitsIn(path) {
		r.tell(path)
	}
	r.paths = append(r.paths, path)
}

// waitsIn tells whether something in a folder waits.
func (r *removals) waitsIn(dir string) bool {
	return slices.ContainsFunc(r.paths, func(path string) bool { return strings.HasPrefix(path, dir+string(filepath.Separator)) })
}

// ErrLocked means that another program keeps a file open.
var ErrLocked = errors.New("another program has it open")

// ErrOtherFilesystem means that something is mounted inside a tree.
var ErrOtherFilesystem = errors.New("another file system is mounted there")

// RemoveAll removes a whole tree. It never follows a link and refuses to cross
// into another file system, so that nothing mounted below is ever emptied.
func (f *FS) RemoveAll(path string) error {
	info, err := f.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	parent, err := f.Lstat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if info.IsDir() && device(info) != device(parent) {
		return fmt.Errorf("remove %s: %w; unmount it first", path, ErrOtherFilesystem)
	}
	return f.removeTree(path, info, device(info))
}

// MountedInside tells the first folder in a tree on which something is mounted;
// empty when there is none.
func (f *FS) MountedInside(path string) (string, error) {
	info, err := f.Lstat(path)
	if err != nil || !info.IsDir() {
		return "", err
	}
	entries, err := f.ReadDir(path)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		child := filepath.Join(path, e.Name())
		below, err := f.Lstat(child)
		if err != nil {
			return "", err
		}
		if device(below) != device(info) {
			return child, nil
		}
		if found, err := f.MountedInside(child); found != "" || err != nil {
			return found, err
		}
	}
	return "", nil
}

func (f *FS) removeTree(path string, info fs.FileInfo, dev uint64) error {
	if !info.IsDir() {
		return f.Remove(path)
	}
	if device(info) != dev {
		return fmt.Errorf("remove %s: %w; unmount it first", path, ErrOtherFilesystem)
	}
	entries, err := f.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		child := filepath.Join(path, e.Name())
		info, err := f.Lstat(child)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := f.removeTree(child, info, dev); err != nil {
			return err
		}
	}
	return f.Remove(path)
}

// Symlink makes a link. It is not synced: SyncDir the parent.
func (f *FS) Symlink(target, path string) error {
	if err := f.before(OpSymlink, path); err != nil {
		return err
	}
	return f.at(path, func(name string) error { return os.Symlink(target, name) })
}

// Chown sets the owner of a file, folder or link itself.
func (f *FS) Chown(path string, uid, gid int) error {
	info, err := f.Lstat(path)
	if err != nil {
		return err
	}
	if SameOwner(info, uid, gid) {
		return nil
	}
	if err := f.before(OpChown, path); err != nil {
		return err
	}
	return f.at(path, func(name string) error { return os.Lchown(name, uid, gid) })
}

// Chmod sets the mode of a file or folder.
func (f *FS) Chmod(path string, mode fs.FileMode) error {
	if err := f.before(OpChmod, path); err != nil {
		return err
	}
	return f.at(path, func(name string) error { return chmod(name, mode) })
}

// Chtimes sets the modification time of a file or folder.
func (f *FS) Chtimes(path string, mtime time.Time) error {
	if err := f.before(OpChtimes, path); err != nil {
		return err
	}
	return f.at(path, func(name string) error { return chtimes(name, mtime) })
}

// SyncDir makes durable what was created, renamed or removed in a folder.
func (f *FS) SyncDir(path string) error {
	if err := f.before(OpSyncDir, path); err != nil {
		return err
	}
	return f.at(path, syncDir)
}

// TempSuffix ends the name of a file that WriteFile and ReplaceLink have not
// finished. Whatever carries it may be removed.
const TempSuffix = ".ss-new"

// Attr is what a file carries besides its content.
type Attr struct {
	Mode     fs.FileMode
	UID, GID int
	// ModTime is kept as it falls when zero.
	ModTime time.Time
}

// WriteFile puts content at path so that at every instant, and after a power
// cut, either what was there or the whole new file is there.
func (f *FS) WriteFile(path string, content []byte, a Attr) error {
	temp := path + TempSuffix
	if err := f.Remove(temp); err != nil {
		return err
	}
	err := f.writeSynced(temp, content, a)
	if err == nil {
		err = f.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, f.Remove(temp))
	}
	return f.SyncDir(filepath.Dir(path))
}

func (f *FS) writeSynced(path string, content []byte, a Attr) error {
	h, err := f.Create(path, a.Mode)
	if err != nil {
		return err
	}
	if _, err = h.Write(content); err == nil {
		err = f.Chown(path, a.UID, a.GID)
	}
	if err == nil && !a.ModTime.IsZero() {
		err = f.Chtimes(path, a.ModTime)
	}
	if err == nil {
		err = h.Sync()
	}
	return errors.Join(err, h.Close())
}

// WriteNew puts content at path, where nothing is. Unlike WriteFile it leaves
// nothing under another name when it is cut, where the file system can do that.
// The content is durable, the name is not: SyncDir the parent.
func (f *FS) WriteNew(path string, content []byte, a Attr) error {
	if err := f.before(OpCreate, path); err != nil {
		return err
	}
	h, err := openNameless(f.Real(filepath.Dir(path)))
	if errors.Is(err, errors.ErrUnsupported) {
		return f.WriteFile(path, content, a)
	}
	if err != nil {
		return err
	}
	file := &File{f: h, fs: f, path: path}
	_, err = file.Write(content)
	if err == nil {
		err = errors.Join(h.Chmod(a.Mode), h.Chown(a.UID, a.GID))
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		if err = f.before(OpLink, path); err == nil {
			err = nameFile(h, f.Real(path))
		}
	}
	return errors.Join(err, h.Close())
}

// ReplaceLink makes path a link to target in one rename and syncs its folder.
func (f *FS) ReplaceLink(target, path string) error {
	temp := path + TempSuffix
	if err := f.Remove(temp); err != nil {
		return err
	}
	if err := f.Symlink(target, temp); err != nil {
		return err
	}
	if err := f.Rename(temp, path); err != nil {
		return errors.Join(err, f.Remove(temp))
	}
	return f.SyncDir(filepath.Dir(path))
}

// SyncTree syncs every file and folder of a tree, leaves first.
func (f *FS) SyncTree(path string) error {
	info, err := f.Lstat(path)
	if err != nil {
		return err
	}
	switch {
	case info.Mode().IsRegular():
		return f.SyncFile(path)
	case !info.IsDir():
		return nil
	}
	entries, err := f.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := f.SyncTree(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return f.SyncDir(path)
}

// SyncFile makes the content of a closed file durable.
func (f *FS) SyncFile(path string) error {
	if err := f.before(OpSync, path); err != nil {
		return err
	}
	h, err := f.open(path, toSync|noWait, 0)
	if err != nil {
		return err
	}
	return errors.Join(h.Sync(), h.Close())
}

// MissingParents lists the folders above path that do not exist, topmost first.
func (f *FS) MissingParents(path string) []string {
	var missing []string
	for dir := filepath.Dir(path); dir != filepath.Dir(dir) && !f.Exists(dir); dir = filepath.Dir(dir) {
		missing = append(missing, dir)
	}
	sort.Slice(missing, func(i, j int) bool { return len(missing[i]) < len(missing[j]) })
	return missing
}
