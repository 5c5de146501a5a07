//go:build linux && soak

package node_test

// randomKills is how often a restore is killed at any moment.
const randomKills = 100
