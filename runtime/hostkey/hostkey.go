// Package hostkey reads, judges and makes the keys that a server proves itself with.
//
// It reads what administrators and older products have: OpenSSH's own format, PEM of
// PKCS#1, PKCS#8, SEC 1 and DSA, and of public keys the lines of .pub and known_hosts
// files, RFC 4716 and PEM. A key is fit for use when it is Ed25519, ECDSA on one of the
// three NIST curves, or RSA of 2048 bits and more without a known weakness; Judge tells
// why another is not, and what to do.
package hostkey

import (
	"bytes"
	"crypto"
	//lint:ignore SA1019 old keys are of this kind, and refused by name
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Type is a sort of key.
type Type string

// The types.
const (
	Ed25519 Type = "ed25519"
	ECDSA   Type = "ecdsa"
	RSA     Type = "rsa"
	DSA     Type = "dsa"
)

// maxText bounds a key's text: an RSA key of 16384 bits has 13 KiB.
const maxText = 64 << 10

var (
	// ErrEncrypted: the key needs its passphrase.
	ErrEncrypted = errors.New("the key is encrypted with a passphrase")
	// ErrFormat: the text is no key in a format that is read here.
	ErrFormat = errors.New("it is no key in a known format")
	// ErrCurve: the key is on a curve that SSH does not have.
	ErrCurve = errors.New("its curve is not one of SSH")
)

// Key is a host key, with or without its private half.
type Key struct {
	Type Type
	// Bits is the size: of the modulus or the curve.
	Bits int
	// Comment is what the file says beside the key.
	Comment string

	public ssh.PublicKey
	// host is the machine that a line of known_hosts is about.
	host    string
	rsa     *rsa.PublicKey
	private crypto.Signer
}

// Algorithm is the key's name in SSH, as ecdsa-sha2-nistp256.
func (k *Key) Algorithm() string {
	if k.public == nil {
		return ""
	}
	return k.public.Type()
}

// Line is the public key as in a .pub file, without a comment.
func (k *Key) Line() string {
	if k.public == nil {
		return ""
	}
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(k.public)), "\n")
}

// SHA256 is the fingerprint as SSH shows it, SHA256: and base64.
func (k *Key) SHA256() string {
	if k.public == nil {
		return ""
	}
	return ssh.FingerprintSHA256(k.public)
}

// MD5 is the fingerprint as old clients show it, hex with colons.
func (k *Key) MD5() string {
	if k.public == nil {
		return ""
	}
	return ssh.FingerprintLegacyMD5(k.public)
}

// HasPrivate tells whether the private half is there.
func (k *Key) HasPrivate() bool { return k.private != nil }

// Signer is what a server shows the key with; nil without the private half.
func (k *Key) Signer() (ssh.Signer, error) {
	if k.private == nil {
		return nil, errors.New("the private half of the host key is not there")
	}
	return ssh.NewSignerFromSigner(k.private)
}

// PEM is the private key in OpenSSH's format, not encrypted.
func (k *Key) PEM() (string, error) {
	if k.private == nil {
		return "", errors.New("the private half of the host key is not there")
	}
	block, err := ssh.MarshalPrivateKey(k.private, k.Comment)
	if err != nil {
		return "", fmt.Errorf("encode the host key: %w", err)
	}
	return string(pem.EncodeToMemory(block)), nil
}

// Generated are the kinds of keys that Generate makes, the first ones by default.
var Generated = []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521}

