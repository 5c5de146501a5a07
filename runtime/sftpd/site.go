package sftpd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/protector"
	"ss-setup/runtime/sftpd/sftp3"
)

// Limits bound what clients can take. Zero is no limit, but for the fields that say
// otherwise.
type Limits struct {
	Connections int // of the site
	PerAddress  int // connections of one address
	PerUser     int // sessions of one user, unless the account says less
	// Unauthenticated bounds connections that are not logged in; 0 is 100.
	Unauthenticated int
	// Channels bounds what one connection may run at a time; 0 is 4.
	Channels int
	// Login is how long a log-in may take; 0 is a minute.
	Login time.Duration
	// Idle ends a session that asks for nothing.
	Idle time.Duration
	// Drain is how long a stop waits for transfers; 0 is 30 seconds.
	Drain time.Duration
}

func (l *Limits) complete() {
	for _, d := range []struct {
		limit *int
		usual int
	}{{&l.Unauthenticated, 100}, {&l.Channels, 4}} {
		if *d.limit == 0 {
			*d.limit = d.usual
		}
	}
	if l.Login == 0 {
		l.Login = time.Minute
	}
	if l.Drain == 0 {
		l.Drain = 30 * time.Second
	}
}

// Config is what an administrator sets for a site.
type Config struct {
	Name       string
	HostKeys   []ssh.Signer
	Algorithms Algorithms
	Limits     Limits
	// SoftwareID is what the server calls itself, SSServer if empty.
	SoftwareID string
	// Banner is shown before the log-in.
	Banner string
	// Rekey is after how many bytes new keys are made; 0 is what the cipher asks for.
	Rekey uint64
}

// Protector decides about addresses.
type Protector interface {
	// Admit is asked for every connection; an error refuses it.
	Admit(addr netip.Addr) error
	// Offend tells of bad behaviour and returns whether the address is refused from
	// now on.
	Offend(addr netip.Addr, o protector.Offence) bool
}

// Parts are what a site works with.
type Parts struct {
	Accounts  Accounts
	Protector Protector   // nil for none
	Events    func(Event) // nil for nobody; it must not block
	Log       *slog.Logger
	Now       func() time.Time // nil is the machine's clock
}

// Memory of a site's transfers: buffers for large reads in bytes, and how many
// connections may gather what they send.
const (
	largeReads = 32 << 20
	gathering  = 256
)

// Site is a virtual site's SFTP server.
type Site struct {
	name     string
	config   atomic.Pointer[settled]
	accounts Accounts
	protect  Protector
	events   func(Event)
	log      *slog.Logger
	now      func() time.Time
	needs    *needs
	memory   *memory
	buffers  *sftp3.Buffers

	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	sessions atomic.Int64

	mu        sync.Mutex
	listeners []net.Listener
	conns     map[*connection]struct{}
	speeds    map[string]*userSpeed
	lastID    uint64
	stopped   bool
}

type userSpeed struct {
	*speed
	sessions int
}

// settled is a configuration that was checked and completed.
type settled struct {
	Config
	signers []ssh.Signer
}

func settle(c Config) (*settled, error) {
	algorithms, err := c.Algorithms.Complete()
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", c.Name, err)
	}
	c.Algorithms = algorithms
	signers, err := algorithms.signers(c.HostKeys)
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", c.Name, err)
	}
	c.Limits.complete()
	return &settled{c, signers}, nil
}

// ErrStopped is why sessions end when the site stops.
var ErrStopped = errors.New("the server is stopping")

// New checks the configuration and makes a site that does not listen yet.
func New(c Config, p Parts) (*Site, error) {
	checked, err := settle(c)
	if err != nil {
		return nil, err
	}
	s := &Site{
		name: c.Name, accounts: p.Accounts, protect: p.Protector, events: p.Events, log: p.Log, now: p.Now,
		memory: newMemory(gathering), buffers: sftp3.NewBuffers(largeReads),
		conns: map[*connection]struct{}{}, speeds: map[string]*userSpeed{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("site", c.Name)
	if s.now == nil {
		s.now = time.Now
	}
	if s.events == nil {
		s.events = func(Event) {}
	}
	s.needs = newNeeds(s.now, s.log)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.use(checked)
	return s, nil
}

// Configure changes the configuration, but not the name. Whoever connects from now on
// finds it; sessions that run go on, within the new limits for being idle.
func (s *Site) Configure(c Config) error {
	c.Name = s.name
	checked, err := settle(c)
	if err == nil {
		s.use(checked)
	}
	return err
}

func (s *Site) use(c *settled) {
	s.config.Store(c)
	if weak := c.Algorithms.Weak(); len(weak) > 0 {
		s.log.Warn("weak algorithms are switched on; see who needs them and switch them off again", "algorithms", weak)
	}
}

// Listen opens all addresses, each HOST:PORT, or none, and serves them until Stop.
func (s *Site) Listen(addresses ...string) error {
	var opened []net.Listener
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
			return fmt.Errorf("site %s cannot listen: %w", s.name, err)
		}
		opened = append(opened, l)
	}
	for _, l := range opened {
		s.Serve(l)
	}
	return nil
}

