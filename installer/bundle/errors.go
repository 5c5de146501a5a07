package bundle

import (
	"errors"
	"fmt"
)

var (
	// ErrDamaged is what errors.Is finds in every error that means: the bytes of
	// this package are not the bytes that were released. A full disk or a
	// cancelled run is never reported so.
	ErrDamaged = errors.New("the package is damaged")

	// ErrNewer is found in the error of a manifest whose schema this program
	// does not know yet. The package itself may be in order.
	ErrNewer = errors.New("the package needs a newer ss-setup")

	// ErrUntrusted is found in the error of a manifest that a Verifier refused.
	ErrUntrusted = errors.New("the package is not trusted")
)

// damagedf says what is wrong with which part of the package; errors that it
// wraps with %w stay visible.
func damagedf(format string, args ...any) error {
	return fmt.Errorf("%w: %w; get it again from where it was released",
		ErrDamaged, fmt.Errorf(format, args...))
}
