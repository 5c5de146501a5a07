package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"ss-setup/runtime/fixture"
	"ss-setup/runtime/store"
	"ss-setup/runtime/tlscert"
	"ss-setup/runtime/version"
)

// stopLimit bounds the graceful end of a daemon; what is not done by then is cut.
const stopLimit = 10 * time.Second

// Options say what to run and where.
type Options struct {
	// Home is `current` or a generation's folder; DataLink the link in it that leads
	// to this daemon's data.
	Home, DataLink string
	// State is the daemon's folder outside the generations.
	State string
	// Listen is the address to serve HTTPS on; Role, if any, is told to probes.
	Listen, Role string
	Schema       store.Schema
	Log          *slog.Logger
	// Prepare, if set, is called first, when the store's lock is held: another daemon
	// may write until then. What it returns is closed last, before the store is.
	Prepare func(*Instance) (io.Closer, error)
	// Certificate opens what HTTPS is served with; dir is the folder for a self-signed
	// one. Nil for that one alone.
	Certificate func(dir string) (*tlscert.Keeper, error)
	// Bindings, if set, tells where users are served besides the web interface.
	Bindings func() []Binding
	// Handler makes the daemon's pages.
	Handler func(*Instance) http.Handler
	// Reload, if set, reads the configuration again; it logs what it finds.
	Reload func()
	// Started, if set, is called when the daemon serves, and what it returns is
	// closed before the store is.
	Started func(*Instance) io.Closer
	// Drain, if set, is called when the daemon is to stop, while it still serves, and
	// returns when what may end by itself has ended. It bounds its time.
	Drain func()
}

// Instance is a running daemon.
type Instance struct {
	Home  Home
	Store *store.Store
	Gate  *Gate
	Log   *slog.Logger

	opt    Options
	cert   *tlscert.Keeper
	probe  Probe
	door   net.Listener
	web    *http.Server
	quiet  quietConns
	base   io.Closer
	extra  io.Closer
	cancel context.CancelFunc
	failed chan error
	again  chan func()
	// ending tells that nothing more can be begun with it: it stops, or is about to.
	ending atomic.Bool
}

// Start opens everything and serves. When it returns without an error the daemon
// answers; when it fails nothing is left open.
func Start(opt Options) (*Instance, error) {
	if err := fixture.Run(); err != nil {
		return nil, err
	}
	home, err := Find(opt.Home, opt.DataLink)
	if err != nil {
		return nil, err
	}
	// The store's lock comes first: a second daemon must not get as far as writing
	// a certificate or taking a socket over.
	st, err := opt.Schema.Open(home.Data)
	if err != nil {
		return nil, err
	}
	i := &Instance{
		Home: home, Store: st, Gate: NewGate(home.OpenFile()), Log: opt.Log,
		opt: opt, probe: NewProbe(opt.State), failed: make(chan error, 1), again: make(chan func(), 1),
	}
	if err := i.serve(); err != nil {
		return nil, errors.Join(err, closeIf(i.base), st.Close())
	}
	i.Log.Info("serving", "version", i.Version(), "generation", home.Generation, "schema", st.Schema(),
		"address", i.Addr(), "open", i.Gate.Open(), "fingerprint", i.Fingerprint())
	return i, nil
}

// closeIf closes what there is.
func closeIf(c io.Closer) error {
	if c == nil {
		return nil
	}
	return c.Close()
}

