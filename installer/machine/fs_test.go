//go:build linux

package machine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testFS is an FS over a folder whose n-th changing call and all after it fail,
// as after the death of the process; n is 0 for never.
type testFS struct {
	*FS
	n, calls int
	ops      []Op
}

var errDead = errors.New("the process is dead")

func newTestFS(t *testing.T) *testFS {
	t.Helper()
	f := &testFS{}
	f.FS = &FS{Root: t.TempDir(), Before: func(op Op, _ string) error {
		f.calls++
		if f.n > 0 && f.calls >= f.n {
			return errDead
		}
		f.ops = append(f.ops, op)
		return nil
	}}
	return f
}

func (f *testFS) put(t *testing.T, path, text string) {
	t.Helper()
	noError(t, os.MkdirAll(filepath.Dir(f.Real(path)), 0o755))
	noError(t, os.WriteFile(f.Real(path), []byte(text), 0o644))
}

func (f *testFS) text(path string) string {
	content, _ := f.ReadFile(path)
	return string(content)
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mine are attributes that whoever runs the test may give.
func mine(mode fs.FileMode) Attr { return Attr{Mode: mode, UID: os.Getuid(), GID: os.Getgid()} }

func TestWriteFileLeavesOldOrNewAtEveryFailingCall(t *testing.T) {
	for _, old := range []string{"", "old"} {
		for n := 1; ; n++ {
			f := newTestFS(t)
			f.put(t, "/dir/other", "")
			if old != "" {
				f.put(t, "/dir/file", old)
			}
			f.n = n
			err := f.WriteFile("/dir/file", []byte("new"), mine(0o600))
			if got := f.text("/dir/file"); got != old && got != "new" {
				t.Errorf("call %d failed: %q stands there", n, got)
			}
			if err == nil {
				if f.text("/dir/file") != "new" || f.Exists("/dir/file"+TempSuffix) {
					t.Error("no error, but not written")
				}
				break
			}
			if !errors.Is(err, errDead) {
				t.Fatal(err)
			}
			// What a dead process left is no hindrance to the next.
			f.n = 0
			noError(t, f.WriteFile("/dir/file", []byte("newer"), mine(0o600)))
			if f.text("/dir/file") != "newer" || f.Exists("/dir/file"+TempSuffix) {
				t.Errorf("after a failure at call %d", n)
			}
		}
	}
}

func TestReplaceLinkLeavesOldOrNewAtEveryFailingCall(t *testing.T) {
	for n := 1; ; n++ {
		f := newTestFS(t)
		noError(t, os.Symlink("old", f.Real("/link")))
		f.n = n
		err := f.ReplaceLink("new", "/link")
		if got, _ := f.Readlink("/link"); got != "old" && got != "new" {
			t.Errorf("call %d failed: %q", n, got)
		}
		f.n = 0
		noError(t, f.ReplaceLink("newer", "/link"))
		if got, _ := f.Readlink("/link"); got != "newer" || f.Exists("/link"+TempSuffix) {
			t.Errorf("after a failure at call %d: %q", n, got)
		}
		if err == nil {
			return
		}
	}
}

func TestAFileIsSyncedBeforeItGetsItsNameAndItsFolderAfter(t *testing.T) {
	f := newTestFS(t)
	noError(t, f.WriteFile("/file", []byte("x"), mine(0o600)))
	if want := []Op{OpCreate, OpWrite, OpSync, OpRename, OpSyncDir}; !slices.Equal(f.ops, want) {
		t.Errorf("%v, want %v", f.ops, want)
	}
}

func TestWriteFileGivesModeAndTime(t *testing.T) {
	f := newTestFS(t)
	when := time.Date(2021, 3, 4, 5, 6, 7, 8000, time.UTC)
	a := mine(0o640)
	a.ModTime = when
	noError(t, f.WriteFile("/file", nil, a))
	info, err := f.Lstat("/file")
	noError(t, err)
	if info.Mode() != 0o640 || !info.ModTime().Equal(when) {
		t.Errorf("%v of %v", info.Mode(), info.ModTime())
	}
}

func TestWriteFileTakesThePlaceOfALinkAndNotOfItsTarget(t *testing.T) {
	f := newTestFS(t)
	f.put(t, "/target", "untouched")
	noError(t, os.Symlink(f.Real("/target"), f.Real("/file")))
	noError(t, f.WriteFile("/file", []byte("new"), mine(0o600)))
	if f.text("/target") != "untouched" || f.text("/file") != "new" {
		t.Errorf("%q, %q", f.text("/target"), f.text("/file"))
	}
}

func TestNothingIsWrittenThroughALink(t *testing.T) {
	f := newTestFS(t)
	f.put(t, "/target", "untouched")
	noError(t, os.Symlink(f.Real("/target"), f.Real("/file")))
	if _, err := f.Create("/file", 0o600); err == nil {
		t.Error("Create: no error")
	}
	if _, err := f.OpenWrite("/file"); err == nil {
		t.Error("OpenWrite: no error")
	}
	if f.text("/target") != "untouched" {
		t.Error("written")
	}
}

func TestRemoveAllDoesNotFollowLinks(t *testing.T) {
	f := newTestFS(t)
	f.put(t, "/precious/file", "x")
	f.put(t, "/tree/a/b", "x")
	noError(t, os.Symlink(f.Real("/precious"), f.Real("/tree/a/link")))
	noError(t, os.Symlink(f.Real("/precious"), f.Real("/link")))
	for _, path := range []string{"/tree", "/link", "/missing", "/tree"} {
		noError(t, f.RemoveAll(path))
		if f.Exists(path) {
			t.Errorf("%s is left", path)
		}
	}
	if f.text("/precious/file") != "x" {
		t.Error("removed through a link")
	}
}

func TestRemoveAllThatFailedAnywhereIsFinishedByTheNext(t *testing.T) {
	for n := 1; ; n++ {
		f := newTestFS(t)
		f.put(t, "/tree/a/b", "x")
		f.put(t, "/tree/c", "x")
		f.n = n
		err := f.RemoveAll("/tree")
		f.n = 0
		noError(t, f.RemoveAll("/tree"))
		if f.Exists("/tree") {
			t.Fatalf("left after a failure at call %d", n)
		}
		if err == nil {
			return
		}
	}
}

func TestAFailingCallIsToldWithItsPath(t *testing.T) {
	f := newTestFS(t)
	f.put(t, "/file", "x")
	f.n = 1
	for op, err := range map[Op]error{
		OpMkdir: f.Mkdir("/dir", 0o755), OpRename: f.Rename("/file", "/other"), OpRemove: f.Remove("/file"),
		OpSymlink: f.Symlink("x", "/link"), OpChmod: f.Chmod("/file", 0o600), OpChtimes: f.Chtimes("/file", time.Now()),
		OpSyncDir: f.SyncDir("/"), OpSync: f.SyncFile("/file"), OpChown: f.Chown("/file", 1, 1),
	} {
		var pathErr *fs.PathError
		if !errors.As(err, &pathErr) || pathErr.Op != string(op) || pathErr.Path == "" || !errors.Is(err, errDead) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if f.text("/file") != "x" {
		t.Error("changed all the same")
	}
}

func TestWhatIsRightAlreadyIsNoCall(t *testing.T) {
	f := newTestFS(t)
	f.put(t, "/file", "x")
	noError(t, f.Chown("/file", os.Getuid(), os.Getgid()))
	noError(t, f.Remove("/missing"))
	if f.calls != 0 {
		t.Errorf("%d calls", f.calls)
	}
}

func TestMissingParentsComeTopmostFirst(t *testing.T) {
	f := newTestFS(t)
	f.put(t, "/there/file", "")
	if got := f.MissingParents("/there/a/b/c"); !slices.Equal(got, []string{"/there/a", "/there/a/b"}) {
		t.Errorf("%q", got)
	}
	if got := f.MissingParents("/there/file"); got != nil {
		t.Errorf("%q", got)
	}
}

func TestATreeIsSyncedLeavesFirst(t *testing.T) {
	f := newTestFS(t)
	f.put(t, "/tree/a/b", "x")
	f.put(t, "/tree/c", "x")
	noError(t, os.Symlink("nowhere", f.Real("/tree/d")))
	var order []string
	f.Before = func(op Op, path string) error {
		order = append(order, string(op)+" "+path)
		return nil
	}
	noError(t, f.SyncTree("/tree"))
	want := []string{"sync /tree/a/b", "syncdir /tree/a", "sync /tree/c", "syncdir /tree"}
	if !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
}

func TestAHardUmaskDoesNotMatter(t *testing.T) {
	f := newTestFS(t)
	defer unix.Umask(unix.Umask(0o077))
	noError(t, f.Mkdir("/dir", 0o755))
	noError(t, f.WriteFile("/file", nil, mine(0o644)))
	h, err := f.Create("/created", 0o640)
	noError(t, err)
	noError(t, h.Close())
	for path, want := range map[string]string{"/dir": "drwxr-xr-x", "/file": "-rw-r--r--", "/created": "-rw-r-----"} {
		info, err := f.Lstat(path)
		noError(t, err)
		if info.Mode().String() != want {
			t.Errorf("%s has mode %v, want %s", path, info.Mode(), want)
		}
	}
}

func TestSpaceIsReservedWithoutChangingTheLength(t *testing.T) {
	f := newTestFS(t)
	h, err := f.Create("/file", 0o600)
	noError(t, err)
	defer h.Close()
	noError(t, h.Allocate(64<<10))
	info, err := h.Stat()
	noError(t, err)
	if info.Size() != 0 {
		t.Errorf("%d bytes long", info.Size())
	}
}

func TestWriteNewLeavesNoOtherNameWhereverItIsCut(t *testing.T) {
	for _, cut := range []Op{OpCreate, OpWrite, OpSync, OpLink, ""} {
		dir := t.TempDir()
		f := &FS{Root: dir, Before: func(op Op, _ string) error {
			if op == cut {
				return errDead
			}
			return nil
		}}
		err := f.WriteNew("/job", []byte("whole"), Attr{Mode: 0o755, UID: os.Geteuid(), GID: os.Getegid()})
		names, rerr := os.ReadDir(dir)
		if rerr != nil {
			t.Fatal(rerr)
		}
		if cut != "" {
			if !errors.Is(err, errDead) || len(names) != 0 {
				t.Errorf("cut at %s: %v, left %v", cut, err, names)
			}
			continue
		}
		content, _ := os.ReadFile(filepath.Join(dir, "job"))
		if info, ierr := f.Lstat("/job"); err != nil || ierr != nil || string(content) != "whole" || info.Mode() != 0o755 || len(names) != 1 {
			t.Errorf("%v, %q, %v, %v", err, content, info, names)
		}
		if err := f.WriteNew("/job", nil, Attr{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("where there is a file: %v", err)
		}
	}
}
