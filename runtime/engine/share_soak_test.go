//go:build linux && soak

package engine_test

// kills is what the design asks for.
const kills = 200
