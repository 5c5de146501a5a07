package sftp3

import (
	"errors"
	"io"
	"io/fs"

	"ss-setup/runtime/vfs"
)

// Codes of a status.
const (
	statusOK               = 0
	statusEOF              = 1
	statusNoSuchFile       = 2
	statusPermissionDenied = 3
	statusFailure          = 4
	statusBadMessage       = 5
	statusUnsupported      = 8
)

// clientError is an error of this package, whose text is for the client.
type clientError string

func (e clientError) Error() string { return string(e) }

// errHandle is a handle that the session does not have.
const errHandle = clientError("no such handle")

// told are the errors that a client is told by their own text, with the code that
// comes nearest. The first that fits counts.
var told = []struct {
	err  error
	code uint32
	text string
}{
	{err: vfs.ErrBadPath, code: statusNoSuchFile},
	{err: vfs.ErrNotEmpty, code: statusFailure},
	{err: vfs.ErrIsDir, code: statusFailure},
	{err: vfs.ErrNotDir, code: statusFailure},
	{err: vfs.ErrNotRegular, code: statusFailure},
	{err: vfs.ErrQuota, code: statusFailure},
	{err: vfs.ErrNoSpace, code: statusFailure},
	// With this code clients copy and remove instead, where they know how.
	{err: vfs.ErrCrossDevice, code: statusUnsupported},
	{err: vfs.ErrBusy, code: statusFailure},
	{err: vfs.ErrTooLarge, code: statusFailure},
	{err: vfs.ErrReadOnly, code: statusPermissionDenied},
	{err: vfs.ErrPlainFile, code: statusFailure},
	{err: vfs.ErrIncomplete, code: statusFailure},
	{err: vfs.ErrDamaged, code: statusFailure},
	{err: vfs.ErrWrongKey, code: statusFailure},
	{err: vfs.ErrUnsupported, code: statusUnsupported},
	{fs.ErrNotExist, statusNoSuchFile, "no such file or folder"},
	{fs.ErrPermission, statusPermissionDenied, "permission denied"},
	{fs.ErrExist, statusFailure, "there is a file or folder of that name"},
	{errors.ErrUnsupported, statusUnsupported, "not supported here"},
}

// status is the code and the text that the client gets for an error. Of errors that are
// not known it gets no text: one might name a path of this machine.
func status(err error) (code uint32, text string) {
	switch {
	case err == nil:
		return statusOK, "done"
	case errors.Is(err, io.EOF):
		return statusEOF, "end of file"
	}
	if own, ok := errors.AsType[clientError](err); ok {
		return statusFailure, string(own)
	}
	for _, t := range told {
		if !errors.Is(err, t.err) {
			continue
		}
		if t.text == "" {
			t.text = t.err.Error()
		}
		return t.code, t.text
	}
	return statusFailure, "failure; the server's log has the reason"
}
