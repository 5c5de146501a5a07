//go:build linux && lab && soak

package matrix

// make soak takes every other crash point, and more of the changing calls with
// every error.
const (
	everyErrno = true
	pointShare = 2
	callShare  = 19
)
