package convert

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ss-setup/migrate/pfx"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// Certificate is one for TLS.
type Certificate struct {
	ID, Name string
	// Cert is PEM, DER in base64, or a PFX in base64; Key and Chain are PEM.
	Cert, Key, Chain string
	Password         Secret
}

// Certificate takes over a certificate of the site.
func (s *Site) Certificate(old Certificate) error {
	item, ok := s.item(report.Certificate, old.label())
	if !ok {
		return nil
	}
	return s.c.certificate(item, s.Name, old)
}

// Certificate takes over a certificate of the whole server.
func (c *Conversion) Certificate(old Certificate) error {
	return c.certificate(c.report.Item(report.Certificate, "", old.label()), "", old)
}

func (old Certificate) label() string {
	if old.Name != "" {
		return old.Name
	}
	return old.ID
}

func (c *Conversion) certificate(item *report.Item, site string, old Certificate) error {
	defer item.Done()
	if c.certificates++; c.certificates > maxCertificates {
		return tooMany(maxCertificates, "certificates")
	}
	x, err := c.pemCertificate(item, old)
	if err != nil {
		item.Drop(report.Certificates, err.Error(), "give it anew as PEM")
		return nil
	}
	x.Site, x.Name = site, c.unique(item, model.KindCertificate, site, old.label())
	if x.NotAfter.Before(c.opt.Time()) {
		item.Warn(report.Certificates, "it ended on "+x.NotAfter.UTC().Format("2006-01-02"), "renew it")
	}
	return c.give(item, x, nil)
}

// passwords are those to try: the certificate's own, those that were given, none.
func (c *Conversion) passwords(own Secret) []string {
	out := slices.Clone(c.opt.Passwords)
	if own.Text != "" && !own.Sealed {
		out = slices.Insert(out, 0, own.Text)
	}
	return append(out, "")
}

func (c *Conversion) pemCertificate(item *report.Item, old Certificate) (*model.Certificate, error) {
	certs, key, err := pemParts(old)
	if err == nil && len(certs) == 0 {
		certs, key, err = c.binaryParts(item, old, key)
	}
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, errors.New("its private key is missing")
	}
	private, err := c.privateKey(key, old.Password)
	if err != nil {
		return nil, err
	}
	return modelCertificate(certs, private)
}

// pemParts are the certificates and the key of PEM texts.
func pemParts(old Certificate) (certs []*x509.Certificate, key *pem.Block, err error) {
	for _, text := range []string{old.Cert, old.Chain, old.Key} {
		rest := []byte(strings.ReplaceAll(text, "\r\n", "\n"))
		for len(certs) < 32 {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			switch {
			case block.Type == "CERTIFICATE":
				cert, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					return nil, nil, errors.New("it cannot be read")
				}
				if !slices.ContainsFunc(certs, cert.Equal) {
					certs = append(certs, cert)
				}
			case strings.HasSuffix(block.Type, "PRIVATE KEY") && key == nil:
				key = block
			}
		}
	}
	return certs, key, nil
}

// binaryParts reads what is no PEM: a PFX, or DER beside a key.
func (c *Conversion) binaryParts(item *report.Item, old Certificate, key *pem.Block) ([]*x509.Certificate, *pem.Block, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(old.Cert), ""))
	if err != nil || len(raw) == 0 {
		return nil, nil, errors.New("it is neither PEM nor PFX")
	}
	if cert, err := x509.ParseCertificate(raw); err == nil {
		item.Change(report.Certificates, "it is PEM now", "")
		return []*x509.Certificate{cert}, key, nil
	}
	for _, password := range c.passwords(old.Password) {
		got, err := c.work.Open(raw, password)
		if errors.Is(err, pfx.ErrPassword) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("it is a PFX file that cannot be opened: %w", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(got.Key)
		if err != nil {
			return nil, nil, errors.New("the private key in the PFX is of an unknown kind")
		}
		item.Change(report.Certificates, "the PFX was converted to PEM", "")
		return got.Certificates, &pem.Block{Type: "PRIVATE KEY", Bytes: der}, nil
	}
	return nil, nil, errors.New("it is a PFX, and none of the passwords opens it")
}

var errNotOpened = errors.New("its private key is encrypted, and none of the passwords opens it")

// privateKey opens a key.
func (c *Conversion) privateKey(block *pem.Block, own Secret) (crypto.Signer, error) {
	open := func(string) (crypto.Signer, error) { return pfx.ParseKey(block.Bytes) }
	//lint:ignore SA1019 old products wrote keys in this way
	old := x509.IsEncryptedPEMBlock(block)
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY":
		open = func(password string) (crypto.Signer, error) { return c.work.OpenKey(block.Bytes, password) }
	case old:
		open = func(password string) (crypto.Signer, error) {
			//lint:ignore SA1019 as above
			plain, err := x509.DecryptPEMBlock(block, []byte(password))
			if err != nil {
				return nil, pfx.ErrPassword
			}
			key, err := pfx.ParseKey(plain)
			if err != nil {
				return nil, pfx.ErrPassword // of wrong ones one in 256 gives something
			}
			return key, nil
		}
	}
	for _, password := range c.passwords(own) {
		if key, err := open(password); !errors.Is(err, pfx.ErrPassword) {
			return key, privateKeyError(err)
		}
	}
	return nil, errNotOpened
}

func privateKeyError(err error) error {
	if errors.Is(err, pfx.ErrWork) {
		return fmt.Errorf("its private key: %w", err)
	}
	if err != nil {
		return errors.New("its private key cannot be read")
	}
	return nil
}

func modelCertificate(certs []*x509.Certificate, private crypto.Signer) (*model.Certificate, error) {
	public, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool })
	at := slices.IndexFunc(certs, func(x *x509.Certificate) bool { return ok && public.Equal(x.PublicKey) })
	if at < 0 {
		return nil, errors.New("its private key belongs to another certificate")
	}
	certs[0], certs[at] = certs[at], certs[0]
	var chain bytes.Buffer
	for _, x := range certs {
		_ = pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: x.Raw}) // to memory
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("its private key cannot be written: %w", err)
	}
	leaf := certs[0]
	sum := sha256.Sum256(leaf.Raw)
	return &model.Certificate{
		Type: model.CertPEM, Chain: chain.String(), Private: model.Secret{Clear: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))},
		NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(), Fingerprint: hex.EncodeToString(sum[:]),
	}, nil
}
