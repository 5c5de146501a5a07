package tree_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"testing"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/quota"
	"ss-setup/runtime/vfs/stage"
	"ss-setup/runtime/vfs/tree"
	"ss-setup/runtime/vfs/vfstest"
)

// counted is a tree with a quota, and a check of what that has counted.
func counted(t *testing.T, allow tree.Right) (f *tree.Tree, want func(step string, bytes, files int64)) {
	t.Helper()
	inner, _ := newVFS(t)
	a := account(t, quota.Limits{HardBytes: 1000})
	f = newTree(t, tree.View{Mounts: []tree.Mount{{FS: inner, Quotas: []*quota.Account{a}}}, Rules: []tree.Rule{{Allow: allow}}})
	vfstest.Put(t, inner, "/there", []byte("there"))
	return f, func(step string, bytes, files int64) {
		t.Helper()
		if use, _ := a.Use(); use != (quota.Use{Bytes: bytes, Files: files}) {
			t.Errorf("%s: counted %+v, not %d bytes in %d files", step, use, bytes, files)
		}
	}
}

func TestWhatABrokenUploadDidNotReplaceIsStillCounted(t *testing.T) {
	f, want := counted(t, tree.All)
	name := vfstest.Path(t, "/f")
	vfstest.Put(t, f, "/f", make([]byte, 600))
	again := func(n int) {
		t.Helper()
		file, err := f.Open(name, vfs.Write|vfs.Create|vfs.Truncate, 0)
		must(t, err)
		_, err = file.WriteAt(make([]byte, n), 0)
		must(t, errors.Join(err, file.Abort()))
	}
	again(0)
	want("broke off before its first byte", 600, 1)
	again(100)
	want("broke off", 700, 1)
	again(50)
	want("broke off again", 650, 1)
	vfstest.Put(t, f, "/f", make([]byte, 300))
	want("came to its end", 300, 1)
	again(100)
	must(t, f.Remove(name))
	want("both removed", 0, 0)

	file, err := f.Open(name, vfs.Write|vfs.Create, 0)
	must(t, errors.Join(err, file.Abort()))
	want("a new one that broke off at once", 0, 0)
	file, err = f.Open(name, vfs.Write|vfs.Create, 0)
	must(t, err)
	_, err = file.WriteAt(make([]byte, 100), 0)
	must(t, errors.Join(err, f.Remove(name)))
	_, err = file.WriteAt(make([]byte, 100), 100)
	must(t, errors.Join(err, file.Close()))
	want("removed while it was uploaded", 0, 0)
}

func TestAFileThatIsShortenedWhileItIsOpenIsCountedAsItGrowsAgain(t *testing.T) {
	f, want := counted(t, tree.All)
	name, nothing := vfstest.Path(t, "/f"), int64(0)
	for _, shorten := range []func() error{
		func() error { return f.SetStat(name, vfs.Change{Size: &nothing}) },
		func() error {
			other, err := f.Open(name, vfs.Write, 0)
			must(t, err)
			return errors.Join(other.SetStat(vfs.Change{Size: &nothing}), other.Close())
		},
	} {
		file, err := f.Open(name, vfs.Write|vfs.Create|vfs.Truncate, 0)
		must(t, err)
		for range 2 {
			_, err = file.WriteAt(make([]byte, 900), 0)
			must(t, err)
			want("written", 900, 1)
			must(t, shorten())
			want("shortened", 0, 1)
		}
		_, err = file.WriteAt(make([]byte, 900), 0)
		must(t, errors.Join(err, file.Close()))
		want("closed", 900, 1)
		must(t, f.Remove(name))
	}
}

func TestAHandleForReadingCountsNothing(t *testing.T) {
	f, want := counted(t, tree.List|tree.Read)
	file, err := f.Open(vfstest.Path(t, "/there"), vfs.Read, 0)
	must(t, err)
	if _, err := file.WriteAt(make([]byte, 500), 0); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("written: %v", err)
	}
	size := int64(500)
	if err := file.SetStat(vfs.Change{Size: &size}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("made longer: %v", err)
	}
	must(t, file.Close())
	want("a handle for reading", 0, 0)
}

func TestWhoMayOnlyUploadDoesNotReplaceWhatAnotherUserPutThereMeanwhile(t *testing.T) {
	root, err := disk.Open(t.TempDir(), disk.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, root.Close()) })
	uploads, err := stage.Open(root, root, stage.Options{Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	see := func(who string) *tree.Tree {
		return newTree(t, tree.View{Mounts: home(uploads.Tree(root, vfs.Root, who)), Rules: []tree.Rule{{Allow: tree.List | tree.Read | tree.Upload}}})
	}
	alice, bob := see("alice"), see("bob")
	first, err := bob.Open(vfstest.Path(t, "/report"), vfs.Write|vfs.Create|vfs.Truncate, 0)
	must(t, err)
	_, err = first.WriteAt([]byte("bob's"), 0)
	must(t, err)
	vfstest.Put(t, alice, "/report", []byte("alice's"))
	if err := first.Close(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("bob's upload: %v", err)
	}
	if got := vfstest.Get(t, alice, "/report"); string(got) != "alice's" {
		t.Errorf("alice reads %q", got)
	}
}
