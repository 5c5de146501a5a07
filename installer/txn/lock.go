package txn

import (
	"context"
	"errors"
	"io"
	"time"
)

// ErrBusy means that another process holds the lock.
var ErrBusy = errors.New("another ss-setup is running")

// Lock is the right to change the machine. The operating system takes it back
// when the process dies, however it dies.
type Lock struct{ f io.Closer }

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

// Release gives the lock back. The file stays: deleting it would let two
// processes hold two locks of the same name.
func (l *Lock) Release() error { return l.f.Close() }
