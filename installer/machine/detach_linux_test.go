package machine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// detached program of a test: where it notes its starts, and how it is called.
func detachable(t *testing.T, mode string) (f *FS, starts string, argv, env []string) {
	t.Helper()
	f = image(t, map[string]string{"/run/": "", SetupLogDir + "/": ""})
	self, err := os.Executable()
	check(t, err)
	starts = filepath.Join(t.TempDir(), "starts")
	return f, starts, []string{self, "supervised", starts, mode}, append(os.Environ(), rootVariable+"="+f.Root)
}

func TestDetachedProgramIsStartedAgainWhenASignalEndedIt(t *testing.T) {
	f, starts, argv, env := detachable(t, "dies-twice")
	check(t, detach(t.Context(), f, "guard", argv, env))
	soon(t, "three starts", func() bool { return len(startsIn(starts)) == 3 })
	soon(t, "the note is gone after an exit", func() bool { return !f.Exists(detachedFile("guard")) })
	time.Sleep(2 * restartAfter)
	if got := len(startsIn(starts)); got != 3 {
		t.Errorf("an exit led to start %d", got)
	}
}

func TestEndDetachedEndsSupervisorAndProgram(t *testing.T) {
	for _, mode := range []string{"stays", "stubborn"} {
		t.Run(mode, func(t *testing.T) {
			f, starts, argv, env := detachable(t, mode)
			check(t, detach(t.Context(), f, "guard", argv, env))
			d, err := readDetached(f, "guard")
			check(t, err)
			soon(t, "the program runs", func() bool { return len(startsIn(starts)) == 1 })
			if !d.Supervisor.alive() || !d.Child.alive() {
				t.Fatalf("not running: %+v", d)
			}
			if sid, _ := unix.Getsid(d.Supervisor.PID); sid != d.Supervisor.PID {
				t.Errorf("the supervisor is of session %d", sid)
			}
			check(t, endDetached(t.Context(), f, "guard"))
			if d.Supervisor.alive() || d.Child.alive() || f.Exists(detachedFile("guard")) {
				t.Error("something is left")
			}
			check(t, endDetached(t.Context(), f, "guard"))
		})
	}
}

func TestEndDetachedEndsAProgramWhoseSupervisorWasKilled(t *testing.T) {
	f, starts, argv, env := detachable(t, "stays")
	check(t, detach(t.Context(), f, "guard", argv, env))
	soon(t, "the program runs", func() bool { return len(startsIn(starts)) == 1 })
	d, err := readDetached(f, "guard")
	check(t, err)
	check(t, d.Supervisor.signal(unix.SIGKILL))
	soon(t, "the supervisor is dead", func() bool { return !d.Supervisor.alive() })
	check(t, endDetached(t.Context(), f, "guard"))
	if d.Child.alive() {
		t.Error("the program is left")
	}
}

func TestDetachTakesThePlaceOfTheOneBefore(t *testing.T) {
	f, _, argv, env := detachable(t, "stays")
	check(t, detach(t.Context(), f, "guard", argv, env))
	first, err := readDetached(f, "guard")
	check(t, err)
	check(t, detach(t.Context(), f, "guard", argv, env))
	second, err := readDetached(f, "guard")
	check(t, err)
	if first.Supervisor.alive() || !second.Supervisor.alive() {
		t.Errorf("first %+v, second %+v", first, second)
	}
	check(t, endDetached(t.Context(), f, "guard"))
}

func TestEndDetachedSparesWhoeverHasTheNumberNow(t *testing.T) {
	bystander := exec.Command("sleep", "60")
	check(t, bystander.Start())
	defer func() { _ = bystander.Process.Kill(); _ = bystander.Wait() }()
	real, err := findProcess(bystander.Process.Pid)
	check(t, err)
	earlier := process{PID: real.PID, Start: real.Start - 1}
	tests := map[string]detached{
		"another start time": {Boot: bootID(), Supervisor: earlier, Child: earlier},
		"another boot":       {Boot: "before", Supervisor: real, Child: real},
	}
	for name, note := range tests {
		t.Run(name, func(t *testing.T) {
			f := image(t, map[string]string{"/run/": ""})
			check(t, writeDetached(f, "guard", note))
			check(t, endDetached(t.Context(), f, "guard"))
			if !real.alive() {
				t.Fatal("a process that is none of ours was ended")
			}
		})
	}
	f := image(t, map[string]string{detachedFile("guard"): "{ torn"})
	check(t, endDetached(t.Context(), f, "guard"))
	if f.Exists(detachedFile("guard")) {
		t.Error("a torn note stays")
	}
}

func TestDetachedProgramDoesNotEndItself(t *testing.T) {
	f := image(t, map[string]string{"/run/": ""})
	self, err := findProcess(os.Getpid())
	check(t, err)
	check(t, writeDetached(f, "guard", detached{Boot: bootID(), Supervisor: process{PID: 1}, Child: self}))
	check(t, endDetached(t.Context(), f, "guard"))
	if !f.Exists(detachedFile("guard")) {
		t.Error("it took its own note away")
	}
}

func TestDetachTellsAProgramThatCannotBeStarted(t *testing.T) {
	f, _, argv, env := detachable(t, "stays")
	argv[0] = filepath.Join(t.TempDir(), "missing")
	if err := detach(t.Context(), f, "guard", argv, env); err == nil {
		t.Error("no error")
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	if waitUntil(ctx, time.Minute, func() bool { return false }) || time.Since(start) > 10*time.Second {
		t.Error("it waited")
	}
}

func TestProcessStateIsReadBehindAnyName(t *testing.T) {
	tail := " 7 812 812 0 -1 4194304 100 0 0 0 1 2 3 4 20 0 1 0 123456 1000 200"
	for _, name := range []string{"ss-server", "a b", "a) R (b", "(((", ")"} {
		stat, err := parseStat("812 (" + name + ") S" + tail + "\n")
		if err != nil || stat != (procStat{comm: name, state: 'S', parent: 7, start: 123456}) {
			t.Errorf("%q: %+v, %v", name, stat, err)
		}
	}
	for _, line := range []string{"", "812", "812 (x", "812 (x) S 7", "812 (x) SS" + tail, ")x("} {
		if _, err := parseStat(line); err == nil {
			t.Errorf("%q was understood", line)
		}
	}
}

func TestOwnProcessIsFound(t *testing.T) {
	self, err := findProcess(os.Getpid())
	if err != nil || !self.alive() {
		t.Fatalf("%+v, %v", self, err)
	}
	exe, err := os.Executable()
	check(t, err)
	if got := executable(os.Getpid()); got != exe {
		t.Errorf("program is %s", got)
	}
	if got := arguments(os.Getpid()); !slices.Equal(got, os.Args) {
		t.Errorf("arguments are %q", got)
	}
}
