package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// home is where version 6 lies, userFiles where its users' files do.
var (
	home      = filepath.Join(os.Getenv("ProgramFiles"), "Syncplify Server!")
	userFiles = `C:\old-files`
)

func programPath(name string) string { return filepath.Join(home, "bin", "ss6-"+name+".exe") }

// startWorker is for systemd's templates.
func startWorker() error { return errors.ErrUnsupported }

// register makes the services, which start with the machine, and starts them.
func register(start, template bool) error {
	if template {
		return errors.ErrUnsupported
	}
	m, err := mgr.Connect()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	for _, name := range []string{webrest, worker} {
		s, err := m.CreateService("ss6-"+name, programPath(name), mgr.Config{StartType: mgr.StartAutomatic, DisplayName: "Old server, " + name}, name, "--service")
		if err != nil {
			return fmt.Errorf("register %s: %w", name, err)
		}
		if start {
			err = s.Start()
		}
		s.Close()
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
	}
	return nil
}

// serve runs until the service manager asks it to end.
func serve(name string, _ []string, begin func() (func(), <-chan error, error)) error {
	return svc.Run("ss6-"+name, handler(begin))
}

type handler func() (func(), <-chan error, error)

// Execute implements svc.Handler.
func (h handler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	status <- svc.Status{State: svc.StartPending}
	stop, failed, err := h()
	if err != nil {
		return true, 1
	}
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case <-failed:
			return true, 2
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				status <- svc.Status{State: svc.StopPending}
				stop()
				return false, 0
			}
		}
	}
}
