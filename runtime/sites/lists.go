package sites

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/protector"
	"ss-setup/runtime/sftpd"
)

// guard is the Protector of a site, or of the web interface, whose scope is empty. Its book
// is the model: what it bans becomes an entry there, and what stands there holds here.
type guard struct {
	m         *Manager
	scope     string
	log       *slog.Logger
	protector *protector.Protector
	off       atomic.Bool // nobody is banned; the lists hold
}

func newGuard(m *Manager, scope string, log *slog.Logger) *guard {
	g := &guard{m: m, scope: scope, log: log}
	p, err := protector.New(protector.Options{Settings: protector.Defaults(), Book: book{g}, Log: log, Now: m.opt.Now})
	if err != nil {
		panic(err) // the defaults are part of the program
	}
	g.protector = p
	return g
}

// follow takes over what the model says; entries come with the first plan, afterwards one
// by one.
func (g *guard) follow(settings model.Protector, entries []*model.Entry) {
	set, off := protection(settings)
	g.off.Store(off)
	if err := g.protector.Set(set); err != nil {
		g.log.Error("the settings of the Protector cannot be used; those of before hold", "error", err)
	}
	for _, e := range strongest(entries, g.m.opt.Now()) {
		g.protector.Hold(g.held(e))
	}
}

// strongest are the entries that hold, one for each network of a list: what is in force
// before what is over, an administrator's entry before a ban, and what lasts longer. A ban
// of a site does not end what an administrator wants for all sites.
func strongest(entries []*model.Entry, now time.Time) []*model.Entry {
	type place struct {
		list    model.List
		network string
	}
	best := map[place]*model.Entry{}
	for _, e := range entries {
		at := place{e.List, e.Network}
		if best[at] == nil || stronger(e, best[at], now) {
			best[at] = e
		}
	}
	return slices.Collect(maps.Values(best))
}

func stronger(a, b *model.Entry, now time.Time) bool {
	forever := func(e *model.Entry) bool { return e.Expires.IsZero() }
	holds := func(e *model.Entry) bool { return forever(e) || now.Before(e.Expires) }
	manual := func(e *model.Entry) bool { return e.Reason == model.ReasonManual }
	switch {
	case holds(a) != holds(b):
		return holds(a)
	case manual(a) != manual(b):
		return manual(a)
	case forever(a) || forever(b):
		return forever(a)
	}
	return a.Expires.After(b.Expires)
}

// protection fills what the model leaves to the release.
func protection(p model.Protector) (set protector.Settings, off bool) {
	set = protector.Defaults()
	if p.Level != "" && p.Level != model.LevelOff {
		set.Level = protector.Level(p.Level)
	}
	if p.Threshold > 0 {
		set.Threshold = p.Threshold
	}
	if p.WindowMinutes > 0 {
		set.Window = time.Duration(p.WindowMinutes) * time.Minute
	}
	if p.BanMinutes > 0 {
		set.Ban = time.Duration(p.BanMinutes) * time.Minute
	}
	if p.GrowPercent > 0 {
		set.Growth = p.GrowPercent
	}
	set.MaxBan = max(set.MaxBan, set.Ban)
	return set, p.Level == model.LevelOff
}

// Admit implements sftpd.Protector.
func (g *guard) Admit(addr netip.Addr) error { return g.protector.Admit(addr) }

// refusedHere are the addresses by which this machine reaches what listens at an address -
// those that it connects from then - and which are not let in.
func (g *guard) refusedHere(listens string) (refused []string) {
	here := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	switch addr, err := netip.ParseAddr(listens); {
	case err == nil && !addr.IsUnspecified():
		here = []netip.Addr{addr}
	case err == nil && addr.Is4():
		here = here[:1]
	}
	for _, addr := range here {
		if !g.protector.Admits(addr) {
			refused = append(refused, addr.String())
		}
	}
	return refused
}

// Offend implements sftpd.Protector. Before the generation is open nobody could have done
// better, and nothing may be written.
func (g *guard) Offend(addr netip.Addr, o protector.Offence) bool {
	if g.off.Load() || !g.m.opt.Open() {
		return false
	}
	return g.protector.Offend(addr, o)
}

// held is an entry of the model as the protector knows it. An entry that grew was
// modified then; of a ban that began anew that is its begin.
func (g *guard) held(e *model.Entry) protector.Entry {
	return protector.Entry{
		List: protector.List(e.List), Prefix: e.Prefix(), Until: e.Expires, Automatic: e.Reason != model.ReasonManual,
		Elsewhere: e.Site != g.scope, Strikes: e.Offences, Added: e.Modified, Reason: string(e.Reason),
	}
}

// Guard judges addresses.
type Guard interface {
	// Admit is asked whether an address may come in; the error says why not.
	Admit(addr netip.Addr) error
	// Offend counts bad behaviour, and tells whether the address is refused from now on.
	Offend(addr netip.Addr, o protector.Offence) bool
}

// Web judges who asks the web interface, by the entries of the server. What it bans, it
// bans from all sites too; what a site bans is the site's own affair.
func (m *Manager) Web() Guard { return web{m.web} }

type web struct{ *guard }

// Admit lets the machine itself in, unless an administrator has blocked it: whoever has
// locked himself out by an allow list can mend it there.
func (w web) Admit(addr netip.Addr) error {
	err := w.guard.Admit(addr)
	if missing := (*protector.Blocked)(nil); addr.Unmap().IsLoopback() && errors.As(err, &missing) && missing.Entry == nil {
		return nil
	}
	return err
}

