package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

const initDir = "/etc/init.d"

// sysvFiles is how System V init keeps its scripts.
type sysvFiles struct{ fs *FS }

// Name is the manager's.
func (sysvFiles) Name() string { return "sysv" }

// Definition is a script and its links in the folders of the runlevels.
func (s sysvFiles) Definition(service string) Definition {
	return Definition{
		Source: path.Join("services/sysv", service),
		Path:   path.Join(initDir, service),
		Mode:   0o755,
		Enable: append(s.links(service, "S20", "2345"), s.links(service, "K01", "016")...),
	}
}

// links are as update-rc.d makes them. A machine may lack the folder of a
// runlevel that it does not have; one that has none yet gets all.
func (s sysvFiles) links(service, order, runlevels string) []Link {
	var existing, all []Link
	for _, level := range runlevels {
		dir := fmt.Sprintf("/etc/rc%c.d", level)
		link := Link{Path: path.Join(dir, order+service), Target: path.Join("../init.d", service)}
		all = append(all, link)
		if isDir(s.fs, dir) {
			existing = append(existing, link)
		}
	}
	if len(existing) == 0 {
		return all
	}
	return existing
}

// BootJob is a script that comes last, starts the program in the background and
// is done: the programs that run the scripts wait for each of them, and for
// whoever holds its output.
func (s sysvFiles) BootJob(j BootJob) Definition {
	d := Definition{Path: path.Join(initDir, j.Name), Mode: 0o755, Enable: s.links(j.Name, "S99", "2345")}
	d.Content = []byte(strings.Join([]string{
		"#!/bin/sh",
		"### BEGIN INIT INFO",
		"# Provides:          " + j.Name,
		"# Required-Start:    $local_fs",
		"# Required-Stop:",
		"# Default-Start:     2 3 4 5",
		"# Default-Stop:",
		"# Short-Description: Finish or undo an interrupted run of ss-setup",
		"### END INIT INFO",
		j.noteLine(),
		"",
		`[ "$1" = start ] || exit 0`,
		j.script(j.background(), d),
		"exit 0",
		"",
	}, "\n"))
	return d
}

// background is the shell's command for the program under a supervisor.
func (j BootJob) background() string {
	return "{ " + shellWords(supervised(j.Name, j.Argv)) + " </dev/null >/dev/null 2>&1 & }"
}

func (s sysvFiles) fileState(service string) (ServiceState, error) {
	info, err := os.Stat(s.fs.Real(path.Join(initDir, service)))
	if errors.Is(err, fs.ErrNotExist) {
		return ServiceState{}, nil
	}
	if err != nil {
		return ServiceState{}, fmt.Errorf("look for the script of %s: %w", service, err)
	}
	state := ServiceState{Installed: true}
	// There is no word for it in System V; these two are how administrators say it.
	state.Masked = !info.Mode().IsRegular() || info.Mode()&0o111 == 0
	for _, level := range "2345" {
		dir := fmt.Sprintf("/etc/rc%c.d", level)
		entries, err := s.fs.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return ServiceState{}, fmt.Errorf("look for links to %s: %w", service, err)
		}
		for _, e := range entries {
			state.Enabled = state.Enabled || isStartLink(e.Name(), service)
		}
	}
	state.Enabled = state.Enabled && !state.Masked
	return state, nil
}

// isStartLink knows S, two digits and the service.
func isStartLink(name, service string) bool {
	rest, ok := strings.CutPrefix(name, "S")
	return ok && len(rest) > 2 && strings.Trim(rest[:2], "0123456789") == "" && rest[2:] == service
}

// sysv runs the scripts by itself. kardianos/service would call them through
// pipes that a daemon inherits and dies of, without any bound in time, and takes
// the status of a stopped service for an error.
type sysv struct {
	sysvFiles
	run Runner
}

// Reload does nothing: scripts are read when they run.
func (s *sysv) Reload(context.Context) error { return nil }

// Start runs the script and looks whether the service is there.
func (s *sysv) Start(ctx context.Context, service string) error {
	if due, err := startDue(s, service); !due {
		return err
	}
	if _, err := within(ctx, s.run, startBound, path.Join(initDir, service), "start"); err != nil {
		return fmt.Errorf("start %s: %w; the system log tells more", service, err)
	}
	return nil
}

// Stop runs the script and sees to it that no process of the service is left.
func (s *sysv) Stop(ctx context.Context, service string) error {
	state, err := s.fileState(service)
	if err != nil {
		return err
	}
	before, err := s.running(service)
	if err != nil {
		return err
	}
	var stopErr error
	switch {
	case len(before) == 0 && isOwn(service):
	case state.Installed && !state.Masked:
		_, stopErr = within(ctx, s.run, stopBound, path.Join(initDir, service), "stop")
	default:
		stopErr = endGently(ctx, before)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("stop %s: %w", service, errors.Join(stopErr, context.Cause(ctx)))
	}
	err = finish(ctx, service, func() ([]process, error) {
		now, err := s.running(service)
		return union(living(before), now), err
	})
	if err != nil {
		return errors.Join(err, stopErr)
	}
	return s.forget(service)
}

// forget removes the pid files of a process that is gone, so that a stop that
// had to kill does not look like a failure.
func (s *sysv) forget(service string) error {
	for _, file := range pidFiles(service) {
		if err := s.fs.Remove(file); err != nil {
			return fmt.Errorf("stop %s: %w", service, err)
		}
	}
	return nil
}

// State looks at files and processes; nothing is run for it, except for a service
// of another product, whose script alone knows its processes.
func (s *sysv) State(ctx context.Context, service string) (ServiceState, error) {
	state, err := s.fileState(service)
	if err != nil {
		return ServiceState{}, err
	}
	running, err := s.running(service)
	if err != nil {
		return ServiceState{}, err
	}
	if len(running) > 0 {
		state.Active = true
		state.PID = running[0].PID
		return state, nil
	}
	if state.Installed && !state.Masked && !isOwn(service) {
		_, err := within(ctx, s.run, askBound, path.Join(initDir, service), "status")
		state.Active = err == nil
		return state, ctx.Err()
	}
	// A pid file without its process is what LSB calls "dead".
	_, hasFile := s.pidInFile(service)
	state.Failed = state.Installed && hasFile
	return state, nil
}

// running lists the processes of a service: its daemon wherever it is, and what
// its pid file names if the program of that process fits.
func (s *sysv) running(service string) ([]process, error) {
	found, err := daemons(service)
	if err != nil {
		return nil, fmt.Errorf("look for processes of %s: %w", service, err)
	}
	pid, _ := s.pidInFile(service)
	p, err := findProcess(pid)
	if err != nil || !p.alive() || !strings.HasPrefix(path.Base(executable(pid)), service) {
		return found, nil
	}
	return union([]process{p}, found), nil
}

func pidFiles(service string) []string {
	return []string{
		"/run/" + service + ".pid",
		"/run/" + service + "/" + service + ".pid",
	}
}

func (s *sysv) pidInFile(service string) (pid int, exists bool) {
	for _, file := range pidFiles(service) {
		content, err := s.fs.ReadFile(file)
		if err != nil {
			continue
		}
		exists = true
		if pid, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil && pid > 1 {
			return pid, true
		}
	}
	return 0, exists
}

func living(found []process) []process {
	var left []process
	for _, p := range found {
		if p.alive() {
			left = append(left, p)
		}
	}
	return left
}
