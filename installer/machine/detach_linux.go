package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SuperviseVerb is the hidden verb by which this program calls Supervise:
//
//	PROGRAM supervise NAME -- PROGRAM ARGUMENT...
const SuperviseVerb = "supervise"

// Where systemd is missing, a detached program has a supervisor: this program
// itself, in a session of its own. It notes both in a file, so that EndDetached
// finds them.
const (
	// restartAfter is as for systemd: long enough to not burn a core on a program
	// that dies at once.
	restartAfter = 200 * time.Millisecond
	// detachBound is how long Detach waits for the note.
	detachBound = 5 * time.Second
	// endBound is how long a detached program may take to end on SIGTERM.
	endBound = 5 * time.Second
)

// supervised is the command line of the supervisor of argv. The program that is
// to be supervised is this one, or its copy, and knows the verb.
func supervised(name string, argv []string) []string {
	return append([]string{argv[0], SuperviseVerb, name, "--"}, argv...)
}

// detached is what the note tells. The boot is part of it because /run may
// outlive one in a container, and start times begin anew then.
type detached struct {
	Boot       string  `json:"boot"`
	Supervisor process `json:"supervisor"`
	Child      process `json:"child"`
}

func detachedFile(name string) string { return "/run/ss-setup." + name + ".pid" }

func readDetached(f *FS, name string) (detached, error) {
	content, err := f.ReadFile(detachedFile(name))
	if err != nil {
		return detached{}, err
	}
	var d detached
	if err := json.Unmarshal(content, &d); err != nil || d.Boot != bootID() {
		// Cut while it was written, or of another boot: it names nobody.
		return detached{}, nil
	}
	return d, nil
}

func writeDetached(f *FS, name string, d detached) error {
	content, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return f.WriteFile(detachedFile(name), append(content, '\n'), Attr{Mode: 0o644, UID: os.Geteuid(), GID: os.Getegid()})
}

// Supervise runs argv until it ends by itself and starts it again each time a
// signal ends it. The end of ctx ends it. It is the body of the hidden verb:
// call it in a process that does nothing else.
func Supervise(ctx context.Context, f *FS, name string, argv, env []string) error {
	// The caller of the verb may have made the session already, or be a leader.
	if _, err := unix.Setsid(); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("leave the terminal: %w", err)
	}
	self, err := findProcess(os.Getpid())
	if err != nil {
		return fmt.Errorf("find this process: %w", err)
	}
	note := detached{Boot: bootID(), Supervisor: self}
	for {
		again, err := superviseOnce(ctx, f, name, note, argv, env)
		if !again {
			return errors.Join(err, f.Remove(detachedFile(name)))
		}
		select {
		case <-ctx.Done():
			return f.Remove(detachedFile(name))
		case <-time.After(restartAfter):
		}
	}
}

func superviseOnce(ctx context.Context, f *FS, name string, note detached, argv, env []string) (again bool, err error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, "/"
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("start %s: %w", argv[0], err)
	}
	if note.Child, err = findProcess(cmd.Process.Pid); err == nil {
		err = writeDetached(f, name, note)
	}
	if err != nil {
		return false, errors.Join(fmt.Errorf("note the process of %s: %w", name, err), cmd.Process.Kill(), cmd.Wait())
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
		return diedOfSignal(cmd.ProcessState), nil
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-ended:
	case <-time.After(endBound):
		_ = cmd.Process.Kill()
		<-ended
	}
	return false, nil
}

// diedOfSignal tells an abnormal end from one that somebody asked for, as
// systemd does for Restart=on-abnormal.
func diedOfSignal(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return false
	}
	switch status.Signal() {
	case unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGPIPE:
		return false
	}
	return true
}

// detach starts a supervisor in a session of its own and returns when it has
// started its program.
func detach(ctx context.Context, f *FS, name string, argv, env []string) error {
	if err := endDetached(ctx, f, name); err != nil {
		return err
	}
	log, err := detachedLog(f, name)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	line := supervised(name, argv)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.Dir = env, "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // else a zombie while this process lives
		close(ended)
	}()
	started := waitUntil(ctx, detachBound, func() bool {
		d, err := readDetached(f, name)
		return err == nil && d.Supervisor.PID == cmd.Process.Pid && d.Child.PID != 0
	})
	if started {
		return nil
	}
	select {
	case <-ended:
		// A program as short as that has done its work between two looks.
		if cmd.ProcessState.Success() {
			return nil
		}
		return fmt.Errorf("start %s: its supervisor ended: %s; see %s", name, cmd.ProcessState, log.Name())
	default:
	}
	return errors.Join(
		fmt.Errorf("start %s: its supervisor says nothing after %v; see %s", name, detachBound, log.Name()),
		cmd.Process.Kill(), context.Cause(ctx))
}

