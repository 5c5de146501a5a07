package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"ss-setup/installer/machine"
	"ss-setup/installer/txn"
)

// morePlaces take temporary files where the folder for them is mounted noexec.
var morePlaces = []string{"/run", "/var/tmp"}

// places may hold the staging folder of one run: the first that programs may be run
// from does.
func places() []string {
	return append([]string{filepath.Clean(os.TempDir())}, morePlaces...)
}

// makeStaging makes a staging folder for one run, in the first of places that is not
// mounted noexec; in the first when all are.
func makeStaging() (string, error) {
	for _, place := range places() {
		if at, err := machine.FilesystemAt(&machine.FS{}, place); err == nil && !at.NoExec {
			return os.MkdirTemp(place, temporary)
		}
	}
	return os.MkdirTemp("", temporary)
}

// private tells a folder, and no link to one, that nobody else can change.
func private(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

// makePrivate lets nobody else into a folder of this program's.
func makePrivate(dir string) error { return os.Chmod(dir, 0o700) }

// lockFolder makes a folder this run's until the file is closed; its error matches
// txn.ErrBusy while it is another's.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || err == nil && !leadsTo(dir, f) {
		err = txn.ErrBusy
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// leadsTo tells whether a path still is that of an open file: a folder that was taken
// away while this run waited for it can be locked, but keeps nobody out.
func leadsTo(path string, f *os.File) bool {
	there, err := os.Lstat(path)
	if err != nil {
		return false
	}
	held, err := f.Stat()
	return err == nil && os.SameFile(there, held)
}
