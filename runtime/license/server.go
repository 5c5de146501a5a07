package license

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"ss-setup/runtime/daemon"
)

// The states of a license server as a client sees it.
const (
	// Inaccessible: no license daemon answers at the address, or none was asked yet.
	Inaccessible = "inaccessible"
	// Reachable: a license daemon answers. That is all this release asks it.
	Reachable = "reachable"
)

// Server is what the daemon knows of the license server that it is a client of.
type Server struct {
	Address string `json:"address"`
	State   string `json:"state"`
	// Checked is when it was last asked; zero before the first time.
	Checked time.Time `json:"checked,omitzero"`
	// Error says why it is inaccessible.
	Error string `json:"error,omitempty"`
}

// How often a license server is asked, and how long it may take to answer.
const (
	reachPause   = 10 * time.Second
	reachTimeout = 5 * time.Second
)

// Watcher asks a license server again and again whether it is there. It trusts no
// answer for anything else, so the server's certificate is not compared with
// anything: the two have never met.
type Watcher struct {
	log    *slog.Logger
	now    func() time.Time
	mu     sync.Mutex
	last   Server
	cancel context.CancelFunc
	done   chan struct{}
}

// Watch begins to ask the license server at address, HOST:PORT. Close ends it.
func Watch(address string, log *slog.Logger, now func() time.Time) *Watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{
		log: log, now: now, cancel: cancel, done: make(chan struct{}),
		last: Server{Address: address, State: Inaccessible},
	}
	go w.run(ctx)
	return w
}

func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	for {
		w.note(Reach(ctx, w.last.Address))
		select {
		case <-ctx.Done():
			return
		case <-time.After(reachPause):
		}
	}
}

// note keeps the answer, and logs when it is another than before.
func (w *Watcher) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.last
	w.last.State, w.last.Error, w.last.Checked = Reachable, "", w.now().UTC()
	if err != nil {
		w.last.State, w.last.Error = Inaccessible, err.Error()
	}
	if before.Checked.IsZero() || before.State != w.last.State {
		w.log.Info("license server", "address", w.last.Address, "state", w.last.State, "error", w.last.Error)
	}
}

// Server is what was found last.
func (w *Watcher) Server() Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// Close implements io.Closer.
func (w *Watcher) Close() error {
	w.cancel()
	<-w.done
	return nil
}

// Reach asks whether a license daemon answers at address, HOST:PORT. nil means yes.
func Reach(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+PingPath, nil)
	if err != nil {
		return err
	}
	client := &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no license daemon answers: %w", err)
	}
	defer resp.Body.Close()
	var h daemon.Health
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&h); err != nil || h.Version == "" || h.Role == "" {
		return fmt.Errorf("the program that answers (%s) is not a license daemon", resp.Status)
	}
	return nil
}
