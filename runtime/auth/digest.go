package auth

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"
)

// Other servers keep hashes that take no time to guess: a plain digest of the password,
// with or without a salt behind it, and the MD5 scheme of old Unix. Both are checked here,
// and made anew at the first log-in.
const (
	digestPrefix = "$ss-digest$"
	md5Prefix    = "$1$"
	apachePrefix = "$apr1$"
)

// Digest names the function of a plain digest.
type Digest string

// The digests.
const (
	DigestMD5    Digest = "md5"
	DigestSHA256 Digest = "sha256"
	DigestSHA512 Digest = "sha512"
)

var digests = map[Digest]func() hash.Hash{DigestMD5: md5.New, DigestSHA256: sha256.New, DigestSHA512: sha512.New}

// maxDigestSalt bounds a salt; 64 bytes were seen.
const maxDigestSalt = 256

// DigestHash is the digest of a password with salt, which may be empty, behind it, in the
// form that Check takes; sum is in hex. ok is false if it is none.
func DigestHash(d Digest, salt []byte, sum string) (text string, ok bool) {
	newHash := digests[d]
	raw, err := hex.DecodeString(sum)
	if newHash == nil || err != nil || len(raw) != newHash().Size() || len(salt) > maxDigestSalt {
		return "", false
	}
	return digestPrefix + string(d) + "$" + hex.EncodeToString(salt) + "$" + hex.EncodeToString(raw), true
}

// decodeDigest takes such a form apart again.
func decodeDigest(text string) (newHash func() hash.Hash, salt, sum []byte, ok bool) {
	parts := strings.Split(strings.TrimPrefix(text, digestPrefix), "$")
	if len(parts) != 3 {
		return nil, nil, nil, false
	}
	salt, err := hex.DecodeString(parts[1])
	if err != nil {
		return nil, nil, nil, false
	}
	again, ok := DigestHash(Digest(parts[0]), salt, parts[2])
	if !ok || again != text {
		return nil, nil, nil, false
	}
	sum, _ = hex.DecodeString(parts[2]) // DigestHash has read it
	return digests[Digest(parts[0])], salt, sum, true
}

// PBKDF2Hash is a hash of PBKDF2 with HMAC, in the form that Check takes; ok is false if
// it is none. d is not DigestMD5; "sha1" is allowed.
func PBKDF2Hash(d Digest, iterations int, salt, sum []byte) (text string, ok bool) {
	size := map[Digest]int{"sha1": 20, DigestSHA256: sha256.Size, DigestSHA512: sha512.Size}[d]
	if size == 0 || iterations < 1 || iterations > maxIterations || len(salt) == 0 || len(salt) > maxDigestSalt || len(sum) < 16 || len(sum) > 2*size {
		return "", false
	}
	name := "pbkdf2-" + string(d)
	if d == "sha1" {
		name = "pbkdf2"
	}
	adapted := func(b []byte) string {
		return strings.ReplaceAll(base64.RawStdEncoding.EncodeToString(b), "+", ".")
	}
	return "$" + name + "$" + strconv.Itoa(iterations) + "$" + adapted(salt) + "$" + adapted(sum), true
}

// quick checks a hash that takes no time; known is false for one of another scheme.
func quick(text string) (check func(password []byte) bool, known bool) {
	switch {
	case strings.HasPrefix(text, digestPrefix):
		newHash, salt, sum, ok := decodeDigest(text)
		if !ok {
			return nil, true
		}
		return func(password []byte) bool {
			h := newHash()
			h.Write(password)
			h.Write(salt)
			return subtle.ConstantTimeCompare(h.Sum(nil), sum) == 1
		}, true
	case strings.HasPrefix(text, md5Prefix), strings.HasPrefix(text, apachePrefix):
		magic := md5Prefix
		if strings.HasPrefix(text, apachePrefix) {
			magic = apachePrefix
		}
		salt, sum, ok := strings.Cut(strings.TrimPrefix(text, magic), "$")
		if !ok || len(salt) == 0 || len(salt) > 8 || len(sum) != md5CryptSize || strings.Trim(salt+sum, cryptAlphabet) != "" {
			return nil, true
		}
		return func(password []byte) bool {
			return subtle.ConstantTimeCompare([]byte(md5Crypt(magic, salt, password)), []byte(sum)) == 1
		}, true
	}
	return nil, false
}

const (
	cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	md5CryptSize  = 22
	// md5CryptRounds belongs to the scheme.
	md5CryptRounds = 1000
)

// md5Crypt is the scheme of FreeBSD of 1994, which Apache took over with a magic of its
// own: what stands behind the salt.
func md5Crypt(magic, salt string, password []byte) string {
	once := func(parts ...[]byte) []byte {
		h := md5.New()
		for _, part := range parts {
			h.Write(part)
		}
		return h.Sum(nil)
	}
	between := once(password, []byte(salt), password)
	first := [][]byte{password, []byte(magic), []byte(salt)}
	for left := len(password); left > 0; left -= len(between) {
		first = append(first, between[:min(left, len(between))])
	}
	for bits := len(password); bits > 0; bits >>= 1 {
		if bits&1 == 1 {
			first = append(first, []byte{0})
		} else {
			first = append(first, password[:1])
		}
	}
	sum := once(first...)
	for round := range md5CryptRounds {
		parts := make([][]byte, 0, 4)
		either := func(odd bool, one, other []byte) {
			if odd {
				parts = append(parts, one)
			} else {
				parts = append(parts, other)
			}
		}
		odd := round%2 == 1
		either(odd, password, sum)
		if round%3 != 0 {
			parts = append(parts, []byte(salt))
		}
		if round%7 != 0 {
			parts = append(parts, password)
		}
		either(odd, sum, password)
		sum = once(parts...)
	}
	var out strings.Builder
	write := func(value uint32, digits int) {
		for range digits {
			out.WriteByte(cryptAlphabet[value&0x3f])
			value >>= 6
		}
	}
	for _, at := range [][3]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}} {
		write(uint32(sum[at[0]])<<16|uint32(sum[at[1]])<<8|uint32(sum[at[2]]), 4)
	}
	write(uint32(sum[11]), 2)
	return out.String()
}
