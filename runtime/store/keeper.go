package store

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// firstLook keeps the first minute of a start, and of an update, free of a snapshot's work.
const firstLook = time.Minute

// lookEvery is how often the keeper looks whether a snapshot is due; a machine that
// slept over the hour makes it then.
const lookEvery = 10 * time.Minute

// Taker makes a snapshot, beside others who may want one at the moment.
type Taker interface {
	Take(s Snapshots, reason string) (Snapshot, error)
}

// KeepDaily makes the daily snapshot at the hour of the machine's clock, until ctx ends.
// The hour is asked for each time. What fails is logged and tried again.
func (s Snapshots) KeepDaily(ctx context.Context, by Taker, hour func() int, log *slog.Logger) {
	timer := time.NewTimer(firstLook)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := s.daily(by, hour(), log); err != nil {
			log.Error("the daily snapshot was not made; it is tried again", "folder", s.Dir, "error", err)
		}
		timer.Reset(lookEvery)
	}
}

func (s Snapshots) daily(by Taker, hour int, log *slog.Logger) error {
	due, err := s.Due(hour)
	if err != nil || !due {
		return err
	}
	snap, err := by.Take(s, SnapshotDaily)
	if errors.Is(err, ErrCorrupt) {
		log.Error("the store is damaged; run ss-setup install --repair", "error", err)
	}
	if err == nil {
		log.Info("made the daily snapshot", "path", snap.Path, "bytes", snap.Size)
	}
	return err
}
