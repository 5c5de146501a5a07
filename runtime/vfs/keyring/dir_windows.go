package keyring

import "os"

// adopt has nothing to do: a new file inherits the access list of its folder.
func adopt(string, *os.File) error { return nil }
