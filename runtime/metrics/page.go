package metrics

import (
	"bytes"
	"cmp"
	"io"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The formats of the page.
const (
	openMetricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	textType        = "text/plain; version=0.0.4; charset=utf-8"
)

// Handler is the page. Whom allow refuses is told nothing but that.
func (r *Registry) Handler(allow func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !allow(q) {
			http.Error(w, "Metrics are shown to the addresses in metrics_from of server.toml, and to whom the server knows.", http.StatusForbidden)
			return
		}
		open := strings.Contains(q.Header.Get("Accept"), "application/openmetrics-text")
		w.Header().Set("Content-Type", textType)
		if open {
			w.Header().Set("Content-Type", openMetricsType)
		}
		var page bytes.Buffer
		r.write(&page, open)
		_, _ = page.WriteTo(w)
	})
}

// WriteOpenMetrics writes all metrics as OpenMetrics.
func (r *Registry) WriteOpenMetrics(w io.Writer) error {
	var page bytes.Buffer
	r.write(&page, true)
	_, err := page.WriteTo(w)
	return err
}

func (r *Registry) write(out *bytes.Buffer, open bool) {
	r.mu.Lock()
	families := slices.Clone(r.families)
	r.mu.Unlock()
	slices.SortFunc(families, func(a, b *family) int { return cmp.Compare(a.name, b.name) })
	for _, f := range families {
		f.write(out, open)
	}
	if open {
		out.WriteString("# EOF\n")
	}
}

func (f *family) write(out *bytes.Buffer, open bool) {
	// Only OpenMetrics keeps a counter's name apart from that of its samples.
	name, sample := f.name, f.name
	if f.kind == counter {
		sample += "_total"
		if !open {
			name = sample
		}
	}
	out.WriteString("# HELP " + name + " " + escapeHelp(f.help, open) + "\n# TYPE " + name + " " + string(f.kind) + "\n")
	if f.read != nil {
		out.WriteString(sample + " " + number(f.read()) + "\n")
		return
	}
	for _, s := range f.sorted() {
		labels := pairs(f.labels, s.values)
		if f.kind == histogram {
			f.writeHistogram(out, s, labels)
			continue
		}
		out.WriteString(sample + braces(labels) + " " + number(s.value()) + "\n")
	}
}

func (f *family) sorted() []*series {
	f.mu.RLock()
	defer f.mu.RUnlock()
	all := make([]*series, 0, len(f.series))
	for _, s := range f.series {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *series) int { return slices.Compare(a.values, b.values) })
	return all
}

func (f *family) writeHistogram(out *bytes.Buffer, s *series, labels string) {
	comma := ""
	if labels != "" {
		comma = ","
	}
	total := uint64(0)
	for i := range s.counts {
		bound := "+Inf"
		if i < len(f.bounds) {
			bound = number(f.bounds[i])
		}
		total += s.counts[i].Load()
		out.WriteString(f.name + "_bucket" + braces(labels+comma+`le="`+bound+`"`) + " " + strconv.FormatUint(total, 10) + "\n")
	}
	out.WriteString(f.name + "_sum" + braces(labels) + " " + number(s.value()) + "\n")
	out.WriteString(f.name + "_count" + braces(labels) + " " + strconv.FormatUint(total, 10) + "\n")
}

func braces(labels string) string {
	if labels == "" {
		return ""
	}
	return "{" + labels + "}"
}

func pairs(names, values []string) string {
	var out strings.Builder
	for i, name := range names {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(name + `="` + escapeValue(values[i]) + `"`)
	}
	return out.String()
}

var (
	valueEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

// escapeValue also replaces what is not UTF-8, which the formats do not allow.
func escapeValue(s string) string { return valueEscapes.Replace(strings.ToValidUTF8(s, "\ufffd")) }

func escapeHelp(s string, open bool) string {
	if open {
		return escapeValue(s)
	}
	return helpEscapes.Replace(s)
}

// number writes a whole number with a decimal point, as OpenMetrics wants bounds to be.
func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	case math.IsNaN(v):
		return "NaN"
	}
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// Process adds what is known of the process itself.
func (r *Registry) Process(version string, started time.Time) {
	r.Gauges("ss_build_info", "1, with the version of the running release.", "version").With(version).Set(1)
	r.GaugeFunc("process_start_time_seconds", "When the server was started, in seconds since 1970.", func() float64 {
		return float64(started.UnixMilli()) / 1000
	})
	r.GaugeFunc("go_goroutines", "Goroutines that exist.", func() float64 { return float64(runtime.NumGoroutine()) })
	r.GaugeFunc("go_memory_used_bytes", "Memory that the Go runtime has from the system.", memoryUsed)
}
