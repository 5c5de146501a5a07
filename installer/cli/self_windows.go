package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"

	"ss-setup/installer/machine"
)

// selfPath is the file of the running program, which nobody can replace.
var selfPath, _ = os.Executable()

// vanishes tells whether the file of a running program can be removed.
func vanishes() bool { return false }

// become runs another program and ends as it ends. What is held stays so until both
// have ended: the other one may outlive this.
func become(path string, args, env []string, held *os.File) error {
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	if held != nil {
		if err := handOn(cmd, held); err != nil {
			return err
		}
	}
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return err
	}
	leave(path)
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}

// handOn has a program that is to be started hold an open file, too.
func handOn(cmd *exec.Cmd, held *os.File) error {
	h := windows.Handle(held.Fd())
	if err := windows.SetHandleInformation(h, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
		return fmt.Errorf("hand on %s: %w", held.Name(), err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{AdditionalInheritedHandles: []syscall.Handle{syscall.Handle(h)}}
	return nil
}

// leave removes the copy of a program that has ended, where all else that was staged
// with it is gone: it could not remove itself. In an installed folder it stays.
func leave(path string) {
	dir := filepath.Dir(path)
	parent := filepath.Dir(dir)
	if parent != machine.DownloadDir && !strings.HasPrefix(filepath.Base(parent), temporary) {
		return
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		return
	}
	_ = os.RemoveAll(dir)
	_ = os.Remove(parent)
}
