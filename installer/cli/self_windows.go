package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ss-setup/installer/machine"
)

// selfPath is the file of the running program, which nobody can replace.
var selfPath, _ = os.Executable()

// vanishes tells whether the file of a running program can be removed.
func vanishes() bool { return false }

// become runs another program and ends as it ends.
func become(path string, args, env []string) error {
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return err
	}
	leave(path)
	os.Exit(cmd.ProcessState.ExitCode())
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
