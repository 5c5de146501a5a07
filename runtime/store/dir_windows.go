package store

// Adopt has nothing to do: a new file inherits the access list of its folder.
func Adopt(_, _ string) error { return nil }
