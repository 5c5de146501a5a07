package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/store"
	"ss-setup/runtime/verbs"
)

const changesVerb = "changes"

// changesCommand lists what a return to an older generation undoes; ss-setup rollback
// shows its lines.
func changesCommand() *cli.Command {
	return &cli.Command{
		Name:  changesVerb,
		Usage: "list what was changed since an older generation was left, a line an object",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "since", Usage: "the data `DIR` of that generation", Required: true},
			homeFlag(), controlFlag(), verbs.JSONFlag(),
		},
		Action: func(c *cli.Context) error {
			lines, out := io.Pipe()
			go func() { out.CloseWithError(changesSince(c, out)) }()
			err := printChanges(c.App.Writer, lines, c.Bool("json"))
			return forRoot(changesVerb, errors.Join(err, lines.CloseWithError(io.ErrClosedPipe)), os.Geteuid())
		},
	}
}

// changesSince writes what the running server tells, or if none runs the store itself.
func changesSince(c *cli.Context, w io.Writer) (err error) {
	since := c.String("since")
	err = control.Ask(c.Context, c.String("control"), control.Question{Verb: changesVerb, Args: since, Out: w}, nil)
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	home, err := daemon.Find(c.String("home"), dataLink)
	if err != nil {
		return err
	}
	st, err := schema().OpenReadOnly(home.Data)
	if err != nil {
		return err
	}
	return errors.Join(writeChanges(w, since, st), st.Close())
}

func answerChanges(st *store.Store) control.Verb {
	return func(_ context.Context, r *control.Request) (any, error) {
		var since string
		if err := r.Args(&since); err != nil {
			return nil, err
		}
		if r.Out == nil {
			return nil, errors.New("a list of changes needs a stream to go to")
		}
		return nil, writeChanges(r.Out, since, st)
	}
}

// writeChanges writes what differs from the store in an older generation's folder, as
// JSON lines.
func writeChanges(w io.Writer, since string, newer *store.Store) error {
	older, done, err := openOlder(since)
	if err != nil {
		return fmt.Errorf("read the older generation's store: %w", err)
	}
	out := json.NewEncoder(w)
	return errors.Join(engine.CompareStores(older, newer, func(u engine.Undone) error { return out.Encode(u) }), done())
}

// openOlder opens a store for reading. One of an earlier schema is copied, and the copy
// brought to this one.
func openOlder(dir string) (st *store.Store, done func() error, err error) {
	s := schema()
	st, err = s.OpenReadOnly(dir)
	if err == nil {
		return st, st.Close, nil
	}
	if !errors.Is(err, store.ErrOlderSchema) {
		return nil, nil, err
	}
	tmp, err := os.MkdirTemp("", name+"-changes-")
	if err != nil {
		return nil, nil, err
	}
	st, err = migratedCopy(s, dir, tmp)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(tmp))
	}
	return st, func() error { return errors.Join(st.Close(), os.RemoveAll(tmp)) }, nil
}

func migratedCopy(s store.Schema, dir, tmp string) (*store.Store, error) {
	if err := copyFile(s.Path(dir), s.Path(tmp)); err != nil {
		return nil, err
	}
	if _, err := s.Migrate(tmp, false, func(int64, int64, string) {}); err != nil {
		return nil, err
	}
	return s.OpenReadOnly(tmp)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func printChanges(w io.Writer, lines io.Reader, asJSON bool) error {
	if asJSON {
		_, err := io.Copy(w, lines)
		return err
	}
	for in := json.NewDecoder(lines); ; {
		var u engine.Undone
		err := in.Decode(&u)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(w, sentence(u))
	}
}

// sentence is a change as a person reads it.
func sentence(u engine.Undone) string {
	text := u.Object + " was " + map[engine.Op]string{engine.OpCreate: "created", engine.OpUpdate: "changed", engine.OpDelete: "deleted"}[u.Op]
	if u.By != "" {
		text += " by " + u.By + " on " + u.At.UTC().Format(time.DateTime) + " UTC"
	}
	const most = 6 // fields in a line
	var fields []string
	for i, f := range u.Fields {
		if i == most {
			fields = append(fields, fmt.Sprintf("and %d more", len(u.Fields)-most))
			break
		}
		switch {
		case f.After == "":
			fields = append(fields, "no "+f.Field)
		default:
			fields = append(fields, f.Field+" "+brief(f.After))
		}
	}
	if len(fields) > 0 {
		text += ": " + strings.Join(fields, ", ")
	}
	return text
}

// brief is a value that fits into a line.
func brief(value string) string {
	const most = 40 // characters
	if runes := []rune(value); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return value
}
