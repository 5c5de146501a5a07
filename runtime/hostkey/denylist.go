package hostkey

import (
	"bufio"
	"bytes"
	"crypto/md5"  // the lists name keys by it
	"crypto/sha1" // likewise
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Denylist is fingerprints of keys that others have the private half of. Nobody ships
// Debian's by now, and neither does this package: 2 MB for keys that are eighteen years
// old. It reads the lists where Debian's packages put them, and those that an operator
// puts beside the configuration. A nil list is empty.
type Denylist struct {
	entries []entry
	names   []string
}

// entry is the end of a fingerprint, whichever its hash, and which list it is on. Ten bytes
// are what Debian published, and enough: a key that is on none of the lists looks like one
// in 2^62 times.
type entry struct {
	tail [tailSize]byte
	list uint16
}

const tailSize = 10

// maxListed bounds a list: 96 MiB of memory. Debian's have 300,000 lines in all.
const maxListed = 8 << 20

// KnownKeysFolder is the folder beside the configuration that operators put lists into.
const KnownKeysFolder = "known-keys"

// DenylistFiles are the lists that there are: those of Debian's openssh-blacklist and
// openssl-blacklist, and those of the operator in a folder beside the configuration file.
func DenylistFiles(configuration string) ([]string, error) {
	var out []string
	for _, place := range []string{
		"/usr/share/ssh/blacklist.*", "/etc/ssh/blacklist.*", "/usr/share/openssl-blacklist/blacklist.*",
		filepath.Join(filepath.Dir(configuration), KnownKeysFolder, "*"),
	} {
		files, err := filepath.Glob(place)
		if err != nil {
			return nil, fmt.Errorf("look for lists of known keys at %s: %w", place, err)
		}
		out = append(out, files...)
	}
	return out, nil
}

// LoadDenylist reads the lists in the files.
func LoadDenylist(files ...string) (*Denylist, error) {
	list := &Denylist{}
	for _, file := range files {
		if err := list.load(file); err != nil {
			return nil, err
		}
	}
	list.sort()
	return list, nil
}

func (l *Denylist) load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read the list of known keys: %w", err)
	}
	defer f.Close()
	if err := l.read(file, f); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// ReadDenylist reads a list, a line for each key; # begins a comment. A key is named as
// Debian's openssh-blacklist does (the last 20 hex digits of the MD5 of the public key), as
// openssl-blacklist does (the last 20 of the SHA-1 of what openssl rsa -modulus prints), by
// a whole MD5 or SHA-256 fingerprint as ssh-keygen shows it, or is there itself, as in a
// .pub file. name is what the list is called in verdicts.
func ReadDenylist(name string, r io.Reader) (*Denylist, error) {
	list := &Denylist{}
	err := list.read(name, r)
	list.sort()
	return list, err
}

func (l *Denylist) read(name string, r io.Reader) error {
	l.names = append(l.names, name)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		tail, ok := readTail(text)
		if !ok {
			return fmt.Errorf("line %d is neither the fingerprint of a key nor a public key; give a list as of openssh-blacklist", n)
		}
		if len(l.entries) == maxListed {
			return fmt.Errorf("line %d: there are more than %d keys on the lists", n, maxListed)
		}
		l.entries = append(l.entries, entry{tail, uint16(len(l.names) - 1)})
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the list of known keys: %w", err)
	}
	return nil
}

// readTail reads how a line names a key.
func readTail(text string) (tail [tailSize]byte, ok bool) {
	if sum, is := strings.CutPrefix(text, "SHA256:"); is {
		raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(sum, "="))
		return cutTail(raw), err == nil && len(raw) == sha256.Size
	}
	digits := strings.ReplaceAll(strings.TrimPrefix(text, "MD5:"), ":", "")
	if raw, err := hex.DecodeString(digits); err == nil {
		return cutTail(raw), slices.Contains([]int{tailSize, md5.Size, sha1.Size}, len(raw))
	}
	k, err := Parse([]byte(text), "")
	if err != nil || k.public == nil {
		return tail, false
	}
	return k.tails()[0], true
}

func cutTail(sum []byte) (tail [tailSize]byte) {
	if len(sum) >= tailSize {
		copy(tail[:], sum[len(sum)-tailSize:])
	}
	return tail
}

// tails are the ends of all fingerprints that a list may name the key by.
func (k *Key) tails() [][tailSize]byte {
	blob := k.public.Marshal()
	byMD5, bySHA256 := md5.Sum(blob), sha256.Sum256(blob)
	tails := [][tailSize]byte{cutTail(byMD5[:]), cutTail(bySHA256[:])}
	if k.rsa != nil {
		modulus := sha1.Sum(fmt.Appendf(nil, "Modulus=%X\n", k.rsa.N))
		tails = append(tails, cutTail(modulus[:]))
	}
	return tails
}

func (l *Denylist) sort() {
	slices.SortFunc(l.entries, func(a, b entry) int { return bytes.Compare(a.tail[:], b.tail[:]) })
}

// Find tells which list the key is on.
func (l *Denylist) Find(k *Key) (list string, listed bool) {
	if l == nil || k.public == nil {
		return "", false
	}
	for _, tail := range k.tails() {
		at, found := slices.BinarySearchFunc(l.entries, tail, func(e entry, tail [tailSize]byte) int {
			return bytes.Compare(e.tail[:], tail[:])
		})
		if found {
			return l.names[l.entries[at].list], true
		}
	}
	return "", false
}

// Len is how many keys are on the list.
func (l *Denylist) Len() int {
	if l == nil {
		return 0
	}
	return len(l.entries)
}

// Lists names what the keys were read from.
func (l *Denylist) Lists() []string {
	if l == nil {
		return nil
	}
	return l.names
}
