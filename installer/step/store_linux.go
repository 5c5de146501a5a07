package step

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// storePatience is how long a stopped service may take to let its store go.
const storePatience = 5 * time.Second

// lockStore takes the lock that the database itself uses: flock on its file.
func lockStore(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(storePatience); ; time.Sleep(10 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return nil, errors.Join(err, f.Close())
		}
	}
}
