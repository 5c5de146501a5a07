package acme

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"ss-setup/runtime/tlscert"
)

func manager(t *testing.T, opt Options) *Manager {
	t.Helper()
	m, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestACertificateIsGotByHTTP01(t *testing.T) {
	a, dir, c := newAuthority(t, false), t.TempDir(), &clock{now: time.Now()}
	m := manager(t, a.options(dir, c, "files.example.org", "sftp.example.org"))
	if _, ok := m.Pair(); ok {
		t.Error("a certificate out of nothing")
	}
	got := run(t, m, c, 1)
	if len(got) != 1 {
		t.Fatalf("%d certificates: %+v", len(got), m.Status())
	}
	for _, name := range []string{"files.example.org", "sftp.example.org"} {
		if err := got[0].TLS.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if len(got[0].TLS.Certificate) < 2 {
		t.Error("the authority's own certificate is missing in the chain")
	}
	if _, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", a.http)); err == nil {
		t.Error("the door for the authority is still open")
	}
	for _, name := range files(t, dir) {
		if info, err := os.Stat(filepath.Join(dir, "acme", name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}

	t.Run("and served by the next start without asking again", func(t *testing.T) {
		orders := a.orders.Load()
		again := manager(t, a.options(dir, c, "files.example.org", "sftp.example.org"))
		if pair, ok := again.Pair(); !ok || pair.Fingerprint != got[0].Fingerprint {
			t.Error("the certificate is lost")
		}
		if more := run(t, again, c, 3); len(more) != 0 || a.orders.Load() != orders {
			t.Errorf("%d more certificates, %d more orders", len(more), a.orders.Load()-orders)
		}
	})
	t.Run("and a changed name brings a new one from the same account", func(t *testing.T) {
		other := manager(t, a.options(dir, c, "new.example.org"))
		if _, ok := other.Pair(); !ok {
			t.Error("until then the one of before is better than none")
		}
		more := run(t, other, c, 1)
		if len(more) != 1 || more[0].TLS.Leaf.VerifyHostname("new.example.org") != nil {
			t.Fatalf("%d certificates: %+v", len(more), other.Status())
		}
		if accounts := slices.DeleteFunc(files(t, dir), func(n string) bool { return !strings.HasPrefix(n, "account-") }); len(accounts) != 1 {
			t.Errorf("accounts %v", accounts)
		}
	})
}

func TestACertificateIsGotByTLSALPN01WhileOthersAreServed(t *testing.T) {
	a, dir, c := newAuthority(t, false), t.TempDir(), &clock{now: time.Now()}
	opt := a.options(dir, c, "files.example.org")
	opt.Challenge = TLSALPN01
	changed := make(chan struct{})
	opt.Pause = func(ctx context.Context, _ time.Duration, _ <-chan struct{}) {
		close(changed)
		<-ctx.Done()
	}
	m := manager(t, opt)
	k, err := tlscert.Open(tlscert.Options{Dir: filepath.Join(dir, "tls"), Source: tlscert.Source{Issuer: m}, Now: c.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	serve(t, k.TLS(), a.tls)
	<-changed
	if k.SelfSigned() {
		t.Fatalf("still self-signed: %+v", m.Status())
	}
	conn, err := tls.Dial("tcp", fmt.Sprint("127.0.0.1:", a.tls), &tls.Config{ServerName: "files.example.org", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.ConnectionState().PeerCertificates[0].VerifyHostname("files.example.org"); err != nil {
		t.Error(err)
	}
	if _, err := tls.Dial("tcp", fmt.Sprint("127.0.0.1:", a.tls), &tls.Config{
		ServerName: "files.example.org", InsecureSkipVerify: true, NextProtos: []string{acme.ALPNProto},
	}); err == nil {
		t.Error("the proof is still shown")
	}
}

func TestACertificateIsRenewedWhenTwoThirdsOfItsLifeAreOver(t *testing.T) {
	a, dir := newAuthority(t, false), t.TempDir()
	began := time.Now()
	c := &clock{now: began}
	m := manager(t, a.options(dir, c, "files.example.org"))
	run(t, m, c, 1)
	first, _ := m.Pair()

	c.now = began.Add(life*2/3 - time.Hour)
	if got := run(t, m, c, 1); len(got) != 0 {
		t.Error("renewed an hour too early")
	}
	c.now = began.Add(life*2/3 + time.Hour)
	got := run(t, m, c, 1)
	if len(got) != 1 || got[0].Fingerprint == first.Fingerprint {
		t.Fatalf("%d certificates: %+v", len(got), m.Status())
	}
	if pair, ok := manager(t, a.options(dir, c, "files.example.org")).Pair(); !ok || pair.NotAfter.Before(first.NotAfter) {
		t.Error("the next start serves the old one")
	}
}

func TestAClockThatIsWrongDoesNotWearTheAuthorityOut(t *testing.T) {
	a := newAuthority(t, false)
	// Whatever is issued now is two thirds through its life at this time.
	c := &clock{now: time.Now().Add(life * 5 / 6)}
	m := manager(t, a.options(t.TempDir(), c, "files.example.org"))
	if got := run(t, m, c, 1); len(got) != 1 || c.pauses[0] < firstRetry {
		t.Errorf("%d certificates, then pauses %v", len(got), c.pauses)
	}
}

func TestAFailedRenewalKeepsTheOldCertificateAndTriesAgainLaterAndLater(t *testing.T) {
	a, dir := newAuthority(t, false), t.TempDir()
	began := time.Now()
	c := &clock{now: began}
	var text bytes.Buffer
	opt := a.options(dir, c, "files.example.org")
	opt.Log = slog.New(slog.NewTextHandler(&text, nil))
	m := manager(t, opt)
	run(t, m, c, 1)
	first, _ := m.Pair()

	a.broken.Store(true)
	c.now, c.pauses = began.Add(life*2/3+time.Hour), nil
	if got := run(t, m, c, 4); len(got) != 0 {
		t.Fatal("a certificate from an authority that is down")
	}
	want := []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 80 * time.Minute}
	if !slices.Equal(c.pauses, want) {
		t.Errorf("pauses %v, want %v", c.pauses, want)
	}
	if pair, ok := m.Pair(); !ok || pair.Fingerprint != first.Fingerprint {
		t.Error("the certificate of before is gone")
	}
	if s := m.Status(); s.Failures != 4 || !strings.Contains(s.LastError, "500") {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(text.String(), "what was served before is served on") || !strings.Contains(text.String(), "failures=4") {
		t.Errorf("the log says %s", text.String())
	}

	a.broken.Store(false)
	m.TryNow()
	if got := run(t, m, c, 1); len(got) != 1 || m.Status().Failures != 0 {
		t.Errorf("after that: %d certificates, %+v", len(got), m.Status())
	}
}

func TestANameThatLeadsElsewhereIsToldWithTheCure(t *testing.T) {
	a, dir, c := newAuthority(t, false), t.TempDir(), &clock{now: time.Now()}
	opt := a.options(dir, c, "files.example.org")
	// The authority looks at its port; this server answers at another.
	opt.HTTPListen = "127.0.0.1:0"
	m := manager(t, opt)
	if got := run(t, m, c, 1); len(got) != 0 {
		t.Fatal("a certificate without a proof")
	}
	if s := m.Status(); !strings.Contains(s.LastError, "could not see that files.example.org is this server") || !strings.Contains(s.LastError, "port 80") {
		t.Errorf("%+v", s)
	}
}

func TestAPortThatIsTakenIsToldWithTheCure(t *testing.T) {
	a, dir, c := newAuthority(t, false), t.TempDir(), &clock{now: time.Now()}
	l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", a.http))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := manager(t, a.options(dir, c, "files.example.org"))
	run(t, m, c, 1)
	if s := m.Status(); !strings.Contains(s.LastError, "free the port, or choose the challenge tls-alpn-01") {
		t.Errorf("%+v", s)
	}
}

func TestAnAuthorityThatWantsABindingGetsIt(t *testing.T) {
	a, c := newAuthority(t, true), &clock{now: time.Now()}
	opt := a.options(t.TempDir(), c, "files.example.org")
	without := manager(t, opt)
	run(t, without, c, 1)
	if s := without.Status(); !strings.Contains(s.LastError, "make an account at") {
		t.Errorf("without: %+v", s)
	}
	opt.KeyID = "kid-1"
	opt.MACKey = decodeMAC(t, "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W")
	opt.Dir = filepath.Join(t.TempDir(), "acme")
	with := manager(t, opt)
	if got := run(t, with, c, 1); len(got) != 1 {
		t.Errorf("with: %+v", with.Status())
	}
}

func TestRetriesObeyTheAuthority(t *testing.T) {
	limited := &acme.Error{ProblemType: "urn:ietf:params:acme:error:rateLimited", Header: http.Header{"Retry-After": {"7200"}}}
	if got := retryAfter(1, fmt.Errorf("order: %w", limited)); got < 119*time.Minute || got > 2*time.Hour {
		t.Errorf("told to wait for two hours, waits %v", got)
	}
	if got := retryAfter(50, errors.New("down")); got != lastRetry {
		t.Errorf("after many failures waits %v", got)
	}
}

func TestDamagedStateIsToldOrPassedOver(t *testing.T) {
	a, dir, c := newAuthority(t, false), t.TempDir(), &clock{now: time.Now()}
	opt := a.options(dir, c, "files.example.org")
	m := manager(t, opt)
	run(t, m, c, 1)
	for _, name := range files(t, dir) {
		if err := os.WriteFile(filepath.Join(opt.Dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m = manager(t, opt)
	if _, ok := m.Pair(); ok {
		t.Error("a damaged certificate is served")
	}
	run(t, m, c, 1)
	if s := m.Status(); !strings.Contains(s.LastError, "restore it from a backup, or remove it to make a new account") {
		t.Errorf("%+v", s)
	}
}

func TestOldCertificatesAreRemovedAndTheNewestStay(t *testing.T) {
	dir := t.TempDir()
	s := newStore(dir, LetsEncrypt, slog.New(slog.DiscardHandler))
	other := "cert-ffffffffffff-20300101000000-01.pem"
	for _, name := range []string{
		"cert-" + s.id + "-20260101000000-aa.pem", "cert-" + s.id + "-20270101000000-bb.pem", "cert-" + s.id + "-20280101000000-cc.pem",
		"cert-" + s.id + "-20290101000000-dd.pem", other, "account-" + s.id + ".key",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.collect()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 5 || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.Contains(e.Name(), "2026") }) {
		t.Errorf("left %v, %v", entries, err)
	}
}

func TestOptionsThatCannotWorkAreRefusedByName(t *testing.T) {
	good := func() Options {
		return Options{Names: []string{"a.example"}, Challenge: HTTP01, Directory: LetsEncrypt, AcceptTerms: true}
	}
	for want, change := range map[string]func(*Options){
		"names: an authority":   func(o *Options) { o.Names = nil },
		"through DNS":           func(o *Options) { o.Names = []string{"*.example.org"} },
		"is an address":         func(o *Options) { o.Names = []string{"192.0.2.1"} },
		"is not a DNS name":     func(o *Options) { o.Names = []string{"https://a"} },
		"challenge: \"dns-01\"": func(o *Options) { o.Challenge = "dns-01" },
		"directory:":            func(o *Options) { o.Directory = "http://acme" },
		"accept_terms:":         func(o *Options) { o.AcceptTerms = false },
		"key_id and mac_key":    func(o *Options) { o.KeyID = "1" },
	} {
		o := good()
		change(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := good().Check(); err != nil {
		t.Error(err)
	}
}

func TestACertificateThatEndsBeforeItBeginsStopsNothing(t *testing.T) {
	now := time.Now()
	leaf := &x509.Certificate{NotBefore: now.Add(time.Hour), NotAfter: now.Add(time.Minute), DNSNames: []string{"sftp.example.com"}}
	m := &Manager{opt: withDefaults(Options{Names: leaf.DNSNames}), have: true, pair: tlscert.Pair{TLS: tls.Certificate{Leaf: leaf}, NotAfter: leaf.NotAfter}}
	if due := m.due(); due.After(leaf.NotAfter) {
		t.Errorf("due %v", due)
	}
}
