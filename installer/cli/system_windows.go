package cli

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/windows/svc"

	"ss-setup/installer/machine"
)

// useSystem adds what Windows keeps elsewhere than in files.
func (s *session) useSystem() {
	s.m.Registrar, s.m.Registry, s.m.Lists = machine.NewRegistrar(), machine.NewRegistry(), machine.NewAccessLists()
	s.m.LogonRights = machine.NewLogonRights()
	s.m.ReplaceAtRestart = s.m.FS.ReplaceAtRestart
}

// currentProgram is empty: no path to the release in force stays.
func currentProgram(string) string { return "" }

// asService runs the recovery that begins by itself as what started it wants.
func (s *session) asService(ctx context.Context, do func(context.Context) (*ending, error)) (*ending, error) {
	if !s.service {
		return do(ctx)
	}
	h := &recoveryService{ctx: ctx, do: do}
	if err := svc.Run(guardName, h); err != nil {
		return nil, fmt.Errorf("run as a service: %w", err)
	}
	return h.end, h.err
}

// recoveryService is what the service manager talks to.
type recoveryService struct {
	ctx context.Context
	do  func(context.Context) (*ending, error)
	end *ending
	err error
}

// errStopped is the cause of an end that the service manager asked for: the next
// start goes on.
var errStopped = errors.New("the service manager ended it")

// Execute implements svc.Handler. It says at once that it runs: it starts other
// services itself, which the manager would not do for one that is still starting.
func (h *recoveryService) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	done := make(chan struct{})
	go func() {
		h.end, h.err = h.do(h.ctx)
		close(done)
	}()
	for {
		select {
		case <-done:
			return false, 0
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				// A recovery may be cut anywhere.
				h.end, h.err = nil, errStopped
				return false, 0
			}
		}
	}
}
