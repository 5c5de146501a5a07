package acme

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// headerTimeout bounds how long a visitor of the http-01 door may take to ask.
const headerTimeout = 10 * time.Second

// proofs are what the authority finds while it looks. The door for http-01 is open only
// as long as there is something to find.
type proofs struct {
	listen string

	mu    sync.Mutex
	certs map[string]*tls.Certificate
	files map[string]string
	door  *http.Server
}

func (p *proofs) certificate(name string) *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.certs[strings.ToLower(name)]
}

func (p *proofs) addCertificate(name string, proof *tls.Certificate) (withdraw func()) {
	name = strings.ToLower(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.certs == nil {
		p.certs = map[string]*tls.Certificate{}
	}
	p.certs[name] = proof
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.certs, name)
	}
}

func (p *proofs) addFile(path, text string) (withdraw func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.door == nil {
		if err := p.open(); err != nil {
			return nil, err
		}
	}
	if p.files == nil {
		p.files = map[string]string{}
	}
	p.files[path] = text
	return func() { p.removeFile(path) }, nil
}

func (p *proofs) open() error {
	listener, err := net.Listen("tcp", p.listen)
	if err != nil {
		return fmt.Errorf("listen for the authority: %w; free the port, or choose the challenge %s", err, TLSALPN01)
	}
	p.door = &http.Server{Handler: p, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: headerTimeout, MaxHeaderBytes: 16 << 10}
	go p.door.Serve(listener)
	return nil
}

func (p *proofs) removeFile(path string) {
	p.mu.Lock()
	delete(p.files, path)
	door := p.door
	last := len(p.files) == 0
	if last {
		p.door = nil
	}
	p.mu.Unlock()
	if last && door != nil {
		// What is being answered may end; it is a line of text.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if door.Shutdown(ctx) != nil {
			door.Close()
		}
	}
}

// ServeHTTP gives the authority what it looks for, and everybody else nothing.
func (p *proofs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	text, ok := p.files[r.URL.Path]
	p.mu.Unlock()
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write([]byte(text))
}
