package txn

import (
	"context"
	"encoding/json"
	"fmt"
)

// Step is one change of a machine M. A step is a value that encodes to JSON and
// says what to change, nothing else; the machine is handed in.
type Step[M any] interface {
	// Kind names the step's type in plans and journals, for ever.
	Kind() string
	// String is the step's sentence, for people.
	String() string
	// Prepare looks at the machine and returns what Undo will need. It may save
	// pre-images in the transaction's folder, synced, and changes nothing else.
	Prepare(ctx context.Context, m M) (undo any, err error)
	// Do makes the change durable before it returns. It is safe to run again
	// after being cut anywhere.
	Do(ctx context.Context, m M) error
	// Undo puts back what Prepare saw, durably. It is right whether Do ran not
	// at all, in part or whole, and safe to run again after being cut anywhere.
	Undo(ctx context.Context, m M, undo json.RawMessage) error
}

// Committer is a commit step whose effect can be read from the machine. A commit
// step without it counts as committed once its done record is synced.
type Committer[M any] interface {
	Committed(ctx context.Context, m M) (bool, error)
}

// Gater is a gate step that can tell from the machine whether it has passed.
// Without having passed, recovery only goes back.
type Gater[M any] interface {
	Passed(ctx context.Context, m M) (bool, error)
}

// Transient is a step whose effect does not outlast a boot or another program's
// doing, such as a service that is stopped. A recovery that goes forward does it
// again even when it is marked done.
type Transient interface{ Transient() }

// Held is a step before the gate whose effect dies with the process, as a lock
// does. A recovery that goes forward does it again first, and goes back if it cannot.
type Held interface{ Held() }

// Plan is an ordered list of steps: what is printed, run, undone and kept.
type Plan[M any] struct {
	Verb  string
	Steps []Step[M]
	// Gate is the index of the step that makes the new state the one in force;
	// once it has passed, recovery tries to go forward.
	Gate int
	// Commit is the index of the step after which there is no way back.
	Commit int
	// Meta is the product's own: kept in the journal, not looked at.
	Meta json.RawMessage
}

type planJSON struct {
	Verb   string          `json:"verb"`
	Gate   int             `json:"gate"`
	Commit int             `json:"commit"`
	Meta   json.RawMessage `json:"meta,omitempty"`
	Steps  []stepJSON      `json:"steps"`
}

type stepJSON struct {
	Kind string          `json:"kind"`
	Text string          `json:"text"`
	Args json.RawMessage `json:"args"`
}

// MarshalJSON writes the plan with each step's kind, sentence and arguments.
func (p Plan[M]) MarshalJSON() ([]byte, error) {
	out := planJSON{Verb: p.Verb, Gate: p.Gate, Commit: p.Commit, Meta: p.Meta, Steps: []stepJSON{}}
	for _, s := range p.Steps {
		args, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("encode step %s: %w", s.Kind(), err)
		}
		out.Steps = append(out.Steps, stepJSON{Kind: s.Kind(), Text: s.String(), Args: args})
	}
	return json.Marshal(out)
}

// Kinds makes an empty step for each kind, to be decoded into.
type Kinds[M any] map[string]func() Step[M]

// Decode reads a plan that MarshalJSON wrote. A kind that is not known means
// that another version wrote it.
func (k Kinds[M]) Decode(data []byte) (Plan[M], error) {
	var in planJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return Plan[M]{}, fmt.Errorf("read plan: %w", err)
	}
	p := Plan[M]{Verb: in.Verb, Gate: in.Gate, Commit: in.Commit, Meta: in.Meta}
	for i, s := range in.Steps {
		make, ok := k[s.Kind]
		if !ok {
			return Plan[M]{}, fmt.Errorf("read plan: step %d is of kind %q, which this version does not know", i, s.Kind)
		}
		step := make()
		if err := json.Unmarshal(s.Args, step); err != nil {
			return Plan[M]{}, fmt.Errorf("read plan: step %d (%s): %w", i, s.Kind, err)
		}
		p.Steps = append(p.Steps, step)
	}
	if p.Gate < 0 || p.Commit < p.Gate || p.Commit >= len(p.Steps) {
		return Plan[M]{}, fmt.Errorf("read plan: gate %d and commit %d do not fit %d steps", p.Gate, p.Commit, len(p.Steps))
	}
	return p, nil
}
