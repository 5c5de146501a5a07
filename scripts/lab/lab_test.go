//go:build linux && lab

package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write makes a file inside, synced or not. The folder is synced in both cases, so
// that what a power cut takes is the content's own fault.
func write(t *testing.T, m *Machine, name, text string, synced bool) {
	t.Helper()
	err := m.Inside(func() error {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
		if !synced {
			return nil
		}
		return syncFS(filepath.Dir(name))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMachinesBootWithEveryInit(t *testing.T) {
	for root, init := range map[string]string{"bookworm": "systemd", "bookworm-sysv": "init", "bookworm-openrc": "init"} {
		t.Run(root, func(t *testing.T) {
			Prepare(t, root)
			start := time.Now()
			m := Boot(t, Options{Root: root})
			up := time.Since(start)
			if name := strings.TrimSpace(m.MustExec("cat", "/proc/1/comm")); name != init {
				t.Errorf("process 1 is %s, want %s", name, init)
			}
			if init == "systemd" {
				if state := strings.TrimSpace(m.MustExec("systemctl", "is-system-running")); state != "running" {
					t.Errorf("systemd is %s", state)
				}
			}
			start = time.Now()
			m.Stop()
			if m.Running() {
				t.Error("it runs after Stop")
			}
			t.Logf("up in %s, off in %s", up.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
		})
	}
}

func TestPowerCutKeepsExactlyWhatWasSynced(t *testing.T) {
	for _, fs := range []string{"ext4", "xfs"} {
		t.Run(fs, func(t *testing.T) {
			m := Boot(t, Options{Root: "bookworm-sysv", FS: fs, OptDisk: "320M"})
			for i, order := range []Order{SystemFirst, OptFirst} {
				for _, dir := range []string{"/var/lib", "/opt"} {
					write(t, m, dir+"/synced", "kept", true)
					write(t, m, dir+"/unsynced", "lost", false)
				}
				start := time.Now()
				m.Kill9(order, time.Duration(i)*3*time.Millisecond)
				cut := time.Since(start)
				start = time.Now()
				m.Start()
				t.Logf("cut in %s, up again in %s", cut.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
				for _, dir := range []string{"/var/lib", "/opt"} {
					if text, err := m.ReadFile(dir + "/synced"); string(text) != "kept" {
						t.Errorf("%s/synced holds %q, %v", dir, text, err)
					}
					if text, _ := m.ReadFile(dir + "/unsynced"); len(text) > 0 {
						t.Errorf("%s/unsynced holds %q after a power cut", dir, text)
					}
				}
			}
		})
	}
}

func TestDisksLoseTheirPowerInTheGivenOrder(t *testing.T) {
	m := Boot(t, Options{Root: "bookworm-sysv", OptDisk: "32M"})
	// The writer notes in turn on both disks, synced, so the disk that stays longer has more.
	script := `i=0; while :; do i=$((i+1)); echo $i >/opt/n; sync /opt/n; echo $i >/var/lib/n; sync /var/lib/n; done`
	for _, c := range []struct {
		order      Order
		longer     string
		mustBeLess string
	}{
		{SystemFirst, "/opt/n", "/var/lib/n"},
		{OptFirst, "/var/lib/n", "/opt/n"},
	} {
		m.Spawn("sh", "-c", script)
		time.Sleep(100 * time.Millisecond)
		m.Kill9(c.order, 150*time.Millisecond)
		m.Start()
		longer, less := number(t, m, c.longer), number(t, m, c.mustBeLess)
		if longer < less+5 {
			t.Errorf("%v: %s reached %d, %s %d", c.order, c.longer, longer, c.mustBeLess, less)
		}
	}
}

func number(t *testing.T, m *Machine, file string) int {
	t.Helper()
	text, err := m.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range strings.TrimSpace(string(text)) {
		n = n*10 + int(c-'0')
	}
	return n
}

func TestCrashKeepsWhatWasWritten(t *testing.T) {
	m := Boot(t, Options{Root: "bookworm-sysv"})
	write(t, m, "/var/lib/unsynced", "written", false)
	m.Crash()
	m.Start()
	if text, err := m.ReadFile("/var/lib/unsynced"); string(text) != "written" {
		t.Errorf("holds %q, %v", text, err)
	}
}

func TestFullDiskRefusesWritesUntilUnfilled(t *testing.T) {
	m := Boot(t, Options{Root: "bookworm-sysv", OptDisk: "32M"})
	for disk, dir := range map[Disk]string{System: "/var/lib", Opt: "/opt"} {
		m.Fill(disk, 0)
		_, stderr, code := m.Exec(t.Context(), "dd", "if=/dev/zero", "of="+dir+"/big", "bs=1M", "count=1")
		if code == 0 || !strings.Contains(stderr, "No space left") {
			t.Errorf("%s: dd on a full disk: exit code %d, %s", disk, code, stderr)
		}
		m.Unfill(disk)
		m.MustExec("dd", "if=/dev/zero", "of="+dir+"/big", "bs=1M", "count=1")
		m.Fill(disk, 8<<20)
		if free := m.Free(disk); free < 7<<20 || free > 9<<20 {
			t.Errorf("%s: %d bytes free, want 8 MiB", disk, free)
		}
		m.Unfill(disk)
	}
}

func TestDeadDiskFailsUntilTheNextStart(t *testing.T) {
	m := Boot(t, Options{Root: "bookworm-sysv", OptDisk: "32M"})
	m.EIO(Opt)
	_, stderr, code := m.Exec(t.Context(), "touch", "/opt/new")
	if code == 0 || !strings.Contains(stderr, "Input/output error") {
		t.Errorf("touch on a dead disk: exit code %d, %s", code, stderr)
	}
	m.MustExec("touch", "/var/lib/new")
	m.Kill9(SystemFirst, 0)
	m.Start()
	m.MustExec("touch", "/opt/new")
}

func TestMachineStartsFromASavedOne(t *testing.T) {
	first := Boot(t, Options{Root: "bookworm", OptDisk: "32M"})
	first.MustExec("sh", "-c", "echo installed >/opt/mark; useradd --system ss-server")
	first.Stop()
	saved := filepath.Join(t.TempDir(), "saved")
	first.Save(saved)
	for range 2 {
		start := time.Now()
		m := Boot(t, Options{From: saved})
		t.Logf("copied and up in %s", time.Since(start).Round(time.Millisecond))
		if text := m.MustExec("cat", "/opt/mark"); text != "installed\n" {
			t.Errorf("/opt/mark holds %q", text)
		}
		m.MustExec("id", "ss-server")
		m.MustExec("rm", "/opt/mark") // the next one must not notice
	}
}

func TestProgramsRunInsideAndOnlyThere(t *testing.T) {
	m := Boot(t, Options{Root: "bookworm-sysv"})
	t.Run("exit code, output and environment", func(t *testing.T) {
		stdout, stderr, code := m.Exec(t.Context(), "sh", "-c", "echo out; echo err >&2; env; exit 7")
		if code != 7 || !strings.HasPrefix(stdout, "out\n") || stderr != "err\n" {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
		if strings.Contains(stdout, "GOPATH") || strings.Contains(stdout, "LAB") {
			t.Errorf("the host's environment leaks: %s", stdout)
		}
	})
	t.Run("a missing program", func(t *testing.T) {
		if _, stderr, code := m.Exec(t.Context(), "no-such-program"); code != -1 || !strings.Contains(stderr, "no-such-program") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	})
	t.Run("kill ends the program alone", func(t *testing.T) {
		p := m.Spawn("sh", "-c", "sleep 1000 & echo $!; wait")
		child := ""
		if !until(5*time.Second, func() bool { child, _ = p.Output(); return child != "" }) {
			t.Fatal("it says nothing")
		}
		p.Kill()
		if _, _, code := p.Wait(); code != -1 {
			t.Errorf("exit code %d of a killed program", code)
		}
		if _, stderr, code := m.Exec(t.Context(), "kill", strings.TrimSpace(child)); code != 0 {
			t.Errorf("its child is gone too: %s", stderr)
		}
	})
	t.Run("signals", func(t *testing.T) {
		p := m.Spawn("sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
		until(5*time.Second, func() bool { said, _ := p.Output(); return said != "" })
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if _, _, code := p.Wait(); code != 9 {
			t.Errorf("exit code %d, want 9", code)
		}
	})
	t.Run("a time limit", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, _, code := m.Exec(ctx, "sleep", "1000"); code != -1 {
			t.Errorf("exit code %d", code)
		}
		if text, _, code := m.Exec(t.Context(), "pgrep", "-f", "^sleep 1000"); code != 1 {
			t.Errorf("still there: %s", text)
		}
	})
	t.Run("copies follow the machine's links, not the host's", func(t *testing.T) {
		host := t.TempDir()
		if err := os.MkdirAll(filepath.Join(host, "tree/sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(host, "tree/sub/run"), []byte("#!/bin/sh\necho copied\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		m.Copy(filepath.Join(host, "tree"), "/var/run/lab/copy")
		if text, stderr, _ := m.Exec(t.Context(), "/run/lab/copy/sub/run"); text != "copied\n" {
			t.Errorf("says %q%s", text, stderr)
		}
		if _, err := os.Stat("/run/lab/copy"); err == nil {
			t.Error("the copy is on the host")
		}
	})
	t.Run("the host reaches ports inside by Dial alone", func(t *testing.T) {
		m.Spawn("perl", "-MIO::Socket::INET", "-e",
			`$s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:8000", ReuseAddr => 1) or die;
			 while ($c = $s->accept) { print $c "HTTP/1.0 200 OK\r\n\r\nhello"; close $c }`)
		client := http.Client{Transport: &http.Transport{DialContext: m.Dial, DisableKeepAlives: true}}
		var text []byte
		until(5*time.Second, func() bool {
			answer, err := client.Get("http://127.0.0.1:8000/")
			if err != nil {
				return false
			}
			defer answer.Body.Close()
			text, _ = io.ReadAll(answer.Body)
			return true
		})
		if string(text) != "hello" {
			t.Errorf("got %q", text)
		}
	})
}

func TestFoldersOfTheHostAreSharedReadOnly(t *testing.T) {
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "file"), []byte("shared"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := Boot(t, Options{Root: "bookworm-sysv", Share: map[string]string{host: "/fixtures"}})
	if text := m.MustExec("cat", "/fixtures/file"); text != "shared" {
		t.Errorf("says %q", text)
	}
	if _, _, code := m.Exec(t.Context(), "touch", "/fixtures/file"); code == 0 {
		t.Error("a machine can write to the host")
	}
}

func TestMachinesTalkOverASwitchThatCanFail(t *testing.T) {
	a := Boot(t, Options{Root: "bookworm-sysv", IP: "10.77.0.201"})
	b := Boot(t, Options{Root: "bookworm-sysv", IP: "10.77.0.202"})
	b.Spawn("perl", "-MIO::Socket::INET", "-e",
		`$s = IO::Socket::INET->new(Listen => 1, LocalPort => 8000, ReuseAddr => 1) or die;
		 while ($c = $s->accept) { print $c "HTTP/1.0 200 OK\r\n\r\n" . "x" x 100000; close $c }`)
	reaches := func() bool {
		_, _, code := a.Exec(t.Context(), "curl", "-sS", "-m", "0.5", "http://10.77.0.202:8000/")
		return code == 0
	}
	if !until(5*time.Second, reaches) {
		t.Fatal("a does not reach b")
	}
	for name, fault := range map[string]struct{ on, off func() }{
		"a pulled cable":                             {b.Cut, b.Heal},
		"one lossy direction":                        {func() { b.DropTo(a) }, func() { b.UndropTo(a) }},
		"the other direction":                        {func() { a.DropTo(b) }, func() { a.UndropTo(b) }},
		"nearly all packets lost":                    {func() { b.Loss(99) }, b.ClearNetwork},
		"a rate too low for 100 kB in half a second": {func() { a.Rate("256kbit") }, a.ClearNetwork},
	} {
		fault.on()
		if reaches() {
			t.Errorf("a reaches b in spite of %s", name)
		}
		fault.off()
		if !until(5*time.Second, reaches) {
			t.Errorf("a does not reach b after the end of %s", name)
		}
	}
}

func TestTheGatewayStaysReachableWhileMachinesComeAndGo(t *testing.T) {
	seen := func() string {
		address, err := onSwitch("cat", "/sys/class/net/br0/address")
		if err != nil {
			t.Fatal(err)
		}
		return address
	}
	a := Boot(t, Options{Root: "bookworm-sysv", IP: "10.77.0.203"})
	before := seen()
	cable := "l-" + a.Name
	err := ip("-n "+switchNS+" link add "+cable+" address 02:00:00:00:00:01 type veth peer name l"+cable, "-n "+switchNS+" link set "+cable+" master br0 up")
	if now := seen(); err != nil || now != before {
		t.Errorf("with another machine the gateway's address changes from %s to %s (%v)", before, now, err)
	}
	if err := ip("-n " + switchNS + " link del " + cable); err != nil {
		t.Error(err)
	}
}

func TestNothingIsLeftOfAMachine(t *testing.T) {
	var name, dir string
	t.Run("one machine", func(t *testing.T) {
		m := Boot(t, Options{Root: "bookworm-sysv", OptDisk: "32M"})
		name, dir = m.Name, m.dir
	})
	gone := &Machine{Name: name, dir: dir}
	if _, err := os.Stat(dir); err == nil {
		t.Error("its folder is there")
	}
	if _, err := os.Stat(gone.networkFile()); err == nil {
		t.Error("its network is there")
	}
	if !gone.disksFree() {
		t.Error("its disks are in use")
	}
	for _, cgroup := range cgroupDirs(name) {
		if _, err := os.Stat(cgroup); err == nil {
			t.Errorf("cgroup %s is there", cgroup)
		}
	}
	if slices.Contains(All(), name) {
		t.Error("it is listed")
	}
}

// TestMachineOfAKilledTestIsRemoved runs this very test in another process, which
// boots a machine and is killed.
func TestMachineOfAKilledTestIsRemoved(t *testing.T) {
	const name = "orphan"
	if os.Getenv("LAB_TEST_ORPHAN") != "" {
		Boot(t, Options{Name: name, Root: "bookworm-sysv"})
		select {} // until it is killed
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^TestMachineOfAKilledTestIsRemoved$")
	cmd.Env = append(os.Environ(), "LAB_TEST_ORPHAN=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &Machine{Name: name, dir: machineDir(name)}
	if !until(30*time.Second, m.findLeader) {
		t.Error("the machine does not boot")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	removeOrphans()
	if m.Running() || !m.disksFree() || slices.Contains(All(), name) {
		t.Error("something is left of it")
	}
}

// failing is a test that has failed; it keeps what the lab says.
type failing struct {
	*testing.T
	said  strings.Builder
	after []func()
}

func (f *failing) Failed() bool                    { return true }
func (f *failing) Logf(format string, args ...any) { fmt.Fprintf(&f.said, format+"\n", args...) }
func (f *failing) Cleanup(fn func())               { f.after = append(f.after, fn) }

func TestFailedTestShowsTheLogsOfItsMachine(t *testing.T) {
	for root, words := range map[string]string{"bookworm": "Startup finished", "bookworm-sysv": "INIT:"} {
		f := &failing{T: t}
		m := Boot(f, Options{Root: root, Logs: []string{"/var/log/product-*/*"}})
		if err := m.WriteFile("/var/log/product-a/log", []byte("it went wrong here\n"), 0o600); err != nil {
			t.Error(err)
		}
		for _, fn := range f.after {
			fn()
		}
		for _, want := range []string{words, "/var/log/product-a/log:\nit went wrong here"} {
			if !strings.Contains(f.said.String(), want) {
				t.Errorf("%s: %q is missing in\n%s", root, want, f.said.String())
			}
		}
	}
}
