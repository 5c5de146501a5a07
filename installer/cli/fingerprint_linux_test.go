package cli

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ss-setup/installer/machine"
	"ss-setup/installer/step"
	"ss-setup/runtime/tlscert"
)

func TestACertificateThatIsAPipeHoldsNobodyUp(t *testing.T) {
	files := &machine.FS{Root: t.TempDir()}
	cert := files.Real(machine.ServerData(1) + "/tls/cert.pem")
	if err := os.MkdirAll(filepath.Dir(cert), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(cert, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &session{m: &step.Machine{FS: files}}
	if got := s.fingerprint(t.Context(), "127.0.0.1:1", 1); got != "" {
		t.Errorf("the fingerprint of a pipe is %s", got)
	}
}

// TestTheFingerprintIsOfTheCertificateThatUsersSee: it may be another than the server's own;
// what a stranger shows counts for nothing.
func TestTheFingerprintIsOfTheCertificateThatUsersSee(t *testing.T) {
	t.Parallel()
	files := &machine.FS{Root: t.TempDir()}
	dir := files.Real(machine.ServerData(1))
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(dir, 0o700))
	other, err := tlscert.Ensure(t.TempDir(), []string{"files.example.com"}, time.Now())
	check(err)
	keeper, err := tlscert.Open(tlscert.Options{
		Dir: filepath.Join(dir, "tls"), Source: tlscert.Source{Fixed: &other}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	check(err)
	defer keeper.Close()
	serve := func(c *tls.Config) net.Listener {
		l, err := tls.Listen("tcp", "127.0.0.1:0", c)
		check(err)
		server := &http.Server{Handler: http.NotFoundHandler()}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
		return l
	}
	s := &session{m: &step.Machine{FS: files}}
	l := serve(keeper.TLS())
	if got := s.fingerprint(t.Context(), l.Addr().String(), 1); got != other.Fingerprint {
		t.Errorf("%s, users see %s", got, other.Fingerprint)
	}
	stranger := serve(&tls.Config{Certificates: []tls.Certificate{other.TLS}})
	own, err := tlscert.Ensure(filepath.Join(dir, "tls"), nil, time.Now())
	check(err)
	if got := s.fingerprint(t.Context(), stranger.Addr().String(), 1); got != own.Fingerprint {
		t.Errorf("%s, though a stranger listens", got)
	}
}
