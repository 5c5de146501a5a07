package daemon

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// ProbeHeader carries the secret that ss-setup and its guard probe with.
const ProbeHeader = "X-SS-Probe"

// probeKeyFile lies in the daemon's state folder; root writes it, the daemon reads it.
const probeKeyFile = "probe.key"

// secretLen is the length of the secret: 32 bytes as hex digits.
const secretLen = 64

// Probe knows who may see more than the public health of a daemon.
type Probe struct{ path string }

// NewProbe reads the secret from the state folder at each use: a repair may write a
// new one under a running daemon.
func NewProbe(state string) Probe { return Probe{filepath.Join(state, probeKeyFile)} }

// Knows says whether the request carries the secret.
func (p Probe) Knows(r *http.Request) bool {
	given := r.Header.Get(ProbeHeader)
	if len(given) != secretLen {
		return false
	}
	secret, err := p.read()
	if err != nil {
		return false
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256(secret)
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (p Probe) read() ([]byte, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, secretLen+2))
	if err != nil {
		return nil, err
	}
	return parseSecret(text)
}

// parseSecret accepts exactly 64 hex digits and perhaps a line end. A short or empty
// file must never be a secret that an empty header matches.
func parseSecret(text []byte) ([]byte, error) {
	text = bytes.TrimRight(text, "\r\n")
	if len(text) != secretLen {
		return nil, errors.New("the probe key is not 64 hex digits")
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return nil, errors.New("the probe key is not 64 hex digits")
		}
	}
	return text, nil
}

// Health is what a daemon says about itself. The second half only a known probe
// gets to see.
type Health struct {
	Status  string `json:"status"`
	Version string `json:"version"`
	Ready   bool   `json:"ready"`
	Role    string `json:"role,omitempty"`
	Open    bool   `json:"open"`

	Generation  int    `json:"generation,omitempty"`
	Schema      int    `json:"schema,omitempty"`
	PID         int    `json:"pid,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	// Bindings are where users are served besides the web interface.
	Bindings []Binding `json:"bindings,omitempty"`
}

// Binding is a place where users are served, or should be.
type Binding struct {
	Site string `json:"site"`
	Name string `json:"name"`
	// Address is HOST:PORT; an empty host is all addresses.
	Address   string `json:"address"`
	Listening bool   `json:"listening"`
	// Proxied: whoever connects must say first whose connection it is.
	Proxied bool   `json:"proxied,omitempty"`
	Problem string `json:"problem,omitempty"`
	// RefusedFrom are the addresses by which this machine reaches it and from which the
	// lists of its site let nobody in: a probe gets no greeting there.
	RefusedFrom []string `json:"refused_from,omitempty"`
}
