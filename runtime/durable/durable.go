// Package durable makes what was written survive a power cut.
package durable

// SyncDir makes names in a folder durable: of files that were made, renamed or removed in
// it. Files are synced by themselves, before they get the name that counts.
func SyncDir(dir string) error { return syncDir(dir) }
