package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"

	"ss-setup/installer/machine"
	"ss-setup/installer/txn"
)

// private tells a folder, and no link to one, that nobody else can change.
func private(dir string) bool {
	why, err := machine.Planted(&machine.FS{}, dir)
	info, statErr := os.Lstat(dir)
	return why == "" && err == nil && statErr == nil && info.IsDir()
}

// makePrivate sees that nobody else gets into a folder for downloads. It lies in the
// folder of all data, whose access list it has from its first instant.
func makePrivate(dir string) error {
	if !private(dir) {
		return fmt.Errorf("%s is not to be trusted with downloads: others may change what is in it; remove it", dir)
	}
	return nil
}

// places may hold the staging folder of one run: no disk forbids programs here.
func places() []string { return []string{filepath.Clean(os.TempDir())} }

// makeStaging makes a staging folder for one run. Where temporary files lie, every user
// may make some, also in folders that are there already: this one is closed from its
// first instant.
func makeStaging() (string, error) { return machine.MakePrivateTemp(temporary) }

// lockFolder makes a folder this run's until the file is closed; its error matches
// txn.ErrBusy while it is another's. Whoever holds it has the folder open to write and
// lets nobody else. An ss-setup that goes on with what another has staged inherited
// that from it.
func lockFolder(dir string) (*os.File, error) {
	if os.Getenv(stagedVariable) != "" {
		return nil, nil
	}
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return nil, err
	}
	const addFile = 0x2 // FILE_ADD_FILE, to which FILE_SHARE_WRITE applies
	h, err := windows.CreateFile(name, addFile|windows.SYNCHRONIZE, windows.FILE_SHARE_READ|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		err = txn.ErrBusy
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return os.NewFile(uintptr(h), dir), nil
}
