package sftpd

import (
	"cmp"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ss-setup/runtime/sftpd/sftp3"
)

// Session is what is told of a session.
type Session struct {
	ID        uint64 // unique as long as the server runs
	Site      string
	User      string
	Key       string // fingerprint of the key that it was opened with; empty for none
	Addr      netip.AddrPort
	Client    string
	Started   time.Time
	Active    time.Time // when the client last asked for something
	Received  int64     // bytes on the wire
	Sent      int64
	Cipher    string
	Transfers []sftp3.Transfer
}

// Kind says what an event is.
type Kind string

// The kinds of events.
const (
	LoggedIn   Kind = "login"
	LoginFail  Kind = "login-failed"
	LoggedOut  Kind = "logout"
	FileChange Kind = "file"
)

// Event is something that the audit log, statistics or other listeners may want.
type Event struct {
	Kind   Kind
	Time   time.Time
	Site   string
	User   string
	Addr   netip.Addr
	Client string
	// Session is 0 before the log-in.
	Session uint64
	// Methods are the steps of a log-in, in order.
	Methods []Step
	// Reason says why a session ended or a log-in failed.
	Reason string
	// File is set for FileChange.
	File *sftp3.Event
}

// LogValue implements slog.LogValuer.
func (e Event) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("kind", string(e.Kind)), slog.String("site", e.Site), slog.String("user", e.User),
		slog.Any("address", e.Addr), slog.Uint64("session", e.Session),
	}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if e.File != nil {
		attrs = append(attrs, slog.Any("file", *e.File))
	}
	return slog.GroupValue(attrs...)
}

// Need is a client that needs a weak algorithm.
type Need struct {
	Algorithm string
	User      string // empty if it came no further than the key exchange
	Client    string
	Addr      netip.Addr // of the last time
	Last      time.Time
	Times     int
	// Allowed is whether the site has it switched on.
	Allowed bool
}

// maxNeeds bounds what is remembered; scanners would fill it.
const maxNeeds = 1000

type needKey struct {
	algorithm, user, client string
}

// needs remembers who needs what.
type needs struct {
	now func() time.Time
	log *slog.Logger
	mu  sync.Mutex
	by  map[needKey]*Need
}

func newNeeds(now func() time.Time, log *slog.Logger) *needs {
	return &needs{now: now, log: log, by: map[needKey]*Need{}}
}

func (n *needs) note(seen Need) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := needKey{seen.Algorithm, seen.User, seen.Client}
	known := n.by[key]
	if known == nil {
		if len(n.by) >= maxNeeds {
			n.forgetOldest()
		}
		known = &seen
		n.by[key] = known
		n.log.Warn("a client needs a weak algorithm", "algorithm", seen.Algorithm, "allowed", seen.Allowed,
			"user", seen.User, "client", seen.Client, "address", seen.Addr)
	}
	known.Addr, known.Allowed, known.Last = seen.Addr, seen.Allowed, n.now()
	known.Times++
}

func (n *needs) forgetOldest() {
	var oldest needKey
	var when time.Time
	for key, need := range n.by {
		if when.IsZero() || need.Last.Before(when) {
			oldest, when = key, need.Last
		}
	}
	delete(n.by, oldest)
}

func (n *needs) list() []Need {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []Need
	for _, need := range n.by {
		list = append(list, *need)
	}
	slices.SortFunc(list, func(a, b Need) int {
		return cmp.Or(cmp.Compare(a.Algorithm, b.Algorithm), cmp.Compare(a.User, b.User), cmp.Compare(a.Client, b.Client))
	})
	return list
}
