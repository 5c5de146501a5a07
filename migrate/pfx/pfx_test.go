package pfx

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// pair is a key and its certificate.
func pair(t testing.TB) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	return key, must[*x509.Certificate](t)(x509.ParseCertificate(der))
}

func TestAPFXOpensWithItsPassword(t *testing.T) {
	key, cert := pair(t)
	for name, encoder := range map[string]*pkcs12.Encoder{
		"RC2, as old Windows": pkcs12.LegacyRC2, "triple DES": pkcs12.LegacyDES, "AES": pkcs12.Modern2023, "PBMAC1": pkcs12.Modern2026,
	} {
		for _, password := range []string{"secret", "grüße ⚿", ""} {
			raw := must[[]byte](t)(encoder.Encode(key, cert, []*x509.Certificate{cert}, password))
			got, err := NewWork(1e6).Open(raw, password)
			if err != nil || !key.Equal(got.Key) || len(got.Certificates) != 2 || !got.Certificates[0].Equal(cert) {
				t.Errorf("%s, %q: %v", name, password, err)
			}
			if _, err := NewWork(1e6).Open(raw, password+"x"); !errors.Is(err, ErrPassword) {
				t.Errorf("%s, a wrong password for %q: %v", name, password, err)
			}
		}
	}
	raw := must[[]byte](t)(pkcs12.Passwordless.Encode(key, cert, nil, ""))
	if got, err := NewWork(0).Open(raw, ""); err != nil || !key.Equal(got.Key) {
		t.Errorf("without a password: %v", err)
	}
}

// keysOfOpenSSL are one sort of key each, closed with the password "grüße 7" by
// openssl pkcs8 -topk8.
var keysOfOpenSSL = map[string]string{
	"-v2 aes-256-cbc": `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhlKnfUbfO6OAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEJNzbKPuBeynESva2QL85tMEQN3N
fAV3GJKmYy4+MbwchuR/HAbN1Ifw/GAahZ3uYDmVitKmj/ux4NswJeKaAoxg5za5
C1zCf38DV/NCSAxKUD4=
-----END ENCRYPTED PRIVATE KEY-----`,
	"-v2 des3 -v2prf hmacWithSHA1": `-----BEGIN ENCRYPTED PRIVATE KEY-----
MHwwQAYJKoZIhvcNAQUNMDMwGwYJKoZIhvcNAQUMMA4ECHMswnKB1yitAgIIADAU
BggqhkiG9w0DBwQIpjEEyqhs+2oEOGx7W1P9c8um53tDmY2VV3HJAwhKroROmhoe
l3x9pr8J/yh+/B8QP6y7aCjE071B2qWo8pGhHRIL
-----END ENCRYPTED PRIVATE KEY-----`,
	"-v1 PBE-SHA1-3DES": `-----BEGIN ENCRYPTED PRIVATE KEY-----
MFgwHAYKKoZIhvcNAQwBAzAOBAiqmCAfZHj0WwICCAAEOJklm22OQrn+JxrUwEN0
UbOzAOX4s1IEctf4jYp6jOGjCmahw4StllG3Ukqj4zFEfmPes3k4b0Oe
-----END ENCRYPTED PRIVATE KEY-----`,
}

func TestAKeyOfOpenSSLOpensWithItsPassword(t *testing.T) {
	for how, text := range keysOfOpenSSL {
		block, _ := pem.Decode([]byte(text))
		if _, err := NewWork(1e6).OpenKey(block.Bytes, "grüße 7"); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		if _, err := NewWork(1e6).OpenKey(block.Bytes, "wrong"); !errors.Is(err, ErrPassword) {
			t.Errorf("%s, a wrong password: %v", how, err)
		}
	}
}

// closed encrypts with AES, and says that the key was hashed for some rounds.
func closed(t testing.TB, text []byte, rounds int) encryptedKey {
	t.Helper()
	salt, iv := []byte("saltsalt"), make([]byte, 16)
	key := must[[]byte](t)(pbkdf2.Key(sha256.New, "", salt, 1, 32))
	n := 16 - len(text)%16
	for range n {
		text = append(text, byte(n))
	}
	cipher.NewCBCEncrypter(must[cipher.Block](t)(aes.NewCipher(key)), iv).CryptBlocks(text, text)
	raw := func(v any) asn1.RawValue { return asn1.RawValue{FullBytes: marshal(t, v)} }
	kdf := pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: raw(struct {
		Salt   []byte
		Rounds int
		PRF    pkix.AlgorithmIdentifier
	}{salt, rounds, pkix.AlgorithmIdentifier{Algorithm: sums[1].mac}})}
	scheme := pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC, Parameters: raw(iv)}
	return encryptedKey{pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: raw(struct{ KDF, Scheme pkix.AlgorithmIdentifier }{kdf, scheme})}, text}
}

