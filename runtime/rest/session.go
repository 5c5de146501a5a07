package rest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"ss-setup/runtime/model"
)

// SessionCookie carries a session of the web pages: the prefix makes browsers insist on
// HTTPS and on this very host.
const SessionCookie = "__Host-ss-session"

// How long a session may be left alone, unless the settings say otherwise; how long it
// may last at all; and how many there may be.
const (
	sessionIdle = 30 * time.Minute
	sessionLife = 12 * time.Hour
	// proofLife is how long a password that was typed lets somebody do what makes another
	// master of the server.
	proofLife    = 10 * time.Minute
	perAccount   = 50
	maxSessions  = 10_000
	sessionBytes = 32
)

// session is one of a SuperAdmin or an Admin. It ends with the process: who comes again
// signs in again.
type session struct {
	account model.Key
	// stamp is of the credentials that it was opened with: it ends when they change.
	stamp   [sha256.Size]byte
	created time.Time
	used    time.Time
	// proved is when it was last shown who sits there: at the log-in, or later.
	proved time.Time
	// pending is the secret of an authenticator that is being set up.
	pending string
}

// sessions are those that are open, by the hash of what their cookie says: who reads the
// memory of the server does not have the cookies.
type sessions struct {
	now func() time.Time

	mu  sync.Mutex
	all map[[sha256.Size]byte]*session
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[[sha256.Size]byte]*session{}}
}

// open begins a session; the value is for the cookie. Where there are too many, the one
// that was left alone for longest makes room.
func (s *sessions) open(account model.Key, stamp [sha256.Size]byte) (value string, opened *session) {
	raw := make([]byte, sessionBytes)
	_, _ = rand.Read(raw) // never fails
	value = base64.RawURLEncoding.EncodeToString(raw)
	now := s.now()
	opened = &session{account: account, stamp: stamp, created: now, used: now, proved: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom(account)
	s.all[sha256.Sum256([]byte(value))] = opened
	return value, opened
}

func (s *sessions) makeRoom(account model.Key) {
	var own, any [sha256.Size]byte
	var ownUsed, anyUsed time.Time
	count := 0
	for id, other := range s.all {
		if anyUsed.IsZero() || other.used.Before(anyUsed) {
			any, anyUsed = id, other.used
		}
		if other.account != account {
			continue
		}
		if count++; ownUsed.IsZero() || other.used.Before(ownUsed) {
			own, ownUsed = id, other.used
		}
	}
	if count >= perAccount {
		delete(s.all, own)
	}
	if len(s.all) >= maxSessions {
		delete(s.all, any)
	}
}

// find is the session of a cookie's value, nil if there is none or it is over. It counts
// as used now, unless somebody's page only looks again by itself.
func (s *sessions) find(value string, idle time.Duration, use bool) *session {
	id := sha256.Sum256([]byte(value))
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.all[id]
	if found == nil {
		return nil
	}
	if now.Sub(found.used) >= idle || now.Sub(found.created) >= sessionLife {
		delete(s.all, id)
		return nil
	}
	if use {
		found.used = now
	}
	return found
}

// running tells whether a session is still there, without using it.
func (s *sessions) running(wanted *session, idle time.Duration) bool {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, open := range s.all {
		if open == wanted {
			return now.Sub(open.used) < idle && now.Sub(open.created) < sessionLife
		}
	}
	return false
}

// end closes one session.
func (s *sessions) end(gone *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, open := range s.all {
		if open == gone {
			delete(s.all, id)
		}
	}
}

// left closes the session that a browser had before it was given another one.
func (s *sessions) left(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(value)))
}

// endAll closes the sessions of an account.
func (s *sessions) endAll(account model.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, open := range s.all {
		if open.account == account {
			delete(s.all, id)
		}
	}
}

// prove notes that it was shown once more who sits there.
func (s *sessions) prove(of *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of.proved = s.now()
}

// takeOver gives a session the proof of the one whose place it takes.
func (s *sessions) takeOver(next, of *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next.proved = of.proved
}

// proven tells whether that was shown a short while ago.
func (s *sessions) proven(of *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().Sub(of.proved) < proofLife
}

// setPending remembers the secret of an authenticator.
func (s *sessions) setPending(of *session, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of.pending = secret
}

func (s *sessions) pendingOf(of *session) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return of.pending
}

// cookie is how a session's value is handed out; an empty one takes it away.
func cookie(value string) string {
	c := http.Cookie{
		Name: SessionCookie, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c.String()
}
