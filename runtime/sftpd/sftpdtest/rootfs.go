// Package sftpdtest is for tests and measurements of the SFTP server: the plainest
// storage that the protocol can be driven against, and a site with one user.
package sftpdtest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"ss-setup/runtime/vfs"
)

// RootFS is a folder behind an os.Root. It has no temporary names, no quotas and no
// rights of its own.
type RootFS struct{ root *os.Root }

// NewRootFS opens a folder.
func NewRootFS(dir string) (*RootFS, error) {
	root, err := os.OpenRoot(dir)
	return &RootFS{root}, err
}

// Close gives the folder back.
func (r *RootFS) Close() error { return r.root.Close() }

func plain(op string, name vfs.Path, err error) error {
	if err == nil {
		return nil
	}
	// In the order of how often they are met; os errors know nothing of these.
	for from, to := range map[error]error{
		syscall.ENOTEMPTY: vfs.ErrNotEmpty, syscall.ENOTDIR: vfs.ErrNotDir, syscall.EISDIR: vfs.ErrIsDir,
		syscall.ENOSPC: vfs.ErrNoSpace, syscall.EXDEV: vfs.ErrCrossDevice,
	} {
		if errors.Is(err, from) {
			err = to
		}
	}
	return vfs.Error(op, name, err)
}

// Open implements vfs.FS.
func (r *RootFS) Open(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (vfs.File, error) {
	how := os.O_RDONLY
	switch {
	case flag.Has(vfs.Read | vfs.Write):
		how = os.O_RDWR
	case flag.Has(vfs.Write):
		how = os.O_WRONLY
	}
	for f, bit := range map[vfs.Flag]int{vfs.Create: os.O_CREATE, vfs.Truncate: os.O_TRUNC, vfs.Exclusive: os.O_EXCL} {
		if flag.Has(vfs.Write | f) {
			how |= bit
		}
	}
	if mode == 0 {
		mode = 0o644
	}
	f, err := r.root.OpenFile(name.Local(), how, mode)
	if err != nil {
		return nil, plain("open", name, err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, plain("open", name, vfs.ErrIsDir)
	}
	return &rootFile{f, name}, nil
}

// Stat implements vfs.FS.
func (r *RootFS) Stat(name vfs.Path) (vfs.Info, error) {
	info, err := r.root.Stat(name.Local())
	return toInfo(info, name), plain("stat", name, err)
}

// Lstat implements vfs.FS.
func (r *RootFS) Lstat(name vfs.Path) (vfs.Info, error) {
	info, err := r.root.Lstat(name.Local())
	return toInfo(info, name), plain("lstat", name, err)
}

func toInfo(info fs.FileInfo, name vfs.Path) vfs.Info {
	if info == nil {
		return vfs.Info{}
	}
	return vfs.Info{Name: name.Base(), Size: info.Size(), Mode: info.Mode(), ModTime: info.ModTime(), AccessTime: info.ModTime()}
}

// ReadDir implements vfs.FS.
func (r *RootFS) ReadDir(name vfs.Path) (vfs.Dir, error) {
	f, err := r.root.Open(name.Local())
	if err != nil {
		return nil, plain("opendir", name, err)
	}
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		_ = f.Close()
		return nil, plain("opendir", name, vfs.ErrNotDir)
	}
	return rootDir{f}, nil
}

type rootDir struct{ f *os.File }

func (d rootDir) Close() error { return d.f.Close() }

func (d rootDir) Next(n int) (list []vfs.Info, err error) {
	for len(list) == 0 {
		entries, err := d.f.Readdir(n)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			list = append(list, vfs.Info{Name: e.Name(), Size: e.Size(), Mode: e.Mode(), ModTime: e.ModTime(), AccessTime: e.ModTime()})
		}
	}
	return list, nil
}

// Mkdir implements vfs.FS.
func (r *RootFS) Mkdir(name vfs.Path, mode fs.FileMode) error {
	if mode == 0 {
		mode = 0o755
	}
	return plain("mkdir", name, r.root.Mkdir(name.Local(), mode))
}

// Rmdir implements vfs.FS.
func (r *RootFS) Rmdir(name vfs.Path) error {
	if info, err := r.root.Lstat(name.Local()); err != nil || !info.IsDir() {
		return plain("rmdir", name, errors.Join(err, vfs.ErrNotDir))
	}
	return plain("rmdir", name, r.root.Remove(name.Local()))
}

// Remove implements vfs.FS.
func (r *RootFS) Remove(name vfs.Path) error {
	if info, err := r.root.Lstat(name.Local()); err == nil && info.IsDir() {
		return plain("remove", name, vfs.ErrIsDir)
	}
	return plain("remove", name, r.root.Remove(name.Local()))
}

// Rename implements vfs.FS.
func (r *RootFS) Rename(from, to vfs.Path, replace bool) error {
	if _, err := r.root.Lstat(to.Local()); err == nil && !replace {
		return plain("rename", to, fs.ErrExist)
	}
	return plain("rename", from, r.root.Rename(from.Local(), to.Local()))
}

// SetStat implements vfs.FS.
func (r *RootFS) SetStat(name vfs.Path, c vfs.Change) error {
	var err error
	if c.Size != nil {
		var f *os.File
		if f, err = r.root.OpenFile(name.Local(), os.O_WRONLY, 0); err == nil {
			err = errors.Join(f.Truncate(*c.Size), f.Close())
		}
	}
	if c.Mode != nil && err == nil {
		err = r.root.Chmod(name.Local(), *c.Mode)
	}
	if c.ModTime != nil && err == nil {
		err = r.root.Chtimes(name.Local(), *c.AccessTime, *c.ModTime)
	}
	return plain("setstat", name, err)
}

// Symlink implements vfs.FS.
func (r *RootFS) Symlink(target string, name vfs.Path) error {
	return plain("symlink", name, r.root.Symlink(target, name.Local()))
}

// Readlink implements vfs.FS.
func (r *RootFS) Readlink(name vfs.Path) (string, error) {
	target, err := r.root.Readlink(name.Local())
	return target, plain("readlink", name, err)
}

// StatFS implements vfs.FS with the room of a made-up quota.
func (r *RootFS) StatFS(vfs.Path) (vfs.Space, error) {
	return vfs.Space{Total: 10 << 30, Free: 9 << 30, Files: vfs.Unlimited, FreeFiles: vfs.Unlimited}, nil
}

type rootFile struct {
	f    *os.File
	name vfs.Path
}

func (f *rootFile) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.f.ReadAt(b, at)
	if err == io.EOF {
		return n, err
	}
	return n, plain("read", f.name, err)
}

func (f *rootFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.f.WriteAt(b, at)
	return n, plain("write", f.name, err)
}

func (f *rootFile) Stat() (vfs.Info, error) {
	info, err := f.f.Stat()
	return toInfo(info, f.name), plain("stat", f.name, err)
}

func (f *rootFile) SetStat(c vfs.Change) error {
	var err error
	if c.Size != nil {
		err = f.f.Truncate(*c.Size)
	}
	if c.Mode != nil && err == nil {
		err = f.f.Chmod(*c.Mode)
	}
	if c.ModTime != nil && err == nil {
		err = setTimes(f.f, *c.AccessTime, *c.ModTime)
	}
	return plain("fsetstat", f.name, err)
}

func (f *rootFile) Sync() error  { return plain("sync", f.name, f.f.Sync()) }
func (f *rootFile) Close() error { return plain("close", f.name, f.f.Close()) }
func (f *rootFile) Abort() error { return f.Close() }
