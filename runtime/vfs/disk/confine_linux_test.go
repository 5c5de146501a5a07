package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
)

func TestLinksThatLeadOutAreNeverFollowed(t *testing.T) {
	f, dir := open(t, disk.Options{Links: true})
	outer := filepath.Dir(dir)
	for name, target := range map[string]string{"abs": outer, "up": "..", "file": "../secret", "back": "../tree"} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	for _, name := range []string{"/abs/secret", "/up/secret", "/file", "/back/x", "/up/new"} {
		p := path(t, name)
		_, openErr := f.Open(p, vfs.Read|vfs.Write|vfs.Create, 0)
		_, statErr := f.Stat(p)
		for op, err := range map[string]error{
			"open": openErr, "stat": statErr, "setstat": f.SetStat(p, vfs.Change{Size: new(int64)}),
			"mkdir": f.Mkdir(path(t, name+"-dir/x"), 0),
		} {
			if err == nil {
				t.Errorf("%s %s went out", op, name)
			}
		}
	}
	for _, name := range []string{"/abs/secret", "/up/secret"} {
		if err := f.Remove(path(t, name)); !errors.Is(err, vfs.ErrBadPath) {
			t.Errorf("remove %s: %v", name, err)
		}
		if err := f.Rename(path(t, name), path(t, "/mine"), true); !errors.Is(err, vfs.ErrBadPath) {
			t.Errorf("rename %s: %v", name, err)
		}
	}
	for _, name := range []string{"/abs", "/up", "/file"} {
		if target, err := f.Readlink(path(t, name)); !errors.Is(err, vfs.ErrBadPath) {
			t.Errorf("readlink %s told %q, %v", name, target, err)
		}
	}
	unchanged(t, outer)
}

// unchanged says that nothing outside the tree was touched.
func unchanged(t *testing.T, outer string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(outer, "secret"))
	must(t, err)
	entries, err := os.ReadDir(outer)
	must(t, err)
	if string(content) != "outside" || len(entries) != 2 {
		t.Fatalf("outside was changed: secret %q, entries %v", content, entries)
	}
}

func TestNoRaceWithALinkSwapperLeadsOut(t *testing.T) {
	f, dir := open(t, disk.Options{})
	outer := filepath.Dir(dir)
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	must(t, os.Mkdir(real, 0o755))
	must(t, os.WriteFile(filepath.Join(real, "secret"), []byte("inside"), 0o644))
	must(t, os.Symlink("..", link))
	swap := filepath.Join(dir, "swap")
	must(t, os.Symlink("..", swap))

	stop := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				// real is a folder and, a moment later, a link to what is outside.
				_ = unix.Renameat2(unix.AT_FDCWD, real, unix.AT_FDCWD, swap, unix.RENAME_EXCHANGE)
			}
		}
	})
	inside, refused := 0, 0
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		if file, err := f.Open(path(t, "/real/secret"), vfs.Read, 0); err == nil {
			content := make([]byte, 16)
			n, _ := file.ReadAt(content, 0)
			must(t, file.Close())
			if string(content[:n]) != "inside" {
				t.Fatalf("read %q", content[:n])
			}
			inside++
		} else {
			refused++
		}
		if file, err := f.Open(path(t, "/real/new"), vfs.Write|vfs.Create|vfs.Truncate, 0); err == nil {
			must(t, file.Close())
		}
		if d, err := f.ReadDir(path(t, "/real")); err == nil {
			infos, _ := d.Next(100)
			if slices.ContainsFunc(infos, func(i vfs.Info) bool { return i.Name == "tree" }) {
				t.Fatal("listed what is outside")
			}
			must(t, d.Close())
		}
		_ = f.Mkdir(path(t, "/real/dir"), 0)
		_ = f.Rename(path(t, "/real/new"), path(t, "/real/newer"), true)
		_ = f.Rename(path(t, "/real/newer"), path(t, "/real/newest"), false)
		_ = f.SetStat(path(t, "/real/newest"), vfs.Change{Size: new(int64)})
		_ = f.Remove(path(t, "/real/newest"))
		_ = f.Rmdir(path(t, "/real/dir"))
	}
	close(stop)
	swapper.Wait()
	unchanged(t, outer)
	if inside == 0 || refused == 0 {
		t.Errorf("the race was not run: %d inside, %d refused", inside, refused)
	}
}

func TestAPipeOrDeviceHoldsNobodyUp(t *testing.T) {
	f, dir := open(t, disk.Options{})
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o666))
	done := make(chan error, 3)
	go func() {
		for _, flag := range []vfs.Flag{vfs.Read, vfs.Write, vfs.Read | vfs.Write | vfs.Create} {
			_, err := f.Open(path(t, "/pipe"), flag, 0)
			done <- err
		}
	}()
	for range 3 {
		select {
		case err := <-done:
			if !errors.Is(err, vfs.ErrNotRegular) {
				t.Errorf("opening a pipe: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("opening a pipe hangs")
		}
	}
	if _, err := f.ReadDir(path(t, "/pipe")); !errors.Is(err, vfs.ErrNotDir) {
		t.Errorf("listing a pipe: %v", err)
	}
}

func TestALinkInsideIsMadeAndFollowed(t *testing.T) {
	f, _ := open(t, disk.Options{Links: true})
	must(t, f.Mkdir(path(t, "/d"), 0))
	put(t, f, "/file", "x")
	must(t, f.Symlink("../file", path(t, "/d/link")))
	if target, err := f.Readlink(path(t, "/d/link")); err != nil || target != "../file" {
		t.Errorf("readlink: %q, %v", target, err)
	}
	if get(t, f, "/d/link") != "x" {
		t.Error("the link is not followed")
	}
	must(t, f.Remove(path(t, "/d/link")))
	if get(t, f, "/file") != "x" {
		t.Error("removing a link removed its target")
	}
	plain, _ := open(t, disk.Options{})
	if err := plain.Symlink("x", path(t, "/l")); !errors.Is(err, vfs.ErrUnsupported) {
		t.Errorf("links are off unless asked for: %v", err)
	}
}

func TestAFolderOfATreeIsATreeThatNothingLeadsOutOf(t *testing.T) {
	f, dir := open(t, disk.Options{})
	alice, err := f.Sub(path(t, "/home/alice"), true)
	must(t, err)
	defer alice.Close()
	put(t, f, "/home/bob", "bob's")
	must(t, os.Symlink("../bob", filepath.Join(dir, "home/alice/link")))
	if _, err := alice.Open(path(t, "/link"), vfs.Read, 0); !errors.Is(err, vfs.ErrBadPath) {
		t.Errorf("a link from one home into another: %v", err)
	}
	if got := get(t, f, "/home/alice/link"); got != "bob's" {
		t.Errorf("a link that stays inside: %q", got)
	}
}