// detachedLog is where a detached program may write: beside the other logs of
// ss-setup, nowhere before there is their folder.
func detachedLog(f *FS, name string) (*os.File, error) {
	if !isDir(f, SetupLogDir) {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	file := path.Join(SetupLogDir, name+".log")
	return os.OpenFile(f.Real(file), os.O_WRONLY|os.O_CREATE|os.O_APPEND|noFollow, 0o600)
}

// endDetached ends the supervisor and its program. Called by that program
// itself it does nothing: it ends by itself, and then so does its supervisor.
func endDetached(ctx context.Context, f *FS, name string) error {
	d, err := readDetached(f, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end %s: %w", name, err)
	}
	if d.Child.PID == os.Getpid() || d.Supervisor.PID == os.Getpid() {
		return nil
	}
	if err := endProcesses(ctx, d); err != nil {
		return fmt.Errorf("end %s: %w", name, err)
	}
	if err := f.Remove(detachedFile(name)); err != nil {
		return fmt.Errorf("end %s: %w", name, err)
	}
	return nil
}

// endProcesses ends the supervisor first, which ends its program; what is left
// of the two is killed, the supervisor before it can start another.
func endProcesses(ctx context.Context, d detached) error {
	// Also a program that it started just now and has not noted yet.
	children, err := processes(func(pid int) bool {
		stat, err := readStat(pid)
		return err == nil && d.Supervisor.alive() && stat.parent == d.Supervisor.PID
	})
	if err != nil {
		return err
	}
	all := union([]process{d.Child}, children)
	if err := d.Supervisor.signal(unix.SIGTERM); err != nil {
		return err
	}
	gone := func() bool { return !d.Supervisor.alive() && !anyAlive(all) }
	if !d.Supervisor.alive() {
		// Somebody killed it, and nobody hands the signal on.
		if err := endGently(ctx, living(all)); err != nil {
			return err
		}
	}
	if waitUntil(ctx, endBound+time.Second, gone) {
		return nil
	}
	if err := killAll(append([]process{d.Supervisor}, all...)); err != nil {
		return err
	}
	if !waitUntil(context.WithoutCancel(ctx), killBound, gone) {
		return fmt.Errorf("process %s does not end, not even by SIGKILL", pidList(living(append(all, d.Supervisor))))
	}
	return nil
}

// Detach starts the supervisor of a program.
func (s *sysv) Detach(ctx context.Context, name string, argv, env []string) error {
	return detach(ctx, s.fs, name, argv, env)
}

// EndDetached ends what Detach or the boot job started.
func (s *sysv) EndDetached(ctx context.Context, name string) error {
	return endDetached(ctx, s.fs, name)
}

// Detach starts the supervisor of a program.
func (o *openrc) Detach(ctx context.Context, name string, argv, env []string) error {
	return detach(ctx, o.fs, name, argv, env)
}

// EndDetached ends what Detach or the boot job started.
func (o *openrc) EndDetached(ctx context.Context, name string) error {
	return endDetached(ctx, o.fs, name)
}

// Detach starts a program as a transient unit, which belongs to no login.
func (s *systemd) Detach(ctx context.Context, name string, argv, env []string) error {
	line := transient(name, argv, env)
	_, err := within(ctx, s.run, startBound, line...)
	if err != nil && strings.Contains(err.Error(), "already") {
		// Left by a run that was killed; what it watches over now is this run's.
		if err := s.EndDetached(ctx, name); err != nil {
			return err
		}
		_, err = within(ctx, s.run, startBound, line...)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	return nil
}

func transient(name string, argv, env []string) []string {
	line := []string{
		"systemd-run", "--quiet", "--unit=" + name, "--slice=system.slice", "--description=Part of a run of ss-setup",
		"--property=Restart=on-abnormal",
		"--property=RestartSec=200ms",
		"--property=StartLimitIntervalSec=0",
		"--property=CollectMode=inactive-or-failed",
		"--property=KillMode=process",
	}
	for _, variable := range env {
		line = append(line, "--setenv="+variable)
	}
	line = append(line, "--")
	for _, arg := range argv {
		// Systemd puts variables in, also into what systemd-run hands it.
		line = append(line, strings.ReplaceAll(arg, "$", "$$"))
	}
	return line
}

// EndDetached ends a transient unit. Called by its own program it does nothing:
// the unit goes when that ends.
func (s *systemd) EndDetached(ctx context.Context, name string) error {
	if inOwnUnit(name) {
		return nil
	}
	u, err := s.show(ctx, name)
	if err != nil {
		return err
	}
	if u.load == "not-found" && u.ended() {
		return nil
	}
	if _, err := within(ctx, s.run, endBound, "systemctl", "stop", unitName(name)); err != nil && ctx.Err() != nil {
		return fmt.Errorf("end %s: %w", name, err)
	}
	err = finish(ctx, name, func() ([]process, error) {
		return union(inGroup(u.cgroup), nil), nil
	})
	if err != nil || u.active != "failed" {
		return err
	}
	_, err = within(ctx, s.run, askBound, "systemctl", "reset-failed", unitName(name))
	return err
}

// inOwnUnit tells whether this process runs in the unit.
func inOwnUnit(name string) bool {
	groups, err := os.ReadFile(procDir + "/self/cgroup")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(groups)) {
		if strings.HasSuffix(strings.TrimSpace(line), "/"+unitName(name)) {
			return true
		}
	}
	return false
}
