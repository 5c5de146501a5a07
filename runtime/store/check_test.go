package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

const pageSize = 4096

// filledStore is a store of several levels: branch pages, overflow pages, nested and
// inline buckets, free pages.
func filledStore(t testing.TB) (dir string, content []byte) {
	t.Helper()
	dir = newStore(t, 1)
	st, err := testSchema(1).Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		err = st.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("step1"))
			for i := range 300 {
				if err := b.Put(fmt.Appendf(nil, "key-%03d", i), make([]byte, 100+round+i%7*40)); err != nil {
					return err
				}
			}
			if err := b.Put([]byte("large"), make([]byte, 3*pageSize)); err != nil {
				return err
			}
			inner, err := b.CreateBucketIfNotExists([]byte("inner"))
			if err != nil {
				return err
			}
			return inner.Put([]byte("k"), []byte("v"))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(filepath.Join(dir, "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, content
}

func checkContent(t testing.TB, dir string, content []byte) error {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "test.db"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := testSchema(1).Check(dir)
	return err
}

func TestCheckAcceptsASoundStore(t *testing.T) {
	dir, content := filledStore(t)
	if err := checkContent(t, dir, content); err != nil {
		t.Fatal(err)
	}
	if _, err := testSchema(2).Check(dir); err != nil {
		t.Errorf("a store of an older schema: %v", err)
	}
}

func TestCheckTellsDamageAsSuchAndSurvives(t *testing.T) {
	dir, sound := filledStore(t)
	pages := len(sound) / pageSize
	damages := map[string]func(content []byte, page int) []byte{
		"cut off": func(content []byte, page int) []byte { return content[:page*pageSize+100] },
		"zeroed": func(content []byte, page int) []byte {
			clear(content[page*pageSize:][:pageSize])
			return content
		},
		"noise": func(content []byte, page int) []byte {
			for i := range pageSize {
				content[page*pageSize+i] = byte(i*131 + page*17 + i/256)
			}
			return content
		},
		"wild page number": func(content []byte, page int) []byte {
			copy(content[page*pageSize+16+8:], []byte{0, 0, 0, 0, 0, 1, 0, 0})
			return content
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			found := 0
			for page := range pages {
				err := checkContent(t, dir, damage(append([]byte(nil), sound...), page))
				if err != nil && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("page %d: got %v, want ErrCorrupt", page, err)
				}
				if err != nil {
					found++
				}
			}
			// Free pages and the older of the two meta pages may be damaged unnoticed.
			if found < pages/4 {
				t.Errorf("only %d of %d damaged pages were found", found, pages)
			}
		})
	}
}

func TestCheckRefusesWhatIsNoStore(t *testing.T) {
	dir := t.TempDir()
	if _, err := testSchema(1).Check(dir); !errors.Is(err, ErrNoStore) {
		t.Errorf("missing: got %v, want ErrNoStore", err)
	}
	for _, size := range []int{1, pageSize, 3 * pageSize, 0} {
		if err := checkContent(t, dir, make([]byte, size)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d zero bytes: got %v, want ErrCorrupt", size, err)
		}
		if info, err := os.Stat(filepath.Join(dir, "test.db")); err != nil || info.Size() != int64(size) {
			t.Errorf("%d zero bytes: the check changed the file: %v, %v", size, info, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "test.db")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "test.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := testSchema(1).Check(dir); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a folder: got %v, want ErrCorrupt", err)
	}
}

func FuzzCheckSurvivesDamage(f *testing.F) {
	dir, sound := filledStore(f)
	f.Add(uint32(0), []byte{})
	f.Add(uint32(2*pageSize), []byte{0xff, 0xff, 0xff})
	f.Add(uint32(3*pageSize+10), make([]byte, 40))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		content := append([]byte(nil), sound...)
		copy(content[int(at)%len(content):], patch)
		if err := checkContent(t, dir, content); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewerSchema) {
			t.Fatalf("got %v, want ErrCorrupt", err)
		}
	})
}
