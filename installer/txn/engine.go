package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"

	"ss-setup/installer/machine"
)

// Outcome is how a transaction ended.
type Outcome string

// The outcomes of a transaction.
const (
	// Committed: the plan was carried out whole.
	Committed Outcome = "committed"
	// RolledBack: everything was put back.
	RolledBack Outcome = "rolled_back"
	// Left: the machine is left changed; the journal stays for Recover.
	Left Outcome = "left"
	// Pending: committed, but a later step could not be done; the journal stays.
	Pending Outcome = "pending"
)

// ErrInterrupted means that an earlier transaction has not ended: recover first.
var ErrInterrupted = errors.New("an earlier run was interrupted")

// ErrHelpLeft means that the help for a recovery could not be taken away.
var ErrHelpLeft = errors.New("take the recovery help away")

// Event tells an observer what the engine does.
type Event struct {
	// Type is step_start, step_done or step_undone.
	Type  string
	Index int
	Total int
	Kind  string
	Text  string
	Err   error
}

// Scaffold keeps help at hand while a transaction is open: whoever finds it
// interrupted runs Recover. It must not need the journal to be right.
type Scaffold interface {
	// Prepare looks, and returns what Disarm needs; changes nothing.
	Prepare(ctx context.Context) (json.RawMessage, error)
	// Arm puts the help in place, synced.
	Arm(ctx context.Context, prepared json.RawMessage) error
	// Disarm takes it away, last of all. Safe to repeat, whatever Arm did.
	Disarm(ctx context.Context, prepared json.RawMessage) error
}

// Engine runs plans over machines of type M.
type Engine[M any] struct {
	FS *machine.FS
	// Dir is the folder of the one open transaction.
	Dir   string
	Kinds Kinds[M]
	// Scaffold may be nil.
	Scaffold Scaffold
	// Causes are errors by a name for the journal: a recovery that goes on going
	// back tells the same cause as the run that decided to.
	Causes map[string]error
	// ID names this program in the journal: the digest of its engine copy.
	ID      string
	Observe func(Event)
	// Point, when set, is told every place at which a test may cut the run.
	Point func(name string)
	Log   *slog.Logger
}

// PreDir is where steps put pre-images: gone when the transaction has ended.
func PreDir(dir string) string { return filepath.Join(dir, "pre") }

// Options of a run.
type Options struct {
	// NoRollback leaves everything as it is when a step fails.
	NoRollback bool
}

// Result of a run or recovery.
type Result struct {
	Outcome Outcome
	// Failed is the step that failed, -1 when none did.
	Failed int
	// Err is why it failed: nil after a commit.
	Err error
	// Undo holds what could not be put back.
	Undo error
}

// run is one transaction under way.
type run[M any] struct {
	*Engine[M]
	m        M
	plan     Plan[M]
	journal  *journal
	scaffold json.RawMessage
	made     []string
	undo     map[int]json.RawMessage // of every step begun
	undone   map[int]bool
	done     map[int]bool
	back     bool  // rollback was decided
	why      error // why, if a run before this one decided so
}

// Run carries a plan out, or puts everything back. The caller holds the lock.
// The error is of the engine itself, before anything was changed; everything
// else is in the result.
func (e *Engine[M]) Run(ctx context.Context, m M, p Plan[M], o Options) (Result, error) {
	r, err := e.begin(ctx, m, p)
	if err != nil {
		return Result{Failed: -1}, err
	}
	defer func() { _ = r.journal.close() }()
	return r.settle(ctx, r.forward(ctx, 0), o)
}

