package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/preflight"
	"ss-setup/installer/step"
	"ss-setup/installer/txn"
	"ss-setup/runtime/service"
)

// proposer says what is to be done on a machine.
type proposer func(ctx context.Context, sit *plan.Situation) (*plan.Proposal, error)

// change is every verb that changes the machine by a plan: recover what is left
// of an earlier run, look, plan, check, ask, run.
func (s *session) change(ctx context.Context, propose proposer) (*ending, error) {
	ctx, stop := s.untilCancelled(ctx)
	defer stop()
	if !s.planOnly {
		if err := s.takeLock(ctx); err != nil {
			return nil, err
		}
		if end, err := s.recoverFirst(ctx); end != nil || err != nil {
			return end, err
		}
		s.clearImport()
	}
	sit, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	if sit.Interrupted != nil {
		return nil, s.unplannable(sit.Interrupted)
	}
	p, err := propose(ctx, sit)
	if err != nil {
		return nil, err
	}
	if p.Nothing {
		return &ending{message: p.Summary, Result: Result{Outcome: outcomeNothing, Version: p.From, Generation: p.Generation}}, nil
	}
	if err := s.checkAccount(); err != nil {
		return nil, err
	}
	if err := s.tellPlan(p); err != nil {
		return nil, err
	}
	if s.planOnly {
		return s.planned(p), nil
	}
	if end, err := s.check(ctx, sit, p); end != nil || err != nil {
		return end, err
	}
	if err := s.confirm(ctx, p); err != nil {
		return nil, err
	}
	return s.run(ctx, sit, p)
}

// unplannable says why nothing can be planned: a run goes on, or was cut.
func (s *session) unplannable(open *txn.Status) *Failure {
	if s.lockHeld() {
		return s.busy()
	}
	if open.Abandoned {
		return &Failure{
			Exit: CheckFailed, Err: fmt.Errorf("an earlier run (%s) was left unfinished by --norollback, so nothing can be planned yet", open.Verb),
			Cure: s.leftCure(),
		}
	}
	return &Failure{
		Exit: CheckFailed, Err: fmt.Errorf("an earlier run (%s) was interrupted, so nothing can be planned yet", open.Verb),
		Cure: "run: " + s.names.command("recover"),
	}
}

// tellPlan shows the plan and compares its hash with the one expected.
func (s *session) tellPlan(p *plan.Proposal) error {
	hash, err := p.Hash()
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(p.Plan)
	if err != nil {
		return err
	}
	fields := &planFields{Action: p.Action, Hash: hash, Plan: encoded, Notes: s.names.texts(p.Notes), Whole: s.planOnly}
	for _, q := range p.Confirm {
		fields.Questions = append(fields.Questions, q.Text)
	}
	s.log.Info("plan", "action", p.Action, "summary", p.Summary, "hash", hash, "steps", len(p.Plan.Steps))
	s.out.emit(Event{Event: eventPlan, Message: p.Summary, Total: len(p.Plan.Steps), planFields: fields})
	if s.expectPlan != "" && !strings.EqualFold(s.expectPlan, hash) {
		return &Failure{
			Exit: CheckFailed, Err: fmt.Errorf("the plan has changed: its hash is %s and %s was expected; nothing was changed", hash, s.expectPlan),
			Cure: "look at it with: " + s.planCommand(),
		}
	}
	return nil
}

func (s *session) planCommand() string {
	var words []string
	skip := false
	for _, a := range s.args {
		switch {
		case skip:
			skip = false
		case a == "--expect-plan":
			skip = true
		case strings.HasPrefix(a, "--expect-plan="):
		default:
			words = append(words, a)
		}
	}
	if !slices.Contains(words, "--plan") {
		words = append(words, "--plan")
	}
	return again(words...)
}

func (s *session) planned(p *plan.Proposal) *ending {
	return &ending{
		message: "nothing was changed: this is only the plan",
		Result:  Result{Outcome: outcomePlanned, Version: p.To, Previous: p.From, Generation: p.Generation},
	}
}

