package step

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ss-setup/installer/machine"
)

// StopServices stops services, all at once, and waits until no process of them
// is left and their ports are free.
type StopServices struct {
	Services   []string `json:"services"`
	Generation int      `json:"generation"`
}

// stopUndo says how each service was before.
type stopUndo map[string]serviceWas

type serviceWas struct {
	Active  bool `json:"active"`
	Healthy bool `json:"healthy"`
}

// probePatience is how long a running service gets for one answer.
const probePatience = 2 * time.Second

// Kind implements Step.
func (s *StopServices) Kind() string { return "stop_services" }

func (s *StopServices) String() string { return "stop " + strings.Join(s.Services, " and ") }

// Prepare notes which services run and answer.
func (s *StopServices) Prepare(ctx context.Context, m *Machine) (any, error) {
	u := stopUndo{}
	for _, name := range s.Services {
		state, err := m.Services.State(ctx, name)
		if err != nil {
			return nil, err
		}
		was := serviceWas{Active: state.Active || state.Failed}
		if state.Active && s.Generation > 0 {
			probe, cancel := context.WithTimeout(ctx, probePatience)
			_, err := m.Prober.Probe(probe, name, s.Generation)
			cancel()
			was.Healthy = err == nil
		}
		u[name] = was
	}
	return u, nil
}

// Transient implements txn.Transient.
func (s *StopServices) Transient() {}

// Do stops the services.
func (s *StopServices) Do(ctx context.Context, m *Machine) error {
	var active []string
	for _, name := range s.Services {
		state, err := m.Services.State(ctx, name)
		if err != nil {
			return err
		}
		if state.Active {
			active = append(active, name)
		}
	}
	if m.Stopped != nil {
		m.Stopped()
	}
	if err := machine.StopAll(ctx, m.Services, s.Services...); err != nil || m.Offline {
		return err
	}
	for _, name := range active {
		if err := m.Prober.PortsFree(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Undo starts the services that ran, and waits for the answer of those that
// answered. One that did not work before owes nothing.
func (s *StopServices) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	u := stopUndo{}
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	var healthy []string
	for _, name := range s.Services {
		was := u[name]
		switch {
		case was.Healthy:
			healthy = append(healthy, name)
		case was.Active:
			if err := m.Services.Start(ctx, name); err != nil {
				m.Log.Warn("a service that did not answer before does not start", "service", name, "error", err)
			}
		}
	}
	if err := machine.StartAll(ctx, m.Services, healthy...); err != nil || m.Offline {
		return err
	}
	end := time.Now().Add(m.HealthTimeout)
	for _, name := range healthy {
		if _, err := waitHealthy(ctx, m, name, s.Generation, "", end); err != nil {
			return err
		}
	}
	if len(healthy) > 0 && m.Healthy != nil {
		m.Healthy()
	}
	return nil
}

// StartServices starts services of the generation in force, all at once.
type StartServices struct {
	Services []string `json:"services"`
}

// Kind implements Step.
func (s *StartServices) Kind() string { return "start_services" }

func (s *StartServices) String() string { return "start " + strings.Join(s.Services, " and ") }

// Prepare needs nothing: the plan starts only what is to run.
func (s *StartServices) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// Transient implements txn.Transient.
func (s *StartServices) Transient() {}

// Do starts the services.
func (s *StartServices) Do(ctx context.Context, m *Machine) error {
	err := machine.StartAll(ctx, m.Services, s.Services...)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrReleaseFailed, err)
}

// Undo stops the services.
func (s *StartServices) Undo(ctx context.Context, m *Machine, _ json.RawMessage) error {
	return machine.StopAll(ctx, m.Services, s.Services...)
}

// WaitHealth waits until services answer as the release and generation they
// should be, and until users are served wherever they were.
type WaitHealth struct {
	noUndo
	Services   []string `json:"services"`
	Generation int      `json:"generation"`
	Version    string   `json:"version"`
	// From is the generation whose server ran until now; 0 is none.
	From int `json:"from_generation,omitempty"`
	// AfterOld: an older product served until now, and users are to be greeted where it
	// did.
	AfterOld bool `json:"after_old,omitempty"`
}

// Kind implements Step.
func (s *WaitHealth) Kind() string { return "wait_health" }

func (s *WaitHealth) String() string {
	return "wait until release " + s.Version + " answers"
}

// Transient implements txn.Transient.
func (s *WaitHealth) Transient() {}

// Do waits.
func (s *WaitHealth) Do(ctx context.Context, m *Machine) error {
	if m.Offline {
		return nil
	}
	end := time.Now().Add(m.HealthTimeout)
	for _, service := range s.Services {
		if _, err := waitHealthy(ctx, m, service, s.Generation, s.Version, end); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w: %w", ErrReleaseFailed, err)
		}
	}
	if slices.Contains(s.Services, machine.ServerService) {
		if err := s.waitBindings(ctx, m, end); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w: %w", ErrReleaseFailed, err)
		}
	}
	if m.Healthy != nil {
		m.Healthy()
	}
	return nil
}

// waitBindings waits until users are served wherever they were.
func (s *WaitHealth) waitBindings(ctx context.Context, m *Machine, end time.Time) error {
	owed := owedBindings(m, s.From)
	if s.AfterOld {
		left, err := leftOld(m)
		if err != nil {
			return err
		}
		if left.Owed {
			if err := waitGreetings(ctx, m, s.Generation, left.SSH, end); err != nil {
				return err
			}
		}
		h, err := m.Prober.Probe(ctx, machine.ServerService, s.Generation)
		if err != nil {
			return err
		}
		owed = bindingsAt(h.Bindings, ports(left.SSH))
	}
	return waitBindings(ctx, m, s.Generation, owed, end)
}

// Undo has nothing to put back.
func (s *WaitHealth) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

// healthPause is the pause between two probes: short, since it is downtime.
const healthPause = 20 * time.Millisecond

// waitHealthy probes until the service answers as generation n, with the given
// version when one is given. It is probed at least once, and until end by the
// monotonic clock: one end for all services, since they were started together.
func waitHealthy(ctx context.Context, m *Machine, service string, n int, version string, end time.Time) (Health, error) {
	var last error
	for {
		probe, cancel := context.WithTimeout(ctx, probePatience)
		h, err := m.Prober.Probe(probe, service, n)
		cancel()
		switch {
		case err != nil:
			last = err
		case h.Generation != n:
			last = fmt.Errorf("%s answers as generation %d, not %d", service, h.Generation, n)
		case version != "" && h.Version != version:
			last = fmt.Errorf("%s answers as version %s, not %s", service, h.Version, version)
		case h.Ready:
			return h, nil
		default:
			last = fmt.Errorf("%s answers that it is not ready", service)
		}
		left := time.Until(end)
		if left < 0 {
			return Health{}, fmt.Errorf("%s was not healthy within %s: %w", service, m.HealthTimeout, last)
		}
		if total := m.HealthTimeout; total >= time.Millisecond {
			m.progress((total - left).Milliseconds(), total.Milliseconds())
		}
		select {
		case <-ctx.Done():
			return Health{}, context.Cause(ctx)
		case <-time.After(healthPause):
		}
	}
}
