package machine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// theft is a machine on which the account of a service swaps a folder of its own,
// or a file in it, for a link to somebody else's at the worst instant.
type theft struct {
	*FS
	t *testing.T
}

const (
	stolenDir = ServerStateDir + "/2.part/tls"
	stolen    = stolenDir + "/key"
)

func newTheft(t *testing.T) *theft {
	f := image(t, map[string]string{stolen: "the service's", stolenDir + "/more/x": "more", "/etc/key": "root's own", "/etc/more/x": "root's too"})
	for _, name := range []string{"/etc/key", "/etc/more/x"} {
		check(t, os.Chmod(f.Real(name), 0o600))
	}
	return &theft{f, t}
}

// strike swaps before the first call of a kind.
func (h *theft) strike(op Op, swap func()) {
	h.Before = func(now Op, _ string) error {
		if now == op {
			h.Before = nil
			swap()
		}
		return nil
	}
}

// swapFolder and swapFile put a link to /etc in the place of what was there.
func (h *theft) swapFolder() {
	check(h.t, os.Rename(h.Real(stolenDir), h.Real(stolenDir+".was")))
	check(h.t, os.Symlink(h.Real("/etc"), h.Real(stolenDir)))
}

func (h *theft) swapFile() {
	check(h.t, os.Remove(h.Real(stolen)))
	check(h.t, os.Symlink(h.Real("/etc/key"), h.Real(stolen)))
}

// outside is all that the thief must not get changed.
func (h *theft) outside() string {
	var all strings.Builder
	check(h.t, filepath.WalkDir(h.Real("/etc"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		uid, gid := Owner(info)
		content, _ := os.ReadFile(path)
		all.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().String() + " " + string(content))
		all.WriteString(strings.Repeat("u", uid%7) + strings.Repeat("g", gid%7) + "\n")
		return nil
	}))
	return all.String()
}

func TestALinkPutInTheWayLeadsRootNowhere(t *testing.T) {
	write := func(f *FS, path string) error {
		h, err := f.OpenWrite(path)
		if err != nil {
			return err
		}
		_, err = h.Write([]byte("overwritten"))
		return errors.Join(err, h.Close())
	}
	for name, c := range map[string]struct {
		op Op
		do func(f *FS) error
		// file: also a file that is swapped must not be followed.
		file bool
	}{
		"chown":       {OpChown, func(f *FS) error { return f.Chown(stolen, 1, 1) }, false},
		"chmod":       {OpChmod, func(f *FS) error { return f.Chmod(stolen, 0o4755) }, true},
		"chtimes":     {OpChtimes, func(f *FS) error { return f.Chtimes(stolen, time.Unix(1, 0)) }, false},
		"write":       {OpCreate, func(f *FS) error { return write(f, stolen) }, true},
		"create":      {OpCreate, func(f *FS) error { _, err := f.Create(stolen, 0o644); return err }, true},
		"remove":      {OpRemove, func(f *FS) error { return f.Remove(stolen) }, false},
		"mkdir":       {OpMkdir, func(f *FS) error { return f.Mkdir(stolenDir+"/new", 0o777) }, false},
		"symlink":     {OpSymlink, func(f *FS) error { return f.Symlink("x", stolenDir+"/new") }, false},
		"rename":      {OpRename, func(f *FS) error { return f.Rename(stolen, stolenDir+"/new") }, false},
		"rename in":   {OpRename, func(f *FS) error { return f.Rename(ServerStateDir+"/2.part", stolenDir+"/key") }, false},
		"remove all":  {OpRemove, func(f *FS) error { return f.RemoveAll(stolenDir) }, false},
		"sync folder": {OpSyncDir, func(f *FS) error { return f.SyncDir(stolenDir + "/more") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			swaps := map[string]func(*theft){"folder": (*theft).swapFolder}
			if c.file {
				swaps["file"] = (*theft).swapFile
			}
			for what, swap := range swaps {
				h := newTheft(t)
				before := h.outside()
				h.strike(c.op, func() { swap(h) })
				if err := c.do(h.FS); err == nil {
					t.Errorf("a swapped %s: no error", what)
				} else if strings.Contains(err.Error(), "/proc/self") {
					t.Errorf("a swapped %s: the error names no file: %v", what, err)
				}
				if after := h.outside(); after != before {
					t.Errorf("a swapped %s: outside is\n%s\nand was\n%s", what, after, before)
				}
			}
		})
	}
}

func TestWhatALinkHidesIsNotReadEither(t *testing.T) {
	h := newTheft(t)
	h.swapFolder()
	if _, err := h.Open(stolen); !errors.Is(err, errInTheWay) {
		t.Errorf("open: %v", err)
	}
	if _, err := h.ReadDir(stolenDir); !errors.Is(err, errInTheWay) {
		t.Errorf("list: %v", err)
	}
	if _, err := h.Lstat(stolen); !errors.Is(err, errInTheWay) {
		t.Errorf("look: %v", err)
	}
}

func TestALinkOfTheAdministratorsToAServedFolderIsFollowed(t *testing.T) {
	f := image(t, map[string]string{"/mnt/big/files/a/b": "of a user", "/srv/": ""})
	check(t, os.Symlink(f.Real("/mnt/big/files"), f.Real(FilesDir)))
	entries, err := f.ReadDir(FilesDir + "/a")
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	check(t, f.RemoveAll(FilesDir+"/a"))
	if f.Exists("/mnt/big/files/a") {
		t.Error("what lies behind it is left")
	}
}

func TestWhatFailsWithAnOpenFileNamesTheFile(t *testing.T) {
	f := image(t, map[string]string{stolen: "the service's"})
	h, err := f.OpenWrite(stolen)
	check(t, err)
	check(t, h.Close())
	r, err := f.Open(stolen)
	check(t, err)
	check(t, r.Close())
	_, written := h.Write([]byte("x"))
	_, read := r.Read(make([]byte, 1))
	for _, err := range []error{written, h.Sync(), h.Truncate(0), read} {
		if err == nil || !strings.Contains(err.Error(), f.Real(stolen)) {
			t.Errorf("the error does not name the file: %v", err)
		}
	}
}
