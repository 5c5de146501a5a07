package trust

import (
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ss-setup/installer/bundle"
)

// Check is one of the things that metadata and packages are held to. Its text is
// what a message calls it.
type Check string

// The checks, named after the attacks that they stop.
const (
	NoRoot      Check = "no trusted root"
	WrongSigner Check = "wrong signer"
	Rollback    Check = "rollback"
	Freeze      Check = "freeze"
	MixAndMatch Check = "mix-and-match"
	ExpiredRoot Check = "expired root"
	Truncated   Check = "truncated"
	Oversized   Check = "oversized"
	Swapped     Check = "swapped target"
	Unsigned    Check = "unsigned"
)

// Refusal is the error of a package that is not trusted. It matches
// bundle.ErrUntrusted.
type Refusal struct {
	Check Check
	Err   error
	// Cure is what to do about it; empty when the sentence says that.
	Cure string
}

// The cures of refusals. Each holds for a package on a medium and for a repository.
const (
	cureSigner = "get the package again from the vendor of this ss-setup; if a key was replaced since it was made, take the vendor's newest package, or install from the vendor's repository (--from ADDRESS)"
	cureWhole  = "get the whole package again from the vendor, with the folder metadata; from a repository: try another mirror (--mirror ADDRESS), or later"
	cureBehind = "try another mirror (--mirror ADDRESS), or later; if it stays so, tell the vendor"
	cureClock  = "look at the clock of this machine, then try another mirror (--mirror ADDRESS), or later; the newest package of the vendor installs without a repository (--from DIR)"
	cureGone   = "get the newest package from the vendor, or install from the vendor's repository (--from ADDRESS)"
	cureRoot   = "look at the clock of this machine, then get the vendor's newest package and run the ss-setup in it"
)

var cures = map[Check]string{
	WrongSigner: cureSigner, Unsigned: cureWhole, Rollback: cureBehind, Freeze: cureClock, ExpiredRoot: cureRoot,
	MixAndMatch: cureWhole, Truncated: cureWhole, Oversized: cureWhole, Swapped: cureWhole,
}

// Error names the check that failed and says why.
func (r *Refusal) Error() string {
	return fmt.Sprintf("%s (%s): %v", bundle.ErrUntrusted, r.Check, r.Err)
}

// Unwrap makes a Refusal match bundle.ErrUntrusted and what caused it.
func (r *Refusal) Unwrap() []error { return []error{bundle.ErrUntrusted, r.Err} }

// Refuse is a Refusal with a sentence, and the cure that its check has.
func Refuse(c Check, format string, args ...any) error {
	return &Refusal{Check: c, Err: fmt.Errorf(format, args...), Cure: cures[c]}
}

// refused turns an error of the TUF library into a Refusal. version is the check
// that a wrong version number means at that place.
func refused(role string, version Check, err error) error {
	if _, done := errors.AsType[*Refusal](err); done {
		return err
	}
	var (
		unsigned *metadata.ErrUnsignedMetadata
		number   *metadata.ErrBadVersionNumber
		expired  *metadata.ErrExpiredMetadata
		hash     *metadata.ErrLengthOrHashMismatch
		repo     *metadata.ErrRepository
	)
	switch {
	case errors.As(err, &unsigned):
		return Refuse(WrongSigner, "the %s metadata are not signed by the key that may sign them", role)
	case errors.As(err, &number):
		return Refuse(version, "the %s metadata are not of the version that belongs to the others, or go back to an older one", role)
	case errors.As(err, &expired) && role == metadata.ROOT:
		return Refuse(ExpiredRoot, "the root of trust is past its date; its owner must publish a new one, or the clock of this machine is wrong")
	case errors.As(err, &expired):
		return Refuse(Freeze, "the %s metadata are past their date; somebody may be withholding newer releases, their owner must sign them anew, or the clock of this machine is wrong", role)
	case errors.As(err, &hash):
		return Refuse(MixAndMatch, "the %s metadata are not the ones that belong to the others: their size or SHA-256 is another", role)
	case errors.As(err, &repo):
		return Refuse(MixAndMatch, "the %s metadata do not say what they have to", role)
	}
	return Refuse(Truncated, "the %s metadata cannot be read: %w", role, err)
}
