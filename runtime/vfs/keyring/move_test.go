package keyring_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ss-setup/runtime/vfs/crypt"
	"ss-setup/runtime/vfs/keyring"
)

// ringWith is a ring with a master key and the key of a VFS.
func ringWith(t testing.TB) (r *keyring.Ring, dir string, master crypt.Key, vfs string) {
	t.Helper()
	dir = t.TempDir()
	r, err := keyring.Open(dir)
	must(t, err)
	master, err = r.Master()
	must(t, err)
	key, err := crypt.NewKey()
	must(t, err)
	w, err := crypt.WrapByMaster(key, master)
	must(t, err)
	must(t, r.Keep(w))
	return r, dir, master, key.ID()
}

func names(t testing.TB, dir string) (out []string) {
	t.Helper()
	files, err := keyring.Files(dir)
	must(t, err)
	for _, f := range files {
		out = append(out, f.Name)
	}
	return out
}

// TestTwoRingsBecomeOneThoughTheirMasterKeysHaveOneNumber: each machine's first master
// key is number 1, and a backup of one is restored on the other.
func TestTwoRingsBecomeOneThoughTheirMasterKeysHaveOneNumber(t *testing.T) {
	here, dir, mine, _ := ringWith(t)
	there, _, other, vfs := ringWith(t)
	before, err := os.ReadFile(filepath.Join(dir, "master-0001.key"))
	must(t, err)
	for i, want := range []int{2, 0} {
		if n, err := here.Absorb(there); err != nil || n != want {
			t.Errorf("time %d: %d keys, %v", i+1, n, err)
		}
	}
	masters, err := here.Masters()
	must(t, err)
	if !slices.Equal(masters, []crypt.Key{other, mine}) {
		t.Errorf("the ring has %d master keys, not both with the other's last", len(masters))
	}
	after, err := os.ReadFile(filepath.Join(dir, "master-0001.key"))
	must(t, err)
	if string(before) != string(after) {
		t.Error("a key was overwritten")
	}
	w, err := here.Wrapped(vfs)
	must(t, err)
	if _, err := w.UnwrapByMaster(masters...); err != nil {
		t.Errorf("the VFS's key: %v", err)
	}
}

func TestAnEmptyRingTakesAnotherAsItIs(t *testing.T) {
	there, from, _, _ := ringWith(t)
	must(t, os.Rename(filepath.Join(from, "master-0001.key"), filepath.Join(from, "master-0007.key")))
	dir := t.TempDir()
	here, err := keyring.Open(dir)
	must(t, err)
	if n, err := here.Absorb(there); err != nil || n != 2 || !slices.Equal(names(t, dir), names(t, from)) {
		t.Errorf("%d keys, %v: %q", n, err, names(t, dir))
	}
}

func TestARingTakesNothingThatIsNoKey(t *testing.T) {
	_, from, master, _ := ringWith(t)
	files, err := keyring.Files(from)
	must(t, err)
	forged, err := json.Marshal(map[string]any{"format": "ss-server-master-key", "version": 1, "id": master.ID(), "key": make([]byte, 32)})
	must(t, err)
	for _, f := range []keyring.File{
		{Name: "master-0002.key", Content: []byte("{}")},
		{Name: "master-2.key", Content: files[0].Content},
		{Name: "other.key", Content: files[0].Content},
		{Name: "vfs-00.key", Content: files[1].Content},
		{Name: "../master-0001.key", Content: files[0].Content},
	} {
		dir := t.TempDir()
		ring, err := keyring.Open(dir)
		must(t, err)
		if err := ring.Import(f); !errors.Is(err, keyring.ErrDamaged) || len(names(t, dir)) > 0 {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	here, dir, _, _ := ringWith(t)
	must(t, here.Import(keyring.File{Name: "master-0002.key", Content: files[0].Content}))
	if err := here.Import(keyring.File{Name: "master-0002.key", Content: forged}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("imported over another: %v", err)
	}
	evil, err := keyring.Open(t.TempDir())
	must(t, err)
	must(t, evil.Import(keyring.File{Name: "master-0001.key", Content: forged}))
	if n, err := here.Absorb(evil); n != 0 || !errors.Is(err, keyring.ErrDamaged) {
		t.Errorf("a forged key of a known name: %d, %v", n, err)
	}
	if got := names(t, dir); len(got) != 3 {
		t.Errorf("the ring has %q", got)
	}
}
