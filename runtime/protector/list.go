package protector

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// List is one of the three.
type List string

// The lists.
const (
	Block List = "block"
	Allow List = "allow"
	Safe  List = "safe"
)

// Entry is an address or range on a list.
type Entry struct {
	List   List
	Prefix netip.Prefix
	// Until is when it ends; zero is never. Automatic entries always end.
	Until time.Time
	// Automatic entries were made here; Strikes is how many there were in a row.
	Automatic bool
	Strikes   int
	// Elsewhere marks an entry that another Protector made, which alone lengthens it.
	Elsewhere bool
	Added     time.Time
	Grown     time.Time // when it was last lengthened; zero if never
	Reason    string
	Hits      int // connections that it refused
}

// ParsePrefix reads an address, or a range as ADDRESS/BITS, whose host bits may be set.
func ParsePrefix(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() && p.Bits() < 96 {
		return netip.Prefix{}, fmt.Errorf("%q is no address and no range, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32", text)
	}
	return normal(p), nil
}

// normal is the one form of a prefix: IPv4 as such, host bits zero.
func normal(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// table finds the entry with the longest prefix around an address.
type table struct {
	entries map[netip.Prefix]*Entry
	bits    map[int]int // how many entries have a prefix of so many bits
}

func newTable() *table { return &table{map[netip.Prefix]*Entry{}, map[int]int{}} }

func (t *table) put(e *Entry) {
	if _, there := t.entries[e.Prefix]; !there {
		t.bits[e.Prefix.Bits()]++
	}
	t.entries[e.Prefix] = e
}

func (t *table) remove(p netip.Prefix) bool {
	if _, there := t.entries[p]; !there {
		return false
	}
	delete(t.entries, p)
	if t.bits[p.Bits()]--; t.bits[p.Bits()] == 0 {
		delete(t.bits, p.Bits())
	}
	return true
}

// find is the entry in force for addr at a time; nil if there is none.
func (t *table) find(addr netip.Addr, now time.Time) *Entry {
	var found *Entry
	for bits := range t.bits {
		p, err := addr.Prefix(bits)
		if err != nil {
			continue // longer than an address of IPv4
		}
		e := t.entries[p]
		if e == nil || e.over(now) {
			continue
		}
		if found == nil || e.Prefix.Bits() > found.Prefix.Bits() {
			found = e
		}
	}
	return found
}

func (e *Entry) over(now time.Time) bool { return !e.Until.IsZero() && !now.Before(e.Until) }

// hasAny tells whether an entry is in force.
func (t *table) hasAny(now time.Time) bool {
	for _, e := range t.entries {
		if !e.over(now) {
			return true
		}
	}
	return false
}

func sortEntries(list []Entry) {
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.List, b.List), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
}
