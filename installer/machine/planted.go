package machine

import (
	"errors"
	"fmt"
	"io/fs"
)

// folders is what Windows tells of a folder.
type folders interface {
	// Attributes are the folder's own, never those of what it leads to;
	// fs.ErrNotExist when there is none.
	Attributes(path string) (uint32, error)
	// Owner is the security identifier of whom the folder belongs to.
	Owner(path string) (string, error)
	// User is the security identifier of the account that runs this program.
	User() (string, error)
}

// reparsePoint is FILE_ATTRIBUTE_REPARSE_POINT: a link, a junction, a mounted volume.
const reparsePoint = 0x400

// The well-known identifiers of those who may do everything on every machine.
const (
	systemSID         = "S-1-5-18"
	administratorsSID = "S-1-5-32-544"
)

// planted says why a folder cannot be trusted with what SYSTEM reads and writes;
// empty when it can, or is not there. The owner of a folder may change its access
// list whatever that says, so it must be somebody who may do everything already.
func planted(f folders, path string) (why string, err error) {
	attributes, err := f.Attributes(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", path, err)
	}
	if attributes&reparsePoint != 0 {
		return "it is a link, a junction or a mounted volume, and SYSTEM would write wherever that leads", nil
	}
	owner, err := f.Owner(path)
	if err != nil {
		return "", fmt.Errorf("ask for the owner of %s: %w", path, err)
	}
	user, err := f.User()
	if err != nil {
		return "", fmt.Errorf("ask who runs ss-setup: %w", err)
	}
	switch owner {
	case systemSID, administratorsSID, user:
		return "", nil
	}
	return fmt.Sprintf("it belongs to %s and not to SYSTEM or Administrators, so others decide what is in it", owner), nil
}
