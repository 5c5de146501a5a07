// lmu is the license manager utility: it asks the license daemon on this machine and
// prints what it says, as a table for people or as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/config"
	"ss-setup/runtime/license"
	"ss-setup/runtime/verbs"
)

const name = "lmu"

func main() { os.Exit(verbs.Main(app(), os.Args)) }

func app() *cli.App {
	return &cli.App{
		Name:   name,
		Usage:  "the license manager utility of SS Server",
		Flags:  statusFlags(),
		Action: status,
		Commands: []*cli.Command{
			{Name: "status", Usage: "show the license daemon and its licenses", Flags: statusFlags(), Action: status},
			verbs.Version(0),
		},
	}
}

func statusFlags() []cli.Flag {
	return []cli.Flag{
		verbs.JSONFlag(),
		&cli.StringFlag{Name: "config", Usage: "the license daemon's configuration `FILE`", Value: config.LicensedPath},
	}
}

func status(c *cli.Context) error {
	settings, _, _, err := config.LoadLicensed(given(c, "config").String("config"))
	if err != nil {
		return err
	}
	s, err := license.Ask(c.Context, settings.ProbeAddr())
	if err != nil {
		return err
	}
	if given(c, "json").Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(s)
	}
	return printStatus(c.App.Writer, s)
}

// given is the context in which a flag was set: `lmu --json status` asks for the same
// as `lmu status --json`.
func given(c *cli.Context, flag string) *cli.Context {
	for _, at := range c.Lineage() {
		if at.Command != nil && at.IsSet(flag) {
			return at
		}
	}
	return c
}

func printStatus(w io.Writer, s license.Status) error {
	licenses := "none"
	if len(s.Licenses) > 0 {
		licenses = strings.Join(s.Licenses, ", ")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := [][2]string{
		{"License daemon", s.State},
		{"Version", s.Version},
		{"Role", s.Role},
		{"Running since", s.Started.Local().Format(time.DateTime + " MST")},
		{"Licenses", licenses},
	}
	if s.Server != nil {
		rows = append(rows, [2]string{"License server", s.Server.Address + " " + s.Server.State})
		if s.Server.Error != "" {
			rows = append(rows, [2]string{"", s.Server.Error})
		}
	}
	for _, row := range rows {
		fmt.Fprintf(table, "%s\t%s\n", row[0], row[1])
	}
	return table.Flush()
}
