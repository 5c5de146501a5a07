package tlscert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ss-setup/runtime/config"
)

// issued is a certificate of the test's own authority.
type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (i issued) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

func (i issued) keyPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// issue makes a certificate, signed by by or, if that is nil, by itself.
func issue(t testing.TB, by *issued, change func(*x509.Certificate)) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, by, key, change)
}

func issueFor(t testing.TB, by *issued, key crypto.Signer, change func(*x509.Certificate)) issued {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: day.AddDate(0, -1, 0), NotAfter: day.AddDate(1, 0, 0),
		BasicConstraintsValid: true,
	}
	change(template)
	signer, parent := crypto.Signer(key), template
	if by != nil {
		signer, parent = by.key, by.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return issued{cert, key}
}

func authorityNamed(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
	}
}

func leafFor(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: names[0]}
		c.DNSNames = names
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
}

// fixture is a chain of three and a place for its files.
type chainFixture struct {
	root, middle, leaf issued
	files              Files
}

func newChain(t testing.TB) *chainFixture {
	t.Helper()
	c := &chainFixture{files: Files{Cert: filepath.Join(t.TempDir(), "server.pem")}}
	c.files.Key = filepath.Join(filepath.Dir(c.files.Cert), "server.key")
	c.root = issue(t, nil, authorityNamed("root"))
	c.middle = issue(t, &c.root, authorityNamed("middle"))
	c.leaf = issue(t, &c.middle, leafFor("files.example.org", "sftp.example.org"))
	return c
}

// put writes the files: those certificates in that order, and a key.
func (c *chainFixture) put(t testing.TB, key []byte, certs ...issued) {
	t.Helper()
	var text []byte
	for _, i := range certs {
		text = append(text, i.certPEM()...)
	}
	c.write(t, text, key)
}

func (c *chainFixture) write(t testing.TB, cert, key []byte) {
	t.Helper()
	for path, content := range map[string][]byte{c.files.Cert: cert, c.files.Key: key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesOfAnAdministratorAreLoaded(t *testing.T) {
	c := newChain(t)
	names := []string{"sftp.example.org", "files.example.org"}
	t.Run("with their chain", func(t *testing.T) {
		c.put(t, c.leaf.keyPEM(t), c.leaf, c.middle, c.root)
		pair, warnings, err := c.files.Load(names, day)
		if err != nil || len(warnings) != 0 || len(pair.TLS.Certificate) != 3 || pair.Fingerprint != Fingerprint(c.leaf.cert.Raw) {
			t.Errorf("%d certificates, %v, %v", len(pair.TLS.Certificate), warnings, err)
		}
	})
	t.Run("from one file that holds everything", func(t *testing.T) {
		both := append(c.leaf.keyPEM(t), append(c.leaf.certPEM(), c.middle.certPEM()...)...)
		c.write(t, both, nil)
		if _, _, err := (Files{c.files.Cert, c.files.Cert}).Load(names, day); err != nil {
			t.Error(err)
		}
	})
	t.Run("with a key in the older forms", func(t *testing.T) {
		ec, err := x509.MarshalECPrivateKey(c.leaf.key.(*ecdsa.PrivateKey))
		if err != nil {
			t.Fatal(err)
		}
		c.put(t, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ec}), c.leaf)
		if _, _, err := c.files.Load(names, day); err != nil {
			t.Error(err)
		}
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		leaf := issueFor(t, &c.middle, key, leafFor("files.example.org", "sftp.example.org"))
		c.put(t, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), leaf)
		if _, _, err := c.files.Load(names, day); err != nil {
			t.Error(err)
		}
	})
	t.Run("with a warning when they end soon or everybody can read the key", func(t *testing.T) {
		c.put(t, c.leaf.keyPEM(t), c.leaf, c.middle)
		if err := os.Chmod(c.files.Key, 0o644); err != nil {
			t.Fatal(err)
		}
		_, warnings, err := c.files.Load(names, c.leaf.cert.NotAfter.AddDate(0, 0, -20))
		if err != nil || len(warnings) != 3 || !strings.Contains(warnings[0], "ends on 2027-11-21") || !strings.Contains(warnings[2], "chmod o=") {
			t.Errorf("%q, %v", warnings, err)
		}
	})
}

