package auth

import (
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// The hash of versions 4 and 5 of the product is the SHA-512 of the salt, as it is
// written, and the password; the maker's own reference of their interface shows salts and
// hashes. It is quick to guess, so it is made anew at the first log-in.
const v4Prefix = "$ss4-sha512$"

// maxV4Salt bounds a salt; those that were seen have 8 digits.
const maxV4Salt = 64

// V4Hash is a hash of version 4 or 5 in the form that Check takes; ok is false if it is
// none. sum is in hex.
func V4Hash(salt, sum string) (hash string, ok bool) {
	sum = strings.ToLower(sum)
	raw, err := hex.DecodeString(sum)
	if err != nil || len(raw) != sha512.Size || len(salt) == 0 || len(salt) > maxV4Salt || strings.Trim(salt, alphanumeric) != "" {
		return "", false
	}
	return v4Prefix + salt + "$" + sum, true
}

const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// checkV4 compares a password with such a hash: ErrWrong, or ErrScheme if it is none.
func checkV4(hash string, password []byte) error {
	salt, sum, _ := strings.Cut(strings.TrimPrefix(hash, v4Prefix), "$")
	if again, ok := V4Hash(salt, sum); !ok || again != hash {
		return ErrScheme
	}
	want, err := hex.DecodeString(sum)
	if err != nil {
		return ErrScheme
	}
	got := sha512.Sum512(append([]byte(salt), password...))
	if subtle.ConstantTimeCompare(got[:], want) != 1 {
		return ErrWrong
	}
	return nil
}
