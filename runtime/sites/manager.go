package sites

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/vfs/keyring"
)

// Options are what a Manager works with.
type Options struct {
	Engine *engine.Engine
	Ring   *keyring.Ring
	// Node is the name of this node; if it is empty, that of the only one there is.
	Node string
	// Apart are the server's own folders, which no VFS may hold or lie in.
	Apart []string
	// Files is the folder below which each site has one of its own name, which its Admins
	// share out; empty if there is none.
	Files string
	// Open tells whether users may come in; nil is always.
	Open func() bool
	// Events hears what happens in sessions; it must not block. Nil is nobody.
	Events func(sftpd.Event)
	// Changed hears after a start or a change where sites listen now. Nil is nobody.
	Changed func([]SiteStatus)
	Log     *slog.Logger
	Now     func() time.Time
}

// Manager runs the sites of this node. Its methods may be called at once.
type Manager struct {
	opt      Options
	log      *slog.Logger
	hasher   *auth.Hasher
	volumes  *volumes
	activity *activity
	folders  folders
	web      *guard

	unlisten func()
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu       sync.Mutex
	sites    map[string]*site
	stopped  map[string]bool // by hand; they stay so
	draining bool            // nothing is started any more
}

// Start serves the sites. What cannot be served keeps nothing else from it; the error is
// of what nothing can be served without.
func Start(o Options) (*Manager, error) {
	if o.Open == nil {
		o.Open = func() bool { return true }
	}
	if o.Events == nil {
		o.Events = func(sftpd.Event) {}
	}
	if o.Changed == nil {
		o.Changed = func([]SiteStatus) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	hasher, err := auth.NewHasher(auth.DefaultParams)
	if err != nil {
		return nil, err
	}
	m := &Manager{
		opt: o, log: o.Log, hasher: hasher, activity: newActivity(o.Engine, o.Log),
		volumes: newVolumes(o.Log, o.Now), sites: map[string]*site{}, stopped: map[string]bool{},
	}
	m.web = newGuard(m, "", o.Log)
	m.unlisten = o.Engine.Listen(m.hear)
	m.mu.Lock()
	m.followWeb(true)
	m.refreshAll(true)
	m.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.running.Go(func() { m.tend(ctx) })
	m.running.Go(func() { m.tidy(ctx) })
	return m, nil
}

// refreshAll brings all sites to what the model says. m.mu is held.
func (m *Manager) refreshAll(first bool) {
	names, err := m.names(first)
	if err != nil {
		m.log.Error("the sites cannot be read; they stay as they are", "error", err)
		return
	}
	for name := range m.sites {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		m.refresh(name)
	}
	m.tell()
}

// names are the sites of the model; at the first reading those that are started by hand
// are noted as stopped.
func (m *Manager) names(first bool) (names []string, err error) {
	err = m.opt.Engine.Read(func(r *engine.Reader) error {
		for s, err := range engine.Sites.All(r) {
			if err != nil {
				return err
			}
			names = append(names, s.Name)
			if first && s.Manual {
				m.stopped[s.Name] = true
			}
		}
		return nil
	})
	return names, err
}

// refresh brings one site to what the model says. m.mu is held.
func (m *Manager) refresh(name string) {
	if m.draining {
		return
	}
	s := m.sites[name]
	p, err := m.read(name, s == nil)
	switch {
	case err != nil:
		m.log.Error("a site cannot be read; it stays as it is", "site", name, "error", err)
	case p == nil:
		if s != nil {
			delete(m.sites, name)
			m.running.Go(func() { s.stop(ended()) })
		}
		delete(m.stopped, name)
	default:
		if s == nil {
			s = newSite(m, name)
			m.sites[name] = s
		}
		s.follow(p, !m.stopped[name])
	}
}

// ended is a context that waits for nothing.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// tell says where sites listen. m.mu is held.
func (m *Manager) tell() { m.opt.Changed(m.status()) }

// hear follows the changes of a commit.
func (m *Manager) hear(ctx context.Context, changes []engine.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := effects{sites: map[string]bool{}, all: map[string]bool{}, users: map[string]map[string]bool{}}
	for _, c := range changes {
		m.effect(&e, c)
	}
	if e.node {
		m.refreshAll(false)
	} else {
		for _, name := range slices.Sorted(maps.Keys(e.sites)) {
			m.refresh(name)
		}
		if len(e.sites) > 0 {
			m.tell()
		}
	}
	for _, entry := range e.entries {
		m.list(entry)
	}
	if slices.ContainsFunc(e.entries, ofAdministrator) {
		m.tell() // who is refused is told with the bindings
	}
	if e.settings {
		m.followWeb(false)
	}
	m.recheck(ctx, e)
}

// effects are what changes lead to.
type effects struct {
	node     bool
	settings bool
	sites    map[string]bool            // to be read again
	all      map[string]bool            // whose sessions are to be looked at
	users    map[string]map[string]bool // whose sessions are, by site and ID
	entries  []engine.Change
}

func (m *Manager) effect(e *effects, c engine.Change) {
	site := c.Key.Site
	switch c.Key.Kind {
	case model.KindNode:
		e.node = true
	case model.KindSettings:
		e.settings = true
	case model.KindSite:
		e.sites[c.Key.ID], e.all[c.Key.ID] = true, true
	case model.KindBinding, model.KindHostKey:
		e.sites[site] = true
	case model.KindLDAP:
		e.sites[site], e.all[site] = true, true
	case model.KindGroup:
		e.all[site] = true
	case model.KindVFS:
		if old, ok := c.Old.(*model.VFS); ok && !opensAs(c.New, old) {
			m.volumes.leave(old.Root)
		}
		e.all[site] = true
	case model.KindUser:
		if e.users[site] == nil {
			e.users[site] = map[string]bool{}
		}
		e.users[site][c.Key.ID] = true
	case model.KindEntry:
		e.entries = append(e.entries, c)
	}
}

// recheck looks at the sessions that changes may concern. m.mu is held.
func (m *Manager) recheck(ctx context.Context, e effects) {
	for name, s := range m.sites {
		switch users := e.users[name]; {
		case s.server == nil:
		case e.all[name]:
			s.server.Recheck(ctx, nil)
		case len(users) > 0:
			s.server.Recheck(ctx, func(x sftpd.Session) bool { return users[model.Fold(x.User)] })
		}
	}
}

// How often things are looked after.
const (
	retryEvery   = time.Second
	recheckEvery = time.Minute // accounts and keys have their times
	sweepEvery   = time.Hour
	countEvery   = 24 * time.Hour
)

// tend does what has its time, until ctx ends.
func (m *Manager) tend(ctx context.Context) {
	retry, recheck := time.NewTicker(retryEvery), time.NewTicker(recheckEvery)
	defer retry.Stop()
	defer recheck.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-retry.C:
			m.retry()
			m.activity.flush()
		case <-recheck.C:
			for _, s := range m.each() {
				s.recheck(ctx)
			}
		}
	}
}

