package sftpd

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// readAhead is read at once from a connection on which much comes in.
	readAhead = 64 << 10
	// hot is a read that says so.
	hot = 4 << 10
	// gather is how much is collected for one write to the socket.
	gather = 128 << 10
	// closeGrace is how long a close waits for what is on its way out.
	closeGrace = time.Second
)

// memory bounds what the connections of a site use for gathering; those that get none
// write through.
type memory struct {
	ahead, out sync.Pool
	left       chan struct{}
	// unread is what came in and was not taken by a session yet, of all connections:
	// x/crypto/ssh keeps up to 2 MiB for each.
	unread atomic.Int64
}

const (
	// maxUnread is what all connections may have unread together before each is held
	// back to shareUnread.
	maxUnread   = 48 << 20
	shareUnread = 64 << 10
	// holdStep and maxHold are how a connection is held back: sockets fill, and their
	// clients wait. It ends by itself because what is unread is an estimate.
	holdStep = 5 * time.Millisecond
	maxHold  = 200 * time.Millisecond
)

func newMemory(gathering int) *memory {
	m := &memory{left: make(chan struct{}, gathering)}
	for range gathering {
		m.left <- struct{}{}
	}
	m.ahead.New = func() any { return new([readAhead]byte) }
	m.out.New = func() any { return new([gather]byte) }
	return m
}

// speed limits both directions of all sessions of a user together.
type speed struct{ up, down *rate.Limiter }

// minBurst is passed at once, however slow: an SSH packet must fit.
const minBurst = 64 << 10

func newSpeed(up, down int64) *speed {
	s := &speed{rate.NewLimiter(rate.Inf, minBurst), rate.NewLimiter(rate.Inf, minBurst)}
	s.set(up, down)
	return s
}

// set changes the limits, in bytes a second; 0 is none.
func (s *speed) set(up, down int64) {
	for _, l := range []struct {
		limiter *rate.Limiter
		limit   int64
	}{{s.up, up}, {s.down, down}} {
		if l.limit <= 0 {
			l.limiter.SetLimit(rate.Inf)
			continue
		}
		l.limiter.SetLimit(rate.Limit(l.limit))
		l.limiter.SetBurst(int(max(l.limit/4, minBurst)))
	}
}

func wait(ctx context.Context, l *rate.Limiter, n int) {
	for n > 0 && l.Limit() != rate.Inf {
		part := min(n, l.Burst())
		if l.WaitN(ctx, part) != nil {
			return // the connection ends
		}
		n -= part
	}
}

// conn is a client's connection as x/crypto/ssh sees it. That library reads and writes
// in pieces of 4 KiB to 32 KiB; conn makes few system calls of them. It knows nothing
// of SSH but the client's first line.
type conn struct {
	net.Conn
	memory *memory
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	speed  atomic.Pointer[speed] // nil for none
	read   atomic.Int64
	sent   atomic.Int64
	unread atomic.Int64

	// Of the one reader.
	ahead      *[readAhead]byte
	rest       []byte // of ahead
	hot        bool
	banner     []byte
	bannerDone bool

	mu      sync.Mutex
	drained sync.Cond
	pending []byte // what is to be sent, in out
	out     *[gather]byte
	sending bool
	err     error // of an earlier write
}

func newConn(c net.Conn, m *memory) *conn {
	ctx, cancel := context.WithCancel(context.Background())
	w := &conn{Conn: c, memory: m, ctx: ctx, cancel: cancel}
	w.drained.L = &w.mu
	return w
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		c.holdBack()
		n, err := c.fill(p)
		if n > 0 {
			c.read.Add(int64(n))
			c.unread.Add(int64(n))
			c.memory.unread.Add(int64(n))
			if c.ctx.Err() != nil { // nobody will take it
				c.forget(c.unread.Load())
			}
			c.hot = n >= hot
			if s := c.speed.Load(); s != nil {
				wait(c.ctx, s.up, n)
			}
		}
		if len(c.rest) == 0 {
			c.noteBanner(p[:max(n, 0)])
			return n, err
		}
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.memory.ahead.Put(c.ahead)
		c.ahead = nil
	}
	return n, nil
}

// holdBack waits while all connections together have too much unread, and this one its
// share of it.
func (c *conn) holdBack() {
	for held := time.Duration(0); held < maxHold && c.unread.Load() > shareUnread && c.memory.unread.Load() > maxUnread; held += holdStep {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(holdStep):
		}
	}
}

