package daemon

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/kardianos/service"
)

// Run starts a daemon and stays until the service manager, a signal or the daemon's
// own failure ends it; SIGHUP reads the configuration again. The same call serves a terminal, systemd, SysV and
// OpenRC; none of them needs to be told that it is a service.
func Run(name string, _ bool, start func() (*Instance, error)) error {
	// Registered before anything is opened: a stop that comes during the start must
	// end in a clean stop too.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	defer signal.Stop(signals)

	b := &body{start: start}
	wait := func() {
		for {
			select {
			case s := <-signals:
				if s != syscall.SIGHUP {
					return
				}
				b.instance.Reload()
			case b.err = <-b.instance.Failed():
				return
			case between := <-b.instance.again:
				if b.err = b.startAnew(between); b.err != nil {
					return
				}
			}
		}
	}
	s, err := service.New(b, &service.Config{Name: name, Option: service.KeyValue{"RunWait": wait}})
	if err != nil {
		return fmt.Errorf("ask for the service manager: %w", err)
	}
	if err := s.Run(); err != nil {
		return err
	}
	return b.err
}

// body is what the service manager calls.
type body struct {
	start    func() (*Instance, error)
	instance *Instance
	err      error
}

// Start returns when the daemon serves, as service managers want it.
func (b *body) Start(service.Service) error {
	i, err := b.start()
	if err == nil {
		b.instance = i
	}
	return err
}

// startAnew stops the daemon and starts it again. What does not stop cleanly has let go of
// the store all the same, or the start fails.
func (b *body) startAnew(between func()) error {
	if err := b.instance.Stop(); err != nil {
		b.instance.Log.Warn("stopped, to start anew", "error", err)
	}
	b.instance = nil
	between()
	return b.Start(nil)
}

// Stop ends the daemon in bounded time.
func (b *body) Stop(service.Service) error {
	if b.instance == nil {
		return nil // it ended on its way to a new start
	}
	return b.instance.Stop()
}
