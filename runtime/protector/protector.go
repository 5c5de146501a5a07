package protector

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Book keeps the entries over restarts and for other nodes. It is called after the
// fact, one call at a time; an error is logged, and the entry holds all the same.
type Book interface {
	Put(e Entry) error
	Remove(l List, p netip.Prefix) error
}

// Options are what a Protector needs.
type Options struct {
	Settings Settings
	// Entries are those that the book kept.
	Entries []Entry
	Book    Book // nil keeps nothing
	Log     *slog.Logger
	Now     func() time.Time // nil is the machine's clock
}

// Protector judges addresses. Its methods may be called at the same time.
type Protector struct {
	book Book
	log  *slog.Logger
	now  func() time.Time

	saving sync.Mutex // taken before mu, held while the book writes

	mu       sync.Mutex
	settings Settings
	lists    map[List]*table
	scores   map[netip.Prefix]*score
}

// score is what an address has done of late: in the window that began at start, and in
// the one before, which counts for as much of it as still lies in the last window.
type score struct {
	start       time.Time
	now, before float64
}

// maxScores bounds the addresses that are watched, so that many cannot fill the memory.
const maxScores = 100_000

// New makes a Protector.
func New(o Options) (*Protector, error) {
	if err := o.Settings.Check(); err != nil {
		return nil, fmt.Errorf("settings of the protector: %w", err)
	}
	p := &Protector{
		book: o.Book, log: o.Log, now: o.Now, settings: o.Settings,
		lists:  map[List]*table{Block: newTable(), Allow: newTable(), Safe: newTable()},
		scores: map[netip.Prefix]*score{},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.now == nil {
		p.now = time.Now
	}
	for _, e := range o.Entries {
		if t := p.lists[e.List]; t != nil && e.Prefix.IsValid() {
			e.Prefix = normal(e.Prefix)
			t.put(&e)
		}
	}
	return p, nil
}

// Blocked is why an address is refused.
type Blocked struct {
	Addr netip.Addr
	// Entry is the one that blocks it; nil if it is missing on the allow list.
	Entry *Entry
}

func (b *Blocked) Error() string {
	switch {
	case b.Entry == nil:
		return fmt.Sprintf("%s is not on the allow list", b.Addr)
	case b.Entry.Until.IsZero():
		return fmt.Sprintf("%s is blocked by the entry %s", b.Addr, b.Entry.Prefix)
	}
	return fmt.Sprintf("%s is blocked until %s", b.Addr, b.Entry.Until.UTC().Format(time.RFC3339))
}

// Admit decides about a connection; the error is a *Blocked.
func (p *Protector) Admit(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	now := p.now()
	p.mu.Lock()
	entry, in := p.judge(addr, now)
	if entry == nil {
		p.mu.Unlock()
		if !in {
			return &Blocked{Addr: addr}
		}
		return nil
	}
	entry.Hits++
	grown := entry.Automatic && p.grow(entry, now)
	told := *entry
	p.mu.Unlock()
	if grown {
		p.save(told)
	}
	return &Blocked{Addr: addr, Entry: &told}
}

// Admits tells whether Admit would let an address in now; nothing is counted.
func (p *Protector) Admits(addr netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, in := p.judge(addr.Unmap().WithZone(""), p.now())
	return in
}

// judge tells whether an address may come in, and if not the entry that blocks it; none if
// it is missing on the allow list. p.mu is held.
func (p *Protector) judge(addr netip.Addr, now time.Time) (entry *Entry, in bool) {
	entry = p.lists[Block].find(addr, now)
	if entry != nil && entry.Automatic && p.lists[Safe].find(addr, now) != nil {
		entry = nil // it became safe after it was banned
	}
	if entry != nil {
		return entry, false
	}
	return nil, !p.lists[Allow].hasAny(now) || p.lists[Allow].find(addr, now) != nil
}

// growPause is between two growths of a ban: a client that tries every second is one
// that tries, not sixty.
const growPause = time.Minute

// grow lengthens a ban because its address tries again.
func (p *Protector) grow(e *Entry, now time.Time) bool {
	if e.Elsewhere || now.Sub(e.Added) < growPause || now.Sub(e.Grown) < growPause {
		return false
	}
	length := e.Until.Sub(e.Added)
	longer := min(length+length*time.Duration(p.settings.Growth)/100, p.settings.MaxBan)
	if longer <= length {
		return false
	}
	e.Grown = now
	e.Until = e.Added.Add(longer)
	return true
}

// Offend counts bad behaviour and returns whether the address is refused from now on.
func (p *Protector) Offend(addr netip.Addr, o Offence) bool {
	if !addr.IsValid() {
		return false
	}
	addr = addr.Unmap().WithZone("")
	now := p.now()
	p.mu.Lock()
	weight := weights[p.settings.Level][o]
	if weight == 0 || p.lists[Safe].find(addr, now) != nil {
		p.mu.Unlock()
		return false
	}
	if p.lists[Block].find(addr, now) != nil {
		p.mu.Unlock()
		return true
	}
	customer := customerOf(addr)
	s := p.scoreOf(customer, now)
	if s.add(weight, p.settings.Window, now) < float64(p.settings.Threshold) {
		p.mu.Unlock()
		return false
	}
	delete(p.scores, customer)
	entry := p.ban(customer, o, now)
	p.mu.Unlock()
	p.log.Warn("address banned", "address", entry.Prefix, "until", entry.Until, "reason", entry.Reason, "strikes", entry.Strikes)
	p.save(entry)
	return true
}

// customerOf is what one customer of a network has: an address of IPv4, a /64 of IPv6.
func customerOf(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits)
	return prefix
}

