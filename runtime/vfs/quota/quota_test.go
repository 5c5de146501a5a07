package quota_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/quota"
	"ss-setup/runtime/vfs/vfstest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, file quota.File, l quota.Limits, onSoft func(quota.Use)) *quota.Account {
	t.Helper()
	a, err := quota.Open(file, l, onSoft)
	must(t, err)
	return a
}

func TestHardLimitsRefuseAndSoftOnesTellOnce(t *testing.T) {
	told := 0
	a := open(t, quota.File(filepath.Join(t.TempDir(), "q")), quota.Limits{SoftBytes: 50, HardBytes: 100, HardFiles: 2}, func(quota.Use) { told++ })
	must(t, a.Add(60, 1))
	must(t, a.Add(40, 1))
	if err := a.Add(1, 0); !errors.Is(err, vfs.ErrQuota) {
		t.Errorf("a byte too many: %v", err)
	}
	if err := a.Add(0, 1); !errors.Is(err, vfs.ErrQuota) {
		t.Errorf("a file too many: %v", err)
	}
	if _, left := a.Left(); left.Bytes != 0 || left.Files != 0 {
		t.Errorf("left: %+v", left)
	}
	a.SetLimits(quota.Limits{HardBytes: 10})
	must(t, a.Add(-70, -1))
	if err := a.Add(1, 0); !errors.Is(err, vfs.ErrQuota) {
		t.Errorf("still beyond a smaller limit: %v", err)
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	var none *quota.Account
	must(t, none.Add(1<<50, 1))
}

func TestACountIsReliedOnOnlyIfItWasSavedAtTheEnd(t *testing.T) {
	file := quota.File(filepath.Join(t.TempDir(), "q"))
	tree, err := disk.Open(t.TempDir(), disk.Options{})
	must(t, err)
	defer tree.Close()
	a := open(t, file, quota.Limits{}, nil)
	if _, sure := a.Use(); sure {
		t.Error("a new account is sure of nothing")
	}
	vfstest.Put(t, tree, "/a", make([]byte, 100))
	must(t, a.Recount(t.Context(), tree))
	for _, crash := range []bool{false, true} {
		a = open(t, file, quota.Limits{}, nil)
		if use, sure := a.Use(); !sure || use != (quota.Use{Bytes: 100, Files: 1}) {
			t.Fatalf("after a good end: %+v, %v", use, sure)
		}
		must(t, a.Add(5, 1))
		must(t, a.Add(-5, -1))
		if !crash {
			must(t, a.Flush())
		}
	}
	if _, sure := open(t, file, quota.Limits{}, nil).Use(); sure {
		t.Error("a count that a crash left is relied on")
	}
	for _, broken := range []string{"", "{", `{"bytes":-1,"sure":true}`, "null"} {
		must(t, os.WriteFile(string(file), []byte(broken), 0o600))
		if _, sure := open(t, file, quota.Limits{}, nil).Use(); sure {
			t.Errorf("%q is relied on", broken)
		}
	}
}

// saves counts what is written to the disk: many accounts are flushed at a stop, and each
// time waits for it.
type saves struct {
	quota.File
	n int
}

func (s *saves) Save(use quota.Use, sure bool) error {
	s.n++
	return s.File.Save(use, sure)
}

func TestACountThatHasNotChangedIsNotSavedAgain(t *testing.T) {
	keep := &saves{File: quota.File(filepath.Join(t.TempDir(), "q"))}
	tree, err := disk.Open(t.TempDir(), disk.Options{})
	must(t, err)
	defer tree.Close()
	a, err := quota.Open(keep, quota.Limits{}, nil)
	must(t, err)
	must(t, a.Flush())
	if keep.n != 0 {
		t.Errorf("a new account was saved %d times", keep.n)
	}
	must(t, a.Recount(t.Context(), tree))
	must(t, a.Flush())
	if keep.n != 1 {
		t.Errorf("a count was saved %d times", keep.n)
	}
	must(t, a.Add(5, 1))
	must(t, errors.Join(a.Flush(), a.Flush()))
	if keep.n != 3 { // before the change, and after it
		t.Errorf("saved %d times after a change", keep.n)
	}
	if use, sure := open(t, keep.File, quota.Limits{}, nil).Use(); !sure || use != (quota.Use{Bytes: 5, Files: 1}) {
		t.Errorf("%+v, %v", use, sure)
	}
}
