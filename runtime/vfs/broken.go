package vfs

import "io/fs"

// Broken is a tree that cannot be reached now: everything answers err. It stands in for
// a VFS whose disk or key is missing, so that its user may still log in and be told.
func Broken(err error) FS { return broken{err} }

type broken struct{ err error }

func (b broken) Open(name Path, _ Flag, _ fs.FileMode) (File, error) {
	return nil, Error("open", name, b.err)
}

func (b broken) Stat(name Path) (Info, error) { return Info{}, Error("stat", name, b.err) }

func (b broken) Lstat(name Path) (Info, error) { return Info{}, Error("stat", name, b.err) }

func (b broken) ReadDir(name Path) (Dir, error)       { return nil, Error("list", name, b.err) }
func (b broken) Mkdir(name Path, _ fs.FileMode) error { return Error("mkdir", name, b.err) }
func (b broken) Rmdir(name Path) error                { return Error("rmdir", name, b.err) }
func (b broken) Remove(name Path) error               { return Error("remove", name, b.err) }
func (b broken) Rename(from, _ Path, _ bool) error    { return Error("rename", from, b.err) }
func (b broken) SetStat(name Path, _ Change) error    { return Error("setstat", name, b.err) }
func (b broken) Symlink(_ string, name Path) error    { return Error("symlink", name, b.err) }
func (b broken) Readlink(name Path) (target string, e error) {
	return "", Error("readlink", name, b.err)
}

func (b broken) StatFS(name Path) (Space, error) { return Space{}, Error("statvfs", name, b.err) }
