//go:build !linux

package signing

// worldModes: modes of files say nothing here.
const worldModes = true

// lock does nothing: releases are made on Linux.
func lock(string) (unlock func(), err error) { return func() {}, nil }
