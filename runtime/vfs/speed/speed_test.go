package speed

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestTheRateHoldsForAllWhoShareALimiter(t *testing.T) {
	l := New(1000)
	now := time.Unix(0, 0)
	l.now = func() time.Time { return now }
	var waited time.Duration
	for range 100 {
		if d := l.take(100); d > 0 {
			waited += d
			now = now.Add(d)
		}
	}
	// 10,000 bytes at 1,000 a second, less what an idle limiter lets through at once.
	if want := 10*time.Second - burst; waited != want {
		t.Errorf("waited %v, not %v", waited, want)
	}
	l.Set(0)
	if l.take(1<<30) != 0 {
		t.Error("no limit waits")
	}
}

func TestAWaitEndsWithItsSession(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(1).Wait(ctx, 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	var none *Limiter
	if err := none.Wait(t.Context(), 1<<30); err != nil {
		t.Errorf("no limiter: %v", err)
	}
}

// TestWhoLeavesWhileHeWaitsHoldsNobodyElseUp: a site's limiter is everybody's.
func TestWhoLeavesWhileHeWaitsHoldsNobodyElseUp(t *testing.T) {
	l := New(1 << 20)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 100 {
		if err := l.Wait(gone, 1<<20); err == nil {
			t.Fatal("it did not wait")
		}
	}
	patient, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := l.Wait(patient, 1<<10); err != nil {
		t.Errorf("another waits for those who left: %v", err)
	}
}
