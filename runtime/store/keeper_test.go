package store

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// counter is a taker that only counts.
type counter struct{ taken []time.Time }

func (c *counter) Take(s Snapshots, reason string) (Snapshot, error) {
	c.taken = append(c.taken, s.Now())
	return Snapshot{}, nil
}

func TestTheDailySnapshotIsTriedUntilItIsMade(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := &counter{}
		s := Snapshots{Dir: dir, Schema: testSchema(1), Now: time.Now}
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Minute)
		defer cancel()
		began := time.Now()
		s.KeepDaily(ctx, c, func() int { return 3 }, slog.New(slog.DiscardHandler))
		// The taker makes none, so it stays due.
		if len(c.taken) != 4 || c.taken[0].Sub(began) != time.Minute || c.taken[1].Sub(began) != 11*time.Minute {
			t.Errorf("taken at %v, begun at %v", c.taken, began)
		}
	})
}
