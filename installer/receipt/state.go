package receipt

import (
	"encoding/json"
	"fmt"
	"time"
)

// StateSchema is the version of the state file's format.
const StateSchema = 1

// State is state.json: what became of the generations. Which one is in use is
// not in it: the link current says that, and nothing else.
type State struct {
	Schema int `json:"schema"`
	// NextGeneration is the number that the next generation gets. It only grows,
	// so that no number is ever used again.
	NextGeneration int                `json:"next_generation"`
	Installed      bool               `json:"installed"`
	Generations    map[int]Generation `json:"generations"`
	FailedReleases []FailedRelease    `json:"failed_releases"`
	// ForeignAccounts were there before the first install, and stay after a purge.
	ForeignAccounts []string `json:"foreign_accounts,omitempty"`
	// ForeignGroups likewise.
	ForeignGroups []string `json:"foreign_groups,omitempty"`
	// ForeignFolders likewise, as they were.
	ForeignFolders []Folder `json:"foreign_folders,omitempty"`
	// Moved tells that another machine took the place of this one; nil if none did.
	Moved *Moved `json:"moved,omitempty"`
	// KeptData is the generation whose data an uninstall left; 0 for none. In the
	// file it is an object, so that more can be said of it one day.
	KeptData int `json:"-"`
}

// stateFile is a State as it is written.
type stateFile struct {
	State
	Kept *keptData `json:"kept_data,omitempty"`
}

// Moved is when a machine gave its place to another, and how it was before.
type Moved struct {
	At time.Time `json:"at"`
	// Folder is where what moves was put.
	Folder string `json:"folder"`
	// Services say how the services started, and whether they ran; the words of package
	// step.
	Services json.RawMessage `json:"services"`
}

// Folder is a folder by its attributes.
type Folder struct {
	Path string `json:"path"`
	// Mode is a Go FileMode without its type.
	Mode uint32 `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
}

type keptData struct {
	Generation int `json:"generation"`
}

// Generation tells which verb took one out of use, and when. The one in use has
// no entry in State.Generations.
type Generation struct {
	EndedBy string     `json:"ended_by,omitempty"`
	EndedAt *time.Time `json:"ended_at,omitempty"`
}

// FailedRelease is a release that did not get healthy on this machine. Trying it
// again needs an explicit word.
type FailedRelease struct {
	Release string    `json:"release"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
}

// NewState is the state of a machine on which nothing was ever installed.
func NewState() State {
	return State{Schema: StateSchema, NextGeneration: 1, Generations: map[int]Generation{}, FailedReleases: []FailedRelease{}}
}

// ParseState reads a state file, as Parse reads a receipt.
func ParseState(data []byte) (State, error) {
	if err := checkSchema("state file", data, StateSchema); err != nil {
		return State{}, err
	}
	var file stateFile
	if err := json.Unmarshal(data, &file); err != nil {
		return State{}, invalidf("state file", "%w", err)
	}
	s := file.State
	if file.Kept != nil {
		if file.Kept.Generation < 1 {
			return State{}, invalidf("state file", "kept_data names generation %d", file.Kept.Generation)
		}
		s.KeptData = file.Kept.Generation
	}
	if err := s.check(); err != nil {
		return State{}, invalidf("state file", "%w", err)
	}
	if s.Generations == nil {
		s.Generations = map[int]Generation{}
	}
	return s, nil
}

// Marshal writes the state as Receipt.Marshal writes a receipt: the same bytes
// for the same state, failures in the order in which they happened.
func (s State) Marshal() ([]byte, error) {
	s.Schema = StateSchema
	if s.Generations == nil {
		s.Generations = map[int]Generation{}
	}
	generations := make(map[int]Generation, len(s.Generations))
	for n, g := range s.Generations {
		if g.EndedAt != nil {
			at := seconds(*g.EndedAt)
			g.EndedAt = &at
		}
		generations[n] = g
	}
	s.Generations = generations
	s.FailedReleases = sorted(s.FailedReleases, func(a, b FailedRelease) int { return a.At.Compare(b.At) })
	for i := range s.FailedReleases {
		s.FailedReleases[i].At = seconds(s.FailedReleases[i].At)
	}
	if err := s.check(); err != nil {
		return nil, invalidf("state file", "%w", err)
	}
	file := stateFile{State: s}
	if s.KeptData != 0 {
		file.Kept = &keptData{Generation: s.KeptData}
	}
	return indented("state file", file)
}

// End notes that a generation went out of use.
func (s *State) End(generation int, verb string, at time.Time) {
	if s.Generations == nil {
		s.Generations = map[int]Generation{}
	}
	at = seconds(at)
	s.Generations[generation] = Generation{EndedBy: verb, EndedAt: &at}
}

// Revive notes that a generation is in use, again or for the first time.
func (s *State) Revive(generation int) { delete(s.Generations, generation) }

// Forget drops what is known about a generation that is gone. Its number stays
// used.
func (s *State) Forget(generation int) { delete(s.Generations, generation) }

// Fail notes that a release failed; the last failure of a release is kept.
func (s *State) Fail(release, reason string, at time.Time) {
	s.Forgive(release)
	s.FailedReleases = append(s.FailedReleases, FailedRelease{Release: release, At: seconds(at), Reason: reason})
}

// Failed tells how a release failed here, if it did.
func (s *State) Failed(release string) (FailedRelease, bool) {
	for _, f := range s.FailedReleases {
		if f.Release == release {
			return f, true
		}
	}
	return FailedRelease{}, false
}

// Forgive forgets that a release failed: it has been healthy since.
func (s *State) Forgive(release string) {
	kept := make([]FailedRelease, 0, len(s.FailedReleases))
	for _, f := range s.FailedReleases {
		if f.Release != release {
			kept = append(kept, f)
		}
	}
	s.FailedReleases = kept
}

func (s State) check() error {
	if s.NextGeneration < 1 {
		return fmt.Errorf("next_generation is %d", s.NextGeneration)
	}
	for n := range s.Generations {
		if n < 1 || n >= s.NextGeneration {
			return fmt.Errorf("generation %d is not between 1 and next_generation %d", n, s.NextGeneration)
		}
	}
	if s.KeptData < 0 || s.KeptData >= s.NextGeneration {
		return fmt.Errorf("kept_data names generation %d, next_generation is %d", s.KeptData, s.NextGeneration)
	}
	return nil
}

// seconds is the precision of times in our files.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
