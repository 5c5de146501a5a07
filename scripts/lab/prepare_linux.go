package lab

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed mkroot.sh
var mkroot []byte

//go:embed packages.sh
var packages []byte

// hostPrograms are needed for every machine, with their Debian packages.
var hostPrograms = []string{"systemd-nspawn:systemd-container", "mkfs.ext4:e2fsprogs"}

// Prepare installs the packages and builds the roots that are missing. It does
// nothing for what is there; two processes may call it at once. Boot calls it too, so
// it is for tests that want the wait to happen at a time of their choosing.
func Prepare(t T, roots ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs root: prepares roots for machines (%s)", t.Name())
	}
	for _, root := range roots {
		if _, err := rootFolder(root); err != nil {
			t.Fatalf("lab: prepare %s: %v", root, err)
		}
	}
}

// rootFolder is the folder of a root, built first if need be. Its name carries the
// digest of the recipe: another recipe never changes a root that is in use.
func rootFolder(name string) (string, error) {
	if err := installPackages(hostPrograms...); err != nil {
		return "", err
	}
	if strings.Contains(name, "/") {
		return filepath.Abs(name)
	}
	recipe := sha256.Sum256(mkroot)
	dir := filepath.Join(state(), "root-"+name+"-"+hex.EncodeToString(recipe[:4]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, locked(func() error {
		if _, err := os.Stat(dir); err == nil {
			return nil // another process was faster
		}
		building := dir + ".tmp"
		if err := os.RemoveAll(building); err != nil {
			return err
		}
		if err := script(mkroot, []string{"DEBCACHE=" + filepath.Join(state(), "cache")}, name, building); err != nil {
			return fmt.Errorf("build root %s: %w", name, err)
		}
		return os.Rename(building, dir)
	})
}

// InstallPackages installs what a test needs on this host, given as program:package.
func InstallPackages(t T, pairs ...string) {
	t.Helper()
	if err := installPackages(pairs...); err != nil {
		t.Fatalf("lab: install what %s needs: %v", t.Name(), err)
	}
}

// installPackages installs what is missing, given as program:package.
func installPackages(pairs ...string) error {
	missing := false
	for _, pair := range pairs {
		program, _, _ := strings.Cut(pair, ":")
		if _, err := exec.LookPath(program); err != nil {
			missing = true
		}
	}
	if !missing {
		return nil
	}
	return locked(func() error { return script(packages, nil, pairs...) })
}

// script runs one of our shell scripts; what it says is part of the error.
func script(text []byte, env []string, args ...string) error {
	// Not through standard input, from which the programs it starts would read too.
	file, err := os.CreateTemp("", "lab-*.sh")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(text); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	cmd := exec.Command("bash", append([]string{file.Name()}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, tail(string(out), 10))
	}
	return nil
}

// locked runs fn while no other process of the lab is in here.
func locked(fn func() error) error {
	if err := os.MkdirAll(state(), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(state(), "lab.lock"), os.O_CREATE|os.O_RDWR, fs.FileMode(0o644))
	if err != nil {
		return err
	}
	defer lock.Close()
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		if err == nil {
			return fn()
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
	}
}

// RootFolder is the folder of a root file system, built first if need be. It is
// shared: copy it, never change it.
func RootFolder(t T, name string) string {
	t.Helper()
	dir, err := rootFolder(name)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return dir
}
