package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// T is what the lab needs of a test. *testing.T is one.
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Failed() bool
	Cleanup(func())
}

// Options describes a machine. The zero value is a bookworm with systemd.
type Options struct {
	Name    string            // made up when empty; a-z 0-9 -, 12 at most
	Root    string            // bookworm, trixie, bookworm-sysv, bookworm-openrc, … or a folder with a /; default bookworm
	FS      string            // of its disks: ext4 (default) or xfs
	Disk    string            // size of its disk, default 512M
	OptDisk string            // size of a second disk, mounted on /opt; none when empty
	From    string            // folder written by Save: start with those disks instead of empty ones
	Share   map[string]string // folders of the host, read-only inside: path on the host -> path inside
	IP      string            // 10.77.0.N on the network of all machines; empty: loopback only
	Unified bool              // cgroup v2 inside
	Logs    []string          // files inside, as patterns, that a failed test shows
	Keep    bool              // outlives this process: for use by hand
}

// spec is what Save and the machine's folder remember of Options.
type spec struct {
	Root    string
	FS      string
	OptDisk bool
	Share   map[string]string
	Unified bool
	IP      string
	Owner   process // that the machine ends with; none for one that is kept
}

// Machine is one machine of the lab. Its methods fail the test when the lab itself
// fails; call them from the test's own goroutine. Exec, Spawn and Dial may be called
// from any.
type Machine struct {
	Name string
	t    T
	dir  string // below $LAB/machines
	spec spec
	logs []string
	// leader is the machine's init as the host numbers it; 0 while the machine is off.
	leader atomic.Int64
}

var (
	goodName = regexp.MustCompile(`^[a-z0-9-]{1,12}$`)
	counter  atomic.Int64
	sweep    sync.Once
)

// Boot makes a machine and returns when it is up: with systemd when no job is left
// (running or degraded), with SysV and OpenRC when the default runlevel is reached.
// It goes away with the test. Without root the test is skipped.
func Boot(t T, o Options) *Machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs root: boots a machine (%s)", t.Name())
	}
	m, err := newMachine(t, o)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	if !o.Keep {
		t.Cleanup(m.cleanup)
	}
	if err := m.create(o); err != nil {
		t.Fatalf("lab: make machine %s: %v", m.Name, err)
	}
	m.Start()
	return m
}

// Attach finds a machine made with Keep by another process.
func Attach(t T, name string) *Machine {
	t.Helper()
	m := &Machine{Name: name, t: t, dir: machineDir(name)}
	if err := m.load(m.dir); err != nil {
		t.Fatalf("lab: no machine %s: %v", name, err)
	}
	m.leader.Store(int64(leaderOf(m.supervisor())))
	return m
}

// All lists the names of all machines on this host.
func All() []string {
	dirs, err := filepath.Glob(machineDir("*"))
	if err != nil {
		panic(err) // the pattern is ours
	}
	for i := range dirs {
		dirs[i] = filepath.Base(dirs[i])
	}
	return dirs
}

func newMachine(t T, o Options) (*Machine, error) {
	if o.Name == "" {
		o.Name = strconv.FormatInt(int64(os.Getpid()), 36) + "-" + strconv.FormatInt(counter.Add(1), 36)
	}
	if !goodName.MatchString(o.Name) {
		return nil, fmt.Errorf("machine name %q: use a-z 0-9 -, 12 at most", o.Name)
	}
	m := &Machine{Name: o.Name, t: t, dir: machineDir(o.Name), logs: o.Logs}
	if m.supervisor() != 0 {
		return nil, fmt.Errorf("machine %s runs already", o.Name)
	}
	sweep.Do(removeOrphans)
	return m, nil
}

// create makes everything of the machine that outlives a restart.
func (m *Machine) create(o Options) error {
	m.spec = spec{FS: o.FS, OptDisk: o.OptDisk != "", Share: o.Share, Unified: o.Unified, IP: o.IP}
	if !o.Keep {
		m.spec.Owner = processOf(os.Getpid())
	}
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return err
	}
	if o.From != "" {
		return m.createFrom(o)
	}
	if o.Root == "" {
		o.Root = "bookworm"
	}
	if o.FS == "" {
		m.spec.FS = "ext4"
	}
	if o.Disk == "" {
		o.Disk = "512M"
	}
	var err error
	if m.spec.Root, err = rootFolder(o.Root); err != nil {
		return err
	}
	if err := makeDisk(m.image(System), m.spec.FS, o.Disk); err != nil {
		return err
	}
	if m.spec.OptDisk {
		if err := makeDisk(m.image(Opt), m.spec.FS, o.OptDisk); err != nil {
			return err
		}
	}
	return errors.Join(m.store(m.dir), m.makeNetwork())
}

// createFrom takes root, file system and disks from a saved machine.
func (m *Machine) createFrom(o Options) error {
	wanted := m.spec
	if err := m.load(o.From); err != nil {
		return fmt.Errorf("start from %s: %w", o.From, err)
	}
	m.spec.IP, m.spec.Owner = wanted.IP, wanted.Owner
	if o.Share != nil {
		m.spec.Share = o.Share
	}
	for _, d := range m.disks() {
		if err := copySparse(filepath.Join(o.From, d.file()), m.image(d)); err != nil {
			return err
		}
	}
	return errors.Join(m.store(m.dir), m.makeNetwork())
}

