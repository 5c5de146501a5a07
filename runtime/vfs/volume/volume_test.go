package volume_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/crypt"
	"ss-setup/runtime/vfs/keyring"
	"ss-setup/runtime/vfs/quota"
	"ss-setup/runtime/vfs/vfstest"
	"ss-setup/runtime/vfs/volume"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// config is a VFS of one kind in a folder that is not made yet.
func config(t testing.TB, kind volume.Kind) volume.Config {
	t.Helper()
	dir := t.TempDir()
	ring, err := keyring.Open(filepath.Join(dir, "keyring"))
	must(t, err)
	return volume.Config{Kind: kind, Dir: filepath.Join(dir, "vfs"), Ring: ring, Log: slog.New(slog.DiscardHandler)}
}

func open(t testing.TB, c volume.Config) *volume.Volume {
	t.Helper()
	v, err := volume.Open(c)
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	return v
}

func home(t testing.TB, v *volume.Volume, dir, owner string) *volume.Tree {
	t.Helper()
	tree, err := v.Tree(vfstest.Path(t, dir), owner)
	must(t, err)
	t.Cleanup(func() { must(t, tree.Close()) })
	return tree
}

func TestAVolumeIsMadeOpenedAndOpenedAgain(t *testing.T) {
	for _, kind := range []volume.Kind{volume.Disk, volume.Encrypted} {
		t.Run(string(kind), func(t *testing.T) {
			c := config(t, kind)
			id, err := volume.Create(c)
			must(t, err)
			content := bytes.Repeat([]byte("content "), 20_000)
			vfstest.Put(t, home(t, open(t, c), "/users/alice", "alice"), "/f", content)
			tree := home(t, open(t, c), "/users/alice", "alice")
			if !bytes.Equal(vfstest.Get(t, tree, "/f"), content) {
				t.Error("another content came back")
			}
			if len(vfstest.Names(t, home(t, open(t, c), "/", "root"), "/")) != 1 {
				t.Error("the server's own folder is listed")
			}
			stored, err := open(t, c).Content(vfstest.Path(t, "/users/alice"))
			must(t, err)
			defer stored.Close()
			if info, err := stored.Stat(vfstest.Path(t, "/f")); err != nil || info.Size != int64(len(content)) {
				t.Errorf("%+v, %v", info, err)
			}
			if (id != "") != (kind == volume.Encrypted) {
				t.Errorf("key %q", id)
			}
		})
	}
}

func TestTheKeyComesFromTheVFSOrTheRingAndFromNowhereElse(t *testing.T) {
	c := config(t, volume.Encrypted)
	id, err := volume.Create(c)
	must(t, err)
	vfstest.Put(t, home(t, open(t, c), "/", "a"), "/f", []byte("x"))
	atRoot := filepath.Join(c.Dir, vfs.Private, "key")
	must(t, os.Remove(atRoot))
	if _, err := volume.Open(c); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without its key: %v", err)
	}
	c.KeyID = id
	if got := vfstest.Get(t, home(t, open(t, c), "/", "a"), "/f"); string(got) != "x" {
		t.Errorf("read %q", got)
	}
	if _, err := os.Stat(atRoot); err != nil {
		t.Errorf("the copy was not put back: %v", err)
	}
	elsewhere := c
	elsewhere.Ring, err = keyring.Open(t.TempDir())
	must(t, err)
	if _, err := volume.Open(elsewhere); !errors.Is(err, crypt.ErrMaster) {
		t.Errorf("on another node: %v", err)
	}
	must(t, os.WriteFile(atRoot, []byte("{}"), 0o600))
	if _, err := volume.Open(c); !errors.Is(err, crypt.ErrKeyDamaged) {
		t.Errorf("with a damaged key: %v", err)
	}
}

