package machine

import (
	"context"
	"errors"
	"sync"
	"time"
)

// StartAll starts several services at once and returns when all run or failed.
func StartAll(ctx context.Context, s Services, services ...string) error {
	return atOnce(services, func(name string) error { return s.Start(ctx, name) })
}

// StopAll stops several services at once and returns when all are gone.
func StopAll(ctx context.Context, s Services, services ...string) error {
	return atOnce(services, func(name string) error { return s.Stop(ctx, name) })
}

func atOnce(names []string, act func(string) error) error {
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { errs[i] = act(name) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// pollEvery is how often a wait looks again: short against the second that an
// update may take from stop to start, long against the cost of looking.
const pollEvery = 10 * time.Millisecond

// waitUntil polls until done says so, for at most bound or until ctx ends.
func waitUntil(ctx context.Context, bound time.Duration, done func() bool) bool {
	deadline := time.Now().Add(bound)
	for {
		if done() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		select {
		case <-ctx.Done():
			return done()
		case <-time.After(pollEvery):
		}
	}
}