func (i *Instance) serve() error {
	if i.opt.Prepare != nil {
		var err error
		i.base, err = i.opt.Prepare(i)
		if err != nil {
			return err
		}
	}
	cert, err := i.certificate(filepath.Join(i.Home.Data, "tls"))
	if err != nil {
		return err
	}
	i.cert = cert
	i.door, err = net.Listen("tcp", i.opt.Listen)
	if err != nil {
		err = fmt.Errorf("listen for HTTPS: %w; another program may use the port: choose one in the configuration file", err)
		return errors.Join(err, cert.Close())
	}
	i.web = &http.Server{
		Handler: patient(i.opt.Handler(i)),
		// A client that sends its header byte by byte must not hold a connection for ever.
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		// Port scanners fail TLS handshakes all day long.
		ErrorLog: slog.NewLogLogger(i.Log.Handler(), slog.LevelDebug),
		// Who is gone, or takes nothing of what is about the connection itself, is let go, too.
		HTTP2:     &http.HTTP2Config{SendPingTimeout: writePatience, WriteByteTimeout: writePatience},
		ConnState: i.quiet.track,
		TLSConfig: cert.TLS(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	i.cancel = cancel
	go i.Gate.Watch(ctx, func() { i.Log.Info("the generation is committed; open to users") })
	if i.opt.Started != nil {
		i.extra = i.opt.Started(i)
	}
	go func() {
		if err := i.web.ServeTLS(i.door, "", ""); !errors.Is(err, http.ErrServerClosed) {
			i.failed <- fmt.Errorf("serve HTTPS: %w", err)
		}
	}()
	return nil
}

func (i *Instance) certificate(dir string) (*tlscert.Keeper, error) {
	if i.opt.Certificate != nil {
		return i.opt.Certificate(dir)
	}
	return tlscert.Open(tlscert.Options{Dir: dir, Now: time.Now, Log: i.Log})
}

// Version is the version the daemon tells.
func (i *Instance) Version() string { return fixture.Version(version.Version) }

// Addr is where the daemon listens.
func (i *Instance) Addr() string { return i.door.Addr().String() }

// Certificate is what HTTPS is served with.
func (i *Instance) Certificate() *tlscert.Keeper { return i.cert }

// Fingerprint is the SHA-256 of the certificate that clients see now.
func (i *Instance) Fingerprint() string { return i.cert.Pair().Fingerprint }

// Health answers a probe: the public half to everybody, all of it to who knows the
// secret.
func (i *Instance) Health(r *http.Request) Health {
	h := Health{Status: "ok", Version: i.Version(), Ready: true, Role: i.opt.Role, Open: i.Gate.Open()}
	if i.probe.Knows(r) {
		h.Generation, h.Schema = i.Home.Generation, i.Store.Schema()
		h.PID, h.Fingerprint = os.Getpid(), i.Fingerprint()
		if i.opt.Bindings != nil {
			h.Bindings = i.opt.Bindings()
		}
	}
	return h
}

// Failed gives the error of a daemon that stopped serving by itself.
func (i *Instance) Failed() <-chan error { return i.failed }

// StartAnew asks for a stop and a start in this process, with between called when
// everything is closed: the store can be replaced then. It does not wait. An instance does it
// once: the next one is another.
func (i *Instance) StartAnew(between func()) error {
	if !i.ending.CompareAndSwap(false, true) {
		return errors.New("the server stops, or is about to start anew already; try again in a moment")
	}
	i.again <- between // it has room for one
	return nil
}

// Reload reads the configuration again.
func (i *Instance) Reload() {
	if i.opt.Reload == nil {
		i.Log.Warn("the configuration is read at the start only; restart the service")
		return
	}
	i.opt.Reload()
}

// Stop ends the daemon: running requests finish, within stopLimit; then the store is
// closed, so that its lock is free when the process is gone.
func (i *Instance) Stop() error {
	i.ending.Store(true)
	if i.opt.Drain != nil {
		i.opt.Drain()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	late := time.AfterFunc(quietGrace, i.quiet.closeAll)
	defer late.Stop()
	err := i.web.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		i.Log.Warn("requests did not finish in time and were cut", "limit", stopLimit)
		err = i.web.Close()
	}
	// A stop right after the start may come before the server knows its listener.
	if closing := i.door.Close(); !errors.Is(closing, net.ErrClosed) {
		err = errors.Join(err, closing)
	}
	i.cancel()
	err = errors.Join(err, i.cert.Close())
	err = errors.Join(err, closeIf(i.extra), closeIf(i.base), i.Store.Close())
	i.Log.Info("stopped")
	return err
}
