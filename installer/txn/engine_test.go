package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"ss-setup/installer/machine"
)

// ledger is the machine of these tests: names and values that survive a crash.
type ledger map[string]string

// set is a step that sets one name, in two strokes so that it can be cut between.
type set struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Role  string `json:"role,omitempty"`
	Fails bool   `json:"fails,omitempty"`

	cut func(string)
}

type setUndo struct {
	Had   bool   `json:"had"`
	Value string `json:"value"`
}

func (s *set) Kind() string   { return "set" }
func (s *set) String() string { return "set " + s.Name }

func (s *set) Prepare(_ context.Context, m ledger) (any, error) {
	v, had := m[s.Name]
	return setUndo{had, v}, nil
}

func (s *set) Do(_ context.Context, m ledger) error {
	m[s.Name+".part"] = s.Value
	s.hit("do")
	if s.Fails {
		return errors.New("no")
	}
	m[s.Name] = s.Value
	delete(m, s.Name+".part")
	s.hit("did")
	return nil
}

func (s *set) Undo(_ context.Context, m ledger, undo json.RawMessage) error {
	var u setUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	delete(m, s.Name+".part")
	s.hit("undo")
	if u.Had {
		m[s.Name] = u.Value
	} else {
		delete(m, s.Name)
	}
	return nil
}

func (s *set) hit(where string) {
	if s.cut != nil {
		s.cut(where)
	}
}

// gate and commit read the machine as the real ones do.
type gate struct{ set }

func (s *gate) Kind() string { return "gate" }

func (s *gate) Passed(_ context.Context, m ledger) (bool, error) { return m[s.Name] == s.Value, nil }

type commit struct{ set }

func (s *commit) Kind() string { return "commit" }

func (s *commit) Committed(_ context.Context, m ledger) (bool, error) {
	return m[s.Name] == s.Value, nil
}

// crash is what a test's cut panics with: the end of the process.
type crash struct{}

// world is a machine, its journal and a clock of cuts.
type world struct {
	t       *testing.T
	dir     string
	machine ledger
	// left counts down to the crash; 0 never crashes.
	left int
	seen int
}

func newWorld(t *testing.T) *world {
	return &world{t: t, dir: filepath.Join(memoryDir(t), "state", "txn"), machine: ledger{"a": "old", "current": "1"}}
}

// memoryDir is a folder in memory where there is one: these tests sync thousands
// of times, and what they prove does not depend on the disk.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "txn-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *world) cut(string) {
	w.seen++
	if w.left > 0 {
		if w.left--; w.left == 0 {
			panic(crash{})
		}
	}
}

func (w *world) engine() *Engine[ledger] {
	e := &Engine[ledger]{
		FS:    &machine.FS{Before: func(machine.Op, string) error { w.cut(""); return nil }},
		Dir:   w.dir,
		Point: w.cut,
		Log:   slog.New(slog.DiscardHandler),
	}
	e.Kinds = Kinds[ledger]{
		"set":    func() Step[ledger] { return &set{cut: w.cut} },
		"gate":   func() Step[ledger] { return &gate{set{cut: w.cut}} },
		"commit": func() Step[ledger] { return &commit{set{cut: w.cut}} },
	}
	return e
}

func (w *world) plan(failAt int) Plan[ledger] {
	at := func(i int, name, value string) set {
		return set{Name: name, Value: value, Fails: i == failAt, cut: w.cut}
	}
	steps := []Step[ledger]{}
	for i, name := range []string{"a", "b", "c"} {
		s := at(i, name, "new")
		steps = append(steps, &s)
	}
	started, healthy, receipt := at(4, "started", "yes"), at(5, "healthy", "yes"), at(7, "receipt", "yes")
	steps = append(steps, &gate{at(3, "current", "2")}, &started, &healthy, &commit{at(6, "open", "yes")}, &receipt)
	return Plan[ledger]{Verb: "test", Steps: steps, Gate: 3, Commit: 6}
}

var (
	before = ledger{"a": "old", "current": "1"}
	after  = ledger{"a": "new", "b": "new", "c": "new", "current": "2", "started": "yes", "healthy": "yes", "open": "yes", "receipt": "yes"}
)

// survive runs f as a process that may die; crashed tells that it did.
func (w *world) survive(f func()) (crashed bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, ours := p.(crash); !ours {
				panic(p)
			}
			crashed = true
		}
	}()
	f()
	return false
}

func (w *world) run(failAt, cutAt int) (Result, bool) {
	w.left = cutAt
	var res Result
	crashed := w.survive(func() {
		var err error
		if res, err = w.engine().Run(context.Background(), w.machine, w.plan(failAt), Options{}); err != nil {
			w.t.Fatal(err)
		}
	})
	return res, crashed
}

// recover runs one recovery that dies at its cutAt-th cut.
func (w *world) recover(cutAt int) (crashed bool) {
	w.left = cutAt
	return w.survive(func() {
		if _, _, err := w.engine().Recover(context.Background(), w.machine, true); err != nil {
			w.t.Fatal(err)
		}
	})
}

