//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"text/tabwriter"
	"time"
)

// row is one figure. Peer is what the peer needed, in the unit that the note names;
// nil where there is none.
type row struct {
	Key   string   `json:"key"`
	Value float64  `json:"value"`
	Unit  string   `json:"unit"`
	Goal  string   `json:"goal"`
	Peer  *float64 `json:"peer"`
	Pass  bool     `json:"pass"`
	Runs  int      `json:"runs"`
	// note says what was compared, for the table.
	note string
}

// goal is a bound that a value keeps.
type goal struct {
	least bool // the value must be this at least, otherwise at most
	bound float64
}

func atMost(bound float64) goal  { return goal{bound: bound} }
func atLeast(bound float64) goal { return goal{least: true, bound: bound} }

func (g goal) String() string {
	if g.least {
		return fmt.Sprintf(">= %g", g.bound)
	}
	return fmt.Sprintf("<= %g", g.bound)
}

func (g goal) reached(value float64) bool {
	if g.least {
		return value >= g.bound
	}
	return value <= g.bound
}

// newRow judges the value as it is written: rounded to thousandths.
func newRow(key string, value float64, unit string, g goal, runs int, note string) row {
	value = round(value)
	return row{Key: key, Value: value, Unit: unit, Goal: g.String(), Pass: g.reached(value), Runs: runs, note: note}
}

// against adds what the peer needed.
func (r row) against(peer time.Duration) row {
	seconds := round(peer.Seconds())
	r.Peer = &seconds
	return r
}

// ratioRow compares the medians of two sides.
func ratioRow(key string, ours, peers []time.Duration, g goal, note string) row {
	o, p := median(ours), median(peers)
	note = fmt.Sprintf("ours %.3f s, peer %.3f s; %s", o.Seconds(), p.Seconds(), note)
	return newRow(key, o.Seconds()/p.Seconds(), "x", g, min(len(ours), len(peers)), note).against(p)
}

func round(v float64) float64 { return math.Round(v*1000) / 1000 }

func printTable(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FIGURE\tVALUE\tUNIT\tGOAL\tPEER\tRESULT\tRUNS\tNOTE")
	for _, r := range rows {
		peer, result := "-", "missed"
		if r.Peer != nil {
			peer = fmt.Sprintf("%.3f s", *r.Peer)
		}
		if r.Pass {
			result = "reached"
		}
		fmt.Fprintf(t, "%s\t%g\t%s\t%s\t%s\t%s\t%d\t%s\n", r.Key, r.Value, r.Unit, r.Goal, peer, result, r.Runs, r.note)
	}
	_ = t.Flush()
}

func writeRows(file string, rows []row) error {
	if rows == nil {
		rows = []row{}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // a goal is written "<= 1"
	e.SetIndent("", "  ")
	if err := e.Encode(rows); err != nil {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}
