// Package audit keeps the record of what was done and by whom: one JSON object a line, in
// files that rotate by size and age and whose number is bounded.
//
// Its promises: events are only ever appended, each with a number one higher than the one
// before, so a missing one shows. A full disk does not stop the server: what could not be
// written is counted, and as soon as there is room an event says how many are missing and
// since when. Whoever appends hands in no secrets; the package does not look for them.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ss-setup/runtime/logfile"
)

// FileName is the name of the file that is written, in the audit log's folder.
const FileName = "audit.jsonl"

// syncEvery is how long an event may wait until it is safe from a power cut.
const syncEvery = time.Second

// GapEvent is the event that stands where others are missing.
const GapEvent = "audit.gap"

// DefaultLimits bound the log unless the settings say otherwise: at most about 1 GiB
// before compression, a twentieth of that after it.
func DefaultLimits() logfile.Limits {
	return logfile.Limits{Size: 32 << 20, Age: 7 * 24 * time.Hour, Files: 30, KeepFor: 365 * 24 * time.Hour}
}

// Outcomes of an event.
const (
	Done    = "done"
	Refused = "refused"
	Failed  = "failed"
)

// Event is something that was done, or tried.
type Event struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// Event is what happened, as AREA.VERB: config.change, session.login.
	Event   string `json:"event"`
	Outcome string `json:"outcome,omitempty"`
	// By is who did it: superadmin/sa, admin/NAME, user/NAME, token/NAME, system.
	By string `json:"by,omitempty"`
	// From is the address it came from; Session the connection that it belongs to.
	From    string `json:"from,omitempty"`
	Session string `json:"session,omitempty"`
	Site    string `json:"site,omitempty"`
	// Object is what it was done to, as a key of the model or a path.
	Object  string `json:"object,omitempty"`
	Message string `json:"message,omitempty"`
	// Data is whatever else belongs to an event of this sort.
	Data json.RawMessage `json:"data,omitempty"`
}

// Log is an open audit log. Its methods may be called at once.
type Log struct {
	now func() time.Time
	log *slog.Logger

	mu    sync.Mutex
	file  *logfile.File
	seq   uint64
	dirty bool
	lost  lost
	subs  map[*subscriber]struct{}
	stop  chan struct{}
	done  sync.WaitGroup
}

// lost is what could not be written.
type lost struct {
	Events uint64    `json:"events"`
	Since  time.Time `json:"since"`
	Error  string    `json:"error"`
}

// Open opens the log in dir, whose parent must be there, and goes on with the number
// after the last event.
func Open(dir string, limits logfile.Limits, now func() time.Time, log *slog.Logger) (*Log, error) {
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	seq, err := lastSeq(dir)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	file, err := logfile.Open(filepath.Join(dir, FileName), limits, now)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	l := &Log{now: now, log: log, file: file, seq: seq, subs: map[*subscriber]struct{}{}, stop: make(chan struct{})}
	l.done.Go(l.syncNowAndThen)
	return l, nil
}

// Append records an event; its number and, if it has none, its time are set here. The
// server goes on whether it worked or not: what is missing is told by a GapEvent later.
func (l *Log) Append(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = l.now()
	}
	e.Time = e.Time.UTC()
	if l.lost.Events > 0 && !l.tellGap() {
		l.lost.Events++
		return
	}
	if err := l.write(e); err != nil {
		l.lose(err)
	}
}

func (l *Log) write(e Event) error {
	e.Seq = l.seq + 1
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("event %s: %w", e.Event, err)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return err
	}
	l.seq, l.dirty = e.Seq, true
	for s := range l.subs {
		s.send(e)
	}
	return nil
}

// lose counts an event that could not be written; the first of a row is logged.
func (l *Log) lose(err error) {
	if l.lost.Events == 0 {
		l.lost.Since, l.lost.Error = l.now().UTC(), err.Error()
		l.log.Error("the audit log cannot be written; events are counted until it can", "error", err)
	}
	l.lost.Events++
}

// tellGap writes the event that stands for the missing ones. Their numbers stay free.
func (l *Log) tellGap() bool {
	data, err := json.Marshal(l.lost)
	if err != nil {
		return false
	}
	before := l.seq
	l.seq += l.lost.Events
	if err := l.write(Event{Time: l.now().UTC(), Event: GapEvent, By: "system", Outcome: Failed, Data: data}); err != nil {
		l.seq = before
		return false
	}
	l.log.Info("the audit log can be written again", "missing", l.lost.Events, "since", l.lost.Since)
	l.lost = lost{}
	return true
}

// Lost is the number of events that are missing and not yet told of.
func (l *Log) Lost() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost.Events
}

// SetLimits bounds the files from now on.
func (l *Log) SetLimits(limits logfile.Limits) { l.file.SetLimits(limits) }

// Reopen begins the file again after somebody has moved it away.
func (l *Log) Reopen() error { return l.file.Reopen() }

// Close puts everything on disk and ends the subscriptions.
func (l *Log) Close() error {
	close(l.stop)
	l.done.Wait()
	l.mu.Lock()
	for s := range l.subs {
		l.drop(s)
	}
	l.mu.Unlock()
	return l.file.Close()
}

func (l *Log) syncNowAndThen() {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			l.mu.Lock()
			dirty := l.dirty
			l.dirty = false
			l.mu.Unlock()
			if dirty {
				if err := l.file.Sync(); err != nil {
					l.log.Error("the audit log is not safe on disk", "error", err)
				}
			}
		}
	}
}
