package cli

import (
	"errors"
	"os"
	"os/exec"
)

// selfPath is the file of the running program, which nobody can replace.
var selfPath, _ = os.Executable()

// become runs another program and ends as it ends.
func become(path string, args, env []string) error {
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return err
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}
