package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var morning = time.Date(2026, 11, 22, 8, 15, 0, 0, time.UTC)

// clockAt is a clock that a test sets forward.
type clockAt struct{ time.Time }

func (c *clockAt) now() time.Time { return c.Time }

// kept is a store with a folder for its snapshots.
func kept(t testing.TB, n int) (dir string, s Snapshots, clock *clockAt) {
	t.Helper()
	clock = &clockAt{morning}
	return newStore(t, n), Snapshots{Dir: t.TempDir(), Schema: testSchema(n), Now: clock.now}, clock
}

// note writes a value to the store and take makes a snapshot of it.
func note(t testing.TB, s Schema, dir, value string) {
	t.Helper()
	withStore(t, s, dir, func(st *Store) error {
		return st.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("step1")).Put([]byte("note"), []byte(value)) })
	})
}

func noted(t testing.TB, s Schema, dir string) (value string) {
	t.Helper()
	withStore(t, s, dir, func(st *Store) error {
		return st.View(func(tx *bbolt.Tx) error {
			value = string(tx.Bucket([]byte("step1")).Get([]byte("note")))
			return nil
		})
	})
	return value
}

func take(t testing.TB, s Snapshots, dir, reason string) (snap Snapshot) {
	t.Helper()
	withStore(t, s.Schema, dir, func(st *Store) (err error) {
		snap, err = s.Take(st, reason)
		return err
	})
	return snap
}

func withStore(t testing.TB, s Schema, dir string, fn func(*Store) error) {
	t.Helper()
	st, err := s.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fn(st), st.Close()); err != nil {
		t.Fatal(err)
	}
}

