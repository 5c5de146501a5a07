package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	setup "ss-setup/runtime/setup/answers"
	"ss-setup/runtime/version"
)

// ending is how a verb ended that did what it was asked for.
type ending struct {
	Result
	message string
}

// Main runs ss-setup with the arguments after the program's name and returns the
// number to exit with.
func Main(args []string, st Streams) int {
	// Nobody reading is no reason to stop half way: a write then fails, and says so
	// to nobody. Notify, unlike Ignore, is not inherited by programs started here.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	p := &programme{args: args, streams: st}
	app := p.app()
	err := app.Run(append([]string{program}, p.arranged(app)...))
	if err == nil {
		return p.exit.Number()
	}
	f := failureOf(err, PutBack)
	if !p.told {
		p.tell(f)
	}
	return f.Exit.Number()
}

// programme is one call of the program.
type programme struct {
	args    []string
	streams Streams
	exit    Exit
	// told: the failure has been shown already, with the result.
	told bool
}

// arranged is the command line with the verb's flags before its arguments.
func (p *programme) arranged(app *cli.App) []string {
	if len(p.args) == 0 {
		return nil
	}
	verb := app.Command(p.args[0])
	if verb == nil || verb.SkipFlagParsing {
		return p.args
	}
	return append([]string{p.args[0]}, flagsFirst(verb, p.args[1:])...)
}

// tell shows a failure that came before there was a console: wrong usage.
func (p *programme) tell(f *Failure) {
	e := Event{Event: eventResult, Level: levelError, Message: f.Error(), Result: &Result{
		ExitCode: f.Exit.Number(), Outcome: outcomeRefused, Cure: f.Cure,
	}}
	out := outputPlain
	if p.wantsJSON() {
		out = outputJSON
	}
	newConsole(p.streams, out, false, time.Now).emit(e)
}

// wantsJSON looks for --output json in a command line that could not be read.
func (p *programme) wantsJSON() bool {
	i := slices.Index(p.args, "--output")
	if i >= 0 && i+1 < len(p.args) {
		return p.args[i+1] == string(outputJSON)
	}
	return slices.Contains(p.args, "--output=json") || os.Getenv(envPrefix+"OUTPUT") == string(outputJSON)
}

func (p *programme) app() *cli.App {
	app := &cli.App{
		Name: program, HelpName: program, Version: version.Version,
		Usage:           "install, update, repair and remove SS Server",
		Writer:          p.streams.Out,
		ErrWriter:       p.streams.Err,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {},
		OnUsageError:    func(c *cli.Context, err error, _ bool) error { return unknownFlag(c, err, p.args) },
		Action:          noVerb,
	}
	app.UseShortOptionHandling = true
	app.Commands = p.verbs()
	for _, verb := range app.Commands {
		verb.HideHelpCommand = true
		verb.OnUsageError = app.OnUsageError
	}
	return app
}

func (p *programme) verbs() []*cli.Command {
	return []*cli.Command{
		p.verb("install", "install, update or repair, whatever is to be done here", installFlags(), (*session).install),
		p.verb("uninstall", "remove SS Server; its data stay unless --purge is given", uninstallFlags(), (*session).uninstall),
		p.verb("rollback", "go back to the previous generation: release and data", changeFlags(), (*session).rollback),
		p.verb(moveOutVerb, "stop serving here and put what moves to another machine into a new FOLDER", moveOutFlags(), (*session).moveOut),
		p.verb(moveInVerb, "install with everything that another machine had, from the FOLDER of its move-out", moveInFlags(), (*session).moveIn),
		p.verb("forget", "remove a generation that was set aside", changeFlags(), (*session).forget),
		p.verb("recover", "finish or undo an interrupted run", recoverFlags(), (*session).recover),
		p.reading("status", "what is installed, and how it is", jsonFlags(), (*session).status),
		p.reading("verify", "compare every installed file with the receipt", jsonFlags(), (*session).verify),
		p.reading("check-update", "ask the repository for a newer release", checkUpdateFlags(), (*session).checkUpdate),
		p.supportBundle(),
		p.completion(),
		p.supervise(),
	}
}

