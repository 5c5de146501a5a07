//go:build linux && lab && soak

package matrix

// make soak takes every other crash point, all where another product is involved, and more of the changing calls with
// every error.
const (
	everyErrno  = true
	pointShare  = 2
	importShare = 1
	callShare   = 19
)
