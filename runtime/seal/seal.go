// Package seal encrypts the short secrets of the store (TOTP secrets, LDAP passwords,
// private keys) with a key made from the node's master key.
//
// A sealed text names the master key, so that a newer one leaves old texts readable, and
// is bound to the place that it is kept in: moved elsewhere it does not open.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"

	"ss-setup/runtime/vfs/crypt"
)

// Keys are the master keys of the node.
type Keys interface {
	// Master is the newest one, made when there is none.
	Master() (crypt.Key, error)
	// Masters are all, the newest first.
	Masters() ([]crypt.Key, error)
}

var (
	// ErrNoKey: the master key that sealed the text is not in the key ring.
	ErrNoKey = errors.New("the master key is missing")
	// ErrSealed: the text was changed, or belongs to another place.
	ErrSealed = errors.New("the secret cannot be opened")
)

// purpose keeps the key apart from those that the master key wraps.
const purpose = "ss-server-store-secret"

// Box seals and opens. Its methods may be called at once.
type Box struct {
	keys Keys

	mu     sync.Mutex
	newest string
	boxes  map[string]cipher.AEAD
}

// New uses the keys; none is read before it is needed.
func New(keys Keys) *Box { return &Box{keys: keys, boxes: map[string]cipher.AEAD{}} }

// Seal encrypts a text for a place: Open needs the same place.
func (b *Box) Seal(text, place string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.newest == "" {
		master, err := b.keys.Master()
		if err != nil {
			return "", err
		}
		if err := b.add(master); err != nil {
			return "", err
		}
		b.newest = master.ID()
	}
	return b.newest + ":" + base64.RawStdEncoding.EncodeToString(b.boxes[b.newest].Seal(nil, nil, []byte(text), []byte(place))), nil
}

// Open decrypts what Seal made for the place. It refuses with ErrNoKey and ErrSealed.
func (b *Box) Open(sealed, place string) (string, error) {
	id, data, _ := strings.Cut(sealed, ":")
	content, err := base64.RawStdEncoding.DecodeString(data)
	if err != nil {
		return "", fmt.Errorf("%w: it is not what was sealed; set it again", ErrSealed)
	}
	box, err := b.box(id)
	if err != nil {
		return "", err
	}
	text, err := box.Open(nil, nil, content, []byte(place))
	if err != nil {
		return "", fmt.Errorf("%w: it was changed, or belongs to another place than %s; set it again", ErrSealed, place)
	}
	return string(text), nil
}

func (b *Box) box(id string) (cipher.AEAD, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if box, ok := b.boxes[id]; ok {
		return box, nil
	}
	masters, err := b.keys.Masters()
	if err != nil {
		return nil, err
	}
	for _, master := range masters {
		if err := b.add(master); err != nil {
			return nil, err
		}
	}
	if box, ok := b.boxes[id]; ok {
		return box, nil
	}
	return nil, fmt.Errorf("%w: the key ring has none of the name %q; bring the key ring back from a backup", ErrNoKey, id)
}

// add makes the box of a master key: AES-256-GCM with a nonce drawn for each text.
func (b *Box) add(master crypt.Key) error {
	key, err := hkdf.Key(sha256.New, master.Secret(), nil, purpose, 32)
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	box, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	b.boxes[master.ID()] = box
	return nil
}