func marshal(t testing.TB, v any) []byte { return must[[]byte](t)(asn1.Marshal(v)) }

// tagged is a value with the tag 0 around it.
func tagged(t testing.TB, v any) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: marshal(t, v)}
}

type bag struct {
	ID    asn1.ObjectIdentifier
	Value asn1.RawValue
}

type content struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue
}

// file is a PFX of parts, without a MAC.
func file(t testing.TB, parts ...content) []byte {
	return marshal(t, struct {
		Version int
		Safe    content
	}{3, content{oidData, tagged(t, marshal(t, parts))}})
}

// encryptedPart is a part of bags.
func encryptedPart(t testing.TB, rounds int, bags ...bag) content {
	c := closed(t, marshal(t, bags), rounds)
	type inner struct {
		Type      asn1.ObjectIdentifier
		Algorithm pkix.AlgorithmIdentifier
		Data      asn1.RawValue
	}
	return content{oidEncryptedData, tagged(t, struct {
		Version int
		Content inner
	}{0, inner{oidData, c.Algorithm, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: c.Data}}})}
}

const forEver = 1 << 40

func TestAFileThatAsksForEndlessWorkIsRefusedAtOnce(t *testing.T) {
	key, _ := pair(t)
	der := must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key))
	cases := map[string][]byte{
		"the outer layer":                file(t, encryptedPart(t, forEver)),
		"a key in the open part":         file(t, content{oidData, tagged(t, marshal(t, []bag{{oidClosedKeyBag, tagged(t, closed(t, der, forEver))}}))}),
		"a key within what is encrypted": file(t, encryptedPart(t, 1, bag{oidClosedKeyBag, tagged(t, closed(t, der, forEver))})),
		"the MAC": marshal(t, struct {
			Version int
			Safe    content
			Mac     macData
		}{3, content{oidData, tagged(t, marshal(t, []content{}))}, func() (m macData) {
			m.Mac.Algorithm.Algorithm, m.Mac.Digest, m.Salt, m.Rounds = sums[0].plain, make([]byte, 20), []byte("salt"), forEver
			return m
		}()}),
	}
	began := time.Now()
	for name, raw := range cases {
		if _, err := NewWork(1e9).Open(raw, ""); !errors.Is(err, ErrWork) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewWork(1e9).OpenKey(marshal(t, closed(t, der, forEver)), ""); !errors.Is(err, ErrWork) {
		t.Errorf("a key: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestManyPasswordsCostNoMoreThanWasAllowed(t *testing.T) {
	key, cert := pair(t)
	raw := must[[]byte](t)(pkcs12.Modern2023.Encode(key, cert, nil, "secret"))
	w := NewWork(10_000)
	for range 100 {
		if _, err := w.Open(raw, "wrong"); errors.Is(err, ErrWork) {
			return
		}
	}
	t.Error("a hundred passwords of 2,048 rounds were tried with 10,000 rounds")
}

// FuzzOpen: whatever the file says, opening it ends soon.
func FuzzOpen(f *testing.F) {
	key, cert := pair(f)
	der := must[[]byte](f)(x509.MarshalPKCS8PrivateKey(key))
	for _, encoder := range []*pkcs12.Encoder{pkcs12.LegacyRC2, pkcs12.LegacyDES, pkcs12.Modern2023, pkcs12.Modern2026, pkcs12.Passwordless} {
		if encoder != pkcs12.Passwordless {
			encoder = encoder.WithIterations(1) // so that many files are opened in a second
		}
		f.Add(must[[]byte](f)(encoder.Encode(key, cert, nil, "")))
	}
	f.Add(file(f, encryptedPart(f, 1, bag{oidClosedKeyBag, tagged(f, closed(f, der, 1))})))
	f.Add(marshal(f, closed(f, der, 1)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got, err := NewWork(200).Open(raw, ""); err == nil && (got.Key == nil || len(got.Certificates) == 0) {
			t.Error("opened, and nothing is there")
		}
		if key, err := NewWork(200).OpenKey(raw, ""); err == nil && key == nil {
			t.Error("opened, and no key is there")
		}
	})
}
