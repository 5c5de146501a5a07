package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// LockHolder tells whether somebody holds the lock (flock) on a file, and which
// process if the kernel tells; 0 for one of another container. It waits for
// nobody and makes no file.
func LockHolder(f *FS, path string) (pid int, held bool, err error) {
	file, err := os.OpenFile(f.Real(path), os.O_RDONLY|noFollow, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look at the lock: %w", err)
	}
	defer file.Close()
	err = unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		return 0, false, nil
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, false, fmt.Errorf("look at the lock %s: %w", path, err)
	}
	info, err := file.Stat()
	if err != nil {
		return 0, true, fmt.Errorf("look at the lock %s: %w", path, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, true, nil
	}
	table, err := os.ReadFile(procDir + "/locks")
	if err != nil {
		return 0, true, nil // a kernel that does not tell
	}
	return holder(string(table), stat.Ino), true, nil
}

// holder finds in /proc/locks who has a flock on an inode. The device there is
// not always the one that stat tells (overlayfs, btrfs), so only the inode
// counts; the lock is known to be held.
func holder(table string, inode uint64) int {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		// 1: FLOCK ADVISORY WRITE 812 00:19:34 0 EOF; "->" after the number marks one who waits.
		if len(fields) < 6 || fields[1] != "FLOCK" {
			continue
		}
		if !strings.HasSuffix(fields[5], ":"+strconv.FormatUint(inode, 10)) {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}

// HolderCommand is the command line of a process that holds a lock; empty when it
// is not told.
func HolderCommand(_ string, pid int) string {
	return strings.Join(arguments(pid), " ")
}
