package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Runner runs one command of the system and returns what it printed, both
// streams together. A command that ends with another status than 0 is a
// *CommandError. The context bounds it in time.
type Runner func(ctx context.Context, argv ...string) (string, error)

// CommandError is a command that ran and failed, or was ended for its time.
type CommandError struct {
	Argv []string
	// Code is the exit status, -1 when a signal ended the command.
	Code   int
	Output string
	// Cause is the context's error when its end stopped the command.
	Cause error
}

// Error names the command as it would be typed, and what it said.
func (e *CommandError) Error() string {
	text := "run " + strings.Join(e.Argv, " ")
	switch {
	case e.Cause != nil:
		text += ": " + e.Cause.Error()
	case e.Code < 0:
		text += ": ended by a signal"
	default:
		text += fmt.Sprintf(": exit status %d", e.Code)
	}
	if said := strings.TrimSpace(e.Output); said != "" {
		text += ": " + said
	}
	return text
}

// Unwrap is the context's error, if that ended the command.
func (e *CommandError) Unwrap() error { return e.Cause }

// ExitCode tells the exit status in err, -1 when there is none.
func ExitCode(err error) int {
	if failed, ok := errors.AsType[*CommandError](err); ok {
		return failed.Code
	}
	return -1
}

// commandEnv is all that a command gets: nothing of the caller's environment
// may reach an init script, and messages are to be the untranslated ones.
var commandEnv = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"LC_ALL=C",
	"HOME=/",
	"TERM=dumb",
}

// outputKept is how much of a command's output is read back.
const outputKept = 1 << 20

// runCommand is the Runner of a running machine. The command gets a process
// group of its own, so that a ^C meant for ss-setup does not reach it and so
// that the whole group can be ended with it. Its output goes to memory that is a
// file, not through a pipe: an init script's daemon may inherit it and must
// neither hold us up nor die of SIGPIPE.
func runCommand(ctx context.Context, argv ...string) (string, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("run %s: %w", argv[0], err)
	}
	out := os.NewFile(uintptr(fd), "output")
	defer out.Close()

	path, err := lookPath(argv[0])
	if err != nil {
		return "", fmt.Errorf("run %s: %w", argv[0], err)
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env = commandEnv
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	err = cmd.Run()
	if _, seekErr := out.Seek(0, io.SeekStart); seekErr != nil {
		return "", errors.Join(err, seekErr)
	}
	said, readErr := io.ReadAll(io.LimitReader(out, outputKept))
	if err == nil {
		return string(said), readErr
	}
	if _, ran := errors.AsType[*exec.ExitError](err); !ran && ctx.Err() == nil {
		return "", fmt.Errorf("run %s: %w", argv[0], err)
	}
	return string(said), &CommandError{
		Argv: argv, Code: cmd.ProcessState.ExitCode(), Output: string(said), Cause: ctx.Err(),
	}
}

// lookPath searches the folders of commandEnv, not those of the caller's PATH,
// which need not have the sbin folders and may have others.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range strings.Split(strings.TrimPrefix(commandEnv[0], "PATH="), ":") {
		path := dir + "/" + name
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}
