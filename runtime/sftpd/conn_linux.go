package sftpd

import (
	"io"
	"os"
	"syscall"
)

// readAhead reads into a buffer that it takes when there is something to read: a
// connection that was busy and waits now holds none.
func (c *conn) readAhead() (ahead *[readAhead]byte, n int, err error) {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return c.readWaiting()
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) (done bool) {
		ahead = c.memory.ahead.Get().(*[readAhead]byte)
		for {
			n, failed = syscall.Read(int(fd), ahead[:])
			if failed != syscall.EINTR {
				break
			}
		}
		if n <= 0 {
			c.memory.ahead.Put(ahead)
			ahead = nil
		}
		return failed != syscall.EAGAIN
	})
	switch {
	case err != nil:
		return nil, 0, err
	case failed != nil:
		return nil, 0, os.NewSyscallError("read", failed)
	case n == 0:
		return nil, 0, io.EOF
	}
	return ahead, n, nil
}
