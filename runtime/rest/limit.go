package rest

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// maxBuckets bounds what is remembered of who asks.
const maxBuckets = 50_000

// buckets are the rate limits: each key has tokens that come back with time.
type buckets struct {
	now func() time.Time

	mu  sync.Mutex
	all map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newBuckets(now func() time.Time) *buckets {
	return &buckets{now: now, all: map[string]*bucket{}}
}

// take counts a request of key, of which perMinute are allowed on the average and burst at
// once; a positive answer is how long to wait instead.
func (b *buckets) take(key string, perMinute, burst float64) (wait time.Duration) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.of(key, perMinute, burst, now)
	if own.tokens >= 1 {
		own.tokens--
		return 0
	}
	return time.Duration((1 - own.tokens) / perMinute * float64(time.Minute))
}

// give takes a request back that is not to count.
func (b *buckets) give(key string, burst float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if own := b.all[short(key)]; own != nil {
		own.tokens = min(own.tokens+1, burst)
	}
}

func (b *buckets) of(key string, perMinute, burst float64, now time.Time) *bucket {
	key = short(key)
	own := b.all[key]
	if own == nil {
		if len(b.all) >= maxBuckets {
			b.forget(now)
		}
		own = &bucket{tokens: burst, at: now}
		b.all[key] = own
	}
	if passed := now.Sub(own.at); passed > 0 {
		own.tokens = min(own.tokens+passed.Minutes()*perMinute, burst)
	}
	own.at = now
	return own
}

// maxKey bounds what a bucket is remembered by, in bytes: names are chosen by who asks.
const maxKey = 64

// short is a key that is not long, and of no other key.
func short(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return string(sum[:])
}

// forgetAfter is when a bucket has filled up again at any rate that there is.
const forgetAfter = time.Hour

// forget makes room: first of all that have not been used, else of any.
func (b *buckets) forget(now time.Time) {
	for key, own := range b.all {
		if now.Sub(own.at) > forgetAfter {
			delete(b.all, key)
		}
	}
	for key := range b.all {
		if len(b.all) < maxBuckets*9/10 {
			return
		}
		delete(b.all, key)
	}
}

// network is what one person has: an IPv4 address, or the half of an IPv6 address that a
// provider gives away at once.
func network(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}
