package v6

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// old answers as a server of version 6.
func old(t *testing.T, change func(http.ResponseWriter, *http.Request) bool) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if change != nil && change(w, r) {
			return
		}
		switch r.URL.Path {
		case "/api/v1/version":
			fmt.Fprint(w, `{"name":"x","version":"6.2.60"}`)
		case "/api/v1/sa/login":
			if user, password, _ := r.BasicAuth(); user != "sa" || password != "secret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, `{"token":"t0ken"}`)
		case "/api/v1/sa/backup":
			if r.Header.Get("Authorization") != "Bearer t0ken" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Header().Set("Content-Type", "application/zip")
			fmt.Fprint(w, "PK the backup")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestAServerOfVersion6GivesItsBackup(t *testing.T) {
	s := old(t, nil)
	var out bytes.Buffer
	version, err := Export(context.Background(), Server{URL: s.URL, User: "sa", Password: "secret"}, &out)
	if err != nil || version != "6.2.60" || out.String() != "PK the backup" {
		t.Errorf("%q, %q, %v", version, out.String(), err)
	}
	sum := sha256.Sum256(s.Certificate().Raw)
	if _, err := Export(context.Background(), Server{URL: s.URL, User: "sa", Password: "secret", Fingerprint: strings.ToUpper(hex.EncodeToString(sum[:]))}, &out); err != nil {
		t.Errorf("with the right fingerprint: %v", err)
	}
}

func TestWhatHindersAnExportIsToldExactly(t *testing.T) {
	at := func(path, kind string, status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/v1"+path {
				return false
			}
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	cases := map[string]struct {
		change func(http.ResponseWriter, *http.Request) bool
		server Server
		is     error
		says   string
	}{
		"a wrong password":       {nil, Server{User: "sa", Password: "wrong"}, ErrRefused, "wrong"},
		"another version":        {at("/version", "application/json", 200, `{"version":"7.0.1"}`), Server{}, ErrNoAnswer, "version 7.0.1"},
		"another program":        {at("/version", "text/html", 200, `<html>`), Server{}, ErrNoAnswer, "something else"},
		"a log-in without token": {at("/sa/login", "application/json", 200, `{}`), Server{User: "sa", Password: "secret"}, ErrRefused, "no token"},
		"an error for a log-in":  {at("/sa/login", "application/json", 503, `{}`), Server{User: "sa", Password: "secret"}, ErrNoBackup, "503"},
		"an error for a backup":  {at("/sa/backup", "application/json", 500, `{}`), Server{User: "sa", Password: "secret"}, ErrNoBackup, "500"},
		"a page for a backup":    {at("/sa/backup", "text/html; charset=utf-8", 200, `<html>`), Server{User: "sa", Password: "secret"}, ErrNoBackup, "text/html"},
		"an empty backup":        {at("/sa/backup", "application/zip", 200, ``), Server{User: "sa", Password: "secret"}, ErrNoBackup, "cut"},
		"another certificate":    {nil, Server{Fingerprint: strings.Repeat("ab", 32)}, ErrNoAnswer, "not the one that was given"},
		"a redirection":          {at("/sa/login", "", 302, ``), Server{User: "sa", Password: "secret"}, ErrRefused, "302"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.server.URL = old(t, c.change).URL
			_, err := Export(context.Background(), c.server, &bytes.Buffer{})
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, url := range []string{"", "ftp://x", "http://192.0.2.1:6443", "https://user@host"} {
		if _, err := Export(context.Background(), Server{URL: url}, &bytes.Buffer{}); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
	slow := old(t, func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	if _, err := Export(context.Background(), Server{URL: slow.URL, Patience: 50 * time.Millisecond}, &bytes.Buffer{}); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("a server that hangs: %v", err)
	}
}

// TestOnlyThisMachineIsTrustedWithoutACertificate: a name of DNS that begins as a loopback
// address is anybody's.
func TestOnlyThisMachineIsTrustedWithoutACertificate(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.8.9.1": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true,
		"127.0.0.1.evil.example": false, "127.evil.example": false, "127.1": false, "localhost.evil.example": false,
		"192.0.2.1": false, "0.0.0.0": false, "::": false, "": false, "LOCALHOST": false,
	} {
		if isLocal(host) != want {
			t.Errorf("%q is taken for this machine: %v", host, !want)
		}
	}
	for _, url := range []string{"http://127.0.0.1.evil.example:6443", "http://127.evil.example"} {
		if _, err := Export(context.Background(), Server{URL: url, User: "sa", Password: "secret"}, &bytes.Buffer{}); err == nil || errors.Is(err, ErrNoAnswer) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestWhoCannotProveToBeTheOldServerGetsNoPassword(t *testing.T) {
	asked := false
	s := old(t, func(_ http.ResponseWriter, r *http.Request) bool { asked = true; return false })
	_, err := Export(context.Background(), Server{URL: s.URL, User: "sa", Password: "secret", Prove: func(net.Conn) error { return errors.New("another program") }}, &bytes.Buffer{})
	if !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "another program") || asked {
		t.Errorf("%v", err)
	}
	proofs := 0
	_, err = Export(context.Background(), Server{URL: s.URL, User: "sa", Password: "secret", Prove: func(net.Conn) error { proofs++; return nil }}, &bytes.Buffer{})
	if err != nil || proofs == 0 {
		t.Errorf("%d proofs, %v", proofs, err)
	}
}

// TestAServerThatDoesNotTellItsVersionIsAskedOnIfItIsProven: some answer every address with
// a page.
func TestAServerThatDoesNotTellItsVersionIsAskedOnIfItIsProven(t *testing.T) {
	s := old(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/version" {
			return false
		}
		fmt.Fprint(w, "<html>")
		return true
	})
	sum := sha256.Sum256(s.Certificate().Raw)
	version, err := Export(context.Background(), Server{URL: s.URL, User: "sa", Password: "secret", Fingerprint: hex.EncodeToString(sum[:])}, &bytes.Buffer{})
	if err != nil || version != "" {
		t.Errorf("%q, %v", version, err)
	}
}

// TestWhoDoesNotTellItsVersionGetsNoPasswordUnproven: anybody can answer with an error.
func TestWhoDoesNotTellItsVersionGetsNoPasswordUnproven(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusUnauthorized, http.StatusFound} {
		said := ""
		s := old(t, func(w http.ResponseWriter, r *http.Request) bool {
			said += r.Header.Get("Authorization")
			if r.URL.Path != "/api/v1/version" {
				return false
			}
			w.WriteHeader(status)
			return true
		})
		server := Server{URL: s.URL, User: "sa", Password: "secret"}
		if _, err := Export(context.Background(), server, &bytes.Buffer{}); !errors.Is(err, ErrNoAnswer) || said != "" {
			t.Errorf("%d, unproven: it was told %q, %v", status, said, err)
		}
		server.Prove = func(net.Conn) error { return nil }
		if _, err := Export(context.Background(), server, &bytes.Buffer{}); err != nil {
			t.Errorf("%d, proven: %v", status, err)
		}
	}
}

func TestAnotherCertificateInTheMiddleEndsTheExport(t *testing.T) {
	verify := samePeer("")
	state := func(raw string) tls.ConnectionState {
		return tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte(raw)}}}
	}
	for i, c := range []struct {
		raw   string
		fails bool
	}{{"a", false}, {"a", false}, {"b", true}} {
		if err := verify(state(c.raw)); (err != nil) != c.fails {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}
