// Package vfs is what the protocols see of storage: one small interface to a tree of
// files, whatever keeps them, and the one place where the names that clients send
// become paths.
//
// The packages below it are layers with that same interface, each of which knows only
// the one under it:
//
//	tree    what one user sees: home and virtual folders, rights, quotas, speed
//	stage   uploads under a temporary name, what a cut upload leaves, and its resume
//	crypt   the encrypted file format and its keys
//	disk    a folder of this machine, which nothing leads out of
//	volume  puts disk, crypt and stage together and answers for a VFS as a whole
//
// A protocol turns every name with Parse, once, and hands on a Path: no other layer
// looks at "..", at a slash too many or at the names of devices.
package vfs

import (
	"io"
	"io/fs"
	"time"
)

// FS is a tree of files. All methods may be called at the same time from several
// goroutines.
//
// Errors answer to errors.Is with the values of this package and with fs.ErrNotExist,
// fs.ErrExist, fs.ErrPermission; their text names paths as the user knows them, never
// a folder of the machine.
type FS interface {
	// Open opens or creates a regular file. mode is for a file that is created; zero
	// means the default of the VFS. Append says what the client means to do and needs
	// its right, but offsets of writes hold as they are given.
	Open(name Path, flag Flag, mode fs.FileMode) (File, error)
	// Stat follows links, Lstat does not follow the last one.
	Stat(name Path) (Info, error)
	Lstat(name Path) (Info, error)
	// ReadDir opens a folder for listing. "." and ".." are not in it.
	ReadDir(name Path) (Dir, error)
	// Mkdir makes one folder. mode zero means the default of the VFS.
	Mkdir(name Path, mode fs.FileMode) error
	// Rmdir removes an empty folder: ErrNotDir for anything else, ErrNotEmpty.
	Rmdir(name Path) error
	// Remove removes a file or a link: ErrIsDir for a folder.
	Remove(name Path) error
	// Rename moves a file, link or folder. Where the target exists it is replaced in
	// one step if replace is set (posix-rename) and is fs.ErrExist if not.
	Rename(from, to Path, replace bool) error
	// SetStat changes what is set in c, following links.
	SetStat(name Path, c Change) error
	// Symlink makes name a link to target, which is as the client sent it. ErrUnsupported
	// where links are switched off, ErrBadPath where it is absolute or leads out.
	Symlink(target string, name Path) error
	// Readlink gives a link's target. ErrBadPath where that leads out.
	Readlink(name Path) (string, error)
	// StatFS tells how much room there is for name; name need not exist.
	StatFS(name Path) (Space, error)
}

// Salvager is an FS in whose files a crash may leave an end that cannot be read.
type Salvager interface {
	// Salvage cuts off what cannot be read at the end of a file that was never complete.
	Salvage(name Path) error
}

// Freer is an FS that itself takes away what no operation names: the file that an upload
// replaces when it is closed, what is cut off an upload that broke off, and such an
// upload as a whole where nothing can be kept of it.
type Freer interface {
	// OnFreed has freed hear how many bytes and files went that way; it takes the place
	// of whoever heard before.
	OnFreed(freed func(bytes, files int64))
}

// File is an open file. Reads and writes may overlap; each is whole by itself.
//
// A file ends by Close or by Abort, whichever comes first; the other is then nothing.
type File interface {
	// ReadAt follows io.ReaderAt: fewer bytes than asked for come with an error,
	// io.EOF at the end.
	io.ReaderAt
	// WriteAt follows io.WriterAt. Beyond the end the gap reads as zeros.
	io.WriterAt
	Stat() (Info, error)
	SetStat(c Change) error
	// Sync returns when everything written is on the disk.
	Sync() error
	// Close ends the use in good order: an upload now stands under its name. An error
	// means that it does not, and what was written is kept for a resume.
	Close() error
	// Abort ends the use because the session broke off: an upload does not come to
	// stand under its name, and what was written without a gap from its start on is
	// kept for the same user's resume. On a file that was only read it is Close.
	Abort() error
}

// Dir is a folder that is being listed.
type Dir interface {
	// Next gives at most n further entries in no particular order, at least one, or
	// io.EOF at the end.
	Next(n int) ([]Info, error)
	Close() error
}

// Flag says how a file is opened.
type Flag uint8

// How a file is opened. Truncate, Exclusive and Append mean something only with Write,
// and Exclusive only with Create. No Write without Truncate ever shortens a file.
const (
	Read Flag = 1 << iota
	Write
	Append
	Create
	Truncate
	Exclusive
)

// Has says whether all of f is set.
func (o Flag) Has(f Flag) bool { return o&f == f }

// Info describes a file, folder or link.
type Info struct {
	Name    string      // the last component; "/" for the root
	Size    int64       // of the content, as a reader gets it
	Mode    fs.FileMode // type and permission bits
	ModTime time.Time
	// AccessTime is the time of the change where the system keeps no other.
	AccessTime time.Time
}

// IsDir says whether it is a folder.
func (i Info) IsDir() bool { return i.Mode.IsDir() }

// Change is what SetStat changes. Fields that are nil stay as they are.
type Change struct {
	Size       *int64
	Mode       *fs.FileMode // permission bits only
	AccessTime *time.Time
	ModTime    *time.Time
}

// Space is the room of a file system or of a quota, in bytes and in files. What is not
// limited or not known is Unlimited.
type Space struct {
	Total, Free      int64
	Files, FreeFiles int64
	BlockSize        int64
	MaxName          int64
	ReadOnly         bool
}

// Unlimited stands in Space for no limit.
const Unlimited = int64(1)<<62 - 1
