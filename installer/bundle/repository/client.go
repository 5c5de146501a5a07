package repository

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"ss-setup/installer/bundle/trust"
)

// base is where this program looks for releases unless told otherwise. It is set
// when the program is built; see the Makefile.
var base string

// BuiltIn is the repository that this program was built for; empty when for none.
func BuiltIn() string { return base }

// Patience of the client. They are what a slow line may need, not what a hurried
// administrator would like.
const (
	dialTimeout     = 15 * time.Second
	responseTimeout = 30 * time.Second
	// stallTimeout ends a transfer in which nothing comes any more, or next to nothing.
	stallTimeout = 60 * time.Second
	// trickle is next to nothing, in bytes a second: no line is as slow as that, but a
	// server that wants to hold somebody on.
	trickle = 100
	// slowest is the average below which a transfer is given up, in bytes a second.
	slowest = 2 << 10
	// metadataTimeout is for all metadata of one mirror: each of a long chain of them
	// could come slowly.
	metadataTimeout = 5 * time.Minute
	// tries is how often one mirror is asked in vain before the next.
	tries = 3
	// mostTries is how often one is asked for a file that grows each time: a mirror
	// that cuts every answer short holds nobody for ever.
	mostTries = 50
	// pause between two tries grows from this.
	pause = time.Second
)

// Options say how to reach a repository.
type Options struct {
	// Mirrors are asked in this order. They are base addresses, as
	// https://example.org/ss-server.
	Mirrors []string
	// Proxy, when set, is used instead of what the environment names; "none" is no
	// proxy.
	Proxy string
	// CAFile, when set, holds certificates (PEM) that are trusted beside the system's.
	CAFile    string
	UserAgent string
	// Warn is told of a mirror that was passed over. It may be nil.
	Warn func(message string)
	// Pause replaces waiting before another try, for tests.
	Pause func(ctx context.Context, d time.Duration) error
	// Stall replaces stallTimeout, for tests.
	Stall time.Duration
}

// Client reaches a repository.
type Client struct {
	mirrors []*url.URL
	http    *http.Client
	proxy   func(*http.Request) (*url.URL, error)
	o       Options
}

// ErrAddress is found in the error of New for an address, proxy or file of
// certificates that cannot be used.
var ErrAddress = errors.New("wrong address")

// New checks the options. It opens no connection.
func New(o Options) (*Client, error) {
	c := &Client{o: o}
	for _, m := range o.Mirrors {
		u, err := parseAddress(m)
		if err != nil {
			return nil, err
		}
		c.mirrors = append(c.mirrors, u)
	}
	if len(c.mirrors) == 0 {
		return nil, fmt.Errorf("%w: no repository is named", ErrAddress)
	}
	var err error
	if c.proxy, err = proxyOf(o.Proxy); err != nil {
		return nil, err
	}
	roots, err := rootsOf(o.CAFile)
	if err != nil {
		return nil, err
	}
	if c.o.Pause == nil {
		c.o.Pause = wait
	}
	if c.o.Stall == 0 {
		c.o.Stall = stallTimeout
	}
	if c.o.Warn == nil {
		c.o.Warn = func(string) {}
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:       c.proxy,
			DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS12,
				RootCAs:    roots,
			},
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: responseTimeout,
			ForceAttemptHTTP2:     true,
			// Bytes are counted and taken up again: they must be those of the file.
			DisableCompression: true,
		},
		CheckRedirect: stayPrivate,
	}
	return c, nil
}

// IsAddress tells whether a word names a repository and not a file.
func IsAddress(word string) bool {
	lower := strings.ToLower(word)
	return strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")
}

func parseAddress(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !IsAddress(text) {
		return nil, fmt.Errorf("%w: %q is not an address like https://example.org/ss-server", ErrAddress, text)
	}
	u.RawQuery, u.Fragment = "", ""
	return u, nil
}

func proxyOf(text string) (func(*http.Request) (*url.URL, error), error) {
	switch text {
	case "":
		return http.ProxyFromEnvironment, nil
	case "none":
		return func(*http.Request) (*url.URL, error) { return nil, nil }, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		return nil, fmt.Errorf("%w: the proxy is not an address; give it as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT", ErrAddress)
	}
	return http.ProxyURL(u), nil
}

func rootsOf(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: read the certificates: %w", ErrAddress, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%w: %s holds no certificate in PEM", ErrAddress, file)
	}
	return pool, nil
}

