package answers

import "io/fs"

// rootOnly is never known here: a mode says nothing about who may read a file.
func rootOnly(fs.FileInfo) bool { return false }

// clearPassword says why a password in clear text is not taken.
func clearPassword(string) string {
	return "a password in clear text is not taken on Windows, where it cannot be told who reads the file; write its hash"
}
