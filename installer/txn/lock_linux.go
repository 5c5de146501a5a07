package txn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrBusy means that another process holds the lock.
var ErrBusy = errors.New("another ss-setup is running")

// Lock is the right to change the machine. The operating system takes it back
// when the process dies, however it dies.
type Lock struct{ f *os.File }

// TryLock takes the lock at path. It waits up to patience for a holder that is
// about to end.
func TryLock(path string, patience time.Duration) (*Lock, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &Lock{f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrBusy
	}
	return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
}

// WaitLock waits for the lock as long as it takes.
func WaitLock(ctx context.Context, path string) (*Lock, error) {
	for {
		l, err := TryLock(path, time.Second)
		if !errors.Is(err, ErrBusy) {
			return l, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

func openLock(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	return f, nil
}

// Release gives the lock back. The file stays: deleting it would let two
// processes hold two locks of the same name.
func (l *Lock) Release() error { return l.f.Close() }
