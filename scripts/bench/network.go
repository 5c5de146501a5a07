//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// networkMark tells a process that it has a network of its own.
const networkMark = "SS_BENCH_NETWORK"

func inOwnNetwork() bool { return os.Getenv(networkMark) != "" }

// inNetwork measures in a process with a network of its own, which has a loopback
// device alone and TCP as Debian sets it up. Some machines have another congestion
// control; one that paces what it sends is what would be measured there, since loopback
// has nothing to pace for.
func (b *bench) inNetwork(kind string) (rows []row) {
	self, err := os.Executable()
	b.must(err)
	file, err := os.CreateTemp("", "bench-rows-")
	b.must(err)
	b.Cleanup(func() { _ = file.Close(); _ = os.Remove(file.Name()) })
	cmd := exec.Command(self, "-only", kind, "-runs", strconv.Itoa(b.runs), "-bundle", b.bundle, "-machines", b.machines, "-out", os.DevNull)
	cmd.Env = append(os.Environ(), networkMark+"="+file.Name())
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	b.must(cmd.Run())
	var noted []notedRow
	b.must(json.NewDecoder(file).Decode(&noted))
	for _, n := range noted {
		n.row.note = n.Note
		rows = append(rows, n.row)
	}
	return rows
}

// notedRow is a row with the note that the file of results does not have.
type notedRow struct {
	row
	Note string `json:"note"`
}

// handOver gives the rows to the process that made this network.
func handOver(rows []row) error {
	var noted []notedRow
	for _, r := range rows {
		noted = append(noted, notedRow{r, r.note})
	}
	text, err := json.Marshal(noted)
	if err != nil {
		return err
	}
	return os.WriteFile(os.Getenv(networkMark), text, 0o600)
}

// openNetwork makes a new network usable.
func openNetwork() error {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("bring up the loopback device with ip of the package iproute2: %w: %s", err, out)
	}
	return os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte("cubic"), 0o644)
}
