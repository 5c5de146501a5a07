package daemon

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/windows/svc"
)

// startHint is how long a daemon may take to serve before the service manager may
// think that it hangs.
const startHint = 30 * time.Second

// Run starts a daemon and stays until the service manager, a signal or the daemon's
// own failure ends it. asService is told by the command line, never guessed: what
// Windows has to ask is no contract.
func Run(name string, asService bool, start func() (*Instance, error)) error {
	if !asService {
		return runInTerminal(start)
	}
	h := &handler{start: start}
	if err := svc.Run(name, h); err != nil {
		return fmt.Errorf("reach the service manager: %w; only it runs this with --service", err)
	}
	return h.err
}

func runInTerminal(start func() (*Instance, error)) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	i, err := start()
	if err != nil {
		return err
	}
	for {
		select {
		case <-signals:
			return i.Stop()
		case err := <-i.Failed():
			return err
		case between := <-i.again:
			stopToStartAnew(i)
			between()
			if i, err = start(); err != nil {
				return err
			}
		}
	}
}

func stopToStartAnew(i *Instance) {
	if err := i.Stop(); err != nil {
		i.Log.Warn("stopped, to start anew", "error", err)
	}
}

// handler is what the service manager talks to.
type handler struct {
	start func() (*Instance, error)
	err   error
}

// stopHint is what the service manager is told to wait: transfers may come to their end
// before.
const stopHint = 35*time.Second + stopLimit

// failedCode is how the daemon tells the manager that it failed, which then starts
// it again.
const failedCode = 1

// started is how the start of a daemon ended.
type started struct {
	instance *Instance
	err      error
}

// Execute implements svc.Handler.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	status <- svc.Status{State: svc.StartPending, WaitHint: uint32(startHint.Milliseconds())}
	begun := make(chan started, 1)
	begin := func() {
		i, err := h.start()
		begun <- started{i, err}
	}
	go begin()
	var i *Instance
	var failed <-chan error
	var again <-chan func()
	for {
		select {
		case s := <-begun:
			if h.err = s.err; h.err != nil {
				return true, failedCode
			}
			i, failed, again = s.instance, s.instance.Failed(), s.instance.again
			status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
		case h.err = <-failed:
			return true, failedCode
		case between := <-again:
			stopToStartAnew(i)
			i, failed, again = nil, nil, nil
			between()
			go begin()
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				status <- svc.Status{State: svc.StopPending, WaitHint: uint32(stopHint.Milliseconds())}
				if i != nil {
					h.err = i.Stop()
				}
				return false, 0
			}
		}
	}
}