// tidy sweeps, until ctx ends. Where there is much a sweep takes hours, and where a disk
// does not answer it does not end: nothing else waits for it.
func (m *Manager) tidy(ctx context.Context) {
	sweep, count := time.NewTicker(sweepEvery), time.NewTicker(countEvery)
	defer sweep.Stop()
	defer count.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			m.sweep(ctx, false)
		case <-count.C:
			m.sweep(ctx, true)
		}
	}
}

// retry tries again what could not be served.
func (m *Manager) retry() {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := false
	for _, s := range m.sites {
		changed = s.retry() || changed
	}
	if changed {
		m.tell()
	}
}

// each are the sites there are.
func (m *Manager) each() []*site {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.sites))
}

// sweep lets go of what is too old: bans, and what is left of uploads. Daily, quotas are
// counted anew.
func (m *Manager) sweep(ctx context.Context, daily bool) {
	if !m.opt.Open() {
		return
	}
	// Not under the lock: it writes, and who writes waits for hear.
	m.web.protector.Sweep()
	for _, s := range m.each() {
		s.guard.protector.Sweep()
	}
	m.volumes.sweep(ctx, daily)
}

// Drain lets transfers that run come to their end, for a while, with log-ins going on
// meanwhile, and then ends all sites: the first half of Close.
func (m *Manager) Drain() {
	m.mu.Lock()
	m.draining = true
	sites := slices.Collect(maps.Values(m.sites))
	m.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range sites {
		all.Go(func() { s.stop(context.Background()) })
	}
	all.Wait()
}

