package step

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// insideVariable says that these tests run in name spaces of their own: how.
const insideVariable = "STEP_TEST_INSIDE"

// TestMain runs the tests where they may mount and are root, whoever calls them:
// steps give files to root. Nothing of it is seen outside.
func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) != "" {
		os.Exit(runTests(m))
	}
	code, err := runInside()
	if err != nil {
		fmt.Fprintln(os.Stderr, "no name spaces here, so tests that mount are left out:", err)
		code = runTests(m)
	}
	os.Exit(code)
}

// runTests runs them in memory where it may mount: on a disk, thousands of syncs
// would take a minute.
func runTests(m *testing.M) int {
	defer func() { _ = os.RemoveAll(bundleDir) }()
	if os.Getenv(insideVariable) == "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "step-test")
	if err == nil {
		defer func() { _ = os.Remove(dir) }()
		err = errors.Join(
			syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
			syscall.Mount("step-test", dir, "tmpfs", 0, "mode=0755"), os.Setenv("TMPDIR", dir),
		)
		defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot mount:", err)
	}
	return m.Run()
}

func runInside() (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// needsRoot leaves a test out where there is neither root nor a user name space.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("%s was left out: it needs root or user name spaces", t.Name())
	}
}

// mountSource names the file systems of mountTemp.
const mountSource = "step-mount"

// mountTemp mounts an empty file system at path until the test ends, wherever it
// has been moved to by then. Tests that call it are not parallel.
func mountTemp(t *testing.T, path string) {
	t.Helper()
	if os.Getenv(insideVariable) == "" {
		t.Skipf("%s was left out: it needs a mount name space", t.Name())
	}
	must(t, os.MkdirAll(path, 0o755))
	if err := syscall.Mount(mountSource, path, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("%s was left out: cannot mount: %v", t.Name(), err)
	}
	t.Cleanup(func() {
		mounts, err := os.ReadFile("/proc/self/mounts")
		must(t, err)
		for _, line := range strings.Split(string(mounts), "\n") {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == mountSource {
				_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
			}
		}
	})
}
