//go:build linux && lab && !soak

package matrix

// make test takes every tenth crash point, where it starts being another for
// every scenario, and a share of the changing calls.
const (
	everyErrno  = false
	pointShare  = 10
	importShare = pointShare
	callShare   = 37
)
