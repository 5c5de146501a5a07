package tlscert

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ss-setup/runtime/config"
)

// watchEvery is how often the files of an administrator are looked at for a new
// certificate.
const watchEvery = time.Minute

// warnEvery is how often a certificate that is about to end is warned of.
const warnEvery = 24 * time.Hour

// Issuer gets certificates from elsewhere and renews them; runtime/tlscert/acme is one.
type Issuer interface {
	// Pair is the certificate that was got before and is still valid.
	Pair() (Pair, bool)
	// Run renews until ctx ends and hands every new certificate to changed.
	Run(ctx context.Context, changed func(Pair))
	// Challenge answers the handshake of an authority that proves the name; nil for
	// every other handshake.
	Challenge(*tls.ClientHelloInfo) *tls.Certificate
}

// Source is where a certificate comes from: Files, an Issuer, or a Fixed pair that was
// parsed elsewhere. The zero Source is the self-signed one.
type Source struct {
	Files  *Files
	Issuer Issuer
	Fixed  *Pair
	// Names are those that clients use.
	Names []string
}

// Options are what a Keeper needs.
type Options struct {
	// Dir holds the self-signed certificate, which also stands in for the others.
	Dir    string
	Source Source
	Now    func() time.Time
	Log    *slog.Logger
}

// Keeper serves a certificate and puts a new one in its place under running
// connections. A certificate that cannot be used never takes the place of one that can.
type Keeper struct {
	opt     Options
	own     Pair
	current atomic.Pointer[Pair]
	issuer  atomic.Pointer[Issuer]

	mu     sync.Mutex
	source Source
	cancel context.CancelFunc
	done   sync.WaitGroup
	seen   [2]stamp
	warned time.Time
}

// stamp tells whether a file is still the one that was read.
type stamp struct {
	size int64
	time time.Time
}

// Open finds the certificate to begin with. Files that cannot be used at the start, or
// an issuer that has none yet, do not keep the server from serving: until there is
// something better it shows its self-signed certificate, and the log says why.
func Open(opt Options) (*Keeper, error) {
	own, err := Ensure(opt.Dir, append(LocalNames(), opt.Source.Names...), opt.Now())
	if err != nil {
		return nil, err
	}
	k := &Keeper{opt: opt, own: own, cancel: func() {}}
	k.current.Store(&own)
	if err := k.Use(opt.Source); err != nil {
		opt.Log.Error("the certificate cannot be used; clients see the self-signed one", "error", err)
	}
	if opt.Now().After(own.NotAfter) && k.SelfSigned() {
		opt.Log.Warn("the certificate has expired; clients will refuse it", "expired", own.NotAfter)
	}
	return k, nil
}

// Use takes the certificate from another source from now on. Files that cannot be used
// are an error: the certificate of before is served on, and the files are watched until
// they can be.
func (k *Keeper) Use(source Source) error {
	k.stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	k.source, k.cancel = source, cancel
	k.issuer.Store(nil)
	switch {
	case source.Files != nil:
		err := k.load()
		k.done.Go(func() { k.watch(ctx) })
		return err
	case source.Issuer != nil:
		k.issuer.Store(&source.Issuer)
		if pair, ok := source.Issuer.Pair(); ok {
			k.current.Store(&pair)
		} else {
			k.opt.Log.Warn("there is no certificate from the authority yet; until then the one of before is served")
		}
		k.done.Go(func() { source.Issuer.Run(ctx, func(p Pair) { k.current.Store(&p) }) })
	case source.Fixed != nil:
		k.current.Store(source.Fixed)
	default:
		k.current.Store(&k.own)
	}
	return nil
}

// stop ends watching and renewing.
func (k *Keeper) stop() {
	k.mu.Lock()
	cancel := k.cancel
	k.mu.Unlock()
	cancel()
	k.done.Wait()
}

// Close ends watching and renewing.
func (k *Keeper) Close() error {
	k.stop()
	return nil
}

// Pair is the certificate that is served now.
func (k *Keeper) Pair() Pair { return *k.current.Load() }

// SelfSigned says that clients see the certificate that this machine made itself.
func (k *Keeper) SelfSigned() bool { return k.Pair().Fingerprint == k.own.Fingerprint }

// TLS is the configuration to serve with; it stays right whatever Use says later.
func (k *Keeper) TLS() *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == config.OwnCertificate {
				return &k.own.TLS, nil
			}
			return &k.current.Load().TLS, nil
		},
	}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		issuer := k.issuer.Load()
		if issuer == nil {
			return nil, nil
		}
		proof := (*issuer).Challenge(hello)
		if proof == nil {
			return nil, nil
		}
		return &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: hello.SupportedProtos, Certificates: []tls.Certificate{*proof},
		}, nil
	}
	return c
}

// Reload reads the files again. On an error the certificate of before is served on; one
// that has expired takes the place only of a self-signed one. Without files there is
// nothing to do.
func (k *Keeper) Reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.source.Files == nil {
		return nil
	}
	return k.load()
}

// load does what Reload says; the lock is held.
func (k *Keeper) load() error {
	files := k.source.Files
	k.seen = stamps(files)
	pair, warnings, err := files.Load(k.source.Names, k.opt.Now())
	if errors.Is(err, ErrExpired) && k.SelfSigned() {
		// An administrator knows the expired one; a stranger would raise more questions.
		k.current.Store(&pair)
		k.opt.Log.Error("the certificate is served although clients will refuse it", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, w := range warnings {
		k.opt.Log.Warn("certificate", "warning", w)
	}
	k.warned = k.opt.Now()
	if before := k.current.Swap(&pair); before.Fingerprint != pair.Fingerprint {
		k.opt.Log.Info("a certificate was loaded", "path", files.Cert, "fingerprint", pair.Fingerprint, "until", pair.NotAfter)
	}
	return nil
}

// watch loads the files when they have changed and tells of an end that comes near.
func (k *Keeper) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.look()
		}
	}
}

func (k *Keeper) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	nag := k.opt.Now().Sub(k.warned) >= warnEvery
	if !nag && stamps(k.source.Files) == k.seen {
		return
	}
	if err := k.load(); err != nil {
		k.warned = k.opt.Now()
		k.opt.Log.Error("the new certificate cannot be used; the one of before is served on", "error", err)
	}
}

func stamps(files *Files) [2]stamp {
	var s [2]stamp
	for i, path := range []string{files.Cert, files.Key} {
		if info, err := os.Stat(path); err == nil {
			s[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return s
}
