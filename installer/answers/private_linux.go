package answers

import (
	"io/fs"
	"syscall"
)

// rootOnly tells a file that nobody but root can read or write.
func rootOnly(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0 && info.Mode().Perm()&0o077 == 0
}