// run carries the plan out.
func (s *session) run(ctx context.Context, sit *plan.Situation, p *plan.Proposal) (*ending, error) {
	if err := s.ownState(); err != nil {
		return nil, err
	}
	if err := s.handAnswers(); err != nil {
		return nil, err
	}
	s.startLog()
	if err := s.keepUndone(p); err != nil {
		return nil, err
	}
	s.m.KeepOriginals = !sit.Installed()
	start := time.Now()
	res, err := s.engine.Run(ctx, s.m, p.Plan, txn.Options{NoRollback: s.noRollback})
	took := seconds(time.Since(start))
	s.log.Info("end", "outcome", res.Outcome, "error", res.Err, "undo", res.Undo, "engine", err, "seconds", took)
	if res.Outcome == "" {
		return nil, notBegun(ctx, err)
	}
	end := &ending{Result: Result{
		Outcome: string(res.Outcome), Version: p.To, Previous: p.From, Generation: p.Generation,
		Seconds: took, Downtime: s.out.downtime, Log: s.logTo.name(),
		// What was imported has a SuperAdmin.
		Fresh: (p.Action == plan.ActionFresh || p.Action == plan.ActionForce) && s.m.Import == nil,
	}}
	if res.Outcome == txn.RolledBack {
		s.notImported()
	}
	if res.Outcome != txn.Committed {
		s.rememberFailure(p.Plan.Meta, res)
		return end, s.failed(ctx, p, res, err)
	}
	if err != nil {
		return end, s.leftFailure(fmt.Errorf("%s: done, but not tidied up: %w", p.Summary, err))
	}
	end.message = success(p) + s.toReview()
	end.GoBack = p.GoBack
	s.tellKept(end, p.Action)
	s.tellStopped(ctx, end, p)
	return end, nil
}

// toReview names the report of an import.
func (s *session) toReview() string {
	if s.m.Import == nil || len(s.m.Import.Reports) == 0 {
		return ""
	}
	return "; what is left for you to review is at the end of " + s.m.Import.Reports[len(s.m.Import.Reports)-1]
}

// tellStopped reminds of services that did not run before and so do not run now.
func (s *session) tellStopped(ctx context.Context, end *ending, p *plan.Proposal) {
	switch p.Action {
	case plan.ActionUpdate, plan.ActionRebuild, plan.ActionRepair, plan.ActionRollback:
	default:
		return
	}
	if s.options.Offline || p.Generation == 0 { // back to an older product
		return
	}
	var cures []string
	manager := s.m.Services.Name()
	for _, name := range []string{machine.LicensedService, machine.ServerService} {
		state, err := s.m.Services.State(context.WithoutCancel(ctx), name)
		if err != nil || state.Active {
			continue
		}
		cure := service.StartCommand(manager, name)
		if state.Masked {
			cure = both(preflight.Unmask(manager, name), cure)
		}
		cures = append(cures, fmt.Sprintf("%s is stopped, as it was before; to start it, run: %s", name, cure))
	}
	end.Cure = strings.Join(cures, "\n")
}

// notBegun is the failure of a run that ended before its first step.
func notBegun(ctx context.Context, err error) *Failure {
	if errors.Is(err, txn.ErrHelpLeft) {
		return failureOf(err, LeftChanged)
	}
	if cancelled := cancelled(ctx); cancelled != nil {
		return cancelled
	}
	f := failureOf(err, PutBack)
	return &Failure{Exit: f.Exit, Err: fmt.Errorf("%w; nothing was changed", f.Err), Cure: f.Cure}
}

// cancelled is the failure of a run that was asked to end before it changed
// anything; nil when nobody asked. What failed for that reason says nothing.
func cancelled(ctx context.Context) *Failure {
	cause := context.Cause(ctx)
	if !errors.Is(cause, errCancelled) {
		return nil
	}
	return &Failure{Exit: Cancelled, Err: fmt.Errorf("%w; nothing was changed", cause)}
}

// rememberFailure notes a release that failed, so that nobody tries it again
// without knowing. A machine on which nothing was installed keeps no trace, and one
// that served before, which a rollback or a repair goes to, has proven itself.
func (s *session) rememberFailure(encoded json.RawMessage, res txn.Result) {
	if res.Outcome != txn.RolledBack || !errors.Is(res.Err, step.ErrReleaseFailed) {
		return
	}
	var meta plan.Meta
	if err := json.Unmarshal(encoded, &meta); err != nil || meta.From == "" {
		return
	}
	if slices.Contains([]string{plan.ActionRollback, plan.ActionRepair, plan.ActionStay}, meta.Action) {
		return
	}
	state, err := step.LoadState(s.m.FS)
	if err == nil {
		state.Fail(meta.Release, (&Failure{Err: res.Err}).Error(), s.m.Now())
		err = step.SaveState(s.m.FS, state)
	}
	if err != nil {
		s.warn(fmt.Sprintf("could not note that release %s failed: %v", meta.Release, err))
	}
}

