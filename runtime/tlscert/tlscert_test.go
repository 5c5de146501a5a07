package tlscert

import (
	"bytes"
	"crypto/ecdsa"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var day = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestEnsure(t *testing.T) {
	names := []string{"localhost", "127.0.0.1", "::1", "files.example.org", "10.1.2.3"}
	t.Run("makes a pair that a browser accepts for every name", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "tls")
		pair, err := Ensure(dir, names, day)
		if err != nil || !pair.Made {
			t.Fatal(pair.Made, err)
		}
		leaf := pair.TLS.Leaf
		for _, name := range names {
			if err := leaf.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
		if leaf.Subject.CommonName != "files.example.org" {
			t.Errorf("common name %q", leaf.Subject.CommonName)
		}
		if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Params().Name != "P-256" {
			t.Errorf("key %T, want ECDSA P-256", leaf.PublicKey)
		}
		if years := leaf.NotAfter.Sub(day).Hours() / 24 / 365; years != 10 {
			t.Errorf("valid for %v years", years)
		}
		if len(pair.Fingerprint) != 95 || strings.Count(pair.Fingerprint, ":") != 31 || pair.Fingerprint != strings.ToUpper(pair.Fingerprint) {
			t.Errorf("fingerprint %q", pair.Fingerprint)
		}
		for name, want := range map[string]os.FileMode{"": 0o700, "cert.pem": 0o600, "key.pem": 0o600} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
				t.Errorf("%q: %v, %v; want %v", name, info.Mode().Perm(), err, want)
			}
		}
	})
	t.Run("keeps the pair it finds", func(t *testing.T) {
		dir := t.TempDir()
		first, err := Ensure(dir, names, day)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Ensure(dir, []string{"other"}, day.AddDate(20, 0, 0))
		if err != nil || second.Made || second.Fingerprint != first.Fingerprint {
			t.Errorf("%+v, %v; want the pair of before", second, err)
		}
	})
	t.Run("finishes a start that was cut after the key", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := Ensure(dir, names, day); err != nil {
			t.Fatal(err)
		}
		key := read(t, dir, "key.pem")
		if err := os.Rename(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "cert.pem.new")); err != nil {
			t.Fatal(err)
		}
		pair, err := Ensure(dir, names, day)
		if err != nil || !pair.Made {
			t.Fatal(pair.Made, err)
		}
		if !bytes.Equal(key, read(t, dir, "key.pem")) {
			t.Error("the key changed")
		}
		if left, _ := os.ReadDir(dir); len(left) != 2 {
			t.Errorf("left %v", left)
		}
	})
	t.Run("never replaces a certificate whose key is gone", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := Ensure(dir, names, day); err != nil {
			t.Fatal(err)
		}
		cert := read(t, dir, "cert.pem")
		if err := os.Remove(filepath.Join(dir, "key.pem")); err != nil {
			t.Fatal(err)
		}
		if _, err := Ensure(dir, names, day); err == nil || !strings.Contains(err.Error(), "put key.pem back") {
			t.Errorf("got %v", err)
		}
		if !bytes.Equal(cert, read(t, dir, "cert.pem")) {
			t.Error("the certificate changed")
		}
	})
	t.Run("tells a damaged or foreign key with the cure", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := Ensure(dir, names, day); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"", "not PEM", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
			if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte(key), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Ensure(dir, names, day); err == nil || !strings.Contains(err.Error(), "remove both files to get a new one") {
				t.Errorf("key %q with its certificate: got %v", key, err)
			}
		}
		if err := os.Remove(filepath.Join(dir, "cert.pem")); err != nil {
			t.Fatal(err)
		}
		if _, err := Ensure(dir, names, day); err == nil || !strings.Contains(err.Error(), "to get a new pair") {
			t.Errorf("key alone: got %v", err)
		}
	})
	t.Run("does not make the data folder", func(t *testing.T) {
		if _, err := Ensure(filepath.Join(t.TempDir(), "gone", "tls"), names, day); err == nil {
			t.Error("no error")
		}
	})
	t.Run("leaves out names that no certificate can carry", func(t *testing.T) {
		pair, err := Ensure(t.TempDir(), []string{"localhost", "büro", "a b", strings.Repeat("x", 300)}, day)
		if err != nil || len(pair.TLS.Leaf.DNSNames) != 1 {
			t.Errorf("%v, %v", pair.TLS.Leaf.DNSNames, err)
		}
	})
}

func TestLocalNamesAlwaysHaveTheLoopback(t *testing.T) {
	if got := strings.Join(LocalNames()[:3], " "); got != "localhost 127.0.0.1 ::1" {
		t.Errorf("got %s", got)
	}
}

func FuzzParse(f *testing.F) {
	dir := f.TempDir()
	if _, err := Ensure(dir, []string{"localhost"}, day); err != nil {
		f.Fatal(err)
	}
	cert, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		f.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert, key)
	f.Add(key, cert)
	f.Add([]byte{}, []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		if pair, err := Parse(cert, key); err == nil && len(pair.Fingerprint) != 95 {
			t.Errorf("fingerprint %q", pair.Fingerprint)
		}
		// A key file that an admin put there is parsed before a certificate is made for it.
		if _, err := selfSign(key, []string{"localhost"}, day); err != nil {
			return
		}
	})
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestACertificateIsMadeForTheNamesThatAreAskedFor(t *testing.T) {
	cert, key, err := SelfSigned([]string{"files.example.com", "*.example.org", "192.0.2.7"}, day)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := Parse(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"files.example.com", "a.example.org", "192.0.2.7"} {
		if err := pair.TLS.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	cert, key, err = SelfSigned(nil, day)
	if err == nil {
		pair, err = Parse(cert, key)
	}
	if err != nil || pair.TLS.Leaf.VerifyHostname("localhost") != nil {
		t.Errorf("for no name: %v", err)
	}
}
