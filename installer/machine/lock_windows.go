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
