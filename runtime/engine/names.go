package engine

import (
	"sync"

	"ss-setup/runtime/model"
)

// names gives numbers to the keys that objects refer to: 100,000 users refer to a few
// VFSs and groups. It only grows, by what was ever referred to since the start.
type names struct {
	mu     sync.RWMutex
	number map[model.Key]uint32
}

func newNames() *names { return &names{number: map[model.Key]uint32{}} }

// numbers are those of keys, new ones for keys not seen before.
func (n *names) numbers(keys []model.Key) []uint32 {
	if len(keys) == 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]uint32, len(keys))
	for i, key := range keys {
		id, ok := n.number[key]
		if !ok {
			id = uint32(len(n.number))
			n.number[key] = id
		}
		out[i] = id
	}
	return out
}

// lookup is the number of a key that something refers to, or did.
func (n *names) lookup(key model.Key) (uint32, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, ok := n.number[key]
	return id, ok
}
