package trust

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// seenSchema is the version of the format of Seen.
const seenSchema = 1

// Seen is the newest metadata that a machine has verified, as they were signed.
// Nothing in it is believed without its signatures.
type Seen struct {
	Schema int `json:"schema"`
	// Roots are the chain from the program's own root on.
	Roots     [][]byte `json:"roots"`
	Timestamp []byte   `json:"timestamp"`
	Snapshot  []byte   `json:"snapshot"`
	Targets   []byte   `json:"targets"`
}

// ParseSeen reads what Marshal wrote.
func ParseSeen(data []byte) (*Seen, error) {
	var s Seen
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read the metadata seen before: %w", err)
	}
	if s.Schema != seenSchema {
		return nil, fmt.Errorf("read the metadata seen before: schema is %d, not %d", s.Schema, seenSchema)
	}
	return &s, nil
}

// Marshal writes the same bytes for the same metadata.
func (s *Seen) Marshal() ([]byte, error) {
	s.Schema = seenSchema
	text, err := json.Marshal(s)
	return append(text, '\n'), err
}

// Later is whichever of two encoded Seens a machine should go on with: before, or
// what was verified now. The former stays only where it is newer and of the same
// vendor, which can be when two programs verified at once. A newer root goes before
// a higher timestamp: whoever stole the key of that could number it as he liked, and
// the root that took the key away must not be forgotten for it.
func Later(before, now []byte) []byte {
	a, errA := ParseSeen(before)
	b, errB := ParseSeen(now)
	switch {
	case errB != nil:
		return before
	case errA != nil || !sharesRoot(a, b):
		return now
	case cmp.Or(cmp.Compare(a.root(), b.root()), cmp.Compare(a.version(), b.version())) > 0:
		return before
	}
	return now
}

func sharesRoot(a, b *Seen) bool {
	for _, x := range a.Roots {
		for _, y := range b.Roots {
			if bytes.Equal(x, y) {
				return true
			}
		}
	}
	return false
}

// root is the version of the newest root.
func (s *Seen) root() int64 {
	newest := int64(-1)
	for _, raw := range s.Roots {
		if r, err := metadata.Root().FromBytes(raw); err == nil {
			newest = max(newest, r.Signed.Version)
		}
	}
	return newest
}

// version is that of the timestamp; it was verified when it was seen.
func (s *Seen) version() int64 {
	t, err := metadata.Timestamp().FromBytes(s.Timestamp)
	if err != nil {
		return -1
	}
	return t.Signed.Version
}

// WriteTo makes a folder with these metadata, as a bundle carries them.
func (s *Seen) WriteTo(dir string) error {
	files, err := s.files()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// files are the metadata by the names that a Source has for them.
func (s *Seen) files() (map[string][]byte, error) {
	snap, err := metadata.Snapshot().FromBytes(s.Snapshot)
	if err != nil {
		return nil, err
	}
	targets, err := metadata.Targets().FromBytes(s.Targets)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"timestamp.json": s.Timestamp,
		fmt.Sprintf("%d.snapshot.json", snap.Signed.Version):   s.Snapshot,
		fmt.Sprintf("%d.targets.json", targets.Signed.Version): s.Targets,
	}
	for _, raw := range s.Roots {
		r, err := metadata.Root().FromBytes(raw)
		if err != nil {
			return nil, err
		}
		files[fmt.Sprintf("%d.root.json", r.Signed.Version)] = raw
	}
	return files, nil
}
