// Package pfx opens private keys that a password closes, and the certificates beside
// them: PFX files (PKCS #12, RFC 7292) and encrypted keys of PKCS #8.
//
// The files come from anywhere, and say themselves how much work it is to open them. So
// every round of hashing is counted, also of a key that lies encrypted in what is
// encrypted; a file that asks for too many is refused before it costs anything.
package pfx

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
)

// The ways in which nothing is opened. Test with errors.Is.
var (
	// ErrPassword: the password does not fit.
	ErrPassword = errors.New("the password does not fit")
	// ErrFormat: it is something else, or closed in a way that is not known here.
	ErrFormat = errors.New("it cannot be read")
	// ErrWork: it takes longer to open than anybody would wait.
	ErrWork = errors.New("it takes too long to open")
)

// Bounds of one file.
const (
	// MaxKey is the longest private key in bytes; one of RSA with 16384 bits has 9,400.
	// Reading one takes time that grows with its square.
	MaxKey = 16 << 10
	// MaxFile is the longest file in bytes.
	MaxFile = 1 << 20
	// maxCertificates is how many certificates of a file are read.
	maxCertificates = 32
)

// Contents is what a PFX has.
type Contents struct {
	Key          crypto.Signer
	Certificates []*x509.Certificate
}

type contentInfo struct {
	Type asn1.ObjectIdentifier
	// Content has its tag around it: Bytes is the value.
	Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
}

type macData struct {
	Mac struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	Salt   []byte
	Rounds int `asn1:"optional,default:1"`
}

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEncryptedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	oidKeyBag        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	oidClosedKeyBag  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}
	oidCertBag       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 3}
)

// Open opens a PFX.
func (w *Work) Open(raw []byte, password string) (Contents, error) {
	if len(raw) > MaxFile {
		return Contents{}, fmt.Errorf("%w: it has %d bytes", ErrFormat, len(raw))
	}
	var file struct {
		Version int
		Safe    contentInfo
		Mac     macData `asn1:"optional"`
	}
	if err := unmarshal(raw, &file); err != nil {
		return Contents{}, err
	}
	if file.Version != 3 || !file.Safe.Type.Equal(oidData) {
		return Contents{}, fmt.Errorf("%w: it is closed in another way than by a password", ErrFormat)
	}
	var safe []byte
	if err := unmarshal(file.Safe.Content.Bytes, &safe); err != nil {
		return Contents{}, err
	}
	p, err := w.phraseOf(file.Mac, safe, password)
	if err != nil {
		return Contents{}, err
	}
	o := opener{Work: w, phrase: p}
	if err := o.safe(safe); err != nil {
		return Contents{}, err
	}
	if o.Key == nil || len(o.Certificates) == 0 {
		return Contents{}, fmt.Errorf("%w: it has no private key, or no certificate", ErrFormat)
	}
	return o.Contents, nil
}

// phraseOf is the password in the form that the file was closed with.
func (w *Work) phraseOf(m macData, safe []byte, password string) (phrase, error) {
	p := newPhrase(password)
	if len(m.Mac.Algorithm.Algorithm) == 0 {
		return p, nil
	}
	ok, err := w.fits(m, safe, p)
	if err == nil && !ok && password == "" {
		p.bmp = nil
		ok, err = w.fits(m, safe, p)
	}
	if err == nil && !ok {
		err = ErrPassword
	}
	return p, err
}

// opener gathers what is in a file.
type opener struct {
	*Work
	phrase
	Contents
}

func (o *opener) safe(raw []byte) error {
	var parts []contentInfo
	if err := unmarshal(raw, &parts); err != nil {
		return err
	}
	for _, part := range parts {
		text, err := o.part(part)
		if err == nil {
			err = o.bags(text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *opener) part(part contentInfo) (text []byte, err error) {
	switch {
	case part.Type.Equal(oidData):
		err = unmarshal(part.Content.Bytes, &text)
		return text, err
	case part.Type.Equal(oidEncryptedData):
		var data struct {
			Version int
			Content struct {
				Type      asn1.ObjectIdentifier
				Algorithm pkix.AlgorithmIdentifier
				Data      []byte `asn1:"tag:0,optional"`
			}
		}
		if err := unmarshal(part.Content.Bytes, &data); err != nil {
			return nil, err
		}
		return o.decrypt(data.Content.Algorithm, data.Content.Data, o.phrase)
	}
	return nil, fmt.Errorf("%w: a part of it is closed in another way than by a password", ErrFormat)
}

func (o *opener) bags(raw []byte) error {
	var bags []struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue `asn1:"tag:0,explicit"`
		Attributes asn1.RawValue `asn1:"optional"`
	}
	if err := unmarshal(raw, &bags); err != nil {
		return err
	}
	for _, bag := range bags {
		var err error
		switch {
		case bag.ID.Equal(oidCertBag):
			err = o.certificate(bag.Value.Bytes)
		case bag.ID.Equal(oidKeyBag):
			err = o.take(bag.Value.Bytes)
		case bag.ID.Equal(oidClosedKeyBag):
			var der []byte
			if der, err = o.open(bag.Value.Bytes, o.phrase); err == nil {
				err = o.take(der)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *opener) certificate(raw []byte) error {
	var bag struct {
		ID   asn1.ObjectIdentifier
		Data []byte `asn1:"tag:0,explicit"`
	}
	if err := unmarshal(raw, &bag); err != nil {
		return err
	}
	if len(o.Certificates) == maxCertificates {
		return nil
	}
	x, err := x509.ParseCertificate(bag.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	o.Certificates = append(o.Certificates, x)
	return nil
}

func (o *opener) take(der []byte) error {
	if o.Key != nil {
		return fmt.Errorf("%w: it has more than one private key", ErrFormat)
	}
	key, err := ParseKey(der)
	o.Key = key
	return err
}

// OpenKey opens an encrypted key of PKCS #8.
func (w *Work) OpenKey(raw []byte, password string) (crypto.Signer, error) {
	der, err := w.open(raw, newPhrase(password))
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(der)
	if err != nil {
		// Of wrong passwords one in 256 opens something.
		return nil, fmt.Errorf("%w, or %w", ErrPassword, err)
	}
	return key, nil
}

func (w *Work) open(raw []byte, p phrase) ([]byte, error) {
	if len(raw) > MaxKey {
		return nil, fmt.Errorf("%w: its private key has %d bytes", ErrFormat, len(raw))
	}
	var closed encryptedKey
	if err := unmarshal(raw, &closed); err != nil {
		return nil, err
	}
	return w.decrypt(closed.Algorithm, closed.Data, p)
}

// ParseKey reads a private key of PKCS #8, PKCS #1 or SEC 1.
func ParseKey(der []byte) (crypto.Signer, error) {
	if len(der) > MaxKey {
		return nil, fmt.Errorf("%w: its private key has %d bytes", ErrFormat, len(der))
	}
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
		func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
	} {
		if key, err := parse(der); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				return signer, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: its private key is of an unknown kind", ErrFormat)
}