func (w *world) wantWhole(what string) {
	w.t.Helper()
	if !maps.Equal(w.machine, before) && !maps.Equal(w.machine, after) {
		w.t.Fatalf("%s: the machine is neither as before nor as after: %v", what, w.machine)
	}
	if _, err := os.Stat(filepath.Dir(w.dir)); !errors.Is(err, os.ErrNotExist) {
		w.t.Fatalf("%s: the journal's folders are left", what)
	}
}

func TestRunCarriesOutTheWholePlan(t *testing.T) {
	w := newWorld(t)
	res, _ := w.run(-1, 0)
	if res.Outcome != Committed || !maps.Equal(w.machine, after) {
		t.Fatalf("got %+v, machine %v", res, w.machine)
	}
	w.wantWhole("run")
}

func TestAFailingStepPutsEverythingBack(t *testing.T) {
	for failAt := range 7 {
		w := newWorld(t)
		res, _ := w.run(failAt, 0)
		if res.Outcome != RolledBack || res.Failed != failAt || res.Err == nil {
			t.Fatalf("step %d fails: got %+v", failAt, res)
		}
		if !maps.Equal(w.machine, before) {
			t.Fatalf("step %d fails: machine is %v", failAt, w.machine)
		}
		w.wantWhole("rollback")
	}
}

func TestAStepThatFailsAfterTheCommitLeavesTheCommitAndTheJournal(t *testing.T) {
	w := newWorld(t)
	res, _ := w.run(7, 0)
	if res.Outcome != Pending || w.machine["open"] != "yes" {
		t.Fatalf("got %+v, machine %v", res, w.machine)
	}
	st, err := Open(&machine.FS{}, w.dir)
	if err != nil || st == nil || st.Ended {
		t.Fatalf("the journal does not tell: %+v, %v", st, err)
	}
}

// Every cut of a run - good or failing - followed by every cut of the recovery
// and a random cut of the recovery's recovery ends whole.
func TestEveryCutOfARunAndOfItsRecoveryEndsWhole(t *testing.T) {
	for _, failAt := range []int{-1, 2, 5} {
		total := newWorld(t)
		total.run(failAt, 0)
		rng := rand.New(rand.NewPCG(7, uint64(failAt+1)))
		cases := 0
		for first := 1; first <= total.seen; first++ {
			for second := 1; ; second++ {
				w := newWorld(t)
				if _, crashed := w.run(failAt, first); !crashed {
					t.Fatalf("cut %d never came", first)
				}
				crashed := w.recover(second)
				if crashed && w.recover(1+rng.IntN(30)) {
					w.recover(0)
				}
				w.recover(0)
				w.wantWhole(fmt.Sprintf("fail at %d, cut %d, recovery cut %d", failAt, first, second))
				cases++
				if !crashed {
					break
				}
			}
		}
		t.Logf("fail at %d: %d cases", failAt, cases)
	}
}

func TestACommitThatIsVisibleIsNeverTakenBack(t *testing.T) {
	total := newWorld(t)
	total.run(-1, 0)
	for cut := 1; cut <= total.seen; cut++ {
		w := newWorld(t)
		w.run(-1, cut)
		visible := w.machine["open"] == "yes"
		w.recover(0)
		if visible && !maps.Equal(w.machine, after) {
			t.Fatalf("cut %d: users were let in, yet the machine is %v", cut, w.machine)
		}
	}
}

// hold is a step whose effect dies with the process.
type hold struct {
	set
	held  *int
	taken error
}

func (s *hold) Kind() string { return "hold" }
func (s *hold) Held()        {}

func (s *hold) Do(context.Context, ledger) error {
	*s.held++
	return s.taken
}

// interruptedAfterGate is a run with a hold that was cut right after the gate.
func interruptedAfterGate(t *testing.T) *world {
	w := newWorld(t)
	p := w.plan(-1)
	p.Steps[2] = &hold{set: set{Name: "c"}, held: new(int)}
	e := w.engine()
	point := e.Point
	e.Point = func(name string) {
		if name == "step 3 gate done-after" {
			panic(crash{})
		}
		point(name)
	}
	if !w.survive(func() { _, _ = e.Run(context.Background(), w.machine, p, Options{}) }) {
		t.Fatal("the run came to its end")
	}
	return w
}

func TestARecoveryThatGoesForwardTakesHoldAgainAndGoesBackIfItCannot(t *testing.T) {
	for taken, want := range map[error]Outcome{nil: Committed, errors.New("somebody has it"): RolledBack} {
		w := interruptedAfterGate(t)
		held := 0
		e := w.engine()
		e.Kinds["hold"] = func() Step[ledger] { return &hold{held: &held, taken: taken} }
		res, found, err := e.Recover(context.Background(), w.machine, false)
		if err != nil || !found || res.Outcome != want || held != 1 {
			t.Errorf("%v: held %d times: %+v, %v, %v", taken, held, res, found, err)
		}
	}
}

