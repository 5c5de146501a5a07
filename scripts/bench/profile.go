//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// profile gathers how long the steps of several runs of ss-setup took.
type profile struct {
	b     *bench
	steps map[string][]time.Duration
}

func newProfile(b *bench) *profile { return &profile{b, map[string][]time.Duration{}} }

// add takes the events of one run; the first only warmed the caches.
func (p *profile) add(run int, events string) {
	if p.b.events != "" {
		p.b.writeFile(filepath.Join(p.b.events, fmt.Sprintf("%s-%d.ndjson", p.b.name, run)), []byte(events), 0o644)
	}
	if run == 0 {
		return
	}
	for step, took := range stepTimes(events) {
		p.steps[step] = append(p.steps[step], took)
	}
}

// stepTimes reads from a run's events how long each kind of step took.
func stepTimes(events string) map[string]time.Duration {
	took := map[string]time.Duration{}
	var begun time.Time
	for line := range strings.Lines(events) {
		var e struct {
			Time        time.Time
			Event, Step string
		}
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		switch e.Event {
		case "step_start":
			begun = e.Time
		case "step_done":
			took[e.Step] += e.Time.Sub(begun)
		}
	}
	return took
}

// tell prints the kinds of steps that took longest.
func (p *profile) tell(what string, most int) {
	kinds := slices.SortedFunc(maps.Keys(p.steps), func(a, b string) int {
		return cmp.Compare(median(p.steps[b]), median(p.steps[a]))
	})
	var words []string
	for _, k := range kinds[:min(most, len(kinds))] {
		words = append(words, fmt.Sprintf("%s %d ms", k, median(p.steps[k]).Milliseconds()))
	}
	p.b.Logf("%s, where the time goes: %s", what, strings.Join(words, ", "))
}
