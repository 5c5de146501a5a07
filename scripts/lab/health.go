package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"time"
)

// Health is what the server tells anybody who asks /healthz.
type Health struct {
	Version string `json:"version"`
	Ready   bool   `json:"ready"`
	Open    bool   `json:"open"`
}

// AskHealth asks the server of a machine once, through dial, for at most the time given.
func AskHealth(dial func(ctx context.Context, network, address string) (net.Conn, error), within time.Duration) (h Health, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext:       dial,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:6443/healthz", nil)
	if err != nil {
		return h, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return h, err
	}
	return h, json.Unmarshal(body, &h)
}
