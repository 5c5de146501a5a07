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
	"slices"
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
	ExitCancelled   = 4
	ExitRefused     = 7
	ExitNoStore     = 20
	ExitNewerSchema = 21
	ExitOlderSchema = 22
	ExitCorrupt     = 23
	// ExitInconsistent: repair makes anew what does not fit.
	ExitInconsistent = 24
)

// ErrUsage marks what the caller typed wrongly.
var ErrUsage = errors.New("wrong usage")

// ErrCancelled marks that somebody who was asked said no, ErrRefused that nobody was there
// to be asked. Nothing was changed.
var (
	ErrCancelled = errors.New("cancelled; nothing was changed")
	ErrRefused   = errors.New("nothing was changed")
)

// Main runs a program and returns its exit code. Errors go to stderr as one line,
// named after the program, as admins find them in their logs.
func Main(app *cli.App, args []string) int {
	// Who reads our output may go away; a migration or a server must not die of it.
	signal.Ignore(syscall.SIGPIPE)
	prepare(app)
	err := app.Run(flagsFirst(app.Commands, args))
	if err != nil && !errors.As(err, &logged{}) {
		fmt.Fprintf(errOut(app), "%s: %v\n", app.Name, err)
	}
	return ExitCode(err)
}

// flagsFirst puts the flags of a verb before its arguments, where cli wants them, so that
// `backup FILE --passphrase-file P` means what it says. args begins with the program.
func flagsFirst(commands []*cli.Command, args []string) []string {
	if len(args) < 2 {
		return args
	}
	i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[1]) })
	if i < 0 {
		return args
	}
	command, rest := commands[i], args[2:]
	if len(command.Subcommands) > 0 {
		return append(args[:1:1], flagsFirst(command.Subcommands, args[1:])...)
	}
	var flags, words []string
	for len(rest) > 0 {
		n := 1
		switch {
		case rest[0] == "--":
			return slices.Concat(args[:2], flags, []string{"--"}, words, rest[1:])
		case !strings.HasPrefix(rest[0], "-") || rest[0] == "-":
			words, rest = append(words, rest[0]), rest[1:]
			continue
		case takesValue(command, rest[0]):
			n = min(2, len(rest))
		}
		flags, rest = append(flags, rest[:n]...), rest[n:]
	}
	return slices.Concat(args[:2], flags, words)
}

// takesValue tells whether the word behind a flag belongs to it.
func takesValue(command *cli.Command, flag string) bool {
	name := strings.TrimLeft(flag, "-")
	i := slices.IndexFunc(command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		return false
	}
	with, ok := command.Flags[i].(cli.DocGenerationFlag)
	return ok && with.TakesValue()
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
	case errors.Is(err, ErrCancelled):
		return ExitCancelled
	case errors.Is(err, ErrRefused):
		return ExitRefused
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
		app.Action = noVerb(app.Name)
	}
	app.Action = exactArgs(app.Name, app.Action, "")
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
		c.Action = noVerb(name)
	}
	c.Action = exactArgs(name, c.Action, c.ArgsUsage)
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

func noVerb(name string) cli.ActionFunc {
	return func(*cli.Context) error {
		return fmt.Errorf("%w: a verb is missing; %s --help lists them", ErrUsage, name)
	}
}

// exactArgs refuses arguments beyond those that usage names ("KEY SIZE").
func exactArgs(name string, action cli.ActionFunc, usage string) cli.ActionFunc {
	want := len(strings.Fields(usage))
	return func(c *cli.Context) error {
		if c.NArg() == want {
			return action(c)
		}
		if c.NArg() < want {
			return fmt.Errorf("%w: %s needs %s", ErrUsage, name, usage)
		}
		return fmt.Errorf("%w: %q is not a verb or flag; %s --help lists what there is", ErrUsage, c.Args().Get(want), name)
	}
}

func errOut(app *cli.App) io.Writer {
	if app.ErrWriter != nil {
		return app.ErrWriter
	}
	return os.Stderr
}
