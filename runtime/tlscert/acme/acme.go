// Package acme gets a certificate from an authority that speaks ACME (RFC 8555), such as
// Let's Encrypt or a company's own, and renews it by itself: when two thirds of its life
// are over, and after a failure again and again, with longer and longer pauses. Until a
// new certificate is whole and on disk, the one of before is served.
//
// The protocol is golang.org/x/crypto/acme; here is when to ask, how to prove the names
// and where to keep things. Account key and certificates lie in the key ring, outside the
// generations, so that neither an update nor a rollback loses them: an authority gives
// only so many a week.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"ss-setup/runtime/tlscert"
)

// The ways to prove to the authority that a name is ours.
const (
	// HTTP01 answers on port 80, only while the authority asks.
	HTTP01 = "http-01"
	// TLSALPN01 answers in the TLS handshake on port 443.
	TLSALPN01 = "tls-alpn-01"
)

// LetsEncrypt is the directory of the authority that is asked unless told otherwise.
const LetsEncrypt = acme.LetsEncryptURL

// DefaultHTTPListen is where HTTP01 answers unless told otherwise.
const DefaultHTTPListen = ":80"

const (
	// orderLimit bounds one attempt to get a certificate.
	orderLimit = 5 * time.Minute
	// nap is the longest pause between two looks at the clock: a machine may have been
	// asleep, or its clock been put right.
	nap = 6 * time.Hour
	// firstRetry and lastRetry bound the pause after a failure, which doubles each time.
	// An authority allows a handful of failures an hour for a name.
	firstRetry = 10 * time.Minute
	lastRetry  = 12 * time.Hour
)

// Options say what certificate to get and from whom.
type Options struct {
	// Dir is where account key and certificates lie; its parent must be there.
	Dir string
	// Directory is the address of the authority.
	Directory string
	// Names are the DNS names that the certificate is for.
	Names []string
	// Email is where the authority tells of trouble; it may be empty.
	Email string
	// AcceptTerms says that the administrator agrees to the authority's terms.
	AcceptTerms bool
	// Challenge is HTTP01 or TLSALPN01; HTTPListen is where HTTP01 answers.
	Challenge, HTTPListen string
	// Roots, unless nil, are those that the authority's own HTTPS is trusted by.
	Roots *x509.CertPool
	// KeyID and MACKey bind the account to one at the authority, where it asks for that.
	KeyID  string
	MACKey []byte

	UserAgent string
	Log       *slog.Logger
	// Now tells the time, Pause waits for d, for wake or for the end of ctx, Jitter is a
	// random part of d; nil for the usual ones.
	Now    func() time.Time
	Pause  func(ctx context.Context, d time.Duration, wake <-chan struct{})
	Jitter func(d time.Duration) time.Duration
}

// Check refuses options that can never work, naming the setting.
func (o Options) Check() error {
	if len(o.Names) == 0 {
		return errors.New("names: an authority gives a certificate for names; write those that clients use")
	}
	for _, name := range o.Names {
		if err := checkName(name); err != nil {
			return fmt.Errorf("names: %w", err)
		}
	}
	if o.Challenge != HTTP01 && o.Challenge != TLSALPN01 {
		return fmt.Errorf("challenge: %q is not known; use %q or %q", o.Challenge, HTTP01, TLSALPN01)
	}
	if u, err := url.Parse(o.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("directory: %q is not an address such as %q", o.Directory, LetsEncrypt)
	}
	if !o.AcceptTerms {
		return errors.New("accept_terms: the authority asks for agreement to its terms; read them and write accept_terms = true")
	}
	if (o.KeyID == "") != (len(o.MACKey) == 0) {
		return errors.New("key_id and mac_key: the authority gives both; write both or none")
	}
	return nil
}

func checkName(name string) error {
	switch {
	case strings.HasPrefix(name, "*."):
		return fmt.Errorf("%q: a certificate for all names of a domain is proved through DNS, which this release does not do; list the names", name)
	case net.ParseIP(name) != nil:
		return fmt.Errorf("%q is an address; use its DNS name", name)
	case name == "" || strings.ContainsAny(name, " \t\r\n/:*@"):
		return fmt.Errorf("%q is not a DNS name", name)
	}
	return nil
}

// Status is how the certificate does.
type Status struct {
	// NotAfter is the end of the certificate in use; zero without one.
	NotAfter time.Time
	// Next is when the authority will be asked.
	Next time.Time
	// Failures are those since the last success, LastError the newest of them.
	Failures  int
	LastError string
}

// Manager keeps one certificate fresh.
type Manager struct {
	opt    Options
	store  store
	proofs proofs
	wake   chan struct{}

	mu     sync.Mutex
	pair   tlscert.Pair
	have   bool
	status Status
}

// New reads what is there of earlier runs; it asks nobody yet.
func New(opt Options) (*Manager, error) {
	opt = withDefaults(opt)
	if err := opt.Check(); err != nil {
		return nil, err
	}
	m := &Manager{opt: opt, store: newStore(opt.Dir, opt.Directory, opt.Log), wake: make(chan struct{}, 1)}
	m.proofs.listen = opt.HTTPListen
	pair, ok, err := m.store.best(opt.Names, opt.Now())
	if err != nil {
		return nil, err
	}
	m.pair, m.have = pair, ok
	m.status = Status{NotAfter: pair.NotAfter, Next: m.due()}
	return m, nil
}

