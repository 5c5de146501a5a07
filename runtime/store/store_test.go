package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var errBroken = errors.New("broken on purpose")

// testSchema is a schema of n migrations; each leaves a bucket of its name.
func testSchema(n int) Schema {
	s := Schema{Product: "test-product", File: "test.db", LockWait: 50 * time.Millisecond}
	for i := range n {
		name := fmt.Sprintf("step%d", i+1)
		s.Migrations = append(s.Migrations, Migration{Name: name, Apply: func(tx *bbolt.Tx, progress Progress) error {
			progress(1, 2)
			_, err := tx.CreateBucket([]byte(name))
			return err
		}})
	}
	return s
}

func quiet(int64, int64, string) {}

// newStore is a folder with a store of schema n.
func newStore(t testing.TB, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if from, err := testSchema(n).Migrate(dir, true, quiet); err != nil || from != 0 {
		t.Fatalf("make a store: from %d, %v", from, err)
	}
	return dir
}

func buckets(t *testing.T, s Schema, dir string) (names []string) {
	t.Helper()
	st, err := s.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	err = st.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			names = append(names, string(name))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestOpen(t *testing.T) {
	t.Run("opens a store of its own schema", func(t *testing.T) {
		st, err := testSchema(2).Open(newStore(t, 2))
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if st.Schema() != 2 {
			t.Errorf("schema %d, want 2", st.Schema())
		}
	})
	t.Run("never makes a store", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := testSchema(1).Open(dir); !errors.Is(err, ErrNoStore) {
			t.Fatalf("got %v, want ErrNoStore", err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("left %v behind", left)
		}
	})
	t.Run("names the cure when the store is missing", func(t *testing.T) {
		if _, err := testSchema(1).Open("/nowhere"); err == nil || err.Error() != "no store in /nowhere; run ss-setup install --repair" {
			t.Errorf("got %q", err)
		}
	})
	t.Run("refuses a newer schema", func(t *testing.T) {
		if _, err := testSchema(1).Open(newStore(t, 2)); !errors.Is(err, ErrNewerSchema) {
			t.Errorf("got %v, want ErrNewerSchema", err)
		}
	})
	t.Run("refuses an older schema and leaves it so", func(t *testing.T) {
		dir := newStore(t, 1)
		before, _ := os.ReadFile(filepath.Join(dir, "test.db"))
		if _, err := testSchema(2).Open(dir); !errors.Is(err, ErrOlderSchema) {
			t.Errorf("got %v, want ErrOlderSchema", err)
		}
		if after, _ := os.ReadFile(filepath.Join(dir, "test.db")); !bytes.Equal(before, after) {
			t.Error("the file changed")
		}
	})
	t.Run("refuses the store of another program", func(t *testing.T) {
		other := testSchema(1)
		other.Product = "other-product"
		if _, err := other.Open(newStore(t, 1)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), `belongs to "test-product"`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a store that another process holds", func(t *testing.T) {
		dir := newStore(t, 1)
		st, err := testSchema(1).Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if _, err := testSchema(1).Open(dir); !errors.Is(err, ErrInUse) {
			t.Errorf("open: got %v, want ErrInUse", err)
		}
		if _, err := testSchema(1).Check(dir); !errors.Is(err, ErrInUse) {
			t.Errorf("check: got %v, want ErrInUse", err)
		}
		if _, err := testSchema(1).Migrate(dir, true, quiet); !errors.Is(err, ErrInUse) {
			t.Errorf("migrate: got %v, want ErrInUse", err)
		}
	})
}

func TestMigrate(t *testing.T) {
	t.Run("makes an empty store only when told to", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := testSchema(1).Migrate(dir, false, quiet); !errors.Is(err, ErrNoStore) {
			t.Fatalf("got %v, want ErrNoStore", err)
		}
		if _, err := testSchema(1).Migrate(dir, true, quiet); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "test.db"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
		}
	})
	t.Run("does not make the folder", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "gone")
		if _, err := testSchema(1).Migrate(dir, true, quiet); err == nil {
			t.Error("no error for a missing folder")
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("made the folder")
		}
	})
	t.Run("starts over what a cut left of a new store", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "test.db.new"), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := testSchema(1).Migrate(dir, true, quiet); err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("left %v, want the store alone", left)
		}
	})
	t.Run("leaves nothing of a new store that failed", func(t *testing.T) {
		dir, s := t.TempDir(), testSchema(2)
		s.Migrations[1].Apply = func(*bbolt.Tx, Progress) error { return errBroken }
		if _, err := s.Migrate(dir, true, quiet); !errors.Is(err, errBroken) {
			t.Fatalf("got %v", err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("left %v", left)
		}
	})
	t.Run("goes step by step to the newest schema", func(t *testing.T) {
		dir := newStore(t, 1)
		from, err := testSchema(3).Migrate(dir, false, quiet)
		if err != nil || from != 1 {
			t.Fatalf("from %d, %v; want 1, nil", from, err)
		}
		if got := fmt.Sprint(buckets(t, testSchema(3), dir)); got != "[meta step1 step2 step3]" {
			t.Errorf("buckets %s", got)
		}
	})
	t.Run("keeps nothing of a migration that failed", func(t *testing.T) {
		dir, s := newStore(t, 1), testSchema(3)
		s.Migrations[2].Apply = func(tx *bbolt.Tx, _ Progress) error {
			if _, err := tx.CreateBucket([]byte("half")); err != nil {
				return err
			}
			return errBroken
		}
		_, err := s.Migrate(dir, false, quiet)
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "to schema 3 (step3)") {
			t.Fatalf("got %v", err)
		}
		if got := fmt.Sprint(buckets(t, testSchema(2), dir)); got != "[meta step1 step2]" {
			t.Errorf("buckets %s", got)
		}
	})
	t.Run("changes nothing when run again", func(t *testing.T) {
		dir := newStore(t, 2)
		before, _ := os.ReadFile(filepath.Join(dir, "test.db"))
		if from, err := testSchema(2).Migrate(dir, true, quiet); err != nil || from != 2 {
			t.Fatalf("from %d, %v", from, err)
		}
		if after, _ := os.ReadFile(filepath.Join(dir, "test.db")); !bytes.Equal(before, after) {
			t.Error("the file changed")
		}
	})
	t.Run("refuses a newer schema", func(t *testing.T) {
		if _, err := testSchema(1).Migrate(newStore(t, 2), true, quiet); !errors.Is(err, ErrNewerSchema) {
			t.Errorf("got %v, want ErrNewerSchema", err)
		}
	})
	t.Run("reports what it does", func(t *testing.T) {
		var heard []string
		report := func(done, total int64, message string) {
			heard = append(heard, fmt.Sprintf("%d/%d %s", done, total, message))
		}
		if _, err := testSchema(2).Migrate(newStore(t, 1), false, report); err != nil {
			t.Fatal(err)
		}
		want := "0/0 checking the store|0/0 schema 2: step2|1/2 schema 2: step2|0/0 checking the migrated store|1/1 the store has schema 2"
		if got := strings.Join(heard, "|"); got != want {
			t.Errorf("heard %s", got)
		}
	})
}