// harm writes noise over the whole store but its first pages.
func harm(t testing.TB, s Schema, dir string) (content string) {
	t.Helper()
	raw, err := os.ReadFile(s.Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	for i := 2 * pageSize; i < len(raw); i++ {
		raw[i] = byte(i * 131)
	}
	if err := os.WriteFile(s.Path(dir), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestASnapshotSaysWhatItIs(t *testing.T) {
	dir, s, clock := kept(t, 2)
	note(t, s.Schema, dir, "one")
	snap := take(t, s, dir, SnapshotUpdate)
	if want := "test-20261122T081500Z-schema2-update.db.zst"; filepath.Base(snap.Path) != want || snap.Schema != 2 || snap.Size == 0 {
		t.Errorf("got %+v, want %s", snap, want)
	}
	if again := take(t, s, dir, SnapshotUpdate); again != snap {
		t.Errorf("the same second again: %+v", again)
	}
	clock.Time = clock.Add(time.Hour)
	take(t, s, dir, SnapshotDaily)
	list, err := s.List()
	if err != nil || len(list) != 2 || list[0].Reason != SnapshotDaily || list[1] != snap {
		t.Errorf("list %+v, %v", list, err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir, "*.part")); len(left) > 0 {
		t.Errorf("left %v behind", left)
	}
}

func TestSevenSnapshotsAreKept(t *testing.T) {
	dir, s, clock := kept(t, 1)
	if err := os.WriteFile(filepath.Join(s.Dir, "notes-of-the-admin.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "test-cut.db.zst.part"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		clock.Time = clock.AddDate(0, 0, 1)
		take(t, s, dir, SnapshotDaily)
	}
	list, err := s.List()
	if err != nil || len(list) != KeptSnapshots || !list[0].Made.Equal(clock.Time) {
		t.Errorf("%d snapshots, %v", len(list), err)
	}
	if entries, _ := os.ReadDir(s.Dir); len(entries) != KeptSnapshots+1 {
		t.Errorf("the folder holds %v", entries)
	}
}

func TestADamagedStorePushesNoSnapshotOut(t *testing.T) {
	dir, s, clock := kept(t, 1)
	take(t, s, dir, SnapshotDaily)
	verify := s.Schema.Verify
	s.Schema.Verify = func(*bbolt.Tx) ([]string, error) { return nil, ErrCorrupt }
	clock.Time = clock.AddDate(0, 0, 1)
	withStore(t, s.Schema, dir, func(st *Store) error {
		if _, err := s.Take(st, SnapshotDaily); !errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v", err)
		}
		return nil
	})
	s.Schema.Verify = verify
	if entries, _ := os.ReadDir(s.Dir); len(entries) != 1 {
		t.Errorf("the folder holds %v", entries)
	}
}

func TestTheDailySnapshotIsDueAtItsHour(t *testing.T) {
	dir, s, clock := kept(t, 1)
	due := func(hour int) bool {
		t.Helper()
		is, err := s.Due(hour)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if !due(3) {
		t.Error("none is due without any")
	}
	take(t, s, dir, SnapshotDaily) // at 8:15
	for _, c := range []struct {
		after time.Duration
		hour  int
		want  bool
	}{{0, 3, false}, {18 * time.Hour, 3, false}, {19 * time.Hour, 3, true}, {time.Hour, 9, true}, {30 * time.Minute, 9, false}} {
		clock.Time = morning.Add(c.after)
		if due(c.hour) != c.want {
			t.Errorf("after %s, hour %d: due is not %v", c.after, c.hour, c.want)
		}
	}
}

func TestRepairLeavesASoundStoreAlone(t *testing.T) {
	dir, s, _ := kept(t, 1)
	before, _ := os.ReadFile(s.Schema.Path(dir))
	r, err := s.Schema.Repair(dir, s)
	if err != nil || r.Restored != nil || r.Rebuilt {
		t.Errorf("%+v, %v", r, err)
	}
	if after, _ := os.ReadFile(s.Schema.Path(dir)); string(after) != string(before) {
		t.Error("the file changed")
	}
	next := testSchema(2)
	if _, err := next.Repair(dir, s); !errors.Is(err, ErrOlderSchema) {
		t.Errorf("a store that waits for a migration: %v", err)
	}
	if _, err := s.Schema.Repair(t.TempDir(), s); !errors.Is(err, ErrNoStore) {
		t.Errorf("no store: %v", err)
	}
}

func TestRepairRestoresTheNewestSnapshotAndKeepsTheDamagedStore(t *testing.T) {
	dir, s, clock := kept(t, 1)
	for _, value := range []string{"one", "two", "three"} {
		clock.Time = clock.Add(time.Hour)
		note(t, s.Schema, dir, value)
		take(t, s, dir, SnapshotDaily)
	}
	note(t, s.Schema, dir, "lost")
	damaged := harm(t, s.Schema, dir)
	// The newest snapshot is cut, the one before is of a newer schema.
	list, _ := s.List()
	if err := os.Truncate(list[0].Path, list[0].Size/2); err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(list[0].Path, "schema1", "schema9", 1)
	if err := os.WriteFile(newer, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := s.Schema.Repair(dir, s)
	if err != nil || r.Restored == nil || r.Restored.Path != list[1].Path || len(r.Skipped) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := noted(t, s.Schema, dir); got != "two" {
		t.Errorf("the store says %q", got)
	}
	if aside, err := os.ReadFile(r.SetAside); err != nil || string(aside) != damaged {
		t.Errorf("the damaged store is not at %q: %v", r.SetAside, err)
	}
	// A second damage in the same second takes nothing away either.
	harm(t, s.Schema, dir)
	again, err := s.Schema.Repair(dir, s)
	if err != nil || again.SetAside == r.SetAside {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestRepairMigratesASnapshotOfAnOlderSchema(t *testing.T) {
	dir, s, _ := kept(t, 1)
	note(t, s.Schema, dir, "one")
	take(t, s, dir, SnapshotUpdate)
	next := testSchema(2)
	if _, err := next.Migrate(dir, false, quiet); err != nil {
		t.Fatal(err)
	}
	harm(t, next, dir)
	s.Schema = next
	r, err := next.Repair(dir, s)
	if err != nil || r.Restored == nil || r.Restored.Schema != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := noted(t, next, dir); got != "one" {
		t.Errorf("the store says %q", got)
	}
}

func TestWithoutASnapshotRepairChangesNothing(t *testing.T) {
	dir, s, _ := kept(t, 1)
	damaged := harm(t, s.Schema, dir)
	if _, err := s.Schema.Repair(dir, s); !errors.Is(err, ErrNoSnapshot) || !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the folder holds %v", entries)
	}
	if after, _ := os.ReadFile(s.Schema.Path(dir)); string(after) != damaged {
		t.Error("the file changed")
	}
}

func TestARepairThatWasCutGoesOn(t *testing.T) {
	dir, s, _ := kept(t, 1)
	note(t, s.Schema, dir, "one")
	take(t, s, dir, SnapshotDaily)
	harm(t, s.Schema, dir)
	path := s.Schema.Path(dir)
	// As after the first rename.
	if err := os.Rename(path, path+".damaged-20261122T080000Z"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".restored.part", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := s.Schema.Repair(dir, s)
	if err != nil || r.Restored == nil || r.SetAside != "" {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := noted(t, s.Schema, dir); got != "one" {
		t.Errorf("the store says %q", got)
	}
}

func TestRepairMakesAnewWhatIsDerived(t *testing.T) {
	dir, s, _ := kept(t, 1)
	fits := false
	s.Schema.Verify = func(*bbolt.Tx) ([]string, error) {
		if fits {
			return []string{"a fault"}, nil
		}
		return nil, ErrInconsistent
	}
	if _, err := s.Schema.Repair(dir, s); err == nil {
		t.Error("rebuilt without knowing how")
	}
	s.Schema.Rebuild = func(*bbolt.Tx) error { fits = true; return nil }
	r, err := s.Schema.Repair(dir, s)
	if err != nil || !r.Rebuilt || len(r.Faults) != 1 || r.Restored != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzASnapshotThatIsNoneRestoresNothing(f *testing.F) {
	dir, s, _ := kept(f, 1)
	snap := take(f, s, dir, SnapshotDaily)
	sound, err := os.ReadFile(snap.Path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound)
	f.Add(sound[:len(sound)/2])
	f.Add([]byte{})
	f.Add([]byte("\x28\xb5\x2f\xfd\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(snap.Path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, "fresh.db")
		err := s.Schema.unfold(snap, to)
		if err != nil {
			return
		}
		db, err := s.Schema.openFile(to, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Schema.checkDB(db); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAClockThatWasAheadStopsNoSnapshotsAndMakesNoneTheNewest: the snapshots of a wrong
// year would else be the newest for years.
func TestAClockThatWasAheadStopsNoSnapshotsAndMakesNoneTheNewest(t *testing.T) {
	dir, s, clock := kept(t, 1)
	clock.Time = morning.AddDate(9, 0, 0)
	for range KeptSnapshots {
		note(t, s.Schema, dir, "old")
		take(t, s, dir, SnapshotDaily)
		clock.Time = clock.AddDate(0, 0, 1)
	}
	clock.Time = morning
	if due, err := s.Due(3); err != nil || !due {
		t.Errorf("due when the clock was put right: %v, %v", due, err)
	}
	note(t, s.Schema, dir, "new")
	for range 2 {
		take(t, s, dir, SnapshotDaily)
		clock.Time = clock.AddDate(0, 0, 1)
	}
	list, err := s.List()
	if err != nil || len(list) != KeptSnapshots || !list[1].Made.Equal(morning) {
		t.Errorf("kept: %v, %v", list, err)
	}
	harm(t, s.Schema, dir)
	if _, err := s.Schema.Repair(dir, s); err != nil {
		t.Fatal(err)
	}
	if got := noted(t, s.Schema, dir); got != "new" {
		t.Errorf("repair restored the %s one", got)
	}
}
