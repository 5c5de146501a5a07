package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"ss-setup/installer/step"
)

// Proposal is a plan with what must be said and asked about it.
type Proposal struct {
	Plan step.Plan
	// Action is fresh, adopt, update, rebuild, repair, force, same, uninstall,
	// purge, rollback or forget.
	Action string
	// Summary is one sentence.
	Summary string
	// Nothing: there is nothing to do.
	Nothing bool
	// Notes are told before the run.
	Notes []string
	// Confirm must be answered with yes; unattended runs need --yes.
	Confirm []Question
	// From and To are versions; Generation and Previous their generations.
	From, To             string
	Generation, Previous int
	// GoBack is the command that goes back, if there is one.
	GoBack string
}

// CheckLink refuses to go on from a machine whose link to the generation in force
// is gone: it would be taken for an empty one.
func (s *Situation) CheckLink() error {
	if s.Lost == 0 {
		return nil
	}
	damage, cure := s.LostLink()
	return fmt.Errorf("%w: %s; put it back with: %s, then run ss-setup install --repair", ErrDamaged, damage, cure)
}

// Question asks for a yes.
type Question struct {
	Text    string `json:"text"`
	Explain string `json:"explain"`
}

// Meta is what recovery needs to know and no step says.
type Meta struct {
	Action  string  `json:"action"`
	Summary string  `json:"summary"`
	From    string  `json:"from,omitempty"`
	To      string  `json:"to,omitempty"`
	Release string  `json:"release,omitempty"`
	Options Options `json:"options"`
}

func (p *Proposal) seal(o Options, release string) (*Proposal, error) {
	meta, err := json.Marshal(Meta{Action: p.Action, Summary: p.Summary, From: p.From, To: p.To, Release: release, Options: o})
	if err != nil {
		return nil, err
	}
	p.Plan.Meta = meta
	return p, nil
}

// numberKeys are the fields of steps that hold generations' numbers.
var numberKeys = []string{"generation", "from_generation", "kept_generation", "generations"}

// repairSuffix ends the name of a release folder that a repair made.
var repairSuffix = regexp.MustCompile(`\+r\d+`)

// Hash is the SHA-256 of the plan in hexadecimal: the same for the same machine
// and options. Numbers of generations are left out of it.
func (p *Proposal) Hash() (string, error) {
	type kindArgs struct {
		Kind string `json:"kind"`
		Args any    `json:"args"`
	}
	var steps []kindArgs
	for _, s := range p.Plan.Steps {
		encoded, err := json.Marshal(s)
		if err != nil {
			return "", fmt.Errorf("encode step %s: %w", s.Kind(), err)
		}
		var args map[string]any
		if err := json.Unmarshal(encoded, &args); err != nil {
			return "", fmt.Errorf("encode step %s: %w", s.Kind(), err)
		}
		for k := range args {
			if slices.Contains(numberKeys, k) {
				delete(args, k)
			}
		}
		steps = append(steps, kindArgs{s.Kind(), args})
	}
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(map[string]any{"verb": p.Plan.Verb, "steps": steps}); err != nil {
		return "", err
	}
	plain := numberedPath.ReplaceAll(repairSuffix.ReplaceAll(out.Bytes(), nil), []byte(`$1/N"`))
	sum := sha256.Sum256(plain)
	return hex.EncodeToString(sum[:]), nil
}
