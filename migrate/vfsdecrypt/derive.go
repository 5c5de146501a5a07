package vfsdecrypt

import (
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
)

// hashes are those that derivations are built on, by name.
var hashes = []struct {
	name string
	make func() hash.Hash
}{{"md5", md5.New}, {"sha1", sha1.New}, {"sha256", sha256.New}, {"sha512", sha512.New}}

// Derivations besides the hashes and those with a hash behind evp- or pbkdf2-.
const (
	kdfRaw = "raw" // the passphrase itself
	kdfHex = "hex" // the passphrase is the key in hex
	// kdfMD5Hex takes the hex digits of the MD5 as the key's bytes, as programs did whose
	// language has strings and no bytes.
	kdfMD5Hex = "md5hex"
	evpPrefix = "evp-"
	pbkPrefix = "pbkdf2-"
)

// KDFs names every derivation.
func KDFs() []string { return kdfs }

var kdfs = func() []string {
	names := []string{kdfRaw, kdfHex, kdfMD5Hex}
	for _, prefix := range []string{"", evpPrefix, pbkPrefix} {
		for _, h := range hashes {
			names = append(names, prefix+h.name)
		}
	}
	return names
}()

// stretches tells whether the derivation takes salt and iterations and makes as many
// bytes as are asked for.
func (p Profile) stretches() bool {
	return strings.HasPrefix(p.KDF, evpPrefix) || strings.HasPrefix(p.KDF, pbkPrefix)
}

// derived is a key, and 16 bytes more where the derivation makes them.
type derived struct{ key, more []byte }

func (p Profile) derive(passphrase string, salt []byte) (derived, error) {
	secret, err := p.Text.encode(passphrase)
	if err != nil {
		return derived{}, err
	}
	size := p.Bits / 8
	switch {
	case strings.HasPrefix(p.KDF, evpPrefix):
		out := bytesToKey(hashNamed(p.KDF[len(evpPrefix):]), secret, salt, p.Iterations, size+blockSize)
		return derived{out[:size], out[size:]}, nil
	case strings.HasPrefix(p.KDF, pbkPrefix):
		out, err := pbkdf2.Key(hashNamed(p.KDF[len(pbkPrefix):]), string(secret), salt, p.Iterations, size+blockSize)
		if err != nil {
			return derived{}, fmt.Errorf("make the key: %w", err)
		}
		return derived{out[:size], out[size:]}, nil
	case p.KDF == kdfRaw:
		return derived{key: fit(secret, size)}, nil
	case p.KDF == kdfHex:
		raw, err := hex.DecodeString(strings.TrimSpace(passphrase))
		if err != nil || len(raw) != size {
			return derived{}, fmt.Errorf("with kdf=hex the passphrase is the key in %d hex digits, and this one is not", 2*size)
		}
		return derived{key: raw}, nil
	case p.KDF == kdfMD5Hex:
		sum := md5.Sum(secret)
		return derived{key: fit([]byte(hex.EncodeToString(sum[:])), size)}, nil
	}
	h := hashNamed(p.KDF)()
	h.Write(secret)
	return derived{key: fit(h.Sum(nil), size)}, nil
}

func hashNamed(name string) func() hash.Hash {
	i := slices.IndexFunc(hashes, func(h struct {
		name string
		make func() hash.Hash
	},
	) bool {
		return h.name == name
	})
	return hashes[i].make
}

// bytesToKey is what openssl enc does without -pbkdf2 (EVP_BytesToKey): each block is the
// hash, repeated, of the block before, the secret and the salt.
func bytesToKey(h func() hash.Hash, secret, salt []byte, iterations, size int) []byte {
	var out, block []byte
	for len(out) < size {
		block = digest(h, block, secret, salt)
		for range iterations - 1 {
			block = digest(h, block)
		}
		out = append(out, block...)
	}
	return out[:size]
}

func digest(h func() hash.Hash, parts ...[]byte) []byte {
	sum := h()
	for _, part := range parts {
		sum.Write(part)
	}
	return sum.Sum(nil)
}

// fit cuts a key, or fills it up with zero bytes.
func fit(key []byte, size int) []byte {
	out := make([]byte, size)
	copy(out, key)
	return out
}

// encode makes bytes of a passphrase.
func (t Text) encode(passphrase string) ([]byte, error) {
	switch t {
	case UTF16:
		var out []byte
		for _, unit := range utf16.Encode([]rune(passphrase)) {
			out = binary.LittleEndian.AppendUint16(out, unit)
		}
		return out, nil
	case Windows:
		out, err := charmap.Windows1252.NewEncoder().Bytes([]byte(passphrase))
		if err != nil {
			return nil, fmt.Errorf("the passphrase cannot be written in %s: %w", t, err)
		}
		return out, nil
	}
	return []byte(passphrase), nil
}