func (e *Engine[M]) begin(ctx context.Context, m M, p Plan[M]) (*run[M], error) {
	if e.FS.Exists(journalPath(e.Dir)) {
		return nil, ErrInterrupted
	}
	encoded, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	first := record{Type: recOpen, Plan: encoded, Engine: e.ID}
	first.Made = append(e.FS.MissingParents(e.Dir), e.Dir)
	if e.Scaffold != nil {
		if first.Scaffold, err = e.Scaffold.Prepare(ctx); err != nil {
			return nil, err
		}
	}
	// Help first: whoever finds it without a journal just takes it away again, and
	// a journal is never left without help.
	if err := e.arm(ctx, first.Scaffold); err != nil {
		return nil, errors.Join(err, e.disarm(ctx, first.Scaffold))
	}
	e.point("open", "before")
	j, err := createJournal(e.FS, e.Dir, first)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the journal in %s: %w", e.Dir, err), e.removeDir(first.Made), e.disarm(ctx, first.Scaffold))
	}
	e.point("open", "after")
	return &run[M]{
		Engine: e, m: m, plan: p, journal: j, scaffold: first.Scaffold, made: first.Made,
		undo: map[int]json.RawMessage{}, undone: map[int]bool{}, done: map[int]bool{},
	}, nil
}

func (e *Engine[M]) arm(ctx context.Context, prepared json.RawMessage) error {
	if e.Scaffold == nil {
		return nil
	}
	if err := e.Scaffold.Arm(ctx, prepared); err != nil {
		return fmt.Errorf("prepare for recovery: %w", err)
	}
	e.point("armed", "after")
	return nil
}

func (e *Engine[M]) disarm(ctx context.Context, prepared json.RawMessage) error {
	if e.Scaffold == nil {
		return nil
	}
	if err := e.Scaffold.Disarm(context.WithoutCancel(ctx), prepared); err != nil {
		return fmt.Errorf("%w: %w", ErrHelpLeft, err)
	}
	return nil
}

// forward runs the steps from index i on, but for those that are done for good.
func (r *run[M]) forward(ctx context.Context, i int) Result {
	for ; i < len(r.plan.Steps); i++ {
		if _, again := r.plan.Steps[i].(Transient); r.done[i] && !again {
			continue
		}
		err := r.step(ctx, i)
		if err != nil && i > r.plan.Commit {
			// Nothing after the commit may be undone, so a passing fault gets a second try.
			r.Log.Warn("step failed after the commit, trying again", "step", i, "error", err)
			err = r.step(context.WithoutCancel(ctx), i)
		}
		if err != nil {
			return Result{Failed: i, Err: fmt.Errorf("%s: %w", r.plan.Steps[i], err)}
		}
	}
	return Result{Outcome: Committed, Failed: -1}
}

// step prepares, journals and does one step. A step that was begun before keeps
// its first undo: what Prepare saw then is what was there before.
func (r *run[M]) step(ctx context.Context, i int) error {
	s := r.plan.Steps[i]
	if i <= r.plan.Commit {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
	} else {
		ctx = context.WithoutCancel(ctx)
	}
	r.observe(Event{Type: "step_start", Index: i, Kind: s.Kind(), Text: s.String()})
	if _, begun := r.undo[i]; !begun {
		if err := r.beginStep(ctx, i); err != nil {
			return err
		}
	}
	if err := s.Do(ctx, r.m); err != nil {
		return err
	}
	r.stepPoint(i, "done-before")
	// Only the commit's mark must be durable: any other that is lost means one more undo.
	if err := r.journal.append(record{Type: recDone, Step: i, Kind: s.Kind()}, i == r.plan.Commit); err != nil && i <= r.plan.Commit {
		return err
	}
	r.done[i] = true
	r.stepPoint(i, "done-after")
	r.observe(Event{Type: "step_done", Index: i, Kind: s.Kind(), Text: s.String()})
	return nil
}

func (r *run[M]) beginStep(ctx context.Context, i int) error {
	s := r.plan.Steps[i]
	undo, err := s.Prepare(ctx, r.m)
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(undo)
	if err != nil {
		return fmt.Errorf("encode the undo of %s: %w", s.Kind(), err)
	}
	r.stepPoint(i, "begin-before")
	err = r.journal.append(record{Type: recBegin, Step: i, Kind: s.Kind(), Undo: encoded}, true)
	if err != nil && i <= r.plan.Commit {
		return err
	}
	r.undo[i] = encoded
	r.stepPoint(i, "begin-after")
	return nil
}

