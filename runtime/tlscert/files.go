package tlscert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// maxPEM bounds what is read of a certificate or key: a chain is a few kilobytes.
const maxPEM = 1 << 20

// soon is how long before its end a certificate that nobody renews is warned of.
const soon = 21 * 24 * time.Hour

// minRSA is the shortest RSA key that clients still accept, in bits.
const minRSA = 2048

// ErrExpired marks a certificate that is whole, but out of its time.
var ErrExpired = errors.New("not valid now")

// Files names a certificate that an administrator keeps: Cert holds the server's own
// certificate and then those that vouch for it, Key its key without a passphrase, both
// as PEM. They may be the same file.
type Files struct{ Cert, Key string }

// Load reads and checks the files: the key belongs to the certificate, each certificate
// is signed by the next, it is for every one of the names and valid at now. Warnings
// tell what works but will not for long, or should not. Errors name file and cure; with
// ErrExpired the pair is there all the same.
func (f Files) Load(names []string, now time.Time) (Pair, []string, error) {
	certPEM, err := f.read(f.Cert, "certificate")
	if err != nil {
		return Pair{}, nil, err
	}
	keyPEM, err := f.read(f.Key, "key")
	if err != nil {
		return Pair{}, nil, err
	}
	pair, warnings, err := check(certPEM, keyPEM, f, names, now)
	if err != nil {
		return pair, warnings, err
	}
	if warning := exposed(f.Key); warning != "" {
		warnings = append(warnings, warning)
	}
	return pair, warnings, nil
}

func (f Files) read(path, what string) ([]byte, error) {
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s %s is not there; put it there, or change the path in the configuration file", what, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s %s: %w; %s", what, path, fs.ErrPermission, readableCure(path))
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s %s is not a file", what, path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%s %s is larger than %d bytes", what, path, maxPEM)
	}
	return text, nil
}

// check is what Load does when both files are read.
func check(certPEM, keyPEM []byte, f Files, names []string, now time.Time) (Pair, []string, error) {
	chain, err := parseChain(certPEM, f.Cert)
	if err != nil {
		return Pair{}, nil, err
	}
	key, err := parseKey(keyPEM, f.Key)
	if err != nil {
		return Pair{}, nil, err
	}
	if err := matches(chain, key, f); err != nil {
		return Pair{}, nil, err
	}
	if err := inOrder(chain, f.Cert); err != nil {
		return Pair{}, nil, err
	}
	if err := usable(chain[0], names, f.Cert); err != nil {
		return Pair{}, nil, err
	}
	pair := pairOf(chain, key)
	warnings, err := inTime(chain, f.Cert, now)
	return pair, warnings, err
}

func pairOf(chain []*x509.Certificate, key crypto.Signer) Pair {
	pair := Pair{
		TLS:         tls.Certificate{PrivateKey: key, Leaf: chain[0]},
		Fingerprint: Fingerprint(chain[0].Raw),
		NotAfter:    chain[0].NotAfter,
	}
	for _, c := range chain {
		pair.TLS.Certificate = append(pair.TLS.Certificate, c.Raw)
	}
	return pair
}

// parseChain reads the certificates of a PEM file; other blocks, such as a key in the
// same file, are passed over.
func parseChain(text []byte, path string) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	other := ""
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			other = block.Type
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: number %d in the file is damaged: %w", path, len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	switch {
	case len(chain) > 0:
		return chain, nil
	case other != "":
		return nil, fmt.Errorf("certificate %s: the file holds a %q and no certificate; are certificate and key exchanged?", path, other)
	}
	return nil, fmt.Errorf("certificate %s: %w", path, notPEM(text, path))
}

// notPEM tells what a file without a PEM block may be, and how it becomes one.
func notPEM(text []byte, path string) error {
	if len(text) == 0 {
		return errors.New("the file is empty")
	}
	// DER, which PFX is too, begins with a SEQUENCE.
	if text[0] == 0x30 {
		return fmt.Errorf("the file is not PEM; a PFX becomes PEM by `openssl pkcs12 -in %s -nodes -out FILE.pem`, a DER certificate by `openssl x509 -inform der -in %s -out FILE.pem`", path, path)
	}
	return errors.New("the file has no PEM block (-----BEGIN …-----)")
}

