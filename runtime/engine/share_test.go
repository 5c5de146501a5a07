//go:build linux && !soak

package engine_test

// kills is the quick share of what make soak does.
const kills = 10
