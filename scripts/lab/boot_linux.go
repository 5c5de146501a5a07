package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bootTimeout is for a busy CI machine; alone it takes about a second. A unit that
// hangs at boot holds the boot up for as long.
const bootTimeout = 2 * time.Minute

// readyFile is written by the last job of every init that mkroot.sh sets up.
const readyFile = "/run/lab-ready"

// launch boots the machine and waits until it is up.
func (m *Machine) launch() error {
	if !until(10*time.Second, m.disksFree) {
		return errors.New("its disks are still in use; see losetup -l")
	}
	console, err := os.Create(m.consoleFile())
	if err != nil {
		return err
	}
	defer console.Close()
	// In the host's mount namespace: the kernel names the image of a loop device by its path
	// in the namespace it was opened in, and disksFree must know it when the machine is gone.
	devices := map[Disk]*os.File{}
	for _, d := range m.disks() {
		if devices[d], err = attachImage(m.image(d)); err != nil {
			return err
		}
		defer devices[d].Close()
	}
	// On a thread of its own, whose private mount namespace then belongs to the machine alone.
	err = onThread(func() error { return m.startInit(console, devices) })
	if err != nil {
		return err
	}
	up := until(bootTimeout, func() bool { return m.findLeader() || m.supervisor() == 0 })
	if m.supervisor() == 0 {
		return errors.Join(errors.New("it ended while booting"), m.bury())
	}
	if !up {
		return errors.Join(fmt.Errorf("it was not up within %s", bootTimeout), m.bury())
	}
	return nil
}

// findLeader notes the machine's init as soon as the machine is up.
func (m *Machine) findLeader() bool {
	leader := leaderOf(m.supervisor())
	if leader == 0 {
		return false
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", leader, readyFile)); err != nil {
		return false
	}
	m.leader.Store(int64(leader))
	return true
}

// startInit mounts the disks in a new mount namespace of the calling thread and
// starts systemd-nspawn there.
func (m *Machine) startInit(console *os.File, devices map[Disk]*os.File) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("new mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts from the host: %w", err)
	}
	if err := m.mountDisks(devices); err != nil {
		return err
	}
	cgroups := cgroupDirs(m.Name)
	for _, dir := range cgroups {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// Only a shell's own number can be moved before nspawn makes its first child.
	join := `for g in $CGROUPS; do echo $$ > "$g/cgroup.procs" || exit; done; exec systemd-nspawn "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", join, "sh"}, m.nspawnArgs()...)...)
	cmd.Env = []string{
		"PATH=" + insidePath,
		"CGROUPS=" + strings.Join(cgroups, " "),
		"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=" + map[bool]string{true: "1", false: "0"}[m.spec.Unified],
	}
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	text, err := json.Marshal(processOf(cmd.Process.Pid))
	if err != nil {
		return err
	}
	// How it ends does not matter, and that it did is seen elsewhere: only no zombie may stay.
	go func() { _ = cmd.Wait() }()
	return os.WriteFile(m.pidFile(), text, 0o644)
}

func (m *Machine) mountDisks(devices map[Disk]*os.File) error {
	disk := filepath.Join(m.dir, string(System))
	if err := mountDisk(devices[System], m.spec.FS, disk); err != nil {
		return err
	}
	upper, work := filepath.Join(disk, "up"), filepath.Join(disk, "work")
	for _, dir := range []string{upper, work, m.rootDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", m.spec.Root, upper, work)
	if err := unix.Mount("lab-"+m.Name, m.rootDir(), "overlay", 0, options); err != nil {
		return fmt.Errorf("mount the overlay on %s: %w", m.rootDir(), err)
	}
	if !m.spec.OptDisk {
		return nil
	}
	return mountDisk(devices[Opt], m.spec.FS, filepath.Join(m.dir, string(Opt)))
}

func (m *Machine) nspawnArgs() []string {
	args := []string{
		"-q", "--directory=" + m.rootDir(), "--boot",
		// One host name for all: machines that start from one image stay comparable.
		"--machine=" + m.Name, "--hostname=lab", "--network-namespace-path=" + m.networkFile(),
		"--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
		"--console=read-only", // with a pipe the console log stays empty
	}
	if m.spec.OptDisk {
		args = append(args, "--bind="+filepath.Join(m.dir, string(Opt))+":/opt")
	}
	for from, to := range m.spec.Share {
		args = append(args, "--bind-ro="+from+":"+to)
	}
	return args
}

// bury kills what still runs of the machine, waits until its disks are free and
// removes what nspawn leaves behind. It is right in any state.
func (m *Machine) bury() error {
	m.leader.Store(0)
	supervisor := m.supervisor()
	victims := []int{leaderOf(supervisor), supervisor} // the whole pid namespace dies with its init
	for _, dir := range cgroupDirs(m.Name) {
		victims = append(victims, processesIn(dir)...) // also an init that lost its nspawn
	}
	for _, pid := range victims {
		if pid != 0 {
			_ = unix.Kill(pid, unix.SIGKILL) // gone already: just as well
		}
	}
	if !until(30*time.Second, func() bool { return m.supervisor() == 0 }) {
		return fmt.Errorf("systemd-nspawn (pid %d) does not end", supervisor)
	}
	if !until(30*time.Second, m.disksFree) {
		return errors.New("its disks are still in use; see losetup -l")
	}
	for _, dir := range cgroupDirs(m.Name) {
		removeCgroup(dir)
	}
	// Left by nspawn when it is killed; that it is not there is the usual case.
	_ = os.Remove("/run/systemd/nspawn/propagate/" + m.Name)
	if err := os.Remove(m.pidFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// cgroupDirs names the machine's cgroup in the hierarchies that systemd uses: those of
// v1 or hybrid, else plain v2.
func cgroupDirs(name string) []string {
	var dirs []string
	for _, tree := range []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(tree + "/cgroup.procs"); err == nil {
			dirs = append(dirs, filepath.Join(tree, "lab-"+name))
		}
	}
	return dirs
}

// cgroupsBelow lists a cgroup and all below it, the deepest last. What cannot be read
// is on its way out.
func cgroupsBelow(dir string) []string {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs
}

func processesIn(cgroup string) []int {
	var pids []int
	for _, dir := range cgroupsBelow(cgroup) {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue // removed meanwhile
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// removeCgroup removes an empty tree of cgroups. One that is left behind costs
// nothing, so failures are no concern.
func removeCgroup(dir string) {
	for _, dir := range slices.Backward(cgroupsBelow(dir)) {
		_ = unix.Rmdir(dir)
	}
}
