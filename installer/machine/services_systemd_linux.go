package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kardianos/service"
)

const (
	unitDir  = "/etc/systemd/system"
	wantsDir = unitDir + "/multi-user.target.wants"
)

// systemdFiles is how systemd keeps its units.
type systemdFiles struct{ fs *FS }

// Name is the manager's.
func (systemdFiles) Name() string { return "systemd" }

func unitName(service string) string { return service + ".service" }

func unitLink(unit string) Link {
	return Link{Path: path.Join(wantsDir, unit), Target: path.Join(unitDir, unit)}
}

// Definition is a unit of the administrator's folder, enabled as systemctl
// enable does it.
func (systemdFiles) Definition(service string) Definition {
	unit := unitName(service)
	return Definition{
		Source: path.Join("services/systemd", unit),
		Path:   path.Join(unitDir, unit),
		Mode:   0o644,
		Enable: []Link{unitLink(unit)},
	}
}

// BootJob is a unit that the boot does not wait for and nothing is ordered by.
func (systemdFiles) BootJob(j BootJob) Definition {
	unit := unitName(j.Name)
	d := Definition{Path: path.Join(unitDir, unit), Mode: 0o644, Enable: []Link{unitLink(unit)}}
	d.Content = []byte(strings.Join([]string{
		j.noteLine(),
		"[Unit]",
		"Description=Finish or undo an interrupted run of ss-setup",
		"After=local-fs.target",
		"RequiresMountsFor=" + ProgramDir + " /var/lib",
		"StartLimitIntervalSec=0",
		"",
		"[Service]",
		// exec, not oneshot: what waits for multi-user.target must not wait for a recovery.
		"Type=exec",
		"ExecStart=/bin/sh -c " + systemdQuote(j.script("exec "+shellWords(j.Argv), d)),
		"Restart=on-abnormal",
		"RestartSec=200ms",
		"",
		"[Install]",
		"WantedBy=multi-user.target",
		"",
	}, "\n"))
	return d
}

