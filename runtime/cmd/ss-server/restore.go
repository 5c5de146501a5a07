package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/backup"
	"ss-setup/runtime/backup/node"
	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/store"
	"ss-setup/runtime/verbs"
)

// The verbs of a running server: replace takes a store that was built beside its own, and
// replaced tells how that went.
const (
	restoreVerb  = "restore"
	replaceVerb  = "replace"
	replacedVerb = "replaced"
)

// replacePatience bounds the wait for a server that starts anew with the new store: it
// lets transfers end first.
const replacePatience = 3 * time.Minute

func restoreCommand() *cli.Command {
	return &cli.Command{
		Name:      restoreVerb,
		Usage:     "put a backup in the place of the configuration, all of it or nothing; a running server starts anew",
		ArgsUsage: "FILE",
		Flags: []cli.Flag{
			passphraseFlag(), homeFlag(), stateFlag(), controlFlag(), verbs.JSONFlag(),
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
		},
		Action: func(c *cli.Context) error {
			r, err := restoreFile(c)
			if err != nil {
				return forRoot(restoreVerb, err, os.Geteuid())
			}
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(r)
			}
			fmt.Fprintf(c.App.Writer, "%d objects of %q are in force, as of %s.\n",
				r.Backup.Total(), r.Backup.Header.Node, r.Backup.Header.Made.Local().Format(time.DateTime))
			switch {
			case r.Snapshot != nil:
				fmt.Fprintf(c.App.Writer, "The configuration of before is kept as %s.\n", r.Snapshot.Path)
			case r.SetAside != "":
				fmt.Fprintf(c.App.Writer, "The store of before could not be copied; it is kept as %s.\n", r.SetAside)
			}
			return nil
		},
	}
}

// restored is what a restore did.
type restored struct {
	Backup backup.Summary `json:"backup"`
	store.Replaced
}

func restoreFile(c *cli.Context) (r restored, err error) {
	path := c.Args().First()
	passphrase, err := passphraseFor(path, c.String("passphrase-file"))
	if err != nil {
		return r, err
	}
	a, file, err := backup.OpenFile(path, backup.ReadOptions{Passphrase: passphrase, Schema: schema().Version()})
	if err != nil {
		return r, err
	}
	defer file.Close()
	home, err := daemon.Find(c.String("home"), dataLink)
	if err != nil {
		return r, err
	}
	if err := confirmRestore(c, a.Header()); err != nil {
		return r, err
	}
	place := placeOf(home.Data, c.String("state"))
	tell := func(what string) {
		if !c.Bool("json") {
			fmt.Fprintln(c.App.ErrWriter, what)
		}
	}
	built, err := place.Build(c.Context, a, tell)
	if err != nil {
		return r, fmt.Errorf("restore %s: %w; nothing was changed", path, err)
	}
	defer func() { err = errors.Join(err, built.Discard()) }()
	if err := built.AddKeys(); err != nil {
		return r, fmt.Errorf("restore %s: %w; the configuration was not changed", path, err)
	}
	r.Backup = built.Summary
	r.Replaced, err = putInForce(c.Context, c.String("control"), place, built.Name, tell)
	if err != nil {
		return r, fmt.Errorf("put %s in force: %w", path, err)
	}
	return r, nil
}

// confirmRestore asks a person, if there is one.
func confirmRestore(c *cli.Context, h backup.Header) error {
	if c.Bool("yes") || c.Bool("json") || !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil
	}
	fmt.Fprintf(os.Stderr, "Everything that is configured here will be replaced by the backup of %q that was made %s.\nGo on? [yes/no] ",
		h.Node, h.Made.Local().Format(time.DateTime))
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); err != nil || answer != "yes" && answer != "y" {
		return errCancelled
	}
	return nil
}

