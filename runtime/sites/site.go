package sites

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
)

// plan is what the model says of a site on this node.
type plan struct {
	site     *model.Site
	keys     []*model.HostKey
	bindings []*model.Binding
	profiles []*model.LDAPProfile
	// entries are those of the site and of all sites, in the first plan alone.
	entries []*model.Entry
}

// read reads a site's plan; nil if there is no such site.
func (m *Manager) read(name string, first bool) (p *plan, err error) {
	err = m.opt.Engine.Read(func(r *engine.Reader) error {
		s, err := engine.Sites.Get(r, "", name)
		if missing := (*engine.NotFoundError)(nil); errors.As(err, &missing) {
			return nil
		}
		if err != nil {
			return err
		}
		node, err := m.node(r)
		if err != nil {
			return err
		}
		p = &plan{site: s}
		if err := p.fill(r, node); err != nil || !first {
			return err
		}
		return p.fillEntries(r)
	})
	return p, err
}

func (p *plan) fill(r *engine.Reader, node string) error {
	name := p.site.Name
	for k, err := range engine.HostKeys.InSite(r, name) {
		if err != nil {
			return err
		}
		if !k.Disabled {
			p.keys = append(p.keys, k)
		}
	}
	for b, err := range engine.Bindings.InSite(r, name) {
		if err != nil {
			return err
		}
		if b.Node == node {
			p.bindings = append(p.bindings, b)
		}
	}
	for l, err := range engine.LDAPProfiles.InSite(r, name) {
		if err != nil {
			return err
		}
		p.profiles = append(p.profiles, l)
	}
	return nil
}

func (p *plan) fillEntries(r *engine.Reader) error {
	for _, scope := range []string{"", p.site.Name} {
		entries, err := entriesOf(r, scope)
		if err != nil {
			return err
		}
		p.entries = append(p.entries, entries...)
	}
	return nil
}

// site is one virtual site.
type site struct {
	name  string
	m     *Manager
	log   *slog.Logger
	guard *guard
	rules atomic.Pointer[rules]

	// Under the manager's lock.
	server   *sftpd.Site // nil if it does not run
	stopping bool
	retrying bool
	problem  error
	bindings map[string]*binding
}

// rules are what logging in to a site goes by.
type rules struct {
	site        *model.Site
	gate        *auth.Gate
	directories map[string]*directory // by the ID of the profile
	speed       speeds
}

// saying is the log for what is wrong with a setting: what is tried again every second was
// said the first time. m.mu is held.
func (s *site) saying() *slog.Logger {
	if s.retrying {
		return slog.New(slog.DiscardHandler)
	}
	return s.log
}

func newSite(m *Manager, name string) *site {
	s := &site{name: name, m: m, log: m.log.With("site", name), bindings: map[string]*binding{}}
	s.guard = newGuard(m, name, s.log)
	return s
}

// follow brings the site to what the plan says. m.mu is held.
func (s *site) follow(p *plan, run bool) {
	s.guard.follow(p.site.Protector, p.entries)
	s.rules.Store(s.newRules(p))
	if s.stopping {
		return
	}
	if !run {
		s.problem = nil
		return
	}
	s.report(s.configure(p))
	if s.server != nil {
		s.bind(p.bindings)
	}
}

// report notes what keeps the site from being served as the model says, and logs it
// once.
func (s *site) report(err error) {
	if err != nil && (s.problem == nil || s.problem.Error() != err.Error()) {
		s.log.Error("the site cannot be served as it is set", "error", err, "running", s.server != nil)
	}
	s.problem = err
}

func (s *site) configure(p *plan) error {
	c, err := s.config(p)
	if err != nil {
		return err
	}
	if s.server != nil {
		return s.server.Configure(c)
	}
	s.server, err = sftpd.New(c, sftpd.Parts{
		Accounts: &accounts{s}, Protector: s.guard, Events: s.event, Log: s.m.log, Now: s.m.opt.Now,
	})
	return err
}

// config is the site as the SFTP server wants it.
func (s *site) config(p *plan) (sftpd.Config, error) {
	keys, err := s.signers(p.keys)
	if err != nil {
		return sftpd.Config{}, err
	}
	ssh := p.site.SSH
	return sftpd.Config{
		Name: s.name, HostKeys: keys, SoftwareID: ssh.SoftwareID, Banner: ssh.Banner,
		Algorithms: s.algorithms(ssh), Limits: limits(p.site.Limits),
	}, nil
}

// signers opens the host keys. One that cannot be opened is left out as long as there is
// another.
func (s *site) signers(keys []*model.HostKey) ([]ssh.Signer, error) {
	if len(keys) == 0 {
		return nil, errors.New("it has no host key; add one")
	}
	var signers []ssh.Signer
	var failed []error
	for _, k := range keys {
		signer, err := s.signer(k)
		if err != nil {
			failed = append(failed, fmt.Errorf("host key %s: %w", k.Name, err))
			continue
		}
		signers = append(signers, signer)
	}
	if len(signers) == 0 {
		return nil, errors.Join(failed...)
	}
	for _, err := range failed {
		s.saying().Error("a host key is left out", "error", err)
	}
	return signers, nil
}

