// Bare runs a command line in a folder as software distribution does for SYSTEM: with
// nothing in the environment but where Windows lies. It prints how the program ended.
//
//	bare DIR COMMAND...            all rights
//	bare -restricted DIR COMMAND...    Administrators held back, as UAC does it
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

func main() {
	args := os.Args[1:]
	attributes := &syscall.SysProcAttr{}
	if args[0] == "-restricted" {
		args, attributes.Token = args[1:], syscall.Token(restricted())
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = args[0], []string{"SystemRoot=" + os.Getenv("SystemRoot")}, attributes
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Printf("\nended with %d\n", cmd.ProcessState.ExitCode())
}

func restricted() windows.Token {
	var own, held windows.Token
	if err := windows.OpenProcessToken(windows.CurrentProcess(), windows.TOKEN_ALL_ACCESS, &own); err != nil {
		panic(err)
	}
	sid, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		panic(err)
	}
	const withoutPrivileges = 1 // DISABLE_MAX_PRIVILEGE
	deny := windows.SIDAndAttributes{Sid: sid}
	create := windows.NewLazySystemDLL("advapi32.dll").NewProc("CreateRestrictedToken")
	ok, _, err := create.Call(uintptr(own), withoutPrivileges, 1, uintptr(unsafe.Pointer(&deny)), 0, 0, 0, 0, uintptr(unsafe.Pointer(&held)))
	if ok == 0 {
		panic(err)
	}
	return held
}
