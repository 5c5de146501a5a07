package machine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// MutexName is the name in the whole machine of a lock. A mutex has no folder, so
// it is there before anything is installed and leaves nothing behind.
func MutexName(lock string) string {
	return `Global\` + strings.ReplaceAll(lock, `\`, "/")
}

// lockList lets SYSTEM and Administrators use a lock. What stands for a process's own
// objects otherwise lets in whoever is logged on in the same session.
const lockList = "O:BAD:P(A;;GA;;;SY)(A;;GA;;;BA)"

// OpenLock makes or opens the mutex of a lock. Every user may make one of any name: one
// that is not of those who may do everything, or of this account, is refused.
func OpenLock(lock string) (windows.Handle, error) {
	return openLock(lock, lockList)
}

func openLock(lock, list string) (windows.Handle, error) {
	descriptor, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		return 0, fmt.Errorf("access list %s: %w", list, err)
	}
	attributes := windows.SecurityAttributes{SecurityDescriptor: descriptor}
	attributes.Length = uint32(unsafe.Sizeof(attributes))
	h, err := windows.CreateMutex(&attributes, false, windows.StringToUTF16Ptr(MutexName(lock)))
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return 0, fmt.Errorf("somebody else has made %s: %w; log users off, or restart the machine", MutexName(lock), err)
	}
	if err != nil && !errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		return 0, err
	}
	owner, err := ownerOf(h)
	if err == nil && !trusted(owner) {
		err = fmt.Errorf("%s belongs to %s, who made it to keep ss-setup from running; log that user off, or restart the machine", MutexName(lock), owner)
	}
	if err != nil {
		return 0, errors.Join(err, windows.CloseHandle(h))
	}
	return h, nil
}

func ownerOf(object windows.Handle) (string, error) {
	d, err := windows.GetSecurityInfo(object, windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return "", fmt.Errorf("ask for its owner: %w", err)
	}
	owner, _, err := d.Owner()
	if err != nil || owner == nil {
		return "", errors.Join(errors.New("it has no owner"), err)
	}
	return owner.String(), nil
}

// trusted tells SYSTEM, Administrators and the account that runs this program.
func trusted(sid string) bool {
	if sid == systemSID || sid == administratorsSID {
		return true
	}
	user, err := liveFolders{}.User()
	return err == nil && sid == user
}

// holderKey is where the holder of a lock says who it is. It is volatile: the
// restart that ends the holder empties it.
func holderKey(lock string) string {
	return `SOFTWARE\SS Server setup run (` + strings.ReplaceAll(lock, `\`, "/") + `)`
}

// NoteHolder says that this process has a lock, for messages only.
func NoteHolder(lock string) error {
	k, err := createVolatileKey(holderKey(lock))
	if err != nil {
		return err
	}
	defer k.Close()
	return errors.Join(
		k.SetDWordValue("process", uint32(os.Getpid())),
		k.SetStringValue("command", CommandLine(os.Args)))
}

// ForgetHolder takes back what NoteHolder said.
func ForgetHolder(lock string) {
	_ = registry.DeleteKey(registry.LOCAL_MACHINE, holderKey(lock))
}

// LockHolder tells whether somebody holds a lock and, if that is told, who.
func LockHolder(_ *FS, lock string) (pid int, held bool, err error) {
	h, err := windows.OpenMutex(windows.SYNCHRONIZE, false, windows.StringToUTF16Ptr(MutexName(lock)))
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look at the lock %s: %w", lock, err)
	}
	defer windows.CloseHandle(h)
	// A mutex belongs to a thread, not to a process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	event, err := windows.WaitForSingleObject(h, 0)
	if err != nil {
		return 0, false, fmt.Errorf("look at the lock %s: %w", lock, err)
	}
	if event == windows.WAIT_OBJECT_0 || event == windows.WAIT_ABANDONED {
		return 0, false, windows.ReleaseMutex(h)
	}
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, holderKey(lock), registry.QUERY_VALUE)
	if err != nil {
		return 0, true, nil
	}
	defer k.Close()
	number, _, err := k.GetIntegerValue("process")
	if err != nil {
		return 0, true, nil
	}
	return int(number), true, nil
}

// HolderCommand is the command line of a process that holds a lock.
func HolderCommand(lock string, pid int) string {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, holderKey(lock), registry.QUERY_VALUE)
	if err != nil {
		return ""
	}
	defer k.Close()
	number, _, err := k.GetIntegerValue("process")
	if err != nil || int(number) != pid {
		return ""
	}
	command, _, err := k.GetStringValue("command")
	if err != nil {
		return ""
	}
	return command
}

var regCreateKeyEx = advapi32.NewProc("RegCreateKeyExW")

func createVolatileKey(path string) (registry.Key, error) {
	const volatile = 1 // REG_OPTION_VOLATILE
	var k registry.Key
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	code, _, _ := regCreateKeyEx.Call(uintptr(registry.LOCAL_MACHINE), uintptr(unsafe.Pointer(name)), 0, 0, volatile,
		uintptr(registry.SET_VALUE|view), 0, uintptr(unsafe.Pointer(&k)), 0)
	if code != 0 {
		return 0, fmt.Errorf("make registry key %s: %w", path, windows.Errno(code))
	}
	return k, nil
}
