package sftpdtest

import (
	"os"
	"time"
)

func setTimes(f *os.File, atime, mtime time.Time) error { return os.Chtimes(f.Name(), atime, mtime) }
