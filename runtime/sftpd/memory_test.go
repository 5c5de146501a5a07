package sftpd_test

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"ss-setup/runtime/sftpd"
)

func TestAServerAtRestGivesMemoryBack(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer func() { debug.SetGCPercent(before); debug.SetMemoryLimit(math.MaxInt64) }()
	go sftpd.TendMemory(t.Context(), 1<<30, 20*time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	var work [][]byte
	for range 128 {
		work = append(work, make([]byte, 1<<20))
		work[len(work)-1][0] = 1
	}
	runtime.KeepAlive(work)
	work = nil
	eventually(t, "its memory is given back", func() bool {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse < 64<<20 && m.HeapReleased > 64<<20
	})
}
