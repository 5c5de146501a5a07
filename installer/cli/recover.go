package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/txn"
)

// interrupted reads whether an earlier run is still open.
func (s *session) interrupted() (*txn.Status, error) {
	st, err := txn.Open(s.m.FS, machine.TxnDir)
	if err != nil {
		return nil, fmt.Errorf("read the journal in %s: %w", machine.TxnDir, err)
	}
	return st, nil
}

// otherEngine is the copy of the ss-setup that began the open run, when that is
// another program than this one: it knows its own steps best. A copy that is damaged
// is none; this one does what it can.
func (s *session) otherEngine(st *txn.Status) (path string, other bool) {
	if st == nil || st.Engine == "" || s.options.Offline {
		return "", false
	}
	path = s.m.FS.Real(enginePath(st.Engine))
	sum, err := fileSHA256(path)
	return path, err == nil && sum != s.self && strings.HasPrefix(sum, st.Engine)
}

// recoverFirst ends what an earlier run left open, before a verb begins. A
// verb that must not go on then gets an ending or an error.
func (s *session) recoverFirst(ctx context.Context) (*ending, error) {
	st, err := s.interrupted()
	if err != nil {
		return nil, err
	}
	if st == nil {
		// What a run leaves that was cut at its very end is swept away unseen.
		_, _, err := s.engine.Recover(ctx, s.m, false)
		return nil, err
	}
	if st.Abandoned && s.verb == "rollback" {
		return s.putAbandonedBack(ctx)
	}
	if st.Abandoned {
		return nil, &Failure{
			Exit: LeftChanged, Err: fmt.Errorf("an earlier run (%s) was left unfinished by --norollback", st.Verb),
			Cure: s.leftCure(),
		}
	}
	s.startLog()
	s.warn("an earlier run was interrupted; it is finished or undone first")
	if path, other := s.otherEngine(st); other {
		if err := s.recoverBy(ctx, path); err != nil {
			return nil, err
		}
		return s.afterRecovery(false)
	}
	res, _, err := s.engine.Recover(ctx, s.m, false)
	s.rememberFailure(st.Meta, res)
	if f := s.unrecovered(res, err); f != nil {
		return nil, f
	}
	return s.afterRecovery(res.Outcome == txn.RolledBack)
}

// leftCure says how to go on from a run that --norollback left.
func (s *session) leftCure() string {
	return "to go on if it can be, and back otherwise, run: " + s.names.command("recover") +
		"\nto put everything back, run: " + s.names.command("rollback")
}

// afterRecovery lets a verb go on, but not one that goes back when the recovery
// has gone back already: that would be one generation too far.
func (s *session) afterRecovery(wentBack bool) (*ending, error) {
	if s.verb != "rollback" || !wentBack {
		return nil, nil
	}
	return &ending{
		message: "the interrupted run was undone",
		Result:  Result{Outcome: string(txn.RolledBack), Cure: "to go back one generation more, run: " + s.command(), Log: s.logTo.name()},
	}, nil
}

// recoverBy runs the other program's recovery to its end. It needs the lock.
func (s *session) recoverBy(ctx context.Context, path string) error {
	s.releaseLock()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, "recover", "--output", "plain")
	cmd.Stdout, cmd.Stderr = io.Discard, s.streams.Err
	runErr := cmd.Run()
	if err := s.takeLock(ctx); err != nil {
		return err
	}
	if runErr != nil {
		return s.leftFailure(fmt.Errorf("the interrupted run could not be recovered: %s recover: %w", path, runErr))
	}
	return nil
}

// errGoBack is the cause of a recovery that is to go back in any case.
var errGoBack = errors.New("asked to go back")

func (s *session) putAbandonedBack(ctx context.Context) (*ending, error) {
	s.startLog()
	// Without a context to go forward in, a recovery goes back.
	back, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	cancel(errGoBack)
	res, _, err := s.engine.Recover(back, s.m, true)
	if f := s.unrecovered(res, err); f != nil {
		return nil, f
	}
	return s.recovered(res), nil
}

