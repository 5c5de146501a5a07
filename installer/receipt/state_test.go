package receipt

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEveryReleasedStateParsesForEver(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "state-*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%d states, error %v", len(names), err)
	}
	for _, name := range names {
		if _, err := ParseState(golden(t, filepath.Base(name))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStateIsReadAndWrittenUnchanged(t *testing.T) {
	raw := golden(t, "state-1.json")
	s, err := ParseState(raw)
	if err != nil {
		t.Fatal(err)
	}
	if s.NextGeneration != 5 || s.Installed || s.KeptData != 3 || s.Generations[1].EndedBy != "update" {
		t.Errorf("state is %+v", s)
	}
	got, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, raw) {
		t.Errorf("written again it is\n%s", got)
	}
}

func TestStateFollowsTheGenerations(t *testing.T) {
	at := time.Date(2026, 11, 21, 1, 2, 3, 4, time.UTC)
	s := NewState()
	s.NextGeneration = 3
	s.End(1, "update", at)
	if g := s.Generations[1]; g.EndedBy != "update" || !g.EndedAt.Equal(at.Truncate(time.Second)) {
		t.Errorf("generation 1 is %+v", g)
	}
	s.Revive(1)
	s.End(2, "rollback", at)
	if _, ended := s.Generations[1]; ended {
		t.Error("generation 1 is in use and has an end")
	}
	s.Forget(2)
	if len(s.Generations) != 0 || s.NextGeneration != 3 {
		t.Errorf("state is %+v", s)
	}
	if _, err := s.Marshal(); err != nil {
		t.Error(err)
	}
}

func TestStateRemembersTheLastFailureOfARelease(t *testing.T) {
	at := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	s := NewState()
	s.Fail("a", "hangs", at)
	s.Fail("b", "exits", at.Add(time.Hour))
	s.Fail("a", "exits", at.Add(2*time.Hour))
	if f, failed := s.Failed("a"); !failed || f.Reason != "exits" || len(s.FailedReleases) != 2 {
		t.Errorf("failures are %+v", s.FailedReleases)
	}
	s.Forgive("a")
	if _, failed := s.Failed("a"); failed {
		t.Error("a is forgiven and failed")
	}
	if _, failed := s.Failed("b"); !failed {
		t.Error("b is forgotten")
	}
}

func TestParseStateRefusesWhatIsNoState(t *testing.T) {
	for _, c := range []struct{ name, old, new, reason string }{
		{"no schema", `"schema": 1,`, ``, "schema is 0"},
		{"no next number", `"next_generation": 5`, `"next_generation": 0`, "next_generation is 0"},
		{"a number to be used again", `"next_generation": 5`, `"next_generation": 3`, "generation 3"},
		{"generation 0", `"1": {`, `"0": {`, "generation 0"},
		{"a generation that is no number", `"1": {`, `"one": {`, "not valid"},
		{"kept data of nothing", `"generation": 3`, `"generation": 0`, "kept_data"},
		{"kept data of the future", `"generation": 3`, `"generation": 9`, "kept_data"},
		{"a negative generation", `"generation": 3`, `"generation": -3`, "kept_data"},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) {
			raw := string(golden(t, "state-1.json"))
			changed := strings.Replace(raw, c.old, c.new, 1)
			if changed == raw {
				t.Fatalf("%q is not in the golden state", c.old)
			}
			_, err := ParseState([]byte(changed))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.reason) {
				t.Fatalf("error is %v, want ErrInvalid with %q", err, c.reason)
			}
		})
	}
}

func FuzzParseState(f *testing.F) {
	f.Add(golden(f, "state-1.json"))
	f.Add([]byte(`{"schema": 1, "next_generation": 1}`))
	f.Add([]byte(`{"schema": 2}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ParseState(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrNewer) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		once, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseState(once)
		if err != nil {
			t.Fatalf("written again it is refused: %v", err)
		}
		if twice, err := again.Marshal(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not stable, error %v:\n%s\n%s", err, once, twice)
		}
	})
}