// Save copies the disks of the machine, which must be off, into a folder that
// Options.From takes. One installed machine can so be the start of hundreds.
func (m *Machine) Save(dir string) {
	m.t.Helper()
	if m.Running() {
		m.t.Fatalf("lab: save %s: it runs; call Stop or Kill9 first", m.Name)
	}
	err := os.MkdirAll(dir, 0o755)
	for _, d := range m.disks() {
		err = errors.Join(err, copySparse(m.image(d), filepath.Join(dir, d.file())))
	}
	if err = errors.Join(err, m.store(dir)); err != nil {
		m.t.Fatalf("lab: save %s: %v", m.Name, err)
	}
}

// Start boots the machine again from its disks, after Stop, Kill9 or Crash.
func (m *Machine) Start() {
	m.t.Helper()
	if m.Running() {
		m.t.Fatalf("lab: start %s: it runs already", m.Name)
	}
	if err := m.launch(); err != nil {
		m.t.Fatalf("lab: start %s: %v\n%s", m.Name, err, tail(m.console(), 40))
	}
}

// Stop powers the machine off as an administrator does.
func (m *Machine) Stop() {
	m.t.Helper()
	leader := m.needLeader()
	if systemd(leader) {
		// systemd starts poweroff.target on RTMIN+4; Go and the kernel count from 34.
		if err := unix.Kill(leader, unix.Signal(34+4)); err != nil {
			m.t.Fatalf("lab: stop %s: %v", m.Name, err)
		}
	} else {
		// It may be killed by what it asked for: that the machine goes off is what counts.
		m.Exec(context.Background(), "/sbin/poweroff")
	}
	off := until(time.Minute, func() bool { return m.supervisor() == 0 })
	if err := m.bury(); err != nil {
		m.t.Fatalf("lab: stop %s: %v", m.Name, err)
	}
	if !off {
		m.t.Fatalf("lab: stop %s: it did not power off within a minute and was killed", m.Name)
	}
}

// Crash kills every process of the machine at once; what they wrote stays, synced or
// not.
func (m *Machine) Crash() {
	m.t.Helper()
	m.needLeader()
	if err := m.bury(); err != nil {
		m.t.Fatalf("lab: crash %s: %v", m.Name, err)
	}
}

// Kill9 is a power cut: what was not synced is lost. With a second disk the disks
// stop one after the other, gap apart, as they do when the power fades.
func (m *Machine) Kill9(order Order, gap time.Duration) {
	m.t.Helper()
	m.needLeader()
	if err := m.cutPower(order, gap); err != nil {
		m.t.Fatalf("lab: power cut of %s: %v", m.Name, err)
	}
	if err := m.bury(); err != nil {
		m.t.Fatalf("lab: power cut of %s: %v", m.Name, err)
	}
}

// Remove ends the machine, however it is, and deletes what it had.
func (m *Machine) Remove() {
	m.t.Helper()
	if err := m.remove(); err != nil {
		m.t.Fatalf("lab: remove %s: %v", m.Name, err)
	}
}

// Running tells whether the machine is on.
func (m *Machine) Running() bool { return m.supervisor() != 0 }

// InTest tells whether a running test owns the machine and will remove it.
func (m *Machine) InTest() bool { return m.spec.Owner.alive() }

func (m *Machine) cleanup() {
	if m.t.Failed() {
		m.t.Logf("machine %s:\n%s", m.Name, m.report())
	}
	if err := m.remove(); err != nil {
		m.t.Logf("lab: remove %s: %v", m.Name, err)
	}
}

func (m *Machine) remove() error {
	if m.Running() {
		// Faster than writing out what is deleted next; that it works is no condition.
		_ = m.cutPower(SystemFirst, 0)
	}
	return errors.Join(m.bury(), m.removeNetwork(), os.RemoveAll(m.dir))
}

// removeOrphans removes the machines of test processes that are gone.
func removeOrphans() {
	for _, name := range All() {
		m := &Machine{Name: name, dir: machineDir(name)}
		if m.load(m.dir) != nil || m.spec.Owner.PID == 0 || m.InTest() {
			continue
		}
		// Nothing is lost when it fails: the next process tries again.
		_ = m.remove()
	}
}

const specFile = "machine.json"

func (m *Machine) store(dir string) error {
	text, err := json.Marshal(m.spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, specFile), text, 0o644)
}

func (m *Machine) load(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, specFile))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, &m.spec)
}

// state is the folder of everything.
var state = sync.OnceValue(func() string {
	dir := os.Getenv("LAB")
	if dir == "" {
		dir = "/var/tmp/lab"
	}
	// The kernel names the files behind loop devices by their real path.
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
})

// machines is the folder of all machines. In memory their disks cost no writes of the
// host's: a power cut, a copy and a removal are three times faster. The choice hangs
// on sizes that do not change, so that all processes make the same.
var machines = sync.OnceValue(func() string {
	const roomy = 8 << 30 // a machine's disks hold some 200 MB, and few run at once
	if dir := os.Getenv("LAB_MACHINES"); dir != "" {
		return dir
	}
	var s unix.Statfs_t
	if os.Getenv("LAB") == "" && unix.Statfs("/dev/shm", &s) == nil &&
		s.Type == unix.TMPFS_MAGIC && int64(s.Blocks)*s.Bsize >= roomy {
		return "/dev/shm/lab-machines"
	}
	return filepath.Join(state(), "machines")
})

func machineDir(name string) string { return filepath.Join(machines(), name) }