// systemdQuote makes one argument of a command line in a unit of any text.
func systemdQuote(word string) string {
	return `"` + strings.NewReplacer(
		`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "%", "%%", "$", "$$",
	).Replace(word) + `"`
}

// unitPath lists where a unit may lie, the first that has it wins.
var unitPath = []string{unitDir, "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

func (s systemdFiles) fileState(service string) (ServiceState, error) {
	unit := unitName(service)
	var state ServiceState
	for _, dir := range unitPath {
		info, err := s.fs.Lstat(path.Join(dir, unit))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return ServiceState{}, fmt.Errorf("look for %s: %w", unit, err)
		}
		state.Installed = true
		target, _ := s.fs.Readlink(path.Join(dir, unit))
		state.Masked = target == os.DevNull || info.Mode().IsRegular() && info.Size() == 0
		break
	}
	entries, err := s.fs.ReadDir(unitDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return ServiceState{}, fmt.Errorf("look for links to %s: %w", unit, err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".wants") || strings.HasSuffix(e.Name(), ".requires") {
			state.Enabled = state.Enabled || s.fs.Exists(path.Join(unitDir, e.Name(), unit))
		}
	}
	state.Enabled = state.Enabled && state.Installed && !state.Masked
	return state, nil
}

// systemd is a running systemd. A job is started and ended through
// kardianos/service, which has no bounds in time and loses what systemctl said:
// both are mended here. Its Status costs two calls and knows neither masks nor
// the process, so State asks by itself.
type systemd struct {
	systemdFiles
	run Runner
}

// unitControl is the half of kardianos/service that is used here.
type unitControl interface {
	Start() error
	Stop() error
}

// kardianos chooses its system by what is installed; it is given the one that
// was found running.
func kardianos(name string) (unitControl, error) {
	for _, system := range service.AvailableSystems() {
		if system.String() == "linux-systemd" {
			return system.New(nil, &service.Config{Name: name})
		}
	}
	return nil, errors.New("kardianos/service does not know systemd")
}

// bounded waits for act until bound or ctx ends. act goes on then; systemd's own
// time limits end it.
func bounded(ctx context.Context, bound time.Duration, act func() error) error {
	done := make(chan error, 1)
	go func() { done <- act() }()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("not done after %v: %w", bound, context.DeadlineExceeded)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reload makes systemd read its units again, if it says that ours need it: on a
// busy machine with many units that takes half a second. A unit that it has never
// read it reads by itself.
func (s *systemd) Reload(ctx context.Context) error {
	out, err := within(ctx, s.run, reloadBound, "systemctl", "show", "--property=NeedDaemonReload", ServerService, LicensedService)
	if err == nil && !strings.Contains(out, "NeedDaemonReload=yes") {
		return nil
	}
	if _, err := within(ctx, s.run, reloadBound, "systemctl", "daemon-reload"); err != nil {
		return fmt.Errorf("reload the definitions of systemd: %w", err)
	}
	return nil
}

// Start starts a unit and waits for its start job.
func (s *systemd) Start(ctx context.Context, name string) error {
	control, err := kardianos(name)
	if err != nil {
		return err
	}
	if err := bounded(ctx, startBound, control.Start); err != nil {
		return s.whyNotStarted(ctx, name, err)
	}
	return nil
}

func (s *systemd) whyNotStarted(ctx context.Context, name string, cause error) error {
	look := fmt.Sprintf("see journalctl -u %s", name)
	unit, err := s.show(context.WithoutCancel(ctx), name)
	switch {
	case err != nil:
	case unit.load == "masked":
		look = fmt.Sprintf("an administrator has masked it; allow it with systemctl unmask %s", name)
	case unit.load == "not-found":
		look = "systemd does not know it; run ss-setup install --repair"
	case unit.load != "loaded":
		look = fmt.Sprintf("its unit is %s; see systemctl status %s", unit.load, name)
	default:
		look = fmt.Sprintf("its result is %s, its exit status %d; see journalctl -u %s", unit.result, unit.status, name)
	}
	return fmt.Errorf("start %s: %w; %s", name, cause, look)
}

// Stop stops a unit and sees to it that its control group is empty.
func (s *systemd) Stop(ctx context.Context, name string) error {
	control, err := kardianos(name)
	if err != nil {
		return err
	}
	stopErr := bounded(ctx, stopBound, control.Stop)
	if ctx.Err() != nil {
		// Systemd goes on with the job; to kill now would cut short an orderly end.
		return fmt.Errorf("stop %s: %w", name, stopErr)
	}
	unit, err := s.show(ctx, name)
	if err != nil {
		return errors.Join(stopErr, err)
	}
	failed := unit.active == "failed"
	if !unit.ended() {
		failed = true // to be killed is a failure to systemd
		_, _ = within(ctx, s.run, askBound, "systemctl", "kill", "--signal=SIGKILL", unitName(name))
		if _, err := within(ctx, s.run, stopBound, "systemctl", "stop", unitName(name)); err != nil {
			return fmt.Errorf("stop %s: %w; see journalctl -u %s", name, errors.Join(stopErr, err), name)
		}
	}
	// KillMode=process or none in an administrator's drop-in leaves processes behind.
	if err := finish(ctx, name, func() ([]process, error) { return s.left(name, unit.cgroup) }); err != nil {
		return err
	}
	if failed {
		// Else the name of a service that is going away stays in systemctl --failed.
		_, err = within(ctx, s.run, askBound, "systemctl", "reset-failed", unitName(name))
	}
	return err
}

func (s *systemd) left(name, cgroup string) ([]process, error) {
	left, err := daemons(name)
	if err != nil {
		return nil, err
	}
	if cgroup == "" {
		cgroup = path.Join("/system.slice", unitName(name))
	}
	return union(inGroup(cgroup), left), nil
}

// cgroupRoots are where systemd's control groups are: the unified hierarchy,
// and in the hybrid and the old layout its own.
var cgroupRoots = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"}

func inGroup(cgroup string) []process {
	var found []process
	for _, root := range cgroupRoots {
		content, err := os.ReadFile(path.Join(root, cgroup, "cgroup.procs"))
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(content)) {
			pid, err := strconv.Atoi(field)
			if err != nil || pid == os.Getpid() {
				continue
			}
			if p, err := findProcess(pid); err == nil && p.alive() && !slices.Contains(found, p) {
				found = append(found, p)
			}
		}
	}
	return found
}

// State asks systemd once.
func (s *systemd) State(ctx context.Context, name string) (ServiceState, error) {
	unit, err := s.show(ctx, name)
	if err != nil {
		return ServiceState{}, err
	}
	return unit.state(), nil
}

// unit is what systemctl show tells of a service.
type unit struct {
	load, active, sub, file string
	cgroup, result          string
	pid, status             int
}

const unitProperties = "LoadState,ActiveState,SubState,UnitFileState,MainPID,ControlGroup,Result,ExecMainStatus"

func (s *systemd) show(ctx context.Context, name string) (unit, error) {
	out, err := within(ctx, s.run, askBound, "systemctl", "show", "--property="+unitProperties, unitName(name))
	if err != nil {
		return unit{}, fmt.Errorf("ask systemd about %s: %w", name, err)
	}
	u, err := parseUnit(out)
	if err != nil {
		return unit{}, fmt.Errorf("ask systemd about %s: %w", name, err)
	}
	return u, nil
}

// parseUnit reads the answer of systemctl show. Properties that a version of
// systemd does not have are left out of it, the first two all versions know.
func parseUnit(out string) (unit, error) {
	values := make(map[string]string)
	for line := range strings.Lines(out) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok {
			values[key] = value
		}
	}
	u := unit{
		load: values["LoadState"], active: values["ActiveState"], sub: values["SubState"], file: values["UnitFileState"],
		cgroup: values["ControlGroup"], result: values["Result"],
	}
	if u.load == "" || u.active == "" {
		return unit{}, fmt.Errorf("its answer %.80q does not tell the state", out)
	}
	for key, into := range map[string]*int{"MainPID": &u.pid, "ExecMainStatus": &u.status} {
		if values[key] == "" {
			continue
		}
		n, err := strconv.Atoi(values[key])
		if err != nil || n < 0 {
			return unit{}, fmt.Errorf("its answer has %s=%q, which is no number", key, values[key])
		}
		*into = n
	}
	return u, nil
}

func (u unit) ended() bool {
	return u.pid == 0 && (u.active == "inactive" || u.active == "failed")
}

func (u unit) state() ServiceState {
	waiting := strings.HasPrefix(u.sub, "auto-restart")
	return ServiceState{
		Installed: u.load != "not-found",
		Enabled:   u.file == "enabled" || u.file == "enabled-runtime",
		Active: !waiting && slices.Contains([]string{"active", "activating", "reloading", "refreshing"}, u.active) &&
			u.sub != "exited",
		Failed: u.active == "failed" || waiting || u.load == "error" || u.load == "bad-setting",
		Masked: u.load == "masked" || u.file == "masked" || u.file == "masked-runtime",
		PID:    u.pid,
	}
}
