package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

const (
	runlevelsDir = "/etc/runlevels"
	defaultLevel = runlevelsDir + "/default"
	// openrcState is where OpenRC notes what it has started.
	openrcState = "/run/openrc"
)

// openrcFiles is how OpenRC keeps its scripts.
type openrcFiles struct{ fs *FS }

// Name is the manager's.
func (openrcFiles) Name() string { return "openrc" }

func openrcLink(name string) Link {
	return Link{Path: path.Join(defaultLevel, name), Target: path.Join(initDir, name)}
}

// Definition is a script and its link in the default runlevel, as rc-update
// makes it.
func (openrcFiles) Definition(service string) Definition {
	return Definition{
		Source: path.Join("services/openrc", service),
		Path:   path.Join(initDir, service),
		Mode:   0o755,
		Enable: []Link{openrcLink(service)},
	}
}

// BootJob is a script that starts the program in the background and is done.
func (openrcFiles) BootJob(j BootJob) Definition {
	d := Definition{Path: path.Join(initDir, j.Name), Mode: 0o755, Enable: []Link{openrcLink(j.Name)}}
	d.Content = []byte(strings.Join([]string{
		"#!/sbin/openrc-run",
		j.noteLine(),
		`description="Finish or undo an interrupted run of ss-setup"`,
		"",
		"depend() {",
		// A container has no such service, and then a need would forbid the start.
		"\twant localmount",
		"\tafter localmount",
		"}",
		"",
		"start() {",
		"\t" + j.script(j.background(), d),
		"\treturn 0",
		"}",
		"",
		"stop() {",
		"\treturn 0",
		"}",
		"",
	}, "\n"))
	return d
}

func (o openrcFiles) fileState(service string) (ServiceState, error) {
	info, err := os.Stat(o.fs.Real(path.Join(initDir, service)))
	if errors.Is(err, fs.ErrNotExist) {
		return ServiceState{}, nil
	}
	if err != nil {
		return ServiceState{}, fmt.Errorf("look for the script of %s: %w", service, err)
	}
	state := ServiceState{
		Installed: true,
		Masked:    !info.Mode().IsRegular() || info.Mode()&0o111 == 0,
	}
	levels, err := o.fs.ReadDir(runlevelsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ServiceState{}, fmt.Errorf("look for links to %s: %w", service, err)
	}
	for _, level := range levels {
		state.Enabled = state.Enabled || o.fs.Exists(path.Join(runlevelsDir, level.Name(), service))
	}
	state.Enabled = state.Enabled && !state.Masked
	return state, nil
}

// openrc is a running OpenRC. Its scripts are run by itself for the same reasons
// as those of System V.
type openrc struct {
	openrcFiles
	run Runner
}

// Reload does nothing: OpenRC sees by itself that a script is newer than what it knows.
func (o *openrc) Reload(context.Context) error { return nil }

// Start starts a service and returns when OpenRC says it is started.
func (o *openrc) Start(ctx context.Context, service string) error {
	if due, err := startDue(o, service); !due {
		return err
	}
	if o.marked("started", service) {
		// OpenRC does not start again what it thinks runs.
		if _, err := within(ctx, o.run, askBound, "rc-service", service, "zap"); err != nil {
			return fmt.Errorf("start %s: %w", service, err)
		}
	}
	if _, err := within(ctx, o.run, startBound, "rc-service", service, "start"); err != nil {
		return fmt.Errorf("start %s: %w; the system log tells more", service, err)
	}
	return o.appeared(ctx, service)
}

// appearBound is how long a supervisor may take to start its daemon.
const appearBound = 10 * time.Second

// appeared waits for the daemon: OpenRC says "started" when there is a supervisor,
// which then starts the daemon, or fails to and tries again and again.
func (o *openrc) appeared(ctx context.Context, service string) error {
	if !isOwn(service) {
		return nil
	}
	there := waitUntil(ctx, appearBound, func() bool {
		found, err := daemons(service)
		return err == nil && len(found) > 0
	})
	if there {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("start %s: %w", service, context.Cause(ctx))
	}
	return fmt.Errorf("start %s: its supervisor runs, but no process of it; the system log tells more", service)
}

// Stop stops a service and sees to it that neither its process nor the
// supervisor that would start it again is left.
func (o *openrc) Stop(ctx context.Context, service string) error {
	state, err := o.fileState(service)
	if err != nil {
		return err
	}
	if err := o.endIdleSupervisor(service); err != nil {
		return err
	}
	before, err := o.running(service)
	if err != nil {
		return err
	}
	known := state.Installed && !state.Masked
	var stopErr error
	switch {
	case len(before) == 0 && (isOwn(service) || !o.marked("started", service)):
	case known:
		_, stopErr = within(ctx, o.run, stopBound, "rc-service", service, "stop")
	default:
		stopErr = endGently(ctx, before)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("stop %s: %w", service, errors.Join(stopErr, context.Cause(ctx)))
	}
	err = finish(ctx, service, func() ([]process, error) {
		now, err := o.running(service)
		return union(living(before), now), err
	})
	if err != nil {
		return errors.Join(err, stopErr)
	}
	if known && o.marked("started", service) {
		_, err = within(ctx, o.run, askBound, "rc-service", service, "zap")
	}
	return err
}

// State looks at OpenRC's notes and at processes; nothing is run for it.
func (o *openrc) State(_ context.Context, service string) (ServiceState, error) {
	state, err := o.fileState(service)
	if err != nil {
		return ServiceState{}, err
	}
	running, err := daemons(service)
	if err != nil {
		return ServiceState{}, fmt.Errorf("look for processes of %s: %w", service, err)
	}
	if len(running) > 0 {
		state.Active = true
		state.PID = running[0].PID
		return state, nil
	}
	started := o.marked("started", service)
	state.Active = started && !isOwn(service)
	state.Failed = started && isOwn(service) || o.marked("failed", service)
	return state, nil
}

func (o *openrc) marked(what, service string) bool {
	return o.fs.Exists(path.Join(openrcState, what, service))
}

// running lists the supervisor of a service first, so that it is killed before
// it can start the daemon again, and then the daemon.
func (o *openrc) running(service string) ([]process, error) {
	supervisors, err := o.supervisors(service)
	if err != nil {
		return nil, err
	}
	found, err := daemons(service)
	if err != nil {
		return nil, fmt.Errorf("look for processes of %s: %w", service, err)
	}
	return append(supervisors, found...), nil
}

func (o *openrc) supervisors(service string) ([]process, error) {
	found, err := processes(func(pid int) bool {
		args := arguments(pid)
		return len(args) > 1 && path.Base(args[0]) == "supervise-daemon" && args[1] == service
	})
	if err != nil {
		return nil, fmt.Errorf("look for processes of %s: %w", service, err)
	}
	return found, nil
}

// endIdleSupervisor kills a supervisor that has nothing to supervise, because its
// program fails again and again: asked to stop, it would wait some 20 s for a
// daemon that is not there.
func (o *openrc) endIdleSupervisor(service string) error {
	if !isOwn(service) {
		return nil
	}
	found, err := daemons(service)
	if err != nil || len(found) > 0 {
		return err
	}
	supervisors, err := o.supervisors(service)
	if err != nil {
		return err
	}
	return killAll(supervisors)
}
