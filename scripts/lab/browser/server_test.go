//go:build linux && lab

package browser

import (
	"crypto/sha512"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ss-setup/scripts/lab"
)

// The one release of axe-core that pages are judged by, and the digest of its archive as the
// registry tells it.
const (
	axeVersion = "4.14.1"
	axeDigest  = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)

var axeOnce = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(os.TempDir(), "ss-axe-core-"+axeVersion)
	archive := filepath.Join(dir, "axe-core-"+axeVersion+".tgz")
	if _, err := os.Stat(archive); err != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		if out, err := exec.Command("npm", "pack", "--silent", "--pack-destination", dir, "axe-core@"+axeVersion).CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm pack: %w: %s", err, out)
		}
	}
	content, err := os.ReadFile(archive)
	if err != nil {
		return "", err
	}
	if sum := sha512.Sum512(content); base64.StdEncoding.EncodeToString(sum[:]) != axeDigest {
		return "", fmt.Errorf("%s is not the archive that was looked at; take it away", archive)
	}
	out, err := exec.Command("tar", "-xzOf", archive, "package/axe.min.js").Output()
	return string(out), err
})

// axe is the script of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	lab.InstallPackages(t, "npm:npm")
	text, err := axeOnce()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// server is a running ss-server that was never set up.
type server struct {
	t         *testing.T
	dir, base string
	program   string
	sftp      string // a free port
}

func serve(t *testing.T) *server {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the control socket of the server lets only root in")
	}
	s := &server{t: t, dir: t.TempDir()}
	s.program = filepath.Join(s.dir, "ss-server")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", s.program, "ss-setup/runtime/cmd/ss-server").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, dir := range []string{"generations/3", "var/3", "var/snapshots", "run", "log"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"generations/3/data": filepath.Join(s.dir, "var/3"), "current": "generations/3"} {
		if err := os.Symlink(target, filepath.Join(s.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	web := free(t)
	s.sftp = free(t)
	s.base = "https://127.0.0.1:" + web
	s.write("server.toml", fmt.Sprintf("[web]\nlisten = \"127.0.0.1:%s\"\n", web))
	s.write("generations/3/open", "")
	s.run("migrate", "--data", "var/3", "--create")
	s.start()
	return s
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func (s *server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// run runs a verb of the server.
func (s *server) run(args ...string) string {
	s.t.Helper()
	cmd := exec.Command(s.program, args...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("ss-server %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (s *server) start() {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.dir, "server.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(s.program, "run", "--home", "current", "--config", "server.toml", "--state", "var", "--logs", "log", "--control", filepath.Join(s.dir, "run/c"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		log.Close()
		if s.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			s.t.Logf("the server's log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if r, err := client.Get(s.base + "/healthz"); err == nil {
			r.Body.Close()
			return
		} else if time.Now().After(end) {
			s.t.Fatal(err)
		}
	}
}

// code makes a setup code.
func (s *server) code() string {
	s.t.Helper()
	var made struct{ Code string }
	if err := json.Unmarshal([]byte(s.run("genssc", "--json", "--control", filepath.Join(s.dir, "run/c"))), &made); err != nil {
		s.t.Fatal(err)
	}
	return made.Code
}
