package daemon

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// freshGrace is how long, at a stop, a connection may take to send its first request.
const freshGrace = 200 * time.Millisecond

// freshConns are the connections that have not sent a request yet. Browsers open such
// ones in advance, and http.Server waits 5 seconds for each at a shutdown: seconds
// that every update would keep users out.
type freshConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func (f *freshConns) track(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state != http.StateNew {
		delete(f.conns, c)
		return
	}
	if f.conns == nil {
		f.conns = map[net.Conn]struct{}{}
	}
	f.conns[c] = struct{}{}
}

func (f *freshConns) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}
