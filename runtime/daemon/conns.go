package daemon

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// quietGrace is how long, at a stop, a connection without a request may stay: a request
// that is on its way arrives, and an HTTP/2 client hears that it shall go.
const quietGrace = 100 * time.Millisecond

// quietConns are the connections without a running request. At a shutdown http.Server
// waits 5 seconds for each that has not sent its first request (browsers open such ones
// in advance) and 1 second for each idle one of HTTP/2: seconds that every update would
// keep users out.
type quietConns struct {
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closing bool
}

func (q *quietConns) track(c net.Conn, state http.ConnState) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if state != http.StateNew && state != http.StateIdle {
		delete(q.conns, c)
		return
	}
	if q.closing {
		// Its answer may still be on the way out.
		time.AfterFunc(quietGrace, func() { c.Close() })
		return
	}
	if q.conns == nil {
		q.conns = map[net.Conn]struct{}{}
	}
	q.conns[c] = struct{}{}
}

func (q *quietConns) closeAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closing = true
	for c := range q.conns {
		c.Close()
	}
}