// scoreOf is the score of an address; a new one if it has none.
func (p *Protector) scoreOf(customer netip.Prefix, now time.Time) *score {
	s := p.scores[customer]
	if s == nil {
		if len(p.scores) >= maxScores {
			p.forget(now)
		}
		s = &score{start: now}
		p.scores[customer] = s
	}
	return s
}

func (s *score) add(weight float64, window time.Duration, now time.Time) float64 {
	value := s.value(window, now) // first: it may begin another window
	s.now += weight
	return value + weight
}

// value is the score as it has sunk to by now.
func (s *score) value(window time.Duration, now time.Time) float64 {
	switch passed := now.Sub(s.start); {
	case passed >= 2*window:
		*s = score{start: now}
	case passed >= window:
		*s = score{start: s.start.Add(window), before: s.now}
	}
	return s.now + s.before*(1-float64(now.Sub(s.start))/float64(window))
}

// forget makes room: first of all that have sunk to nothing, else of any.
func (p *Protector) forget(now time.Time) {
	for customer, s := range p.scores {
		if s.value(p.settings.Window, now) == 0 {
			delete(p.scores, customer)
		}
	}
	for customer := range p.scores {
		if len(p.scores) < maxScores*9/10 {
			return
		}
		delete(p.scores, customer)
	}
}

// memory is for how many lengths of its ban an address is remembered after it.
const memory = 3

// ban makes the entry for an address.
func (p *Protector) ban(customer netip.Prefix, o Offence, now time.Time) Entry {
	e := &Entry{List: Block, Prefix: customer, Automatic: true, Strikes: 1, Added: now, Reason: string(o)}
	length := p.settings.Ban
	if before := p.lists[Block].entries[customer]; before != nil && before.Automatic && !before.Elsewhere && !before.forgotten(now) {
		e.Strikes = before.Strikes + 1
		last := before.Until.Sub(before.Added)
		length = max(length, min(last+last*time.Duration(p.settings.Growth)/100, p.settings.MaxBan))
	}
	e.Until = now.Add(length)
	p.lists[Block].put(e)
	return *e
}

