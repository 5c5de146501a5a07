package txn

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/windows"

	"ss-setup/installer/machine"
)

// TryLock takes the lock of that name in the whole machine. It waits up to
// patience for a holder that is about to end.
func TryLock(name string, patience time.Duration) (*Lock, error) {
	m := &mutex{name: name, release: make(chan struct{}), released: make(chan struct{})}
	taken := make(chan error)
	go m.hold(patience, taken)
	if err := <-taken; err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return &Lock{m}, nil
}

// mutex is held by a thread of its own: Windows gives a mutex to a thread, and
// takes it back when that ends.
type mutex struct {
	name              string
	release, released chan struct{}
}

func (m *mutex) hold(patience time.Duration, taken chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h, err := machine.OpenLock(m.name)
	if err != nil {
		taken <- err
		return
	}
	defer windows.CloseHandle(h)
	event, err := windows.WaitForSingleObject(h, uint32(patience.Milliseconds()))
	switch {
	case err != nil:
	case event == uint32(windows.WAIT_TIMEOUT):
		err = ErrBusy
	case event != windows.WAIT_OBJECT_0 && event != windows.WAIT_ABANDONED:
		err = fmt.Errorf("waiting for it gave %d", event)
	}
	if err == nil {
		// Who it is is told to whoever meets the lock; without it they hear less.
		_ = machine.NoteHolder(m.name)
	}
	taken <- err
	if err != nil {
		return
	}
	<-m.release
	machine.ForgetHolder(m.name)
	_ = windows.ReleaseMutex(h)
	close(m.released)
}

// Close gives the mutex back.
func (m *mutex) Close() error {
	close(m.release)
	<-m.released
	return nil
}
