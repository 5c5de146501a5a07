//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ss-setup/scripts/lab"
)

// product is the server as it is installed, in a folder of its own.
type product struct {
	dir, web string
	cmd      *exec.Cmd
	log      bytes.Buffer
}

// newProduct lays out what ss-setup lays out, with an empty store.
func newProduct(b *bench, dir string) *product {
	p := &product{dir: dir, web: freeAddress(b)}
	for _, d := range []string{"generations/1", "var/1", "var/snapshots", "log", "run"} {
		b.must(os.MkdirAll(p.path(d), 0o700))
	}
	b.must(os.Symlink(p.path("var/1"), p.path("generations/1/data")))
	b.must(os.Symlink("generations/1", p.path("current")))
	b.must(os.WriteFile(p.path("generations/1/open"), nil, 0o600))
	b.must(os.WriteFile(p.path("server.toml"), fmt.Appendf(nil, "[web]\nlisten = %q\n", p.web), 0o600))
	p.verb(b, "migrate", "--data", p.path("var/1"), "--create")
	return p
}

func (p *product) path(name string) string { return filepath.Join(p.dir, name) }

func freeAddress(b *bench) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	defer l.Close()
	return l.Addr().String()
}

func (p *product) verb(b *bench, args ...string) string {
	out, err := exec.Command("bin/ss-server", args...).Output()
	if err != nil {
		err = fmt.Errorf("ss-server %s: %w", strings.Join(args, " "), err)
	}
	b.must(err)
	return string(out)
}

// start runs the server and returns how long it took until it served.
func (p *product) start(b *bench) time.Duration {
	p.log.Reset()
	p.cmd = exec.Command("bin/ss-server", "run", "--home", p.path("current"), "--config", p.path("server.toml"),
		"--state", p.path("var"), "--logs", p.path("log"), "--control", p.path("run/c"))
	p.cmd.Stderr = &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a bench that is killed leaves nothing
	began := time.Now()
	b.must(p.cmd.Start())
	b.Cleanup(func() { p.stop() })
	for {
		if h, err := lab.AskHealth(p.dial, time.Second); err == nil && h.Ready && h.Open {
			return time.Since(began)
		}
		if time.Since(began) > time.Minute {
			b.Fatalf("the server does not serve: %s", p.log.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (p *product) stop() {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// dial finds the web interface wherever it listens.
func (p *product) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, p.web)
}

// rest asks with a new token.
func (p *product) rest(b *bench) *lab.REST {
	out := p.verb(b, "token", "add", "bench", "--super", "--home", p.path("current"), "--state", p.path("var"), "--control", p.path("run/c"))
	token, _, _ := strings.Cut(out, "\n")
	r := lab.NewREST(p.dial, token)
	b.Cleanup(r.Close)
	return r
}

func create(b *bench, r *lab.REST, path, body string) {
	status, answer, err := r.Send(context.Background(), http.MethodPost, path, body)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("POST %s: %d %s", path, status, answer)
	}
	b.must(err)
}
