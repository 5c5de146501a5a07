package sites

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
)

// maxNotes bounds what is gathered: names that do not exist come by the thousand.
const maxNotes = 10_000

// activity gathers what accounts did and keeps it together.
type activity struct {
	engine *engine.Engine
	log    *slog.Logger

	mu    sync.Mutex
	notes map[model.Key]*note
}

// note is what is to be kept of an account.
type note struct {
	login    time.Time
	from     string
	failures int // since login, if there was one
}

func newActivity(e *engine.Engine, log *slog.Logger) *activity {
	return &activity{engine: e, log: log, notes: map[model.Key]*note{}}
}

func (a *activity) loggedIn(key model.Key, e sftpd.Event) {
	a.note(key, func(n *note) { *n = note{login: e.Time, from: e.Addr.String()} })
}

func (a *activity) failed(key model.Key, e sftpd.Event) {
	if e.User != "" {
		a.note(key, func(n *note) { n.failures++ })
	}
}

func (a *activity) note(key model.Key, change func(*note)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.notes[key]
	if n == nil {
		if len(a.notes) >= maxNotes {
			return
		}
		n = &note{}
		a.notes[key] = n
	}
	change(n)
}

// known leaves out names that do not exist, for which the store is not touched.
func (a *activity) known(notes map[model.Key]*note) map[model.Key]*note {
	if len(notes) == 0 {
		return nil
	}
	err := a.engine.Read(func(r *engine.Reader) error {
		maps.DeleteFunc(notes, func(key model.Key, _ *note) bool { return !r.Has(key) })
		return nil
	})
	if err != nil {
		return nil
	}
	return notes
}

// flush keeps what was gathered.
func (a *activity) flush() {
	a.mu.Lock()
	notes := a.notes
	a.notes = map[model.Key]*note{}
	a.mu.Unlock()
	if notes = a.known(notes); len(notes) == 0 {
		return
	}
	changes := make(map[model.Key]func(*engine.Activity), len(notes))
	for key, n := range notes {
		changes[key] = func(kept *engine.Activity) {
			if !n.login.IsZero() {
				kept.LastLogin, kept.LastFrom, kept.Failures = n.login, n.from, 0
			}
			kept.Failures += n.failures
		}
	}
	if err := a.engine.NoteActivity(changes); err != nil {
		a.log.Error("who logged in when is not kept", "error", err)
	}
}
