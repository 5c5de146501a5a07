package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
)

// TLS is the section [tls]: the certificate of the web interface. Without one it is
// self-signed.
type TLS struct {
	// Names are those that clients use.
	Names []string `toml:"names"`
	// Cert and Key are PEM files of an administrator.
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
	// ACME, if it is there, gets the certificate from an authority.
	ACME *ACME `toml:"acme"`
}

// ACME is the section [tls.acme]; what is empty has the default of package acme.
type ACME struct {
	AcceptTerms bool   `toml:"accept_terms"`
	Email       string `toml:"email"`
	Directory   string `toml:"directory"`
	// Challenge is http-01 or tls-alpn-01; HTTPListen is where http-01 answers.
	Challenge  string `toml:"challenge"`
	HTTPListen string `toml:"http_listen"`
	// Roots is a PEM file with what the authority's own HTTPS is trusted by.
	Roots string `toml:"roots"`
	// KeyID and KeyFile bind the account where the authority asks for that; the file
	// holds the key as base64url.
	KeyID   string `toml:"key_id"`
	KeyFile string `toml:"key_file"`
}

// Log is the section [log].
type Log struct {
	// Level is empty if the file leaves it to the settings of the model.
	Level string `toml:"level"`
}

// LevelInfo is the level of the log where neither this file nor the settings name one.
const LevelInfo = "info"

// Levels are those of the log, the most talkative first.
var Levels = []string{"debug", LevelInfo, "warn", "error"}

// loopback may read /metrics unless told otherwise.
var loopback = []string{"127.0.0.0/8", "::1/128"}

func (c *Server) checkOperations() error {
	if _, err := c.Web.MetricsNetworks(); err != nil {
		return fmt.Errorf("[web] metrics_from: %w", err)
	}
	if c.Log.Level != "" && !slices.Contains(Levels, c.Log.Level) {
		return fmt.Errorf("[log] level: %q is none of %q", c.Log.Level, Levels)
	}
	switch {
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return errors.New("[tls] cert and key: write both, they may be the same file")
	case c.TLS.Cert != "" && c.TLS.ACME != nil:
		return errors.New("[tls] cert and [tls.acme]: a certificate comes from files or from an authority; take one of them out")
	}
	return nil
}

// MetricsNetworks are the networks that may read /metrics.
func (w Web) MetricsNetworks() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range w.MetricsFrom {
		if addr, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not an address or network, such as \"192.0.2.7\" or \"10.0.0.0/8\"", text)
		}
		out = append(out, network.Masked())
	}
	return out, nil
}

// Changes names the settings that differ between c and to: those that a running server
// takes over, and those that need a restart.
func (c Server) Changes(to Server) (live, restart []string) {
	for _, s := range []struct {
		name     string
		from, to any
		live     bool
	}{
		{"[web] listen", c.Web.Listen, to.Web.Listen, false},
		{"[web] metrics_from", c.Web.MetricsFrom, to.Web.MetricsFrom, true},
		{"[tls]", c.TLS, to.TLS, true},
		{"[log] level", cmp.Or(c.Log.Level, LevelInfo), cmp.Or(to.Log.Level, LevelInfo), true},
	} {
		switch {
		case reflect.DeepEqual(s.from, s.to):
		case s.live:
			live = append(live, s.name)
		default:
			restart = append(restart, s.name)
		}
	}
	return live, restart
}