// told says how long users had no service, when they had none.
func (s *session) told() string {
	if s.out.downtime == nil {
		return ""
	}
	return fmt.Sprintf("; users were without the service for %.2f s", *s.out.downtime)
}

// failed turns how a run failed into what a person is told.
func (s *session) failed(ctx context.Context, p *plan.Proposal, res txn.Result, engine error) *Failure {
	switch {
	case res.Outcome == txn.RolledBack && engine != nil:
		return s.leftFailure(fmt.Errorf("%w; everything was put back, but not tidied up: %w", res.Err, engine))
	case res.Outcome == txn.RolledBack && ctx.Err() != nil && errors.Is(res.Err, context.Cause(ctx)):
		return &Failure{Exit: Cancelled, Err: fmt.Errorf("%w; everything was put back", context.Cause(ctx))}
	case res.Outcome == txn.RolledBack:
		f := failureOf(res.Err, PutBack)
		return &Failure{Exit: f.Exit, Err: fmt.Errorf("%w; everything was put back%s", f.Err, s.told()), Cure: cmp.Or(f.Cure, s.tryAgain(p, res.Err))}
	case res.Outcome == txn.Pending:
		return s.leftFailure(fmt.Errorf("done, but not finished: %w", res.Err))
	case s.noRollback && res.Undo == nil:
		return &Failure{
			Exit: LeftChanged, Err: fmt.Errorf("%w; everything is left as it is now (--norollback)", res.Err),
			Cure: s.leftCure(),
		}
	}
	f := s.leftFailure(fmt.Errorf("%w; not everything could be put back", res.Err))
	f.Left = lines(res.Undo)
	return f
}

// tryAgain says how to go on after an update to a release that failed by itself; empty
// for other failures.
func (s *session) tryAgain(p *plan.Proposal, err error) string {
	if !errors.Is(err, step.ErrReleaseFailed) || p.Action != plan.ActionUpdate && p.Action != plan.ActionRebuild {
		return ""
	}
	return fmt.Sprintf("%s serves as before; the log tells more\nto try %s again when its cause is mended, run: %s", p.From, p.To, s.names.command("install", "--update", "--yes"))
}

// lines are the errors that were joined, one each.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func (s *session) leftFailure(err error) *Failure {
	return &Failure{Exit: LeftChanged, Err: err, Cure: "mend what it names, then run: " + s.names.command("recover")}
}

// success is the sentence of a run that was carried out.
func success(p *plan.Proposal) string {
	switch p.Action {
	case plan.ActionUpdate:
		return fmt.Sprintf("SS Server was updated from %s to %s", p.From, p.To)
	case plan.ActionRebuild:
		return fmt.Sprintf("SS Server %s was updated to another build", p.To)
	case plan.ActionRepair:
		return fmt.Sprintf("SS Server %s was repaired", p.To)
	case plan.ActionUpgrade:
		return fmt.Sprintf("version 6 was upgraded to SS Server %s", p.To)
	case plan.ActionFresh, plan.ActionAdopt, plan.ActionForce:
		return fmt.Sprintf("SS Server %s is installed", p.To)
	case plan.ActionUninstall:
		return "SS Server was removed; its data are kept"
	case plan.ActionPurge:
		return "SS Server was removed"
	case plan.ActionRollback:
		if p.Generation == 0 {
			return fmt.Sprintf("version %s serves again; the data of SS Server %s stay as generation %d", p.To, p.From, p.Previous)
		}
		return fmt.Sprintf("SS Server %s is in force again, as generation %d; to go forward again, install %s: its data of then stay in generation %d",
			p.To, p.Generation, p.From, p.Previous)
	case plan.ActionMoveOut:
		return "this machine does not serve any more, nor after a restart; what moves is packed and was checked"
	case plan.ActionStay:
		return "this machine serves again"
	case "forget":
		return fmt.Sprintf("generation %d was removed", p.Generation)
	}
	return p.Summary + ": done"
}
