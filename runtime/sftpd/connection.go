package sftpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/protector"
	"ss-setup/runtime/sftpd/sftp3"
)

// What the protector hears of.
const (
	offenceLogin    = protector.BadLogin
	offenceProbe    = protector.NoLogin
	offenceProtocol = protector.BadProtocol
	offenceRequest  = protector.BadRequest
)

// connection is one client from its connect to its end.
type connection struct {
	site    *Site
	conn    *conn
	addr    netip.AddrPort
	started time.Time

	// Set once by Site.enter, under the site's lock.
	id      uint64
	account Account

	// Set before that and not changed.
	login  Login
	cipher string

	active  atomic.Int64 // Unix time in nanoseconds of the last progress
	waiting atomic.Int32 // channels that wait for their client

	mu       sync.Mutex
	sessions []*sftp3.Session
	reason   error // why it ends, if the server ends it
}

// run leads the connection through its life.
func (c *connection) run() {
	defer c.recovered("connection")
	defer c.site.leave(c)
	defer c.conn.abort()
	// A log-in under way is cut when its time is over; deadlines go with the socket.
	_ = c.conn.SetDeadline(time.Now().Add(c.site.config.Load().Limits.Login))
	state := &loginState{ctx: c.conn.ctx, site: c.site, conn: c.conn}
	sshConn, channels, requests, err := ssh.NewServerConn(c.conn, state.config())
	if err != nil {
		c.loginFailed(state, err)
		return
	}
	_ = c.conn.SetDeadline(time.Time{})
	c.conn.forget(c.conn.unread.Load()) // the log-in was read
	account := sshConn.Permissions.ExtraData[accountKey{}].(Account)
	if account.Release != nil {
		defer account.Release()
	}
	c.login = state.login
	c.noteAlgorithms(sshConn)
	if err := c.site.enter(c, account); err != nil {
		c.site.log.Info("session refused", "user", account.Name, "address", c.addr, "error", err)
		c.event(Event{Kind: LoginFail, User: account.Name, Reason: err.Error()})
		return
	}
	// A change between the answer to the log-in and now found no session to check.
	if account.Recheck != nil && !c.site.recheck(c.conn.ctx, c) {
		c.event(Event{Kind: LoginFail, Reason: "the account was changed meanwhile"})
		return
	}
	c.progress()
	c.event(Event{Kind: LoggedIn, Methods: c.login.Done})
	c.site.log.Info("logged in", "session", c.id, "user", account.Name, "address", c.addr, "client", c.login.Client, "methods", c.login.Done)
	stopIdle := c.watchIdle()
	go ssh.DiscardRequests(requests)
	c.serve(channels)
	stopIdle()
	c.loggedOut()
}

// recovered ends the connection in which something went wrong that must not.
func (c *connection) recovered(where string) {
	if wrong := recover(); wrong != nil {
		c.site.log.Error("a fault of the server ended a connection", "in", where, "address", c.addr, "fault", wrong, "stack", string(debug.Stack()))
		_ = c.conn.abort()
	}
}

// loginFailed says why, and tells the protector what kind of visitor that was.
func (c *connection) loginFailed(l *loginState, err error) {
	client := c.conn.clientLine()
	e := Event{Kind: LoginFail, User: l.login.User, Client: client, Reason: brief(err.Error(), maxReason)}
	negotiation, noCommon := errors.AsType[*ssh.AlgorithmNegotiationError](err)
	switch {
	case c.site.ctx.Err() != nil:
		return
	case l.failures > 0: // told when they happened
	case l.keys > 0:
		c.site.offended(c.conn, c.addr.Addr(), offenceLogin)
	case noCommon:
		c.noteRefused(client, negotiation)
		c.site.offended(c.conn, c.addr.Addr(), offenceProbe)
	case client != "" && !strings.HasPrefix(client, "SSH-"):
		c.site.offended(c.conn, c.addr.Addr(), offenceProtocol)
		e.Reason = "it does not speak SSH"
	default:
		c.site.offended(c.conn, c.addr.Addr(), offenceProbe)
		if errors.Is(err, io.EOF) {
			e.Reason = "it left without trying to log in"
		}
	}
	c.event(e)
	c.site.log.Info("no log-in", "user", e.User, "address", c.addr, "client", fmt.Sprintf("%.80q", client), "reason", e.Reason)
}

