package vfs

// HostRules are the rules for names on this operating system.
func HostRules() Rules { return Rules{} }
