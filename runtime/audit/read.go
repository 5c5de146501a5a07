package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/logfile"
)

// maxLine bounds an event in bytes.
const maxLine = 1 << 20

// ErrDamaged marks a line that is no event; the reader goes on with the next.
var ErrDamaged = errors.New("damaged line in the audit log")

// Filter says which events are wanted; empty fields want all.
type Filter struct {
	// After and Before are numbers of events, From and Until times; After and Until are
	// not included, nor is Before.
	After, Before uint64
	From, Until   time.Time
	// Events are names, or beginnings of names that end with a dot.
	Events                         []string
	By, Address, Site, Object, Out string
	// Text must be somewhere in the event, whatever the case of its letters.
	Text string
	// Want, if there is one, has the last word about an event.
	Want func(*Event) bool
	// Limit ends the reading after so many events.
	Limit int
}

func (f *Filter) wants(e *Event, line []byte) bool {
	switch {
	case e.Seq <= f.After && f.After > 0, f.Before > 0 && e.Seq >= f.Before:
		return false
	case !f.From.IsZero() && e.Time.Before(f.From), !f.Until.IsZero() && !e.Time.Before(f.Until):
		return false
	case f.By != "" && e.By != f.By, f.Address != "" && e.From != f.Address, f.Site != "" && e.Site != f.Site:
		return false
	case f.Object != "" && e.Object != f.Object, f.Out != "" && e.Outcome != f.Out:
		return false
	case len(f.Events) > 0 && !slices.ContainsFunc(f.Events, func(want string) bool {
		return e.Event == want || strings.HasSuffix(want, ".") && strings.HasPrefix(e.Event, want)
	}):
		return false
	case f.Text != "" && !strings.Contains(strings.ToLower(string(line)), strings.ToLower(f.Text)):
		return false
	}
	return f.Want == nil || f.Want(e)
}

// Read gives the events of the log in dir, the oldest first. It works while the log is
// written. A damaged line is an error that wraps ErrDamaged, after which it goes on.
func Read(ctx context.Context, dir string, filter Filter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		set, err := logfile.Set(filepath.Join(dir, FileName))
		if err != nil {
			yield(Event{}, err)
			return
		}
		given := 0
		for _, path := range set {
			for e, err := range readFile(ctx, path, &filter) {
				if !yield(e, err) {
					return
				}
				if err == nil {
					given++
				}
				if ctx.Err() != nil || filter.Limit > 0 && given >= filter.Limit {
					return
				}
			}
		}
	}
}

// Newest gives the last events of the log in dir, the newest first: at most Limit, which
// must be set. Memory is bounded by it.
func Newest(ctx context.Context, dir string, filter Filter) ([]Event, error) {
	if filter.Limit < 1 {
		return nil, errors.New("read the audit log: no limit")
	}
	set, err := logfile.Set(filepath.Join(dir, FileName))
	if err != nil {
		return nil, err
	}
	var out []Event
	for _, path := range slices.Backward(set) {
		first := firstOf(ctx, path)
		if filter.Before > 0 && first.Seq >= filter.Before {
			continue
		}
		last := make([]Event, 0, 64)
		for e, err := range readFile(ctx, path, &filter) {
			switch {
			case errors.Is(err, ErrDamaged):
				continue
			case err != nil:
				return nil, err
			}
			// Only the end of the file is wanted; what is before it is let go now and then.
			if last = append(last, e); len(last) >= 2*filter.Limit+64 {
				last = append(last[:0], last[len(last)-filter.Limit:]...)
			}
		}
		for _, e := range slices.Backward(last) {
			if out = append(out, e); len(out) == filter.Limit {
				return out, nil
			}
		}
		if first.Seq > 0 && first.Time.Add(disorder).Before(filter.From) {
			break
		}
	}
	return out, nil
}

// disorder is by how much times may go back from one event to a later one.
const disorder = time.Hour

// firstOf is the first event of a file; one without a number if there is none.
func firstOf(ctx context.Context, path string) Event {
	for e, err := range readFile(ctx, path, &Filter{}) {
		if err == nil {
			return e
		}
	}
	return Event{}
}

// Newest is Newest of the log's own folder.
func (l *Log) Newest(ctx context.Context, filter Filter) ([]Event, error) {
	return Newest(ctx, l.dir, filter)
}

func readFile(ctx context.Context, path string, filter *Filter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		r, err := logfile.Reader(path)
		if errors.Is(err, fs.ErrNotExist) {
			// The oldest one was removed since it was listed.
			return
		}
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer r.Close()
		lines := bufio.NewReaderSize(r, 64<<10)
		for n := 1; ctx.Err() == nil; n++ {
			line, err := readLine(lines)
			if errors.Is(err, io.EOF) {
				return
			}
			var e Event
			if err == nil {
				err = parse(line, &e)
			}
			if err != nil {
				err = fmt.Errorf("%w: %s, line %d: %w", ErrDamaged, filepath.Base(path), n, err)
			} else if !filter.wants(&e, line) {
				continue
			}
			if !yield(e, err) || err != nil && !errors.Is(err, errLine) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Event{}, err)
		}
	}
}

// errLine is a fault of one line, after which the next can be read.
var errLine = errors.New("not an event")

func parse(line []byte, e *Event) error {
	if err := json.Unmarshal(line, e); err != nil {
		return fmt.Errorf("%w: %w", errLine, err)
	}
	if e.Seq == 0 || e.Event == "" {
		return fmt.Errorf("%w: it has no number or name", errLine)
	}
	return nil
}

// readLine reads a line without its end. One that is not ended yet is being written.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return nil, err
		case long:
			return nil, fmt.Errorf("%w: more than %d bytes", errLine, maxLine)
		default:
			return line[:len(line)-1], nil
		}
	}
}

// lastSeq is the number of the last event; 0 for a new log.
func lastSeq(dir string) (uint64, error) {
	last, err := Newest(context.Background(), dir, Filter{Limit: 1})
	if err != nil || len(last) == 0 {
		return 0, err
	}
	return last[0].Seq, nil
}

// backlog is how many events may wait for a subscriber.
const backlog = 256

type subscriber struct {
	filter Filter
	events chan Event
	log    *Log
}

// Follow gives the events from now on. The channel is closed by stop, with the log, and
// when the receiver is too slow: who wants to know what he missed reads After the number
// that he saw last.
func (l *Log) Follow(filter Filter) (events <-chan Event, stop func()) {
	s := &subscriber{filter: filter, events: make(chan Event, backlog), log: l}
	l.mu.Lock()
	l.subs[s] = struct{}{}
	l.mu.Unlock()
	return s.events, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.drop(s)
	}
}

// drop ends a subscription; the lock is held.
func (l *Log) drop(s *subscriber) {
	if _, ok := l.subs[s]; ok {
		delete(l.subs, s)
		close(s.events)
	}
}

func (s *subscriber) send(e Event) {
	line := []byte(nil)
	if s.filter.Text != "" {
		line, _ = json.Marshal(e)
	}
	if !s.filter.wants(&e, line) {
		return
	}
	select {
	case s.events <- e:
	default:
		s.log.drop(s)
	}
}
