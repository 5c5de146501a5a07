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
	// Protocols are those that its challenges need in the handshake.
	Protocols() []string
}

// Options say where the certificate comes from: from Files, from Issuer or, with
// neither, from Dir, where one is made.
type Options struct {
	// Dir holds the self-signed certificate, which also stands in for the others.
	Dir    string
	Files  *Files
	Issuer Issuer
	// Names are those that clients use. A self-signed certificate has those of the
	// machine besides.
	Names []string
	Now   func() time.Time
	Log   *slog.Logger
}

// Keeper serves a certificate and puts a new one in its place under running
// connections. A certificate that cannot be used never takes the place of one that can.
type Keeper struct {
	opt     Options
	own     Pair
	current atomic.Pointer[Pair]
	cancel  context.CancelFunc
	done    sync.WaitGroup

	mu     sync.Mutex
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
	own, err := Ensure(opt.Dir, append(LocalNames(), opt.Names...), opt.Now())
	if err != nil {
		return nil, err
	}
	k := &Keeper{opt: opt, own: own}
	k.current.Store(&own)
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	switch {
	case opt.Files != nil:
		if err := k.Reload(); err != nil {
			opt.Log.Error("the certificate cannot be used; clients see the self-signed one", "error", err)
		}
		k.done.Go(func() { k.watch(ctx) })
	case opt.Issuer != nil:
		if pair, ok := opt.Issuer.Pair(); ok {
			k.current.Store(&pair)
		} else {
			opt.Log.Warn("there is no certificate from the authority yet; clients see the self-signed one")
		}
		k.done.Go(func() { opt.Issuer.Run(ctx, func(p Pair) { k.current.Store(&p) }) })
	case opt.Now().After(own.NotAfter):
		opt.Log.Warn("the certificate has expired; clients will refuse it", "expired", own.NotAfter)
	}
	return k, nil
}

// Close ends watching and renewing.
func (k *Keeper) Close() error {
	k.cancel()
	k.done.Wait()
	return nil
}

// Pair is the certificate that is served now.
func (k *Keeper) Pair() Pair { return *k.current.Load() }

// SelfSigned says that clients see the certificate that this machine made itself.
func (k *Keeper) SelfSigned() bool { return k.Pair().Fingerprint == k.own.Fingerprint }

// TLS is the configuration to serve with.
func (k *Keeper) TLS() *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if k.opt.Issuer != nil {
				if proof := k.opt.Issuer.Challenge(hello); proof != nil {
					return proof, nil
				}
			}
			return &k.current.Load().TLS, nil
		},
	}
	if k.opt.Issuer != nil {
		config.NextProtos = append(config.NextProtos, k.opt.Issuer.Protocols()...)
	}
	return config
}

// Reload reads the files again. On an error the certificate of before is served on; one
// that has expired takes the place only of a self-signed one. Without files there is
// nothing to do.
func (k *Keeper) Reload() error {
	if k.opt.Files == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen = k.stamps()
	pair, warnings, err := k.opt.Files.Load(k.opt.Names, k.opt.Now())
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
		k.opt.Log.Info("a certificate was loaded", "path", k.opt.Files.Cert, "fingerprint", pair.Fingerprint, "until", pair.NotAfter)
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
	changed := k.stamps() != k.seen
	nag := k.opt.Now().Sub(k.warned) >= warnEvery
	k.mu.Unlock()
	if !changed && !nag {
		return
	}
	if err := k.Reload(); err != nil {
		k.mu.Lock()
		k.warned = k.opt.Now()
		k.mu.Unlock()
		k.opt.Log.Error("the new certificate cannot be used; the one of before is served on", "error", err)
	}
}

func (k *Keeper) stamps() [2]stamp {
	var s [2]stamp
	for i, path := range []string{k.opt.Files.Cert, k.opt.Files.Key} {
		if info, err := os.Stat(path); err == nil {
			s[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return s
}