func TestAPassphraseOpensAVFSOnAnyNode(t *testing.T) {
	c := config(t, volume.Encrypted)
	c.Passphrase = "open sesame, please"
	_, err := volume.Create(c)
	must(t, err)
	c.Ring, err = keyring.Open(t.TempDir())
	must(t, err)
	vfstest.Put(t, home(t, open(t, c), "/", "a"), "/f", []byte("x"))
	for passphrase, want := range map[string]error{"": crypt.ErrNeedsPassphrase, "open sesame": crypt.ErrPassphrase} {
		c.Passphrase = passphrase
		if _, err := volume.Open(c); !errors.Is(err, want) {
			t.Errorf("with %q: %v", passphrase, err)
		}
	}
}

// The configuration goes back to an older one, as with ss-setup rollback, and knows the
// VFS no more; its files and the key ring stay.
func TestAnEncryptedVFSThatIsThereIsTakenOverByWhoHasItsKey(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse battery"} {
		c := config(t, volume.Encrypted)
		c.Passphrase = passphrase
		id, err := volume.Create(c)
		must(t, err)
		vfstest.Put(t, home(t, open(t, c), "/", "alice"), "/f", []byte("kept"))
		again, err := volume.Create(c)
		if err != nil || again != id {
			t.Errorf("passphrase %q: key %q, was %q: %v", passphrase, again, id, err)
		}
		if got := vfstest.Get(t, home(t, open(t, c), "/", "alice"), "/f"); string(got) != "kept" {
			t.Errorf("reads %q", got)
		}

		other := c
		if passphrase == "" {
			other.Passphrase = "another passphrase"
			if _, err := volume.Create(other); err == nil || !strings.Contains(err.Error(), "needs no passphrase") {
				t.Errorf("with a passphrase: %v", err)
			}
			other = config(t, volume.Encrypted) // another node's key ring
			other.Dir = c.Dir
			if _, err := volume.Create(other); !errors.Is(err, crypt.ErrMaster) || !errors.Is(err, volume.ErrFolder) {
				t.Errorf("on another node: %v", err)
			}
			continue
		}
		other.Passphrase = "wrong"
		if _, err := volume.Create(other); !errors.Is(err, crypt.ErrPassphrase) {
			t.Errorf("with another passphrase: %v", err)
		}
		other.Ring, err = keyring.Open(filepath.Join(t.TempDir(), "keyring"))
		must(t, err)
		other.Passphrase = passphrase
		if _, err := volume.Create(other); err != nil {
			t.Errorf("with the passphrase on another node: %v", err)
		}
		if _, err := other.Ring.Wrapped(id); err != nil {
			t.Errorf("the key ring there: %v", err)
		}
	}
}

func TestAFolderThatDoesNotFitIsRefusedWithTheReason(t *testing.T) {
	full := config(t, volume.Encrypted)
	must(t, os.Mkdir(full.Dir, 0o755))
	must(t, os.WriteFile(filepath.Join(full.Dir, "plain.txt"), nil, 0o644))
	if _, err := volume.Create(full); !errors.Is(err, volume.ErrFolder) || !strings.Contains(err.Error(), "plain.txt") {
		t.Errorf("an encrypted VFS in a full folder: %v", err)
	}
	full.Kind = volume.Disk
	if _, err := volume.Create(full); err != nil {
		t.Errorf("a plain one there: %v", err)
	}
	taken := config(t, volume.Encrypted)
	_, err := volume.Create(taken)
	must(t, err)
	taken.Kind = volume.Disk
	if _, err := volume.Create(taken); !errors.Is(err, volume.ErrKind) {
		t.Errorf("a plain VFS in the folder of an encrypted one: %v", err)
	}
	if _, err := volume.Open(taken); !errors.Is(err, volume.ErrKind) {
		t.Errorf("an encrypted VFS opened as a plain one: %v", err)
	}
	c := config(t, volume.Disk)
	parent := filepath.Dir(c.Dir)
	must(t, os.MkdirAll(filepath.Join(parent, "data"), 0o755))
	c.Apart = []string{filepath.Join(parent, "data")}
	for _, dir := range []string{parent, filepath.Join(parent, "data"), filepath.Join(parent, "data", "x"), "relative"} {
		c.Dir = dir
		if _, err := volume.Create(c); !errors.Is(err, volume.ErrFolder) {
			t.Errorf("a VFS in %s: %v", dir, err)
		}
	}
	c.Dir = filepath.Join(parent, "data-of-users")
	_, err = volume.Create(c)
	must(t, err)
}

