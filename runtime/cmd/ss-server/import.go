package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"ss-setup/migrate"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/local"
	"ss-setup/migrate/report"
	"ss-setup/runtime/backup"
	"ss-setup/runtime/backup/node"
	"ss-setup/runtime/config"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/store"
	"ss-setup/runtime/verbs"
)

func importCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "put the configuration of a backup of version 4, 5 or 6, or of another server, in the place of this one, all of it or nothing; a running server starts anew",
		ArgsUsage: "FILE_OR_FOLDER",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "what it is, if its content does not tell: one of " + strings.Join(migrate.Products(), ", ")},
			&cli.BoolFlag{Name: "dry-run", Usage: "only tell what would be imported, changed and dropped"},
			&cli.BoolFlag{Name: "accept-drops", Usage: "go on without asking when somebody cannot log in afterwards, something does not serve, or is not understood"},
			&cli.StringFlag{Name: "accept-losses", Usage: "go on if the losses are exactly those with this `DIGEST`, which a report in JSON has as losses_sha256, and refuse otherwise"},
			&cli.BoolFlag{Name: "take-superadmins", Usage: "put the backup's SuperAdmins in the place of those of the same name here"},
			&cli.StringFlag{Name: "node", Usage: "of several nodes in the backup the `NAME` of the one whose place this machine takes"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask whether the configuration may be replaced"},
			&cli.StringSliceFlag{Name: "report", Usage: "write the report to a `FILE` as well: .html, .json, else text"},
			&cli.StringFlag{Name: "password-file", Usage: "a `FILE` with passwords of PFX certificates and encrypted keys, one a line"},
			&cli.StringSliceFlag{Name: "denylist", Usage: "a `FILE` of known host keys, besides those in the folder known-keys and of Debian's openssh-blacklist"},
			&cli.StringFlag{Name: "account", Usage: "tell which folders the account `NAME` may not use, not the one that the server's data belong to"},
			&cli.StringFlag{Name: "config", Usage: "the server's configuration `FILE`, beside which known-keys lies", Value: config.ServerPath},
			homeFlag(), stateFlag(), controlFlag(), verbs.JSONFlag(),
		},
		Action: func(c *cli.Context) error { return forRoot("import", importFile(c), os.Geteuid()) },
	}
}

// errNotAccepted: nobody said that what is lost may be.
var errNotAccepted = fmt.Errorf("there are losses that nobody has agreed to; look at the report, then give --accept-drops; %w", verbs.ErrRefused)

// errOtherLosses: somebody has agreed to losses, and these are others.
var errOtherLosses = fmt.Errorf("the losses are not those that were agreed to; look at the report; %w", verbs.ErrRefused)

// importGC is how late an import collects what it read and wrote: its own memory is
// small, and collecting costs time.
const importGC = 120

