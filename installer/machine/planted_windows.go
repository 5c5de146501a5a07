package machine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Planted says why a folder cannot be trusted with what SYSTEM reads and writes;
// empty when it can, or is not there. Every user may make folders in ProgramData.
func Planted(f *FS, path string) (why string, err error) { return planted(liveFolders{}, f.Real(path)) }

type liveFolders struct{}

// Attributes implements folders. Windows' errors for what is not there are
// fs.ErrNotExist.
func (liveFolders) Attributes(path string) (uint32, error) {
	name, err := windows.UTF16PtrFromString(longPath(path))
	if err != nil {
		return 0, err
	}
	return windows.GetFileAttributes(name)
}

// Owner implements folders.
func (liveFolders) Owner(path string) (string, error) {
	d, err := windows.GetNamedSecurityInfo(longPath(path), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return "", err
	}
	owner, _, err := d.Owner()
	if err != nil {
		return "", err
	}
	if owner == nil {
		return "", fmt.Errorf("%s has no owner", path)
	}
	return owner.String(), nil
}

// User implements folders.
func (liveFolders) User() (string, error) {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return "", err
	}
	return u.User.Sid.String(), nil
}

// Grants implements folders. A folder without a list lets everybody do everything.
func (liveFolders) Grants(path string) ([]Grant, error) {
	d, err := windows.GetNamedSecurityInfo(longPath(path), windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return nil, err
	}
	return grantsOf(d)
}

// conditionalAllowed is ACCESS_ALLOWED_CALLBACK_ACE_TYPE, an entry that holds under a
// condition.
const conditionalAllowed = 0x9

// grantsOf lists what the access list of a descriptor allows.
func grantsOf(d *windows.SECURITY_DESCRIPTOR) ([]Grant, error) {
	list, _, err := d.DACL()
	if errors.Is(err, windows.ERROR_OBJECT_NOT_FOUND) || err == nil && list == nil {
		return []Grant{{Who: "S-1-1-0", Rights: fullControl}}, nil
	}
	if err != nil {
		return nil, err
	}
	var found []Grant
	for i := range list.AceCount {
		var entry *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, uint32(i), &entry); err != nil {
			return nil, err
		}
		switch entry.Header.AceType {
		case windows.ACCESS_ALLOWED_ACE_TYPE, conditionalAllowed: // of the same shape to the identifier
			who := (*windows.SID)(unsafe.Pointer(&entry.SidStart))
			found = append(found, Grant{Who: who.String(), Rights: uint32(entry.Mask)})
		case windows.ACCESS_DENIED_ACE_TYPE:
		default:
			return nil, fmt.Errorf("its entry %d is of a type that files do not have (%d)", i, entry.Header.AceType)
		}
	}
	return found, nil
}

// MakeStateDir makes the folder of all that is not a program, with its access list
// from its first instant: every user may make files in the folder above. One that is
// there stays as it is, whose it is must be asked afterwards.
func MakeStateDir(*FS) error {
	err := makeFolder(StateDir, Folder{Passable: true}.List(), windows.CreateDirectory)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// MakePrivate makes a folder that nobody but SYSTEM and Administrators gets into;
// one that is there is an error that matches fs.ErrExist.
func MakePrivate(path string) error {
	return makeFolder(path, Folder{}.List(), windows.CreateDirectory)
}

// makeFolder makes a folder with an access list in one call. create is Windows'
// CreateDirectory.
func makeFolder(path, list string, create func(*uint16, *windows.SecurityAttributes) error) error {
	descriptor, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		return fmt.Errorf("access list %s: %w", list, err)
	}
	name, err := windows.UTF16PtrFromString(longPath(path))
	if err != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	attributes := windows.SecurityAttributes{SecurityDescriptor: descriptor}
	attributes.Length = uint32(unsafe.Sizeof(attributes))
	if err := create(name, &attributes); err != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// MakePrivateTemp makes a private folder with a name of its own, which begins with
// prefix, where temporary files lie.
func MakePrivateTemp(prefix string) (string, error) {
	for range 100 {
		dir := filepath.Join(os.TempDir(), prefix+rand.Text())
		err := MakePrivate(dir)
		if !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
	}
	return "", fmt.Errorf("make a folder in %s: no free name", os.TempDir())
}
