package crypt

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/crypto/argon2"
)

// Key is the key of a VFS, or the master key of a node that wraps it. It prints as its
// name only.
type Key struct {
	id     id
	secret [keySize]byte
}

// NewKey makes a random key.
func NewKey() (Key, error) {
	var k Key
	if _, err := rand.Read(k.id[:]); err != nil {
		return k, err
	}
	_, err := rand.Read(k.secret[:])
	return k, err
}

// KeyFrom is a key that is kept elsewhere: its ID and its 32 bytes.
func KeyFrom(name string, secret []byte) (Key, error) {
	var k Key
	raw, err := hex.DecodeString(name)
	if err != nil || len(raw) != idSize || len(secret) != keySize {
		return k, fmt.Errorf("key %q is not %d bytes with a name of %d", name, keySize, idSize)
	}
	copy(k.id[:], raw)
	copy(k.secret[:], secret)
	return k, nil
}

// ID names the key, in hexadecimal.
func (k Key) ID() string { return k.id.String() }

// Secret is the key itself, for who keeps it.
func (k Key) Secret() []byte { return k.secret[:] }

// String is the ID, so that a key in a log is no secret.
func (k Key) String() string { return "key " + k.ID() }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// What can be wrong with a wrapped key.
var (
	// ErrPassphrase: the passphrase does not unwrap the key.
	ErrPassphrase = errors.New("wrong passphrase for the VFS's key")
	// ErrNeedsPassphrase: the key is wrapped by a passphrase, and none was given.
	ErrNeedsPassphrase = errors.New("the VFS's key needs its passphrase")
	// ErrShortPassphrase: a new key is to be wrapped by a passphrase that can be guessed.
	ErrShortPassphrase = fmt.Errorf("passphrase has fewer than %d characters", MinPassphrase)
	// ErrMaster: the master key that wraps it is not the one that was given.
	ErrMaster = errors.New("the VFS's key is wrapped by another master key")
	// ErrKeyDamaged: the file is no wrapped key, or was changed.
	ErrKeyDamaged = errors.New("file of the VFS's key is damaged")
)

// Wrapped is the key of a VFS as it lies on a disk: in the key ring and at the root of
// the VFS. docs/formats.md has it field by field.
type Wrapped struct {
	Format  string     `json:"format"`
	Version int        `json:"version"`
	ID      string     `json:"id"`
	Master  string     `json:"master,omitempty"`   // wrapped by the master key of this name
	Argon2  *argonCost `json:"argon2id,omitempty"` // wrapped by a passphrase
	Sealed  []byte     `json:"sealed"`
}

// argonCost are the parameters of argon2id.
type argonCost struct {
	Salt    []byte `json:"salt"`
	Time    uint32 `json:"time"`
	Memory  uint32 `json:"memory_kib"`
	Threads uint8  `json:"threads"`
}

const (
	wrappedFormat = "ss-server-vfs-key"
	// MinPassphrase is the shortest passphrase, in bytes: whoever has the disk can try
	// as many as time allows.
	MinPassphrase = 10
	maxMemory     = 1 << 20 // KiB; a file that asks for more is an attack on us
	maxTime       = 16
	maxThreads    = 16
)

// passphraseCost is what a new key takes to unwrap, once at start: the second choice of
// RFC 9106, since a server has other uses for 2 GiB.
func passphraseCost(salt []byte) argonCost {
	return argonCost{Salt: salt, Time: 3, Memory: 64 << 10, Threads: 4}
}

// WrapByMaster wraps key for the node that has master.
func WrapByMaster(key, master Key) (Wrapped, error) {
	w := Wrapped{Format: wrappedFormat, Version: 1, ID: key.ID(), Master: master.ID()}
	return w, w.sealUnder(master.secret[:], key)
}

// WrapByPassphrase wraps key so that the passphrase unwraps it on any node.
func WrapByPassphrase(key Key, passphrase string) (Wrapped, error) {
	if len(passphrase) < MinPassphrase {
		return Wrapped{}, ErrShortPassphrase
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return Wrapped{}, err
	}
	cost := passphraseCost(salt)
	w := Wrapped{Format: wrappedFormat, Version: 1, ID: key.ID(), Argon2: &cost}
	return w, w.sealUnder(cost.key(passphrase), key)
}

