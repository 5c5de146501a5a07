package trust

import (
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

// Later is whichever of two encoded Seens is the newer one, b when both are. What
// cannot be read is older than anything.
func Later(a, b []byte) []byte {
	if number(a) > number(b) {
		return a
	}
	return b
}

// number is the version of the timestamp in an encoded Seen.
func number(encoded []byte) int64 {
	s, err := ParseSeen(encoded)
	if err != nil {
		return -1
	}
	t, err := metadata.Timestamp().FromBytes(s.Timestamp)
	if err != nil {
		return -1
	}
	return t.Signed.Version
}
