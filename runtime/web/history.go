package web

import (
	"context"
	"sync"
	"time"
)

// Load is what a server does at a moment: sessions that run, and bytes of files since its
// start, up to it and down from it.
type Load struct {
	Sessions int
	Up, Down int64
}

// Sample is a minute of the past. Up and Down are bytes a second.
type Sample struct {
	At       time.Time
	Sessions int
	Up, Down float64
}

// historyLength is how far the plots reach back, in minutes; the memory for it is 40 KiB.
const historyLength = 24 * 60

// History remembers the load of the last day, a minute each. Its methods may be called at
// once.
type History struct {
	read func() Load
	now  func() time.Time

	mu      sync.Mutex
	samples []Sample
	last    Load
	at      time.Time
}

// NewHistory remembers what read tells; Run has it asked.
func NewHistory(read func() Load, now func() time.Time) *History {
	return &History{read: read, now: now, last: read(), at: now()}
}

// Run takes a sample every minute until ctx ends.
func (h *History) Run(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.Sample()
		}
	}
}

// Sample notes what happened since the last one.
func (h *History) Sample() {
	load, now := h.read(), h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.samples = append(h.samples, h.since(load, now))
	if len(h.samples) > historyLength {
		h.samples = append(h.samples[:0], h.samples[len(h.samples)-historyLength:]...)
	}
	h.last, h.at = load, now
}

// since is what happened between the last sample and load. h.mu is held.
func (h *History) since(load Load, now time.Time) Sample {
	s := Sample{At: now, Sessions: load.Sessions}
	if seconds := now.Sub(h.at).Seconds(); seconds > 0 {
		s.Up = float64(max(load.Up-h.last.Up, 0)) / seconds
		s.Down = float64(max(load.Down-h.last.Down, 0)) / seconds
	}
	return s
}

// Last are the samples of the last d, with what is since the last of them.
func (h *History) Last(d time.Duration) []Sample {
	load, now := h.read(), h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []Sample
	for _, s := range h.samples {
		if now.Sub(s.At) < d {
			out = append(out, s)
		}
	}
	return append(out, h.since(load, now))
}
