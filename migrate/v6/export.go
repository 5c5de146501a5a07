package v6

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"ss-setup/migrate/archive"
)

// Server is a server of version 6 that runs.
type Server struct {
	// URL of its web pages, as https://127.0.0.1:6443.
	URL string
	// User and Password are a SuperAdmin's, Code that of the authenticator app, if there
	// is one.
	User, Password, Code string
	// Fingerprint is the SHA-256 of its certificate, in hex with or without colons. Without
	// one the certificate must be valid; on this machine itself, and with Prove, any is
	// taken, as old servers made their own. Anybody may listen there while the old server is down: there
	// it takes Prove or a fingerprint to be sure.
	Fingerprint string
	// Prove, unless nil, is asked whether the other end of a connection is the old server,
	// before anything is said on it.
	Prove func(net.Conn) error
	// Patience bounds each of the three requests; 0 is 10 minutes.
	Patience time.Duration
}

// The ways in which a server does not give its backup. Test with errors.Is.
var (
	// ErrNoAnswer: nothing answers there, or something else does.
	ErrNoAnswer = errors.New("no server of version 6 answers")
	// ErrRefused: it does not take the SuperAdmin's name and password.
	ErrRefused = errors.New("the server of version 6 refuses the log-in")
	// ErrNoBackup: it answers, and does not give a backup.
	ErrNoBackup = errors.New("the server of version 6 does not give its backup")
)

// maxAnswer bounds answers that are no backup.
const maxAnswer = 1 << 20

// base is where the REST interface begins.
const base = "/api/v1"

// Export logs in to a running server of version 6, has it make a backup, and writes that
// to w. It returns the server's version, "" if that is not told. What was written when it
// fails is of no use.
func Export(ctx context.Context, s Server, w io.Writer) (version string, err error) {
	session, err := LogIn(ctx, s)
	if err != nil {
		return "", err
	}
	defer session.LogOut(ctx)
	return session.Version, session.Backup(ctx, w)
}

// Session is a SuperAdmin's on a running server of version 6. The code of an authenticator
// app opens one alone, so who needs several backups makes them in one.
type Session struct {
	// Version is the server's, "" if that is not told.
	Version string

	client *client
	token  string
}

// LogIn begins a session, which LogOut ends.
func LogIn(ctx context.Context, s Server) (*Session, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	session := &Session{client: c}
	if err = session.begin(ctx, s); err != nil {
		c.http.CloseIdleConnections()
		return nil, err
	}
	return session, nil
}

func (s *Session) begin(ctx context.Context, server Server) (err error) {
	proven := server.Fingerprint != "" || server.Prove != nil
	if s.Version, err = s.client.version(ctx, proven); err != nil {
		return err
	}
	if major, ok := archive.Major(s.Version); ok && major != 6 {
		return fmt.Errorf("%w: %s answers as version %s", ErrNoAnswer, server.URL, s.Version)
	}
	s.token, err = s.client.logIn(ctx, server)
	return err
}

// Backup has the server make a backup, and writes that to w. What was written when it fails
// is of no use.
func (s *Session) Backup(ctx context.Context, w io.Writer) error {
	return s.client.backup(ctx, s.token, w)
}

// LogOut ends the session.
func (s *Session) LogOut(ctx context.Context) {
	s.client.logOut(ctx, s.token)
	s.client.http.CloseIdleConnections()
}

// client speaks to one server.
type client struct {
	base     string
	http     *http.Client
	patience time.Duration
}

