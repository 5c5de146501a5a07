package cli

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ss-setup/installer/machine"
	"ss-setup/installer/step"
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
	if got := s.fingerprint(1); got != "" {
		t.Errorf("the fingerprint of a pipe is %s", got)
	}
}
