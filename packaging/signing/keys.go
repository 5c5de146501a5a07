package signing

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Roles that have a key.
var Roles = []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP}

const pemType = "PRIVATE KEY"

// newKey makes a key for a role and writes it into the vault. It has no effect until
// a root names it.
func (v *Vault) newKey(role string, random io.Reader) (*metadata.Key, error) {
	_, private, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", role, err)
	}
	key, id, err := describe(private)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(v.keysDir(), role+"-"+id[:8]+".pem")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write the key of %s: %w", role, err)
	}
	err = pem.Encode(f, &pem.Block{Type: pemType, Bytes: der})
	return key, errors.Join(err, f.Sync(), f.Close())
}

func describe(private ed25519.PrivateKey) (*metadata.Key, string, error) {
	key, err := metadata.KeyFromPublicKey(private.Public())
	if err != nil {
		return nil, "", err
	}
	id, err := key.ID()
	return key, id, err
}

// signers are those keys of a role that are in force and lie in the vault.
func (v *Vault) signers(root *metadata.RootType, role string) ([]signature.Signer, error) {
	var out []signature.Signer
	ids := root.Roles[role].KeyIDs
	files, err := filepath.Glob(filepath.Join(v.keysDir(), "*.pem"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		private, err := readKey(file)
		if err != nil {
			return nil, err
		}
		_, id, err := describe(private)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, id) {
			continue
		}
		s, err := signature.LoadED25519Signer(private)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		var short []string
		for _, id := range ids {
			short = append(short, role+"-"+id[:min(8, len(id))]+".pem")
		}
		return nil, fmt.Errorf("the key of %s is not in %s; it is called %s", role, v.keysDir(), strings.Join(short, " or "))
	}
	return out, nil
}

// readKey reads a private key and refuses one that others may read.
func readKey(file string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 && !worldModes {
		return nil, fmt.Errorf("others may read the key %s; run: chmod 600 %s", file, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("%s holds no private key", file)
	}
	var key crypto.PrivateKey
	if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		return nil, fmt.Errorf("read the key %s: %w", file, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is no Ed25519 key", file)
	}
	return private, nil
}

// exists tells whether something is at a path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
