package volume_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/vfstest"
	"ss-setup/runtime/vfs/volume"
)

// TestNoLinkLeadsOutOfAFolderThatUsersChange: a VFS in the folder of another lies where its
// users can put a link in its place.
func TestNoLinkLeadsOutOfAFolderThatUsersChange(t *testing.T) {
	c := config(t, volume.Disk)
	top := filepath.Dir(c.Dir)
	outer, secret := filepath.Join(top, "outer"), filepath.Join(top, "secret")
	must(t, errors.Join(os.MkdirAll(filepath.Join(outer, "real"), 0o755), os.Mkdir(secret, 0o755)))
	c.Dir, c.Within = filepath.Join(outer, "a", "inner"), []string{outer, filepath.Join(outer, "a")}
	_, err := volume.Create(c)
	must(t, err)
	vfstest.Put(t, home(t, open(t, c), "/", "kim"), "/f", []byte("x"))
	must(t, os.Rename(c.Dir, filepath.Join(outer, "kept")))
	for _, target := range []string{secret, "../../secret", "../real"} {
		must(t, os.Symlink(target, c.Dir))
		for what, err := range map[string]error{
			"made": func() error { _, err := volume.Create(c); return err }(),
			"opened": func() error {
				v, err := volume.Open(c)
				if err != nil {
					return err
				}
				return v.Close()
			}(),
		} {
			if !errors.Is(err, volume.ErrFolder) || !strings.Contains(err.Error(), "a link leads out") {
				t.Errorf("%s through a link to %s: %v", what, target, err)
			}
		}
		must(t, os.Remove(c.Dir))
	}
	must(t, os.Symlink("there", c.Dir))
	must(t, os.MkdirAll(filepath.Join(outer, "a", "there", vfs.Private), 0o755))
	open(t, c) // one that stays inside leads to nothing that its user has not
}

func TestAVFSIsNotMadeInTheServersFolderThroughALink(t *testing.T) {
	c := config(t, volume.Disk)
	top := filepath.Dir(c.Dir)
	own := filepath.Join(top, "own")
	must(t, os.Mkdir(own, 0o755))
	must(t, os.Symlink(own, filepath.Join(top, "link")))
	c.Apart, c.Dir = []string{own}, filepath.Join(top, "link", "new", "folder")
	if _, err := volume.Create(c); !errors.Is(err, volume.ErrFolder) {
		t.Errorf("made: %v", err)
	}
	if left, err := os.ReadDir(own); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestAVFSInTheServersFolderIsNotOpened: a configuration from elsewhere may have one that
// was never made here.
func TestAVFSInTheServersFolderIsNotOpened(t *testing.T) {
	c := config(t, volume.Disk)
	var err error
	c.KeyID, err = volume.Create(c)
	must(t, err)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(c.Dir, link))
	for _, dir := range []string{c.Dir, link} {
		served := c
		served.Dir, served.Apart = dir, []string{c.Dir}
		if _, err := volume.Open(served); !errors.Is(err, volume.ErrFolder) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	open(t, c)
}
