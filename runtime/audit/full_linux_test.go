package audit

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limitFiles lets no file of this process grow beyond n bytes: for a log that is a full
// disk, which also takes the beginning of what did not fit.
func limitFiles(t *testing.T, n uint64) (lift func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	lift = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(lift)
	return lift
}

func TestAFullDiskStopsNobodyAndTheGapIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	var said bytes.Buffer
	l := Open(dir, DefaultLimits(), func() time.Time { return day }, slog.New(slog.NewTextHandler(&said, nil)))
	defer l.Close()
	l.Append(Event{Event: "a.first"})
	lift := limitFiles(t, 200)
	for range 10 {
		l.Append(Event{Event: "a.lost", Message: strings.Repeat("x", 40)})
	}
	missing := l.Lost()
	if missing < 8 {
		t.Fatalf("%d missing", missing)
	}
	lift()
	l.Append(Event{Event: "a.last"})
	events, damaged := read(t, dir, Filter{})
	if damaged != 0 || l.Lost() != 0 {
		t.Errorf("%d damaged lines, %d still missing", damaged, l.Lost())
	}
	n := len(events)
	if events[n-1].Event != "a.last" || events[n-2].Event != GapEvent || events[n-1].Seq != 13 {
		t.Fatalf("the last are %+v", events[n-2:])
	}
	var gap lost
	if err := json.Unmarshal(events[n-2].Data, &gap); err != nil || gap.Events != missing || !gap.Since.Equal(day) || gap.Error == "" {
		t.Errorf("%+v, %v", gap, err)
	}
	if strings.Count(said.String(), "cannot be written") != 1 || !strings.Contains(said.String(), "can be written again") {
		t.Errorf("the log says %s", said.String())
	}
}