// forgotten tells of a ban that ended so long ago that the next one is the first again.
func (e *Entry) forgotten(now time.Time) bool {
	return now.After(e.Until.Add(memory * e.Until.Sub(e.Added)))
}

func (p *Protector) save(e Entry) {
	if p.book == nil {
		return
	}
	p.saving.Lock()
	defer p.saving.Unlock()
	if err := p.book.Put(e); err != nil {
		p.log.Error("cannot keep an entry of the protector; it holds until the restart", "address", e.Prefix, "error", err)
	}
}

// Put adds an entry or replaces the one of the same prefix on that list, and keeps it.
func (p *Protector) Put(e Entry) error {
	t := p.lists[e.List]
	if t == nil {
		return fmt.Errorf("list %q is not known; there are block, allow and safe", e.List)
	}
	if !e.Prefix.IsValid() {
		return fmt.Errorf("the entry has no address")
	}
	e.Prefix = normal(e.Prefix)
	if e.Added.IsZero() {
		e.Added = p.now()
	}
	kept := e
	p.mu.Lock()
	t.put(&kept)
	p.mu.Unlock()
	p.save(e)
	return nil
}

// Hold is Put of what the book has already: it is not kept again. What was counted of
// the same entry stays.
func (p *Protector) Hold(e Entry) {
	t := p.lists[e.List]
	if t == nil || !e.Prefix.IsValid() {
		return
	}
	e.Prefix = normal(e.Prefix)
	p.mu.Lock()
	defer p.mu.Unlock()
	if before := t.entries[e.Prefix]; before != nil {
		e.Hits, e.Grown = before.Hits, before.Grown
	}
	t.put(&e)
}

// Drop is Remove of what the book no longer has. The score goes too: whoever is let off
// begins anew.
func (p *Protector) Drop(l List, prefix netip.Prefix) {
	prefix = normal(prefix)
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.lists[l]; t != nil {
		t.remove(prefix)
	}
	delete(p.scores, prefix)
}

// Refuses tells whether an administrator's lists keep an address out; nothing is
// counted. Bans made here do not matter: others may share the address.
func (p *Protector) Refuses(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.lists[Block].find(addr, now); e != nil && !e.Automatic {
		return true
	}
	return p.lists[Allow].hasAny(now) && p.lists[Allow].find(addr, now) == nil
}

// Remove takes an entry from a list and returns whether there was one.
func (p *Protector) Remove(l List, prefix netip.Prefix) (bool, error) {
	prefix = normal(prefix)
	p.mu.Lock()
	t := p.lists[l]
	there := t != nil && t.remove(prefix)
	delete(p.scores, prefix)
	p.mu.Unlock()
	if !there || p.book == nil {
		return there, nil
	}
	p.saving.Lock()
	defer p.saving.Unlock()
	return true, p.book.Remove(l, prefix)
}

// Entries are those in force, sorted by list and address.
func (p *Protector) Entries() []Entry {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Entry
	for _, t := range p.lists {
		for _, e := range t.entries {
			if !e.over(now) {
				list = append(list, *e)
			}
		}
	}
	sortEntries(list)
	return list
}

// Sweep drops bans that are forgotten and scores that have sunk to nothing. It is for
// calling now and then.
func (p *Protector) Sweep() {
	now := p.now()
	p.mu.Lock()
	var gone []netip.Prefix
	for prefix, e := range p.lists[Block].entries {
		if e.Automatic && !e.Elsewhere && e.forgotten(now) {
			gone = append(gone, prefix)
		}
	}
	for customer, s := range p.scores {
		if s.value(p.settings.Window, now) == 0 {
			delete(p.scores, customer)
		}
	}
	p.mu.Unlock()
	for _, prefix := range gone {
		if _, err := p.Remove(Block, prefix); err != nil {
			p.log.Error("cannot forget an old ban", "address", prefix, "error", err)
		}
	}
}

// Set changes the settings.
func (p *Protector) Set(s Settings) error {
	if err := s.Check(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings = s
	return nil
}
