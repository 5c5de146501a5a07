package volume_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ss-setup/runtime/vfs/volume"
)

// asNobody does something with the rights that nobody has to files.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Geteuid() == 0 {
		must(t, unix.Setfsuid(65534))
		defer func() { must(t, unix.Setfsuid(0)) }()
	}
	do()
}

func TestAFolderThatTheServiceMayNotUseIsToldWithTheCure(t *testing.T) {
	base := filepath.Dir(t.TempDir())
	must(t, os.Chmod(filepath.Dir(base), 0o755))
	must(t, os.Chmod(base, 0o755))
	for name, c := range map[string]struct {
		prepare func(dir string) // dir is the VFS, its parent is "above"
		want    []string
	}{
		"no writing": {func(dir string) {
			must(t, os.MkdirAll(dir, 0o755))
			must(t, os.Chmod(dir, 0o555))
		}, []string{"write to", "setfacl -R -m u:", "rwX"}},
		"no way there": {func(dir string) {
			must(t, os.MkdirAll(dir, 0o777))
			must(t, os.Chmod(filepath.Dir(dir), 0o600))
		}, []string{"setfacl -m u:", ":x", "above"}},
		"no folder": {func(dir string) {
			must(t, os.MkdirAll(filepath.Dir(dir), 0o755))
		}, []string{"may not make", "mkdir -p ", " && chown "}},
	} {
		t.Run(name, func(t *testing.T) {
			top, err := os.MkdirTemp(base, "folder")
			must(t, err)
			must(t, os.Chmod(top, 0o755))
			dir := filepath.Join(top, "above", "vfs")
			c.prepare(dir)
			defer func() { must(t, os.Chmod(filepath.Dir(dir), 0o755)) }()
			asNobody(t, func() { _, err = volume.Create(volume.Config{Kind: volume.Disk, Dir: dir}) })
			if !errors.Is(err, volume.ErrFolder) || !errors.Is(err, fs.ErrPermission) {
				t.Fatalf("%v", err)
			}
			for _, word := range append(c.want, dir, "account ") {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("no %q in: %v", word, err)
				}
			}
		})
	}
}
