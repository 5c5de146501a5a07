// Package metrics counts what the server does and shows it at /metrics in the text formats
// that Prometheus reads: OpenMetrics 1.0 where the scraper asks for it, else the older one.
//
// Whoever counts holds a Counter, Gauge or Histogram and knows nothing of the page. Counting
// is a few nanoseconds and takes no lock. The number of label values is bounded: what
// clients choose must not fill the memory.
package metrics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxSeries bounds the series of one metric; further ones are counted together, with
// every label "other".
const maxSeries = 1000

// other stands for the label values beyond maxSeries.
const other = "other"

// kind is a type of metric as the formats name it.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// Registry holds the metrics of a server.
type Registry struct {
	mu       sync.Mutex
	families []*family
}

// New is an empty registry.
func New() *Registry { return &Registry{} }

// family is a metric with all its series.
type family struct {
	name, help string
	kind       kind
	labels     []string
	bounds     []float64      // of a histogram
	read       func() float64 // of one that is asked for

	mu     sync.RWMutex
	series map[string]*series
}

// series is the metric for one choice of label values.
type series struct {
	values []string
	bits   atomic.Uint64 // a float64
	counts []atomic.Uint64
}

func (s *series) add(v float64) {
	for {
		old := s.bits.Load()
		if s.bits.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

func (s *series) value() float64 { return math.Float64frombits(s.bits.Load()) }

// register adds a family. Names are part of the program: a wrong or double one is a fault
// of the build that every start shows.
func (r *Registry) register(f *family) *family {
	if !validName(f.name) || slices.ContainsFunc(f.labels, func(l string) bool { return !validName(l) || l == "le" }) {
		panic("metrics: bad name in " + f.name)
	}
	if f.kind == counter && strings.HasSuffix(f.name, "_total") {
		panic("metrics: the format adds _total to " + f.name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.families, func(g *family) bool { return g.name == f.name }) {
		panic("metrics: " + f.name + " is there twice")
	}
	f.series = map[string]*series{}
	if len(f.labels) == 0 {
		f.with(nil)
	}
	r.families = append(r.families, f)
	return f
}

func validName(s string) bool {
	return s != "" && (s[0] < '0' || s[0] > '9') && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func (f *family) with(values []string) *series {
	if len(values) != len(f.labels) {
		panic(fmt.Sprintf("metrics: %s has the labels %v, got %v", f.name, f.labels, values))
	}
	key := strings.Join(values, "\xff")
	f.mu.RLock()
	s := f.series[key]
	f.mu.RUnlock()
	if s != nil {
		return s
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.series[key]; s != nil {
		return s
	}
	if len(f.series) >= maxSeries {
		values = slices.Repeat([]string{other}, len(values))
		key = strings.Join(values, "\xff")
		if s := f.series[key]; s != nil {
			return s
		}
	}
	s = &series{values: slices.Clone(values)}
	if f.kind == histogram {
		s.counts = make([]atomic.Uint64, len(f.bounds)+1)
	}
	f.series[key] = s
	return s
}

// Counter only grows.
type Counter struct{ s *series }

// Inc adds 1.
func (c Counter) Inc() { c.s.add(1) }

// Add adds n; what is not positive is left out.
func (c Counter) Add(n float64) {
	if n > 0 {
		c.s.add(n)
	}
}

// Gauge goes up and down.
type Gauge struct{ s *series }

// Set sets the value.
func (g Gauge) Set(v float64) { g.s.bits.Store(math.Float64bits(v)) }

// Add adds v, which may be negative.
func (g Gauge) Add(v float64) { g.s.add(v) }

// Histogram counts how many values lie below each of its bounds.
type Histogram struct {
	s      *series
	bounds []float64
}

// Observe counts a value.
func (h Histogram) Observe(v float64) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.s.counts[i].Add(1)
	h.s.add(v)
}

// Counters, Gauges and Histograms are metrics with labels.
type (
	Counters   struct{ f *family }
	Gauges     struct{ f *family }
	Histograms struct{ f *family }
)

// With is the counter for these values of the labels.
func (c Counters) With(values ...string) Counter { return Counter{c.f.with(values)} }

// With is the gauge for these values of the labels.
func (g Gauges) With(values ...string) Gauge { return Gauge{g.f.with(values)} }

// With is the histogram for these values of the labels.
func (h Histograms) With(values ...string) Histogram {
	return Histogram{h.f.with(values), h.f.bounds}
}

// Counter makes a counter. Its name ends with the unit, if any; the page adds _total.
func (r *Registry) Counter(name, help string) Counter { return r.Counters(name, help).With() }

// Counters makes a counter with labels.
func (r *Registry) Counters(name, help string, labels ...string) Counters {
	return Counters{r.register(&family{name: name, help: help, kind: counter, labels: labels})}
}

// Gauge makes a gauge.
func (r *Registry) Gauge(name, help string) Gauge { return r.Gauges(name, help).With() }

// Gauges makes a gauge with labels.
func (r *Registry) Gauges(name, help string, labels ...string) Gauges {
	return Gauges{r.register(&family{name: name, help: help, kind: gauge, labels: labels})}
}

// GaugeFunc makes a gauge whose value is asked for when the page is read; the function
// must be quick and may be called at any time.
func (r *Registry) GaugeFunc(name, help string, value func() float64) {
	r.register(&family{name: name, help: help, kind: gauge, read: value})
}

// CounterFunc makes a counter whose value is asked for, as with GaugeFunc.
func (r *Registry) CounterFunc(name, help string, value func() float64) {
	r.register(&family{name: name, help: help, kind: counter, read: value})
}

// Histogram makes a histogram with these bounds, in rising order.
func (r *Registry) Histogram(name, help string, bounds []float64) Histogram {
	return r.Histograms(name, help, bounds).With()
}

// Histograms makes a histogram with labels.
func (r *Registry) Histograms(name, help string, bounds []float64, labels ...string) Histograms {
	if len(bounds) == 0 || !slices.IsSorted(bounds) {
		panic("metrics: the bounds of " + name + " do not rise")
	}
	return Histograms{r.register(&family{name: name, help: help, kind: histogram, labels: labels, bounds: bounds})}
}
