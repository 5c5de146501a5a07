package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// NewRegistry is the registry of the machine.
func NewRegistry() Registry { return liveRegistry{} }

type liveRegistry struct{}

// roots are the roots of keys as administrators write them.
var roots = map[string]registry.Key{"HKLM": registry.LOCAL_MACHINE, "HKCU": registry.CURRENT_USER}

func rootOf(key string) (registry.Key, string, error) {
	name, path, _ := strings.Cut(key, `\`)
	root, known := roots[name]
	if !known || path == "" {
		return 0, "", fmt.Errorf("registry key %s does not begin with HKLM or HKCU", key)
	}
	return root, path, nil
}

// view is the one that 64-bit programs see, whatever this program is.
const view = registry.WOW64_64KEY

func openKey(key string, access uint32) (registry.Key, error) {
	root, path, err := rootOf(key)
	if err != nil {
		return 0, err
	}
	k, err := registry.OpenKey(root, path, access|view)
	if isGone(err) {
		return 0, fmt.Errorf("registry key %s: %w", key, fs.ErrNotExist)
	}
	if err != nil {
		return 0, fmt.Errorf("open registry key %s: %w", key, err)
	}
	return k, nil
}

// isGone tells a key that is not there, or that somebody removes while this program
// has it open.
func isGone(err error) bool {
	return errors.Is(err, registry.ErrNotExist) || errors.Is(err, windows.ERROR_KEY_DELETED)
}

// Read tells the values of a key that are texts or numbers; others are not ours.
func (liveRegistry) Read(key string) (map[string]Value, error) {
	k, err := openKey(key, registry.QUERY_VALUE)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	names, err := k.ReadValueNames(-1)
	if isGone(err) {
		return nil, fmt.Errorf("registry key %s: %w", key, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("read registry key %s: %w", key, err)
	}
	values := map[string]Value{}
	for _, name := range names {
		v, ours, err := readValue(k, name)
		if errors.Is(err, windows.ERROR_KEY_DELETED) {
			return nil, fmt.Errorf("registry key %s: %w", key, fs.ErrNotExist)
		}
		if err != nil {
			return nil, fmt.Errorf(`read registry value %s\%s: %w`, key, name, err)
		}
		if ours {
			values[name] = v
		}
	}
	return values, nil
}

func readValue(k registry.Key, name string) (v Value, ours bool, err error) {
	_, kind, err := k.GetValue(name, nil)
	if err != nil {
		return v, false, err
	}
	switch kind {
	case registry.SZ, registry.EXPAND_SZ:
		text, _, err := k.GetStringValue(name)
		return Value{Type: kind, Text: text}, true, err
	case registry.DWORD:
		number, _, err := k.GetIntegerValue(name)
		return Value{Type: kind, Number: uint32(number)}, true, err
	}
	return v, false, nil
}

// Write sets values, flushed.
func (liveRegistry) Write(key string, values map[string]Value) error {
	root, path, err := rootOf(key)
	if err != nil {
		return err
	}
	k, _, err := registry.CreateKey(root, path, registry.SET_VALUE|registry.QUERY_VALUE|view)
	if err != nil {
		return fmt.Errorf("make registry key %s: %w", key, err)
	}
	defer k.Close()
	for name, v := range values {
		switch v.Type {
		case RegText:
			err = k.SetStringValue(name, v.Text)
		case RegExpandable:
			err = k.SetExpandStringValue(name, v.Text)
		case RegNumber:
			err = k.SetDWordValue(name, v.Number)
		default:
			err = fmt.Errorf("values of type %d are not written", v.Type)
		}
		if err != nil {
			return fmt.Errorf(`write registry value %s\%s: %w`, key, name, err)
		}
	}
	return flush(k, key)
}

// Remove removes values, flushed.
func (liveRegistry) Remove(key string, values ...string) error {
	k, err := openKey(key, registry.SET_VALUE|registry.QUERY_VALUE)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer k.Close()
	for _, name := range values {
		if err := k.DeleteValue(name); err != nil && !errors.Is(err, registry.ErrNotExist) {
			return fmt.Errorf(`remove registry value %s\%s: %w`, key, name, err)
		}
	}
	return flush(k, key)
}

// RemoveKey removes a key, flushed with the one above it.
func (liveRegistry) RemoveKey(key string) error {
	i := strings.LastIndexByte(key, '\\')
	if i < 0 {
		return fmt.Errorf("registry key %s has none above it", key)
	}
	parent, err := openKey(key[:i], registry.SET_VALUE|registry.QUERY_VALUE)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := registry.DeleteKey(parent, key[i+1:]); err != nil && !isGone(err) {
		return fmt.Errorf("remove registry key %s: %w", key, err)
	}
	return flush(parent, key)
}

var (
	advapi32        = windows.NewLazySystemDLL("advapi32.dll")
	user32          = windows.NewLazySystemDLL("user32.dll")
	regFlushKey     = advapi32.NewProc("RegFlushKey")
	sendMessageTime = user32.NewProc("SendMessageTimeoutW")
)

// flush has a key written to the disk, with all that was changed before it.
func flush(k registry.Key, name string) error {
	code, _, _ := regFlushKey.Call(uintptr(k))
	if code != 0 && !isGone(windows.Errno(code)) {
		return fmt.Errorf("flush registry key %s: %w", name, windows.Errno(code))
	}
	return nil
}

func flushKey(key string) error {
	k, err := openKey(key, registry.QUERY_VALUE)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer k.Close()
	return flush(k, key)
}

// Announce tells windows that the environment has changed: the shell then starts
// programs with the new one. Nobody may be there to hear it.
func (liveRegistry) Announce() {
	const (
		broadcast     = 0xffff // HWND_BROADCAST
		settingChange = 0x001a // WM_SETTINGCHANGE
		abortIfHung   = 0x0002 // SMTO_ABORTIFHUNG
		patience      = 1000   // milliseconds for each window
	)
	if sendMessageTime.Find() != nil {
		return // Server Core without its user interface
	}
	_, _, _ = sendMessageTime.Call(broadcast, settingChange, 0,
		uintptr(unsafe.Pointer(windows.StringToUTF16Ptr("Environment"))), abortIfHung, patience, 0)
}

// NewAccessLists sets the access lists of the machine.
func NewAccessLists() AccessLists { return liveLists{mayGiveAway, windows.SetNamedSecurityInfo} }

// liveLists are those of the machine. set is its SetNamedSecurityInfo; giveAway takes
// the right to make somebody else the owner of a folder, which an undo may need.
type liveLists struct {
	giveAway func() error
	set      func(path string, kind windows.SE_OBJECT_TYPE, what windows.SECURITY_INFORMATION, owner, group *windows.SID, dacl, sacl *windows.ACL) error
}

// Access reads the list of a file or folder.
func (liveLists) Access(path string) (string, error) {
	d, err := windows.GetNamedSecurityInfo(longPath(path), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return "", fmt.Errorf("read the access list of %s: %w", path, err)
	}
	return d.String(), nil
}

// SetAccess sets the list of a file or folder; what is below inherits it.
func (l liveLists) SetAccess(path, list string) error {
	d, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		return fmt.Errorf("access list %s: %w", list, err)
	}
	dacl, _, err := d.DACL()
	if err != nil {
		return fmt.Errorf("access list %s: %w", list, err)
	}
	control, _, err := d.Control()
	if err != nil {
		return fmt.Errorf("access list %s: %w", list, err)
	}
	what := windows.SECURITY_INFORMATION(windows.DACL_SECURITY_INFORMATION)
	if control&windows.SE_DACL_PROTECTED != 0 {
		what |= windows.PROTECTED_DACL_SECURITY_INFORMATION
	} else {
		what |= windows.UNPROTECTED_DACL_SECURITY_INFORMATION
	}
	owner, _, err := d.Owner()
	if err != nil {
		return fmt.Errorf("access list %s: %w", list, err)
	}
	if owner != nil {
		what |= windows.OWNER_SECURITY_INFORMATION
	}
	set := func() error { return l.set(longPath(path), windows.SE_FILE_OBJECT, what, owner, nil, dacl, nil) }
	err = set()
	if errors.Is(err, windows.ERROR_INVALID_OWNER) {
		if err = l.giveAway(); err == nil {
			err = set()
		}
	}
	if err != nil {
		return fmt.Errorf("set the access list of %s: %w", path, err)
	}
	return nil
}

// mayGiveAway enables the right to restore files with their owners, which SYSTEM and
// Administrators have and do not use by default.
func mayGiveAway() error {
	var right windows.LUID
	if err := windows.LookupPrivilegeValue(nil, windows.StringToUTF16Ptr("SeRestorePrivilege"), &right); err != nil {
		return err
	}
	var token windows.Token
	if err := windows.OpenProcessToken(windows.CurrentProcess(), windows.TOKEN_ADJUST_PRIVILEGES|windows.TOKEN_QUERY, &token); err != nil {
		return err
	}
	defer token.Close()
	rights := windows.Tokenprivileges{PrivilegeCount: 1}
	rights.Privileges[0] = windows.LUIDAndAttributes{Luid: right, Attributes: windows.SE_PRIVILEGE_ENABLED}
	return windows.AdjustTokenPrivileges(token, false, &rights, 0, nil, nil)
}