func withDefaults(opt Options) Options {
	if opt.Directory == "" {
		opt.Directory = LetsEncrypt
	}
	if opt.Challenge == "" {
		opt.Challenge = HTTP01
	}
	if opt.HTTPListen == "" {
		opt.HTTPListen = DefaultHTTPListen
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Pause == nil {
		opt.Pause = pause
	}
	if opt.Jitter == nil {
		opt.Jitter = func(d time.Duration) time.Duration { return rand.N(d + 1) }
	}
	return opt
}

func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// Pair is the certificate that was got last, if it is still valid.
func (m *Manager) Pair() (tlscert.Pair, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pair, m.have
}

// Status tells how the certificate does.
func (m *Manager) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// TryNow ends the pause after a failure: an administrator has mended something.
func (m *Manager) TryNow() {
	m.mu.Lock()
	if m.status.Failures > 0 {
		m.status.Next = m.opt.Now()
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Challenge implements tlscert.Issuer.
func (m *Manager) Challenge(hello *tls.ClientHelloInfo) *tls.Certificate {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acme.ALPNProto {
		return nil
	}
	return m.proofs.certificate(hello.ServerName)
}

// Run renews until ctx ends and hands every new certificate to changed.
func (m *Manager) Run(ctx context.Context, changed func(tlscert.Pair)) {
	for ctx.Err() == nil {
		if wait := m.Status().Next.Sub(m.opt.Now()); wait > 0 {
			m.opt.Pause(ctx, min(wait, nap), m.wake)
			continue
		}
		pair, err := m.obtain(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			m.failed(err)
			continue
		}
		m.got(pair)
		changed(pair)
	}
}

// due is when the certificate in use is to be renewed: a third of its life before its
// end, a little earlier or later, so that many servers do not ask at once.
func (m *Manager) due() time.Time {
	if !m.have || !covers(m.pair, m.opt.Names) {
		return m.opt.Now()
	}
	// One that ends before it begins has no life; an authority's clock may be wrong, too.
	life := max(0, m.pair.NotAfter.Sub(m.pair.TLS.Leaf.NotBefore))
	return m.pair.NotAfter.Add(-life / 3).Add(-m.opt.Jitter(life / 30))
}

func (m *Manager) got(pair tlscert.Pair) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pair, m.have = pair, true
	// A clock that is wrong makes a fresh certificate look old; the authority must not be
	// asked for one after the other because of that.
	next := m.due()
	if soonest := m.opt.Now().Add(firstRetry); next.Before(soonest) {
		next = soonest
	}
	m.status = Status{NotAfter: pair.NotAfter, Next: next}
	m.opt.Log.Info("the authority gave a certificate", "names", m.opt.Names, "until", pair.NotAfter,
		"fingerprint", pair.Fingerprint, "renewal", m.status.Next)
}

func (m *Manager) failed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Failures++
	m.status.LastError = err.Error()
	wait := retryAfter(m.status.Failures, err)
	m.status.Next = m.opt.Now().Add(wait + m.opt.Jitter(wait/10))
	attrs := []any{"names", m.opt.Names, "error", err, "failures", m.status.Failures, "next", m.status.Next}
	if m.have {
		attrs = append(attrs, "served_until", m.pair.NotAfter)
	}
	m.opt.Log.Error("no certificate from the authority; what was served before is served on", attrs...)
}

// retryAfter is the pause after the nth failure in a row; an authority that names a
// longer one is obeyed.
func retryAfter(n int, err error) time.Duration {
	wait := lastRetry
	if n < 8 {
		wait = min(firstRetry<<(n-1), lastRetry)
	}
	if asked, ok := acme.RateLimit(errorOf(err)); ok {
		wait = max(wait, min(asked, 7*24*time.Hour))
	}
	return wait
}

// errorOf finds the authority's own answer in err: acme.RateLimit does not unwrap.
func errorOf(err error) error {
	var answer *acme.Error
	if errors.As(err, &answer) {
		return answer
	}
	return err
}

// client speaks to the authority.
func (m *Manager) client() (*acme.Client, error) {
	key, err := m.store.account()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if m.opt.Roots != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: m.opt.Roots, MinVersion: tls.VersionTLS12}
	}
	return &acme.Client{
		Key:          key,
		DirectoryURL: m.opt.Directory,
		UserAgent:    m.opt.UserAgent,
		HTTPClient:   &http.Client{Transport: transport, Timeout: time.Minute},
		RetryBackoff: backoff,
	}, nil
}

// backoff is the pause before the nth repetition of one request; none means that the
// attempt has failed. Being told to slow down is a failure: the next attempt obeys.
func backoff(n int, _ *http.Request, resp *http.Response) time.Duration {
	if n > 2 || resp != nil && resp.StatusCode == http.StatusTooManyRequests {
		return 0
	}
	return time.Duration(n) * 500 * time.Millisecond
}
