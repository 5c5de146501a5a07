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
	"strings"
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
	dir string
	now func() time.Time
	log *slog.Logger

	mu     sync.Mutex
	limits logfile.Limits
	// file is nil while it cannot be opened, tried when that was tried last.
	file  *logfile.File
	tried time.Time
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

// Open goes on with the log in dir, whose parent must be there. A log that cannot be
// opened does not keep the server from starting: it is like a full disk, and tried again
// with the events.
func Open(dir string, limits logfile.Limits, now func() time.Time, log *slog.Logger) *Log {
	l := &Log{dir: dir, limits: limits, now: now, log: log, subs: map[*subscriber]struct{}{}, stop: make(chan struct{})}
	if err := l.ready(); err != nil {
		log.Error("the audit log cannot be written; events are counted until it can", "error", err)
	}
	l.done.Go(l.syncNowAndThen)
	return l
}

// ready opens the file unless it is open; the number of the last event is found in it.
func (l *Log) ready() error {
	if l.file != nil {
		return nil
	}
	if now := l.now(); now.Sub(l.tried) < tryEvery && !l.tried.IsZero() {
		return errNotYet
	}
	l.tried = l.now()
	if err := os.Mkdir(l.dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("open the audit log: %w", err)
	}
	seq, err := lastSeq(l.dir)
	if err != nil {
		return fmt.Errorf("open the audit log: %w", err)
	}
	file, err := logfile.Open(filepath.Join(l.dir, FileName), l.limits, l.now)
	if err != nil {
		return fmt.Errorf("open the audit log: %w", err)
	}
	l.file, l.seq = file, seq
	return nil
}

// tryEvery is the pause between two attempts to open the log.
const tryEvery = 10 * time.Second

var errNotYet = errors.New("the audit log could not be opened a moment ago")

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

// maxText bounds each text of an event, maxData its data, in bytes: an event that nobody
// can read again would be as good as none. A path is the longest text that there is.
const (
	maxText = 4 << 10
	maxData = maxLine / 2
)

// bound cuts what is too long, whoever chose it.
func (e *Event) bound() {
	for _, text := range []*string{&e.Event, &e.Outcome, &e.By, &e.From, &e.Session, &e.Site, &e.Object, &e.Message} {
		if len(*text) > maxText {
			*text = strings.ToValidUTF8((*text)[:maxText], "")
		}
	}
	if len(e.Data) > maxData {
		e.Data = json.RawMessage(fmt.Sprintf(`{"leftOut":"%d bytes"}`, len(e.Data)))
	}
}

func (l *Log) write(e Event) error {
	if err := l.ready(); err != nil {
		return err
	}
	e.Seq = l.seq + 1
	e.bound()
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
	if l.ready() != nil {
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
func (l *Log) SetLimits(limits logfile.Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limits = limits
	if l.file != nil {
		l.file.SetLimits(limits)
	}
}

// Reopen begins the file again after somebody has moved it away.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		return l.file.Reopen()
	}
	l.tried = time.Time{}
	return l.ready()
}

// Close puts everything on disk and ends the subscriptions.
func (l *Log) Close() error {
	close(l.stop)
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.subs {
		l.drop(s)
	}
	if l.file == nil {
		return nil
	}
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
			dirty, file := l.dirty, l.file
			l.dirty = false
			l.mu.Unlock()
			if dirty {
				if err := file.Sync(); err != nil {
					l.log.Error("the audit log is not safe on disk", "error", err)
				}
			}
		}
	}
}
