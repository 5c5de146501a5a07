package machine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	accountsLock = "/etc/.pwd.lock"
	// lockWait is as long as lckpwdf(3) waits.
	lockWait = 15 * time.Second
)

// lock takes the lock that all programs which change accounts take first, as
// lckpwdf(3) does. The lock is of the kind that belongs to the open file, not to
// the process, where any other close of the file would give it away; the two
// kinds exclude each other.
func (a *accounts) lock(ctx context.Context) (unlock func() error, err error) {
	open := a.fs.OpenWrite
	if !a.fs.Exists(accountsLock) {
		open = func(path string) (*File, error) { return a.fs.Create(path, 0o600) }
	}
	file, err := open(accountsLock)
	if err != nil {
		return nil, fmt.Errorf("lock accounts: %w", err)
	}
	var lockErr error
	got := waitUntil(ctx, lockWait, func() bool {
		lockErr = unix.FcntlFlock(file.f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		return lockErr == nil || !errors.Is(lockErr, unix.EAGAIN) && !errors.Is(lockErr, unix.EACCES)
	})
	switch {
	case got && lockErr == nil:
		return file.Close, nil
	case got:
		err = fmt.Errorf("lock accounts with %s: %w", accountsLock, lockErr)
	case ctx.Err() != nil:
		err = fmt.Errorf("lock accounts with %s: %w", accountsLock, context.Cause(ctx))
	default:
		err = fmt.Errorf("lock accounts with %s: another program has held it for %v; end that program (fuser -v %[1]s)", accountsLock, lockWait)
	}
	return nil, errors.Join(err, file.Close())
}
