package license

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReachTellsALicenseDaemonFromOthers(t *testing.T) {
	if err := Reach(t.Context(), newDaemon(t, true)); err != nil {
		t.Errorf("a license daemon: %v", err)
	}
	page := httptest.NewTLSServer(http.NotFoundHandler())
	defer page.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for addr, want := range map[string]string{
		"127.0.0.1:1":                  "no license daemon answers",
		"nowhere.invalid:2380":         "no license daemon answers",
		page.Listener.Addr().String():  "is not a license daemon",
		plain.Listener.Addr().String(): "no license daemon answers",
	} {
		if err := Reach(t.Context(), addr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", addr, err, want)
		}
	}
}

func TestALicenseServerIsInaccessibleUntilItAnswers(t *testing.T) {
	w := &Watcher{log: slog.New(slog.DiscardHandler), now: func() time.Time { return started }, last: Server{Address: "lic:2380", State: Inaccessible}}
	if s := w.Server(); s.State != Inaccessible || !s.Checked.IsZero() {
		t.Errorf("before the first question: %+v", s)
	}
	w.note(Reach(t.Context(), "127.0.0.1:1"))
	if s := w.Server(); s.State != Inaccessible || s.Error == "" || !s.Checked.Equal(started) {
		t.Errorf("without an answer: %+v", s)
	}
	w.note(nil)
	if s := w.Server(); s.State != Reachable || s.Error != "" {
		t.Errorf("with one: %+v", s)
	}
}

func TestWatchAsksAtOnceAndAgain(t *testing.T) {
	addr := newDaemon(t, true)
	w := Watch(addr, slog.New(slog.DiscardHandler), time.Now)
	for end := time.Now().Add(10 * time.Second); w.Server().State != Reachable; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", w.Server())
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var asked int
		w := Watch("invalid address", slog.New(slog.DiscardHandler), func() time.Time { asked++; return time.Now() })
		time.Sleep(reachPause + time.Second)
		if err := w.Close(); err != nil || asked != 2 {
			t.Errorf("asked %d times, %v", asked, err)
		}
	})
}
