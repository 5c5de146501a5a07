package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// ttyPath is the terminal that the process belongs to.
const ttyPath = "/dev/tty"

// inForeground tells whether reading from the terminal is this process's turn:
// one in the background would be stopped for trying.
func inForeground(tty *os.File) bool {
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
