package license

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/daemon"
)

var started = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func newDaemon(t *testing.T, open bool) (addr string) {
	t.Helper()
	s := httptest.NewTLSServer(Handler(Options{
		Health: func(*http.Request) daemon.Health {
			return daemon.Health{Status: "ok", Version: "7.0.0", Ready: true, Role: "local", Open: open}
		},
		Open:    func() bool { return open },
		Version: "7.0.0", Role: "local", Started: started,
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestAsk(t *testing.T) {
	t.Run("brings the status", func(t *testing.T) {
		s, err := Ask(t.Context(), newDaemon(t, true))
		if err != nil || s.State != "serving" || s.Version != "7.0.0" || s.Role != "local" || !s.Started.Equal(started) || len(s.Licenses) != 0 {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("brings the status of a daemon that is being updated too", func(t *testing.T) {
		if s, err := Ask(t.Context(), newDaemon(t, false)); err != nil || s.State != "updating" {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("says what to look at when nobody answers", func(t *testing.T) {
		if _, err := Ask(t.Context(), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "it does not run; start it with: ") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("tells another program from the license daemon", func(t *testing.T) {
		for name, handler := range map[string]http.HandlerFunc{
			"a page":     func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
			"other JSON": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) },
			"not found":  http.NotFound,
			"a redirection": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://192.0.2.1/", http.StatusFound)
			},
		} {
			s := httptest.NewTLSServer(handler)
			if _, err := Ask(t.Context(), s.Listener.Addr().String()); err == nil {
				t.Errorf("%s: no error", name)
			}
			s.Close()
		}
	})
	t.Run("asks nobody but this machine", func(t *testing.T) {
		for _, addr := range []string{"192.0.2.1:2380", "example.org:2380", ":2380", "127.0.0.1"} {
			if _, err := Ask(t.Context(), addr); err == nil {
				t.Errorf("%s: no error", addr)
			}
		}
	})
	t.Run("gives up with its caller", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Ask(ctx, newDaemon(t, true)); err == nil {
			t.Error("no error")
		}
	})
}

func TestPingAnswersClosedOrOpen(t *testing.T) {
	for _, open := range []bool{false, true} {
		client, err := localClient("127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Get("https://" + newDaemon(t, open) + PingPath)
		if err != nil {
			t.Fatal(err)
		}
		var h daemon.Health
		if err := json.NewDecoder(resp.Body).Decode(&h); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		resp.Body.Close()
		if h.Open != open || h.Role != "local" || h.Status != "ok" {
			t.Errorf("%+v", h)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add(`{"state":"serving","version":"7.0.0","role":"local","started":"2026-11-21T08:00:00Z","licenses":[]}`)
	f.Add(`{"state":"serving"}`)
	f.Add(`{"state":1}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseStatus(strings.NewReader(text)); err == nil && (s.State == "" || s.Version == "") {
			t.Errorf("%q is %+v", text, s)
		}
	})
}
