package setup

import (
	"net/netip"
	"time"
)

const (
	// perAddress lets a person mistype, window tells for how long that counts.
	perAddress = 5
	window     = time.Minute
	// overall bounds an attacker who has many addresses. Attempts from the machine
	// itself do not count against it, so nobody outside can lock its admin out.
	overall = 60
	// maxAddresses bounds the memory that an attacker can make us spend.
	maxAddresses = 1024
)

// limiter counts attempts in windows of a minute.
type limiter struct {
	began time.Time
	total int
	each  map[netip.Addr]int
}

// take counts an attempt; a positive answer is how long to wait instead.
func (l *limiter) take(from netip.Addr, now time.Time) (wait time.Duration) {
	if l.each == nil || now.Before(l.began) || now.Sub(l.began) >= window {
		*l = limiter{began: now, each: map[netip.Addr]int{}}
	}
	rest := window - now.Sub(l.began)
	who := network(from)
	local := who.IsLoopback()
	if !local && (l.total >= overall || len(l.each) >= maxAddresses) || l.each[who] >= perAddress {
		return rest
	}
	l.each[who]++
	if !local {
		l.total++
	}
	return 0
}

// network is what one person has: an IPv4 address, or the half of an IPv6 address that
// a provider gives away at once.
func network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}
