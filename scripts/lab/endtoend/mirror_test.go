//go:build linux && lab

package endtoend

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ss-setup/packaging/release"
	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
)

// mirror is a web server on the machines' network, and a proxy for hosts that only it
// knows.
type mirror struct {
	url   string
	files string // folder
	ca    []byte // certificate, as PEM, of hosts that are asked over https through the proxy
	tls   *tls.Config

	mu       sync.Mutex
	requests []request
	wrong    wrong
}

// request is one that a mirror got.
type request struct {
	what  string // "/path", "/path from 512", "http://host/path" when asked as a proxy
	agent string // the program that asked
}

// wrong is what a mirror does wrong.
type wrong struct {
	of        string // the files whose paths end so; "": packages
	cutAfter  int64  // bytes of a body, after which the connection breaks; 0: never
	holdAfter int64  // bytes of a body, after which nothing comes any more; 0: never
	noRange   bool   // always send everything
	damage    bool   // one byte is another
	endless   bool   // it never ends
	drip      bool   // a byte comes now and then, for ever
	silent    bool   // say nothing at all
	redirect  string // address that who asks over TLS is sent to
}

func newMirror(t *testing.T) *mirror {
	t.Helper()
	l := lab.Listen(t)
	m := &mirror{url: "http://" + l.Addr().String(), files: t.TempDir()}
	m.makeCertificate(t)
	server := &http.Server{Handler: m}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return m
}

func (m *mirror) makeCertificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, DNSNames: []string{"downloads.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	m.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	m.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}
}

// tunnel is the proxy's way to an https host, which is this very server.
func (m *mirror) tunnel(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n") // who went away is found out next
	_ = http.Serve(&single{tls.Server(conn, m.tls)}, m)
}

// single listens for the one connection that there is already.
type single struct{ net.Conn }

func (s *single) Accept() (net.Conn, error) {
	conn := s.Conn
	if conn == nil {
		return nil, io.EOF
	}
	s.Conn = nil
	return conn, nil
}

func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return &net.TCPAddr{} }

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.String()
	if r.Method == http.MethodConnect {
		asked = "CONNECT " + r.Host
	}
	if from := r.Header.Get("Range"); from != "" {
		asked += " from " + strings.TrimSuffix(strings.TrimPrefix(from, "bytes="), "-")
	}
	m.mu.Lock()
	m.requests = append(m.requests, request{asked, r.UserAgent()})
	wrong := m.wrong
	m.mu.Unlock()
	if r.Method == http.MethodConnect {
		m.tunnel(w)
		return
	}
	// Hosts that only the proxy knows have all of this in a folder.
	path := filepath.Clean("/" + strings.TrimPrefix(r.URL.Path, "/ss/"))
	content, err := os.ReadFile(filepath.Join(m.files, path))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if wrong.concerns(path) {
		if w, content = wrong.spoil(w, r, content); content == nil {
			return
		}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func (x wrong) concerns(path string) bool {
	if x.of == "" {
		return strings.HasPrefix(filepath.Base(path), "ss-server-")
	}
	return strings.HasSuffix(path, x.of)
}

// spoil changes an answer, or gives it itself and returns no content.
func (x wrong) spoil(w http.ResponseWriter, r *http.Request, content []byte) (http.ResponseWriter, []byte) {
	switch {
	case x.redirect != "" && r.TLS != nil:
		http.Redirect(w, r, x.redirect+r.URL.Path, http.StatusFound)
		return w, nil
	case x.silent:
		<-r.Context().Done()
		return w, nil
	case x.drip:
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
		}
		return w, nil
	case x.endless:
		for {
			if _, err := w.Write(content); err != nil {
				return w, nil
			}
		}
	case x.damage:
		content = slices.Clone(content)
		content[len(content)/2] ^= 1
	}
	if x.noRange {
		r.Header.Del("Range")
		w.Header().Set("Accept-Ranges", "none")
	}
	switch {
	case x.cutAfter > 0:
		w = &shortWriter{w, x.cutAfter, func() {}}
	case x.holdAfter > 0:
		w = &shortWriter{w, x.holdAfter, func() { <-r.Context().Done() }}
	}
	return w, content
}