// Serve takes connections from l until it is closed, at the latest by Stop. It returns
// at once; connections outlive their listener.
func (s *Site) Serve(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		_ = l.Close()
		return
	}
	s.listeners = append(s.listeners, l)
	s.wg.Go(func() {
		s.accept(l)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.listeners = slices.DeleteFunc(s.listeners, func(other net.Listener) bool { return other == l })
	})
}

// Addrs are the addresses that the site listens on.
func (s *Site) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var addrs []net.Addr
	for _, l := range s.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

// acceptPause is the pause after an accept that failed, which is the machine's lack of
// something.
const acceptPause = 50 * time.Millisecond

func (s *Site) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			s.ServeConn(c)
		case errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil:
			return
		default:
			s.log.Error("cannot accept a connection", "address", l.Addr(), "error", err)
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(acceptPause):
			}
		}
	}
}

// ServeConn serves one client that has connected already. It returns at once.
func (s *Site) ServeConn(raw net.Conn) {
	c := &connection{site: s, conn: newConn(raw, s.memory), addr: addrPortOf(raw.RemoteAddr()), started: s.now()}
	c.active.Store(c.started.UnixNano())
	if err := s.admit(c); err != nil {
		_ = c.conn.abort()
		s.log.Debug("connection refused", "address", c.addr, "error", err)
		return
	}
	s.wg.Go(c.run)
}

// errLimit is a connection too many.
var errLimit = errors.New("too many connections")

// admit decides whether a connection is served, and counts it.
func (s *Site) admit(c *connection) error {
	if s.protect != nil {
		if err := s.protect.Admit(c.addr.Addr()); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return ErrStopped
	}
	limits := s.config.Load().Limits
	sameAddress, strangers := 0, 0
	for other := range s.conns {
		if other.addr.Addr() == c.addr.Addr() {
			sameAddress++
		}
		if other.id == 0 {
			strangers++
		}
	}
	switch {
	case exceeded(len(s.conns), limits.Connections):
		return fmt.Errorf("%w: the site takes %d", errLimit, limits.Connections)
	case exceeded(sameAddress, limits.PerAddress):
		return fmt.Errorf("%w: one address has %d", errLimit, limits.PerAddress)
	case exceeded(strangers, limits.Unauthenticated):
		return fmt.Errorf("%w: %d are not logged in", errLimit, limits.Unauthenticated)
	}
	s.conns[c] = struct{}{}
	return nil
}

func exceeded(have, limit int) bool { return limit > 0 && have >= limit }

// enter makes a session of a connection that logged in.
func (s *Site) enter(c *connection, a Account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.config.Load().Limits.PerUser
	if a.MaxSessions > 0 && (limit == 0 || a.MaxSessions < limit) {
		limit = a.MaxSessions
	}
	have := 0
	for other := range s.conns {
		if other.id != 0 && other.account.Name == a.Name {
			have++
		}
	}
	if exceeded(have, limit) {
		return fmt.Errorf("%w: user %s has %d sessions", errLimit, a.Name, have)
	}
	shared := s.speeds[a.Name]
	if shared == nil {
		shared = &userSpeed{speed: newSpeed(a.Up, a.Down)}
		s.speeds[a.Name] = shared
	}
	shared.set(a.Up, a.Down)
	shared.sessions++
	if a.Up > 0 || a.Down > 0 {
		c.conn.speed.Store(shared.speed)
	}
	s.sessions.Add(1)
	s.lastID++
	c.id, c.account = s.lastID, a
	return nil
}

// leave forgets a connection.
func (s *Site) leave(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.id == 0 {
		return
	}
	s.sessions.Add(-1)
	if shared := s.speeds[c.account.Name]; shared != nil {
		if shared.sessions--; shared.sessions == 0 {
			delete(s.speeds, c.account.Name)
		}
	}
}

// SetSpeed changes the limits of a user's running sessions, in bytes a second; 0 is none.
func (s *Site) SetSpeed(user string, up, down int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared := s.speeds[user]
	if shared == nil {
		return
	}
	shared.set(up, down)
	for c := range s.conns {
		if c.id != 0 && c.account.Name == user {
			c.conn.speed.Store(shared.speed)
		}
	}
}

// Sessions lists who is logged in, in the order in which they came.
func (s *Site) Sessions() []Session {
	var list []Session
	for _, c := range s.connections() {
		list = append(list, c.describe())
	}
	slices.SortFunc(list, func(a, b Session) int { return int(int64(a.ID) - int64(b.ID)) })
	return list
}

