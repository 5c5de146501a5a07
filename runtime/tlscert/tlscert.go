// Package tlscert keeps the certificate a daemon serves HTTPS with. It is made by
// itself at the first start, so that the web interface is encrypted before anybody has
// configured anything; or it comes from PEM files of an administrator, or from an
// authority (package acme below this one).
//
// The Keeper serves it and exchanges it under running connections. What it promises: a
// certificate that cannot be used never takes the place of one that can, and a trouble
// with certificates is told in the log and keeps nobody from serving.
package tlscert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lifetime is long because nobody is there to renew a certificate that an admin
// compares by its fingerprint; an own one takes its place with the web interface.
const lifetime = 10 * 365 * 24 * time.Hour

// backdate lets clients whose clock is behind accept a certificate of this minute.
const backdate = 24 * time.Hour

const (
	certFile = "cert.pem"
	keyFile  = "key.pem"
)

// Pair is a certificate with its key, ready to serve, and the fingerprint an admin
// compares in the browser.
type Pair struct {
	TLS         tls.Certificate
	Fingerprint string
	NotAfter    time.Time
	// Made says that this call made the certificate.
	Made bool
}

// Ensure reads dir/cert.pem and dir/key.pem, or makes them if neither is there. A
// key without a certificate (a start that was cut) gets a new certificate; a
// certificate without its key, or a damaged file, is an error: an admin's
// certificate is never replaced by one of ours.
func Ensure(dir string, names []string, now time.Time) (Pair, error) {
	if err := makeDir(dir); err != nil {
		return Pair{}, fmt.Errorf("make the folder for the certificate: %w", err)
	}
	certPEM, err := readIfThere(filepath.Join(dir, certFile))
	if err != nil {
		return Pair{}, err
	}
	keyPEM, err := readIfThere(filepath.Join(dir, keyFile))
	if err != nil {
		return Pair{}, err
	}
	if certPEM != nil {
		return load(dir, certPEM, keyPEM)
	}
	if keyPEM == nil {
		if keyPEM, err = newKey(); err != nil {
			return Pair{}, err
		}
		if err := writeSynced(dir, keyFile, keyPEM); err != nil {
			return Pair{}, err
		}
	}
	certPEM, err = selfSign(keyPEM, names, now)
	if err != nil {
		return Pair{}, fmt.Errorf("make a certificate for %s: %w", filepath.Join(dir, keyFile), err)
	}
	if err := writeSynced(dir, certFile, certPEM); err != nil {
		return Pair{}, err
	}
	pair, err := load(dir, certPEM, keyPEM)
	pair.Made = err == nil
	return pair, err
}

// SelfSigned makes a certificate for names and its key, both as PEM. Without a name it is
// for those that the machine is reached by.
func SelfSigned(names []string, now time.Time) (certPEM, keyPEM []byte, err error) {
	if len(names) == 0 {
		names = LocalNames()
	}
	if keyPEM, err = newKey(); err != nil {
		return nil, nil, err
	}
	if certPEM, err = selfSign(keyPEM, names, now); err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	return certPEM, keyPEM, nil
}

// Parse puts a certificate and its key together.
func Parse(certPEM, keyPEM []byte) (Pair, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return Pair{}, err
	}
	return Pair{TLS: pair, Fingerprint: Fingerprint(pair.Certificate[0]), NotAfter: pair.Leaf.NotAfter}, nil
}

// Fingerprint is the SHA-256 of a certificate as browsers show it: AA:BB:…
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// LocalNames are the names and addresses this machine is reached by.
func LocalNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && host != "" && host != "localhost" {
		names = append(names, host)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return names
	}
	for _, addr := range addrs {
		if ip, ok := addr.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			names = append(names, ip.IP.String())
		}
	}
	return names
}

func load(dir string, certPEM, keyPEM []byte) (Pair, error) {
	if keyPEM == nil {
		return Pair{}, fmt.Errorf("certificate without its key in %s: put %s back, or remove %s to get a new pair", dir, keyFile, certFile)
	}
	pair, err := Parse(certPEM, keyPEM)
	if err != nil {
		return Pair{}, fmt.Errorf("certificate in %s cannot be used: %w; put the right pair there, or remove both files to get a new one", dir, err)
	}
	return pair, nil
}

func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func selfSign(keyPEM []byte, names []string, now time.Time) ([]byte, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("the key is not PEM; remove it to get a new pair")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w; remove the key to get a new pair", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T; put its certificate beside it, or remove it to get a new pair", parsed)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: commonName(names), Organization: []string{"SS Server"}},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// Some clients take a self-signed certificate as trusted only if it says that
		// it may sign: itself is all it signs.
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if isDNSName(strings.TrimPrefix(name, "*.")) {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// commonName is the first real host name, for the browser's certificate window.
func commonName(names []string) string {
	for _, name := range names {
		// A common name has at most 64 characters; longer ones stay among the names.
		if net.ParseIP(name) == nil && name != "localhost" && isDNSName(name) && len(name) <= 64 {
			return name
		}
	}
	return "localhost"
}

// isDNSName keeps host names out that x509 would refuse to encode or clients to read.
func isDNSName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_' {
			return false
		}
	}
	return true
}

func readIfThere(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return text, nil
}
