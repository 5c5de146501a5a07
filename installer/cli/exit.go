package cli

import (
	"context"
	"errors"
	"runtime"
	"strings"

	"ss-setup/installer/answers"
	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/repository"
	"ss-setup/installer/bundle/trust"
	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
	"ss-setup/installer/txn"
)

// Exit is one way in which ss-setup ends.
type Exit int

// The ways in which ss-setup ends; exits has their numbers.
const (
	Done Exit = iota
	DoneRestart
	PutBack
	LeftChanged
	WrongUsage
	Cancelled
	NeedsRoot
	Busy
	CheckFailed
	Unsupported
	BadPackage
	MaintenanceExpired
	NothingInstalled
	NewerInstalled
)

// exits is the one table of exit codes; docs/exit-codes.md is checked against it.
var exits = []struct {
	exit           Exit
	meaning        string
	linux, windows int
}{
	{Done, "done (also: nothing to do)", 0, 0},
	{DoneRestart, "done, restart the machine to finish", 10, 3010},
	{PutBack, "failed; everything was put back", 1, 1603},
	{LeftChanged, "failed; machine left changed (`--norollback`, or a rollback step failed - named)", 3, 1627},
	{WrongUsage, "wrong usage", 2, 1639},
	{Cancelled, "cancelled by the user", 4, 1602},
	{NeedsRoot, "needs root / Administrator", 5, 740},
	{Busy, "another ss-setup is running", 6, 1618},
	{CheckFailed, "a preflight check failed; nothing was changed", 7, 15613},
	{Unsupported, "this platform or this old version is not supported", 8, 1633},
	{BadPackage, "the package is damaged or not trusted", 9, 1620},
	{MaintenanceExpired, "maintenance plan expired", 11, 1625},
	{NothingInstalled, "nothing installed / not applicable", 12, 1605},
	{NewerInstalled, "a newer version is installed", 13, 1638},
}

// Number is the exit code on this operating system.
func (e Exit) Number() int {
	for _, x := range exits {
		if x.exit != e {
			continue
		}
		if runtime.GOOS == "windows" {
			return x.windows
		}
		return x.linux
	}
	return int(e)
}

// Failure is an error at the edge of the program: why it ends, in one sentence
// for a person, and what to do about it.
type Failure struct {
	Exit Exit
	Err  error
	// Left names what could not be put back.
	Left []string
	// Cure is what to do, commands in full; may be empty.
	Cure string
}

// Error is the sentence: one line, whatever was joined.
func (f *Failure) Error() string { return strings.ReplaceAll(f.Err.Error(), "\n", "; ") }

// Unwrap is the error itself.
func (f *Failure) Unwrap() error { return f.Err }

// errCancelled is the cause of a run's end by a signal or an answer.
var errCancelled = errors.New("cancelled")

// known maps the errors of the packages below to exits, the first that fits.
var known = []struct {
	err  error
	exit Exit
}{
	{plan.ErrUsage, WrongUsage},
	{answers.ErrInvalid, WrongUsage},
	{plan.ErrNothingInstalled, NothingInstalled},
	{plan.ErrNewerInstalled, NewerInstalled},
	{plan.ErrUnsupported, Unsupported},
	{plan.ErrDamaged, CheckFailed},
	{plan.ErrNotExported, CheckFailed},
	{step.ErrNotAgreed, CheckFailed},
	{machine.ErrNoServices, Unsupported},
	{errors.ErrUnsupported, Unsupported},
	{receipt.ErrNewer, NewerInstalled},
	{bundle.ErrDamaged, BadPackage},
	{bundle.ErrUntrusted, BadPackage},
	{bundle.ErrNewer, WrongUsage},
	{repository.ErrAddress, WrongUsage},
	{trust.ErrNoRelease, WrongUsage},
	{txn.ErrBusy, Busy},
	{errCancelled, Cancelled},
	{context.Canceled, Cancelled},
}

// failureOf turns any error into one at the edge. otherwise is the exit of an
// error that nothing is known about.
func failureOf(err error, otherwise Exit) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	cure := ""
	if r, ok := errors.AsType[*trust.Refusal](err); ok {
		cure = r.Cure
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return &Failure{Exit: k.exit, Err: withoutLabel(err), Cure: cure}
		}
	}
	return &Failure{Exit: otherwise, Err: err}
}

// withoutLabel leaves out the name of a sentinel where it says nothing that the
// sentence and the exit code do not say.
func withoutLabel(err error) error {
	for _, label := range []error{plan.ErrUsage, plan.ErrNothingInstalled, plan.ErrDamaged, plan.ErrNotExported, answers.ErrInvalid} {
		if text, ok := strings.CutPrefix(err.Error(), label.Error()+": "); ok {
			return errors.New(text)
		}
	}
	return err
}