// Close ends what Drain has left, and keeps what is to be kept. The engine stays open.
func (m *Manager) Close() error {
	m.unlisten()
	m.cancel()
	m.running.Wait()
	m.Drain()
	m.activity.flush()
	return m.volumes.close()
}

// node is the name of this node; empty if nobody is yet.
func (m *Manager) node(r *engine.Reader) (string, error) {
	if m.opt.Node != "" {
		return m.opt.Node, nil
	}
	var names []string
	for n, err := range engine.Nodes.All(r) {
		if err != nil {
			return "", err
		}
		names = append(names, n.Name)
	}
	if len(names) > 1 {
		return "", fmt.Errorf("there are %d nodes, %s, and nothing tells which one this is", len(names), strings.Join(names, ", "))
	}
	return strings.Join(names, ""), nil
}

// SiteStatus is how a site is.
type SiteStatus struct {
	Site string `json:"site"`
	// Running is false for a site that was stopped, or cannot be served: then Problem
	// says why.
	Running  bool            `json:"running"`
	Problem  string          `json:"problem,omitempty"`
	Sessions int             `json:"sessions"`
	Bindings []BindingStatus `json:"bindings"`
	// Weak are algorithms that are switched on for old clients.
	Weak []string `json:"weak,omitempty"`
}

// BindingStatus is how a binding is.
type BindingStatus struct {
	Name string `json:"name"`
	// Address is HOST:PORT, with an empty host for all addresses.
	Address   string `json:"address"`
	Listening bool   `json:"listening"`
	Disabled  bool   `json:"disabled,omitempty"`
	// Proxied: load balancers are to say whose connection it is.
	Proxied bool   `json:"proxied,omitempty"`
	Problem string `json:"problem,omitempty"`
	// RefusedFrom are the addresses by which this machine reaches the binding itself and
	// from which the lists let nobody in. They are for who probes it.
	RefusedFrom []string `json:"-"`
}

// Status tells how all sites are.
func (m *Manager) Status() []SiteStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status()
}

func (m *Manager) status() []SiteStatus {
	list := make([]SiteStatus, 0, len(m.sites))
	for _, name := range slices.Sorted(maps.Keys(m.sites)) {
		list = append(list, m.sites[name].status())
	}
	return list
}

// ErrNoSite: there is no such site here.
var ErrNoSite = errors.New("no such site")

func (m *Manager) site(name string) (*site, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sites[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrNoSite, name)
}

// StartSite starts a site that was stopped; the error is why it cannot be served.
func (m *Manager) StartSite(name string) error {
	s, err := m.site(name)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.stopped, name)
	m.refresh(name)
	m.tell()
	return s.trouble()
}

// StopSite ends a site until StartSite or the next start of the server. Transfers may end
// for as long as ctx lasts and the drain limit allows; a ctx that has ended cuts them.
func (m *Manager) StopSite(ctx context.Context, name string) error {
	s, err := m.site(name)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.stopped[name] = true
	m.mu.Unlock()
	s.stop(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refresh(name)
	m.tell()
	return nil
}

// Sessions are those of a site; of all sites if it is empty.
func (m *Manager) Sessions(site string) []sftpd.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []sftpd.Session
	for _, name := range slices.Sorted(maps.Keys(m.sites)) {
		if s := m.sites[name]; s.server != nil && (site == "" || site == name) {
			list = append(list, s.server.Sessions()...)
		}
	}
	return list
}

// Kick ends the sessions of a site for which which says so, and returns how many.
func (m *Manager) Kick(site, reason string, which func(sftpd.Session) bool) (int, error) {
	s, err := m.site(site)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.server == nil {
		return 0, nil
	}
	return s.server.Kick(reason, which), nil
}

// Needs are the clients of a site that need a weak algorithm.
func (m *Manager) Needs(site string) ([]sftpd.Need, error) {
	s, err := m.site(site)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.server == nil {
		return nil, nil
	}
	return s.server.Needs(), nil
}
