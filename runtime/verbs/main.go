// Package verbs is the command line that the programs of a release share: how they
// answer wrong usage, with which code they end, and the verbs every store has
// (migrate, check, selftest) besides version.
//
// ss-setup calls these verbs and decides by the exit codes; they are a contract
// between releases, because the ss-setup of one release runs the programs of another.
package verbs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/store"
)

// Exit codes of the programs.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNoStore     = 20
	ExitNewerSchema = 21
	ExitOlderSchema = 22
	ExitCorrupt     = 23
	// ExitInconsistent: repair makes anew what does not fit.
	ExitInconsistent = 24
)

// ErrUsage marks what the caller typed wrongly.
var ErrUsage = errors.New("wrong usage")

// Main runs a program and returns its exit code. Errors go to stderr as one line,
// named after the program, as admins find them in their logs.
func Main(app *cli.App, args []string) int {
	// Who reads our output may go away; a migration or a server must not die of it.
	signal.Ignore(syscall.SIGPIPE)
	prepare(app)
	err := app.Run(args)
	if err != nil && !errors.As(err, &logged{}) {
		fmt.Fprintf(errOut(app), "%s: %v\n", app.Name, err)
	}
	return ExitCode(err)
}

// Logged marks an error that the log has told already, so that Main does not print it
// a second time.
func Logged(err error) error {
	if err == nil {
		return nil
	}
	return logged{err}
}

type logged struct{ error }

func (l logged) Unwrap() error { return l.error }

// ExitCode is the code a program ends with for err.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return ExitDone
	case errors.Is(err, ErrUsage):
		return ExitUsage
	case errors.Is(err, store.ErrNoStore):
		return ExitNoStore
	case errors.Is(err, store.ErrNewerSchema):
		return ExitNewerSchema
	case errors.Is(err, store.ErrOlderSchema):
		return ExitOlderSchema
	case errors.Is(err, store.ErrCorrupt):
		return ExitCorrupt
	case errors.Is(err, store.ErrInconsistent):
		return ExitInconsistent
	}
	return ExitFailed
}

// prepare makes every wrong word on the command line an ErrUsage that names the cure.
func prepare(app *cli.App) {
	app.HideVersion = true
	app.HideHelpCommand = true
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.OnUsageError = usageError(app.Name)
	if app.Action == nil {
		app.Action = noVerb
	}
	app.Action = exactArgs(app.Action, "")
	for _, c := range app.Commands {
		prepareCommand(app.Name, c)
	}
}

func prepareCommand(parent string, c *cli.Command) {
	name := parent + " " + c.Name
	c.HideHelpCommand = true
	c.OnUsageError = usageError(name)
	for _, sub := range c.Subcommands {
		prepareCommand(name, sub)
	}
	if c.Action == nil {
		c.Action = noVerb
	}
	c.Action = exactArgs(c.Action, c.ArgsUsage)
	c.Before = required(name, c)
}

// required refuses a verb without one of its required flags. cli would do it too, but
// print the whole help and not say which verb.
func required(name string, c *cli.Command) cli.BeforeFunc {
	var flags []string
	for _, f := range c.Flags {
		if s, ok := f.(*cli.StringFlag); ok && s.Required {
			s.Required = false
			flags = append(flags, s.Name)
		}
	}
	return func(c *cli.Context) error {
		for _, f := range flags {
			if c.String(f) == "" {
				return fmt.Errorf("%w: --%s is missing; %s --help explains it", ErrUsage, f, name)
			}
		}
		return nil
	}
}

func usageError(name string) cli.OnUsageErrorFunc {
	return func(_ *cli.Context, err error, _ bool) error {
		return fmt.Errorf("%w: %w; %s --help lists what there is", ErrUsage, err, name)
	}
}

func noVerb(c *cli.Context) error {
	return fmt.Errorf("%w: a verb is missing; %s --help lists them", ErrUsage, fullName(c))
}

// exactArgs refuses arguments beyond those that usage names ("KEY SIZE").
func exactArgs(action cli.ActionFunc, usage string) cli.ActionFunc {
	want := len(strings.Fields(usage))
	return func(c *cli.Context) error {
		if c.NArg() == want {
			return action(c)
		}
		if c.NArg() < want {
			return fmt.Errorf("%w: %s needs %s", ErrUsage, fullName(c), usage)
		}
		return fmt.Errorf("%w: %q is not a verb or flag; %s --help lists what there is", ErrUsage, c.Args().Get(want), fullName(c))
	}
}

func fullName(c *cli.Context) string {
	if c.Command == nil || c.Command.Name == "" || c.Command.Name == c.App.Name {
		return c.App.Name
	}
	return c.App.Name + " " + c.Command.Name
}

func errOut(app *cli.App) io.Writer {
	if app.ErrWriter != nil {
		return app.ErrWriter
	}
	return os.Stderr
}
