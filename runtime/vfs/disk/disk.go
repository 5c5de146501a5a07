// Package disk is a VFS in a folder of this machine.
//
// Everything goes through an os.Root, which opens one component after the other below
// a folder that it holds open: no path, link or race between the two leads out of it.
// Names come as vfs.Path, so the package does not look at them again. Links that stay
// inside are followed; whether users may make some is an option. Devices, pipes and
// sockets are never opened.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"ss-setup/runtime/vfs"
)

// What a VFS gives to files and folders that come without a mode: the service's account
// and its group, nobody else.
const (
	defaultFileMode = fs.FileMode(0o640)
	defaultDirMode  = fs.FileMode(0o750)
)

// Options of a disk VFS. The zero value is the default of each.
type Options struct {
	FileMode, DirMode fs.FileMode // 0640, 0750
	Links             bool        // users may make symbolic links
	MaxSize           int64       // of a file, in bytes; 16 TiB
}

func (o Options) withDefaults() Options {
	if o.FileMode == 0 {
		o.FileMode = defaultFileMode
	}
	if o.DirMode == 0 {
		o.DirMode = defaultDirMode
	}
	if o.MaxSize == 0 {
		o.MaxSize = 16 << 40
	}
	return o
}

// FS is the tree below one folder. It implements vfs.FS.
type FS struct {
	root *os.Root
	opt  Options
}

var _ vfs.FS = (*FS)(nil)

// Open takes dir, an absolute path of this machine, as a tree.
func Open(dir string, opt Options) (*FS, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("folder %q of a VFS is no absolute path", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder of a VFS: %w", err)
	}
	return &FS{root, opt.withDefaults()}, nil
}

// Sub takes a folder of f as a tree of its own, which nothing leads out of either. It is
// closed by itself. A folder that is missing is made, with those above it, if create is
// set.
func (f *FS) Sub(dir vfs.Path, create bool) (*FS, error) {
	if create {
		if err := f.mkdirAll(dir); err != nil {
			return nil, err
		}
	}
	root, err := f.root.OpenRoot(dir.Local())
	if err != nil {
		return nil, fail("open", dir, err)
	}
	return &FS{root, f.opt}, nil
}

func (f *FS) mkdirAll(dir vfs.Path) error {
	if _, err := f.root.Stat(dir.Local()); err == nil {
		return nil
	}
	return fail("mkdir", dir, f.root.MkdirAll(dir.Local(), f.opt.DirMode))
}

// Close lets go of the folder. Files that are open stay so.
func (f *FS) Close() error { return f.root.Close() }

// Dir is the folder's name on this machine, for messages to administrators.
func (f *FS) Dir() string { return f.root.Name() }

