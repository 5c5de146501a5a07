package daemon

import (
	"context"
	"os"
	"sync/atomic"
	"time"
)

// gatePoll is how often a closed daemon looks for its commit. Users wait for it at
// the end of every update.
const gatePoll = 10 * time.Millisecond

// Gate keeps users out until the generation is committed. Once open it stays open:
// a commit is never taken back from a running daemon.
type Gate struct {
	path string
	open atomic.Bool
}

// NewGate is open if the commit file at path is there already.
func NewGate(path string) *Gate {
	g := &Gate{path: path}
	g.look()
	return g
}

// Open says whether users may come in.
func (g *Gate) Open() bool { return g.open.Load() }

// Watch waits for the commit file, calls opened once, and returns; or returns when
// ctx ends. A gate that is open already returns at once without the call.
func (g *Gate) Watch(ctx context.Context, opened func()) {
	if g.Open() {
		return
	}
	tick := time.NewTicker(gatePoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if g.look() {
				opened()
				return
			}
		}
	}
}

func (g *Gate) look() bool {
	if info, err := os.Stat(g.path); err == nil && info.Mode().IsRegular() {
		g.open.Store(true)
	}
	return g.Open()
}
