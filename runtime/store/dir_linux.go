package store

import (
	"fmt"
	"os"
	"syscall"
)

// Adopt gives a new file to the owner of the folder it is made in. A migration that
// root runs by hand must not leave a store that the service cannot open.
func Adopt(dir, file string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the owner of the store's folder: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
		return fmt.Errorf("give the new store to the owner of its folder: %w", err)
	}
	return nil
}
