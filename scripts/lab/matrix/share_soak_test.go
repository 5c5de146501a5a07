//go:build lab && soak

package matrix

// everything is on: make soak fails every changing call with every error.
const (
	everything = true
	callShare  = 1
)
