package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// DialFunc connects to a machine's own addresses.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// REST is the REST interface of a machine's server.
type REST struct {
	client *http.Client
	token  string
}

// NewREST asks with a token, through dial.
func NewREST(dial DialFunc, token string) *REST {
	return &REST{token: token, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}}
}

// Send gives the status and the body of the answer. A change is made to whichever
// revision there is.
func (r *REST) Send(ctx context.Context, method, path, body string) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://127.0.0.1:6443/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("If-Match", "*")
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// Close lets go of the connections.
func (r *REST) Close() { r.client.CloseIdleConnections() }

// SFTP logs in to a site of a machine, through dial. The caller closes the client, which
// ends the connection as well.
func SFTP(ctx context.Context, dial DialFunc, address, user, password string) (*sftp.Client, error) {
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.Password(password)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second,
	})
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("log in as %s: %w", user, err)
	}
	client := ssh.NewClient(c, channels, requests)
	s, err := sftp.NewClient(client)
	if err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("open SFTP as %s: %w", user, err)
	}
	go func() {
		_ = s.Wait()
		_ = client.Close()
	}()
	return s, nil
}