func (s *site) signer(k *model.HostKey) (ssh.Signer, error) {
	text, err := s.m.opt.Engine.Reveal(k.Key(), "private", k.Private)
	if err != nil {
		return nil, err
	}
	key, err := hostkey.Parse([]byte(text), "")
	if err != nil {
		return nil, err
	}
	if key.Line() != k.Public {
		return nil, errors.New("its private half belongs to another key; add it again")
	}
	return key.Signer()
}

// algorithms are the site's lists. What the model knows and nothing serves any more is
// left out, with a warning.
func (s *site) algorithms(c model.SSH) sftpd.Algorithms {
	possible := sftpd.Possible()
	keep := func(list, known []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(name string) bool {
			gone := !slices.Contains(known, name)
			if gone {
				s.saying().Warn("an algorithm of the site's list cannot be had and is left out", "algorithm", name)
			}
			return gone
		})
	}
	return sftpd.Algorithms{
		KeyExchanges: keep(c.KeyExchanges, possible.KeyExchanges), Ciphers: keep(c.Ciphers, possible.Ciphers),
		MACs: keep(c.MACs, possible.MACs), HostKeys: keep(c.HostKeys, possible.HostKeys), UserKeys: keep(c.UserKeys, possible.UserKeys),
	}
}

// The limits of a site that says nothing about them.
const (
	DefaultIdle  = 30 * time.Minute
	DefaultLogin = time.Minute
)

// limits gives 0 of the model the default of the release, and -1 the 0 that is no limit.
func limits(l model.Limits) sftpd.Limits {
	idle := DefaultIdle
	if l.IdleSeconds != 0 {
		idle = time.Duration(max(0, l.IdleSeconds)) * time.Second
	}
	login := DefaultLogin
	if l.LoginSeconds > 0 {
		login = time.Duration(l.LoginSeconds) * time.Second
	}
	return sftpd.Limits{
		Connections: max(0, l.Connections), PerAddress: max(0, l.PerAddress), PerUser: max(0, l.PerUser), Idle: idle, Login: login,
	}
}

// newRules prepares log-ins.
func (s *site) newRules(p *plan) *rules {
	r := &rules{site: p.site, directories: map[string]*directory{}, speed: newSpeeds(p.site.Speed)}
	if old := s.rules.Load(); old != nil && slices.Equal(old.site.Speed, p.site.Speed) {
		r.speed = old.speed // running sessions share it with those that come
	}
	gate := &auth.Gate{
		Users: &users{s}, Hasher: s.m.hasher, Directories: map[string]auth.Directory{},
		Policy: auth.PolicyOf(p.site.PasswordRule), Log: s.log, Now: s.m.opt.Now,
	}
	for _, profile := range p.profiles {
		if profile.Disabled {
			continue
		}
		d, err := s.newDirectory(profile)
		if err != nil {
			s.saying().Error("an LDAP profile cannot be used; its users cannot log in by password", "profile", profile.Name, "error", err)
			continue
		}
		id := profile.Key().ID
		gate.Directories[id], r.directories[id] = d, d
	}
	r.gate = gate
	return r
}

// stop ends the site as it runs now; ctx bounds how long transfers may go on. m.mu is not
// held: who is being served may need what waits for it.
func (s *site) stop(ctx context.Context) {
	s.m.mu.Lock()
	server := s.server
	s.stopping = server != nil
	s.m.mu.Unlock()
	if server == nil {
		return
	}
	server.Stop(ctx)
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.server, s.stopping, s.problem = nil, false, nil
	s.bind(nil)
}

// recheck looks at all sessions.
func (s *site) recheck(ctx context.Context) {
	s.m.mu.Lock()
	server := s.server
	s.m.mu.Unlock()
	if server != nil {
		server.Recheck(ctx, nil)
	}
}

// retry tries again what could not be served, and tells whether that has changed
// anything. m.mu is held.
func (s *site) retry() (changed bool) {
	if s.stopping || s.m.draining {
		return false
	}
	if s.problem != nil {
		before := s.problem.Error()
		s.retrying = true
		s.m.refresh(s.name)
		s.retrying = false
		return s.problem == nil || s.problem.Error() != before
	}
	for _, b := range s.bindings {
		if b.problem != nil && s.server != nil {
			s.listen(b)
			changed = changed || b.problem == nil
		}
	}
	return changed
}

// trouble is what keeps the site or a binding from being served. m.mu is held.
func (s *site) trouble() error {
	all := s.problem
	for _, b := range s.bindings {
		all = errors.Join(all, b.problem)
	}
	return all
}

// status tells how the site is. m.mu is held.
func (s *site) status() SiteStatus {
	status := SiteStatus{Site: s.name, Running: s.server != nil && !s.stopping, Bindings: s.bindingStatus()}
	if s.problem != nil {
		status.Problem = s.problem.Error()
	}
	if s.server != nil {
		status.Sessions, status.Weak = len(s.server.Sessions()), s.server.Weak()
	}
	return status
}

// event passes on what happens in sessions.
func (s *site) event(e sftpd.Event) {
	switch e.Kind {
	case sftpd.LoggedIn:
		s.m.activity.loggedIn(model.UserKey(s.name, e.User), e)
	case sftpd.LoginFail:
		s.m.activity.failed(model.UserKey(s.name, e.User), e)
	}
	s.m.opt.Events(e)
}
