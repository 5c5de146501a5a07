package preflight

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"ss-setup/installer/machine"
)

// tree lists a root with modes and links, so that two looks can be compared.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		found = append(found, path+" "+info.Mode().String()+" "+info.ModTime().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func newRoot(t *testing.T, folders ...string) *machine.FS {
	t.Helper()
	f := &machine.FS{Root: t.TempDir()}
	for _, folder := range folders {
		if err := os.MkdirAll(f.Real(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestWritingIsTriedInTheNearestFolderAndLeavesNothing(t *testing.T) {
	f := newRoot(t, "/var/lib", "/opt")
	before := tree(t, f.Root)
	var synced, renamed bool
	f.Before = func(op machine.Op, _ string) error {
		left, err := os.ReadDir(f.Real("/var/lib"))
		if err != nil || len(left) > 0 && (op == machine.OpSync || op == machine.OpSyncDir) {
			t.Errorf("%s while there are %v, %v: a power cut would leave them", op, left, err)
		}
		synced = synced || op == machine.OpSync
		renamed = renamed || op == machine.OpRename
		return nil
	}
	dir, err := NewProbe(f, nil).TryWriting("/var/lib/ss-server/3")
	if dir != "/var/lib" || err != nil || !synced || !renamed {
		t.Fatalf("tried in %s, %v; synced %v, renamed %v", dir, err, synced, renamed)
	}
	after := tree(t, f.Root)
	if names := func(lines []string) int { return len(lines) }; names(after) != names(before) {
		t.Errorf("left is %q", after)
	}
}

func TestWritingThatFailsIsToldAndLeavesNothing(t *testing.T) {
	for _, failing := range []machine.Op{machine.OpCreate, machine.OpWrite, machine.OpSync, machine.OpLink, machine.OpRename, machine.OpSyncDir} {
		t.Run(string(failing), func(t *testing.T) {
			f := newRoot(t, "/var/lib")
			f.Before = func(op machine.Op, _ string) error {
				if op == failing {
					return unix.EIO
				}
				return nil
			}
			if _, err := NewProbe(f, nil).TryWriting("/var/lib/ss-setup"); !errors.Is(err, unix.EIO) {
				t.Errorf("error is %v", err)
			}
			if left, err := os.ReadDir(f.Real("/var/lib")); err != nil || len(left) > 0 {
				t.Errorf("left are %v, %v", left, err)
			}
		})
	}
}

func TestProbeSeesTheImageBelowTheRoot(t *testing.T) {
	f := newRoot(t, "/usr/lib/systemd", "/opt", "/var/lib", "/run")
	if err := os.WriteFile(f.Real("/usr/lib/systemd/systemd"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/elsewhere", f.Real(machine.ProgramDir)); err != nil {
		t.Fatal(err)
	}
	in := input()
	in.Image = true
	before := tree(t, f.Root)
	checks := Run(t.Context(), NewProbe(f, nil), in)
	for name, want := range map[string]Status{InitSystem: OK, OtherRun: OK, Interrupted: OK, Links: Fail, Masks: OK} {
		if !slices.ContainsFunc(checks, func(c Check) bool { return c.Name == name && c.Status == want }) {
			t.Errorf("%s is not %s in %+v", name, want, checks)
		}
	}
	if len(tree(t, f.Root)) != len(before) {
		t.Error("something is left")
	}
	if _, err := NewProbe(newRoot(t), nil).InitSystem(); !errors.Is(err, machine.ErrNoServices) {
		t.Errorf("an empty image has %v", err)
	}
}
