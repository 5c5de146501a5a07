package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/backup"
	"ss-setup/runtime/backup/node"
	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/verbs"
	"ss-setup/runtime/version"
)

const backupVerb = "backup"

// byRoot is who did what came through the control socket.
const byRoot = "system/root"

// placeOf is where this node keeps what a backup is of.
func placeOf(data, state string) node.Place {
	return node.Place{Schema: schema(), Data: data, State: state, Version: version.Version, Now: time.Now}
}

func backupCommand() *cli.Command {
	return &cli.Command{
		Name:      backupVerb,
		Usage:     "write a backup of the whole configuration into a new FILE, while the server runs or not",
		ArgsUsage: "FILE",
		Flags: []cli.Flag{
			passphraseFlag(), homeFlag(), stateFlag(), controlFlag(), verbs.JSONFlag(),
			&cli.BoolFlag{Name: "unkept", Usage: "the FILE is thrown away again: the server does not count it as a backup"},
		},
		Action: func(c *cli.Context) error {
			passphrase := ""
			if file := c.String("passphrase-file"); file != "" {
				var err error
				if passphrase, err = passphraseFrom(file); err != nil {
					return err
				}
			}
			path := c.Args().First()
			var s backup.Summary
			err := backup.WriteFile(path, func(w io.Writer) (err error) {
				s, err = writeBackup(c, w, passphrase, backupRequest{Unkept: c.Bool("unkept")})
				return err
			})
			if err != nil {
				return forRoot(backupVerb, err, os.Geteuid())
			}
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(s)
			}
			fmt.Fprintf(c.App.Writer, "%s has %d objects and %d files of %q.\n", path, s.Total(), s.Files, s.Header.Node)
			if !s.Encrypted {
				fmt.Fprintln(c.App.Writer, "It holds the keys in the clear: keep it like a key, or give --passphrase-file.")
			}
			return nil
		},
	}
}

// backupRequest is what the server is asked for.
type backupRequest struct {
	// Unkept: nobody keeps the backup.
	Unkept bool `json:"unkept,omitempty"`
}

// writeBackup writes a backup, encrypted if there is a passphrase: here, which the server
// that runs need not know.
func writeBackup(c *cli.Context, w io.Writer, passphrase string, q backupRequest) (s backup.Summary, err error) {
	to := w
	closeOuter := func() error { return nil }
	if passphrase != "" {
		outer, err := backup.Encrypt(w, passphrase)
		if err != nil {
			return s, err
		}
		to, closeOuter = outer, outer.Close
	}
	err = control.Ask(c.Context, c.String("control"), control.Question{Verb: backupVerb, Args: q, Out: to}, &s)
	if errors.Is(err, control.ErrNotRunning) {
		s, err = backupStopped(c.Context, to, c.String("home"), c.String("state"))
	}
	s.Encrypted = passphrase != ""
	return s, errors.Join(err, closeOuter())
}

// backupStopped reads the store of a server that does not run, and keeps it from starting
// meanwhile.
func backupStopped(ctx context.Context, w io.Writer, homePath, state string) (s backup.Summary, err error) {
	home, err := daemon.Find(homePath, dataLink)
	if err != nil {
		return s, err
	}
	st, err := schema().OpenReadOnly(home.Data)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	// Nothing is sealed or opened.
	e, err := engine.Open(engine.Options{Store: st, Sealer: seal.New(nil), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return s, fmt.Errorf("%w; try: ss-server repair --data %s", err, home.Data)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return placeOf(home.Data, state).Backup(ctx, w, e, backup.WriteOptions{})
}

// backup answers with a backup as of one moment.
func (s *server) backup(place node.Place) control.Verb {
	return func(ctx context.Context, r *control.Request) (any, error) {
		if r.Out == nil {
			return nil, errors.New("a backup needs a stream to go to")
		}
		var q backupRequest
		if err := r.Args(&q); err != nil {
			return nil, err
		}
		sum, err := s.sendBackup(ctx, place, r.Out)
		s.tellBackup(byRoot, "", err)
		if err == nil && !q.Unkept {
			s.noteBackup()
		}
		return sum, err
	}
}

// tellBackup notes in the audit log who made a backup.
func (s *server) tellBackup(by, from string, err error) {
	event := audit.Event{Event: "backup.create", Outcome: outcomeOf(err), By: by, From: from}
	if err != nil {
		event.Message = err.Error()
	}
	s.ops.audit.Append(event)
}

// noteBackup notes for the overview when a backup was made.
func (s *server) noteBackup() {
	if err := lastBackupIn(s.at.state).note(time.Now()); err != nil {
		s.log.Warn("the overview will not tell of this backup", "error", err)
	}
}

// sendBackup writes it to a file first: the store keeps its state of the moment while it
// is read, and whoever takes the backup may be slow.
func (s *server) sendBackup(ctx context.Context, place node.Place, to io.Writer) (sum backup.Summary, err error) {
	file, sum, err := s.spoolBackup(ctx, place, "")
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(to, file)
	return sum, err
}

// spoolBackup writes a backup to a file that is gone when it is closed, encrypted if there is
// a passphrase. The file stands at its beginning.
func (s *server) spoolBackup(ctx context.Context, place node.Place, passphrase string) (file spooled, sum backup.Summary, err error) {
	// The service may write there; the folder outside the generations is root's.
	file, err = spool(place.Data)
	if err != nil {
		return file, sum, fmt.Errorf("make room for the backup: %w", err)
	}
	sum, err = place.Backup(ctx, file, s.engine, backup.WriteOptions{Passphrase: passphrase})
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return file, sum, errors.Join(err, file.Close())
	}
	return file, sum, nil
}

// spooled is a file that is gone when it is closed.
type spooled struct{ *os.File }

// Close implements io.Closer.
func (s spooled) Close() error {
	err := s.File.Close()
	if runtime.GOOS == "windows" {
		err = errors.Join(err, os.Remove(s.Name()))
	}
	return err
}

const spoolPattern = "backup-*.part"

// cleanSpool takes away what a server that was killed has left of such files. It is for the
// start: later they are in use.
func cleanSpool(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, spoolPattern))
	for _, name := range left {
		_ = os.Remove(name) // the next start tries again
	}
}

// spool makes such a file. Several may be written at once.
func spool(dir string) (spooled, error) {
	f, err := os.CreateTemp(dir, spoolPattern)
	if err != nil {
		return spooled{}, err
	}
	if runtime.GOOS != "windows" {
		err = os.Remove(f.Name())
	}
	return spooled{f}, err
}
