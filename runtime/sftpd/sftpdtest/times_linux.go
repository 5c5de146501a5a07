package sftpdtest

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func setTimes(f *os.File, atime, mtime time.Time) error {
	return unix.Futimes(int(f.Fd()), []unix.Timeval{
		unix.NsecToTimeval(atime.UnixNano()), unix.NsecToTimeval(mtime.UnixNano()),
	})
}