func (c argonCost) key(passphrase string) []byte {
	return argon2.IDKey([]byte(passphrase), c.Salt, c.Time, c.Memory, c.Threads, keySize)
}

func (w *Wrapped) sealUnder(secret []byte, key Key) error {
	a, err := newAEAD(secret)
	if err != nil {
		return err
	}
	w.Sealed = a.Seal(nil, nil, key.secret[:], w.bound())
	return nil
}

// bound is what the seal binds the key to: all other fields.
func (w *Wrapped) bound() []byte {
	out := wrappedFormat + "\n" + strconv.Itoa(w.Version) + "\n" + w.ID + "\n"
	if c := w.Argon2; c != nil {
		return fmt.Appendf(nil, "%sargon2id\n%x\n%d\n%d\n%d\n", out, c.Salt, c.Time, c.Memory, c.Threads)
	}
	return []byte(out + "master\n" + w.Master + "\n")
}

// ParseWrapped reads what Encode wrote. ErrKeyDamaged if it did not.
func ParseWrapped(raw []byte) (Wrapped, error) {
	var w Wrapped
	if err := json.Unmarshal(raw, &w); err != nil {
		return w, fmt.Errorf("%w: %w", ErrKeyDamaged, err)
	}
	switch {
	case w.Format != wrappedFormat:
		return w, fmt.Errorf("%w: it is no key of a VFS", ErrKeyDamaged)
	case w.Version != 1:
		return w, fmt.Errorf("key of a VFS in version %d, which this release does not read", w.Version)
	case len(w.Sealed) != keySize+overhead || (w.Argon2 == nil) == (w.Master == ""):
		return w, ErrKeyDamaged
	}
	if c := w.Argon2; c != nil && (len(c.Salt) < 8 || len(c.Salt) > 64 || c.Time < 1 || c.Time > maxTime ||
		c.Memory < 8 || c.Memory > maxMemory || c.Threads < 1 || c.Threads > maxThreads) {
		return w, fmt.Errorf("%w: its argon2id parameters are out of bounds", ErrKeyDamaged)
	}
	return w, nil
}

// Encode is the file of the wrapped key.
func (w Wrapped) Encode() ([]byte, error) {
	raw, err := json.MarshalIndent(w, "", "  ")
	return append(raw, '\n'), err
}

// NeedsPassphrase says whether Unwrap asks for a passphrase rather than a master key.
func (w Wrapped) NeedsPassphrase() bool { return w.Argon2 != nil }

// UnwrapByMaster gives the key. masters are the node's, in any order.
func (w Wrapped) UnwrapByMaster(masters ...Key) (Key, error) {
	if w.NeedsPassphrase() {
		return Key{}, ErrNeedsPassphrase
	}
	for _, m := range masters {
		if m.ID() != w.Master {
			continue
		}
		key, ok, err := w.unwrap(m.secret[:])
		if err == nil && !ok {
			err = ErrKeyDamaged
		}
		return key, err
	}
	return Key{}, fmt.Errorf("%w: %s; restore it into the key ring from a backup", ErrMaster, w.Master)
}

// UnwrapByPassphrase gives the key. ErrPassphrase where the passphrase is wrong.
func (w Wrapped) UnwrapByPassphrase(passphrase string) (Key, error) {
	if !w.NeedsPassphrase() {
		return Key{}, fmt.Errorf("the VFS's key is wrapped by master key %s, not by a passphrase", w.Master)
	}
	key, ok, err := w.unwrap(w.Argon2.key(passphrase))
	if err == nil && !ok {
		err = ErrPassphrase
	}
	return key, err
}

func (w *Wrapped) unwrap(secret []byte) (key Key, ok bool, err error) {
	a, err := newAEAD(secret)
	if err != nil {
		return Key{}, false, err
	}
	plain, err := a.Open(nil, nil, w.Sealed, w.bound())
	if err != nil {
		return Key{}, false, nil //nolint:nilerr // the caller says what a wrong key means
	}
	key, err = KeyFrom(w.ID, plain)
	return key, err == nil, err
}
