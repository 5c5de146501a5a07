package vfsdecrypt

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncEach: one call brings a whole file system to the disk, so that no file waits by itself.
const syncEach = false

func syncDisk(dir *os.File) error { return unix.Syncfs(int(dir.Fd())) }

func lock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
