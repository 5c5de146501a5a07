package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// One-time codes after RFC 6238, as every authenticator has them.
const (
	codeStep   = 30 * time.Second
	codeDigits = 6
	// codeWindow is how many steps a client's clock may be off.
	codeWindow = 1
	secretSize = 20
)

var b32 = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSecret makes a secret for one-time codes, in the form in which it is typed.
func NewSecret() string {
	b := make([]byte, secretSize)
	_, _ = rand.Read(b) // never fails
	return b32.EncodeToString(b)
}

// readSecret takes a secret as people type it.
func readSecret(text string) ([]byte, error) {
	text = strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "=", "").Replace(text))
	secret, err := b32.DecodeString(text)
	if err != nil || len(secret) < 10 {
		return nil, fmt.Errorf("the secret of one-time codes is not one in base 32 of 16 letters at least")
	}
	return secret, nil
}

// SecretURI is what a QR code shows to an authenticator.
func SecretURI(issuer, account, secret string) string {
	query := url.Values{"secret": {secret}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	label := url.PathEscape(issuer) + ":" + url.PathEscape(account)
	return "otpauth://totp/" + label + "?" + strings.ReplaceAll(query.Encode(), "+", "%20")
}

// CheckCode compares a code with those of now and of the steps beside. The step that
// fits is returned to be remembered: a code of that step or an earlier one is not
// taken again, which after says. The error is ErrWrong.
func CheckCode(secret, code string, now time.Time, after int64) (step int64, err error) {
	key, err := readSecret(secret)
	if err != nil {
		return 0, err
	}
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	current := now.Unix() / int64(codeStep/time.Second)
	found := int64(0)
	for step := current - codeWindow; step <= current+codeWindow; step++ {
		if subtle.ConstantTimeCompare([]byte(codeAt(key, step)), []byte(code)) == 1 && step > after {
			found = step
		}
	}
	if found == 0 {
		return 0, ErrWrong
	}
	return found, nil
}

// codeAt is the code of a step, after RFC 4226.
func codeAt(key []byte, step int64) string {
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, uint64(step))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	number := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", codeDigits, number%1_000_000)
}
