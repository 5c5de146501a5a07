package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/step"
	"ss-setup/installer/txn"
)

// What the environment names is run as root and removed in the end: it must be what
// this program has made, not what somebody else gave such a name.
func TestOnlyAPrivateFolderIsTakenForStaged(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	s := &session{m: &step.Machine{FS: &machine.FS{}}}
	mkdir := func(name string, mode os.FileMode) string {
		dir := filepath.Join(tmp, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(tmp, name)); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("ss-setup-1", 0o700)
	mkdir("ss-setup-1/good", 0o700)
	mkdir("ss-setup-1/open", 0o755)
	mkdir("ss-setup-2", 0o777)
	mkdir("ss-setup-2/inner", 0o700)
	mkdir("victim", 0o700)
	mkdir("victim/data", 0o700)
	link(filepath.Join(tmp, "victim"), "ss-setup-3")
	link(filepath.Join(tmp, "victim"), "ss-setup-1/link")
	for dir, want := range map[string]bool{
		"ss-setup-1/good":            true,
		"ss-setup-1/open":            false,
		"ss-setup-1/link":            false,
		"ss-setup-1/link/../data":    false,
		"ss-setup-1/link/../good":    false,
		"ss-setup-1/good/../../data": false,
		"ss-setup-1/none":            false,
		"ss-setup-2/inner":           false,
		"ss-setup-3/data":            false,
		"victim/data":                false,
	} {
		if got := s.taken(tmp + "/" + dir); got != want {
			t.Errorf("%s: %v", dir, got)
		}
	}
	if s.taken("ss-setup-1/good") {
		t.Error("a relative path is taken")
	}
}

func TestTwoRunsDoNotShareTheFolderForDownloads(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, machine.DownloadDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	one := &session{m: &step.Machine{FS: &machine.FS{Root: root}}}
	two := &session{m: &step.Machine{FS: &machine.FS{Root: root}}}
	if err := one.claim(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := one.claim(t.Context(), dir); err != nil {
		t.Errorf("the same run once more: %v", err)
	}
	if err := two.claim(t.Context(), dir); !errors.Is(err, txn.ErrBusy) {
		t.Errorf("error is %v, want ErrBusy", err)
	}
	if err := one.claimed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := two.claim(t.Context(), dir); err != nil {
		t.Errorf("after the end of the first: %v", err)
	}
	if err := two.claimed.Close(); err != nil {
		t.Fatal(err)
	}
}

// A run that ends takes the folder with it when nothing is left in it.
func TestWhoWaitsForTheFolderForDownloadsGetsItWhenItsOwnerIsDone(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, machine.DownloadDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	one := &session{m: &step.Machine{FS: &machine.FS{Root: root}}}
	two := &session{m: &step.Machine{FS: &machine.FS{Root: root}}}
	two.lockWait = time.Minute
	one.staged = filepath.Join(dir, "package-1")
	if err := os.Mkdir(one.staged, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := one.claim(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error)
	go func() { waited <- two.claim(t.Context(), dir) }()
	time.Sleep(300 * time.Millisecond)
	one.unstage()
	if err := <-waited; err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	defer two.unclaim()
	held, err := two.claimed.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if there, err := os.Lstat(dir); err != nil || !os.SameFile(held, there) {
		t.Errorf("what it holds is not the folder that is there: %v", err)
	}
}

// The lock of a run does not outlive its change into another program.
func TestTheNextSetupHoldsTheFolderThatItsPackageLiesIn(t *testing.T) {
	root := t.TempDir()
	staged := filepath.Join(root, machine.DownloadDir, "package-1")
	if err := os.MkdirAll(staged, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(staged), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(staged, bundle.PayloadName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(stagedVariable, staged)
	one := &session{m: &step.Machine{FS: &machine.FS{Root: root}}}
	two := &session{m: &step.Machine{FS: &machine.FS{Root: root}}}
	if _, err := one.findBundle(t.Context()); err == nil {
		t.Fatal("a package without a manifest is taken")
	}
	defer one.unclaim()
	if err := two.claim(t.Context(), filepath.Dir(staged)); !errors.Is(err, txn.ErrBusy) {
		t.Errorf("error is %v, want ErrBusy", err)
	}
}

// The copy that a run is recovered with is run as root long after it was made.
func TestACopyThatIsNotTheProgramThatBeganTheRunIsNotRun(t *testing.T) {
	s := &session{m: &step.Machine{FS: &machine.FS{Root: t.TempDir()}}, self: "of this program"}
	good := []byte("the program that began the run")
	sum := sha256.Sum256(good)
	id := hex.EncodeToString(sum[:])[:engineDigits]
	file := s.m.FS.Real(enginePath(id))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]bool{string(good): true, string(good[:7]): false} {
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, other := s.otherEngine(&txn.Status{Engine: id}); other != want {
			t.Errorf("%q is run: %v", content, other)
		}
	}
}
