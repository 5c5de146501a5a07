package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
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
	// Grants are the entries of the folder's access list that allow something; nil
	// with no error is a list that allows nothing.
	Grants(path string) ([]Grant, error)
}

// Grant is an entry of an access list that allows somebody something.
type Grant struct {
	// Who is a security identifier.
	Who string
	// Rights are numbered as Windows does.
	Rights uint32
}

// reparsePoint is FILE_ATTRIBUTE_REPARSE_POINT: a link, a junction, a mounted volume.
const reparsePoint = 0x400

// The well-known identifiers of those who may do everything on every machine.
const (
	systemSID         = "S-1-5-18"
	administratorsSID = "S-1-5-32-544"
	ownerRightsSID    = "S-1-3-4"
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
	default:
		return fmt.Sprintf("it belongs to %s and not to SYSTEM or Administrators, so others decide what is in it", owner), nil
	}
	grants, err := f.Grants(path)
	if err != nil {
		return "", fmt.Errorf("read the access list of %s: %w", path, err)
	}
	for _, g := range grants {
		if isCrowd(g.Who) && g.Rights&toPlant != 0 {
			return fmt.Sprintf("its access list lets %s put something into it or take it over", g.Who), nil
		}
	}
	return "", nil
}

// toPlant are the rights by which somebody gets something into a folder: to add
// files, to add folders, to remove what is in it, to remove or rename it, to change
// its list or its owner, and those that stand for several of them.
const toPlant = 0x2 | 0x4 | 0x40 | 0x10000 | 0x40000 | 0x80000 | 0x10000000 | 0x40000000

// isCrowd tells the identifiers under which everybody is: Everyone, the ways in which
// users are logged on, Guests and Users of the machine and of its domain. What an
// administrator grants somebody by name is meant.
func isCrowd(sid string) bool {
	switch sid {
	case "S-1-1-0", "S-1-5-2", "S-1-5-3", "S-1-5-4", "S-1-5-7", "S-1-5-11", "S-1-5-14", "S-1-5-15",
		"S-1-5-32-545", "S-1-5-32-546", "S-1-5-113", "S-1-2-0", "S-1-2-1":
		return true
	}
	domain, account := strings.HasPrefix(sid, "S-1-5-21-"), sid[strings.LastIndexByte(sid, '-')+1:]
	return domain && (account == "513" || account == "514" || account == "501")
}