// settle decides what a failure means, ends the transaction or leaves it open.
func (r *run[M]) settle(ctx context.Context, res Result, o Options) (Result, error) {
	ctx = context.WithoutCancel(ctx)
	if res.Err != nil && r.committed(ctx) && res.Failed <= r.plan.Commit {
		// The commit step failed after its effect was there.
		r.Log.Warn("the commit is on disk although its step failed", "error", res.Err)
		res = r.forward(ctx, r.plan.Commit+1)
	}
	switch {
	case res.Err == nil:
		return res, r.finish(ctx, Committed)
	case r.committed(ctx):
		res.Outcome = Pending
		return res, nil
	case o.NoRollback && res.Failed >= 0:
		res.Outcome = Left
		return res, r.abandon(ctx, res.Err)
	}
	return r.putBack(ctx, res)
}

// abandon leaves everything as it is and ends the automatic recovery.
func (r *run[M]) abandon(ctx context.Context, why error) error {
	if err := r.journal.append(record{Type: recAbandon, Reason: why.Error()}, true); err != nil {
		return err
	}
	return r.disarm(ctx, r.scaffold)
}

// putBack undoes everything that was begun, newest first.
func (r *run[M]) putBack(ctx context.Context, res Result) (Result, error) {
	r.decideBack(res.Err)
	failed, turned := r.undoAll(ctx)
	if turned {
		res = r.forward(ctx, r.plan.Gate)
		if res.Err != nil {
			res.Outcome = Pending
			return res, nil
		}
		return res, r.finish(ctx, Committed)
	}
	if failed != nil {
		res.Outcome, res.Undo = Left, failed
		return res, nil
	}
	res.Outcome = RolledBack
	return res, r.finish(ctx, RolledBack)
}

func (r *run[M]) decideBack(why error) {
	if r.back {
		return
	}
	r.back = true
	rec := record{Type: recRollback}
	if why != nil {
		rec.Reason, rec.Cause = why.Error(), r.causeOf(why)
	}
	r.point("rollback", "before")
	if err := r.journal.append(rec, true); err != nil {
		r.Log.Warn("the decision to go back could not be journalled; going back all the same", "error", err)
	}
	r.point("rollback", "after")
}

// causeOf is the name of why among the causes; empty when it is none.
func (e *Engine[M]) causeOf(why error) string {
	for name, cause := range e.Causes {
		if errors.Is(why, cause) {
			return name
		}
	}
	return ""
}

// decidedError is why an earlier run decided to go back.
type decidedError struct {
	reason string
	cause  error
}

func (e *decidedError) Error() string { return e.reason }
func (e *decidedError) Unwrap() error { return e.cause }

// undoAll undoes in reverse and tries once more what failed, since later undos
// may have removed the cause. turned tells that the commit was found on disk
// when only steps after the gate had been undone.
func (r *run[M]) undoAll(ctx context.Context) (failed error, turned bool) {
	for range 2 {
		failed = nil
		for i := len(r.plan.Steps) - 1; i >= 0; i-- {
			if _, begun := r.undo[i]; !begun || r.undone[i] {
				continue
			}
			if i <= r.plan.Gate && r.committed(ctx) {
				return nil, true
			}
			if err := r.undoStep(ctx, i); err != nil {
				failed = errors.Join(failed, fmt.Errorf("put back %q: %w", r.plan.Steps[i], err))
			}
		}
		if failed == nil {
			return nil, false
		}
	}
	return failed, false
}

func (r *run[M]) undoStep(ctx context.Context, i int) error {
	s := r.plan.Steps[i]
	r.stepPoint(i, "undo-before")
	err := s.Undo(ctx, r.m, r.undo[i])
	r.observe(Event{Type: "step_undone", Index: i, Kind: s.Kind(), Text: s.String(), Err: err})
	if err != nil {
		r.Log.Error("could not put a step back", "step", s.String(), "error", err)
		return err
	}
	r.stepPoint(i, "undo-done")
	if err := r.journal.append(record{Type: recUndone, Step: i, Kind: s.Kind()}, false); err != nil {
		r.Log.Warn("an undo could not be journalled", "step", s.String(), "error", err)
	}
	r.undone[i] = true
	r.stepPoint(i, "undo-after")
	return nil
}

