package vfsdecrypt

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const passphrase = "Grüße aus dem Archiv 2014"

// openssl runs the program that all files of these tests are made by.
func openssl(t testing.TB, in []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = bytes.NewReader(in)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %q (of Debian's package openssl): %v: %s", args, err, errs.Bytes())
	}
	return out
}

func mustParse(t testing.TB, text string) Profile {
	t.Helper()
	p, err := ParseProfile(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// encrypt makes a file of a profile, by openssl and from what the words of the profile
// mean, not by the code that is tested.
func encrypt(t testing.TB, p Profile, secret string, content []byte) []byte {
	t.Helper()
	length := len(content)
	args := []string{"enc", fmt.Sprintf("-aes-%d-%s", p.Bits, p.Mode)}
	raw := secretBytes(t, p.Text, secret)
	if p.Mode.whole() && p.Pad != PKCS7 {
		args = append(args, "-nopad")
		if p.Pad == Zeros && len(content)%16 > 0 {
			content = append(bytes.Clone(content), make([]byte, 16-len(content)%16)...)
		}
	}
	var front, salt []byte
	iv := make([]byte, 16)
	if p.IV == IVMD5 {
		sum := md5.Sum(raw)
		iv = sum[:]
	}
	if fixed, err := hex.DecodeString(p.IV); err == nil {
		iv = fixed
	}
	for _, part := range p.Header {
		piece := make([]byte, part.Len)
		for i := range piece {
			piece[i] = byte(rand.Uint32())
		}
		switch part.Kind {
		case "salted":
			copy(piece, "Salted__")
			salt = piece[8:]
		case "salt":
			salt = piece
		case "iv":
			iv = piece
		case "length":
			for i := range piece {
				piece[i] = byte(length >> (8 * i))
			}
		}
		front = append(front, piece...)
	}
	switch {
	case strings.HasPrefix(p.KDF, "evp-") || strings.HasPrefix(p.KDF, "pbkdf2-"):
		kind, hash, _ := strings.Cut(p.KDF, "-")
		derive := []string{"-md", hash, "-pass", "pass:" + string(raw)}
		if kind == "pbkdf2" {
			derive = append(derive, "-pbkdf2", "-iter", strconv.Itoa(p.Iterations))
		} else if p.Iterations != 1 {
			t.Fatalf("openssl does not repeat %s", p.KDF)
		}
		if salt == nil {
			derive = append(derive, "-nosalt")
		} else {
			derive = append(derive, "-S", hex.EncodeToString(salt))
		}
		if p.IV != IVDerived && p.Mode != ECB {
			derive = append(derive, "-iv", hex.EncodeToString(iv))
		}
		out := openssl(t, content, append(args, derive...)...)
		// With -S, openssl up to 3.0 writes no mark of its own; later ones neither.
		return append(front, bytes.TrimPrefix(out, append([]byte("Salted__"), salt...))...)
	}
	args = append(args, "-K", hex.EncodeToString(plainKey(t, p, raw, secret)))
	if p.Mode != ECB {
		args = append(args, "-iv", hex.EncodeToString(iv))
	}
	return append(front, openssl(t, content, args...)...)
}

func secretBytes(t testing.TB, text Text, secret string) []byte {
	t.Helper()
	var out []byte
	for _, r := range secret {
		switch {
		case text == UTF8:
			out = append(out, string(r)...)
		case text == UTF16:
			out = append(out, byte(r), byte(r>>8))
		case r > 255 || r >= 0x80 && r < 0xa0:
			t.Fatalf("%c is not the same in Windows-1252", r)
		default:
			out = append(out, byte(r))
		}
	}
	return out
}

func plainKey(t testing.TB, p Profile, raw []byte, secret string) []byte {
	t.Helper()
	key := make([]byte, p.Bits/8)
	switch p.KDF {
	case "raw":
		copy(key, raw)
	case "hex":
		decoded, err := hex.DecodeString(secret)
		if err != nil {
			t.Fatal(err)
		}
		copy(key, decoded)
	case "md5":
		sum := md5.Sum(raw)
		copy(key, sum[:])
	case "md5hex":
		copy(key, fmt.Sprintf("%x", md5.Sum(raw)))
	case "sha1":
		sum := sha1.Sum(raw)
		copy(key, sum[:])
	case "sha256":
		sum := sha256.Sum256(raw)
		copy(key, sum[:])
	case "sha512":
		sum := sha512.Sum512(raw)
		copy(key, sum[:])
	default:
		t.Fatalf("nobody wrote down what kdf=%s is", p.KDF)
	}
	return key
}

// hexKey is a passphrase that is a key.
func hexKey(bits int) string { return strings.Repeat("0123456789abcdef", bits/64) }

func randomBytes(n int) []byte {
	out := make([]byte, n)
	chacha := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	_, _ = chacha.Read(out)
	return out
}

// read is what a file becomes.
func read(p Profile, secret string, encrypted []byte) ([]byte, error) {
	keys, err := NewKeys(p, secret)
	if err != nil {
		return nil, err
	}
	content, err := keys.Open(bytes.NewReader(encrypted), int64(len(encrypted)))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = content.WriteTo(&out)
	return out.Bytes(), err
}

func TestEveryProfileDecryptsWhatOpenSSLEncrypted(t *testing.T) {
	sizes := []int{1, 15, 16, 17, 4095, 4096, 4097, 70000, pieceSize - 1, pieceSize, pieceSize + 1, 2*pieceSize + 16}
	n := 0
	check := func(text string) {
		p := mustParse(t, text)
		if got := p.String(); mustParse(t, got).String() != got {
			t.Errorf("%s is written as %s", text, got)
		}
		secret := passphrase
		if p.KDF == kdfHex {
			secret = hexKey(p.Bits)
		}
		content := randomBytes(sizes[n%len(sizes)])
		n++
		switch {
		case p.Pad == NoPad && p.Mode.whole() && !strings.Contains(text, "length"):
			content = content[:len(content)&^15]
		case p.Pad == Zeros:
			content[len(content)-1] = 'x'
		}
		got, err := read(p, secret, encrypt(t, p, secret, content))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes became %d, %v", text, len(content), len(got), err)
		}
	}
	for _, mode := range Modes {
		for _, bits := range []int{128, 192, 256} {
			cipher := fmt.Sprintf("aes-%d-%s ", bits, mode)
			iv := []string{"iv=zero", "iv=md5", "iv=000102030405060708090a0b0c0d0e0f", "header=iv iv=file", "header=skip7,iv iv=file", "header=length iv=zero"}
			if mode == ECB {
				iv = []string{"", "header=skip512", "header=length"}
			}
			check(cipher + "kdf=sha256 " + iv[0])
			check(cipher + "kdf=hex " + iv[len(iv)-1])
			if bits != 256 {
				continue // a length changes where keys are cut, and nothing else
			}
			for i, kdf := range []string{"raw", "hex", "md5", "md5hex", "sha1", "sha256", "sha512"} {
				check(cipher + "kdf=" + kdf + " " + iv[i%len(iv)])
			}
			for i, kdf := range []string{"evp-md5 iterations=1", "evp-sha256 iterations=1", "evp-sha512 iterations=1", "pbkdf2-sha1 iterations=1000", "pbkdf2-sha256 iterations=17", "pbkdf2-sha512 iterations=3"} {
				how := []string{"header=salted iv=derived", "header=salted iv=zero", "header=salt8,iv iv=file", "iv=derived", "header=salt8 iv=derived", "header=length,salt8 iv=derived"}[i]
				if mode == ECB {
					how = []string{"header=salted", "header=salt8", ""}[i%3]
				}
				check(cipher + "kdf=" + kdf + " " + how)
			}
			if mode.whole() {
				check(cipher + "kdf=sha256 pad=none")
				check(cipher + "kdf=sha256 pad=zero")
				check(cipher + "kdf=sha256 pad=zero header=length")
			}
			for _, text := range Texts {
				check(cipher + "kdf=sha256 text=" + string(text))
			}
		}
	}
	t.Logf("%d profiles", n)
}

func TestAFileOfNoBytesHasNoContent(t *testing.T) {
	got, err := read(mustParse(t, "aes-256-cbc kdf=sha256 header=iv iv=file"), passphrase, nil)
	if err != nil || len(got) > 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	p := mustParse(t, "aes-256-cbc kdf=sha256")
	if got, err = read(p, passphrase, encrypt(t, p, passphrase, nil)); err != nil || len(got) > 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