// Offend bans the machine itself never: behind a proxy that is not trusted everybody comes
// from there. The number of attempts is bounded for it all the same.
func (w web) Offend(addr netip.Addr, o protector.Offence) bool {
	return !addr.Unmap().IsLoopback() && w.guard.Offend(addr, o)
}

// followWeb brings the web interface's Protector to what the settings say, and at the
// first time to the entries of the server.
func (m *Manager) followWeb(first bool) {
	var settings *model.Settings
	var entries []*model.Entry
	err := m.opt.Engine.Read(func(r *engine.Reader) (err error) {
		if settings, err = engine.CurrentSettings(r); err != nil || !first {
			return err
		}
		entries, err = entriesOf(r, "")
		return err
	})
	if err != nil {
		m.log.Error("the lists for the web interface cannot be read; what held before holds", "error", err)
		return
	}
	m.web.follow(settings.Protector, entries)
}

// entriesOf are the entries of a site, or of the server.
func entriesOf(r *engine.Reader, scope string) (list []*model.Entry, err error) {
	for e, err := range engine.Entries.InSite(r, scope) {
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// book keeps a guard's bans in the model.
type book struct{ guard *guard }

// by is who makes entries there.
const by = "protector"

var reasons = map[string]model.Reason{
	string(protector.BadLogin): model.ReasonAuth, string(protector.NoLogin): model.ReasonHammering,
	string(protector.BadProtocol): model.ReasonProtocol, string(protector.BadRequest): model.ReasonProtocol,
}

// Put implements protector.Book. An administrator's entry is left alone.
func (b book) Put(e protector.Entry) error {
	reason := reasons[e.Reason]
	if reason == "" {
		reason = model.Reason(e.Reason) // it came from the book
	}
	entry := &model.Entry{
		Site: b.guard.scope, List: model.List(e.List), Network: e.Prefix.String(), Expires: e.Until.UTC(), Reason: reason, Offences: e.Strikes,
	}
	return b.write(model.EntryKey(b.guard.scope, entry.List, entry.Network), func(tx *engine.Tx) error { return tx.Put(entry) })
}

// Remove implements protector.Book.
func (b book) Remove(l protector.List, p netip.Prefix) error {
	key := model.EntryKey(b.guard.scope, model.List(l), p.String())
	return b.write(key, func(tx *engine.Tx) error {
		if !tx.Has(key) {
			return nil
		}
		return tx.Delete(key, 0)
	})
}

// write changes an entry. Before the generation is open nothing is written; a ban that
// grows meanwhile holds until the restart.
func (b book) write(key model.Key, fn func(*engine.Tx) error) error {
	if !b.guard.m.opt.Open() {
		return nil
	}
	_, err := b.guard.m.opt.Engine.Write(context.Background(), by, func(tx *engine.Tx) error {
		o, err := tx.Get(key)
		if missing := (*engine.NotFoundError)(nil); err != nil && !errors.As(err, &missing) {
			return err
		}
		if e, ok := o.(*model.Entry); ok && e.Reason == model.ReasonManual {
			return nil
		}
		return fn(tx)
	})
	return err
}

// list takes over a change of an entry, and ends the sessions of addresses that an
// administrator keeps out now. m.mu is held.
func (m *Manager) list(c engine.Change) {
	e, _ := c.New.(*model.Entry)
	if e == nil {
		e, _ = c.Old.(*model.Entry)
	}
	if e == nil {
		return
	}
	look := func(g *guard) {
		if err := g.look(e); err != nil {
			g.log.Error("an entry of the lists cannot be read; what held before holds", "entry", e.Name, "error", err)
		}
	}
	if e.Site == "" {
		look(m.web)
	}
	for name, s := range m.sites {
		if e.Site != "" && e.Site != name {
			continue
		}
		look(s.guard)
		if s.server == nil || e.Reason != model.ReasonManual || c.By == by {
			continue
		}
		s.server.Kick("its address is kept out by an administrator", func(x sftpd.Session) bool {
			return s.guard.protector.Refuses(x.Addr.Addr())
		})
	}
}

// ofAdministrator tells changes of entries that an administrator made. Bans come and go by
// themselves.
func ofAdministrator(c engine.Change) bool {
	for _, o := range []model.Object{c.New, c.Old} {
		if e, ok := o.(*model.Entry); ok && e.Reason == model.ReasonManual {
			return true
		}
	}
	return false
}

// look holds what the model says of an entry's network, for the site and for all sites.
func (g *guard) look(e *model.Entry) error {
	var found []*model.Entry
	err := g.m.opt.Engine.Read(func(r *engine.Reader) error {
		for _, scope := range slices.Compact([]string{g.scope, ""}) {
			o, err := r.Get(model.EntryKey(scope, e.List, e.Network))
			if missing := (*engine.NotFoundError)(nil); errors.As(err, &missing) {
				continue
			}
			if err != nil {
				return err
			}
			found = append(found, o.(*model.Entry))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		g.protector.Drop(protector.List(e.List), e.Prefix())
	}
	for _, e := range strongest(found, g.m.opt.Now()) {
		g.protector.Hold(g.held(e))
	}
	return nil
}
