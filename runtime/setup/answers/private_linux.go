package answers

import (
	"fmt"
	"os"
	"syscall"
)

// private tells whether nobody but root, or who runs this, can read a file.
func private(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && (s.Uid == 0 || int(s.Uid) == os.Geteuid()) && info.Mode().Perm()&0o077 == 0
}

// ClearPasswordCure says why a password in clear text is not taken, and what to do.
func ClearPasswordCure(file string) string {
	return fmt.Sprintf("a password in clear text is taken only from a file that is root's alone; "+
		"write its hash, or run: chown root %[1]s; chmod 600 %[1]s", file)
}