// shortWriter breaks the connection after a number of bytes, when it has waited.
type shortWriter struct {
	http.ResponseWriter
	left int64
	wait func()
}

func (c *shortWriter) Write(p []byte) (int, error) {
	if int64(len(p)) < c.left {
		c.left -= int64(len(p))
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	c.wait()
	panic(http.ErrAbortHandler)
}

// does sets what goes wrong from now on.
func (m *mirror) does(w wrong) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrong = w
}

// asked are the requests since the last call.
func (m *mirror) asked() []string {
	var asked []string
	for _, r := range m.log() {
		asked = append(asked, r.what)
	}
	return asked
}

// log is asked with who asked.
func (m *mirror) log() []request {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := m.requests
	m.requests = nil
	return asked
}

// publish puts packages and scripts of a version on the mirror, as the operator of one
// does; files writes what the Linux packages hold. bases are what the scripts ask: the
// mirror itself when there are none.
func (m *mirror) publish(t *testing.T, version string, files func(dir string) error, bases ...string) {
	t.Helper()
	if len(bases) == 0 {
		bases = []string{m.url}
	}
	targets := []string{"linux/amd64", "linux/arm64"}
	for _, target := range targets {
		name := release.ArchiveName(version, target)
		dir := filepath.Join(t.TempDir(), strings.TrimSuffix(name, ".tar.gz"))
		if err := files(dir); err != nil {
			t.Fatal(err)
		}
		if err := release.Archive(dir, filepath.Join(m.files, name), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := release.Scripts(release.ScriptOptions{
		Version: version, Templates: "../../install", Dist: m.files, Bases: bases, Targets: targets, Out: m.files,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// publishFixture publishes the bundle of a fixture. One for ARM64 holds the same
// programs: machines of the lab only say that they are of that kind.
func (m *mirror) publishFixture(t *testing.T, name string) {
	t.Helper()
	bundle := fixtures.Bundle(t, name)
	m.publish(t, name, func(dir string) error { return os.CopyFS(dir, os.DirFS(bundle)) })
}

// publishProbe publishes a package whose ss-setup only writes down how it was run, and
// does what the options --exit N, --wait and --die of a test ask for.
func (m *mirror) publishProbe(t *testing.T, bases ...string) {
	t.Helper()
	m.publish(t, "7.0.0", func(dir string) error {
		filler := make([]byte, 200_000)
		for i, x := 0, uint32(1); i < len(filler); i++ {
			x = x*1664525 + 1013904223
			filler[i] = byte(x >> 24) // does not shrink
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		return firstError(
			os.WriteFile(filepath.Join(dir, "ss-setup"), []byte(probe), 0o755),
			os.WriteFile(filepath.Join(dir, "payload.tar.zst"), filler, 0o644),
			os.WriteFile(filepath.Join(dir, "manifest.json"), []byte("{}"), 0o644),
		)
	}, bases...)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// probe stands in for ss-setup. Its report is complete before it waits or ends.
const probe = `#!/bin/sh
case " $* " in *" --wait "*) trap 'echo stopped >>/root/report; exit 4' TERM ;; esac
{
  echo "options: $*"
  echo "umask: $(umask)"
  echo "input: $(readlink /proc/$$/fd/0)"
  echo "folder: $(cd "${0%/*}" && pwd) $(stat -c '%a %U' "${0%/*}")"
  echo "files: $(cd "${0%/*}" && echo *)"
  echo "proxy: $http_proxy"
} >/root/report.part
mv /root/report.part /root/report
while [ $# -gt 0 ]; do
  case $1 in
    --exit) exit "$2" ;;
    --die) kill -9 $$ ;;
    --ask) read -r answer; echo "answer: $answer" >>/root/report ;;
    --wait) while :; do sleep 0.05; done ;;
  esac
  shift
done
`

// report is what the probe wrote down since the last call; empty when it did not run.
func (b *box) report() string {
	b.t.Helper()
	return b.MustExec("sh", "-c", "cat /root/report 2>/dev/null; rm -f /root/report")
}

// said finds a line of a report.
func said(report, what string) string {
	for line := range strings.Lines(report) {
		if value, ok := strings.CutPrefix(line, what+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("(no %s in %q)", what, report)
}
