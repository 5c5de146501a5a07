//go:build linux && lab

package clients

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sftpd/sftpdtest"
)

// server is a site with the user kim, password "secret", and what clients need of it.
type server struct {
	t          *testing.T
	host, port string
	home       string // what kim sees
	local      string // for the client's files
	key        string // file with kim's private key
	site       *sftpd.Site
}

func serve(t *testing.T, c sftpd.Config) *server {
	t.Helper()
	return serveOn(t, c, false)
}

func serveOn(t *testing.T, c sftpd.Config, encrypted bool) *server {
	t.Helper()
	s := &server{t: t, home: t.TempDir(), local: t.TempDir()}
	files, err := sftpdtest.NewTree(s.home, encrypted)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	public := s.makeKey()
	kim := &sftpdtest.User{Password: "secret", Keys: []ssh.PublicKey{public}, FS: files}
	var addr string
	s.site, addr = sftpdtest.Start(t, c, sftpd.Parts{Accounts: sftpdtest.NewAccounts(map[string]*sftpdtest.User{"kim": kim})})
	s.host, s.port, _ = net.SplitHostPort(addr)
	return s
}

func (s *server) makeKey() ssh.PublicKey {
	s.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "kim")
	if err != nil {
		s.t.Fatal(err)
	}
	s.key = filepath.Join(s.local, "key")
	if err := os.WriteFile(s.key, pem.EncodeToMemory(block), 0o600); err != nil {
		s.t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

// ssh are the options of OpenSSH's programs.
func (s *server) ssh() []string {
	return []string{
		"-F", "none", "-i", s.key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
	}
}

// run runs a client in the folder of its files and fails if it does.
func (s *server) run(input string, env []string, name string, args ...string) string {
	s.t.Helper()
	out, err := s.try(input, env, name, args...)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (s *server) try(input string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Dir = s.local
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(os.Environ(), append([]string{"HOME=" + s.local, "LC_ALL=C"}, env...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// random makes a file of the client's with size bytes.
func (s *server) random(name string, size int) []byte {
	s.t.Helper()
	data := make([]byte, size)
	_, _ = rand.Read(data)
	s.write(filepath.Join(s.local, name), data)
	return data
}

func (s *server) write(name string, data []byte) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// has wants a file to hold data.
func (s *server) has(name string, data []byte) {
	s.t.Helper()
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, data) {
		s.t.Errorf("%s has %d bytes that are not the %d sent (%v)", filepath.Base(name), len(got), len(data), err)
	}
}

func (s *server) remote(name string) string { return filepath.Join(s.home, name) }
func (s *server) mine(name string) string   { return filepath.Join(s.local, name) }

func (s *server) url(name string) string {
	return fmt.Sprintf("sftp://%s:%s/%s", s.host, s.port, name)
}
