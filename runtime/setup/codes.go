package setup

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// CodeLife is how long a setup code is valid, SessionLife how long the session that it
// opened.
const (
	CodeLife    = 5 * time.Minute
	SessionLife = 30 * time.Minute
)

// Bucket is where the hash of the valid code lies; the server's first schema has it.
const Bucket = "setup"

var codeKey = []byte("code")

// ErrInvalid: the code is wrong, used or expired. Which one is nobody's business.
var ErrInvalid = errors.New("invalid setup code")

// TooManyError: the caller has to wait before the next attempt is looked at.
type TooManyError struct{ Wait time.Duration }

func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many attempts; wait %d s", int(e.Wait.Seconds()))
}

// Store is what the package needs of the server's store.
type Store interface {
	View(func(*bbolt.Tx) error) error
	Update(func(*bbolt.Tx) error) error
}

// Code is a setup code as its maker gets to see it, once.
type Code struct {
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
}

// Session is what a setup code opened.
type Session struct {
	Token   string
	Expires time.Time
}

// Codes makes and redeems setup codes. Time and randomness come from outside.
type Codes struct {
	store Store
	rand  io.Reader
	now   func() time.Time

	mu      sync.Mutex
	limit   limiter
	session struct {
		sum     [sha256.Size]byte
		expires time.Time
	}
}

// New works on the given store.
func New(store Store, rand io.Reader, now func() time.Time) *Codes {
	return &Codes{store: store, rand: rand, now: now}
}

// record is how the store keeps a code.
type record struct {
	Salt    []byte    `json:"salt"`
	Hash    []byte    `json:"hash"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
}

// validAt also refuses a code from the future: a clock that was set back must not
// lengthen its life.
func (r record) validAt(now time.Time) bool {
	return !now.Before(r.Made) && now.Before(r.Expires)
}

// Make makes a new code; the one before is no longer valid. On a node that is set up
// there is none: ErrDone.
func (c *Codes) Make() (Code, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	code, err := newCode(c.rand)
	if err != nil {
		return Code{}, err
	}
	r := record{Salt: make([]byte, saltLen), Made: c.now().UTC().Truncate(time.Second)}
	r.Expires = r.Made.Add(CodeLife)
	if _, err := io.ReadFull(c.rand, r.Salt); err != nil {
		return Code{}, fmt.Errorf("draw a salt for the setup code: %w", err)
	}
	if r.Hash, err = hash(code, r.Salt); err != nil {
		return Code{}, fmt.Errorf("hash the setup code: %w", err)
	}
	err = c.store.Update(func(tx *bbolt.Tx) error {
		if done(tx) {
			return ErrDone
		}
		bucket, err := bucketOf(tx)
		if err != nil {
			return err
		}
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		return bucket.Put(codeKey, text)
	})
	if errors.Is(err, ErrDone) {
		return Code{}, err
	}
	if err != nil {
		return Code{}, fmt.Errorf("store the setup code: %w", err)
	}
	return Code{Code: show(code), Expires: r.Expires}, nil
}

// Redeem turns the valid code into a session; the code is used up by it, and a session
// opened before ends. from is the address of who tries. It refuses with ErrInvalid or
// *TooManyError.
func (c *Codes) Redeem(typed string, from netip.Addr) (Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if wait := c.limit.take(from, now); wait > 0 {
		return Session{}, &TooManyError{wait}
	}
	code, ok := clean(typed)
	if !ok {
		return Session{}, ErrInvalid
	}
	r, ok, err := c.load()
	if err != nil {
		return Session{}, err
	}
	if !ok || !r.validAt(now) {
		return Session{}, ErrInvalid
	}
	sum, err := hash(code, r.Salt)
	if err != nil {
		return Session{}, fmt.Errorf("hash the setup code: %w", err)
	}
	if subtle.ConstantTimeCompare(sum, r.Hash) != 1 {
		return Session{}, ErrInvalid
	}
	return c.begin(now)
}

// begin uses the code up before the session exists: a cut in between costs a new code,
// the other order would leave a code that works twice.
func (c *Codes) begin(now time.Time) (Session, error) {
	token := make([]byte, 32)
	if _, err := io.ReadFull(c.rand, token); err != nil {
		return Session{}, fmt.Errorf("draw a session: %w", err)
	}
	err := c.store.Update(func(tx *bbolt.Tx) error {
		bucket, err := bucketOf(tx)
		if err != nil {
			return err
		}
		return bucket.Delete(codeKey)
	})
	if err != nil {
		return Session{}, fmt.Errorf("use the setup code up: %w", err)
	}
	s := Session{Token: base64.RawURLEncoding.EncodeToString(token), Expires: now.Add(SessionLife)}
	c.session.sum, c.session.expires = sha256.Sum256([]byte(s.Token)), s.Expires
	return s, nil
}

// Session says until when the session with this token lasts; ok is false if there is
// no such session.
func (c *Codes) Session(token string) (expires time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := sha256.Sum256([]byte(token))
	if setUp, err := c.Done(); err != nil || setUp {
		return time.Time{}, false
	}
	if subtle.ConstantTimeCompare(sum[:], c.session.sum[:]) != 1 || !c.now().Before(c.session.expires) {
		return time.Time{}, false
	}
	return c.session.expires, true
}

// Done tells whether the node is set up. No code and no session of before counts then.
func (c *Codes) Done() (setUp bool, err error) {
	err = c.store.View(func(tx *bbolt.Tx) error {
		setUp = done(tx)
		return nil
	})
	return setUp, err
}

// done tells that somebody rules the node.
func done(tx *bbolt.Tx) bool { return engine.Count(tx, model.KindSuperAdmin) > 0 }

func (c *Codes) load() (r record, ok bool, err error) {
	err = c.store.View(func(tx *bbolt.Tx) error {
		bucket, err := bucketOf(tx)
		if err != nil {
			return err
		}
		text := bucket.Get(codeKey)
		if text == nil || done(tx) {
			return nil
		}
		ok = true
		return json.Unmarshal(text, &r)
	})
	if err != nil {
		return record{}, false, fmt.Errorf("read the setup code: %w", err)
	}
	return r, ok, nil
}

func bucketOf(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	if b := tx.Bucket([]byte(Bucket)); b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("the store has no bucket %q; run ss-setup install --repair", Bucket)
}
