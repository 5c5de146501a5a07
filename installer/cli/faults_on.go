//go:build faults

package cli

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"ss-setup/installer/machine"
)

// The variables that a build for fault tests obeys.
const (
	// faultVar cuts or disturbs a run:
	//
	//	kill:point:N          SIGKILL at the N-th place of the engine
	//	kill:call:N           SIGKILL before the N-th changing call
	//	fail:call:N:ENOSPC    the N-th changing call fails
	//	failall:call:N:EIO    it and every later one fails
	//
	// Several are separated by commas.
	faultVar = "SS_SETUP_FAULT"
	// faultLogVar names a file that gets a line for every point and call.
	faultLogVar = "SS_SETUP_FAULT_LOG"
	// The guard and the boot job have variables of their own.
	guardFaultVar    = "SS_SETUP_FAULT_GUARD"
	guardFaultLogVar = "SS_SETUP_FAULT_GUARD_LOG"
)

// faults counts places and calls, and acts at some of them.
type faults struct {
	mu            sync.Mutex
	points, calls int
	log           *os.File
	all           []fault
}

// fault is one of them.
type fault struct {
	action, unit string
	at           int
	errno        syscall.Errno
}

// simulate puts the faults in place that the environment asks for.
func (s *session) simulate() error {
	spec, logName := os.Getenv(faultVar), os.Getenv(faultLogVar)
	if s.guard || s.boot {
		spec, logName = os.Getenv(guardFaultVar), os.Getenv(guardFaultLogVar)
	}
	f, err := newFaults(spec, logName)
	if err != nil {
		return err
	}
	trace := s.m.FS.Before
	s.m.FS.Before = func(op machine.Op, path string) error {
		if trace != nil {
			_ = trace(op, path)
		}
		return f.call(op, path)
	}
	s.engine.Point = f.point
	return s.record()
}

func newFaults(spec, logName string) (*faults, error) {
	f := &faults{}
	if logName != "" {
		var err error
		if f.log, err = os.OpenFile(logName, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
			return nil, err
		}
	}
	for one := range strings.SplitSeq(spec, ",") {
		if one == "" {
			continue
		}
		parsed, err := parseFault(one)
		if err != nil {
			return nil, fmt.Errorf("%s=%s: %w", faultVar, spec, err)
		}
		f.all = append(f.all, parsed)
	}
	return f, nil
}

func parseFault(spec string) (fault, error) {
	parts := strings.Split(spec, ":")
	if len(parts) < 3 {
		return fault{}, errors.New("want action:unit:number")
	}
	f := fault{action: parts[0], unit: parts[1]}
	var err error
	if f.at, err = strconv.Atoi(parts[2]); err != nil {
		return fault{}, err
	}
	if len(parts) > 3 {
		f.errno = errnoNamed(parts[3])
	}
	if f.action != "kill" && f.errno == 0 {
		return fault{}, errors.New("no error of that name")
	}
	return f, nil
}

func (f *faults) point(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.points++
	f.write("point %d %s\n", f.points, name)
	for _, one := range f.all {
		if one.unit == "point" && one.action == "kill" && f.points == one.at {
			die()
		}
	}
}

func (f *faults) call(op machine.Op, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.write("call %d %s %s\n", f.calls, op, path)
	for _, one := range f.all {
		if one.unit != "call" {
			continue
		}
		switch {
		case one.action == "kill" && f.calls == one.at:
			die()
		case one.action == "fail" && f.calls == one.at, one.action == "failall" && f.calls >= one.at:
			return one.errno
		}
	}
	return nil
}

func (f *faults) write(format string, args ...any) {
	if f.log != nil {
		fmt.Fprintf(f.log, format, args...)
	}
}
