package license

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"ss-setup/runtime/service"
)

// askTimeout is enough for a daemon on the same machine, however busy.
const askTimeout = 10 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// Ask asks the daemon at addr, on this machine, for its status.
func Ask(ctx context.Context, addr string) (Status, error) {
	client, err := localClient(addr)
	if err != nil {
		return Status{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+StatusPath, nil)
	if err != nil {
		return Status{}, fmt.Errorf("ask the license daemon: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return Status{}, fmt.Errorf("ask the license daemon at %s: %w; %s", addr, err, cure(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		return Status{}, fmt.Errorf("the program at %s answered %q and is not the license daemon; check listen in licensed.toml", addr, resp.Status)
	}
	s, err := parseStatus(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Status{}, fmt.Errorf("read the answer of the license daemon at %s: %w", addr, err)
	}
	return s, nil
}

// cure is the command that helps against an error of Ask.
func cure(err error) string {
	const daemon = "ss-licensed"
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "it does not run; start it with: " + service.AsRoot(service.StartCommand(service.Manager(), daemon))
	}
	if command := service.LogCommand(service.Manager(), daemon); command != "" {
		return "see what it says with: " + service.AsRoot(command)
	}
	return "see whether it runs with: " + service.AsRoot("ss-setup status")
}

func parseStatus(r io.Reader) (Status, error) {
	var s Status
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return Status{}, err
	}
	if s.State == "" || s.Version == "" {
		return Status{}, fmt.Errorf("it tells neither state nor version; the program there is not the license daemon")
	}
	return s, nil
}

// localClient talks to a loopback address only. The daemon's certificate is its own
// and readable by it alone, so it proves nothing to other users of the machine; on
// the loopback nobody is in between. No proxy either.
func localClient(addr string) (*http.Client, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("ask the license daemon: %w", err)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("ask the license daemon: %s is not on this machine; a role other than local is not in this release", addr)
	}
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
