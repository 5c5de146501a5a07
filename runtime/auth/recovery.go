package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// recoverySize is in bytes: codes are drawn at random, so a quick hash is enough to keep
// them by.
const recoverySize = 10

// NewRecovery makes codes that each stand in once for an authenticator, in the form in
// which they are written down, and the hashes that are kept of them.
func NewRecovery(n int) (codes, hashes []string) {
	for range n {
		b := make([]byte, recoverySize)
		_, _ = rand.Read(b) // never fails
		text := b32.EncodeToString(b)
		codes = append(codes, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])
		hashes = append(hashes, recoveryHash(text))
	}
	return codes, hashes
}

// FindRecovery is the place of a typed code among hashes, -1 if there is none. Who takes
// a code removes its hash.
func FindRecovery(hashes []string, code string) int {
	want := []byte(recoveryHash(strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(code))))
	found := -1
	for i, hash := range hashes {
		if subtle.ConstantTimeCompare([]byte(hash), want) == 1 {
			found = i
		}
	}
	return found
}

func recoveryHash(code string) string {
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}