// Generate makes a key by its name in SSH. RSA keys are added by who needs them, not
// made here.
func Generate(algorithm string) (*Key, error) {
	var private crypto.Signer
	var err error
	switch algorithm {
	case ssh.KeyAlgoED25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case ssh.KeyAlgoECDSA256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ssh.KeyAlgoECDSA384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ssh.KeyAlgoECDSA521:
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		return nil, fmt.Errorf("no host key of the kind %q is made here; use one of %s", algorithm, strings.Join(Generated, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("make a host key: %w", err)
	}
	return fromPrivate(private, "")
}

// Parse reads one key, private or public. passphrase is for an encrypted one, and may be
// empty. It refuses with ErrEncrypted, ErrFormat and ErrCurve.
func Parse(text []byte, passphrase string) (*Key, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: it has %d bytes, a key has at most %d", ErrFormat, len(text), maxText)
	}
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	switch {
	case bytes.HasPrefix(text, []byte("PuTTY-User-Key-File-")):
		return nil, fmt.Errorf("%w: it is of PuTTY; convert it with puttygen KEY.ppk -O private-openssh -o KEY", ErrFormat)
	case bytes.HasPrefix(text, []byte("---- BEGIN SSH2 PUBLIC KEY ----")):
		return parseRFC4716(text)
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		return parsePEM(text, passphrase)
	}
	return parseLine(text)
}

// parseLine reads a line of a .pub or a known_hosts file.
func parseLine(text []byte) (*Key, error) {
	if bytes.IndexByte(text, '\n') >= 0 {
		return nil, fmt.Errorf("%w: it has more than one line", ErrFormat)
	}
	public, comment, options, _, err := ssh.ParseAuthorizedKey(text)
	var hosts []string
	if err != nil || len(options) > 0 {
		// The names of hosts stand where the other format has options.
		if _, names, key, said, _, asHosts := ssh.ParseKnownHosts(text); asHosts == nil {
			hosts, public, comment, err = names, key, said, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it begins with neither -----BEGIN nor the name of a kind of key", ErrFormat)
	}
	k, err := fromSSH(public, comment)
	if err == nil {
		k.host = hostName(hosts)
	}
	return k, err
}

// parseRFC4716 reads the format that PuTTY and commercial servers export.
func parseRFC4716(text []byte) (*Key, error) {
	var data strings.Builder
	inHeader := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "----"):
		case inHeader || strings.Contains(line, ":"):
			inHeader = strings.HasSuffix(line, `\`)
		default:
			data.WriteString(line)
		}
	}
	raw, err := base64.StdEncoding.DecodeString(data.String())
	if err != nil {
		return nil, fmt.Errorf("%w: it is not base64 within", ErrFormat)
	}
	public, err := ssh.ParsePublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return fromSSH(public, "")
}

func parsePEM(text []byte, passphrase string) (*Key, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: it is PEM cut off or changed", ErrFormat)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: something follows the key", ErrFormat)
	}
	switch block.Type {
	case "PUBLIC KEY":
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, parseError(err)
		}
		return fromPublic(public, "")
	case "RSA PUBLIC KEY":
		public, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, parseError(err)
		}
		return fromPublic(public, "")
	case "CERTIFICATE":
		return nil, fmt.Errorf("%w: it is a certificate for TLS", ErrFormat)
	case "ENCRYPTED PRIVATE KEY":
		return nil, fmt.Errorf("%w in a way that is not read here; convert it with openssl pkey -in KEY -out NEW", ErrEncrypted)
	}
	return parsePrivate(text, block, passphrase)
}

func parsePrivate(text []byte, block *pem.Block, passphrase string) (*Key, error) {
	raw, err := ssh.ParseRawPrivateKey(text)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		if passphrase == "" {
			return nil, fmt.Errorf("%w; give it, or take it off with ssh-keygen -p -f KEY", ErrEncrypted)
		}
		if n := rounds(block); n > maxRounds {
			return nil, fmt.Errorf("%w in %d rounds, which takes too long to open; at most %d are read: take the passphrase off with ssh-keygen -p -f KEY", ErrEncrypted, n, maxRounds)
		}
		raw, err = ssh.ParseRawPrivateKeyWithPassphrase(text, []byte(passphrase))
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, fmt.Errorf("%w: the passphrase does not fit", ErrEncrypted)
		}
	}
	if err != nil {
		if small := smallRSA(block); small != nil {
			return small, nil
		}
		return nil, parseError(err)
	}
	switch raw := raw.(type) {
	case *ed25519.PrivateKey:
		return fromPrivate(*raw, "")
	case *dsa.PrivateKey:
		return fromPublic(&raw.PublicKey, "")
	case crypto.Signer:
		return fromPrivate(raw, "")
	}
	return nil, fmt.Errorf("%w: a key of the kind %T", ErrFormat, raw)
}

// maxRounds bounds the work that the passphrase of a key may ask for: the text says how
// much it is. ssh-keygen takes 16 or 24 rounds by itself, the careful a hundred.
const maxRounds = 256

// rounds are those of bcrypt that a passphrase goes through; 0 for a key of another sort.
func rounds(block *pem.Block) uint32 {
	var key struct {
		Cipher, KDF, Options string
		Rest                 []byte `ssh:"rest"`
	}
	var options struct {
		Salt   string
		Rounds uint32
	}
	body, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	if !ok || ssh.Unmarshal(body, &key) != nil || ssh.Unmarshal([]byte(key.Options), &options) != nil {
		return 0
	}
	return options.Rounds
}

// parseError tells curves that nobody has in SSH from what is no key at all.
func parseError(err error) error {
	if text := err.Error(); strings.Contains(text, "curve") {
		return fmt.Errorf("%w: %w", ErrCurve, err)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// smallRSA reads the modulus of an RSA key that Go itself refuses: its size is the reason
// to tell.
func smallRSA(block *pem.Block) *Key {
	if block.Type != "RSA PRIVATE KEY" {
		return nil
	}
	var key struct {
		Version int
		N       *big.Int
		E       int
	}
	// The fields behind are of no interest.
	var all asn1.RawValue
	if rest, err := asn1.Unmarshal(block.Bytes, &all); err != nil || len(rest) > 0 || !all.IsCompound {
		return nil
	}
	rest := all.Bytes
	for _, into := range []any{&key.Version, &key.N, &key.E} {
		var err error
		if rest, err = asn1.Unmarshal(rest, into); err != nil {
			return nil
		}
	}
	if key.N.Sign() <= 0 || key.N.BitLen() >= minRSA {
		return nil
	}
	return &Key{Type: RSA, Bits: key.N.BitLen(), rsa: &rsa.PublicKey{N: key.N, E: key.E}}
}

func fromPrivate(private crypto.Signer, comment string) (*Key, error) {
	k, err := fromPublic(private.Public(), comment)
	if err != nil {
		return nil, err
	}
	k.private = private
	return k, nil
}

func fromPublic(public crypto.PublicKey, comment string) (*Key, error) {
	if ec, ok := public.(*ecdsa.PublicKey); ok {
		switch ec.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return nil, fmt.Errorf("%w: %s", ErrCurve, ec.Curve.Params().Name)
		}
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, parseError(err)
	}
	return fromSSH(key, comment)
}

func fromSSH(public ssh.PublicKey, comment string) (*Key, error) {
	k := &Key{public: public, Comment: comment}
	with, ok := public.(ssh.CryptoPublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: a %s cannot be a host key", ErrFormat, public.Type())
	}
	switch key := with.CryptoPublicKey().(type) {
	case ed25519.PublicKey:
		k.Type, k.Bits = Ed25519, 256
	case *ecdsa.PublicKey:
		k.Type, k.Bits = ECDSA, key.Params().BitSize
	case *rsa.PublicKey:
		k.Type, k.Bits, k.rsa = RSA, key.N.BitLen(), key
	case *dsa.PublicKey:
		k.Type, k.Bits = DSA, key.P.BitLen()
	default:
		return nil, fmt.Errorf("%w: a %s cannot be a host key", ErrFormat, public.Type())
	}
	if strings.HasPrefix(public.Type(), "sk-") {
		return nil, fmt.Errorf("%w: a %s cannot be a host key", ErrFormat, public.Type())
	}
	return k, nil
}