func TestARecoveryTellsTheCauseForWhichTheRunWentBack(t *testing.T) {
	bad := errors.New("the release is bad")
	w := newWorld(t)
	engine := func() *Engine[ledger] {
		e := w.engine()
		e.Causes = map[string]error{"bad": bad}
		e.Kinds["hold"] = func() Step[ledger] { return &hold{held: new(int), taken: fmt.Errorf("it does not answer: %w", bad)} }
		return e
	}
	p := w.plan(-1)
	p.Steps[2] = engine().Kinds["hold"]()
	e := engine()
	e.Point = func(name string) {
		if name == "rollback after" {
			panic(crash{})
		}
	}
	if !w.survive(func() { _, _ = e.Run(context.Background(), w.machine, p, Options{}) }) {
		t.Fatal("the run came to its end")
	}
	res, _, err := engine().Recover(context.Background(), w.machine, false)
	if err != nil || res.Outcome != RolledBack || !errors.Is(res.Err, bad) || res.Err.Error() != "set : it does not answer: the release is bad" {
		t.Errorf("%+v, %v", res, err)
	}
	w.wantWhole("after the recovery")
}

func TestNoRollbackLeavesEverythingUntilRecoverIsAskedFor(t *testing.T) {
	w := newWorld(t)
	res, err := w.engine().Run(context.Background(), w.machine, w.plan(2), Options{NoRollback: true})
	if err != nil || res.Outcome != Left || w.machine["b"] != "new" {
		t.Fatalf("got %+v, %v, machine %v", res, err, w.machine)
	}
	if res, found, err := w.engine().Recover(context.Background(), w.machine, false); err != nil || !found || res.Outcome != Left {
		t.Fatalf("the automatic recovery did not leave it alone: %+v, %v", res, err)
	}
	w.recover(0)
	if !maps.Equal(w.machine, before) {
		t.Fatalf("machine is %v", w.machine)
	}
	w.wantWhole("recover")
}

func TestACancelledRunPutsEverythingBack(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("the user asked")
	e := w.engine()
	e.Observe = func(ev Event) {
		if ev.Type == "step_done" && ev.Index == 4 {
			cancel(stop)
		}
	}
	res, err := e.Run(ctx, w.machine, w.plan(-1), Options{})
	if err != nil || res.Outcome != RolledBack || !errors.Is(res.Err, stop) {
		t.Fatalf("got %+v, %v", res, err)
	}
	w.wantWhole("cancel")
}

func TestASecondRunRefusesWhileOneIsInterrupted(t *testing.T) {
	w := newWorld(t)
	w.run(-1, 25)
	w.left = 0
	if _, err := w.engine().Run(context.Background(), w.machine, w.plan(-1), Options{}); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("got %v", err)
	}
}

// A record that was being written when the machine died may be there in any part.
func TestAJournalTornAtAnyByteRecoversWhole(t *testing.T) {
	total := newWorld(t)
	total.run(-1, 0)
	cases := 0
	for cut := 1; cut <= total.seen; cut++ {
		w := newWorld(t)
		w.run(-1, cut)
		w.left = 0
		journal := filepath.Join(w.dir, "journal")
		data, err := os.ReadFile(journal)
		if err != nil {
			continue
		}
		recs, _, _ := parseJournal(data)
		next, err := encodeRecord(record{V: journalVersion, Seq: len(recs), Type: recBegin, Step: len(recs), Kind: "set"})
		if err != nil {
			t.Fatal(err)
		}
		machineThen, tail := maps.Clone(w.machine), next
		if cut%5 == 0 {
			tail = make([]byte, len(next)) // allocated, never written
		}
		for n := range len(tail) {
			w.machine = maps.Clone(machineThen)
			if err := os.MkdirAll(w.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(journal, append(data[:len(data):len(data)], tail[:n]...), 0o600); err != nil {
				t.Fatal(err)
			}
			w.recover(0)
			w.wantWhole(fmt.Sprintf("cut %d, torn at %d", cut, n))
			cases++
		}
	}
	t.Logf("%d torn journals", cases)
}

func TestAPlanSurvivesEncoding(t *testing.T) {
	w := newWorld(t)
	encoded, err := json.Marshal(w.plan(-1))
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.engine().Kinds.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(p)
	if err != nil || string(again) != string(encoded) {
		t.Fatalf("%v\n%s\n%s", err, encoded, again)
	}
}

func FuzzJournal(f *testing.F) {
	line, err := encodeRecord(record{V: journalVersion, Type: recOpen, Plan: json.RawMessage(`{}`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(append(line, line...))
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		recs, good, _ := parseJournal(data)
		if good > len(data) || (good > 0 && data[good-1] != '\n') {
			t.Fatalf("good part ends at %d of %d", good, len(data))
		}
		again, _, _ := parseJournal(data[:good])
		if len(again) != len(recs) {
			t.Fatalf("the good part holds %d records, read alone %d", len(recs), len(again))
		}
	})
}
