package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/config"
	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/metrics"
	"ss-setup/runtime/tlscert"
	"ss-setup/runtime/tlscert/acme"
	"ss-setup/runtime/version"
)

// operations is what the server needs to be run for years: certificate, metrics, audit
// log, level of the log, and the configuration that they follow while it serves.
type operations struct {
	log   *slog.Logger
	level *slog.LevelVar
	// path is the configuration file, state the folder outside the generations.
	path, state string
	audit       *audit.Log
	metrics     *metrics.Registry

	mu     sync.Mutex
	config config.Server
	keeper *tlscert.Keeper
	issuer *acme.Manager
	// pending: the certificate that the configuration asks for is not in force yet.
	pending bool
	// engine is nil until the objects are open.
	engine *engine.Engine
}

func newOperations(log *slog.Logger, level *slog.LevelVar, paths paths, c config.Server) *operations {
	o := &operations{log: log, level: level, path: paths.config, state: paths.state, config: c, metrics: metrics.New()}
	o.useLevel(c.Log.Level)
	o.audit = audit.Open(filepath.Join(paths.logs, "audit"), audit.DefaultLimits(), time.Now, log)
	o.metrics.Process(version.Version, time.Now())
	o.metrics.GaugeFunc("ss_audit_lost_events", "Events of the audit log that could not be written and are not yet told of in it.", func() float64 {
		return float64(o.audit.Lost())
	})
	o.metrics.GaugeFunc("ss_certificate_not_after_seconds", "The end of the certificate in use, in seconds since 1970.", func() float64 {
		return float64(o.certificate().NotAfter.Unix())
	})
	o.metrics.GaugeFunc("ss_certificate_failures", "Failed attempts to get a certificate since the last success.", func() float64 {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.issuer == nil {
			return 0
		}
		return float64(o.issuer.Status().Failures)
	})
	return o
}

// Close ends what runs beside the daemon; the certificate is the daemon's.
func (o *operations) Close() error { return o.audit.Close() }

func (o *operations) certificate() tlscert.Pair {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keeper == nil {
		return tlscert.Pair{}
	}
	return o.keeper.Pair()
}

// open gives the daemon its certificate.
func (o *operations) open(dir string) (*tlscert.Keeper, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	source, issuer, err := o.source(o.config.TLS)
	if err != nil {
		o.log.Error("the certificate that the configuration asks for cannot be had; clients see the self-signed one", "error", err)
	}
	o.pending = err != nil
	o.keeper, err = tlscert.Open(tlscert.Options{Dir: dir, Source: source, Now: time.Now, Log: o.log})
	o.issuer = issuer
	return o.keeper, err
}

// source is where the certificate comes from: what the section [tls] says, else what the
// settings of the model do.
func (o *operations) source(c config.TLS) (tlscert.Source, *acme.Manager, error) {
	source := tlscert.Source{Names: c.Names}
	switch {
	case c.Cert != "":
		source.Files = &tlscert.Files{Cert: c.Cert, Key: c.Key}
	case c.ACME != nil:
		m, err := o.authority(c)
		if err != nil {
			return tlscert.Source{}, nil, fmt.Errorf("[tls.acme] %w", err)
		}
		source.Issuer = m
		return source, m, nil
	case o.engine != nil:
		return o.modelSource(c)
	}
	return source, nil, nil
}

func (o *operations) authority(c config.TLS) (*acme.Manager, error) {
	opt := acme.Options{
		Dir:       daemon.ACME(o.state),
		Directory: c.ACME.Directory, Names: c.Names, Email: c.ACME.Email, AcceptTerms: c.ACME.AcceptTerms,
		Challenge: c.ACME.Challenge, HTTPListen: c.ACME.HTTPListen, KeyID: c.ACME.KeyID,
		UserAgent: "ss-server/" + version.Version, Log: o.log,
	}
	if c.ACME.Roots != "" {
		text, err := os.ReadFile(c.ACME.Roots)
		if err != nil {
			return nil, fmt.Errorf("roots: %w", err)
		}
		opt.Roots = x509.NewCertPool()
		if !opt.Roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("roots: %s holds no certificate as PEM", c.ACME.Roots)
		}
	}
	if c.ACME.KeyFile != "" {
		text, err := os.ReadFile(c.ACME.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("key_file: %w", err)
		}
		if opt.MACKey, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(string(text)), "=")); err != nil {
			return nil, fmt.Errorf("key_file: %s is not base64url: %w", c.ACME.KeyFile, err)
		}
	}
	return acme.New(opt)
}

