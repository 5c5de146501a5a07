package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// waitDelay is how long the output of a program may stay open after its end.
const waitDelay = 200 * time.Millisecond

// insidePath is where programs are looked for in a machine.
const insidePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Inside runs fn on a thread that is in all namespaces of the machine: files that fn
// opens are the machine's, processes that it starts are the machine's. This holds for
// what fn does itself, not for goroutines it starts. The host is never reached: a link
// to /var/run leads to the machine's own.
func (m *Machine) Inside(fn func() error) error {
	leader := int(m.leader.Load())
	if leader == 0 {
		return fmt.Errorf("machine %s is off", m.Name)
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil { // its own idea of what "/" is
			return err
		}
		init, err := unix.PidfdOpen(leader, 0)
		if err != nil {
			return fmt.Errorf("find init of %s: %w", m.Name, err)
		}
		defer unix.Close(init)
		all := unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
		if err := unix.Setns(init, all); err != nil {
			return fmt.Errorf("enter machine %s: %w", m.Name, err)
		}
		return fn()
	})
}

// onThread runs fn on a thread of its own, which ends with it: it may change what
// other threads must not share.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	goOnThread(func() { done <- fn() })
	return <-done
}

// goOnThread starts fn on a thread of its own. The main thread is not for that: it
// cannot end, and /proc/self shows its namespaces.
func goOnThread(fn func()) {
	go func() {
		runtime.LockOSThread() // never unlocked: so the thread ends with this goroutine
		if unix.Gettid() != unix.Getpid() {
			fn()
			return
		}
		defer runtime.UnlockOSThread()
		// While this goroutine holds the main thread, the next one gets another.
		got := make(chan struct{})
		goOnThread(func() { close(got); fn() })
		<-got
	}()
}