// passed tells whether the gate step's effect is on the machine.
func (r *run[M]) passed(ctx context.Context) bool {
	if _, begun := r.undo[r.plan.Gate]; !begun {
		return false
	}
	g, ok := r.plan.Steps[r.plan.Gate].(Gater[M])
	if !ok {
		return r.done[r.plan.Gate]
	}
	yes, err := g.Passed(ctx, r.m)
	if err != nil {
		r.Log.Error("cannot tell whether the new state is in force", "error", err)
		return false
	}
	return yes
}

// committed reads from the machine whether the commit step's effect is there.
func (r *run[M]) committed(ctx context.Context) bool {
	if _, begun := r.undo[r.plan.Commit]; !begun {
		return false
	}
	c, ok := r.plan.Steps[r.plan.Commit].(Committer[M])
	if !ok {
		return r.done[r.plan.Commit]
	}
	yes, err := c.Committed(ctx, r.m)
	if err != nil {
		r.Log.Error("cannot tell whether the commit is on disk", "error", err)
		return false
	}
	return yes
}

// finish ends the transaction: mark, take the help away, remove the folder.
func (r *run[M]) finish(ctx context.Context, o Outcome) error {
	r.point("end", "before")
	if err := r.journal.append(record{Type: recEnd, Outcome: o}, true); err != nil {
		r.Log.Warn("the end could not be journalled", "error", err)
	}
	r.point("end", "after")
	return r.tidy(ctx)
}

func (r *run[M]) tidy(ctx context.Context) error {
	// Windows removes no file that is open.
	_ = r.journal.close()
	if err := r.FS.RemoveAll(PreDir(r.Dir)); err != nil {
		return fmt.Errorf("remove pre-images: %w", err)
	}
	if err := r.removeDir(r.made); err != nil {
		return fmt.Errorf("remove the journal: %w", err)
	}
	r.point("tidy", "journal-removed")
	return r.disarm(ctx, r.scaffold)
}

// removeDir removes the transaction's folder, the journal first, then its parent
// when nothing else is in it, then those folders further up that were made for it.
func (e *Engine[M]) removeDir(made []string) error {
	if err := e.FS.Remove(journalPath(e.Dir)); err != nil {
		return err
	}
	if err := e.FS.RemoveAll(e.Dir); err != nil {
		return err
	}
	parent := filepath.Dir(e.Dir)
	for dir := parent; dir == filepath.Dir(e.Dir) || slices.Contains(made, dir); dir = filepath.Dir(dir) {
		entries, err := e.FS.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			return e.FS.SyncDir(dir)
		}
		if err := e.FS.Remove(dir); err != nil {
			return err
		}
		parent = filepath.Dir(dir)
	}
	for !e.FS.Exists(parent) {
		parent = filepath.Dir(parent)
	}
	return e.FS.SyncDir(parent)
}

func (e *Engine[M]) observe(ev Event) {
	if e.Observe != nil {
		e.Observe(ev)
	}
}

func (r *run[M]) observe(ev Event) {
	ev.Total = len(r.plan.Steps)
	r.Engine.observe(ev)
}

func (e *Engine[M]) point(place, when string) {
	if e.Point != nil {
		e.Point(place + " " + when)
	}
}

func (r *run[M]) stepPoint(i int, when string) {
	if r.Point != nil {
		r.Point(fmt.Sprintf("step %d %s %s", i, r.plan.Steps[i].Kind(), when))
	}
}

// Open tells whether a transaction is open in dir, and if so what it was doing.
func Open(f *machine.FS, dir string) (*Status, error) {
	recs, err := readJournal(f, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return statusOf(recs), nil
}