func parseKey(text []byte, path string) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, fmt.Errorf("key %s has a passphrase, which nobody types at a start; write it without one: `openssl pkey -in %s -out FILE.pem`", path, path)
		case !strings.HasSuffix(block.Type, "PRIVATE KEY"):
			continue
		}
		key, err := parseKeyBlock(block)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", path, err)
		}
		return key, nil
	}
	if bytes.Contains(text, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("key %s: the file holds no private key; are certificate and key exchanged?", path)
	}
	return nil, fmt.Errorf("key %s: %w", path, notPEM(text, path))
}

func parseKeyBlock(block *pem.Block) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the key is damaged: %w", err)
	}
	switch key := parsed.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return key.(crypto.Signer), nil
	}
	return nil, fmt.Errorf("a %T cannot serve HTTPS; use an ECDSA or RSA key", parsed)
}

// publicKey is what every public key of the standard library can do.
type publicKey interface{ Equal(crypto.PublicKey) bool }

func matches(chain []*x509.Certificate, key crypto.Signer, f Files) error {
	own := key.Public().(publicKey)
	for i, c := range chain {
		if !own.Equal(c.PublicKey) {
			continue
		}
		if i > 0 {
			return fmt.Errorf("certificate %s: the server's own certificate (%s) is number %d in the file; it must come first, the one that signed it next", f.Cert, c.Subject, i+1)
		}
		return nil
	}
	return fmt.Errorf("key %s does not belong to certificate %s (%s); put the pair there that was made together", f.Key, f.Cert, chain[0].Subject)
}

func inOrder(chain []*x509.Certificate, path string) error {
	for i := range len(chain) - 1 {
		if err := chain[i].CheckSignatureFrom(chain[i+1]); err != nil {
			return fmt.Errorf("certificate %s: number %d (%s) is not signed by number %d (%s): %w; each certificate comes right before the one that signed it",
				path, i+1, chain[i].Subject, i+2, chain[i+1].Subject, err)
		}
	}
	return nil
}

// usable refuses what clients would refuse.
func usable(leaf *x509.Certificate, names []string, path string) error {
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
		return fmt.Errorf("certificate %s has an RSA key of %d bits; at least %d are needed", path, key.N.BitLen(), minRSA)
	}
	if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 &&
		!slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return fmt.Errorf("certificate %s is not for servers; ask for one with the usage serverAuth", path)
	}
	for _, name := range names {
		if leaf.VerifyHostname(name) != nil {
			return fmt.Errorf("certificate %s is not for %s, only for %s; ask for one with all names, or change the names in the configuration file",
				path, name, strings.Join(namesOf(leaf), ", "))
		}
	}
	return nil
}

// namesOf are the names and addresses that a certificate is for.
func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return []string{"no name at all"}
	}
	return names
}

func inTime(chain []*x509.Certificate, path string, now time.Time) (warnings []string, err error) {
	for i, c := range chain {
		switch {
		case now.Before(c.NotBefore):
			return nil, fmt.Errorf("certificate %s: number %d (%s) is %w, only from %s on; is the clock of this machine right?",
				path, i+1, c.Subject, ErrExpired, c.NotBefore.UTC().Format(time.RFC3339))
		case now.After(c.NotAfter):
			return nil, fmt.Errorf("certificate %s: number %d (%s) is %w, it ended on %s; renew it",
				path, i+1, c.Subject, ErrExpired, c.NotAfter.UTC().Format(time.RFC3339))
		case c.NotAfter.Sub(now) < soon:
			warnings = append(warnings, fmt.Sprintf("certificate %s: number %d (%s) ends on %s; renew it",
				path, i+1, c.Subject, c.NotAfter.UTC().Format(time.RFC3339)))
		}
	}
	return warnings, nil
}
