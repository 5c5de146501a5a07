package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"ss-setup/installer/machine"
)

// Status describes an open transaction.
type Status struct {
	Verb   string          `json:"verb,omitempty"`
	Engine string          `json:"engine,omitempty"`
	Meta   json.RawMessage `json:"-"`
	// Step and Steps count how far it came.
	Step  int `json:"step"`
	Steps int `json:"steps"`
	// Abandoned: a run with --norollback left it; nothing recovers it by itself.
	Abandoned bool `json:"abandoned,omitempty"`
	// Back: it was being put back.
	Back bool `json:"back,omitempty"`
	// Ended: only tidying is left.
	Ended  bool   `json:"ended,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func statusOf(recs []record) *Status {
	st := &Status{}
	for _, rec := range recs {
		switch rec.Type {
		case recOpen:
			var p planJSON
			_ = json.Unmarshal(rec.Plan, &p)
			st.Verb, st.Engine, st.Meta, st.Steps = p.Verb, rec.Engine, p.Meta, len(p.Steps)
		case recBegin:
			st.Step = rec.Step + 1
		case recRollback:
			st.Back, st.Reason = true, rec.Reason
		case recAbandon:
			st.Abandoned, st.Reason = true, rec.Reason
		case recResume:
			st.Abandoned = false
		case recEnd:
			st.Ended = true
		}
	}
	return st
}

// PlanOf reads the plan of the open transaction as it was journalled.
func PlanOf(f *machine.FS, dir string) (json.RawMessage, error) {
	recs, err := readJournal(f, dir)
	if err != nil {
		return nil, err
	}
	if len(recs) == 0 {
		return nil, fmt.Errorf("the journal in %s has no plan", dir)
	}
	return recs[0].Plan, nil
}

// UndoOf reads what the first step of a kind noted for its undo in the open transaction;
// nil when none has begun.
func UndoOf(f *machine.FS, dir, kind string) (json.RawMessage, error) {
	recs, err := readJournal(f, dir)
	if err != nil {
		return nil, err
	}
	for _, rec := range recs {
		if rec.Type == recBegin && rec.Kind == kind {
			return rec.Undo, nil
		}
	}
	return nil, nil
}

// Recover finishes or undoes the open transaction. found is false when there is
// none. An abandoned one is taken up only when explicit. The caller holds the lock.
func (e *Engine[M]) Recover(ctx context.Context, m M, explicit bool) (res Result, found bool, err error) {
	j, recs, err := openJournal(e.FS, e.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Result{Failed: -1}, false, e.sweep(ctx)
	}
	if err != nil {
		return Result{Failed: -1}, true, fmt.Errorf("read the journal in %s: %w", e.Dir, err)
	}
	defer func() { _ = j.close() }()
	if len(recs) == 0 {
		// Cut before its first record was whole: nothing had been done.
		_ = j.close()
		return Result{Outcome: RolledBack, Failed: -1}, true, e.sweep(ctx)
	}
	r, err := e.load(m, j, recs)
	if err != nil {
		return Result{Failed: -1}, true, err
	}
	st := statusOf(recs)
	if st.Abandoned && !explicit {
		return Result{Outcome: Left, Failed: -1}, true, nil
	}
	e.point("recover", "start")
	return r.resume(ctx, recs, st)
}

// load rebuilds a run from its records.
func (e *Engine[M]) load(m M, j *journal, recs []record) (*run[M], error) {
	if recs[0].Type != recOpen {
		return nil, fmt.Errorf("the journal in %s does not begin with a plan", e.Dir)
	}
	p, err := e.Kinds.Decode(recs[0].Plan)
	if err != nil {
		return nil, err
	}
	r := &run[M]{
		Engine: e, m: m, plan: p, journal: j, scaffold: recs[0].Scaffold, made: recs[0].Made,
		undo: map[int]json.RawMessage{}, undone: map[int]bool{}, done: map[int]bool{},
	}
	for _, rec := range recs {
		switch rec.Type {
		case recBegin:
			r.undo[rec.Step] = rec.Undo
		case recDone:
			r.done[rec.Step] = true
		case recUndone:
			// A boot may have started again what was stopped on the way back.
			_, again := r.plan.Steps[rec.Step].(Transient)
			r.undone[rec.Step] = !again
		case recRollback:
			r.back = true
			if rec.Reason != "" {
				r.why = &decidedError{rec.Reason, e.Causes[rec.Cause]}
			}
		}
	}
	return r, nil
}

func (r *run[M]) resume(ctx context.Context, recs []record, st *Status) (Result, bool, error) {
	last := recs[len(recs)-1]
	if st.Ended {
		return Result{Outcome: last.Outcome, Failed: -1}, true, r.tidy(ctx)
	}
	if st.Abandoned {
		if err := r.takeUp(ctx); err != nil {
			return Result{Outcome: Left, Failed: -1}, true, err
		}
	}
	if r.committed(ctx) || (!r.back && r.passed(ctx) && r.holdAgain(ctx)) {
		// From the gate on, so that what a boot has changed is made true again.
		res, err := r.settle(ctx, r.forward(ctx, r.plan.Gate), Options{})
		return res, true, err
	}
	why := r.why
	if why == nil {
		why = errors.New("the run was interrupted")
	}
	res, err := r.putBack(context.WithoutCancel(ctx), Result{Failed: len(r.undo) - 1, Err: why})
	return res, true, err
}

// holdAgain does again what died with the process that had done it. Somebody who
// has got hold of it since may be changing what going forward would leave behind;
// going back loses nothing of that.
func (r *run[M]) holdAgain(ctx context.Context) bool {
	for i, s := range r.plan.Steps[:r.plan.Gate] {
		if _, held := s.(Held); !held || !r.done[i] {
			continue
		}
		if err := s.Do(ctx, r.m); err != nil {
			r.Log.Warn("cannot take hold again, going back", "step", s.String(), "error", err)
			return false
		}
	}
	return true
}

// takeUp makes an abandoned transaction one that recovers by itself again.
func (r *run[M]) takeUp(ctx context.Context) error {
	if err := r.journal.append(record{Type: recResume}, true); err != nil {
		return err
	}
	return r.arm(ctx, r.scaffold)
}

// sweep removes what a transaction leaves behind that was cut before its first
// record was whole, or after its journal was removed.
func (e *Engine[M]) sweep(ctx context.Context) error {
	parent := filepath.Dir(e.Dir)
	entries, err := e.FS.ReadDir(parent)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if e.FS.Exists(e.Dir) || (err == nil && len(entries) == 0) {
		if err := e.removeDir(nil); err != nil {
			return err
		}
	}
	if e.Scaffold == nil {
		return nil
	}
	prepared, err := e.Scaffold.Prepare(ctx)
	if err != nil {
		return err
	}
	return e.Scaffold.Disarm(ctx, prepared)
}
