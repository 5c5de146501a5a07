package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Emulated is a root file system in which programs of another architecture run, by
// qemu-user. It is not booted, and nobody starts its services but the test; processes,
// network and what tells the kernel of qemu are its own, so that the host is left alone.
type Emulated struct {
	t      T
	root   string
	holder int // process 1 of the namespaces
}

// machineOf names the architectures that Emulate knows, as ELF and qemu name them.
var machineOf = map[string]struct {
	elf  byte
	qemu string
}{
	"arm64": {0xb7, "aarch64"},
}

// enterNamespaces tells the kernel of qemu, in these namespaces alone, and stays until
// its standard input is closed. It must be a shell that waits: what becomes an orphan is
// its to bury.
const enterNamespaces = `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || exit 77
printf %s "$1" > /proc/sys/fs/binfmt_misc/register && ip link set lo up &&
mount -t proc proc "$2/proc" && mount -t tmpfs tmpfs "$2/run" && echo ready && cat`

// Emulate makes the namespaces for a root file system, which the test may change. They
// end with the test.
func Emulate(t T, arch, root string) *Emulated {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs root: runs programs for %s by qemu-user (%s)", arch, t.Name())
	}
	rule, err := binfmtRule(arch)
	if err != nil {
		t.Fatalf("lab: emulate %s: %v", arch, err)
	}
	// What every builder of images makes; only the host may.
	null := filepath.Join(root, "dev/null")
	if err := unix.Mknod(null, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil && !errors.Is(err, unix.EEXIST) {
		t.Fatalf("lab: make %s: %v", null, err)
	}
	e := &Emulated{t: t, root: root}
	if err := e.enter(rule); err != nil {
		if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 77 {
			t.Skipf("needs Linux 6.7 or newer, for a binfmt_misc of its own: runs programs for %s by qemu-user (%s): %v", arch, t.Name(), err)
		}
		t.Fatalf("lab: emulate %s: %v", arch, err)
	}
	return e
}

// binfmtRule is what the kernel is told: which programs qemu runs. The F makes it open
// qemu at once, so that it need not be in a root.
func binfmtRule(arch string) (string, error) {
	machine, ok := machineOf[arch]
	if !ok {
		return "", fmt.Errorf("no qemu is known for %s", arch)
	}
	program := "qemu-" + machine.qemu + "-static"
	if err := installPackages(program+":qemu-user-static", "ip:iproute2"); err != nil {
		return "", err
	}
	qemu, err := exec.LookPath(program)
	if err != nil {
		return "", err
	}
	header := []byte{
		0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 64 bit, little-endian
		2, 0, machine.elf, 0, // a program for this machine
	}
	mask := bytes.Repeat([]byte{0xff}, len(header))
	mask[7], mask[16] = 0, 0xfe // whichever ABI it names; fixed or position-independent
	return ":" + machine.qemu + ":M::" + escaped(header) + ":" + escaped(mask) + ":" + qemu + ":PF", nil
}

func escaped(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\x%02x`, c)
	}
	return s.String()
}

func (e *Emulated) enter(rule string) error {
	cmd := exec.Command("sh", "-c", enterNamespaces, "sh", rule, e.root)
	ids := []syscall.SysProcIDMap{{Size: 1 << 16}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID,
		UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{},
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	stay, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	e.holder = cmd.Process.Pid
	if line, err := bufio.NewReader(out).ReadString('\n'); err == nil && line == "ready\n" {
		e.t.Cleanup(func() { e.leave(cmd, stay) })
		return nil
	}
	stay.Close()
	return fmt.Errorf("%w: %s", cmd.Wait(), tail(said.String(), 3))
}

// leave ends process 1, and with it every process in the namespaces.
func (e *Emulated) leave(cmd *exec.Cmd, stay io.Closer) {
	stay.Close()
	if err := cmd.Wait(); err != nil {
		e.t.Logf("lab: end the namespaces of %s: %v", e.root, err)
	}
}

// Exec runs a program of the host's files, for whichever architecture, and returns what
// it said and its exit code: -1 when a signal ended it or it could not be started.
func (e *Emulated) Exec(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	in := []string{"--target", strconv.Itoa(e.holder), "--user", "--mount", "--net", "--pid", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(in, args...)...)
	cmd.Env = []string{"HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "PATH=" + insidePath}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	// A daemon that the program left behind may keep its output open for ever.
	cmd.WaitDelay = waitDelay
	if err := cmd.Run(); cmd.ProcessState == nil {
		return "", err.Error(), -1
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// Inside is Exec with the root file system as "/".
func (e *Emulated) Inside(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	return e.Exec(ctx, append([]string{"chroot", e.root}, args...)...)
}

// Dial connects to an address as seen from inside.
func (e *Emulated) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return dialIn(ctx, fmt.Sprintf("/proc/%d/ns/net", e.holder), network, address)
}