// unrecovered is the failure of a recovery, nil when it has succeeded.
func (s *session) unrecovered(res txn.Result, err error) *Failure {
	s.log.Info("recovered", "outcome", res.Outcome, "error", res.Err, "undo", res.Undo, "engine", err)
	switch {
	case err != nil:
		return s.leftFailure(fmt.Errorf("the interrupted run could not be recovered: %w", err))
	case res.Outcome == txn.Left:
		f := s.leftFailure(fmt.Errorf("not everything of the interrupted run could be put back: %w", res.Err))
		f.Left = lines(res.Undo)
		return f
	case res.Outcome == txn.Pending:
		return s.leftFailure(fmt.Errorf("the interrupted run could not be finished: %w", res.Err))
	}
	s.clearImport()
	return nil
}

func (s *session) recovered(res txn.Result) *ending {
	end := &ending{Result: Result{Outcome: string(res.Outcome), Downtime: s.out.downtime, Log: s.logTo.name()}}
	end.message = "the interrupted run was finished"
	if res.Outcome == txn.RolledBack {
		end.message = "the interrupted run was undone: everything is as it was before"
	}
	return end
}

// recoverVerb is the verb recover as a person types it.
func (s *session) recoverVerb(ctx context.Context) (*ending, error) {
	if err := s.waitForRecovery(ctx); err != nil {
		return nil, err
	}
	st, err := s.interrupted()
	if err != nil {
		return nil, err
	}
	if path, other := s.otherEngine(st); other {
		s.releaseLock()
		return nil, become(path, s.args, os.Environ(), nil)
	}
	s.healthTimeoutOf(st)
	if st != nil {
		s.startLog()
	}
	res, found, err := s.engine.Recover(ctx, s.m, true)
	if st != nil {
		s.rememberFailure(st.Meta, res)
	}
	if f := s.unrecovered(res, err); f != nil {
		return nil, f
	}
	if !found {
		return &ending{message: "no run was interrupted: nothing to recover", Result: Result{Outcome: outcomeNothing}}, nil
	}
	return s.recovered(res), nil
}

// waitForRecovery takes the lock. When a recovery has it that began by itself,
// what was asked for is under way, so this waits for its end.
func (s *session) waitForRecovery(ctx context.Context) error {
	err := s.takeLock(ctx)
	if !errors.Is(err, txn.ErrBusy) || !s.recoveryHoldsLock() {
		return err
	}
	s.warn("a recovery is under way already; waiting for its end")
	s.lock, err = txn.WaitLock(ctx, s.m.FS.Real(machine.LockFile))
	return err
}

// healthTimeoutOf goes on with the patience that the interrupted run had.
func (s *session) healthTimeoutOf(st *txn.Status) {
	if st == nil || s.options.HealthTimeout != defaultHealthTimeout {
		return
	}
	var meta plan.Meta
	if json.Unmarshal(st.Meta, &meta) == nil && meta.Options.HealthTimeout > 0 {
		s.m.HealthTimeout = meta.Options.HealthTimeout
	}
}

// bootPatience is how long a boot waits for another run, which then recovers itself.
const bootPatience = 5 * time.Second

// watch is recover as the guard and the boot job run it: silent when there is
// nothing to do. It may be ended at any time; the next boot goes on.
func (s *session) watch(ctx context.Context) (*ending, error) {
	path := s.m.FS.Real(machine.LockFile)
	var err error
	if s.guard {
		s.lock, err = txn.WaitLock(ctx, path)
	} else {
		s.lock, err = txn.TryLock(path, bootPatience)
	}
	if errors.Is(err, txn.ErrBusy) || ctx.Err() != nil {
		return &ending{Result: Result{Outcome: outcomeNothing}}, nil
	}
	if err != nil {
		return nil, err
	}
	st, err := s.interrupted()
	if err != nil {
		return nil, err
	}
	if st != nil && !st.Abandoned {
		s.startLog()
	}
	if path, other := s.otherEngine(st); other {
		s.releaseLock()
		return nil, become(path, s.args, os.Environ(), nil)
	}
	s.healthTimeoutOf(st)
	res, found, err := s.engine.Recover(ctx, s.m, false)
	if !found && err == nil {
		s.clearImport() // it may have been cut before its first record
	}
	if !found && err == nil || st != nil && st.Abandoned {
		return &ending{Result: Result{Outcome: outcomeNothing}}, nil
	}
	if st != nil {
		s.rememberFailure(st.Meta, res)
	}
	if f := s.unrecovered(res, err); f != nil {
		return nil, f
	}
	return s.recovered(res), nil
}
