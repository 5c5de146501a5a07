//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"ss-setup/scripts/lab"
)

const (
	// watchPace is how often the outside client connects.
	watchPace = 10 * time.Millisecond
	// watchPatience is when it gives an answer up.
	watchPatience = 250 * time.Millisecond
)

// answer is what the outside client saw at one time.
type answer struct {
	asked, at time.Time
	version   string
	open      bool
}

// watcher is the outside client: it connects anew every watchPace, one attempt
// after the other, and notes what it gets.
type watcher struct {
	cancel  context.CancelFunc
	answers chan []answer
}

func watch(m *lab.Machine) *watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{cancel, make(chan []answer, 1)}
	client := outside(m)
	go func() {
		var seen []answer
		tick := time.NewTicker(watchPace)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				w.answers <- seen
				return
			case <-tick.C:
				seen = append(seen, ask(client))
			}
		}
	}()
	return w
}

// outside is a client that trusts any certificate and keeps no connection.
func outside(m *lab.Machine) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext:       m.Dial,
	}}
}

// stop ends the watch and returns what was seen.
func (w *watcher) stop() []answer {
	w.cancel()
	return <-w.answers
}

// ask asks once; whatever is no answer is the zero of one.
func ask(client *http.Client) answer {
	a := answer{asked: time.Now()}
	ctx, cancel := context.WithTimeout(context.Background(), watchPatience)
	defer cancel()
	var health struct {
		Version string `json:"version"`
		Ready   bool   `json:"ready"`
		Open    bool   `json:"open"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:6443/healthz", nil)
	if err == nil {
		var resp *http.Response
		if resp, err = client.Do(req); err == nil {
			err = json.NewDecoder(resp.Body).Decode(&health)
			_ = resp.Body.Close()
		}
	}
	a.at = time.Now()
	if err == nil {
		a.version, a.open = health.Version, health.Ready && health.Open
	}
	return a
}

// firstServed is when the version first answered users.
func firstServed(seen []answer, version string) (time.Time, error) {
	for _, a := range seen {
		if a.open && a.version == version {
			return a.at, nil
		}
	}
	return time.Time{}, fmt.Errorf("the outside client got no answer of %s in %d attempts", version, len(seen))
}

// downtime is from the first attempt that got no answer for users to the first that
// got one from the new version.
func downtime(seen []answer, version string) (time.Duration, error) {
	end, err := firstServed(seen, version)
	if err != nil {
		return 0, err
	}
	for _, a := range seen {
		if !a.open {
			return end.Sub(a.asked), nil
		}
	}
	return 0, nil
}

// untilServed waits until a version answers users.
func untilServed(b *bench, m *lab.Machine, version string, within time.Duration) {
	client := outside(m)
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(watchPace) {
		if a := ask(client); a.open && a.version == version {
			return
		}
	}
	b.Fatalf("%s does not serve within %s", version, within)
}