func importFile(c *cli.Context) (err error) {
	debug.SetGCPercent(importGC)
	if !c.Bool("dry-run") && !c.Bool("yes") && !somebody(c) {
		return fmt.Errorf("%w: nobody can be asked whether the configuration may be replaced; say so with --yes, or look first with --dry-run", verbs.ErrUsage)
	}
	home, err := daemon.Find(c.String("home"), dataLink)
	if err != nil {
		return err
	}
	options, err := importOptions(c, home)
	if err != nil {
		return err
	}
	source, err := migrate.OpenFrom(c.Context, c.Args().First(), c.String("from"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	present, err := presentOf(c, home.Data)
	if err != nil {
		return err
	}
	if c.Bool("dry-run") {
		r, err := migrate.DryRun(c.Context, source, present, options)
		if err != nil {
			return err
		}
		return errors.Join(writeReports(c, r), printReport(c, r))
	}
	return importSource(c, source, present, options, placeOf(home.Data, c.String("state")))
}

// importOptions are what the import knows of this machine.
func importOptions(c *cli.Context, home daemon.Home) (importer.Options, error) {
	generations := filepath.Dir(home.Dir)
	if given := c.String("home"); filepath.Base(given) == filepath.Base(home.Dir) {
		generations = filepath.Dir(given) // as it was named: a report names it so
	}
	o, err := local.Options(local.Machine{
		State: c.String("state"), Config: c.String("config"), Generations: generations, Own: []string{home.Dir, home.Data},
		Account:      cmp.Or(c.String("account"), local.Owner(home.Data)),
		PasswordFile: c.String("password-file"), Denylists: c.StringSlice("denylist"),
	})
	o.TakeSuperAdmins, o.SourceNode = c.Bool("take-superadmins"), c.String("node")
	return o, err
}

// importSource builds the new store, asks, and puts it in force. What is told before that
// is told as what would be done.
func importSource(c *cli.Context, source importer.Source, present *migrate.Present, options importer.Options, place node.Place) (err error) {
	tell := func(what string) {
		if !c.Bool("json") {
			fmt.Fprintln(c.App.ErrWriter, what)
		}
	}
	built, r, err := migrate.Build(c.Context, source, place, present, options, tell)
	if err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	defer func() { err = errors.Join(err, built.Discard()) }()
	if err := writeReports(c, r); err != nil {
		return err
	}
	if !c.Bool("json") {
		if err := printReport(c, r); err != nil {
			return err
		}
	}
	err = acceptImport(c, r)
	if err == nil {
		err = stillPresent(c, present, place.Data)
	}
	if err == nil {
		err = importInForce(c, place, built, tell)
	}
	r.DryRun = err != nil
	if c.Bool("json") {
		err = errors.Join(err, printReport(c, r))
	}
	if r.DryRun {
		return err
	}
	return errors.Join(err, writeReports(c, r))
}

var errChangedMeanwhile = errors.New("SuperAdmins, tokens or settings were changed meanwhile; nothing was changed: import again")

// stillPresent looks whether what stays of the configuration was changed while the new one
// was made: a new password, or a token taken away, would be undone.
func stillPresent(c *cli.Context, present *migrate.Present, data string) error {
	now, err := presentOf(c, data)
	if err != nil {
		return err
	}
	if !present.Same(now) {
		return errChangedMeanwhile
	}
	return nil
}

// importInForce puts what was built in the place of what is there.
func importInForce(c *cli.Context, place node.Place, built *node.Built, tell func(string)) error {
	if err := built.AddKeys(); err != nil {
		return fmt.Errorf("%w; the configuration was not changed", err)
	}
	// The check of the new store looks at all its pages: let go of the memory of before.
	debug.FreeOSMemory()
	replaced, err := putInForce(c.Context, c.String("control"), place, built.Name, tell)
	if err != nil {
		return fmt.Errorf("put the import in force: %w", err)
	}
	if !c.Bool("json") {
		tellReplaced(c.App.ErrWriter, built.Summary, replaced)
	}
	return nil
}

func tellReplaced(w io.Writer, s backup.Summary, r store.Replaced) {
	fmt.Fprintf(w, "%d objects are in force.\n", s.Total())
	switch {
	case r.Snapshot != nil:
		fmt.Fprintf(w, "The configuration of before is kept as %s.\n", r.Snapshot.Path)
	case r.SetAside != "":
		fmt.Fprintf(w, "The store of before could not be copied; it is kept as %s.\n", r.SetAside)
	}
}

// presentOf reads the configuration in force, of a server that runs or not, through a
// backup of it.
func presentOf(c *cli.Context, data string) (p *migrate.Present, err error) {
	file, err := spool(data)
	if err != nil {
		return nil, fmt.Errorf("make room for the configuration in force: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = writeBackup(c, file, "", backupRequest{Unkept: true})
	if errors.Is(err, store.ErrNoStore) {
		return migrate.ReadPresent(c.Context, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration in force: %w", err)
	}
	return readPresent(c.Context, file.File)
}

func readPresent(ctx context.Context, file *os.File) (*migrate.Present, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	a, err := backup.Open(file, info.Size(), backup.ReadOptions{Schema: schema().Version()})
	if err != nil {
		return nil, err
	}
	return migrate.ReadPresent(ctx, a)
}

func printReport(c *cli.Context, r *report.Report) error {
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(r)
	}
	return r.WriteText(c.App.Writer)
}

// writeReports writes the report to the files that were asked for.
func writeReports(c *cli.Context, r *report.Report) error {
	for _, path := range c.StringSlice("report") {
		if err := writeReport(path, r); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

func writeReport(path string, r *report.Report) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	switch strings.ToLower(filepath.Ext(path)) {
	case ".html", ".htm":
		return r.WriteHTML(f)
	case ".json":
		return json.NewEncoder(f).Encode(r)
	}
	return r.WriteText(f)
}

// somebody tells whether there is a person to ask.
func somebody(c *cli.Context) bool { return !c.Bool("json") && term.IsTerminal(int(os.Stdin.Fd())) }

// acceptImport asks a person; where there is none the flags must have said it.
func acceptImport(c *cli.Context, r *report.Report) error {
	if err := acceptLosses(c, r); err != nil {
		return err
	}
	if c.Bool("yes") || agreed("Everything that is configured here will be replaced.") {
		return nil
	}
	return errCancelled
}

func acceptLosses(c *cli.Context, r *report.Report) error {
	losses := r.LossSummary()
	switch digest := c.String("accept-losses"); {
	case digest != "" && !strings.EqualFold(digest, r.LossDigest()):
		return errOtherLosses
	case digest != "" || losses == "" || c.Bool("accept-drops"):
		return nil
	case !somebody(c):
		return errNotAccepted
	case !agreed("Lost or not as before: " + losses + "; the report says why."):
		return errCancelled
	}
	return nil
}

func agreed(what string) bool {
	fmt.Fprintf(os.Stderr, "%s\nGo on? [yes/no] ", what)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return err == nil && (answer == "yes" || answer == "y")
}