func (s Server) client() (*client, error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, fmt.Errorf("%q is not an address of a server; write it as https://127.0.0.1:6443", s.URL)
	}
	local := isLocal(u.Hostname())
	if u.Scheme == "http" && !local {
		return nil, fmt.Errorf("%s: the password would cross the network readable; use https", s.URL)
	}
	want := strings.ToLower(strings.ReplaceAll(s.Fingerprint, ":", ""))
	if raw, err := hex.DecodeString(want); want != "" && (err != nil || len(raw) != sha256.Size) {
		return nil, fmt.Errorf("%q is not the SHA-256 of a certificate", s.Fingerprint)
	}
	// Certificates that an old server made for itself are compared below, or on this very
	// machine, and where the other end is proven, only with that of the first connection.
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: local || want != "" || s.Prove != nil}
	if config.InsecureSkipVerify {
		config.VerifyConnection = samePeer(want)
	}
	patience := s.Patience
	if patience == 0 {
		patience = 10 * time.Minute
	}
	return &client{
		base: strings.TrimRight(u.Scheme+"://"+u.Host, "/") + base, patience: patience,
		http: &http.Client{
			// Neither proxies nor other servers are to see the password.
			Transport:     &http.Transport{TLSClientConfig: config, Proxy: nil, DialContext: s.dial},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// samePeer takes the certificate of a fingerprint alone, or that of the first connection
// if none is wanted.
func samePeer(want string) func(tls.ConnectionState) error {
	var mu sync.Mutex
	given := want != ""
	return func(state tls.ConnectionState) error {
		sum := sha256.Sum256(state.PeerCertificates[0].Raw)
		got := hex.EncodeToString(sum[:])
		mu.Lock()
		defer mu.Unlock()
		if want == "" {
			want = got
		}
		switch {
		case got == want:
			return nil
		case given:
			return fmt.Errorf("the certificate has the fingerprint %s, not the one that was given", got)
		}
		return fmt.Errorf("the certificate is another one than a moment ago: it has the fingerprint %s now", got)
	}
}

// localhost is the one name that is this machine; whatever DNS says of it.
const localhost = "localhost"

// isLocal tells this very machine: by an address, or the one name that is dialled as one.
func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == localhost || err == nil && addr.IsLoopback()
}

// dial connects, and has the other end proven.
func (s Server) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	var d net.Dialer
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	for _, at := range addresses(host) {
		if conn, err = d.DialContext(ctx, network, net.JoinHostPort(at, port)); err == nil {
			break
		}
	}
	if err == nil && s.Prove != nil {
		if err = s.Prove(conn); err != nil {
			err = errors.Join(fmt.Errorf("who listens there is not the old server: %w", err), conn.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func addresses(host string) []string {
	if host == localhost {
		return []string{"127.0.0.1", "::1"}
	}
	return []string{host}
}

// ask sends a request and hands the answer to read.
func (c *client) ask(ctx context.Context, path string, prepare func(*http.Request), read func(*http.Response) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	if prepare != nil {
		prepare(r)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("%w at %s: %w", ErrNoAnswer, c.base, err)
	}
	defer answer.Body.Close()
	return read(answer)
}

// version asks who is there. It needs no log-in. Some builds do not tell; then the password
// goes on only to a server that is proven to be the one.
func (c *client) version(ctx context.Context, proven bool) (version string, err error) {
	err = c.ask(ctx, "/version", nil, func(answer *http.Response) error {
		var info struct {
			Version string `json:"version"`
		}
		if answer.StatusCode != http.StatusOK && proven {
			return nil // some builds ask for a log-in first
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%w at %s: asked for its version it answers %s; if it is the old server, give the fingerprint of its certificate", ErrNoAnswer, c.base, answer.Status)
		}
		if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&info); err != nil {
			if proven {
				return nil
			}
			return fmt.Errorf("%w at %s: what answers there is something else; if it is the old server, give the fingerprint of its certificate", ErrNoAnswer, c.base)
		}
		if len(info.Version) <= 64 && strings.IndexFunc(info.Version, func(r rune) bool { return r <= ' ' || r > '~' }) < 0 {
			version = info.Version
		}
		return nil
	})
	return version, err
}

func (c *client) logIn(ctx context.Context, s Server) (token string, err error) {
	prepare := func(r *http.Request) {
		r.SetBasicAuth(s.User, s.Password)
		if s.Code != "" {
			r.Header.Set("X-OTP", s.Code)
		}
	}
	err = c.ask(ctx, "/sa/login", prepare, func(answer *http.Response) error {
		switch answer.StatusCode {
		case http.StatusOK:
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("%w: name, password or code of the SuperAdmin %q is wrong, or it may not log in from here", ErrRefused, s.User)
		case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable:
			return fmt.Errorf("%w: asked to log in it answers %s", ErrNoBackup, answer.Status)
		default:
			return fmt.Errorf("%w: it answers %s", ErrRefused, answer.Status)
		}
		var object struct {
			Token string `json:"token"`
		}
		if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&object); err != nil || object.Token == "" {
			return fmt.Errorf("%w: its answer has no token", ErrRefused)
		}
		token = object.Token
		return nil
	})
	return token, err
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func (c *client) backup(ctx context.Context, token string, w io.Writer) error {
	return c.ask(ctx, "/sa/backup", bearer(token), func(answer *http.Response) error {
		kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
		switch {
		case answer.StatusCode != http.StatusOK:
			return fmt.Errorf("%w: it answers %s", ErrNoBackup, answer.Status)
		case kind == "text/html" || kind == "application/json":
			return fmt.Errorf("%w: it answers with %s", ErrNoBackup, kind)
		}
		n, err := io.Copy(w, io.LimitReader(answer.Body, archive.MaxUnfolded+1))
		switch {
		case err != nil:
			return fmt.Errorf("%w: it was cut after %d bytes: %w", ErrNoBackup, n, err)
		case n > archive.MaxUnfolded:
			return fmt.Errorf("%w: it is larger than %d bytes", ErrNoBackup, int64(archive.MaxUnfolded))
		case n == 0 || answer.ContentLength >= 0 && n != answer.ContentLength:
			return fmt.Errorf("%w: it was cut after %d bytes", ErrNoBackup, n)
		}
		return nil
	})
}

// logOut is good manners and no condition of anything.
func (c *client) logOut(ctx context.Context, token string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = c.ask(ctx, "/sa/logout", bearer(token), func(*http.Response) error { return nil })
}
