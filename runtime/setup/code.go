// Package setup lets the first administrator in: whoever can run a command as root on
// the machine gets a setup code, and the code opens the first-run page once.
//
// The promises: one code is valid at a time, for 5 minutes; it is used up by the
// session it opens; the store keeps only a slow hash of it; guessing is rate limited
// so far that 5 minutes are hopeless. The package knows no HTTP.
package setup

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
)

// alphabet leaves out what a tired reader mixes up: 0 and O, 1 and I.
const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// codeLen of 8 letters out of 32 is 40 bits: at the 300 guesses that the rate limit
// lets through in 5 minutes, a hit has a chance of 1 in 3,600 million.
const codeLen = 8

// hashRounds makes trying out all codes against a stolen store take years of one
// core, and a login attempt some milliseconds.
const hashRounds = 20_000

const saltLen = 16

// newCode draws a code. Each letter is 5 bits of a byte, so no letter is likelier.
func newCode(rand io.Reader) (string, error) {
	b := make([]byte, codeLen)
	if _, err := io.ReadFull(rand, b); err != nil {
		return "", fmt.Errorf("draw a setup code: %w", err)
	}
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return string(b), nil
}

// show is a code as people read it: ABCD-EFGH.
func show(code string) string { return code[:4] + "-" + code[4:] }

// clean takes what somebody typed apart from case, blanks and hyphens. Anything that
// cannot be a code is not ok.
func clean(typed string) (code string, ok bool) {
	// A form field of a megabyte is not a code; do not even look at it.
	if len(typed) > 64 {
		return "", false
	}
	b := make([]byte, 0, codeLen)
	for _, r := range strings.ToUpper(typed) {
		switch {
		case r == ' ' || r == '-' || r == '\t':
		case len(b) < codeLen && r < 128 && strings.IndexByte(alphabet, byte(r)) >= 0:
			b = append(b, byte(r))
		default:
			return "", false
		}
	}
	return string(b), len(b) == codeLen
}

func hash(code string, salt []byte) ([]byte, error) {
	return pbkdf2.Key(sha256.New, code, salt, hashRounds, sha256.Size)
}
