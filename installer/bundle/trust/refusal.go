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
}

// Error names the check that failed and says why.
func (r *Refusal) Error() string {
	return fmt.Sprintf("%s (%s): %v", bundle.ErrUntrusted, r.Check, r.Err)
}

// Unwrap makes a Refusal match bundle.ErrUntrusted and what caused it.
func (r *Refusal) Unwrap() []error { return []error{bundle.ErrUntrusted, r.Err} }

// Refuse is a Refusal with a sentence.
func Refuse(c Check, format string, args ...any) error {
	return &Refusal{Check: c, Err: fmt.Errorf(format, args...)}
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
		return Refuse(version, "%s metadata: %s", role, number.Msg)
	case errors.As(err, &expired) && role == metadata.ROOT:
		return Refuse(ExpiredRoot, "%s; its owner must publish a new one, or the clock of this machine is wrong", expired.Msg)
	case errors.As(err, &expired):
		return Refuse(Freeze, "%s; somebody may be withholding newer releases, its owner must sign it anew, or the clock of this machine is wrong", expired.Msg)
	case errors.As(err, &hash):
		return Refuse(MixAndMatch, "the %s metadata are not the ones that belong to the others: %s", role, hash.Msg)
	case errors.As(err, &repo):
		return Refuse(MixAndMatch, "%s metadata: %s", role, repo.Msg)
	}
	return Refuse(Truncated, "the %s metadata cannot be read: %w", role, err)
}
