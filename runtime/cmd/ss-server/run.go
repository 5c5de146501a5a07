package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/config"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/verbs"
	"ss-setup/runtime/web"
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
				control: c.String("control"), logs: c.String("logs"), updates: daemon.UpdatesFile,
			}
			replacements, intake := new(replacements), web.NewIntake(time.Now, log)
			intake.Room = roomIn
			err := daemon.Run(name, c.Bool("service"), func() (*daemon.Instance, error) { return start(log, level, at, replacements, intake) })
			if err != nil {
				log.Error("ended", "error", err)
			}
			return verbs.Logged(err)
		},
	}
}

// paths are where a server finds what it works with.
type paths struct{ home, config, state, control, logs, updates string }
