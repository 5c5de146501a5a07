package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"ss-setup/runtime/tlscert"
)

// authority is Pebble, the test server of Let's Encrypt's makers, run inside the test.
// It really looks for its challenges, at names that a resolver of its own leads here.
type authority struct {
	directory string
	roots     *x509.CertPool
	// http and tls are the ports at which it looks for proofs.
	http, tls int
	// broken, while set, makes it answer with 500.
	broken atomic.Bool
	orders atomic.Int32
}

// life is how long its certificates are valid.
const life = 90 * 24 * time.Hour

func newAuthority(t *testing.T, bound bool) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	a := &authority{http: freePort(t), tls: freePort(t)}
	quiet := log.New(testWriter{t}, "", 0)
	store := db.NewMemoryStore()
	if bound {
		if err := store.AddExternalAccountKeyByID("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"); err != nil {
			t.Fatal(err)
		}
	}
	profiles := map[string]ca.Profile{"default": {Description: "the only one", ValidityPeriod: uint64(life / time.Second)}}
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, profiles)
	checker := va.New(quiet, a.http, a.tls, true, resolver(t), store)
	front := wfe.New(quiet, store, checker, issuer, []string{"authority.test"}, true, bound, 1, 1)
	handler := front.Handler()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.broken.Load() {
			http.Error(w, "down for maintenance", http.StatusInternalServerError)
			return
		}
		if r.URL.Path == "/order-plz" {
			a.orders.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	a.directory = server.URL + wfe.DirectoryPath
	a.roots = x509.NewCertPool()
	a.roots.AddCert(server.Certificate())
	return a
}

// testWriter puts the authority's log into the test's, as long as the test lasts.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

// resolver leads every name to this machine.
func resolver(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: listener, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		answer := new(dns.Msg)
		answer.SetReply(r)
		if q := r.Question[0]; q.Qtype == dns.TypeA {
			answer.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET},
				A:   net.IPv4(127, 0, 0, 1),
			}}
		}
		_ = w.WriteMsg(answer)
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	return listener.Addr().String()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// clock is a time that pauses move on. Once it has paused as often as it may, it ends the
// run.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	pauses []time.Duration
	left   int
	// before, if set, is called before each pause.
	before func(n int)
	end    context.CancelFunc
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Pause(_ context.Context, d time.Duration, _ <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.before != nil {
		c.before(len(c.pauses))
	}
	c.now = c.now.Add(d)
	c.pauses = append(c.pauses, d)
	if c.left--; c.left <= 0 {
		c.end()
	}
}

// options are those of a server that proves its names to a by http-01.
func (a *authority) options(dir string, c *clock, names ...string) Options {
	return Options{
		Dir: filepath.Join(dir, "acme"), Directory: a.directory, Roots: a.roots, Names: names, AcceptTerms: true,
		Challenge: HTTP01, HTTPListen: "127.0.0.1:" + strconv.Itoa(a.http),
		Log: slog.New(slog.DiscardHandler), Now: c.Now, Pause: c.Pause,
		Jitter: func(time.Duration) time.Duration { return 0 },
	}
}

// run runs the manager for a number of pauses and returns what it was given.
func run(t *testing.T, m *Manager, c *clock, pauses int) (got []tlscert.Pair) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c.end, c.left = cancel, pauses
	m.Run(ctx, func(p tlscert.Pair) { got = append(got, p) })
	if ctx.Err() == context.DeadlineExceeded {
		t.Fatal("the authority did not answer within a minute")
	}
	return got
}

// serve serves TLS at the authority's port as the product does.
func serve(t *testing.T, config *tls.Config, port int) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port), config)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: log.New(testWriter{t}, "", 0)}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "acme"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func decodeMAC(t *testing.T, text string) []byte {
	t.Helper()
	key, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
