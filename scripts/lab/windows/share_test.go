//go:build linux && lab && !soak

package windows

// pointsPerRun is how many crash points of each run are tried.
const pointsPerRun = 4

// oldKills is how often an upgrade of version 6 is killed.
const oldKills = 4
