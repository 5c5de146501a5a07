package acme

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/tlscert"
)

// kept is how many certificates stay, the newest of them in use: one that was revoked or
// lost can be looked at.
const kept = 3

// store keeps account key and certificates of one authority: account-<id>.key and
// cert-<id>-<end>-<serial>.pem, key and chain in one file, so that they cannot be torn
// apart. id is made of the authority's address: another authority, another account.
type store struct {
	dir, id string
	log     *slog.Logger
}

func newStore(dir, directory string, log *slog.Logger) store {
	sum := sha256.Sum256([]byte(directory))
	return store{dir: dir, id: fmt.Sprintf("%x", sum[:6]), log: log}
}

// account is the key that the authority knows us by, made at the first use.
func (s store) account() (crypto.Signer, error) {
	name := "account-" + s.id + ".key"
	path := filepath.Join(s.dir, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.newAccount(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the account's key: %w", err)
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("account's key %s: %w; restore it from a backup, or remove it to make a new account", path, err)
	}
	return key, nil
}

func (s store) newAccount(name string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	text, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := tlscert.WriteNew(s.dir, name, text); err != nil {
		return nil, err
	}
	return key, nil
}

// best is the certificate to serve: of those that are valid at now the one that covers
// the names and ends last, else any that ends last.
func (s store) best(names []string, now time.Time) (best tlscert.Pair, ok bool, err error) {
	files, err := s.certificates()
	if err != nil {
		return best, false, err
	}
	for _, name := range files {
		path := filepath.Join(s.dir, name)
		pair, err := read(path)
		if err != nil {
			s.log.Warn("a certificate of the authority cannot be read and is passed over", "path", path, "error", err)
			continue
		}
		if now.After(pair.NotAfter) || ok && !better(pair, best, names) {
			continue
		}
		best, ok = pair, true
	}
	return best, ok, nil
}

func better(a, b tlscert.Pair, names []string) bool {
	if ca, cb := covers(a, names), covers(b, names); ca != cb {
		return ca
	}
	return a.NotAfter.After(b.NotAfter)
}

// covers says whether the certificate is for every name.
func covers(pair tlscert.Pair, names []string) bool {
	for _, name := range names {
		if pair.TLS.Leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}

// put checks what the authority sent and keeps it.
func (s store) put(chain [][]byte, key crypto.Signer, names []string, now time.Time) (tlscert.Pair, error) {
	text, err := encodeKey(key)
	if err != nil {
		return tlscert.Pair{}, err
	}
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	pair, err := tlscert.Parse(text, text)
	switch {
	case err != nil:
		return tlscert.Pair{}, fmt.Errorf("the authority sent a certificate that does not fit: %w", err)
	case !covers(pair, names):
		return tlscert.Pair{}, fmt.Errorf("the authority sent a certificate for %v, not for %v", pair.TLS.Leaf.DNSNames, names)
	case !now.Before(pair.NotAfter):
		return tlscert.Pair{}, fmt.Errorf("the authority sent a certificate that ended on %s; is the clock of this machine right?", pair.NotAfter)
	}
	serial := pair.TLS.Leaf.SerialNumber.Text(16)
	name := fmt.Sprintf("cert-%s-%s-%s.pem", s.id, pair.NotAfter.UTC().Format("20060102150405"), serial[:min(16, len(serial))])
	if err := tlscert.WriteNew(s.dir, name, text); err != nil {
		return tlscert.Pair{}, err
	}
	s.collect()
	return pair, nil
}

// collect removes all but the newest certificates. They end by themselves; nothing is
// read with their keys.
func (s store) collect() {
	files, err := s.certificates()
	if err != nil {
		s.log.Warn("old certificates were not removed", "error", err)
		return
	}
	for _, name := range files[:max(0, len(files)-kept)] {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			s.log.Warn("an old certificate was not removed", "error", err)
		}
	}
}

// certificates are the files of this authority, the one that ends last at the end.
func (s store) certificates() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for certificates: %w", err)
	}
	var files []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), "cert-"+s.id+"-") && strings.HasSuffix(e.Name(), ".pem") {
			files = append(files, e.Name())
		}
	}
	slices.Sort(files)
	return files, nil
}

func read(path string) (tlscert.Pair, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return tlscert.Pair{}, err
	}
	return tlscert.Parse(text, text)
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(bytes.TrimSpace(text))
	if block == nil {
		return nil, errors.New("the file is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T is no account key of ours", parsed)
	}
	return key, nil
}
