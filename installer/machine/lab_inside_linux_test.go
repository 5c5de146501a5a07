//go:build lab

package machine

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// insideTests run in a machine of the lab, as root of it.
var insideTests = map[string]func(*testing.T, string){
	"services":         testServices,
	"leave-boot-job":   leaveBootJob,
	"find-boot-job":    findBootJob,
	"find-no-boot-job": findNoBootJob,
}

// insidePart is the part that this process runs, empty on the host; insideInit is
// the service manager that should be there.
var insidePart, insideInit string

func init() {
	insideMachine = func(args []string) {
		insidePart, insideInit = args[0], args[1]
		os.Args = []string{os.Args[0], "-test.v", "-test.run=^TestServicesAreManagedOnRealMachines$"}
	}
}

const guardName = "ss-setup-guard"

// bench is what the parts of testServices share.
type bench struct {
	f *FS
	s Services
}

func testServices(t *testing.T, init string) {
	f := &FS{}
	s, err := NewServices(f)
	check(t, err)
	if s.Name() != init {
		t.Fatalf("the service manager is %s", s.Name())
	}
	b := bench{f, s}
	before := accountFiles(f)
	accounts := NewAccounts(f)
	for _, name := range []string{ServerService, LicensedService} {
		created, err := accounts.Create(t.Context(), name, "/var/lib/"+name)
		if err != nil || !created {
			t.Fatalf("create %s: %v, %v", name, created, err)
		}
		out, err := runCommand(t.Context(), "id", name)
		t.Log(out, err)
		b.install(t, name)
		uid, gid, err := accounts.Lookup(name)
		check(t, err)
		check(t, errors.Join(f.Mkdir("/var/lib/"+name, 0o755), f.Chown("/var/lib/"+name, uid, gid)))
	}
	check(t, s.Reload(t.Context()))

	t.Run("starts and stops", b.startsAndStops)
	t.Run("tells a service that died", b.died)
	t.Run("kills what a stop leaves", b.kills)
	t.Run("does not wait for ever for a stop", b.bounded)
	t.Run("respects a mask", b.masked)
	t.Run("tells a program that is missing", b.broken)
	t.Run("does not know what is not there", b.unknown)
	t.Run("controls services of other products", b.foreign)
	t.Run("detaches", b.detaches)
	t.Run("lists the times", b.times)

	for _, name := range []string{ServerService, LicensedService} {
		check(t, s.Stop(t.Context(), name))
		check(t, accounts.Remove(t.Context(), name, false))
	}
	for name, text := range accountFiles(f) {
		if before[name] != text {
			t.Errorf("%s is %q, was %q", name, text, before[name])
		}
	}
	b.nothingLeft(t)
}

func (b bench) install(t *testing.T, name string) {
	t.Helper()
	d := b.s.Definition(name)
	text, err := os.ReadFile(filepath.Join(insideDefinitions, name))
	check(t, err)
	b.write(t, d, text)
}

func (b bench) write(t *testing.T, d Definition, text []byte) {
	t.Helper()
	check(t, mkdirs(b.f, d.Path))
	check(t, b.f.WriteFile(d.Path, text, Attr{Mode: d.Mode}))
	for _, link := range d.Enable {
		check(t, mkdirs(b.f, link.Path))
		check(t, b.f.ReplaceLink(link.Target, link.Path))
	}
}

func (b bench) state(t *testing.T, name string) ServiceState {
	t.Helper()
	state, err := b.s.State(t.Context(), name)
	check(t, err)
	return state
}

func (b bench) stopped(t *testing.T, name string) {
	t.Helper()
	if got, want := b.state(t, name), (ServiceState{Installed: true, Enabled: true}); got != want {
		t.Errorf("%s is %+v, want %+v", name, got, want)
	}
	left, err := daemons(name)
	if err != nil || len(left) > 0 {
		t.Errorf("of %s is left: %v, %v", name, left, err)
	}
}

func (b bench) startsAndStops(t *testing.T) {
	both := []string{ServerService, LicensedService}
	for _, name := range both {
		b.stopped(t, name)
	}
	check(t, StartAll(t.Context(), b.s, both...))
	for _, name := range both {
		state := b.state(t, name)
		if !state.Active || !state.Enabled || state.Failed || state.Masked || !serving(state.PID, name) {
			t.Errorf("%s is %+v, process %s", name, state, executable(state.PID))
		}
		info, err := os.Stat(procPath(state.PID, "."))
		check(t, err)
		uid, _, err := NewAccounts(b.f).Lookup(name)
		if owner, _ := Owner(info); owner != uid || err != nil {
			t.Errorf("%s runs as %d, %v", name, owner, err)
		}
		check(t, b.s.Start(t.Context(), name))
		if again := b.state(t, name); again.PID != state.PID {
			t.Errorf("a second start made process %d of %d", again.PID, state.PID)
		}
	}
	check(t, StopAll(t.Context(), b.s, both...))
	for _, name := range both {
		b.stopped(t, name)
		check(t, b.s.Stop(t.Context(), name))
	}
}

