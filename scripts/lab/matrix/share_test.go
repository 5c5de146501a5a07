//go:build lab && !soak

package matrix

// everything is off: make test takes every point and a share of the calls.
const (
	everything = false
	callShare  = 7
)
