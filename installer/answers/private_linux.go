package answers

import (
	"fmt"
	"io/fs"
	"syscall"
)

// rootOnly tells a file that nobody but root can read or write.
func rootOnly(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0 && info.Mode().Perm()&0o077 == 0
}

// clearPassword says why a password in clear text is not taken, and what to do.
func clearPassword(file string) string {
	return fmt.Sprintf("a password in clear text is taken only from a file that is root's alone; "+
		"write its hash, or run: chown root %[1]s; chmod 600 %[1]s", file)
}
