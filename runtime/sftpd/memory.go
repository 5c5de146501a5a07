package sftpd

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// DefaultMemory is what the process of a server is held to, in bytes, unless an
// administrator says otherwise: a thousand sessions at work fit in twice as much, which
// they may take for as long as they need it.
const DefaultMemory = 200 << 20

const (
	// lazyGC is how much garbage may pile up, in per cent of what is in use. Every
	// packet that comes in is garbage soon; with the usual 100 uploads are slower.
	lazyGC = 400
	// restless is how much is allocated between two looks by a server at work.
	restless = 4 << 20
	// worthwhile is how much unused memory is worth giving back.
	worthwhile = 32 << 20
)

// TendMemory sets the garbage collector of the process for a server, and gives memory
// back to the machine when the server comes to rest, which the runtime by itself does
// late. It looks every interval and returns when ctx ends.
func TendMemory(ctx context.Context, limit int64, interval time.Duration) {
	debug.SetGCPercent(lazyGC)
	debug.SetMemoryLimit(limit)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	allocated, tidied := uint64(0), true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, held := memoryUse()
		atWork := now-allocated > restless
		allocated = now
		switch {
		case atWork:
			tidied = false
		case !tidied && held > worthwhile:
			runtime.GC() // pools let go of what they keep at the second collection
			debug.FreeOSMemory()
			tidied = true
		}
	}
}

// memoryUse is what was ever allocated, and what the heap holds now, used or not.
func memoryUse() (allocated, held uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(samples)
	for _, s := range samples[1:] {
		held += s.Value.Uint64()
	}
	return samples[0].Value.Uint64(), held
}
