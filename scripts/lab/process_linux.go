package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func (m *Machine) pidFile() string     { return filepath.Join(m.dir, "pid") }
func (m *Machine) consoleFile() string { return filepath.Join(m.dir, "console.log") }
func (m *Machine) rootDir() string     { return filepath.Join(m.dir, "root") }

// supervisor is the pid of the machine's systemd-nspawn on the host, 0 when there is
// none. The file may be older than a reboot of the host: another process with that
// number began at another time and is never taken for it.
func (m *Machine) supervisor() int {
	text, err := os.ReadFile(m.pidFile())
	if err != nil {
		return 0
	}
	var p process
	if json.Unmarshal(text, &p) != nil || !p.alive() {
		return 0
	}
	return p.PID
}

// process names a process for good: its number alone may be given to a later one.
type process struct {
	PID     int
	Started string
}

func processOf(pid int) process { return process{pid, startTime(pid)} }

// alive tells whether the very same process still runs.
func (p process) alive() bool { return p.Started != "" && startTime(p.PID) == p.Started }

// leaderOf is the machine's init, nspawn's only child.
func leaderOf(supervisor int) int {
	if supervisor == 0 {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", supervisor, supervisor))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return pid
}

// needLeader is for what makes sense only while the machine is on.
func (m *Machine) needLeader() int {
	m.t.Helper()
	leader := int(m.leader.Load())
	if leader == 0 || !m.Running() {
		m.t.Fatalf("lab: machine %s is off; call Start", m.Name)
	}
	return leader
}

func systemd(leader int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/root/lib/systemd/systemd", leader))
	return err == nil
}

// startTime tells when a process began, in the kernel's own unit; empty when it is gone
// or a zombie.
func startTime(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name in parentheses may hold spaces; after it the start is the 20th field.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// until polls a condition and tells whether it came true in time.
func until(timeout time.Duration, done func() bool) bool {
	for end := time.Now().Add(timeout); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
