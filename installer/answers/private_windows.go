package answers

import "io/fs"

// rootOnly is never known here: a mode says nothing about who may read a file.
func rootOnly(fs.FileInfo) bool { return false }