// Command is a program to run in a machine, as root and with a small environment.
type Command struct {
	Args   []string
	Env    []string // added to the environment, as K=V
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// Proc is a running program in a machine.
type Proc struct {
	cmd            *exec.Cmd
	stdout, stderr output
	done           chan struct{}
}

// output collects what a program says and can be read meanwhile.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Exec runs a program and returns what it said and its exit code: -1 when a signal
// ended it or it could not be started, which stderr then tells.
func (m *Machine) Exec(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	p, err := m.start(ctx, Command{Args: args})
	if err != nil {
		return "", err.Error(), -1
	}
	return p.Wait()
}

// MustExec runs a program, fails the test when it does not end with 0, and returns
// its standard output.
func (m *Machine) MustExec(args ...string) string {
	m.t.Helper()
	stdout, stderr, code := m.Exec(context.Background(), args...)
	if code != 0 {
		m.t.Fatalf("lab: %s: %s: exit code %d\n%s%s", m.Name, strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// Spawn starts a program in the background. It ends with the machine at the latest.
func (m *Machine) Spawn(args ...string) *Proc {
	m.t.Helper()
	return m.SpawnCommand(Command{Args: args})
}

// SpawnCommand is Spawn with an environment and streams.
func (m *Machine) SpawnCommand(c Command) *Proc {
	m.t.Helper()
	p, err := m.start(context.Background(), c)
	if err != nil {
		m.t.Fatalf("lab: %s: %v", m.Name, err)
	}
	return p
}

// hearHangups lets programs in machines hear SIGHUP although the tests run under nohup:
// what is ignored at the start of a shell, the shell cannot trap. A signal that a Go
// program takes is neither ignored by its children nor does it end it.
var hearHangups = sync.OnceFunc(func() {
	if signal.Ignored(unix.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	}
})

func (m *Machine) start(ctx context.Context, c Command) (*Proc, error) {
	hearHangups()
	p := &Proc{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		err := m.Inside(func() error {
			cmd, err := p.command(ctx, c)
			if err == nil {
				err = cmd.Start()
			}
			p.cmd = cmd
			return err
		})
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // its result is in ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(c.Args, " "), err)
	}
	return p, nil
}

func (p *Proc) command(ctx context.Context, c Command) (*exec.Cmd, error) {
	path, err := find(c.Args[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = c.Args
	cmd.Dir = "/"
	cmd.Env = append([]string{"HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "PATH=" + insidePath}, c.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	if cmd.Stdout == nil {
		cmd.Stdout = &p.stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: c.Stdin == nil}
	// A daemon that the program left behind may keep its output open for ever.
	cmd.WaitDelay = waitDelay
	return cmd, nil
}

// find is exec.LookPath with the machine's PATH instead of the test's.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(insidePath) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

// Wait waits for the end of the program; see Exec for what it returns.
func (p *Proc) Wait() (stdout, stderr string, code int) {
	<-p.done
	return p.stdout.String(), p.stderr.String(), p.cmd.ProcessState.ExitCode()
}

// Done is closed when the program has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

// Output is what the program has said so far.
func (p *Proc) Output() (stdout, stderr string) { return p.stdout.String(), p.stderr.String() }

// Signal sends a signal to the program, and to it alone.
func (p *Proc) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill is kill -9 of the program alone; what it started runs on.
func (p *Proc) Kill() { _ = p.cmd.Process.Kill() } // ended already: just as well

// Copy copies a file or a folder of the host to the path dst inside, with modes, owned
// by root and synced: a program that was not synced comes back from a power cut with
// 0 bytes, and a shell that runs it ends with 0.
func (m *Machine) Copy(src, dst string) {
	m.t.Helper()
	if err := m.copy(src, dst); err != nil {
		m.t.Fatalf("lab: copy %s to %s:%s: %v", src, m.Name, dst, err)
	}
}

func (m *Machine) copy(src, dst string) error {
	// Opened before the thread leaves the host; what it opens below stays on the host.
	host, err := os.OpenRoot(filepath.Dir(src))
	if err != nil {
		return err
	}
	defer host.Close()
	return m.Inside(func() error {
		if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
			return err
		}
		top := filepath.Base(src)
		err := fs.WalkDir(host.FS(), top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return copyOne(host, path, filepath.Join(dst, strings.TrimPrefix(path, top)), d)
		})
		if err != nil {
			return err
		}
		return syncFS(filepath.Dir(dst))
	})
}

func copyOne(host *os.Root, path, to string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch {
	case d.IsDir():
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		return os.Chmod(to, info.Mode().Perm())
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := host.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither file, folder nor link", path)
	}
	in, err := host.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(info.Mode().Perm()), out.Close())
}

func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// Sync syncs everything in the machine, for a test that wants to keep what is there.
func (m *Machine) Sync() {
	m.t.Helper()
	err := m.Inside(func() error {
		unix.Sync()
		return nil
	})
	if err != nil {
		m.t.Fatalf("lab: sync %s: %v", m.Name, err)
	}
}

// ReadFile reads a file of the machine.
func (m *Machine) ReadFile(name string) ([]byte, error) {
	var text []byte
	err := m.Inside(func() (err error) {
		text, err = os.ReadFile(name)
		return err
	})
	return text, err
}

// WriteFile writes a file in the machine, not synced.
func (m *Machine) WriteFile(name string, text []byte, mode fs.FileMode) error {
	return m.Inside(func() error {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		return os.WriteFile(name, text, mode)
	})
}

// Dial connects to an address as seen from inside, such as 127.0.0.1:6443; it fits
// into http.Transport.DialContext. It works while the machine is off too, and then
// finds nobody.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return dialIn(ctx, m.networkFile(), network, address)
}

// dialIn connects from the network namespace that a file stands for.
func dialIn(ctx context.Context, namespace, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := onThread(func() error {
		ns, err := os.Open(namespace)
		if err != nil {
			return err
		}
		defer ns.Close()
		// A socket belongs for ever to the network namespace it was made in.
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
