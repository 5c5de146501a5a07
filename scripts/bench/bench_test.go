//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedianIsTheMiddleWhateverTheOrder(t *testing.T) {
	if got := median([]time.Duration{9, 1, 5}); got != 5 {
		t.Errorf("of three: %d", got)
	}
	if got := median([]time.Duration{9, 1, 5, 3}); got != 4 {
		t.Errorf("of four: %d", got)
	}
}

func TestGoalIsABoundInOneDirection(t *testing.T) {
	for _, c := range []struct {
		goal  goal
		value float64
		want  bool
	}{
		{atMost(1), 1, true},
		{atMost(1), 1.001, false},
		{atLeast(600), 600, true},
		{atLeast(600), 599, false},
	} {
		if got := c.goal.reached(c.value); got != c.want {
			t.Errorf("%v %s: %v", c.value, c.goal, got)
		}
	}
}

func TestRowsAreWrittenWithTheFieldsThatAreDocumented(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.json")
	seconds := []time.Duration{time.Second}
	err := writeRows(file, []row{
		ratioRow("install_vs_dpkg", []time.Duration{1500 * time.Millisecond}, seconds, atMost(1), "a note"),
		newRow("crash_points", 700, "cases", atLeast(600), 1, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Compact(&got, text); err != nil {
		t.Fatal(err)
	}
	want := `[{"key":"install_vs_dpkg","value":1.5,"unit":"x","goal":"<= 1","peer":1,"pass":false,"runs":1},` +
		`{"key":"crash_points","value":700,"unit":"cases","goal":">= 600","peer":null,"pass":true,"runs":1}]`
	if got.String() != want {
		t.Errorf("got  %s\nwant %s", got.String(), want)
	}
}

func TestDowntimeIsFromTheFirstRefusalToTheNewVersion(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	seen := []answer{
		{at(0), at(2), "7.0.0", true},
		{at(10), at(11), "", false},      // refused
		{at(20), at(22), "7.0.0", true},  // the old one once more
		{at(30), at(32), "7.0.1", false}, // up, and closed
		{at(40), at(45), "7.0.1", true},
		{at(50), at(52), "", false}, // later is another matter
	}
	got, err := downtime(seen, "7.0.1")
	if err != nil || got != 35*time.Millisecond {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := downtime(seen, "7.0.2"); err == nil {
		t.Error("a version that never answered has a downtime")
	}
}

func TestCasesAreCountedOncePerCounterLine(t *testing.T) {
	got := countCases(`=== RUN   TestEveryPlanSurvivesEveryFault
    matrix_test.go:339: counter: crash points below a root: 812 cases, 2 lost
crash points below a root: 812 cases, 2 lost
    interrupt_test.go:114: counter: killed without a reboot: 40 cases, 0 lost
`)
	if got != (tally{852, 2}) {
		t.Errorf("%+v", got)
	}
}

func TestStepTimesAddUpByKind(t *testing.T) {
	got := stepTimes(strings.Join([]string{
		`{"time":"2026-01-01T00:00:00Z","event":"step_start","step":"create_folder"}`,
		`{"time":"2026-01-01T00:00:00.01Z","event":"step_done","step":"create_folder"}`,
		`{"time":"2026-01-01T00:00:01Z","event":"step_start","step":"create_folder"}`,
		`{"time":"2026-01-01T00:00:01.5Z","event":"step_progress","step":"create_folder"}`,
		`{"time":"2026-01-01T00:00:02Z","event":"step_done","step":"create_folder"}`,
		``,
	}, "\n"))
	if got["create_folder"] != 1010*time.Millisecond {
		t.Errorf("%v", got)
	}
}

func TestMeasurementThatFailsEndsWithItsErrorAndCleansUp(t *testing.T) {
	b := &bench{name: "x"}
	cleaned := false
	err := b.try(func() {
		b.turn(func(inner *bench) {
			inner.Cleanup(func() { cleaned = true })
			inner.Fatalf("no machine")
		})
		t.Error("it went on")
	})
	if err == nil || err.Error() != "no machine" || !cleaned {
		t.Errorf("%v, cleaned %v", err, cleaned)
	}
}
