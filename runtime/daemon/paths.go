package daemon

import "path/filepath"

// ACME is the folder of the accounts and certificates of authorities, of a server whose
// state is in that folder: in its key ring, outside the generations.
func ACME(state string) string { return filepath.Join(KeyRing(state), "acme") }
