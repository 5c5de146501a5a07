package sites

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/protector"
	"ss-setup/runtime/sftpd"
)

// guard is the Protector of a site. Its book is the model: what it bans becomes an entry
// there, and what stands there holds here.
type guard struct {
	site      *site
	protector *protector.Protector
	off       atomic.Bool // nobody is banned; the lists hold
}

func newGuard(s *site) *guard {
	g := &guard{site: s}
	p, err := protector.New(protector.Options{Settings: protector.Defaults(), Book: book{s}, Log: s.log, Now: s.m.opt.Now})
	if err != nil {
		panic(err) // the defaults are part of the program
	}
	g.protector = p
	return g
}

// follow takes over what the model says; entries come with the first plan, afterwards one
// by one.
func (g *guard) follow(p *plan) {
	set, off := protection(p.site.Protector)
	g.off.Store(off)
	if err := g.protector.Set(set); err != nil {
		g.site.log.Error("the settings of the Protector cannot be used; those of before hold", "error", err)
	}
	for _, e := range p.entries { // the site's own come last
		g.protector.Hold(held(e))
	}
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

// Offend implements sftpd.Protector. Before the generation is open nobody could have done
// better, and nothing may be written.
func (g *guard) Offend(addr netip.Addr, o protector.Offence) bool {
	if g.off.Load() || !g.site.m.opt.Open() {
		return false
	}
	return g.protector.Offend(addr, o)
}

// held is an entry of the model as the protector knows it. An entry that grew was
// modified then; of a ban that began anew that is its begin.
func held(e *model.Entry) protector.Entry {
	return protector.Entry{
		List: protector.List(e.List), Prefix: e.Prefix(), Until: e.Expires, Automatic: e.Reason != model.ReasonManual,
		Strikes: e.Offences, Added: e.Modified, Reason: string(e.Reason),
	}
}

// book keeps a site's bans in the model.
type book struct{ site *site }

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
		Site: b.site.name, List: model.List(e.List), Network: e.Prefix.String(), Expires: e.Until.UTC(), Reason: reason, Offences: e.Strikes,
	}
	return b.write(model.EntryKey(b.site.name, entry.List, entry.Network), func(tx *engine.Tx) error { return tx.Put(entry) })
}

// Remove implements protector.Book.
func (b book) Remove(l protector.List, p netip.Prefix) error {
	key := model.EntryKey(b.site.name, model.List(l), p.String())
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
	if !b.site.m.opt.Open() {
		return nil
	}
	_, err := b.site.m.opt.Engine.Write(context.Background(), by, func(tx *engine.Tx) error {
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
	for name, s := range m.sites {
		if e.Site != "" && e.Site != name {
			continue
		}
		if err := s.guard.look(e); err != nil {
			s.log.Error("an entry of the lists cannot be read; what held before holds", "entry", e.Name, "error", err)
		}
		if s.server == nil || e.Reason != model.ReasonManual || c.By == by {
			continue
		}
		s.server.Kick("its address is kept out by an administrator", func(x sftpd.Session) bool {
			return s.guard.protector.Refuses(x.Addr.Addr())
		})
	}
}

// look holds what the model says of an entry's network: the site's own entry counts
// before that of all sites.
func (g *guard) look(e *model.Entry) error {
	var found *model.Entry
	err := g.site.m.opt.Engine.Read(func(r *engine.Reader) error {
		for _, scope := range []string{g.site.name, ""} {
			o, err := r.Get(model.EntryKey(scope, e.List, e.Network))
			if missing := (*engine.NotFoundError)(nil); errors.As(err, &missing) {
				continue
			}
			if err != nil {
				return err
			}
			found = o.(*model.Entry)
			return nil
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case found != nil:
		g.protector.Hold(held(found))
	default:
		g.protector.Drop(protector.List(e.List), e.Prefix())
	}
	return nil
}