// putInForce has the running server take the new store; if none runs it does so itself.
func putInForce(ctx context.Context, controlPath string, place node.Place, name string, tell func(string)) (r store.Replaced, err error) {
	err = control.Ask(ctx, controlPath, control.Question{Verb: replaceVerb, Args: name}, nil)
	if errors.Is(err, control.ErrNotRunning) {
		return place.Replace(name, tell)
	}
	if err != nil {
		return r, err
	}
	tell("the server starts anew with the new store")
	ctx, cancel := context.WithTimeout(ctx, replacePatience)
	defer cancel()
	for {
		var answer replacement
		err := control.Ask(ctx, controlPath, control.Question{Verb: replacedVerb, Args: name}, &answer)
		switch {
		case err == nil && answer.Error != "":
			return r, errors.New(answer.Error)
		case err == nil && answer.Done:
			return answer.Replaced, nil
		}
		select {
		case <-ctx.Done():
			return r, errors.Join(fmt.Errorf("the server was told to start anew with it, and does not answer; look at its log: %w", ctx.Err()), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// replacement is how putting a new store in force went.
type replacement struct {
	Name  string `json:"name"`
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
	store.Replaced
}

// replacements remember that over the new start of the server, and what the audit log is to
// tell of it: while the store is replaced it is closed.
type replacements struct {
	mu   sync.Mutex
	last replacement
	told []audit.Event
}

// actor is who restores, and from which address; that is empty for the control socket.
type actor struct{ by, from string }

// The events of a restore: it began, and what became of it.
const (
	restoringEvent = "backup.restoring"
	restoreEvent   = "backup.restore"
)

func (r *replacements) end(to replacement, e audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.told = to, append(r.told, e)
}

// tell writes down what happened while the log was closed.
func (r *replacements) tell(log *audit.Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.told {
		log.Append(e)
	}
	r.told = nil
}

// begin notes that a new store is about to come into force, one at a time: whoever waits for the
// one before finds how that went. undo takes it back.
func (r *replacements) begin(name string) (undo func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.last
	if before.Name != "" && !before.Done && before.Error == "" {
		return nil, errors.New("another configuration is being put in force; try again when the server has started anew")
	}
	r.last = replacement{Name: name}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.last = before
	}, nil
}

func (r *replacements) of(name string) (replacement, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.Name != name {
		return replacement{}, fmt.Errorf("no store of the name %q was handed in", name)
	}
	return r.last, nil
}

// verbs are those of a server that can be given another store.
func (r *replacements) verbs(s *server, i *daemon.Instance, place node.Place) map[string]control.Verb {
	return map[string]control.Verb{
		replaceVerb: func(_ context.Context, request *control.Request) (any, error) {
			var name string
			if err := request.Args(&name); err != nil {
				return nil, err
			}
			err := r.replace(s, i, place, name, actor{by: byRoot}, func(replacement) {})
			s.tellRestoreFailed(actor{by: byRoot}, err)
			return nil, err
		},
		replacedVerb: func(_ context.Context, request *control.Request) (any, error) {
			var name string
			if err := request.Args(&name); err != nil {
				return nil, err
			}
			return r.of(name)
		},
	}
}

// keptAs is where the configuration of before lies.
func (r replacement) keptAs() string {
	if r.Snapshot != nil {
		return r.Snapshot.Path
	}
	return r.SetAside
}

// tellRestoreFailed notes in the audit log a restore that did not come as far as a new start.
func (s *server) tellRestoreFailed(who actor, err error) {
	if err != nil {
		s.ops.audit.Append(audit.Event{Event: restoreEvent, Outcome: audit.Failed, By: who.by, From: who.from, Message: err.Error()})
	}
}

// replace has the server start anew with the store that was built in the folder name, and
// then tells how that went.
func (r *replacements) replace(s *server, i *daemon.Instance, place node.Place, name string, who actor, done func(replacement)) error {
	if !i.Gate.Open() {
		return errors.New("an update is not committed yet; restore the backup when it is")
	}
	if _, err := os.Stat(place.Schema.Path(filepath.Join(place.Data, filepath.Base(name)))); err != nil {
		return fmt.Errorf("look at the new store: %w", err)
	}
	undo, err := r.begin(name)
	if err != nil {
		return err
	}
	s.ops.audit.Append(audit.Event{Event: restoringEvent, Outcome: audit.Done, By: who.by, From: who.from, Message: "the server starts anew"})
	err = i.StartAnew(func() {
		replaced, err := place.Replace(name, func(what string) { s.log.Info("restore: " + what) })
		end := replacement{Name: name, Done: err == nil, Replaced: replaced}
		event := audit.Event{Time: time.Now(), Event: restoreEvent, Outcome: outcomeOf(err), By: who.by, From: who.from}
		if err != nil {
			end.Error, event.Message = err.Error(), err.Error()
			s.log.Error("the backup was not restored; the configuration of before is in force", "error", err)
		}
		r.end(end, event)
		done(end)
	})
	if err != nil {
		undo()
	}
	return err
}
