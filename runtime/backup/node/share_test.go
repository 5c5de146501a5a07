//go:build linux && !soak

package node_test

// randomKills is the quick share of what make soak does.
const randomKills = 5
