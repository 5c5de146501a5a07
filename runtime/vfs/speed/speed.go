// Package speed limits how fast bytes go, for all sessions of a user or site together.
package speed

import (
	"context"
	"sync"
	"time"
)

// burst is how much an idle limiter lets through at once: requests come in heaps.
const burst = 250 * time.Millisecond

// Limiter lets a number of bytes a second through. A nil Limiter lets everything through.
type Limiter struct {
	now func() time.Time

	mu   sync.Mutex
	rate int64
	free time.Time // when all that was let through has had its time
}

// New makes a limiter of rate bytes a second; zero is no limit.
func New(rate int64) *Limiter { return &Limiter{now: time.Now, rate: rate} }

// Set changes the rate for what comes next.
func (l *Limiter) Set(rate int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = rate
}

// Wait returns when n bytes may go, or with ctx's error.
func (l *Limiter) Wait(ctx context.Context, n int) error {
	if l == nil || n <= 0 {
		return nil
	}
	delay := l.take(n)
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		l.giveBack(n)
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// giveBack takes n bytes out again that did not go: whoever shares the limiter would wait
// for them.
func (l *Limiter) giveBack(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate > 0 {
		l.free = l.free.Add(-l.timeOf(n))
	}
}

func (l *Limiter) timeOf(n int) time.Duration {
	return time.Duration(float64(n) / float64(l.rate) * float64(time.Second))
}

func (l *Limiter) take(n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate <= 0 {
		return 0
	}
	now := l.now()
	if earliest := now.Add(-burst); l.free.Before(earliest) {
		l.free = earliest
	}
	l.free = l.free.Add(l.timeOf(n))
	return l.free.Sub(now)
}
