package web

import (
	"strings"
	"testing"
	"time"
)

func TestHistoryTellsSessionsAndBytesASecond(t *testing.T) {
	now, load := start, Load{}
	h := NewHistory(func() Load { return load }, func() time.Time { return now })
	for i := range 3 * historyLength {
		now = now.Add(time.Minute)
		load = Load{Sessions: i, Up: load.Up + 600, Down: load.Down + 6000}
		h.Sample()
	}
	last := h.Last(time.Hour)
	if n := len(last); n != 61 {
		t.Errorf("%d samples", n)
	}
	s := last[len(last)-2]
	if s.Up != 10 || s.Down != 100 || s.Sessions != 3*historyLength-1 {
		t.Errorf("%+v", s)
	}
	if n := len(h.Last(100 * time.Hour)); n != historyLength+1 {
		t.Errorf("%d samples are kept", n)
	}
	load.Up = 0 // a file was closed between two readings
	if s := h.Last(time.Hour)[60]; s.Up != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAPlotSaysInWordsWhatItShows(t *testing.T) {
	samples := []Sample{{At: start.Add(-time.Hour), Up: 1 << 20}, {At: start, Up: 3 << 10}}
	p := plotOf("Throughput", samples, start, 6*time.Hour, rate, roundUpBytes, series{"Up", "up", func(s Sample) float64 { return s.Up }})
	if p.Text != "Throughput in the last 6 hours: Up now 3 KiB/s, at most 1 MiB/s." {
		t.Error(p.Text)
	}
	if !strings.HasPrefix(p.Lines[0].Path, "M") || strings.Contains(p.Lines[0].Path, "NaN") {
		t.Error(p.Lines[0].Path)
	}
}

func TestSizesAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "500": 500, "10 GiB": 10 << 30, "10g": 10 << 30, "1.5 MB": 3 << 19, "2tib": 2 << 40, "7 b": 7} {
		if n, ok := readSize(text); !ok || n != want {
			t.Errorf("%q is %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{"", "x", "-1", "1 XB", "1e99", "GiB", "10 GiBB", "NaN"} {
		if n, ok := readSize(text); ok {
			t.Errorf("%q is %d", text, n)
		}
	}
	for _, n := range []int64{1, 1023, 1024, 1536, 10 << 30, 1<<40 + 1} {
		if got, ok := readSize(typedSize(n)); !ok || got != n {
			t.Errorf("%d comes back as %d", n, got)
		}
	}
}
