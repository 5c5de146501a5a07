package machine

import (
	"os"
	"syscall"
)

// Privileged tells whether this process may change the machine.
func Privileged() bool { return os.Geteuid() == 0 }

// PrivilegedUser is who may change the machine.
const PrivilegedUser = "root"

// OnlyPrivileged tells an open file that nobody but root can read or write.
func OnlyPrivileged(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0 && info.Mode().Perm()&0o077 == 0
}