// stayPrivate follows redirects, but from https to https only.
func stayPrivate(to *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("redirected ten times")
	}
	if via[0].URL.Scheme == "https" && to.URL.Scheme != "https" {
		return errors.New("redirected from https to http")
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Unreachable is the error when no mirror gave what was asked for.
type Unreachable struct {
	What  string
	Tried []Attempt
}

// Attempt is how one mirror failed.
type Attempt struct {
	Mirror string
	// Proxy that was used; empty for none.
	Proxy string
	Err   error
}

// Error names every mirror, the proxy used, and why it failed.
func (u *Unreachable) Error() string {
	var parts []string
	for _, a := range u.Tried {
		how := "without a proxy"
		if a.Proxy != "" {
			how = "through the proxy " + a.Proxy
		}
		parts = append(parts, fmt.Sprintf("%s (%s): %v", a.Mirror, how, a.Err))
	}
	return fmt.Sprintf("cannot get %s from any mirror: %s", u.What, strings.Join(parts, "; "))
}

// Unwrap are the errors of the mirrors.
func (u *Unreachable) Unwrap() []error {
	var errs []error
	for _, a := range u.Tried {
		errs = append(errs, a.Err)
	}
	return errs
}

func (c *Client) attempt(mirror *url.URL, err error) Attempt {
	a := Attempt{Mirror: mirror.Redacted(), Err: plain(err)}
	if proxy, perr := c.proxy(&http.Request{URL: mirror}); perr == nil && proxy != nil {
		a.Proxy = proxy.Redacted()
	}
	return a
}

// plain leaves out the address that net/http puts in front of its errors: it may
// hold a password.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// Open verifies the metadata of the first mirror whose metadata can be trusted. When
// none can be, the error is the first Refusal, if there was one, else Unreachable.
func (c *Client) Open(ctx context.Context, o trust.Options) (*trust.Trusted, error) {
	lost := &Unreachable{What: "the signed metadata"}
	var refused error
	for i, m := range c.mirrors {
		t, err := c.openMirror(ctx, m, o)
		if err == nil {
			return t, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if _, ok := errors.AsType[*trust.Refusal](err); ok {
			err = fmt.Errorf("cannot trust %s: %w", m.Redacted(), err)
			if refused == nil {
				refused = err
			}
		}
		lost.Tried = append(lost.Tried, c.attempt(m, err))
		if i+1 < len(c.mirrors) {
			c.o.Warn(fmt.Sprintf("going on with the next mirror: %v", err))
		}
	}
	if refused != nil {
		return nil, refused
	}
	return nil, lost
}

func (c *Client) openMirror(ctx context.Context, m *url.URL, o trust.Options) (*trust.Trusted, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, metadataTimeout, errSlow)
	defer cancel()
	return trust.Open(ctx, mirror{c, m}, o)
}

// mirror is the metadata of one mirror as a trust.Source.
type mirror struct {
	c   *Client
	url *url.URL
}

// Metadata implements trust.Source.
func (m mirror) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	var data []byte
	err := m.c.persist(ctx, func(ctx context.Context) error {
		resp, stop, err := m.c.get(ctx, m.url.JoinPath(trust.MetadataDir, name), 0, limit)
		if err != nil {
			return err
		}
		defer stop()
		defer resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusOK:
		case http.StatusNotFound, http.StatusForbidden, http.StatusGone:
			return fmt.Errorf("%w: %s (%w)", trust.ErrNoMetadata, path.Join(trust.MetadataDir, name), status(resp))
		default:
			return status(resp)
		}
		data, err = trust.ReadLimited(resp.Body, name, limit)
		return err
	})
	return data, err
}

// statusError is an answer that is no success.
type statusError struct{ code int }

func (e statusError) Error() string {
	return fmt.Sprintf("the server answers %d %s", e.code, http.StatusText(e.code))
}

func status(resp *http.Response) error { return statusError{resp.StatusCode} }

// lasting tells errors that another try would only repeat.
func lasting(err error) bool {
	if code, ok := errors.AsType[statusError](err); ok {
		return code.code < 500 && code.code != http.StatusTooManyRequests && code.code != http.StatusRequestTimeout
	}
	if r, refused := errors.AsType[*trust.Refusal](err); refused {
		return r.Check != trust.Truncated // what was cut off can be taken up
	}
	if _, wrongCertificate := errors.AsType[*tls.CertificateVerificationError](err); wrongCertificate {
		return true
	}
	return errors.Is(err, trust.ErrNoMetadata) || errors.Is(err, errLocal) || errors.Is(err, errSlow)
}

// persist tries a few times, unless that is no use.
func (c *Client) persist(ctx context.Context, try func(context.Context) error) error {
	return c.persistWhile(ctx, func() bool { return false }, try)
}

// persistWhile is persist, but does not count a try that has brought the matter
// forward, as grew tells.
func (c *Client) persistWhile(ctx context.Context, grew func() bool, try func(context.Context) error) error {
	vain := 0
	for n := 1; ; n++ {
		err := try(ctx)
		if err == nil || ctx.Err() != nil || lasting(err) {
			return err
		}
		if vain++; grew() {
			vain = 0
		}
		if vain == tries || n == mostTries {
			return err
		}
		if waitErr := c.o.Pause(ctx, time.Duration(max(vain, 1))*pause); waitErr != nil {
			return waitErr
		}
	}
}

// get asks for a file from an offset on. The transfer ends when nothing comes any
// more, or too little for size bytes. stop must be called.
func (c *Client) get(ctx context.Context, from *url.URL, offset, size int64) (*http.Response, func(), error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute+time.Duration(size/slowest)*time.Second, errSlow)
	ctx, stall := context.WithCancelCause(ctx)
	stop := func() {
		stall(nil)
		cancel()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		stop()
		return nil, nil, err
	}
	if c.o.UserAgent != "" {
		req.Header.Set("User-Agent", c.o.UserAgent)
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		stop()
		return nil, nil, err
	}
	dog := &watched{ReadCloser: resp.Body, ctx: ctx}
	go dog.watch(c.o.Stall, stall)
	resp.Body = dog
	return resp, stop, nil
}

var (
	errStalled = errors.New("nothing came any more")
	errSlow    = errors.New("it came too slowly")
)

// watched is a body that is given up when nothing comes, or next to nothing.
type watched struct {
	io.ReadCloser
	ctx context.Context
	// came counts bytes since watch looked last.
	came atomic.Int64
}

// watch ends the transfer by giveUp, and itself with it.
func (w *watched) watch(patience time.Duration, giveUp context.CancelCauseFunc) {
	look := time.NewTicker(patience)
	defer look.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-look.C:
		}
		switch came := w.came.Swap(0); {
		case came == 0:
			giveUp(errStalled)
		case float64(came) < trickle*patience.Seconds():
			giveUp(errSlow)
		}
	}
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.came.Add(int64(n))
	if err != nil && w.ctx.Err() != nil {
		err = context.Cause(w.ctx)
	}
	return n, err
}
