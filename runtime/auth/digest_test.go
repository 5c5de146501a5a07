package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
)

// made are hashes that other programs made: openssl passwd and Python's hashlib.
var made = map[string]struct{ hash, password string }{
	"MD5 of old Unix":        {"$1$abcdefgh$eKehL.s8tG6zTf8hBtmEF.", "geheim"},
	"MD5 of Apache":          {"$apr1$Zx./9$pEiS7URyiaY93xYeYlFco1", "geheim"},
	"MD5 of a long password": {"$1$x$Csw7VKF4Pd3clFEHHx7b20", "a much longer password than sixteen bytes"},
	"MD5 without a salt":     {digestOf(DigestMD5, "", "e8636ea013e682faf61f56ce1cb1ab5c"), "geheim"},
	"SHA-512 with a salt":    {digestOf(DigestSHA512, `<salt & "more">`, "68855a20ea252028d3105169f73e79290891f5df7878b89ebef7034dc671763b22606abc25f4d2adaef4e2cada3e79fb3b5544cae78b5b40363ee20cb59be2ee"), "geheim"},
	"PBKDF2 with SHA-1":      {pbkdf2Of("sha1", "YBohnjorztzdjuAEx7MiId9ajRU="), "geheim"},
	"PBKDF2 with SHA-256":    {pbkdf2Of(DigestSHA256, "vVp+BGXtTdDWivKhz2ULieAxMlIbmCiP24n7CtmQ2bs="), "geheim"},
	"PBKDF2 with SHA-512":    {pbkdf2Of(DigestSHA512, "k+JdIFjoQ116jTTH2TtHJHYFhJII4wHwozTIzS3Z4xlTatadclYnwykA4xgxfoe3ECs+PEEXZGjQ7t+rnTocww=="), "geheim"},
}

func digestOf(d Digest, salt, sum string) string {
	hash, _ := DigestHash(d, []byte(salt), sum)
	return hash
}

func pbkdf2Of(d Digest, sum string) string {
	raw, _ := base64.StdEncoding.DecodeString(sum)
	hash, _ := PBKDF2Hash(d, 1000, []byte("E86a9YMX3zC7"), raw)
	return hash
}

func TestHashesOfOtherServersAreCheckedAndToBeMadeAnew(t *testing.T) {
	h := cheapHasher(t)
	ctx := context.Background()
	for name, c := range made {
		t.Run(name, func(t *testing.T) {
			if !h.Known(c.hash) {
				t.Fatalf("%s is not known", c.hash)
			}
			if old, err := h.Check(ctx, c.hash, []byte(c.password)); err != nil || !old {
				t.Fatalf("the right password: old %v, %v", old, err)
			}
			for _, wrong := range []string{c.password + "x", "G" + c.password[1:], c.password[:1]} {
				if _, err := h.Check(ctx, c.hash, []byte(wrong)); !errors.Is(err, ErrWrong) {
					t.Errorf("%q: %v", wrong, err)
				}
			}
		})
	}
}

func TestWhatOnlyLooksLikeAQuickHashIsUnknown(t *testing.T) {
	h := cheapHasher(t)
	for _, hash := range []string{
		"$1$", "$1$$", "$1$abc", "$1$abcdefgh$short", "$1$abcdefghi$aaaaaaaaaaaaaaaaaaaaaa", "$1$ab:c$aaaaaaaaaaaaaaaaaaaaaa", "$apr1$abc$",
		"$ss-digest$", "$ss-digest$md5$$", "$ss-digest$md5$zz$00000000000000000000000000000000", "$ss-digest$crc$$00000000",
		"$ss-digest$md5$$0000000000000000000000000000000A", "$ss-digest$sha512$$00000000000000000000000000000000",
	} {
		if h.Known(hash) {
			t.Errorf("%s is known", hash)
		}
		if _, err := h.Check(context.Background(), hash, []byte("x")); !errors.Is(err, ErrScheme) {
			t.Errorf("%s: %v", hash, err)
		}
	}
}

func TestCostsOfForeignHashesAreBounded(t *testing.T) {
	sum := make([]byte, 32)
	if _, ok := PBKDF2Hash(DigestSHA256, maxIterations+1, []byte("salt"), sum); ok {
		t.Error("too many iterations are taken")
	}
	if _, ok := PBKDF2Hash(DigestSHA256, 1000, nil, sum); ok {
		t.Error("no salt is taken")
	}
	if _, ok := PBKDF2Hash(DigestMD5, 1000, []byte("salt"), sum); ok {
		t.Error("MD5 is taken")
	}
}
