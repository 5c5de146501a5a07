//go:build linux && lab && !soak

package windows

// pointsPerRun is how many crash points of each run are tried.
const pointsPerRun = 4
