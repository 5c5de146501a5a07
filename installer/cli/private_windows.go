package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ss-setup/installer/machine"
)

// morePlaces are none: no disk forbids programs.
var morePlaces []string

// private tells a folder, and no link to one. Who may change it is for its access list
// to say.
func private(dir string) bool {
	info, err := os.Lstat(dir)
	return err == nil && info.IsDir()
}

// makePrivate lets nobody but administrators into a folder for downloads. Everybody may
// make folders and files below ProgramData: what may be somebody else's is thrown away,
// the folder and what was put into it before it had its list.
func makePrivate(dir string) error {
	lists := machine.NewAccessLists()
	was, err := lists.Access(dir)
	if err != nil {
		return err
	}
	if strings.HasPrefix(was, "O:BAD:P") { // of Administrators, and protected
		return nil
	}
	err = os.RemoveAll(dir)
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		err = lists.SetAccess(dir, machine.Folder{}.List())
	}
	if err == nil {
		err = empty(dir)
	}
	if err != nil {
		return fmt.Errorf("make a folder that nobody else can write into: %w", err)
	}
	return nil
}

// empty removes all that is in a folder.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// lockFolder does nothing: a file that is open is locked already.
func lockFolder(string) (*os.File, error) { return nil, nil }
