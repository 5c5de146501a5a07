//go:build linux && lab && soak

package matrix

// make soak takes every crash point and every third changing call.
const (
	everyErrno = true
	pointShare = 1
	callShare  = 3
)
