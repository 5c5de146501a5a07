package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/admin"
	"ss-setup/runtime/config"
	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/setup"
	"ss-setup/runtime/tlscert"
	"ss-setup/runtime/verbs"
)

// dataLink is the link in a generation that leads to the server's data.
const dataLink = "data"

func homeFlag() cli.Flag {
	return &cli.StringFlag{Name: "home", Usage: "the generation to run in: a `DIR` or a link to it", Value: daemon.DefaultHome}
}

func controlFlag() cli.Flag {
	return &cli.StringFlag{Name: "control", Usage: "the control socket's `PATH`", Value: daemon.DefaultControl}
}

func runVerb() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "serve until stopped",
		Flags: []cli.Flag{
			homeFlag(), controlFlag(),
			&cli.StringFlag{Name: "config", Usage: "the configuration `FILE`", Value: config.ServerPath},
			&cli.StringFlag{Name: "state", Usage: "the `DIR` outside the generations", Value: daemon.DefaultState(name)},
			logsFlag(),
			&cli.BoolFlag{Name: "syslog", Usage: "log to the system log instead of standard error"},
			&cli.IntFlag{Name: "generation", Usage: "run in the generation with this `NUMBER`; before --home"},
			&cli.BoolFlag{Name: "service", Usage: "started by the service manager of Windows"},
		},
		Action: func(c *cli.Context) error {
			log, level := daemon.Logger(c.Bool("syslog"), c.Bool("service"), name)
			at := paths{
				home: daemon.HomeOf(c), config: c.String("config"), state: c.String("state"),
				control: c.String("control"), logs: c.String("logs"),
			}
			err := daemon.Run(name, c.Bool("service"), func() (*daemon.Instance, error) { return start(log, level, at) })
			if err != nil {
				log.Error("ended", "error", err)
			}
			return verbs.Logged(err)
		},
	}
}

// paths are where a server finds what it works with.
type paths struct{ home, config, state, control, logs string }

func start(log *slog.Logger, level *slog.LevelVar, at paths) (*daemon.Instance, error) {
	c, unknown, found, err := config.LoadServer(at.config)
	if err != nil {
		return nil, err
	}
	daemon.WarnOfConfig(log, at.config, found, unknown)
	var ops *operations
	var codes *setup.Codes
	i, err := daemon.Start(daemon.Options{
		Home: at.home, DataLink: dataLink, State: at.state, Listen: c.Web.Listen, Schema: schema(), Log: log,
		// It is called when the store's lock is held: another server may write until then.
		Certificate: func(dir string) (*tlscert.Keeper, error) {
			ops = newOperations(log, level, at, c)
			return ops.open(dir)
		},
		Reload: func() { ops.reloadAndTell() },
		Handler: func(i *daemon.Instance) http.Handler {
			codes = setup.New(i.Store, rand.Reader, time.Now)
			return admin.Handler(admin.Options{
				Health: i.Health, Open: i.Gate.Open, Codes: codes, Version: i.Version(), Log: log,
				Metrics: ops.metrics.Handler(ops.mayReadMetrics(daemon.NewProbe(at.state))),
			})
		},
		Started: func(i *daemon.Instance) io.Closer {
			snapshots := keepSnapshots(at.state, i.Store, log)
			return closers{openControl(at.control, codes, ops, snapshots, log), snapshots, ops}
		},
	})
	if err != nil && ops != nil {
		err = errors.Join(err, ops.Close())
	}
	return i, err
}

// closers are closed in their order.
type closers []io.Closer

// Close implements io.Closer.
func (c closers) Close() error {
	var all error
	for _, closer := range c {
		if closer != nil {
			all = errors.Join(all, closer.Close())
		}
	}
	return all
}

// openControl opens the door for root. Without it the server still serves: users must
// not pay for a missing folder in /run.
func openControl(path string, codes *setup.Codes, ops *operations, snapshots *snapshotKeeper, log *slog.Logger) io.Closer {
	answers := ops.verbs()
	answers[snapshotVerb] = snapshots.verb
	answers[gensscVerb] = func(context.Context, *control.Request) (any, error) { return codes.Make() }
	door, err := control.Serve(path, answers, log)
	if err != nil {
		log.Warn("commands such as `ss-server genssc` will not reach this server; start it as a service", "error", err)
		return nil
	}
	return door
}
