package release

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Authenticode signs Windows programs with osslsigncode.
type Authenticode struct {
	// Cert and Key are files in PEM.
	Cert, Key string
	// CA, when set, is what the signature must lead to; else the certificate itself.
	CA string
	// TimestampURL, when set, is a server whose word makes a signature outlive the
	// certificate.
	TimestampURL string
}

// ErrNoSigner is found in the error where osslsigncode is missing.
var ErrNoSigner = errors.New("osslsigncode is not installed; run: apt-get install osslsigncode")

// SignerInstalled is ErrNoSigner where osslsigncode is missing.
func SignerInstalled() error {
	if _, err := exec.LookPath("osslsigncode"); err != nil {
		return ErrNoSigner
	}
	return nil
}

// Sign signs a program in its place and verifies it afterwards.
func (a Authenticode) Sign(ctx context.Context, file string) error {
	tool, err := exec.LookPath("osslsigncode")
	if err != nil {
		return ErrNoSigner
	}
	part := file + ".signed"
	defer os.Remove(part)
	if err := os.Remove(part); err != nil && !os.IsNotExist(err) {
		return err
	}
	args := []string{"sign", "-h", "sha256", "-certs", a.Cert, "-key", a.Key, "-n", "SS Server"}
	when, err := SourceDate()
	if err != nil {
		return err
	}
	switch {
	case a.TimestampURL != "":
		args = append(args, "-ts", a.TimestampURL)
	case !when.IsZero():
		// The same program, key and time give the same signature.
		args = append(args, "-time", strconv.FormatInt(when.Unix(), 10))
	}
	if err := run(ctx, tool, append(args, "-in", file, "-out", part)...); err != nil {
		return fmt.Errorf("sign %s: %w", file, err)
	}
	if err := a.verify(ctx, tool, part); err != nil {
		return err
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return err
	}
	return os.Rename(part, file)
}

// Verify holds a program to the certificate that it must be signed with.
func (a Authenticode) Verify(ctx context.Context, file string) error {
	tool, err := exec.LookPath("osslsigncode")
	if err != nil {
		return ErrNoSigner
	}
	return a.verify(ctx, tool, file)
}

func (a Authenticode) verify(ctx context.Context, tool, file string) error {
	ca := a.CA
	if ca == "" {
		ca = a.Cert
	}
	args := []string{"verify", "-CAfile", ca}
	if a.TimestampURL == "" {
		args = append(args, "-ignore-timestamp")
	}
	if err := run(ctx, tool, append(args, "-in", file)...); err != nil {
		return fmt.Errorf("verify the signature of %s: %w", file, err)
	}
	return nil
}

func run(ctx context.Context, tool string, args ...string) error {
	out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(tool), err, bytes.TrimSpace(out))
	}
	return nil
}

// DevelopmentCertificate makes a certificate that nobody trusts, for builds that
// nobody ships, unless there is one. It returns the files of certificate and key.
func DevelopmentCertificate(dir string, now time.Time) (cert, key string, err error) {
	cert, key = filepath.Join(dir, "authenticode.pem"), filepath.Join(dir, "authenticode.key")
	if _, err := os.Stat(cert); err == nil {
		return cert, key, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	private, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "SS Server development, not to be trusted"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	// The key first: a certificate without one would be taken for whole.
	err = os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
	if err == nil {
		err = os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	}
	return cert, key, err
}