// Reloaded is what a reload did.
type Reloaded struct {
	// Live are the settings that are in force now, Restart those that wait for one.
	Live    []string `json:"live"`
	Restart []string `json:"restart"`
	// Unknown are settings that this release does not know, Problems what went wrong;
	// what was in force before then is still.
	Unknown  []string `json:"unknown,omitempty"`
	Problems []string `json:"problems,omitempty"`
}

// reload takes over from the configuration file what can be taken over. A file that
// cannot be read changes nothing.
func (o *operations) reload() (Reloaded, error) {
	c, unknown, found, err := config.LoadServer(o.path)
	if err != nil {
		return Reloaded{}, err
	}
	daemon.WarnOfConfig(o.log, o.path, found, unknown)
	o.mu.Lock()
	defer o.mu.Unlock()
	r := Reloaded{Unknown: unknown}
	r.Live, r.Restart = o.config.Changes(c)
	if changed := slices.Contains(r.Live, "[tls]"); changed || o.pending {
		if err := o.useTLS(c.TLS); err != nil {
			r.Problems = append(r.Problems, err.Error())
			r.Live = slices.DeleteFunc(r.Live, func(name string) bool { return name == "[tls]" })
		} else if !changed {
			r.Live = append(r.Live, "[tls]")
		}
	} else if err := o.keeper.Reload(); err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	if o.issuer != nil {
		o.issuer.TryNow()
	}
	if err := o.audit.Reopen(); err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	o.useLevel(c.Log.Level)
	// The address in use stays the one of the start, so that a later reload still tells.
	listen := o.config.Web.Listen
	o.config = c
	o.config.Web.Listen = listen
	return r, nil
}

// useTLS takes the certificate from where the configuration says. What cannot be had is
// tried again at the next reload, changed or not.
func (o *operations) useTLS(c config.TLS) error {
	source, issuer, err := o.source(c)
	o.pending = err != nil
	if err != nil {
		return err
	}
	o.issuer = issuer
	return o.keeper.Use(source)
}

// reloadAndTell is reload for who cannot be answered: a signal.
func (o *operations) reloadAndTell() {
	r, err := o.reload()
	if err != nil {
		o.log.Error("the configuration was not taken over", "error", err)
		return
	}
	for _, problem := range r.Problems {
		o.log.Error("a part of the configuration was not taken over", "error", problem)
	}
	o.log.Info("the configuration was read again", "live", r.Live, "restart", r.Restart)
}

// mayReadMetrics lets in the networks of the configuration and ss-setup's probes. What
// came through a proxy is not from the address that it seems to be from.
func (o *operations) mayReadMetrics(probe daemon.Probe) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if probe.Knows(r) {
			return true
		}
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
			return false
		}
		o.mu.Lock()
		networks, err := o.config.Web.MetricsNetworks()
		o.mu.Unlock()
		return err == nil && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(from.Addr().Unmap()) })
	}
}

func levelOf(name string) slog.Level {
	var level slog.Level
	// The configuration knows no other words than slog does.
	if level.UnmarshalText([]byte(name)) != nil {
		return slog.LevelInfo
	}
	return level
}

// The verbs that a running server answers.
const (
	reloadVerb   = "reload"
	logLevelVerb = "log-level"
)

func (o *operations) verbs() map[string]control.Verb {
	return map[string]control.Verb{
		reloadVerb: func(context.Context, *control.Request) (any, error) { return o.reload() },
		logLevelVerb: func(_ context.Context, r *control.Request) (any, error) {
			var name string
			if err := r.Args(&name); err != nil {
				return nil, err
			}
			if !slices.Contains(config.Levels, name) {
				return nil, fmt.Errorf("%q is none of %q", name, config.Levels)
			}
			o.level.Set(levelOf(name))
			return name, nil
		},
	}
}

// errStopped marks what only a running server can do.
var errStopped = errors.New("it reads its configuration when it starts")