func TestASharedVolumeKeepsHomesApartAndUploadsTogether(t *testing.T) {
	c := config(t, volume.Encrypted)
	_, err := volume.Create(c)
	must(t, err)
	v := open(t, c)
	alice, all := home(t, v, "/alice", "alice"), home(t, v, "/", "alice")
	file, err := alice.Open(vfstest.Path(t, "/f"), vfs.Write|vfs.Create, 0)
	must(t, err)
	_, err = file.WriteAt([]byte("half"), 0)
	must(t, errors.Join(err, file.Abort()))
	if got := vfstest.Get(t, all, "/alice/f"); string(got) != "half" {
		t.Errorf("the same user by another way sees %q", got)
	}
	if n, err := v.Sweep(t.Context(), true); n != 0 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
}

func TestACountStaysWithTheFilesThatItCounts(t *testing.T) {
	c := config(t, volume.Encrypted)
	_, err := volume.Create(c)
	must(t, err)
	v := open(t, c)
	a, err := quota.Open(v.Counts("ab12"), quota.Limits{}, nil)
	must(t, err)
	if _, sure := a.Use(); sure {
		t.Error("a count that was never made is relied on")
	}
	vfstest.Put(t, home(t, v, "/", "alice"), "/f", make([]byte, 1000))
	content, err := v.Content(vfs.Root)
	must(t, err)
	must(t, errors.Join(a.Recount(t.Context(), content), content.Close()))
	again, err := quota.Open(v.Counts("ab12"), quota.Limits{}, nil)
	must(t, err)
	if use, sure := again.Use(); use != (quota.Use{Bytes: 1000, Files: 1}) || !sure {
		t.Errorf("%+v, sure %v", use, sure)
	}
	must(t, again.Add(1, 0))
	crashed, err := quota.Open(v.Counts("ab12"), quota.Limits{}, nil)
	must(t, err)
	if _, sure := crashed.Use(); sure {
		t.Error("after a crash the count is relied on")
	}
}

func TestAnUploadInPlaceIsSeenFromItsFirstByte(t *testing.T) {
	c := config(t, volume.Disk)
	c.InPlace = true
	_, err := volume.Create(c)
	must(t, err)
	v := open(t, c)
	file, err := home(t, v, "/", "alice").Open(vfstest.Path(t, "/f"), vfs.Write|vfs.Create, 0)
	must(t, err)
	_, err = file.WriteAt([]byte("half"), 0)
	must(t, err)
	if got := vfstest.Get(t, home(t, v, "/", "bob"), "/f"); string(got) != "half" {
		t.Errorf("%q", got)
	}
	must(t, file.Close())
}

// TestAFolderWhoseDiskIsNotMountedIsNotServed: what was stored there would be hidden when
// the disk is back.
func TestAFolderWhoseDiskIsNotMountedIsNotServed(t *testing.T) {
	for _, kind := range []volume.Kind{volume.Disk, volume.Encrypted} {
		t.Run(string(kind), func(t *testing.T) {
			c := config(t, kind)
			var err error
			c.KeyID, err = volume.Create(c)
			must(t, err)
			must(t, errors.Join(os.Rename(c.Dir, c.Dir+"-disk"), os.Mkdir(c.Dir, 0o755)))
			if _, err := volume.Open(c); !errors.Is(err, volume.ErrFolder) || !strings.Contains(err.Error(), "is its disk mounted?") {
				t.Errorf("opened: %v", err)
			}
			if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
				t.Errorf("left in it: %v, %v", left, err)
			}
			must(t, errors.Join(os.Remove(c.Dir), os.Rename(c.Dir+"-disk", c.Dir)))
			open(t, c)
		})
	}
}
