//go:build linux && lab

package endtoend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
	"ss-setup/scripts/lab/snapshot"
)

// healthTimeout is what the runs of these tests give a new release; the lab is
// sometimes slow, and a release that hangs costs all of it.
const healthTimeout = 8 * time.Second

// recoveryTime is how long a machine may be without service after a kill: the
// promise is 10 s plus the health time-out.
const recoveryTime = 10*time.Second + healthTimeout

// box is a machine with ss-setup at hand.
type box struct {
	*lab.Machine
	t *testing.T
}

// boot makes a machine with the bundles of the given releases in /bundles.
func boot(t *testing.T, o lab.Options, releases ...string) *box {
	t.Helper()
	needsRoot(t)
	o.Share = map[string]string{}
	for _, r := range releases {
		o.Share[fixtures.Bundle(t, r)] = "/bundles/" + r
	}
	return &box{lab.Boot(t, o), t}
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("%s boots machines and needs root", t.Name())
	}
}

// result is how a run of ss-setup ended.
type result struct {
	code   int
	stdout string
	stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
}

// setup runs ss-setup of a release's bundle.
func (b *box) setup(release string, args ...string) result {
	b.t.Helper()
	stdout, stderr, code := b.Exec(context.Background(), append([]string{program(release)}, args...)...)
	return result{code, stdout, stderr}
}

func program(release string) string { return "/bundles/" + release + "/ss-setup" }

// must runs ss-setup and wants it to end well.
func (b *box) must(release string, args ...string) result {
	b.t.Helper()
	r := b.setup(release, args...)
	if r.code != 0 {
		b.t.Fatalf("ss-setup %s of %s: %s\n%s", strings.Join(args, " "), release, r, b.Logs())
	}
	return r
}

// want runs ss-setup and wants it to end with a code.
func (b *box) want(code int, release string, args ...string) result {
	b.t.Helper()
	r := b.setup(release, args...)
	if r.code != code {
		b.t.Fatalf("ss-setup %s of %s: want exit %d, got %s", strings.Join(args, " "), release, code, r)
	}
	return r
}

// install and update are the commands that nearly every test begins with.
func (b *box) install(release string) {
	b.t.Helper()
	b.must(release, "install", "-S", "--health-timeout", healthTimeout.String())
}

func updateArgs() []string {
	return []string{"install", "--update", "--health-timeout", healthTimeout.String()}
}

// health asks the server once.
func (b *box) health() (lab.Health, error) { return lab.AskHealth(b.Dial, 2*time.Second) }

// serves waits until one of the versions serves users, and tells which.
func (b *box) serves(within time.Duration, versions ...string) string {
	b.t.Helper()
	var last any
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		h, err := b.health()
		if last = err; err != nil {
			continue
		}
		last = h
		for _, v := range versions {
			if h.Version == v && h.Ready && h.Open {
				return v
			}
		}
	}
	b.t.Fatalf("none of %v serves within %s: %+v\n%s", versions, within, last, b.Logs())
	return ""
}

// settled waits until no transaction is open and no help for one is left.
func (b *box) settled(within time.Duration) {
	b.t.Helper()
	left := func() string {
		out, _, _ := b.Exec(context.Background(), "sh", "-c",
			"ls -d /var/lib/ss-setup/txn /opt/ss-server/engine /etc/systemd/system/ss-setup-recover.service /etc/init.d/ss-setup-recover 2>/dev/null; pgrep -af '[s]s-setup recover' 2>/dev/null")
		return strings.TrimSpace(out)
	}
	for end := time.Now().Add(within); left() != ""; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("a transaction is still open after %s:\n%s\n%s", within, left(), b.Logs())
		}
	}
}

// ours are the places that ss-setup may touch.
var ours = snapshot.Options{
	Roots: []string{"/opt", "/etc", "/usr/bin", "/usr/local", "/var/lib", "/srv", "/lib/systemd/system"},
	Ignore: append([]string{
		"/var/lib/ss-setup/state.json", "/var/lib/dpkg", "/var/lib/apt", "/var/log",
		// Written by the machine's own start.
		"/etc/resolv.conf", "/etc/hostname", "/var/lib/dbus", "/etc/hosts",
		"/opt/lost+found",
		// Made by a server that runs for a minute, whatever ss-setup does.
		"/var/lib/ss-server/snapshots/store-*-daily.db.zst*",
	}, snapshot.Volatile...),
}

// look takes the comparable state of the machine.
func (b *box) look() *snapshot.Snapshot {
	b.t.Helper()
	var s *snapshot.Snapshot
	err := b.Inside(func() (err error) {
		s, err = snapshot.Take("/", ours)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// same wants the machine to be as it was.
func (b *box) same(before *snapshot.Snapshot, what string) {
	b.t.Helper()
	if d := snapshot.Diff(before, b.look()); len(d) > 0 {
		b.t.Fatalf("%s: the machine is not as before:\n%s", what, strings.Join(d[:min(len(d), 20)], "\n"))
	}
}

// note puts data into the stopped server's store of the generation in force.
func (b *box) note(release, key string, size int) {
	b.t.Helper()
	b.service("stop", "ss-server")
	b.MustExec("su", "-s", "/bin/sh", "ss-server", "-c",
		fmt.Sprintf("/opt/ss-server/current/release/bin/ss-server note --data /opt/ss-server/current/data add %s %d", key, size))
	b.service("start", "ss-server")
	b.serves(recoveryTime, release)
}

// notes lists the data of a generation, by a program that knows its schema.
func (b *box) notes(generation int) string {
	b.t.Helper()
	return b.MustExec("sh", "-c", fmt.Sprintf(
		"cp -r /var/lib/ss-server/%d /tmp/look && /opt/ss-server/generations/%d/release/bin/ss-server note --data /tmp/look list; rm -rf /tmp/look", generation, generation))
}

// service controls a service as an administrator does.
func (b *box) service(verb, name string) {
	b.t.Helper()
	b.MustExec("sh", "-c", fmt.Sprintf("if [ -d /run/systemd/system ]; then systemctl %[1]s %[2]s; elif [ -d /run/openrc ]; then rc-service %[2]s %[1]s; else service %[2]s %[1]s; fi", verb, name))
}

// saved are machines that several tests start from, each made once.
var saved = struct {
	sync.Mutex
	dirs map[string]string
}{dirs: map[string]string{}}

// from boots a copy of a machine with the release installed, made once per kind.
func from(t *testing.T, o lab.Options, release string, releases ...string) *box {
	t.Helper()
	needsRoot(t)
	o.From = savedMachine(t, o, release)
	return boot(t, o, append(releases, release)...)
}

func savedMachine(t *testing.T, o lab.Options, release string) string {
	t.Helper()
	saved.Lock()
	defer saved.Unlock()
	key := fmt.Sprint(o.Root, o.FS, o.Disk, o.OptDisk, release)
	if dir, done := saved.dirs[key]; done {
		return dir
	}
	dir, err := os.MkdirTemp(savedDir, "machine-")
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "saved")
	b := boot(t, o, release)
	b.install(release)
	b.note(release, "first", 100)
	b.Stop()
	b.Save(dir)
	b.Remove()
	saved.dirs[key] = dir
	return dir
}

// savedDir is removed by TestMain.
var savedDir string

func TestMain(m *testing.M) {
	code := 1
	defer func() { os.Exit(code) }()
	dir, err := os.MkdirTemp("/var/tmp", "endtoend-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, errors.Join(err))
		}
	}()
	savedDir = dir
	code = m.Run()
}
