// ss-licensed is the license daemon. Other programs of the product ask it, on this
// machine, and nobody else.
package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/urfave/cli/v2"
	"go.etcd.io/bbolt"

	"ss-setup/runtime/config"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/license"
	"ss-setup/runtime/store"
	"ss-setup/runtime/verbs"
)

const name = "ss-licensed"

// dataLink is the link in a generation that leads to the license daemon's data.
const dataLink = "licensed"

func main() { os.Exit(verbs.Main(app(), os.Args)) }

func app() *cli.App {
	return &cli.App{
		Name:     name,
		Usage:    "the license daemon of SS Server",
		Commands: append([]*cli.Command{runVerb()}, verbs.ForStore(schema())...),
	}
}

// schema is the way of license.db from an empty file to what this release works with.
// A migration that was once released never changes; new ones go to the end.
func schema() store.Schema {
	return store.Schema{
		Product: name,
		File:    "license.db",
		Migrations: []store.Migration{
			{Name: "make room for licenses", Apply: makeLicenseBucket},
		},
	}
}

func makeLicenseBucket(tx *bbolt.Tx, _ store.Progress) error {
	_, err := tx.CreateBucketIfNotExists([]byte("license"))
	return err
}

func runVerb() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "serve until stopped",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "home", Usage: "the generation to run in: a `DIR` or a link to it", Value: daemon.DefaultHome},
			&cli.StringFlag{Name: "config", Usage: "the configuration `FILE`", Value: config.LicensedPath},
			&cli.StringFlag{Name: "state", Usage: "the `DIR` outside the generations", Value: daemon.DefaultState(name)},
			&cli.BoolFlag{Name: "syslog", Usage: "log to the system log instead of standard error"},
			&cli.IntFlag{Name: "generation", Usage: "run in the generation with this `NUMBER`; before --home"},
			&cli.BoolFlag{Name: "service", Usage: "started by the service manager of Windows"},
		},
		Action: func(c *cli.Context) error {
			log, _ := daemon.Logger(c.Bool("syslog"), c.Bool("service"), name)
			err := daemon.Run(name, c.Bool("service"), func() (*daemon.Instance, error) {
				return start(log, daemon.HomeOf(c), c.String("config"), c.String("state"))
			})
			if err != nil {
				log.Error("ended", "error", err)
			}
			return verbs.Logged(err)
		},
	}
}

func start(log *slog.Logger, home, configPath, state string) (*daemon.Instance, error) {
	c, unknown, found, err := config.LoadLicensed(configPath)
	if err != nil {
		return nil, err
	}
	daemon.WarnOfConfig(log, configPath, found, unknown)
	started := time.Now()
	var watcher *license.Watcher
	var server func() license.Server
	if c.Role == config.RoleClient {
		watcher = license.Watch(c.Server, log, time.Now)
		server = watcher.Server
	}
	i, err := daemon.Start(daemon.Options{
		Home: home, DataLink: dataLink, State: state, Listen: c.Listen, Role: c.Role, Schema: schema(), Log: log,
		Handler: func(i *daemon.Instance) http.Handler {
			return license.Handler(license.Options{
				Health: i.Health, Open: i.Gate.Open, Version: i.Version(), Role: c.Role, Started: started, Server: server,
			})
		},
		Started: func(*daemon.Instance) io.Closer {
			if watcher == nil {
				return nil
			}
			return watcher
		},
	})
	if err != nil && watcher != nil {
		err = errors.Join(err, watcher.Close())
	}
	return i, err
}
