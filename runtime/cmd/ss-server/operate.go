package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/config"
	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/verbs"
)

func logsFlag() cli.Flag {
	return &cli.StringFlag{Name: "logs", Usage: "the `DIR` of the server's own logs", Value: daemon.DefaultLogs}
}

func reloadCommand() *cli.Command {
	return &cli.Command{
		Name:  "reload",
		Usage: "have the running server read its configuration again, and tell what needs a restart",
		Flags: []cli.Flag{controlFlag(), verbs.JSONFlag()},
		Action: func(c *cli.Context) error {
			var r Reloaded
			if err := ask(c.Context, c.String("control"), control.Question{Verb: reloadVerb}, &r); err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(r)
			}
			tell := func(what string, of []string) {
				if len(of) > 0 {
					fmt.Fprintf(c.App.Writer, "%s: %s\n", what, strings.Join(of, ", "))
				}
			}
			tell("In force now", r.Live)
			tell("After a restart", r.Restart)
			tell("Not known to this release", r.Unknown)
			if len(r.Live)+len(r.Restart)+len(r.Problems) == 0 {
				fmt.Fprintln(c.App.Writer, "No setting has changed.")
			}
			if len(r.Problems) > 0 {
				return fmt.Errorf("not taken over: %s", strings.Join(r.Problems, "; "))
			}
			return nil
		},
	}
}

func logLevelCommand() *cli.Command {
	return &cli.Command{
		Name:      logLevelVerb,
		Usage:     "set how much the running server logs (debug, info, warn, error), until the next reload or another level in the settings",
		ArgsUsage: "LEVEL",
		Flags:     []cli.Flag{controlFlag()},
		Action: func(c *cli.Context) error {
			level := c.Args().First()
			if !slices.Contains(config.Levels, level) {
				return fmt.Errorf("%w: %q is none of %s", verbs.ErrUsage, level, strings.Join(config.Levels, ", "))
			}
			return ask(c.Context, c.String("control"), control.Question{Verb: logLevelVerb, Args: level}, nil)
		},
	}
}

// ask asks the running server; a stopped one has nothing to reload.
func ask(ctx context.Context, path string, q control.Question, result any) error {
	err := control.Ask(ctx, path, q, result)
	if errors.Is(err, control.ErrNotRunning) {
		return fmt.Errorf("%w; %w", err, errStopped)
	}
	return forRoot(q.Verb, err, os.Geteuid())
}

func auditCommand() *cli.Command {
	return &cli.Command{
		Name:  "audit",
		Usage: "print the last events of the audit log as JSON lines, the oldest first",
		Flags: []cli.Flag{
			logsFlag(),
			&cli.IntFlag{Name: "last", Usage: "how many", Value: 50},
			&cli.StringFlag{Name: "event", Usage: "only this `EVENT`, or all that begin with it if it ends with a dot"},
			&cli.StringFlag{Name: "by", Usage: "only what `WHO` did, such as user/anna"},
			&cli.StringFlag{Name: "from", Usage: "only from this `ADDRESS`"},
			&cli.StringFlag{Name: "site", Usage: "only of this `SITE`"},
			&cli.StringFlag{Name: "text", Usage: "only with this `TEXT` in it"},
		},
		Action: func(c *cli.Context) error {
			if c.Int("last") < 1 || c.Int("last") > 1_000_000 {
				return fmt.Errorf("%w: --last is a number from 1 to 1000000", verbs.ErrUsage)
			}
			filter := audit.Filter{
				By: c.String("by"), Address: c.String("from"), Site: c.String("site"), Text: c.String("text"), Limit: c.Int("last"),
			}
			if event := c.String("event"); event != "" {
				filter.Events = []string{event}
			}
			events, err := audit.Newest(c.Context, filepath.Join(c.String("logs"), "audit"), filter)
			if err != nil {
				return fmt.Errorf("read the audit log: %w", err)
			}
			out := json.NewEncoder(c.App.Writer)
			for _, e := range slices.Backward(events) {
				if err := out.Encode(e); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
