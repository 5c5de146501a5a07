//go:build !faults

package cli

// simulate is where a build for fault tests puts its faults; this one has none.
func (*session) simulate() error { return nil }