// noteRefused remembers what a client had that the site has not switched on.
func (c *connection) noteRefused(client string, n *ssh.AlgorithmNegotiationError) {
	possible := Possible()
	for _, name := range n.RequestedAlgorithms {
		for _, l := range possible.lists() {
			if slices.Contains(*l.list, name) {
				c.site.needs.note(Need{Algorithm: name, Client: client, Addr: c.addr.Addr()})
				return // the best of those it has
			}
		}
	}
}

// noteAlgorithms remembers the weak ones that were agreed on.
func (c *connection) noteAlgorithms(s *ssh.ServerConn) {
	meta, ok := s.Conn.(ssh.AlgorithmsConnMetadata)
	if !ok {
		return
	}
	a := meta.Algorithms()
	c.cipher = a.Read.Cipher
	seen := []string{a.KeyExchange, a.HostKey, a.Read.Cipher, a.Read.MAC, a.Write.Cipher, a.Write.MAC}
	slices.Sort(seen)
	for _, name := range slices.Compact(seen) {
		if name != "" && isWeak(name) {
			c.site.needs.note(Need{Algorithm: name, User: c.login.User, Client: c.login.Client, Addr: c.addr.Addr(), Allowed: true})
		}
	}
}

// serve runs the channels that the client opens and returns when the connection is over.
func (c *connection) serve(channels <-chan ssh.NewChannel) {
	var running sync.WaitGroup
	places := make(chan struct{}, c.site.config.Load().Limits.Channels)
	for open := range channels {
		if open.ChannelType() != "session" {
			_ = open.Reject(ssh.UnknownChannelType, "this server serves SFTP only")
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			_ = open.Reject(ssh.ResourceShortage, "too many channels")
			continue
		}
		running.Go(func() {
			defer func() { <-places }()
			defer c.recovered("channel")
			c.channel(open)
		})
	}
	running.Wait()
}

// channel serves one channel: SFTP if the client asks for it, and nothing else.
func (c *connection) channel(open ssh.NewChannel) {
	ch, requests, err := open.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range requests {
		if r.Type == "subsystem" && subsystem(r.Payload) == "sftp" {
			go ssh.DiscardRequests(requests)
			_ = r.Reply(true, nil)
			c.sftp(ch)
			return
		}
		_ = r.Reply(false, nil)
		if r.Type == "shell" || r.Type == "exec" {
			_, _ = io.WriteString(ch.Stderr(), "This server serves SFTP only.\r\n")
			return
		}
	}
}

// subsystem is the name in a request; empty if it cannot be read.
func subsystem(payload []byte) string {
	var named struct{ Name string }
	if ssh.Unmarshal(payload, &named) != nil {
		return ""
	}
	return named.Name
}

func (c *connection) sftp(ch ssh.Channel) {
	s := sftp3.New(c.account.FS, sftp3.Options{
		Owner: c.account.Name, Buffers: c.site.buffers, Observe: c.fileEvent, Now: c.site.now,
	})
	c.add(s)
	defer c.remove(s)
	err := s.Serve(c.conn.ctx, &progressing{ch, c})
	switch {
	case err == nil:
		// Without it OpenSSH's client reports a failure.
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
	case errors.Is(err, sftp3.ErrProtocol):
		c.site.log.Warn("a client broke the protocol", "session", c.id, "user", c.account.Name, "address", c.addr, "client", c.login.Client, "error", err)
		c.site.offended(c.conn, c.addr.Addr(), offenceProtocol)
		c.end(err)
	}
}

func (c *connection) add(s *sftp3.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions = append(c.sessions, s)
}

func (c *connection) remove(s *sftp3.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions = slices.DeleteFunc(c.sessions, func(other *sftp3.Session) bool { return other == s })
}