func (b bench) died(t *testing.T) {
	check(t, b.s.Start(t.Context(), ServerService))
	first := b.state(t, ServerService)
	check(t, unix.Kill(first.PID, unix.SIGKILL))
	if b.s.Name() == "sysv" {
		soon(t, "it is told as failed", func() bool { return b.state(t, ServerService).Failed })
	} else {
		soon(t, "it is started again", func() bool {
			now := b.state(t, ServerService)
			return now.Active && now.PID != first.PID && now.PID != 0
		})
	}
	check(t, b.s.Start(t.Context(), ServerService))
	if !b.state(t, ServerService).Active {
		t.Error("it does not run")
	}
	check(t, b.s.Stop(t.Context(), ServerService))
	b.stopped(t, ServerService)
}

// kills has a service that is deaf and a manager that does not care.
func (b bench) kills(t *testing.T) {
	defer b.changeStop(t, "KillMode=none\nTimeoutStopSec=1", "exit 0", "return 0")()
	start := time.Now()
	check(t, b.s.Stop(t.Context(), ServerService))
	b.stopped(t, ServerService)
	t.Logf("a deaf service was gone after %v", time.Since(start))
}

// bounded has one whose stop would never end.
func (b bench) bounded(t *testing.T) {
	usual := stopBound
	defer func() { stopBound = usual }()
	stopBound = time.Second
	defer b.changeStop(t, "TimeoutStopSec=infinity", "sleep 600", "sleep 600")()
	start := time.Now()
	check(t, b.s.Stop(t.Context(), ServerService))
	b.stopped(t, ServerService)
	if took := time.Since(start); took < stopBound || took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// changeStop starts a deaf service with another way to stop it.
func (b bench) changeStop(t *testing.T, unit, sysv, openrc string) (back func()) {
	t.Helper()
	var undo func()
	check(t, os.WriteFile(stubbornFile, nil, 0o644))
	if b.s.Name() == "systemd" {
		dropIn := "/etc/systemd/system/ss-server.service.d/own.conf"
		check(t, mkdirs(b.f, dropIn))
		check(t, b.f.WriteFile(dropIn, []byte("[Service]\n"+unit+"\n"), Attr{Mode: 0o644}))
		undo = func() { check(t, b.f.RemoveAll(path.Dir(dropIn))) }
	} else {
		file := b.s.Definition(ServerService).Path
		text := content(b.f, file)
		changed := strings.NewReplacer("stop) need_root; do_stop ;;", "stop) "+sysv+" ;;",
			"start_pre() {", "stop() {\n\t"+openrc+"\n}\n\nstart_pre() {").Replace(text)
		if changed == text {
			t.Fatal("the definition has another form now")
		}
		check(t, b.f.WriteFile(file, []byte(changed), Attr{Mode: 0o755}))
		undo = func() { b.install(t, ServerService) }
	}
	check(t, b.s.Reload(t.Context()))
	check(t, b.s.Start(t.Context(), ServerService))
	soon(t, "the service is deaf", func() bool {
		open, err := filepath.Glob(procPath(b.state(t, ServerService).PID, "fd/*"))
		return err == nil && slices.ContainsFunc(open, func(fd string) bool {
			target, err := os.Readlink(fd)
			return err == nil && target == stubbornFile
		})
	})
	return func() {
		check(t, os.Remove(stubbornFile))
		undo()
		check(t, b.s.Reload(t.Context()))
	}
}

func (b bench) masked(t *testing.T) {
	check(t, b.s.Start(t.Context(), LicensedService))
	file := b.s.Definition(LicensedService).Path
	if b.s.Name() == "systemd" {
		check(t, errors.Join(b.f.Remove(file), b.f.Symlink(os.DevNull, file)))
	} else {
		check(t, b.f.Chmod(file, 0o644))
	}
	check(t, b.s.Reload(t.Context()))
	if state := b.state(t, LicensedService); !state.Masked || !state.Installed || state.Enabled || !state.Active {
		t.Errorf("masked and running it is %+v", state)
	}
	check(t, b.s.Stop(t.Context(), LicensedService))
	if state := b.state(t, LicensedService); !state.Masked || state.Active {
		t.Errorf("masked and stopped it is %+v", state)
	}
	err := b.s.Start(t.Context(), LicensedService)
	if err == nil || !strings.Contains(err.Error(), "administrator") {
		t.Errorf("the start of a masked service: %v", err)
	}
	t.Log(err)
	check(t, b.f.Remove(file))
	b.install(t, LicensedService)
	check(t, b.s.Reload(t.Context()))
	b.stopped(t, LicensedService)
}

func (b bench) broken(t *testing.T) {
	check(t, b.f.Remove(Current))
	err := b.s.Start(t.Context(), ServerService)
	t.Log(err)
	if err == nil {
		t.Error("a service without its program was started")
	}
	if state := b.state(t, ServerService); state.Active {
		t.Errorf("it is %+v", state)
	}
	check(t, b.s.Stop(t.Context(), ServerService))
	b.stopped(t, ServerService)
	check(t, b.f.Symlink("generations/1", Current))
}

func (b bench) unknown(t *testing.T) {
	if state := b.state(t, "no-such"); state != (ServiceState{}) {
		t.Errorf("it is %+v", state)
	}
	check(t, b.s.Stop(t.Context(), "no-such"))
	check(t, b.s.EndDetached(t.Context(), "no-such"))
	if err := b.s.Start(t.Context(), "no-such"); err == nil {
		t.Error("it was started")
	}
}

// foreign services are known by their definitions alone.
func (b bench) foreign(t *testing.T) {
	const name = "other"
	definitions := map[string]string{
		"systemd": "[Service]\nExecStart=/bin/sleep 600\n",
		"openrc":  "#!/sbin/openrc-run\ncommand=/bin/sleep\ncommand_args=600\ncommand_background=yes\npidfile=/run/other-product.pid\n",
		"sysv": "#!/bin/sh\nset -- $1 --pidfile /run/other-product.pid\ncase $1 in\n" +
			"start) shift; start-stop-daemon --start --background --make-pidfile \"$@\" --startas /bin/sleep -- 600;;\n" +
			"stop) shift; start-stop-daemon --stop --retry 5 --remove-pidfile \"$@\";;\n" +
			"status) shift; start-stop-daemon --status \"$@\";;\nesac\n",
	}
	d := b.s.Definition(name)
	check(t, b.f.WriteFile(d.Path, []byte(definitions[b.s.Name()]), Attr{Mode: d.Mode}))
	check(t, b.s.Reload(t.Context()))
	for range 2 {
		if state := b.state(t, name); state != (ServiceState{Installed: true}) {
			t.Errorf("it is %+v", state)
		}
		check(t, b.s.Start(t.Context(), name))
		var sleeping []process
		soon(t, "its process runs", func() bool {
			var err error
			sleeping, err = processes(func(pid int) bool { return strings.Join(arguments(pid), " ") == "/bin/sleep 600" })
			return err == nil && len(sleeping) == 1
		})
		if state := b.state(t, name); !state.Active {
			t.Errorf("it is %+v", state)
		}
		check(t, b.s.Stop(t.Context(), name))
		// Only its script knows its process, and may have sent a signal and no more.
		soon(t, "its process has ended", func() bool { return !anyAlive(sleeping) })
	}
	check(t, b.f.Remove(d.Path))
	check(t, b.s.Reload(t.Context()))
}

func (b bench) detaches(t *testing.T) {
	starts := filepath.Join(t.TempDir(), "starts of $HOME 100%")
	argv := []string{insideProgram, "supervised", starts, "dies-twice"}
	env := []string{"PATH=/usr/bin:/bin", "LANG=C"}
	check(t, b.s.Detach(t.Context(), guardName, argv, env))
	soon(t, "it is started again after signals", func() bool { return len(startsIn(starts)) == 3 })
	time.Sleep(3 * restartAfter)
	if n := len(startsIn(starts)); n != 3 {
		t.Errorf("an exit led to start %d", n)
	}
	check(t, b.s.EndDetached(t.Context(), guardName))

	starts = filepath.Join(t.TempDir(), "again")
	argv = []string{insideProgram, "supervised", starts, "stays"}
	check(t, b.s.Detach(t.Context(), guardName, argv, env))
	soon(t, "it runs", func() bool { return len(startsIn(starts)) == 1 })
	argv[3] = "stubborn"
	check(t, b.s.Detach(t.Context(), guardName, argv, env))
	soon(t, "it runs in place of the one before", func() bool { return len(startsIn(starts)) == 2 })
	pids := startsIn(starts)
	if p, err := findProcess(pids[0]); err == nil && p.alive() {
		t.Errorf("the one before, %d, runs", pids[0])
	}
	p, err := findProcess(pids[1])
	check(t, err)
	groups, err := os.ReadFile(procPath(p.PID, "cgroup"))
	check(t, err)
	if own := strings.Contains(string(groups), guardName); own != (b.s.Name() == "systemd") {
		t.Errorf("its groups are %s", groups)
	}
	check(t, b.s.EndDetached(t.Context(), guardName))
	if p.alive() {
		t.Error("it runs after its end")
	}
	b.nothingLeft(t)
}

func (b bench) times(t *testing.T) {
	for _, timed := range []struct {
		what string
		act  func() error
	}{
		{"reload", func() error { return b.s.Reload(t.Context()) }},
		{"start both", func() error { return StartAll(t.Context(), b.s, ServerService, LicensedService) }},
		{"state", func() error { _, err := b.s.State(t.Context(), ServerService); return err }},
		{"stop both", func() error { return StopAll(t.Context(), b.s, ServerService, LicensedService) }},
	} {
		start := time.Now()
		check(t, timed.act())
		t.Logf("%s: %v", timed.what, time.Since(start).Round(100*time.Microsecond))
	}
}

// nothingLeft looks for what systemd remembers of units that are gone.
func (b bench) nothingLeft(t *testing.T) {
	t.Helper()
	if b.s.Name() != "systemd" {
		return
	}
	out, err := runCommand(t.Context(), "systemctl", "list-units", "--all", "--state=failed", "--no-legend", "--plain")
	if err != nil || strings.Contains(out, "ss-") {
		t.Errorf("failed are %s, %v", out, err)
	}
}
