package keyring

import (
	"os"
	"syscall"
)

// adopt gives a new key to the owner of the ring: a tool that root runs must not leave a
// key that the service cannot read.
func adopt(dir string, file *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}
