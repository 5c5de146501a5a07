//go:build linux && lab

package endtoend

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
)

// emulationTime is how long a program may take under qemu-user, which is some ten times
// slower than the machine, on a busy one.
const emulationTime = 2 * time.Minute

// arm is a root file system with the release for 64-bit ARM.
type arm struct {
	*lab.Emulated
	t    *testing.T
	root string
}

// wants runs a command and wants it to end with 0 and to have said things.
func (a *arm) wants(run func(ctx context.Context, args ...string) (string, string, int), args []string, says ...string) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), emulationTime)
	defer cancel()
	start := time.Now()
	stdout, stderr, code := run(ctx, args...)
	if code != 0 {
		a.t.Fatalf("%v: exit %d\n%s%s", args, code, stdout, stderr)
	}
	a.t.Logf("%.1f s: %s", time.Since(start).Seconds(), strings.Join(args, " "))
	for _, want := range says {
		if !strings.Contains(stdout, want) {
			a.t.Errorf("%v does not say %q:\n%s%s", args, want, stdout, stderr)
		}
	}
}

// serves starts both services as the machine does, waits for users to be served, and
// stops them.
func (a *arm) serves(version string) {
	a.t.Helper()
	for _, service := range []string{"ss-licensed", "ss-server"} {
		a.wants(a.Inside, []string{"/etc/init.d/" + service, "start"}, "Started")
	}
	var h lab.Health
	var err error
	for end := time.Now().Add(emulationTime); err != nil || !h.Ready || !h.Open || h.Version != version; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			a.t.Fatalf("it does not serve: %+v, %v", h, err)
		}
		h, err = lab.AskHealth(a.Dial, 10*time.Second)
	}
	// That they run is asked here and not of status: the kernel names qemu as the program
	// of each of these processes, and ss-setup takes none for a service by less than that.
	a.wants(a.Inside, []string{"ss-setup", "status"}, "SS Server "+version)
	a.wants(a.Inside, []string{"lmu"}, "serving", version)
	for _, service := range []string{"ss-server", "ss-licensed"} {
		a.wants(a.Inside, []string{"/etc/init.d/" + service, "stop"}, "Stopped")
	}
}

// The bundle is built by make bundle with no tags, so these are the very programs of a
// vendor, for a processor that is not there.
func TestTheReleaseFor64BitARMInstallsVerifiesServesAndIsUpdated(t *testing.T) {
	needsRoot(t)
	root := imageOf(t, "bookworm-sysv")
	a := &arm{lab.Emulate(t, "arm64", root), t, root}
	bundle, again := fixtures.Product(t, "arm64", false), fixtures.Product(t, "arm64", true)
	setup := filepath.Join(bundle, "ss-setup")
	version := a.version(setup)

	a.wants(a.Exec, []string{setup, "install", "-S", "--root", root})
	a.wants(a.Exec, []string{setup, "verify", "--root", root}, "is as it was installed")
	a.wants(a.Exec, []string{setup, "status", "--root", root}, "SS Server "+version)
	a.wants(a.Inside, []string{"ss-server", "selftest"}, "ss-server "+version+" works here")
	a.serves(version)

	release := a.release()
	a.wants(a.Exec, []string{filepath.Join(again, "ss-setup"), "install", "--update", "-S", "--root", root})
	if now := a.release(); now == release {
		t.Errorf("after the update %s is still in use", now)
	}
	a.wants(a.Exec, []string{setup, "verify", "--root", root}, "is as it was installed")
	a.serves(version)
}

// version is what ss-setup says of itself.
func (a *arm) version(setup string) string {
	a.t.Helper()
	stdout, stderr, code := a.Exec(a.t.Context(), setup, "--version")
	fields := strings.Fields(stdout)
	if code != 0 || len(fields) < 2 {
		a.t.Fatalf("ss-setup --version: exit %d\n%s%s", code, stdout, stderr)
	}
	return fields[len(fields)-1]
}

// release is the one in use.
func (a *arm) release() string {
	a.t.Helper()
	current, err := os.Readlink(filepath.Join(a.root, "opt/ss-server/current"))
	if err != nil {
		a.t.Fatal(err)
	}
	link := filepath.Join(a.root, "opt/ss-server", "generations", filepath.Base(current), "release")
	release, err := os.Readlink(link)
	if err != nil {
		a.t.Fatal(err)
	}
	return filepath.Base(release)
}
