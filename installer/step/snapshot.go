package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"ss-setup/installer/machine"
)

// SnapshotStore has the release in force copy the server's store into the folder of
// snapshots, while it serves. It is one more way back and no condition of an update: the
// old generation lies untouched, too.
type SnapshotStore struct {
	Release    string `json:"release"`
	Generation int    `json:"generation"`
}

// snapshotPatience bounds what an update waits for it.
const snapshotPatience = 2 * time.Minute

// Kind implements Step.
func (s *SnapshotStore) Kind() string { return "snapshot_store" }

func (s *SnapshotStore) String() string { return "make a snapshot of the store of ss-server" }

// snapshotsBefore are the names of those that were there.
type snapshotsBefore struct {
	Names []string `json:"names,omitempty"`
}

// Prepare notes which snapshots there are.
func (s *SnapshotStore) Prepare(_ context.Context, m *Machine) (any, error) {
	names, err := snapshotNames(m, ofUpdate)
	return snapshotsBefore{names}, err
}

// ofUpdate is how the names of snapshots end that an update made, whole or cut.
var ofUpdate = regexp.MustCompile(`-update\.db\.zst(\..*)?$`)

func snapshotNames(m *Machine, which *regexp.Regexp) ([]string, error) {
	entries, err := m.FS.ReadDir(machine.SnapshotsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if which.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Do makes the snapshot.
func (s *SnapshotStore) Do(ctx context.Context, m *Machine) error {
	if m.Offline {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, snapshotPatience)
	defer cancel()
	err := m.Programs.Run(limited, Command{
		Path: program(s.Release, machine.ServerService),
		Args: []string{"snapshot", "--reason", "update", "--home", m.FS.Real(machine.Generation(s.Generation)), "--state", m.FS.Real(machine.ServerStateDir)},
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		// A release before snapshots knows no such verb.
		m.Log.Info("no snapshot was made before the update", "release", s.Release, "error", err)
	}
	return nil
}

// Undo removes the snapshot: updates that fail again and again must not push out those
// of other days.
func (s *SnapshotStore) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var before snapshotsBefore
	if err := json.Unmarshal(undo, &before); err != nil {
		return err
	}
	names, err := snapshotNames(m, ofUpdate)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(before.Names, name) {
			continue
		}
		if err := m.FS.Remove(filepath.Join(machine.SnapshotsDir, name)); err != nil {
			return err
		}
	}
	return nil
}

// RepairStore has the release put the copy of a store in order: make anew what is derived
// of its content, or set a damaged one aside, never deleted, for the newest snapshot.
type RepairStore struct {
	Store
	Release string `json:"release"`
}

// Kind implements Step.
func (s *RepairStore) Kind() string { return "repair_store" }

func (s *RepairStore) String() string {
	return fmt.Sprintf("check the store of %s and put it in order", s.Service)
}

// Prepare needs nothing: the copy is this run's own.
func (s *RepairStore) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// repaired is what the program says that it did.
type repaired struct {
	Rebuilt  bool `json:"rebuilt"`
	Restored *struct {
		Made time.Time `json:"made"`
	} `json:"restored"`
	SetAside string   `json:"set_aside"`
	Faults   []string `json:"faults"`
}

// Do repairs. It may be cut anywhere and done again.
func (s *RepairStore) Do(ctx context.Context, m *Machine) error {
	if m.FS.Exists(s.to()) {
		return nil
	}
	uid, gid, err := m.owner(s.Account)
	if err != nil {
		return err
	}
	if err := setOwners(m.FS, s.part(), uid, gid); err != nil {
		return err
	}
	var did repaired
	err = m.Programs.Run(ctx, Command{
		Path: program(s.Release, s.Service), User: s.Account,
		Args: []string{"repair", "--json", "--data", m.FS.Real(s.part()), "--state", m.FS.Real(machine.ServerStateDir)},
		Line: func(line []byte) { _ = json.Unmarshal(line, &did) },
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("repair the store of %s: %w", s.Service, err)
	}
	s.tell(m, did)
	return nil
}

func (s *RepairStore) tell(m *Machine, did repaired) {
	switch {
	case did.Restored != nil:
		text := fmt.Sprintf("The store of %s was damaged. In its place is the snapshot of %s; what was changed since is lost.",
			s.Service, did.Restored.Made.Local().Format(time.DateTime))
		if did.SetAside != "" {
			text += fmt.Sprintf(" The damaged one is kept as %s.", filepath.Join(s.to(), filepath.Base(did.SetAside)))
		}
		m.warn(text)
	case did.Rebuilt:
		m.warn(fmt.Sprintf("An index of the store of %s did not fit and was made anew; nothing is lost.", s.Service))
	}
	for _, fault := range did.Faults {
		m.warn("To look at: " + fault)
	}
}

// Undo removes the copy.
func (s *RepairStore) Undo(_ context.Context, m *Machine, _ json.RawMessage) error {
	return s.remove(m)
}
