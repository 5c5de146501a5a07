package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
)

// frontVariable names the program that runs this one for a person: the wizard. It
// finds out by itself what is to be done, so it needs neither verb nor flags.
const frontVariable = "SS_SETUP_FRONT_END"

// frontEnd is that program, ready for a shell; empty when there is none.
func frontEnd() string {
	if name := os.Getenv(frontVariable); name != "" {
		return shellProgram(name)
	}
	return ""
}

// cancelWord is the line by which a front end asks for the end of a run.
const cancelWord = "cancel"

// untilCancelled ends ctx when the front end asks for that. A front end that goes away
// ends nothing.
func (s *session) untilCancelled(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if s.streams.Front != nil {
		go func() {
			for lines := bufio.NewScanner(s.streams.Front); lines.Scan(); {
				if strings.TrimSpace(lines.Text()) == cancelWord {
					cancel(fmt.Errorf("%w by the user", errCancelled))
				}
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}
