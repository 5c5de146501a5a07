package hostkey

import (
	"bufio"
	"crypto/md5" // the lists name keys by it
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Denylist is fingerprints of keys that others have the private half of. A nil list is
// empty.
type Denylist struct{ tails map[[10]byte]struct{} }

// ReadDenylist reads a list as Debian published them (openssh-blacklist): a line for each
// key, the last 20 hex digits of the MD5 of the public key; # begins a comment. Whole
// MD5 fingerprints are taken as well.
func ReadDenylist(r io.Reader) (*Denylist, error) {
	list := &Denylist{tails: map[[10]byte]struct{}{}}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		text = strings.ReplaceAll(strings.TrimSpace(text), ":", "")
		if text == "" {
			continue
		}
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != 10 && len(raw) != md5.Size {
			return nil, fmt.Errorf("line %d is not the fingerprint of a key; give a list as of openssh-blacklist", n)
		}
		list.tails[[10]byte(raw[len(raw)-10:])] = struct{}{}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the list of known keys: %w", err)
	}
	return list, nil
}

// Has tells whether the key is on the list.
func (l *Denylist) Has(k *Key) bool {
	if l == nil || k.public == nil {
		return false
	}
	sum := md5.Sum(k.public.Marshal())
	_, listed := l.tails[[10]byte(sum[6:])]
	return listed
}

// Len is how many keys are on the list.
func (l *Denylist) Len() int {
	if l == nil {
		return 0
	}
	return len(l.tails)
}
