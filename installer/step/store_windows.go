package step

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// storePatience is how long a stopped service may take to let its store go.
const storePatience = 5 * time.Second

// lockStore takes the lock that the database itself uses: the last byte of the
// largest offset, as bbolt does on Windows.
func lockStore(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	const exclusive = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	for deadline := time.Now().Add(storePatience); ; time.Sleep(10 * time.Millisecond) {
		at := &windows.Overlapped{Offset: ^uint32(0), OffsetHigh: ^uint32(0)}
		if err = windows.LockFileEx(windows.Handle(f.Fd()), exclusive, 0, 1, 0, at); err == nil {
			return f, nil
		}
		if !errors.Is(err, windows.ERROR_LOCK_VIOLATION) || time.Now().After(deadline) {
			return nil, errors.Join(err, f.Close())
		}
	}
}