// verb is one that changes the machine.
func (p *programme) verb(name, usage string, flags []cli.Flag, do func(*session, context.Context) (*ending, error)) *cli.Command {
	c := &cli.Command{Name: name, Usage: usage, Flags: flags}
	var first *setup.Answers
	c.Before = func(c *cli.Context) error {
		if err := checkEmpty(c, p.args); err != nil {
			return err
		}
		var err error
		if first, err = takeAnswers(c); err != nil {
			return err
		}
		if err := checkFlags(c, p.args); err != nil || arguments[name] != "" {
			return err
		}
		return noArguments(c, p.args)
	}
	c.Action = func(c *cli.Context) error {
		set, err := readSettings(c, p.args, first)
		if err != nil {
			return err
		}
		switch name {
		case "forget":
			set.generation, err = oneGeneration(c)
		case moveOutVerb, moveInVerb:
			set.folder, err = oneFolder(c)
		}
		if err != nil {
			return err
		}
		return p.perform(set, c.App, do)
	}
	c.ArgsUsage = arguments[name]
	return c
}

// arguments are what verbs take besides flags.
var arguments = map[string]string{"forget": "NUMBER", moveOutVerb: "FOLDER", moveInVerb: "FOLDER"}

// perform runs a verb under the signals that end it, and tells how it ended.
func (p *programme) perform(set settings, app *cli.App, do func(*session, context.Context) (*ending, error)) error {
	s := newSession(set, p.streams)
	defer s.close()
	if err := s.startNamedLog(); err != nil {
		return err
	}
	ctx, stop := s.signals()
	defer stop()
	s.log.Info("begin", "version", version.Version, "verb", set.verb, "arguments", strings.Join(set.args, " "), "user", user())
	if !s.guard && !s.boot {
		s.tellVariables(app)
	}
	err := s.openToChange()
	var end *ending
	if err == nil {
		end, err = do(s, ctx)
	}
	if err != nil {
		f := failureOf(err, PutBack)
		if _, known := errors.AsType[*Failure](err); !known {
			if early := cancelled(ctx); early != nil {
				f = early
			}
		}
		p.told = true
		s.tellFailure(end, f)
		return f
	}
	if s.restart {
		p.exit, end.ExitCode = DoneRestart, DoneRestart.Number()
	}
	s.tellEnding(end)
	return nil
}

// tellVariables warns of misspelt environment variables, once: the ss-setup that a
// package brings need not say it again.
func (s *session) tellVariables(app *cli.App) {
	if os.Getenv(stagedVariable) != "" {
		return
	}
	for _, text := range unknownVariables(app, os.Environ()) {
		s.warn(text)
	}
}

// signals ends ctx on the signals that ask a run to end; it is put back then.
// One that watches over others may die at any time, so it just does.
func (s *session) signals() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	if s.guard || s.boot {
		return ctx, func() { cancel(nil) }
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(asked, syscall.SIGHUP)
	}
	go func() {
		for sig := range asked {
			if ctx.Err() == nil {
				cancel(fmt.Errorf("%w by %s", errCancelled, signalName(sig)))
				continue
			}
			s.warn("everything is being put back already; wait for its end")
		}
	}()
	return ctx, func() {
		signal.Stop(asked)
		cancel(nil)
	}
}

func signalName(sig os.Signal) string {
	switch sig {
	case os.Interrupt:
		return "Ctrl-C"
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGHUP:
		return "the end of the terminal"
	}
	return sig.String()
}

func (s *session) tellEnding(end *ending) {
	s.log.Info("ended", "outcome", end.Outcome, "message", end.message)
	if s.guard || s.boot {
		return
	}
	end.Verb = s.verb
	end.GoBack = s.names.text(end.GoBack)
	s.out.emit(Event{Event: eventResult, Message: s.names.text(end.message), Result: &end.Result})
}

