package machine

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// procDir is where the kernel tells about processes.
const procDir = "/proc"

// process is one process and the moment it began, which together are never used
// twice between two boots.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// findProcess looks a pid up.
func findProcess(pid int) (process, error) {
	stat, err := readStat(pid)
	if err != nil {
		return process{}, err
	}
	return process{PID: pid, Start: stat.start}, nil
}

// alive tells whether the process still is there and is that one. A zombie is
// dead: nobody but its parent can do anything about it.
func (p process) alive() bool {
	if p.PID <= 0 {
		return false
	}
	stat, err := readStat(p.PID)
	return err == nil && stat.start == p.Start && stat.state != 'Z' && stat.state != 'X'
}

// signal sends a signal to exactly this process: the pidfd pins the pid between
// the look at its start time and the signal. A process that is gone is no error.
func (p process) signal(sig unix.Signal) error {
	if p.PID <= 0 {
		return nil // kill(2) would take it for a group, or for all there are
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return p.signalByPID(sig)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if !p.alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), p.PID, err)
	}
	return nil
}

func (p process) signalByPID(sig unix.Signal) error {
	if !p.alive() {
		return nil
	}
	if err := unix.Kill(p.PID, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), p.PID, err)
	}
	return nil
}

// procStat is the part of /proc/PID/stat that is used here.
type procStat struct {
	comm   string
	state  byte
	parent int
	start  uint64
}

func readStat(pid int) (procStat, error) {
	line, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(line))
}

// parseStat reads a stat line. The name in it may hold spaces and parentheses,
// so the fields are counted from the last closing one.
func parseStat(line string) (procStat, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return procStat{}, fmt.Errorf("read process state %.40q: no name in it", line)
	}
	fields := strings.Fields(line[end+1:])
	// proc(5) counts from 1 and the name is its field 2: state is 3, parent 4, start 22.
	const state, parent, start = 0, 1, 19
	if len(fields) <= start || len(fields[state]) != 1 {
		return procStat{}, fmt.Errorf("read process state %.40q: too short", line)
	}
	stat := procStat{comm: line[open+1 : end], state: fields[state][0]}
	var err error
	if stat.parent, err = strconv.Atoi(fields[parent]); err != nil {
		return procStat{}, fmt.Errorf("read process state %.40q: %w", line, err)
	}
	if stat.start, err = strconv.ParseUint(fields[start], 10, 64); err != nil {
		return procStat{}, fmt.Errorf("read process state %.40q: %w", line, err)
	}
	return stat, nil
}

// executable is the path of a process's program as it was when it started.
func executable(pid int) string {
	exe, err := os.Readlink(procPath(pid, "exe"))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(exe, " (deleted)")
}

// EndOwner ends the process that has a socket, if its program still is the one that was
// seen.
func EndOwner(l Listener) error {
	p, err := findProcess(l.PID)
	if err != nil || l.Program == "" || executable(l.PID) != l.Program {
		return nil // it has just ended
	}
	if err := p.signal(unix.SIGKILL); err != nil {
		return fmt.Errorf("end %s: %w", l.Owner(), err)
	}
	return nil
}

func arguments(pid int) []string {
	line, err := os.ReadFile(procPath(pid, "cmdline"))
	if err != nil || len(line) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
}

func procPath(pid int, name string) string {
	return path.Join(procDir, strconv.Itoa(pid), name)
}

// pids lists all processes in the order of their numbers.
func pids() ([]int, error) {
	dir, err := os.Open(procDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var found []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			found = append(found, pid)
		}
	}
	slices.Sort(found)
	return found, nil
}

// processes lists the living processes that match wants.
func processes(match func(pid int) bool) ([]process, error) {
	all, err := pids()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []process
	for _, pid := range all {
		if pid == os.Getpid() || !ownSystem(pid) || !match(pid) {
			continue
		}
		if p, err := findProcess(pid); err == nil && p.alive() {
			found = append(found, p)
		}
	}
	return found, nil
}

// ownSystem tells a process of this system from one of a container on it, which
// may run the same program from the same path and is none of our business.
func ownSystem(pid int) bool {
	own, err := os.Readlink(procDir + "/self/ns/pid")
	if err != nil {
		return true
	}
	theirs, err := os.Readlink(procPath(pid, "ns/pid"))
	return err != nil || theirs == own
}

// serving tells whether a process is the daemon of one of our services: the
// program of that name in some release, run as a daemon. A command for the night
// such as `ss-server backup` is the same program with another verb and none of a
// service manager's business.
func serving(pid int, service string) bool {
	exe := executable(pid)
	if path.Base(exe) != service || !ownProgram(exe) {
		return false
	}
	args := arguments(pid)
	return len(args) > 1 && args[1] == "run"
}

// ownProgram tells whether a program lies in a release. An administrator may
// have made a link of a folder on the way, and the kernel tells the real path.
func ownProgram(exe string) bool {
	if strings.HasPrefix(exe, ReleasesDir+"/") {
		return true
	}
	real, err := filepath.EvalSymlinks(ReleasesDir)
	return err == nil && strings.HasPrefix(exe, real+"/")
}

// daemons lists the processes of a service, by what they are and not by what a
// pid file says they are.
func daemons(service string) ([]process, error) {
	return processes(func(pid int) bool { return serving(pid, service) })
}

// killAll sends SIGKILL to all of found.
func killAll(found []process) error {
	var errs []error
	for _, p := range found {
		errs = append(errs, p.signal(unix.SIGKILL))
	}
	return errors.Join(errs...)
}

func anyAlive(found []process) bool {
	return slices.ContainsFunc(found, process.alive)
}

// bootID tells one boot of the machine from another.
func bootID() string {
	id, err := os.ReadFile(procDir + "/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
