package trust

import (
	"bytes"
	"encoding/json"
	"fmt"

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
// vendor, which can be when two programs verified at once.
func Later(before, now []byte) []byte {
	a, errA := ParseSeen(before)
	b, errB := ParseSeen(now)
	switch {
	case errB != nil:
		return before
	case errA != nil || !sharesRoot(a, b):
		return now
	case a.version() > b.version():
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

// version is that of the timestamp; it was verified when it was seen.
func (s *Seen) version() int64 {
	t, err := metadata.Timestamp().FromBytes(s.Timestamp)
	if err != nil {
		return -1
	}
	return t.Signed.Version
}
