package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func everything() *Registry {
	r := New()
	logins := r.Counters("ss_logins", "Log-ins, by \"outcome\".", "site", "outcome")
	logins.With("main", "done").Inc()
	logins.With("main", "done").Add(2)
	logins.With("main", "done").Add(-5)
	logins.With("a\"b\\c\nd\xff", "refused").Inc()
	r.Gauge("ss_sessions", "Open sessions.").Set(3)
	r.CounterFunc("ss_audit_lost_events", "Lost.", func() float64 { return 0 })
	h := r.Histogram("ss_login_seconds", "Time.", []float64{0.1, 1})
	for _, v := range []float64{0.05, 0.1, 0.5, 7} {
		h.Observe(v)
	}
	return r
}

func page(t *testing.T, r *Registry, accept string) (text, kind string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	r.Handler(func(*http.Request) bool { return true }).ServeHTTP(w, req)
	return w.Body.String(), w.Header().Get("Content-Type")
}

func TestThePageIsOpenMetricsForWhoAsks(t *testing.T) {
	text, kind := page(t, everything(), "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
	want := `# HELP ss_audit_lost_events Lost.
# TYPE ss_audit_lost_events counter
ss_audit_lost_events_total 0.0
# HELP ss_login_seconds Time.
# TYPE ss_login_seconds histogram
ss_login_seconds_bucket{le="0.1"} 2
ss_login_seconds_bucket{le="1.0"} 3
ss_login_seconds_bucket{le="+Inf"} 4
ss_login_seconds_sum 7.65
ss_login_seconds_count 4
# HELP ss_logins Log-ins, by \"outcome\".
# TYPE ss_logins counter
ss_logins_total{site="a\"b\\c\nd` + "\ufffd" + `",outcome="refused"} 1.0
ss_logins_total{site="main",outcome="done"} 3.0
# HELP ss_sessions Open sessions.
# TYPE ss_sessions gauge
ss_sessions 3.0
# EOF
`
	if text != want || kind != openMetricsType {
		t.Errorf("%s:\n%s", kind, text)
	}
}

func TestThePageIsTheOlderFormatForOthers(t *testing.T) {
	text, kind := page(t, everything(), "*/*")
	for _, line := range []string{"# TYPE ss_logins_total counter\n", "ss_logins_total{site=\"main\",outcome=\"done\"} 3.0\n", "# HELP ss_logins_total Log-ins, by \"outcome\".\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	if kind != textType || strings.Contains(text, "EOF") {
		t.Errorf("%s: %s", kind, text)
	}
}

func TestEveryLineIsWellFormed(t *testing.T) {
	r := everything()
	r.Process("7.0.0", time.Unix(1, 5e8))
	line := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_][a-z0-9_]* .+|[a-z_][a-z0-9_]*(\{[a-z_]+="([^"\\\n]|\\["\\n])*"(,[a-z_]+="([^"\\\n]|\\["\\n])*")*\})? (-?[0-9.e+-]+|\+Inf|NaN)|# EOF)$`)
	for _, accept := range []string{"", "application/openmetrics-text"} {
		text, _ := page(t, r, accept)
		for l := range strings.Lines(text) {
			if !line.MatchString(strings.TrimSuffix(l, "\n")) {
				t.Errorf("%q", l)
			}
		}
		if !strings.Contains(text, `ss_build_info{version="7.0.0"} 1.0`) || !strings.Contains(text, "process_start_time_seconds 1.5\n") {
			t.Error(text)
		}
	}
}

func TestWhoIsRefusedSeesNothing(t *testing.T) {
	w := httptest.NewRecorder()
	everything().Handler(func(*http.Request) bool { return false }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "ss_") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestLabelsThatClientsChooseFillNoMemory(t *testing.T) {
	r := New()
	c := r.Counters("ss_x", "X.", "name")
	for i := range 3 * maxSeries {
		c.With(fmt.Sprint(i)).Inc()
	}
	text, _ := page(t, r, "")
	if n := strings.Count(text, "\nss_x_total{"); n != maxSeries+1 || !strings.Contains(text, `{name="other"} 2000.0`) {
		t.Errorf("%d series", n)
	}
}

func TestCountingLosesNothing(t *testing.T) {
	r := New()
	c, g, h := r.Counter("ss_c", "C."), r.Gauge("ss_g", "G."), r.Histogram("ss_h", "H.", []float64{1})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				c.Inc()
				g.Add(1)
				g.Add(-1)
				h.Observe(0.5)
			}
		})
	}
	all.Wait()
	text, _ := page(t, r, "")
	for _, want := range []string{"ss_c_total 8000.0\n", "ss_g 0.0\n", "ss_h_count 8000\n", "ss_h_sum 4000.0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestAWrongMetricIsAFaultOfTheBuild(t *testing.T) {
	for name, make := range map[string]func(*Registry){
		"a name twice":      func(r *Registry) { r.Gauge("a", ""); r.Counter("a", "") },
		"a bad name":        func(r *Registry) { r.Gauge("a-b", "") },
		"a total":           func(r *Registry) { r.Counter("a_total", "") },
		"a bad label":       func(r *Registry) { r.Gauges("a", "", "le") },
		"bounds that fall":  func(r *Registry) { r.Histogram("a", "", []float64{2, 1}) },
		"a value too few":   func(r *Registry) { r.Gauges("a", "", "b").With() },
		"a name of nothing": func(r *Registry) { r.Gauge("", "") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("taken")
				}
			}()
			make(New())
		})
	}
}
