package cli

import (
	"os"

	"golang.org/x/sys/windows"
)

// ttyPath is the console that the process belongs to.
const ttyPath = "CONIN$"

// inForeground is always true: a console has no jobs.
func inForeground(*os.File) bool { return true }

// hideTyping has a console not show what is typed until show is called.
func hideTyping(tty *os.File) (show func(), err error) {
	h := windows.Handle(tty.Fd())
	var was uint32
	if err := windows.GetConsoleMode(h, &was); err != nil {
		return nil, err
	}
	if err := windows.SetConsoleMode(h, was&^windows.ENABLE_ECHO_INPUT); err != nil {
		return nil, err
	}
	return func() { _ = windows.SetConsoleMode(h, was) }, nil
}