func (s *session) tellFailure(end *ending, f *Failure) {
	if end == nil {
		end = &ending{Result: Result{Outcome: outcomeRefused, Log: s.logTo.name()}}
	}
	end.Verb, end.ExitCode, end.Cure, end.Left = s.verb, f.Exit.Number(), f.Cure, s.names.texts(f.Left)
	s.log.Error("failed", "exit", end.ExitCode, "error", f.Err)
	s.out.emit(Event{Event: eventResult, Level: levelError, Message: s.names.text(f.Error()), Result: &end.Result})
}

func (s *session) uninstall(ctx context.Context) (*ending, error) {
	return s.change(ctx, func(_ context.Context, sit *plan.Situation) (*plan.Proposal, error) {
		return plan.ForUninstall(sit, s.options)
	})
}

func (s *session) rollback(ctx context.Context) (*ending, error) {
	return s.change(ctx, func(ctx context.Context, sit *plan.Situation) (*plan.Proposal, error) {
		p, err := plan.ForRollback(sit, s.options)
		if err == nil && p.Generation != 0 { // else back to an older product, which has none
			err = plan.CheckTarget(s.m, p)
		}
		if err == nil {
			err = s.tellUndone(ctx, sit, p)
		}
		return p, err
	})
}

func (s *session) forget(ctx context.Context) (*ending, error) {
	return s.change(ctx, func(_ context.Context, sit *plan.Situation) (*plan.Proposal, error) {
		return plan.ForForget(sit, s.generation)
	})
}

func (s *session) recover(ctx context.Context) (*ending, error) {
	if s.guard || s.boot {
		return s.asService(ctx, s.watch)
	}
	return s.recoverVerb(ctx)
}

// reading is a verb that only looks.
func (p *programme) reading(name, usage string, flags []cli.Flag, do func(*session, context.Context) (Exit, error)) *cli.Command {
	return &cli.Command{Name: name, Usage: usage, Flags: flags, Before: func(c *cli.Context) error {
		if err := checkEmpty(c, p.args); err != nil {
			return err
		}
		return noArguments(c, p.args)
	}, Action: func(c *cli.Context) error {
		set, err := readSettings(c, p.args, nil)
		if err != nil {
			return err
		}
		if err := p.mayRead(name, set); err != nil {
			return err
		}
		s := newSession(set, p.streams)
		defer s.close()
		s.tellVariables(c.App)
		if err := s.open(); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
		defer stop()
		if p.exit, err = do(s, ctx); err != nil {
			f := failureOf(err, PutBack)
			return &Failure{Exit: f.Exit, Err: errors.New(s.names.text(f.Error())), Cure: f.Cure}
		}
		return nil
	}}
}

// mayRead refuses to look at the machine for who may not.
func (p *programme) mayRead(verb string, set settings) error {
	if machine.Privileged() || set.root != "" {
		return nil
	}
	return &Failure{
		Exit: NeedsRoot, Err: fmt.Errorf("%s %s reads what only %s may", program, verb, machine.PrivilegedUser),
		Cure: asRoot(again(p.args...)),
	}
}

// supervise is the hidden verb by which a detached program is watched where the
// service manager does not.
func (p *programme) supervise() *cli.Command {
	return &cli.Command{
		Name: machine.SuperviseVerb, Hidden: true, SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			args := c.Args().Slice()
			if len(args) < 3 || args[1] != "--" {
				return usagef("", "%s needs a name, -- and a command", machine.SuperviseVerb)
			}
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			return machine.Supervise(ctx, &machine.FS{}, args[0], args[2:], os.Environ())
		},
	}
}

// noVerb is the program without a verb, or with one that it does not have.
func noVerb(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	given := c.Args().First()
	switch {
	case given == "version":
		cli.ShowVersion(c)
		return nil
	case given == "help" && c.Args().Len() == 1:
		return cli.ShowAppHelp(c)
	case given == "help":
		return usagef(again(append(c.Args().Tail(), "--help")...), "%s has no verb %q", program, given)
	}
	var names []string
	for _, v := range c.App.VisibleCommands() {
		names = append(names, v.Name)
	}
	if near := nearest(given, names); near != "" {
		return usagef(again(append([]string{near}, c.Args().Tail()...)...), "%s has no verb %q; the nearest is %q", program, given, near)
	}
	return usagef(again("--help"), "%s has no verb %q", program, given)
}
