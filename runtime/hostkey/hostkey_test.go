package hostkey

import (
	"bytes"
	"crypto"
	//lint:ignore SA1019 such keys must be told
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// rsaKey is one of 2048 bits, made once.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func encode(t testing.TB, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t testing.TB, private any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	return encode(t, "PRIVATE KEY", der, err)
}

func pkix(t testing.TB, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	return encode(t, "PUBLIC KEY", der, err)
}

func openSSH(t testing.TB, private crypto.PrivateKey) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, "a comment")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

func line(t testing.TB, public crypto.PublicKey) string {
	t.Helper()
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(key))
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// public is a key of a modulus alone.
func public(n *big.Int, e int) *Key {
	return &Key{Type: RSA, Bits: n.BitLen(), rsa: &rsa.PublicKey{N: n, E: e}}
}

func TestKeysAreReadInEveryFormat(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, p521 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P521())
	sec1, err := x509.MarshalECPrivateKey(p256)
	edLine := strings.TrimSpace(line(t, ed.Public()))
	blob := strings.Fields(edLine)[1]
	for name, c := range map[string]struct {
		text      string
		want      Key
		algorithm string
		private   bool
	}{
		"OpenSSH, Ed25519":   {openSSH(t, ed), Key{Type: Ed25519, Bits: 256}, "ssh-ed25519", true},
		"OpenSSH, RSA":       {openSSH(t, rsaKey()), Key{Type: RSA, Bits: 2048}, "ssh-rsa", true},
		"PKCS#8, Ed25519":    {pkcs8(t, ed), Key{Type: Ed25519, Bits: 256}, "ssh-ed25519", true},
		"PKCS#8, RSA":        {pkcs8(t, rsaKey()), Key{Type: RSA, Bits: 2048}, "ssh-rsa", true},
		"PKCS#8, P-521":      {pkcs8(t, p521), Key{Type: ECDSA, Bits: 521}, "ecdsa-sha2-nistp521", true},
		"PKCS#1":             {encode(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()), nil), Key{Type: RSA, Bits: 2048}, "ssh-rsa", true},
		"SEC 1":              {encode(t, "EC PRIVATE KEY", sec1, err), Key{Type: ECDSA, Bits: 256}, "ecdsa-sha2-nistp256", true},
		"a line":             {edLine + " anna@example.com\n", Key{Type: Ed25519, Bits: 256, Comment: "anna@example.com"}, "ssh-ed25519", false},
		"a known host":       {"sftp.example.com,192.0.2.1 " + edLine, Key{Type: Ed25519, Bits: 256}, "ssh-ed25519", false},
		"PEM, public":        {pkix(t, p256.Public()), Key{Type: ECDSA, Bits: 256}, "ecdsa-sha2-nistp256", false},
		"PKCS#1, public":     {encode(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey), nil), Key{Type: RSA, Bits: 2048}, "ssh-rsa", false},
		"RFC 4716":           {"---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"a long \\\nname\"\n" + blob + "\n---- END SSH2 PUBLIC KEY ----\n", Key{Type: Ed25519, Bits: 256}, "ssh-ed25519", false},
		"with a mark of BOM": {"\ufeff" + edLine, Key{Type: Ed25519, Bits: 256}, "ssh-ed25519", false},
		"with CR":            {strings.ReplaceAll(pkcs8(t, ed), "\n", "\r\n"), Key{Type: Ed25519, Bits: 256}, "ssh-ed25519", true},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := Parse([]byte(c.text), "")
			if err != nil {
				t.Fatal(err)
			}
			if k.Type != c.want.Type || k.Bits != c.want.Bits || k.Comment != c.want.Comment || k.Algorithm() != c.algorithm || k.HasPrivate() != c.private {
				t.Errorf("got %+v, %s", k, k.Algorithm())
			}
			if v := k.Judge(nil); !v.OK() {
				t.Errorf("verdict %+v", v)
			}
			if signer, err := k.Signer(); (err == nil) != c.private || err == nil && signer.PublicKey().Type() != c.algorithm {
				t.Errorf("signer: %v", err)
			}
		})
	}
}

