package volume

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/keyring"
)

// encrypted is what a VFS is made of in an empty folder, with a ring that has a master key.
func encrypted(t *testing.T) (c Config, ring string) {
	t.Helper()
	ring = filepath.Join(t.TempDir(), "keyring")
	r, err := keyring.Open(ring)
	if err == nil {
		_, err = r.Master()
	}
	if err != nil {
		t.Fatal(err)
	}
	return Config{Kind: Encrypted, Dir: filepath.Join(t.TempDir(), "vfs"), Ring: r, Log: slog.New(slog.DiscardHandler)}, ring
}

func keys(t *testing.T, ring string) int {
	t.Helper()
	files, err := keyring.Files(ring)
	if err != nil {
		t.Fatal(err)
	}
	return len(files) - 1 // without the master key
}

func TestAVFSThatNobodyUsedIsTakenBackWithItsKey(t *testing.T) {
	c, ring := encrypted(t)
	if _, err := Create(c); err != nil || keys(t, ring) != 1 {
		t.Fatalf("%v, %d keys", err, keys(t, ring))
	}
	if err := Unmake(c); err != nil || keys(t, ring) != 0 {
		t.Errorf("%v, %d keys", err, keys(t, ring))
	}
	if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
		t.Errorf("the folder has %v, %v", left, err)
	}
	if _, err := Create(c); err != nil {
		t.Errorf("made again: %v", err)
	}
}

func TestOfAVFSThatWasUsedNothingIsTakenBack(t *testing.T) {
	for _, name := range []string{"file", vfs.Private + "/uploads"} {
		c, ring := encrypted(t)
		if _, err := Create(c); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(c.Dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := Unmake(c); !errors.Is(err, ErrUsed) || keys(t, ring) != 1 {
			t.Errorf("with %s: %v, %d keys", name, err, keys(t, ring))
		}
		if _, err := os.Stat(filepath.Join(c.Dir, vfs.Private, "key")); err != nil {
			t.Error(err)
		}
	}
}

// TestAKeyThatDoesNotGetIntoTheVFSStaysNowhere: what could not be written there is not
// needed here.
func TestAKeyThatDoesNotGetIntoTheVFSStaysNowhere(t *testing.T) {
	c, ring := encrypted(t)
	// In the way of the key's first name.
	if err := os.MkdirAll(filepath.Join(c.Dir, vfs.Private, "key.part"), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := disk.Open(c.Dir, c.Disk)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if id, err := createKey(root, c); err == nil || id != "" || keys(t, ring) != 0 {
		t.Errorf("key %q, %v, %d keys", id, err, keys(t, ring))
	}
	if _, err := c.Ring.Wrapped("00"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestOfAPlainVFSTheFilesOfBeforeStay(t *testing.T) {
	c, _ := encrypted(t)
	c.Kind = Disk
	file := filepath.Join(c.Dir, "file")
	if err := errors.Join(os.Mkdir(c.Dir, 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(c); err != nil {
		t.Fatal(err)
	}
	if err := Unmake(c); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(c.Dir); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := Create(c); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.Dir, vfs.Private, "uploads"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Unmake(c); !errors.Is(err, ErrUsed) {
		t.Errorf("one that was used: %v", err)
	}
}
