package step

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/runtime/config"
)

// HTTPProber asks the services themselves: over TLS, pinned to the certificate
// that lies in the generation's own data, at the configured address, past any
// proxy, with the secret by which they know a probe of the installer.
type HTTPProber struct{ FS *machine.FS }

// NewProber makes the prober of a running machine.
func NewProber(f *machine.FS) *HTTPProber { return &HTTPProber{f} }

// health is the part of the services' answers that counts here.
type health struct {
	Version    string `json:"version"`
	Ready      bool   `json:"ready"`
	Generation int    `json:"generation"`

	Bindings []Binding `json:"bindings"`
}

// maxAnswer bounds what is read from whoever answers: ten thousand bindings.
const maxAnswer = maxListening

// maxFile bounds a certificate with its chain, and the secret.
const maxFile = 64 << 10

// Probe implements Prober.
func (p *HTTPProber) Probe(ctx context.Context, service string, n int) (Health, error) {
	addr, err := p.address(service)
	if err != nil {
		return Health{}, err
	}
	pin, err := p.certificate(service, n)
	if err != nil {
		return Health{}, fmt.Errorf("%s has no certificate yet: %w", service, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+healthPath(service), nil)
	if err != nil {
		return Health{}, err
	}
	req.Header.Set("X-SS-Probe", p.secret(service))
	client := &http.Client{Transport: pinned(pin)}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return Health{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Health{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return Health{}, fmt.Errorf("%s answers %s", service, resp.Status)
	}
	var h health
	if err := json.Unmarshal(body, &h); err != nil {
		return Health{}, fmt.Errorf("%s answers what is not its health: %w", service, err)
	}
	return Health{Version: h.Version, Generation: h.Generation, Ready: h.Ready, Bindings: h.Bindings}, nil
}

func healthPath(service string) string {
	if service == machine.LicensedService {
		return "/v1/ping"
	}
	return "/healthz"
}

// pinned accepts one certificate and no other, and knows no proxy.
func pinned(pin []byte) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			ServerName: config.OwnCertificate, // whichever the administrator has users see
			// The certificate is the service's own; it is compared as a whole instead.
			InsecureSkipVerify: true,
			VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
				if len(raw) == 0 || !bytes.Equal(raw[0], pin) {
					return errors.New("another program answers at this address")
				}
				return nil
			},
		},
	}
}

func (p *HTTPProber) certificate(service string, n int) ([]byte, error) {
	content, err := p.FS.ReadSmall(filepath.Join(dataDir(service, n), "tls", "cert.pem"), maxFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("it is not in PEM form")
	}
	return block.Bytes, nil
}

func (p *HTTPProber) secret(service string) string {
	dir := machine.ServerStateDir
	if service == machine.LicensedService {
		dir = machine.LicensedStateDir
	}
	content, err := p.FS.ReadSmall(filepath.Join(dir, "probe.key"), maxFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// address reads where the service is configured to listen.
func (p *HTTPProber) address(service string) (string, error) {
	if service == machine.LicensedService {
		c, _, _, err := config.LoadLicensed(p.FS.Real(filepath.Join(machine.ConfigDir, "licensed.toml")))
		return c.ProbeAddr(), err
	}
	c, _, _, err := config.LoadServer(p.FS.Real(filepath.Join(machine.ConfigDir, "server.toml")))
	return c.ProbeAddr(), err
}

// Greets implements Prober. Servers of SSH speak first; whoever listens on all addresses
// is asked on this machine.
func (p *HTTPProber) Greets(ctx context.Context, address string) error {
	host, port, err := askedAt(address)
	if err != nil {
		return err
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	const greeting = "SSH-2.0-"
	said := make([]byte, len(greeting))
	if _, err := io.ReadFull(c, said); err != nil {
		return fmt.Errorf("%s takes connections and says nothing: %w", address, err)
	}
	if string(said) != greeting {
		return fmt.Errorf("what listens at %s does not speak SSH", address)
	}
	return nil
}

// askedAt is where this machine asks who listens at HOST:PORT.
func askedAt(address string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(address)
	if err != nil {
		return "", "", err
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
		if err == nil && addr.Is6() {
			host = "::1"
		}
	}
	return host, port, nil
}

// Listeners implements Prober. Below a root nobody listens.
func (p *HTTPProber) Listeners() ([]machine.Listener, error) {
	if p.FS.Root != "" {
		return nil, nil
	}
	return machine.Listeners()
}

// AnswersOld implements Prober. Version 6 tells its version without a log-in; who it is
// the caller knows by its program, so that its certificate is not looked at.
func (p *HTTPProber) AnswersOld(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/api/v1/version", nil)
	if err != nil {
		return err
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var is struct {
		Version string `json:"version"`
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("what listens at %s answers %s", address, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxFile)).Decode(&is); err != nil || is.Version == "" {
		return fmt.Errorf("what listens at %s does not tell its version", address)
	}
	return nil
}

// PortsFree implements Prober by listening there itself for an instant.
func (p *HTTPProber) PortsFree(_ context.Context, service string) error {
	addr, err := p.address(service)
	if err != nil {
		return nil // without a readable configuration there is no port to ask for
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%s has stopped, but %s is still in use: %w", service, addr, err)
	}
	return l.Close()
}
