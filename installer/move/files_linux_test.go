package move

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody makes the file system take this test for another account, as a share of the
// network does with root.
func nobody(t *testing.T) (back func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		return func() {}
	}
	must(t, os.Chmod(filepath.Dir(t.TempDir()), 0o755)) // where the folders of a test lie
	runtime.LockOSThread()
	_, err := unix.SetfsuidRetUid(65534)
	must(t, err)
	return func() {
		_, err := unix.SetfsuidRetUid(0)
		must(t, err)
		runtime.UnlockOSThread()
	}
}

func TestWhatRootMayNotReadIsToldAndHindersNoMove(t *testing.T) {
	m := newMachine(t)
	closed := filepath.Join(m.files, "in")
	must(t, os.Chmod(closed, 0))
	t.Cleanup(func() { _ = os.Chmod(closed, 0o755) })
	back := nobody(t)
	f, err := Measure(t.Context(), m.files)
	back()
	must(t, err)
	if f.Files != 1 || f.Bytes != 3 || f.Unreadable != 1 {
		t.Errorf("%+v", f)
	}
	l := List{Host: "old", Folders: []Folder{f}}
	if told := l.Uncounted(); len(told) != 1 || !strings.Contains(told[0], "1 files or folders in "+m.files) {
		t.Errorf("%q", told)
	}
	if lacking, err := l.Lacking(t.Context()); err != nil || lacking != nil {
		t.Errorf("with what could not be read before: %q, %v", lacking, err)
	}
	l.Folders[0] = Folder{Path: m.files, Files: 2, Bytes: 8}
	back = nobody(t)
	lacking, err := l.Lacking(t.Context())
	back()
	if err != nil || len(lacking) != 1 || !strings.Contains(lacking[0], "1 that cannot be looked at") {
		t.Errorf("on a machine that may not read: %q, %v", lacking, err)
	}
	back = nobody(t)
	f, err = Measure(t.Context(), closed)
	back()
	if err != nil || f.Unreadable != 1 || f.Missing {
		t.Errorf("the folder itself: %+v, %v", f, err)
	}
}
