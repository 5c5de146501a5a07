package keyring

import (
	"errors"
	"fmt"
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

// syncDir makes a new name in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open the key ring to sync it: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
