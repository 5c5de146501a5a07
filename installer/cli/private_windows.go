package cli

import (
	"fmt"
	"os"
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
// make folders in ProgramData: one that somebody else has made before, with whatever
// lies in it, is thrown away, and those above it are taken from him.
func makePrivate(dir string) error {
	lists := machine.NewAccessLists()
	for _, f := range []struct {
		path string
		list machine.Folder
	}{
		{machine.StateDir, machine.Folder{Passable: true}}, {machine.SetupDir, machine.Folder{}}, {dir, machine.Folder{}},
	} {
		was, err := lists.Access(f.path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(was, "O:BA") && f.path != dir {
			continue // the list of an administrator stays as he has set it
		}
		if f.path == dir && !strings.HasPrefix(was, "O:BAD:P") {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove a folder that somebody else has made: %w", err)
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
		}
		if err := lists.SetAccess(f.path, f.list.List()); err != nil {
			return err
		}
	}
	return nil
}

// lockFolder does nothing: a file that is open is locked already.
func lockFolder(string) (*os.File, error) { return nil, nil }