// taken says that a session has taken n bytes that came in, or has sent them, which its
// client acknowledges. What SSH adds to them is estimated on the high side.
func (c *conn) taken(n int) { c.forget(int64(n + n/16 + 128)) }
func (c *conn) gave(n int)  { c.forget(int64(n/256 + 128)) }

// forget takes n bytes, or as many as there are, from what is unread.
func (c *conn) forget(n int64) {
	for {
		have := c.unread.Load()
		n = min(n, have)
		if n <= 0 {
			return
		}
		if c.unread.CompareAndSwap(have, have-n) {
			c.memory.unread.Add(-n)
			return
		}
	}
}

// fill reads ahead on a connection on which much comes in, else into p.
func (c *conn) fill(p []byte) (int, error) {
	if !c.hot || len(p) >= readAhead {
		return c.Conn.Read(p)
	}
	ahead, n, err := c.readAhead()
	if n > 0 {
		// An error beside data comes again at the next read.
		c.ahead, c.rest = ahead, ahead[:n]
		return n, nil
	}
	return 0, err
}

// readWaiting reads into a buffer that it holds while it waits.
func (c *conn) readWaiting() (*[readAhead]byte, int, error) {
	ahead := c.memory.ahead.Get().(*[readAhead]byte)
	n, err := c.Conn.Read(ahead[:])
	if n <= 0 {
		c.memory.ahead.Put(ahead)
		return nil, 0, err
	}
	return ahead, n, nil
}

// maxBanner bounds the line in which a client says what it is.
const maxBanner = 255

func (c *conn) noteBanner(b []byte) {
	if c.bannerDone {
		return
	}
	line, _, end := bytes.Cut(b, []byte("\n"))
	c.banner = append(c.banner, line[:min(len(line), maxBanner-len(c.banner))]...)
	c.bannerDone = end || len(c.banner) == maxBanner
}

// clientLine is the client's first line. It is for the goroutine that reads, or for
// when that is done.
func (c *conn) clientLine() string { return string(bytes.TrimRight(c.banner, "\r\n")) }

// Write implements net.Conn. It takes p and returns; what goes wrong later is the error
// of the next write.
func (c *conn) Write(p []byte) (int, error) {
	if s := c.speed.Load(); s != nil {
		wait(c.ctx, s.down, len(p))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := 0
	for taken < len(p) {
		if c.err != nil {
			return taken, c.err
		}
		if c.out == nil && !c.startGathering() {
			n, err := c.writeThrough(p[taken:])
			return taken + n, err
		}
		room := min(len(p)-taken, gather-len(c.pending))
		if room == 0 {
			c.drained.Wait()
			continue
		}
		c.pending = append(c.pending, p[taken:taken+room]...)
		taken += room
		if !c.sending {
			c.sending = true
			go c.send()
		}
	}
	return taken, nil
}

// startGathering takes a buffer, if there is one.
func (c *conn) startGathering() bool {
	select {
	case <-c.memory.left:
		c.out = c.memory.out.Get().(*[gather]byte)
		c.pending = c.out[:0]
		return true
	default:
		return false
	}
}

func (c *conn) stopGathering(out *[gather]byte) {
	c.memory.out.Put(out)
	c.memory.left <- struct{}{}
}

// writeThrough waits until what was gathered before is out.
func (c *conn) writeThrough(p []byte) (int, error) {
	for c.sending {
		c.drained.Wait()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// send writes what is pending until nothing is.
func (c *conn) send() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 && c.err == nil {
		out, pending := c.out, c.pending
		c.out, c.pending = nil, nil
		c.mu.Unlock()
		n, err := c.Conn.Write(pending)
		c.sent.Add(int64(n))
		c.stopGathering(out)
		c.mu.Lock()
		if err != nil {
			c.err = err
		}
		c.drained.Broadcast()
	}
	if c.out != nil { // after an error
		c.stopGathering(c.out)
		c.out, c.pending = nil, nil
	}
	c.sending = false
	c.drained.Broadcast()
}

// Close lets out what was written, for a moment, and closes.
func (c *conn) Close() error {
	_ = c.SetWriteDeadline(time.Now().Add(closeGrace))
	c.mu.Lock()
	for c.sending {
		c.drained.Wait()
	}
	if c.err == nil {
		c.err = net.ErrClosed
	}
	c.mu.Unlock()
	return c.abort()
}

// abort closes without regard to what was not sent.
func (c *conn) abort() error {
	c.cancel()
	c.forget(c.unread.Load())
	return c.Conn.Close()
}
