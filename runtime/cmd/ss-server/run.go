package main

import (
	"context"
	"crypto/rand"
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
			&cli.BoolFlag{Name: "syslog", Usage: "log to the system log instead of standard error"},
			&cli.IntFlag{Name: "generation", Usage: "run in the generation with this `NUMBER`; before --home"},
			&cli.BoolFlag{Name: "service", Usage: "started by the service manager of Windows"},
		},
		Action: func(c *cli.Context) error {
			log := daemon.Logger(c.Bool("syslog"), c.Bool("service"), name)
			err := daemon.Run(name, c.Bool("service"), func() (*daemon.Instance, error) {
				return start(log, daemon.HomeOf(c), c.String("config"), c.String("state"), c.String("control"))
			})
			if err != nil {
				log.Error("ended", "error", err)
			}
			return verbs.Logged(err)
		},
	}
}

func start(log *slog.Logger, home, configPath, state, controlPath string) (*daemon.Instance, error) {
	c, unknown, found, err := config.LoadServer(configPath)
	if err != nil {
		return nil, err
	}
	daemon.WarnOfConfig(log, configPath, found, unknown)
	var codes *setup.Codes
	return daemon.Start(daemon.Options{
		Home: home, DataLink: dataLink, State: state, Listen: c.Web.Listen, Schema: schema(), Log: log,
		Handler: func(i *daemon.Instance) http.Handler {
			codes = setup.New(i.Store, rand.Reader, time.Now)
			return admin.Handler(admin.Options{
				Health: i.Health, Open: i.Gate.Open, Codes: codes, Version: i.Version(), Log: log,
			})
		},
		Started: func(*daemon.Instance) io.Closer { return openControl(controlPath, codes, log) },
	})
}

// openControl opens the door for root. Without it the server still serves: users must
// not pay for a missing folder in /run.
func openControl(path string, codes *setup.Codes, log *slog.Logger) io.Closer {
	door, err := control.Serve(path, map[string]control.Verb{
		gensscVerb: func(context.Context, *control.Request) (any, error) { return codes.Make() },
	}, log)
	if err != nil {
		log.Warn("commands such as `ss-server genssc` will not reach this server; start it as a service", "error", err)
		return nil
	}
	return door
}
