package control

import (
	"net"
	"testing"
	"time"
)

// likePipe is a connection on which, as on a pipe of Windows, an empty write ends the stream
// for who reads it.
type likePipe struct {
	net.Conn
	sent, empty int
}

// Write implements net.Conn.
func (c *likePipe) Write(p []byte) (int, error) {
	if len(p) == 0 {
		c.empty++
	}
	c.sent += len(p)
	return len(p), nil
}

// SetWriteDeadline implements net.Conn.
func (c *likePipe) SetWriteDeadline(time.Time) error { return nil }

func TestTheEndOfAStreamIsNotTheEndOfThePipe(t *testing.T) {
	c := &likePipe{}
	w := &frameWriter{conn: c}
	if _, err := w.Write([]byte("words")); err != nil {
		t.Fatal(err)
	}
	if err := w.end(); err != nil || c.empty != 0 || c.sent != 4+len("words")+4 {
		t.Errorf("%d bytes with %d empty writes: %v", c.sent, c.empty, err)
	}
}