func (c *connection) transfers() []sftp3.Transfer {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []sftp3.Transfer
	for _, s := range c.sessions {
		list = append(list, s.Transfers()...)
	}
	return list
}

func (c *connection) describe() Session {
	return Session{
		ID: c.id, Site: c.site.name, User: c.account.Name, Key: c.login.Key, Addr: c.addr, Client: c.login.Client,
		Started: c.started, Active: time.Unix(0, c.active.Load()), Received: c.conn.read.Load(), Sent: c.conn.sent.Load(),
		Cipher: c.cipher, Transfers: c.transfers(),
	}
}

// end ends the connection from the server's side.
func (c *connection) end(reason error) {
	c.mu.Lock()
	if c.reason == nil {
		c.reason = reason
	}
	c.mu.Unlock()
	c.conn.cancel()
	_ = c.conn.Close()
}

func (c *connection) loggedOut() {
	c.mu.Lock()
	reason := "the client left"
	if c.reason != nil {
		reason = c.reason.Error()
	}
	c.mu.Unlock()
	c.event(Event{Kind: LoggedOut, Reason: reason})
	c.site.log.Info("logged out", "session", c.id, "user", c.account.Name, "address", c.addr, "reason", reason,
		"received", c.conn.read.Load(), "sent", c.conn.sent.Load())
}

// event fills in what is known of the connection.
func (c *connection) event(e Event) {
	e.Time, e.Site, e.Addr, e.Session = c.site.now(), c.site.name, c.addr.Addr(), c.id
	if c.id != 0 {
		e.User, e.Client = c.account.Name, c.login.Client
	}
	c.site.events(e)
}

func (c *connection) fileEvent(e sftp3.Event) {
	if e.Err != nil {
		c.site.offended(c.conn, c.addr.Addr(), offenceRequest)
	}
	c.event(Event{Kind: FileChange, File: &e})
}

func (c *connection) progress() { c.active.Store(c.site.now().UnixNano()) }

// progressing notes when a client asks for something or takes an answer.
type progressing struct {
	ssh.Channel
	c *connection
}

func (p *progressing) Read(b []byte) (int, error) {
	p.c.waiting.Add(1)
	n, err := p.Channel.Read(b)
	p.c.conn.taken(n)
	p.c.progress()
	p.c.waiting.Add(-1)
	return n, err
}

func (p *progressing) Write(b []byte) (written int, err error) {
	p.c.waiting.Add(1)
	defer p.c.waiting.Add(-1)
	for len(b) > 0 && err == nil {
		part := b
		if p.c.site.sessions.Load() > crowd {
			part = b[:min(len(b), crowdWrite)]
		}
		var n int
		n, err = p.Channel.Write(part)
		p.c.conn.gave(n)
		p.c.progress()
		written, b = written+n, b[n:]
	}
	return written, err
}

// x/crypto/ssh keeps, for each connection, buffers as large as the largest packet that
// was sent on it. Where there are many connections, packets are smaller.
const (
	crowd      = 256
	crowdWrite = 16 << 10
)

// errIdle is why an idle session ends.
var errIdle = errors.New("idle for too long")

// watchIdle ends the connection when nothing has moved for as long as the site allows.
// A request that takes long, such as the hash of a large file, is not idleness.
func (c *connection) watchIdle() (stop func()) {
	ctx, cancel := context.WithCancel(c.conn.ctx)
	go func() {
		for {
			left := idleLook
			if limit := c.site.config.Load().Limits.Idle; limit > 0 {
				left = limit - c.site.now().Sub(time.Unix(0, c.active.Load()))
				if left <= 0 && c.busy() {
					left = limit
				}
			}
			if left <= 0 {
				c.end(errIdle)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(min(left, idleLook)):
			}
		}
	}()
	return cancel
}

// idleLook is after how long a changed limit is seen at the latest.
const idleLook = time.Minute

// busy tells that the server owes an answer.
func (c *connection) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	running := 0
	for _, s := range c.sessions {
		if s.Running() {
			running++
		}
	}
	return int(c.waiting.Load()) < running
}
