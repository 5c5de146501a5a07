package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// fresh is a store of schema n in a file beside dir, with a note in it.
func fresh(t *testing.T, n int, value string) string {
	t.Helper()
	dir := newStore(t, n)
	note(t, testSchema(n), dir, value)
	return testSchema(n).Path(dir)
}

func TestAStoreTakesThePlaceOfAnotherOfWhichASnapshotIsKept(t *testing.T) {
	dir, snapshots, _ := kept(t, 1)
	s := snapshots.Schema
	note(t, s, dir, "old")
	var told []string
	r, err := s.Replace(dir, fresh(t, 1, "new"), snapshots, func(what string) { told = append(told, what) })
	if err != nil || r.Snapshot == nil || r.Snapshot.Reason != SnapshotRestore || r.SetAside != "" {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := noted(t, s, dir); got != "new" {
		t.Errorf("the store has %q", got)
	}
	if !slices.Contains(told, "putting the new store in place") {
		t.Errorf("told: %q", told)
	}
	old := t.TempDir()
	if err := s.unfold(*r.Snapshot, s.Path(old)); err != nil {
		t.Fatal(err)
	}
	if got := noted(t, s, old); got != "old" {
		t.Errorf("the snapshot has %q", got)
	}
}

func TestAStoreThatGivesNoSnapshotIsKeptItselfWhenItIsReplaced(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, s Schema, dir string){
		"damaged": func(t *testing.T, s Schema, dir string) { harm(t, s, dir) },
		"newer": func(t *testing.T, _ Schema, dir string) {
			if _, err := testSchema(2).Migrate(dir, false, quiet); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, snapshots, _ := kept(t, 1)
			s := snapshots.Schema
			spoil(t, s, dir)
			was, err := os.ReadFile(s.Path(dir))
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Replace(dir, fresh(t, 1, "new"), snapshots, func(string) {})
			if err != nil || r.Snapshot != nil {
				t.Fatalf("%+v, %v", r, err)
			}
			if is, err := os.ReadFile(r.SetAside); err != nil || string(is) != string(was) {
				t.Errorf("%s is not the store of before: %v", r.SetAside, err)
			}
			if got := noted(t, s, dir); got != "new" {
				t.Errorf("the store has %q", got)
			}
		})
	}
}

func TestAStoreTakesThePlaceOfNone(t *testing.T) {
	dir, snapshots, _ := kept(t, 1)
	if err := os.Remove(snapshots.Schema.Path(dir)); err != nil {
		t.Fatal(err)
	}
	r, err := snapshots.Schema.Replace(dir, fresh(t, 1, "new"), snapshots, func(string) {})
	if err != nil || r != (Replaced{}) || noted(t, snapshots.Schema, dir) != "new" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAStoreInUseIsNotReplacedAndADamagedOneReplacesNone(t *testing.T) {
	dir, snapshots, _ := kept(t, 1)
	s := snapshots.Schema
	note(t, s, dir, "old")
	withStore(t, s, dir, func(*Store) error {
		if _, err := s.Replace(dir, fresh(t, 1, "new"), snapshots, func(string) {}); !errors.Is(err, ErrInUse) {
			t.Errorf("in use: %v", err)
		}
		return nil
	})
	for name, file := range map[string]string{"of another schema": fresh(t, 2, "new"), "damaged": func() string {
		path := fresh(t, 1, "new")
		harm(t, s, filepath.Dir(path))
		return path
	}()} {
		if r, err := s.Replace(dir, file, snapshots, func(string) {}); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if got := noted(t, s, dir); got != "old" {
		t.Errorf("the store has %q", got)
	}
}

func TestTheSnapshotJustMadeStaysThoughTheClockWasSetBack(t *testing.T) {
	dir, s, clock := kept(t, 1)
	for range KeptSnapshots + 1 {
		clock.Time = clock.Add(time.Hour)
		take(t, s, dir, SnapshotDaily)
	}
	clock.Time = morning.AddDate(0, 0, -1)
	if snap := take(t, s, dir, SnapshotManual); snap.Size == 0 {
		t.Errorf("%+v", snap)
	}
}