// Open is Open of vfs.FS; the file it gives is a *File.
func (f *FS) Open(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (vfs.File, error) {
	file, err := f.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// OpenFile is Open with the type of what it gives.
func (f *FS) OpenFile(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (*File, error) {
	if name.IsRoot() {
		return nil, vfs.Error("open", name, vfs.ErrIsDir)
	}
	file, err := f.root.OpenFile(name.Local(), osFlags(flag), f.fileMode(mode))
	if err != nil {
		return nil, fail("open", name, f.explainOpen(name, err))
	}
	info, err := file.Stat()
	if err == nil {
		err = regular(info.Mode())
	}
	if err != nil {
		_ = file.Close()
		return nil, fail("open", name, err)
	}
	return &File{file, name, f.opt.MaxSize}, nil
}

// explainOpen tells a folder or device from other causes: the system has one error for
// many there.
func (f *FS) explainOpen(name vfs.Path, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if info, statErr := f.root.Stat(name.Local()); statErr == nil && !info.Mode().IsRegular() {
		return regular(info.Mode())
	}
	return err
}

func regular(mode fs.FileMode) error {
	switch {
	case mode.IsDir():
		return vfs.ErrIsDir
	case !mode.IsRegular():
		return vfs.ErrNotRegular
	}
	return nil
}

func osFlags(flag vfs.Flag) int {
	// extraFlags keep a pipe that lies in the VFS from holding us up.
	out := extraFlags
	switch {
	case flag.Has(vfs.Read | vfs.Write):
		out |= os.O_RDWR
	case flag.Has(vfs.Write):
		out |= os.O_WRONLY
	default:
		return out | os.O_RDONLY
	}
	if flag.Has(vfs.Create) {
		out |= os.O_CREATE
	}
	if flag.Has(vfs.Truncate) {
		out |= os.O_TRUNC
	}
	if flag.Has(vfs.Create | vfs.Exclusive) {
		out |= os.O_EXCL
	}
	return out
}

func (f *FS) fileMode(mode fs.FileMode) fs.FileMode {
	if mode.Perm() == 0 {
		return f.opt.FileMode
	}
	return mode.Perm()
}

// Stat is Stat of vfs.FS.
func (f *FS) Stat(name vfs.Path) (vfs.Info, error) {
	return f.stat(name, f.root.Stat)
}

// Lstat is Lstat of vfs.FS.
func (f *FS) Lstat(name vfs.Path) (vfs.Info, error) {
	return f.stat(name, f.root.Lstat)
}

func (f *FS) stat(name vfs.Path, look func(string) (os.FileInfo, error)) (vfs.Info, error) {
	info, err := look(name.Local())
	if err != nil {
		return vfs.Info{}, fail("stat", name, err)
	}
	return fromOS(name.Base(), info), nil
}

func fromOS(name string, info os.FileInfo) vfs.Info {
	return vfs.Info{Name: name, Size: info.Size(), Mode: info.Mode(), ModTime: info.ModTime(), AccessTime: accessTime(info)}
}

// ReadDir is ReadDir of vfs.FS.
func (f *FS) ReadDir(name vfs.Path) (vfs.Dir, error) {
	dir, err := f.root.OpenFile(name.Local(), os.O_RDONLY|extraFlags|dirFlags, 0)
	if err != nil {
		return nil, fail("list", name, err)
	}
	if info, err := dir.Stat(); err != nil || !info.IsDir() {
		_ = dir.Close()
		return nil, fail("list", name, errors.Join(err, vfs.ErrNotDir))
	}
	return &folder{dir, name}, nil
}

type folder struct {
	dir  *os.File
	name vfs.Path
}

func (d *folder) Next(n int) ([]vfs.Info, error) {
	infos, err := entries(d.dir, max(n, 1))
	if len(infos) == 0 && err == nil {
		err = io.EOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fail("list", d.name, err)
	}
	if len(infos) > 0 {
		return infos, nil
	}
	return nil, err
}

func (d *folder) Close() error { return fail("list", d.name, d.dir.Close()) }

// Mkdir is Mkdir of vfs.FS.
func (f *FS) Mkdir(name vfs.Path, mode fs.FileMode) error {
	if mode.Perm() == 0 {
		mode = f.opt.DirMode
	}
	return fail("mkdir", name, f.root.Mkdir(name.Local(), mode.Perm()))
}

// Rmdir is Rmdir of vfs.FS.
func (f *FS) Rmdir(name vfs.Path) error {
	return f.remove("rmdir", name, func(info os.FileInfo) error {
		if !info.IsDir() {
			return vfs.ErrNotDir
		}
		return nil
	})
}

// Remove is Remove of vfs.FS.
func (f *FS) Remove(name vfs.Path) error {
	return f.remove("remove", name, func(info os.FileInfo) error {
		if info.IsDir() {
			return vfs.ErrIsDir
		}
		return nil
	})
}

func (f *FS) remove(op string, name vfs.Path, check func(os.FileInfo) error) error {
	if name.IsRoot() {
		return vfs.Error(op, name, fs.ErrPermission)
	}
	info, err := f.root.Lstat(name.Local())
	if err == nil {
		err = check(info)
	}
	if err == nil {
		err = retryBusy(func() error { return f.root.Remove(name.Local()) })
	}
	return fail(op, name, err)
}

// Rename is Rename of vfs.FS.
func (f *FS) Rename(from, to vfs.Path, replace bool) error {
	if from.IsRoot() || to.IsRoot() {
		return vfs.Error("rename", from, fs.ErrPermission)
	}
	return fail("rename", from, retryBusy(func() error {
		if replace {
			return f.root.Rename(from.Local(), to.Local())
		}
		return f.renameNew(from, to)
	}))
}

// renameFree renames unless the target is there. It looks first, so it is for systems
// that cannot do both in one step. A name that differs only in case may be the same file.
func (f *FS) renameFree(from, to vfs.Path) error {
	target, err := f.root.Lstat(to.Local())
	switch {
	case err == nil:
		source, err := f.root.Lstat(from.Local())
		if err != nil {
			return err
		}
		if from == to || from.Fold() != to.Fold() || !os.SameFile(source, target) {
			return fs.ErrExist
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return f.root.Rename(from.Local(), to.Local())
}

// SetStat is SetStat of vfs.FS.
func (f *FS) SetStat(name vfs.Path, c vfs.Change) error {
	if c.Size != nil {
		if err := f.truncate(name, *c.Size); err != nil {
			return err
		}
	}
	if c.Mode != nil && modesMatter {
		if err := f.root.Chmod(name.Local(), c.Mode.Perm()); err != nil {
			return fail("setstat", name, err)
		}
	}
	if c.AccessTime != nil || c.ModTime != nil {
		return fail("setstat", name, f.root.Chtimes(name.Local(), orZero(c.AccessTime), orZero(c.ModTime)))
	}
	return nil
}

func (f *FS) truncate(name vfs.Path, size int64) error {
	file, err := f.OpenFile(name, vfs.Write, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Close())
}

// orZero is the time, or the zero time, which leaves one as it is.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// Symlink is Symlink of vfs.FS.
func (f *FS) Symlink(target string, name vfs.Path) error {
	if !f.opt.Links {
		return vfs.Error("symlink", name, vfs.ErrUnsupported)
	}
	if err := inside(target, name); err != nil {
		return vfs.Error("symlink", name, err)
	}
	return fail("symlink", name, f.root.Symlink(target, name.Local()))
}

// Readlink is Readlink of vfs.FS.
func (f *FS) Readlink(name vfs.Path) (string, error) {
	target, err := f.root.Readlink(name.Local())
	if err != nil {
		return "", fail("readlink", name, err)
	}
	target = filepath.ToSlash(target)
	if err := inside(target, name); err != nil {
		return "", vfs.Error("readlink", name, err)
	}
	return target, nil
}

// inside says whether a link at name with this target stays in the tree by its text.
// os.Root looks again whenever the link is followed.
func inside(target string, name vfs.Path) error {
	if target == "" || path.IsAbs(target) {
		return fmt.Errorf("%w: links are relative", vfs.ErrBadPath)
	}
	for part := range strings.SplitSeq(target, "/") {
		if vfs.IsReserved(part) {
			return fmt.Errorf("%w: %q belongs to the server", vfs.ErrBadPath, part)
		}
	}
	joined := path.Join(name.Parent().Local(), target)
	if joined == ".." || strings.HasPrefix(joined, "../") {
		return fmt.Errorf("%w: the link leads out", vfs.ErrBadPath)
	}
	_, err := vfs.Parse(joined, vfs.HostRules())
	return err
}

// StatFS is StatFS of vfs.FS.
func (f *FS) StatFS(name vfs.Path) (vfs.Space, error) {
	space, err := f.space()
	return space, fail("statvfs", name, err)
}

// SyncDir makes names in dir survive a power cut.
func (f *FS) SyncDir(dir vfs.Path) error { return fail("sync", dir, f.syncDir(dir)) }

// FoldsCase tells by trying whether the folder takes upper and lower case for one.
func (f *FS) FoldsCase() (bool, error) {
	const lower, upper = vfs.TempPrefix + "case", ".SS-UPLOAD-CASE"
	file, err := f.root.OpenFile(lower, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, fail("look how names are compared", vfs.Root, err)
	}
	_, err = f.root.Lstat(upper)
	return err == nil, errors.Join(file.Close(), f.root.Remove(lower))
}

// fail turns an error of the system into one of the interface: the path as the user
// knows it, and nothing of the machine's.
func fail(op string, name vfs.Path, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	var callErr *os.SyscallError
	switch {
	case errors.As(err, &pathErr):
		err = pathErr.Err
	case errors.As(err, &linkErr):
		err = linkErr.Err
	}
	if errors.As(err, &callErr) {
		err = callErr.Err
	}
	// os has no value for it.
	if strings.HasSuffix(err.Error(), "path escapes from parent") {
		err = fmt.Errorf("%w: it leads out", vfs.ErrBadPath)
	}
	return vfs.Error(op, name, meaning(err))
}

// meant keeps the system's own word beside the value that callers test for.
func meant(value, err error) error { return fmt.Errorf("%w (%w)", value, err) }
