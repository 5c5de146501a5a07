package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/daemon"
)

// setupPath stands for any page with a form.
const setupPath = "/init/setup"

// fakePages answers everything with what it was asked.
type fakePages struct{ asked []string }

func (f *fakePages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked = append(f.asked, r.Method+" "+r.URL.Path)
	io.WriteString(w, "a page")
}

func (f *fakePages) CrossOrigin(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusForbidden)
	io.WriteString(w, "The form came from another site")
}

type site struct {
	open    bool
	pages   fakePages
	handler http.Handler
}

func newSite(open bool) *site {
	s := &site{open: open}
	s.handler = Handler(Options{
		Health: func(*http.Request) daemon.Health {
			return daemon.Health{Status: "ok", Version: "7.0.0", Ready: true, Open: s.open}
		},
		Open:  func() bool { return s.open },
		Pages: &s.pages,
		API:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the interface") }),
		Log:   slog.New(slog.DiscardHandler),
	})
	return s
}

func (s *site) do(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result()
}

func (s *site) get(path string) *http.Response {
	return s.do(httptest.NewRequest(http.MethodGet, "https://server"+path, nil))
}

func (s *site) post(code string) *http.Response {
	r := httptest.NewRequest(http.MethodPost, "https://server"+setupPath, strings.NewReader(url.Values{"code": {code}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return s.do(r)
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestClosedServer(t *testing.T) {
	s := newSite(false)
	t.Run("answers probes", func(t *testing.T) {
		r := s.get("/healthz")
		var h map[string]any
		if err := json.NewDecoder(r.Body).Decode(&h); err != nil || r.StatusCode != http.StatusOK {
			t.Fatal(r.Status, err)
		}
		if h["status"] != "ok" || h["ready"] != true || h["open"] != false || h["version"] != "7.0.0" || len(h) != 4 {
			t.Errorf("health %v", h)
		}
	})
	t.Run("tells users to come back in a moment, whatever they ask", func(t *testing.T) {
		for _, path := range []string{"/", setupPath, "/help", "/static/style.css", "/api/v1/users"} {
			r := s.get(path)
			if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") != "2" || !strings.Contains(body(t, r), "Come back in a moment") {
				t.Errorf("%s: %s", path, r.Status)
			}
		}
	})
	t.Run("tells programs the same in their words", func(t *testing.T) {
		r := s.get("/api/v1/users")
		var p map[string]any
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil || r.Header.Get("Content-Type") != "application/problem+json" || p["status"] != 503.0 {
			t.Error(r.Header, err, p)
		}
	})
	t.Run("takes no setup code", func(t *testing.T) {
		if r := s.post("GOOD-CODE"); r.StatusCode != http.StatusServiceUnavailable || len(s.pages.asked) > 0 {
			t.Errorf("%s, asked %v", r.Status, s.pages.asked)
		}
	})
	t.Run("opens without a restart", func(t *testing.T) {
		s.open = true
		defer func() { s.open = false }()
		if r := s.get(setupPath); r.StatusCode != http.StatusOK {
			t.Error(r.Status)
		}
		if text := body(t, s.get("/api/v1/users")); text != "the interface" {
			t.Error(text)
		}
	})
}

func TestAFormThatAnotherSiteSendsReachesNoPage(t *testing.T) {
	s := newSite(true)
	r := httptest.NewRequest(http.MethodPost, "https://server"+setupPath, strings.NewReader("code=GOOD-CODE"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := s.do(r); got.StatusCode != http.StatusForbidden || len(s.pages.asked) > 0 {
		t.Error(got.Status, s.pages.asked)
	}
	if got := s.post("GOOD-CODE"); got.StatusCode != http.StatusOK || len(s.pages.asked) != 1 {
		t.Error(got.Status, s.pages.asked)
	}
}

func TestEveryAnswerForbidsWhatIsInlineAndFramesAndGuessing(t *testing.T) {
	for name, r := range map[string]*http.Response{"a page": newSite(true).get("/"), "closed": newSite(false).get("/"), "api": newSite(true).get("/api/v1/users")} {
		csp := r.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src ") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", name, csp)
		}
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
	}
}

func TestTheClosedPageIsALandmarkedDocument(t *testing.T) {
	page := body(t, newSite(false).get("/"))
	for _, once := range []string{"<!DOCTYPE html>", `<html lang="en">`, "<title>", "<main", "<h1>"} {
		if strings.Count(page, once) != 1 {
			t.Errorf("%d times %s", strings.Count(page, once), once)
		}
	}
}

func TestClosedPageCarriesTheStyleThatItsPolicyAllows(t *testing.T) {
	r := newSite(false).get("/")
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(body(t, r))
	if style == nil {
		t.Fatal("no style")
	}
	sum := sha256.Sum256([]byte(style[1]))
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(r.Header.Get("Content-Security-Policy"), want) {
		t.Errorf("policy %q lacks %s", r.Header.Get("Content-Security-Policy"), want)
	}
}

// TestABodyThatDoesNotComeHoldsNoConnection: nobody needs to have logged in to send one.
func TestABodyThatDoesNotComeHoldsNoConnection(t *testing.T) {
	whole := bodyTimeout
	bodyTimeout = 100 * time.Millisecond
	t.Cleanup(func() { bodyTimeout = whole })
	server := httptest.NewServer(newSite(true).handler)
	defer server.Close()
	for _, path := range []string{"/api/v1/login", setupPath, "/help"} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: server\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n", path)
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		conn.Close()
	}
}
