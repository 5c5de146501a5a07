package step

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// StopService stops a service and waits until no process of it is left and its
// ports are free.
type StopService struct {
	Service    string `json:"service"`
	Generation int    `json:"generation"`
	// Down says that users lose the service with this step.
	Down bool `json:"down,omitempty"`
}

type stopUndo struct {
	Active  bool `json:"active"`
	Healthy bool `json:"healthy"`
}

// probePatience is how long a running service gets for one answer.
const probePatience = 2 * time.Second

// Kind implements Step.
func (s *StopService) Kind() string { return "stop_service" }

func (s *StopService) String() string { return "stop " + s.Service }

// Prepare notes whether the service runs and answers.
func (s *StopService) Prepare(ctx context.Context, m *Machine) (any, error) {
	state, err := m.Services.State(ctx, s.Service)
	if err != nil {
		return nil, err
	}
	u := stopUndo{Active: state.Active || state.Failed}
	if state.Active && s.Generation > 0 {
		probe, cancel := context.WithTimeout(ctx, probePatience)
		defer cancel()
		_, err := m.Prober.Probe(probe, s.Service, s.Generation)
		u.Healthy = err == nil
	}
	return u, nil
}

// Do stops the service.
func (s *StopService) Do(ctx context.Context, m *Machine) error {
	if s.Down && m.Stopped != nil {
		m.Stopped()
	}
	if err := m.Services.Stop(ctx, s.Service); err != nil {
		return err
	}
	if m.Offline {
		return nil
	}
	return m.Prober.PortsFree(ctx, s.Service)
}

// Undo starts the service if it ran, and waits for its answer if it answered.
func (s *StopService) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	var u stopUndo
	if err := json.Unmarshal(undo, &u); err != nil || !u.Active {
		return err
	}
	if err := m.Services.Start(ctx, s.Service); err != nil {
		if !u.Healthy {
			return nil // it did not work before either
		}
		return err
	}
	if !u.Healthy || m.Offline {
		return nil
	}
	_, err := waitHealthy(ctx, m, s.Service, s.Generation, "")
	return err
}

// StartService starts a service of the generation in force.
type StartService struct {
	Service string `json:"service"`
}

// Kind implements Step.
func (s *StartService) Kind() string { return "start_service" }

func (s *StartService) String() string { return "start " + s.Service }

// Prepare needs nothing: the plan starts only what is to run.
func (s *StartService) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// Do starts the service.
func (s *StartService) Do(ctx context.Context, m *Machine) error {
	return m.Services.Start(ctx, s.Service)
}

// Undo stops the service.
func (s *StartService) Undo(ctx context.Context, m *Machine, _ json.RawMessage) error {
	return m.Services.Stop(ctx, s.Service)
}

// WaitHealth waits until services answer as the release and generation they
// should be.
type WaitHealth struct {
	noUndo
	Services   []string `json:"services"`
	Generation int      `json:"generation"`
	Version    string   `json:"version"`
}

// Kind implements Step.
func (s *WaitHealth) Kind() string { return "wait_health" }

func (s *WaitHealth) String() string {
	return "wait until release " + s.Version + " answers"
}

// Do waits.
func (s *WaitHealth) Do(ctx context.Context, m *Machine) error {
	if m.Offline {
		return nil
	}
	for _, service := range s.Services {
		if _, err := waitHealthy(ctx, m, service, s.Generation, s.Version); err != nil {
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

// Undo has nothing to put back.
func (s *WaitHealth) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

// healthPause is the pause between two probes: short, since it is downtime.
const healthPause = 20 * time.Millisecond

// waitHealthy probes until the service answers as generation n, with the given
// version when one is given. The wait is bounded by the monotonic clock.
func waitHealthy(ctx context.Context, m *Machine, service string, n int, version string) (Health, error) {
	start := time.Now()
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
		if elapsed := time.Since(start); elapsed > m.HealthTimeout {
			return Health{}, fmt.Errorf("%s was not healthy within %s: %w", service, m.HealthTimeout, last)
		} else if total := m.HealthTimeout.Milliseconds(); total > 0 {
			m.progress(elapsed.Milliseconds(), total)
		}
		select {
		case <-ctx.Done():
			return Health{}, context.Cause(ctx)
		case <-time.After(healthPause):
		}
	}
}