// connections are those that are logged in.
func (s *Site) connections() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*connection
	for c := range s.conns {
		if c.id != 0 {
			list = append(list, c)
		}
	}
	return list
}

// Kick ends the sessions for which which says so - one by its ID, all of a user, all
// that came in by a key - and returns how many it ended.
func (s *Site) Kick(reason string, which func(Session) bool) int {
	return s.each(which, func(c *connection) bool {
		c.end(errors.New(reason))
		return true
	})
}

// Recheck asks whether the running sessions for which which says so - nil is all - may
// still be, after users, keys or rights have changed, and ends those that may not. It
// returns how many it ended.
func (s *Site) Recheck(ctx context.Context, which func(Session) bool) int {
	return s.each(which, func(c *connection) bool { return !s.recheck(ctx, c) })
}

// atOnce bounds how many sessions are looked at in parallel: to end one may take as long
// as its client lets it.
const atOnce = 64

// each does something to sessions and returns for how many it was true.
func (s *Site) each(which func(Session) bool, do func(*connection) bool) int {
	var count atomic.Int64
	var running sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, c := range s.connections() {
		if which != nil && !which(c.describe()) {
			continue
		}
		places <- struct{}{}
		running.Go(func() {
			if do(c) {
				count.Add(1)
			}
			<-places
		})
	}
	running.Wait()
	return int(count.Load())
}

// recheck ends a session that may no longer be.
func (s *Site) recheck(ctx context.Context, c *connection) bool {
	account, err := c.again(ctx)
	if err != nil {
		c.end(fmt.Errorf("the account may not be logged in any longer: %w", err))
		return false
	}
	s.SetSpeed(account.Name, account.Up, account.Down)
	return true
}

// again asks for the account anew.
func (c *connection) again(ctx context.Context) (Account, error) {
	if c.account.Recheck != nil {
		return c.account.Recheck(ctx)
	}
	account, err := c.site.accounts.Open(ctx, c.login)
	if err == nil && account.Release != nil {
		account.Release()
	}
	return account, err
}

// Needs lists the clients that need a weak algorithm: those that use one which is
// switched on, and those that were refused for the lack of one.
func (s *Site) Needs() []Need { return s.needs.list() }

// Weak are the weak algorithms that are switched on.
func (s *Site) Weak() []string { return s.config.Load().Algorithms.Weak() }

// offended tells the protector, and ends what an address still has open once it is
// refused and not logged in.
func (s *Site) offended(_ *conn, addr netip.Addr, o protector.Offence) {
	if s.protect == nil || !s.protect.Offend(addr, o) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.id == 0 && c.addr.Addr() == addr {
			_ = c.conn.abort()
		}
	}
}

// quiet is after which time without data a transfer no longer counts as running.
const quiet = 5 * time.Second

// drainPoll is how often a stop looks for the end of the transfers.
const drainPoll = 50 * time.Millisecond

// Stop ends the site. Transfers that run now may end, for as long as the limits say or
// ctx lasts, while log-ins go on; then all sessions end, and files that were being
// uploaded are left for their clients to take up.
func (s *Site) Stop(ctx context.Context) {
	start := s.now()
	ctx, cancel := context.WithTimeout(ctx, s.config.Load().Limits.Drain)
	defer cancel()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for s.transferring(start) && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	s.close()
	s.wg.Wait()
}

// transferring tells whether a transfer that began before start is still running.
func (s *Site) transferring(start time.Time) bool {
	now := s.now()
	for _, c := range s.connections() {
		for _, t := range c.transfers() {
			last := t.Opened
			if t.Used.After(last) {
				last = t.Used
			}
			if !t.Opened.After(start) && now.Sub(last) < quiet {
				return true
			}
		}
	}
	return false
}

func (s *Site) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.cancel(ErrStopped)
	for _, l := range s.listeners {
		_ = l.Close()
	}
	for c := range s.conns {
		go c.end(ErrStopped)
	}
}

// sshConfig is what all connections that begin now have in common.
func (s *Site) sshConfig() *ssh.ServerConfig {
	config := s.config.Load()
	a := config.Algorithms
	c := &ssh.ServerConfig{
		Config:                  ssh.Config{KeyExchanges: a.KeyExchanges, Ciphers: a.Ciphers, MACs: a.MACs, RekeyThreshold: config.Rekey},
		PublicKeyAuthAlgorithms: a.UserKeys,
		ServerVersion:           "SSH-2.0-" + cmp.Or(config.SoftwareID, "SSServer"),
	}
	if config.Banner != "" {
		c.BannerCallback = func(ssh.ConnMetadata) string { return config.Banner }
	}
	for _, signer := range config.signers {
		c.AddHostKey(signer)
	}
	return c
}

func addrPortOf(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

func addrOf(a net.Addr) netip.Addr { return addrPortOf(a).Addr() }
