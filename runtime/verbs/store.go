package verbs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/fixture"
	"ss-setup/runtime/store"
	"ss-setup/runtime/tlscert"
	"ss-setup/runtime/version"
)

// ForStore are the verbs of a program that has a store.
func ForStore(schema store.Schema) []*cli.Command {
	return []*cli.Command{migrate(schema), check(schema), selftest(schema), Version(schema.Version())}
}

// JSONFlag asks a verb for an answer that programs read.
func JSONFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "answer in JSON"} }

func dataFlag() cli.Flag {
	return &cli.StringFlag{Name: "data", Usage: "the data `DIR` of one generation", Required: true}
}

func migrate(schema store.Schema) *cli.Command {
	return &cli.Command{
		Name:  "migrate",
		Usage: "bring a store to the schema of this release",
		Flags: []cli.Flag{
			dataFlag(), JSONFlag(),
			&cli.BoolFlag{Name: "create", Usage: "make an empty store if there is none"},
		},
		Action: func(c *cli.Context) error {
			report, flush := reporter(c.App.Writer, c.Bool("json"), time.Now)
			defer flush()
			if _, err := schema.Migrate(c.String("data"), c.Bool("create"), report); err != nil {
				return err
			}
			return fixture.Migrate(c.String("data"))
		},
	}
}

func check(schema store.Schema) *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "read a whole store and tell whether it is sound",
		Flags: []cli.Flag{dataFlag()},
		Action: func(c *cli.Context) error {
			faults, err := schema.Check(c.String("data"))
			tellFaults(c.App.Writer, faults)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.App.Writer, schema.Path(c.String("data")), "is sound")
			return nil
		},
	}
}

// tellFaults names what of a store's content is for people to look at.
func tellFaults(w io.Writer, faults []string) {
	for _, fault := range faults {
		fmt.Fprintln(w, "to look at:", fault)
	}
}

func selftest(schema store.Schema) *cli.Command {
	return &cli.Command{
		Name:  "selftest",
		Usage: "tell whether this program works on this machine, in a temporary folder",
		Action: func(c *cli.Context) error {
			if err := trySelf(schema); err != nil {
				return fmt.Errorf("self-test: %w", err)
			}
			fmt.Fprintln(c.App.Writer, schema.Product, version.Version, "works here")
			return nil
		},
	}
}

// trySelf makes what a first start makes: a certificate and a store.
func trySelf(schema store.Schema) (err error) {
	dir, err := os.MkdirTemp("", schema.Product+"-selftest-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := tlscert.Ensure(filepath.Join(dir, "tls"), tlscert.LocalNames(), time.Now()); err != nil {
		return err
	}
	if _, err := schema.Migrate(dir, true, func(int64, int64, string) {}); err != nil {
		return err
	}
	_, err = schema.Check(dir)
	return err
}

// Version is the verb version of a program whose store has the given schema; 0 means
// it has none.
func Version(schema int) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "tell the version of this program",
		Flags: []cli.Flag{JSONFlag()},
		Action: func(c *cli.Context) error {
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(struct {
					Program string `json:"program"`
					Version string `json:"version"`
					Schema  int    `json:"schema,omitempty"`
				}{c.App.Name, version.Version, schema})
			}
			line := c.App.Name + " " + version.Version
			if schema > 0 {
				line += fmt.Sprintf(" (schema %d)", schema)
			}
			fmt.Fprintln(c.App.Writer, line)
			return nil
		},
	}
}

// progressEvery thins progress out: a migration may report each of a million records.
const progressEvery = 100 * time.Millisecond

// reporter prints each new message, as JSON lines also the counts in between. flush
// prints the last counts that were held back.
func reporter(w io.Writer, asJSON bool, now func() time.Time) (report store.Report, flush func()) {
	type line struct {
		Done    int64  `json:"done"`
		Total   int64  `json:"total"`
		Message string `json:"message"`
	}
	var last line
	var printed time.Time
	held := false
	out := json.NewEncoder(w)
	print := func(l line) {
		if asJSON {
			// Who reads the progress may be gone; the migration matters more.
			_ = out.Encode(l)
		} else if l.Message != last.Message {
			fmt.Fprintln(w, l.Message)
		}
		printed, held = now(), false
	}
	report = func(done, total int64, message string) {
		l := line{done, total, message}
		if message != last.Message || now().Sub(printed) >= progressEvery {
			print(l)
		} else {
			held = true
		}
		last = l
	}
	flush = func() {
		if held && asJSON {
			print(last)
		}
	}
	return report, flush
}
