package machine

import (
	"fmt"

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
