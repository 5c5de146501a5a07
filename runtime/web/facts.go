package web

import (
	"sync"
	"time"
)

// factsLife is how long what is told of the node is believed: every page of a SuperAdmin
// asks for it, and it comes from the disk.
const factsLife = time.Minute

// nodeFacts remember what was told of the node.
type nodeFacts struct {
	mu    sync.Mutex
	facts *Facts
	at    time.Time
}

// known is what is told of the node, a minute old at most; nil if nothing is.
func (p *Pages) known() *Facts {
	if p.Facts == nil {
		return nil
	}
	n := &p.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := p.Now(); n.facts == nil || now.Sub(n.at) >= factsLife {
		facts := p.Facts()
		n.facts, n.at = &facts, now
	}
	facts := *n.facts
	return &facts
}

// forget has them asked for anew: something of them was changed here.
func (n *nodeFacts) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.facts = nil
}
