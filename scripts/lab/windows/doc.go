// Package windows proves the real windows/amd64 programs in a machine with wine:
// services through its service control manager, the registry, files that running
// programs keep open, exit codes, and what is left when a run is killed. What wine
// cannot show is in docs/windows.md.
package windows
