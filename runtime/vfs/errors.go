package vfs

import (
	"errors"
	"io/fs"
)

// What can be wrong. Test with errors.Is; the standard fs.ErrNotExist, fs.ErrExist,
// fs.ErrPermission and fs.ErrClosed mean here what they mean there.
var (
	// ErrBadPath: the name is no path, or one that leads out of the tree.
	ErrBadPath = errors.New("not a path of this tree")
	// ErrNotEmpty: the folder has something in it.
	ErrNotEmpty = errors.New("folder is not empty")
	// ErrIsDir: a file was asked for, and this is a folder.
	ErrIsDir = errors.New("is a folder")
	// ErrNotDir: a folder was asked for, and this is none.
	ErrNotDir = errors.New("not a folder")
	// ErrNotRegular: a device, pipe or socket; these are never opened.
	ErrNotRegular = errors.New("not a regular file")
	// ErrUnsupported: this VFS cannot, or is set not to.
	ErrUnsupported = errors.New("not supported here")
	// ErrQuota: the user's quota is used up.
	ErrQuota = errors.New("quota exceeded")
	// ErrNoSpace: the disk is full.
	ErrNoSpace = errors.New("no space left on the server's disk")
	// ErrCrossDevice: a rename from one VFS or file system to another.
	ErrCrossDevice = errors.New("target lies on another file system")
	// ErrBusy: another session has it open in a way that forbids this.
	ErrBusy = errors.New("in use")
	// ErrTooLarge: an offset or size beyond what a file may have.
	ErrTooLarge = errors.New("file would be too large")
	// ErrReadOnly: the file system does not take changes.
	ErrReadOnly = errors.New("read-only")

	// ErrPlainFile: a file that is not encrypted lies in an encrypted VFS, put there
	// past the server.
	ErrPlainFile = errors.New("file is not encrypted, though its VFS is: it was put there past the server; upload it again through the server, or move it away")
	// ErrIncomplete: an encrypted file whose end is missing. It may be written to, which
	// completes it.
	ErrIncomplete = errors.New("encrypted file has no end: its upload was cut off, or it was shortened past the server; resume the upload, or replace the file")
	// ErrDamaged: an encrypted file whose content was changed past the server.
	ErrDamaged = errors.New("encrypted file is damaged or was changed past the server; replace it from a backup")
	// ErrWrongKey: the file belongs to another VFS or key.
	ErrWrongKey = errors.New("encrypted file belongs to another key than this VFS's")
)

// Error names what was tried on which path, as the user knows it.
func Error(op string, name Path, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name.String(), Err: err}
}