func TestWhatIsNoKeyIsToldWithItsReason(t *testing.T) {
	encrypted, err := ssh.MarshalPrivateKeyWithPassphrase(ecKey(t, elliptic.P256()), "", []byte("geheim"))
	if err != nil {
		t.Fatal(err)
	}
	locked := string(pem.EncodeToMemory(encrypted))
	for name, c := range map[string]struct {
		text, passphrase string
		want             error
		says             string
	}{
		"nothing":          {"", "", ErrFormat, "neither"},
		"a letter":         {"Dear Anna,", "", ErrFormat, "neither"},
		"two lines":        {"a\nb", "", ErrFormat, "more than one line"},
		"cut off":          {"-----BEGIN PRIVATE KEY-----\nMIIE", "", ErrFormat, "cut off"},
		"a certificate":    {"-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\n", "", ErrFormat, "for TLS"},
		"of PuTTY":         {"PuTTY-User-Key-File-3: ssh-ed25519\n", "", ErrFormat, "puttygen"},
		"noise in PEM":     {"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n", "", ErrFormat, ""},
		"too long":         {strings.Repeat("x", maxText+1), "", ErrFormat, "at most"},
		"P-224":            {pkix(t, ecKey(t, elliptic.P224()).Public()), "", ErrCurve, ""},
		"private P-224":    {pkcs8(t, ecKey(t, elliptic.P224())), "", ErrCurve, ""},
		"locked":           {locked, "", ErrEncrypted, "ssh-keygen -p"},
		"the wrong words":  {locked, "falsch", ErrEncrypted, "does not fit"},
		"locked by PKCS#8": {"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n-----END ENCRYPTED PRIVATE KEY-----\n", "x", ErrEncrypted, "openssl pkey"},
		"two keys":         {strings.Repeat(pkix(t, ecKey(t, elliptic.P256()).Public()), 2), "", ErrFormat, "follows"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.text), c.passphrase)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
			if v := JudgeError(err); v.OK() || v.Reason == "" || v.Cure == "" {
				t.Errorf("verdict %+v", v)
			}
		})
	}
	if k, err := Parse([]byte(locked), "geheim"); err != nil || !k.HasPrivate() {
		t.Errorf("with the passphrase: %v", err)
	}
}

func TestWeakKeysAreRefusedByName(t *testing.T) {
	prime := func(bits int) *big.Int {
		p, err := rand.Prime(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := prime(1024)
	near := new(big.Int).Add(p, big.NewInt(2))
	for !near.ProbablyPrime(10) {
		near.Add(near, big.NewInt(2))
	}
	for name, c := range map[string]struct {
		n    *big.Int
		e    int
		want Code
	}{
		"1024 bits":        {new(big.Int).Mul(prime(512), prime(512)), 65537, TooSmall},
		"2047 bits":        {new(big.Int).SetBit(big.NewInt(1), 2046, 1), 65537, TooSmall},
		"20000 bits":       {new(big.Int).SetBit(big.NewInt(1), 19999, 1), 65537, TooLarge},
		"exponent 1":       {rsaKey().N, 1, Exponent},
		"exponent 4":       {rsaKey().N, 4, Exponent},
		"an even modulus":  {new(big.Int).Lsh(rsaKey().N, 1), 65537, Factors},
		"a small factor":   {new(big.Int).Mul(rsaKey().N, big.NewInt(65521)), 65537, Factors},
		"twice one factor": {new(big.Int).Mul(p, p), 65537, Factors},
		"close factors":    {new(big.Int).Mul(p, near), 65537, Factors},
		"ROCA":             {new(big.Int).Mul(rocaPrime(t), rocaPrime(t)), 65537, ROCA},
		"none":             {rsaKey().N, 3, Fine},
	} {
		t.Run(name, func(t *testing.T) {
			v := public(c.n, c.e).Judge(nil)
			if v.Code != c.want || v.OK() != (c.want == Fine) || !v.OK() && (v.Reason == "" || v.Cure == "") {
				t.Errorf("got %+v, want %s", v, c.want)
			}
		})
	}
}

// rocaPrime is a prime of 1024 bits as the chips of ROCA make them.
func rocaPrime(t *testing.T) *big.Int {
	t.Helper()
	m := big.NewInt(1)
	for _, p := range primesUpTo(701) {
		m.Mul(m, big.NewInt(int64(p)))
	}
	rest := new(big.Int).Exp(big.NewInt(65537), big.NewInt(0xC0FFEE), m)
	for {
		k, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(1025-m.BitLen())))
		if err != nil {
			t.Fatal(err)
		}
		p := k.Mul(k, m)
		// With both upper bits set, the product of two has 2048.
		if p.Add(p, rest); p.BitLen() == 1024 && p.Bit(1022) == 1 && p.ProbablyPrime(20) {
			return p
		}
	}
}