func TestFilesThatCannotServeAreToldWithFileAndCure(t *testing.T) {
	c := newChain(t)
	key := c.leaf.keyPEM(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for want, put := range map[string]func(){
		"server.key does not belong to certificate": func() { c.put(t, c.middle.keyPEM(t), c.leaf) },
		"is number 2 in the file; it must come first": func() {
			c.put(t, key, c.middle, c.leaf)
		},
		"number 1 (CN=files.example.org) is not signed by number 2 (CN=root)": func() { c.put(t, key, c.leaf, c.root, c.middle) },
		"is not for files.example.org, only for other.example.org": func() {
			leaf := issueFor(t, &c.middle, c.leaf.key, leafFor("other.example.org"))
			c.put(t, key, leaf)
		},
		"is not for servers": func() {
			c.put(t, key, issueFor(t, &c.middle, c.leaf.key, func(x *x509.Certificate) {
				leafFor("files.example.org")(x)
				x.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			}))
		},
		"RSA key of 1024 bits": func() {
			leaf := issueFor(t, &c.middle, weak, leafFor("files.example.org"))
			c.put(t, leaf.keyPEM(t), leaf)
		},
		"server.pem: the file is empty":      func() { c.write(t, nil, key) },
		"openssl pkcs12 -in":                 func() { c.write(t, []byte{0x30, 0x82, 1, 2}, key) },
		"has no PEM block":                   func() { c.write(t, []byte("hello"), key) },
		"are certificate and key exchanged?": func() { c.write(t, key, c.leaf.certPEM()) },
		"holds no private key":               func() { c.write(t, c.leaf.certPEM(), c.leaf.certPEM()) },
		"has a passphrase, which nobody types at a start": func() {
			c.put(t, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), c.leaf)
		},
		"number 1 in the file is damaged":         func() { c.write(t, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), key) },
		"the key is damaged":                      func() { c.put(t, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), c.leaf) },
		"server.pem is larger than 1048576 bytes": func() { c.write(t, make([]byte, maxPEM+1), key) },
		"server.key is not there; put it there": func() {
			c.put(t, key, c.leaf)
			if err := os.Remove(c.files.Key); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(want, func(t *testing.T) {
			put()
			_, _, err := c.files.Load([]string{"files.example.org"}, day)
			if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrExpired) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("out of their time", func(t *testing.T) {
		c.put(t, key, c.leaf, c.middle)
		for now, want := range map[time.Time]string{
			day.AddDate(2, 0, 0):  "it ended on 2027-11-21T12:00:00Z; renew it",
			day.AddDate(-1, 0, 0): "is the clock of this machine right?",
		} {
			if pair, _, err := c.files.Load(nil, now); !errors.Is(err, ErrExpired) || !strings.Contains(err.Error(), want) || pair.TLS.Leaf == nil {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestKeeper(t *testing.T) {
	open := func(t *testing.T, c *chainFixture) *Keeper {
		t.Helper()
		dir := t.TempDir()
		k, err := Open(Options{Dir: filepath.Join(dir, "tls"), Source: Source{Files: &c.files}, Now: func() time.Time { return day }, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		return k
	}
	t.Run("exchanges the certificate under its clients", func(t *testing.T) {
		c := newChain(t)
		c.put(t, c.leaf.keyPEM(t), c.leaf, c.middle)
		k := open(t, c)
		l, err := tls.Listen("tcp", "127.0.0.1:0", k.TLS())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go answer(l)
		before := dial(t, l)
		second := issue(t, &c.middle, leafFor("files.example.org"))
		c.put(t, second.keyPEM(t), second, c.middle)
		if err := k.Reload(); err != nil {
			t.Fatal(err)
		}
		after := dial(t, l)
		if got := seen(after); got != Fingerprint(second.cert.Raw) {
			t.Error("a new client sees the old certificate")
		}
		if got := seen(before); got != Fingerprint(c.leaf.cert.Raw) {
			t.Error("a connected client sees the new certificate")
		}
		if _, err := before.Write([]byte("x")); err != nil {
			t.Errorf("the connection of before was cut: %v", err)
		}
		if got := seen(dialFor(t, l, config.OwnCertificate)); got != k.own.Fingerprint {
			t.Error("who asks for the server's own certificate sees another")
		}
	})
	t.Run("keeps what works when the new files do not", func(t *testing.T) {
		c := newChain(t)
		c.put(t, c.leaf.keyPEM(t), c.leaf)
		k := open(t, c)
		c.put(t, c.middle.keyPEM(t), c.leaf)
		if err := k.Reload(); err == nil || k.Pair().Fingerprint != Fingerprint(c.leaf.cert.Raw) {
			t.Errorf("%v, now serves %s", err, k.Pair().TLS.Leaf.Subject)
		}
		old := issueFor(t, &c.middle, c.leaf.key, func(x *x509.Certificate) {
			leafFor("files.example.org")(x)
			x.NotAfter = day.AddDate(0, 0, -1)
		})
		c.put(t, c.leaf.keyPEM(t), old)
		if err := k.Reload(); !errors.Is(err, ErrExpired) || k.Pair().Fingerprint != Fingerprint(c.leaf.cert.Raw) {
			t.Errorf("an expired one: %v", err)
		}
	})
	t.Run("serves at the start although the files cannot be used", func(t *testing.T) {
		c := newChain(t)
		k := open(t, c)
		if !k.SelfSigned() {
			t.Error("serves something out of nothing")
		}
		c.put(t, c.leaf.keyPEM(t), c.leaf)
		if err := k.Reload(); err != nil || k.SelfSigned() {
			t.Errorf("after the cure: %v", err)
		}
	})
	t.Run("shows an expired certificate rather than a stranger", func(t *testing.T) {
		c := newChain(t)
		old := issue(t, &c.middle, func(x *x509.Certificate) {
			leafFor("files.example.org")(x)
			x.NotAfter = day.AddDate(0, 0, -1)
		})
		c.put(t, old.keyPEM(t), old)
		if k := open(t, c); k.Pair().Fingerprint != Fingerprint(old.cert.Raw) {
			t.Error("the expired one is not shown")
		}
	})
	t.Run("takes it from another source while it serves", func(t *testing.T) {
		c := newChain(t)
		c.put(t, c.leaf.keyPEM(t), c.leaf)
		k := open(t, c)
		if err := k.Use(Source{}); err != nil || !k.SelfSigned() {
			t.Errorf("its own: %v", err)
		}
		fixed := pairOf([]*x509.Certificate{c.leaf.cert}, c.leaf.key)
		if err := k.Use(Source{Fixed: &fixed}); err != nil || k.Pair().Fingerprint != fixed.Fingerprint {
			t.Errorf("a fixed one: %v", err)
		}
		if err := k.Use(Source{Files: &Files{"gone", "gone"}}); err == nil || k.Pair().Fingerprint != fixed.Fingerprint {
			t.Errorf("files that are not there: %v", err)
		}
	})
	t.Run("finds new files by itself within a minute", func(t *testing.T) {
		c := newChain(t)
		c.put(t, c.leaf.keyPEM(t), c.leaf)
		synctest.Test(t, func(t *testing.T) {
			k, err := Open(Options{Dir: filepath.Join(t.TempDir(), "tls"), Source: Source{Files: &c.files}, Now: func() time.Time { return day }, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			second := issue(t, &c.middle, leafFor("files.example.org"))
			c.put(t, second.keyPEM(t), second, c.middle)
			time.Sleep(watchEvery)
			synctest.Wait()
			if k.Pair().Fingerprint != Fingerprint(second.cert.Raw) {
				t.Error("still serves the old one")
			}
		})
	})
}

func answer(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() { _ = conn.(*tls.Conn).Handshake() }()
	}
}

func dial(t *testing.T, l net.Listener) *tls.Conn {
	t.Helper()
	return dialFor(t, l, "")
}

func dialFor(t *testing.T, l net.Listener, name string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, ServerName: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func seen(conn *tls.Conn) string { return Fingerprint(conn.ConnectionState().PeerCertificates[0].Raw) }

func FuzzFiles(f *testing.F) {
	c := newChain(f)
	key := c.leaf.keyPEM(f)
	f.Add(append(c.leaf.certPEM(), c.middle.certPEM()...), key)
	f.Add(key, c.leaf.certPEM())
	f.Add([]byte{0x30}, []byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		pair, _, err := check(cert, key, Files{"c", "k"}, []string{"files.example.org"}, day)
		if err != nil {
			return
		}
		if _, err := Parse(cert, key); err != nil && len(pair.TLS.Certificate) == 0 {
			t.Errorf("taken here, refused there: %v", err)
		}
	})
}
