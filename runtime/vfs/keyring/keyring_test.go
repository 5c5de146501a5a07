package keyring_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ss-setup/runtime/vfs/crypt"
	"ss-setup/runtime/vfs/keyring"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAllProcessesOfANodeGetOneMasterKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ring")
	ring, err := keyring.Open(dir)
	must(t, err)
	keys := make([]crypt.Key, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			key, err := ring.Master()
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	all.Wait()
	for _, k := range keys {
		if k != keys[0] {
			t.Fatal("two master keys were handed out")
		}
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("%d files in the ring", len(entries))
	}
}

func TestAKeyIsNeverOverwrittenAndDamageIsToldWithoutIt(t *testing.T) {
	dir := t.TempDir()
	ring, err := keyring.Open(dir)
	must(t, err)
	master, err := ring.Master()
	must(t, err)
	key, err := crypt.NewKey()
	must(t, err)
	w, err := crypt.WrapByMaster(key, master)
	must(t, err)
	must(t, ring.Keep(w))
	if err := ring.Keep(w); !errors.Is(err, fs.ErrExist) {
		t.Errorf("kept twice: %v", err)
	}
	back, err := ring.Wrapped(key.ID())
	must(t, err)
	if got, err := back.UnwrapByMaster(master); err != nil || got != key {
		t.Errorf("%v, %v", got, err)
	}
	for _, name := range []string{"", "../x", "00/../../etc"} {
		if _, err := ring.Wrapped(name); err == nil {
			t.Errorf("%q was taken for a key", name)
		}
	}
	file := filepath.Join(dir, "master-0001.key")
	must(t, os.WriteFile(file, []byte(`{"format":"ss-server-master-key","version":1,"id":"x","key":"c2VjcmV0"}`), 0o600))
	if _, err := ring.Master(); !errors.Is(err, keyring.ErrDamaged) || strings.Contains(err.Error(), "c2Vj") || !strings.Contains(err.Error(), file) {
		t.Errorf("a damaged master key: %v", err)
	}
}

func TestTheKeyOfAVFSThatNeverWasGoes(t *testing.T) {
	ring, dir, _, vfs := ringWith(t)
	for range 2 {
		must(t, ring.Remove(vfs))
	}
	if got := names(t, dir); len(got) != 1 || got[0] != "master-0001.key" {
		t.Errorf("the ring has %q", got)
	}
	for _, name := range []string{"", "../master-0001", "*"} {
		if ring.Remove(name) == nil {
			t.Errorf("%q was taken for a key", name)
		}
	}
}
