package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/store"
	"ss-setup/runtime/verbs"
)

const snapshotVerb = "snapshot"

// snapshotHour is when the daily snapshot is made unless the settings say otherwise.
const snapshotHour = 3

func stateFlag() cli.Flag {
	return &cli.StringFlag{Name: "state", Usage: "the `DIR` outside the generations", Value: daemon.DefaultState(name)}
}

// snapshotsIn are those in the folder outside the generations.
func snapshotsIn(state string) store.Snapshots {
	return store.Snapshots{Dir: daemon.Snapshots(state), Schema: schema(), Now: time.Now}
}

func snapshotCommand() *cli.Command {
	return &cli.Command{
		Name:  snapshotVerb,
		Usage: "make a snapshot of the configuration beside the daily ones, or list them",
		Flags: []cli.Flag{
			homeFlag(), stateFlag(), controlFlag(), verbs.JSONFlag(),
			&cli.StringFlag{Name: "reason", Usage: "a `WORD` for its name", Value: store.SnapshotManual},
			&cli.BoolFlag{Name: "list", Usage: "make none, list those there are"},
		},
		Action: func(c *cli.Context) error {
			list, err := wantedSnapshots(c)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(list)
			}
			for _, s := range list {
				fmt.Fprintf(c.App.Writer, "%s  schema %d  %-8s %9d bytes  %s\n", s.Made.Local().Format(time.DateTime), s.Schema, s.Reason, s.Size, s.Path)
			}
			return nil
		},
	}
}

func wantedSnapshots(c *cli.Context) ([]store.Snapshot, error) {
	if c.Bool("list") {
		return snapshotsIn(c.String("state")).List()
	}
	s, err := takeSnapshot(c.Context, c.String("control"), c.String("home"), c.String("state"), c.String("reason"))
	if err != nil {
		return nil, forRoot(snapshotVerb, err, os.Geteuid())
	}
	return []store.Snapshot{s}, nil
}

// takeSnapshot asks the running server; if none runs it works on the store itself.
func takeSnapshot(ctx context.Context, controlPath, homePath, state, reason string) (s store.Snapshot, err error) {
	// The stream has nothing in it; with one an answer may take its time.
	err = control.Ask(ctx, controlPath, control.Question{Verb: snapshotVerb, Args: reason, Out: io.Discard}, &s)
	if !errors.Is(err, control.ErrNotRunning) {
		return s, err
	}
	home, err := daemon.Find(homePath, dataLink)
	if err != nil {
		return s, err
	}
	st, err := schema().Open(home.Data)
	if err != nil {
		return s, err
	}
	s, err = snapshotsIn(state).Take(st, reason)
	return s, errors.Join(err, st.Close())
}

// snapshotKeeper makes the snapshots of a running server, one at a time.
type snapshotKeeper struct {
	snapshots store.Snapshots
	store     *store.Store
	mu        sync.Mutex
	cancel    context.CancelFunc
	done      chan struct{}
}

func keepSnapshots(state string, st *store.Store, hour func() int, log *slog.Logger) *snapshotKeeper {
	ctx, cancel := context.WithCancel(context.Background())
	k := &snapshotKeeper{snapshots: snapshotsIn(state), store: st, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(k.done)
		k.snapshots.KeepDaily(ctx, k, hour, log)
	}()
	return k
}

// Take makes a snapshot.
func (k *snapshotKeeper) Take(s store.Snapshots, reason string) (store.Snapshot, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return s.Take(k.store, reason)
}

// Close waits for a snapshot under way.
func (k *snapshotKeeper) Close() error {
	k.cancel()
	<-k.done
	k.mu.Lock()
	defer k.mu.Unlock()
	return nil
}

func (k *snapshotKeeper) verb(_ context.Context, r *control.Request) (any, error) {
	reason := store.SnapshotManual
	if err := r.Args(&reason); err != nil {
		return nil, err
	}
	return k.Take(k.snapshots, reason)
}

func repairCommand() *cli.Command {
	return &cli.Command{
		Name:  "repair",
		Usage: "put a stopped server's store in order: set a damaged one aside, restore the newest snapshot",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "the data `DIR` of one generation", Required: true},
			stateFlag(), verbs.JSONFlag(),
		},
		Action: func(c *cli.Context) error {
			r, err := schema().Repair(c.String("data"), snapshotsIn(c.String("state")))
			if c.Bool("json") {
				err = errors.Join(err, json.NewEncoder(c.App.Writer).Encode(r))
			} else {
				tellRepair(c.App.Writer, r, err)
			}
			return err
		},
	}
}

func tellRepair(w io.Writer, r store.Repaired, err error) {
	for _, why := range r.Skipped {
		fmt.Fprintln(w, "not used:", why)
	}
	for _, fault := range r.Faults {
		fmt.Fprintln(w, "to look at:", fault)
	}
	switch {
	case err != nil:
	case r.Restored != nil:
		fmt.Fprintf(w, "The store was damaged. It is set aside as %s; in its place is the snapshot of %s.\n",
			r.SetAside, r.Restored.Made.Local().Format(time.DateTime))
	case r.Rebuilt:
		fmt.Fprintln(w, "The store's index did not fit and was made anew; nothing is lost.")
	default:
		fmt.Fprintln(w, "The store is sound.")
	}
}