func TestSmallKeysThatGoRefusesAreStillMeasured(t *testing.T) {
	type pkcs1 struct {
		Version int
		N       *big.Int
		E       int
		D, P, Q *big.Int
		A, B, C *big.Int
	}
	one := big.NewInt(1)
	n := new(big.Int).SetBit(big.NewInt(1), 511, 1)
	der, err := asn1.Marshal(pkcs1{0, n, 65537, one, one, one, one, one, one})
	k, err := Parse([]byte(encode(t, "RSA PRIVATE KEY", der, err)), "")
	if err != nil {
		t.Fatal(err)
	}
	if v := k.Judge(nil); v.Code != TooSmall || !strings.Contains(v.Reason, "512 bits") || k.Line()+k.SHA256()+k.MD5()+k.Algorithm() != "" {
		t.Errorf("got %+v", v)
	}
}

func TestDSAIsRefused(t *testing.T) {
	var k dsa.PrivateKey
	if err := dsa.GenerateParameters(&k.Parameters, rand.Reader, dsa.L1024N160); err != nil {
		t.Fatal(err)
	}
	if err := dsa.GenerateKey(&k, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a line": line(t, &k.PublicKey),
		"PEM": func() string {
			der, err := asn1.Marshal(struct {
				Version       int
				P, Q, G, Y, X *big.Int
			}{0, k.P, k.Q, k.G, k.Y, k.X})
			return encode(t, "DSA PRIVATE KEY", der, err)
		}(),
	} {
		key, err := Parse([]byte(text), "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if v := key.Judge(nil); v.Code != IsDSA || key.SHA256() == "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestAPrivateHalfOfAnotherKeyIsNoticed(t *testing.T) {
	mine, theirs := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	k, err := fromPublic(theirs.Public(), "")
	if err != nil {
		t.Fatal(err)
	}
	k.private = mine
	if v := k.Judge(nil); v.Code != Mismatch {
		t.Errorf("got %+v", v)
	}
}

func TestAKeyThatEverybodyKnowsIsRefused(t *testing.T) {
	k, err := Generate(ssh.KeyAlgoED25519)
	if err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum(k.public.Marshal())
	for _, text := range []string{"# a list\n\n" + hex.EncodeToString(sum[6:]) + "\n", k.MD5() + " # with colons"} {
		list, err := ReadDenylist(strings.NewReader(text))
		if err != nil || list.Len() != 1 {
			t.Fatal(err)
		}
		if v := k.Judge(list); v.Code != Listed {
			t.Errorf("got %+v", v)
		}
	}
	if _, err := ReadDenylist(strings.NewReader("0123\n")); err == nil {
		t.Error("a short fingerprint passed")
	}
	if (*Denylist)(nil).Len() != 0 {
		t.Error("no list has keys")
	}
}

func TestGeneratedKeysComeBack(t *testing.T) {
	for _, algorithm := range Generated {
		k, err := Generate(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		text, err := k.PEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse([]byte(text), "")
		if err != nil || again.Algorithm() != algorithm || again.SHA256() != k.SHA256() || again.Line() != k.Line() || !again.Judge(nil).OK() {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	if _, err := Generate("ssh-rsa"); err == nil {
		t.Error("an RSA key was made")
	}
	if _, err := public(rsaKey().N, 3).PEM(); err == nil {
		t.Error("a public key was written as a private one")
	}
}

func TestFingerprintsAreThoseOfOpenSSH(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("there is no ssh-keygen")
	}
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		path := filepath.Join(t.TempDir(), "key")
		if out, err := exec.Command(keygen, "-q", "-t", kind, "-N", "", "-C", "test", "-f", path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		k, err := Parse(text, "")
		if err != nil {
			t.Fatal(err)
		}
		for hash, want := range map[string]string{"sha256": k.SHA256(), "md5": "MD5:" + k.MD5()} {
			out, err := exec.Command(keygen, "-l", "-E", hash, "-f", path).Output()
			if words := strings.Fields(string(out)); err != nil || words[1] != want || words[0] != fmt.Sprint(k.Bits) {
				t.Errorf("%s: ssh-keygen says %s, not %d %s; %v", kind, out, k.Bits, want, err)
			}
		}
	}
}

func TestAnAuditNamesEveryKeyOfAFile(t *testing.T) {
	good := pkcs8(t, ecKey(t, elliptic.P384()))
	text := "# the host keys of the old server\n\n" + good + "nonsense\n\n" + line(t, ecKey(t, elliptic.P256()).Public()) +
		"-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\n"
	found := Audit([]byte(text), "", nil)
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%d %s %v", f.Line, f.Code, f.Private))
	}
	at := 3 + strings.Count(good, "\n")
	want := []string{"3 ok true", fmt.Sprintf("%d unreadable false", at), fmt.Sprintf("%d ok false", at+2), fmt.Sprintf("%d unreadable false", at+3)}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if none := Audit([]byte("# empty\n"), "", nil); len(none) != 1 || none[0].OK() {
		t.Errorf("an empty file: %+v", none)
	}
}

// TestAnAuditTakesBlankLinesAtOnce: one by one, with a look at all behind each, a text of
// nothing else would take minutes.
func TestAnAuditTakesBlankLinesAtOnce(t *testing.T) {
	item, rest := nextItem([]byte(strings.Repeat("\n", 1000) + " a line\nanother\n"))
	if len(item) != 1008 || string(rest) != "another\n" {
		t.Errorf("%d bytes, then %q", len(item), rest)
	}
	if found := Audit([]byte("\n\n \n nonsense\n"), "", nil); len(found) != 1 || found[0].Line != 4 {
		t.Errorf("%+v", found)
	}
}

// TestAnAuditOpensFewEncryptedKeys: each may cost seconds, and a text has room for
// hundreds.
func TestAnAuditOpensFewEncryptedKeys(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	found := Audit(bytes.Repeat(pem.EncodeToMemory(block), maxOpened+2), "open sesame", nil)
	if len(found) != maxOpened+2 {
		t.Fatalf("%d findings", len(found))
	}
	for i, f := range found {
		want := Fine
		if i >= maxOpened {
			want = Encrypted
		}
		if f.Code != want {
			t.Errorf("key %d: %+v", i+1, f)
		}
	}
}

// TestAKeyThatTakesForeverToOpenIsRefused: its text says how long.
func TestAKeyThatTakesForeverToOpenIsRefused(t *testing.T) {
	options := ssh.Marshal(struct {
		Salt   string
		Rounds uint32
	}{strings.Repeat("s", 16), 2048})
	public, err := ssh.NewPublicKey(ecKey(t, elliptic.P256()).Public())
	if err != nil {
		t.Fatal(err)
	}
	body := ssh.Marshal(struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public, Private      string
	}{"aes256-ctr", "bcrypt", string(options), 1, string(public.Marshal()), strings.Repeat("x", 64)})
	text := pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: append([]byte("openssh-key-v1\x00"), body...)})
	if _, err := Parse(text, "open sesame"); !errors.Is(err, ErrEncrypted) || !strings.Contains(err.Error(), "2048 rounds") {
		t.Errorf("%v", err)
	}
}

func FuzzAudit(f *testing.F) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(openSSH(f, ed)))
	f.Add([]byte(pkcs8(f, rsaKey())))
	f.Add([]byte(encode(f, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()), nil)))
	f.Add([]byte(line(f, ed.Public())))
	f.Add([]byte("---- BEGIN SSH2 PUBLIC KEY ----\nComment: x\nAAAA\n---- END SSH2 PUBLIC KEY ----"))
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n"))
	f.Add([]byte("PuTTY-User-Key-File-2: ssh-rsa\n"))
	f.Add([]byte("host ssh-rsa " + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x07ssh-rsa\x00\x00\x00\x01\x03\x00\x00\x00\x01\x01"))))
	f.Fuzz(func(t *testing.T, text []byte) {
		found := Audit(text, "", nil)
		if len(found) == 0 {
			t.Error("nothing was found, not even that there is nothing")
		}
		for _, v := range found {
			if !v.OK() && (v.Reason == "" || v.Cure == "") || v.OK() && v.SHA256 == "" || v.Line < 1 {
				t.Errorf("got %+v", v)
			}
		}
	})
}
