// Package matrix sweeps faults over ss-setup: every plan of every verb is cut at
// every crash point and fails at every changing call, on the way forth, on the
// way back and in recovery. Cases are generated from what a run does, so a new
// step is covered the day it is written.
//
// Each case is the real program as a process of its own below a folder of its
// own, with a service manager that records, and a second process that recovers.
// Afterwards the folder must be exactly as before or exactly as after.
package matrix
