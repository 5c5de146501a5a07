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

// hideTyping has a terminal not show what is typed until show is called.
func hideTyping(tty *os.File) (show func(), err error) {
	was, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *was
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &hidden); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, was) }, nil
}
