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
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/daemon"
	"ss-setup/runtime/setup"
)

// fakeCodes accepts the code GOOD-CODE and answers SLOW-DOWN with a wait.
type fakeCodes struct {
	from netip.Addr
	done bool
}

func (f *fakeCodes) Done() (bool, error) { return f.done, nil }

func (f *fakeCodes) Redeem(typed string, from netip.Addr) (setup.Session, error) {
	f.from = from
	switch typed {
	case "GOOD-CODE":
		return setup.Session{Token: "token", Expires: time.Now().Add(time.Hour)}, nil
	case "SLOW-DOWN":
		return setup.Session{}, &setup.TooManyError{Wait: 40 * time.Second}
	}
	return setup.Session{}, setup.ErrInvalid
}

func (f *fakeCodes) Session(token string) (time.Time, bool) {
	return time.Date(2026, 11, 21, 14, 5, 0, 0, time.UTC), token == "token"
}

type site struct {
	open    bool
	codes   fakeCodes
	handler http.Handler
}

func newSite(open bool) *site {
	s := &site{open: open}
	s.handler = Handler(Options{
		Health: func(*http.Request) daemon.Health {
			return daemon.Health{Status: "ok", Version: "7.0.0", Ready: true, Open: s.open}
		},
		Open:    func() bool { return s.open },
		Codes:   &s.codes,
		API:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the interface") }),
		Version: "7.0.0",
		Log:     slog.New(slog.DiscardHandler),
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
	r := httptest.NewRequest(http.MethodPost, "https://server"+SetupPath, strings.NewReader(url.Values{"code": {code}}.Encode()))
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
		for _, path := range []string{"/", SetupPath, "/help", "/static/style.css", "/api/v1/users"} {
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
		if r := s.post("GOOD-CODE"); r.StatusCode != http.StatusServiceUnavailable || s.codes.from.IsValid() {
			t.Errorf("%s, asked from %v", r.Status, s.codes.from)
		}
	})
	t.Run("opens without a restart", func(t *testing.T) {
		s.open = true
		defer func() { s.open = false }()
		if r := s.get(SetupPath); r.StatusCode != http.StatusOK {
			t.Error(r.Status)
		}
		if text := body(t, s.get("/api/v1/users")); text != "the interface" {
			t.Error(text)
		}
	})
}

func TestSetupPage(t *testing.T) {
	s := newSite(true)
	t.Run("is where the first visitor is sent", func(t *testing.T) {
		if r := s.get("/"); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != SetupPath {
			t.Error(r.Status, r.Header.Get("Location"))
		}
	})
	t.Run("asks for the setup code", func(t *testing.T) {
		r := s.get(SetupPath)
		page := body(t, r)
		if r.StatusCode != http.StatusOK || !strings.Contains(page, `name="code"`) || strings.Contains(page, "Invalid OTP") {
			t.Error(r.Status, page)
		}
	})
	t.Run("answers a wrong code with Invalid OTP and how to make a new one", func(t *testing.T) {
		r := s.post("BAD<-CODE")
		page := body(t, r)
		if r.StatusCode != http.StatusForbidden || !strings.Contains(page, "Invalid OTP") || !strings.Contains(page, "sudo ss-server genssc") {
			t.Error(r.Status, page)
		}
		if !strings.Contains(page, `value="BAD&lt;-CODE"`) {
			t.Error("what was typed is gone or not escaped")
		}
		if len(r.Cookies()) != 0 {
			t.Error("a cookie came back")
		}
	})
	t.Run("tells how long to wait after too many attempts", func(t *testing.T) {
		r := s.post("SLOW-DOWN")
		if r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") != "41" || !strings.Contains(body(t, r), "Wait 41 seconds") {
			t.Error(r.Status, r.Header.Get("Retry-After"))
		}
	})
	t.Run("opens a session that no script and no other site can use", func(t *testing.T) {
		r := s.post("GOOD-CODE")
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != SetupPath || len(r.Cookies()) != 1 {
			t.Fatal(r.Status, r.Cookies())
		}
		c := r.Cookies()[0]
		if c.Name != "__Host-ss-setup" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("cookie %+v", c)
		}
		if s.codes.from != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("asked from %v", s.codes.from)
		}
	})
	t.Run("shows what comes next to the session, with no form that pretends to save", func(t *testing.T) {
		for token, want := range map[string]bool{"token": true, "guess": false} {
			r := httptest.NewRequest(http.MethodGet, "https://server"+SetupPath, nil)
			r.AddCookie(&http.Cookie{Name: sessionCookie, Value: token})
			page := body(t, s.do(r))
			if strings.Contains(page, "Setup continues here") != want || strings.Contains(page, "<form") == want {
				t.Errorf("%s: %s", token, page)
			}
		}
	})
	t.Run("refuses a form that another site sends", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "https://server"+SetupPath, strings.NewReader("code=GOOD-CODE"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		got := s.do(r)
		if got.StatusCode != http.StatusForbidden || len(got.Cookies()) != 0 {
			t.Error(got.Status, got.Cookies())
		}
	})
	t.Run("refuses a form of a megabyte", func(t *testing.T) {
		if r := s.post(strings.Repeat("A", 1<<20)); r.StatusCode != http.StatusBadRequest {
			t.Error(r.Status)
		}
	})
}

func TestUnknownPagesAndMethodsAreToldPlainly(t *testing.T) {
	s := newSite(true)
	if r := s.get("/nowhere"); r.StatusCode != http.StatusNotFound || !strings.Contains(body(t, r), "There is no such page") {
		t.Error(r.Status)
	}
	if r := s.do(httptest.NewRequest(http.MethodDelete, "https://server/help", nil)); r.StatusCode != http.StatusMethodNotAllowed {
		t.Error(r.Status)
	}
	if r := s.do(httptest.NewRequest(http.MethodPost, "https://server/healthz", nil)); r.StatusCode != http.StatusMethodNotAllowed {
		t.Error(r.Status)
	}
}

// allPages are the answers that a browser shows.
func allPages() map[string]*http.Response {
	open := newSite(true)
	session := httptest.NewRequest(http.MethodGet, "https://server"+SetupPath, nil)
	session.AddCookie(&http.Cookie{Name: sessionCookie, Value: "token"})
	return map[string]*http.Response{
		"setup":   open.get(SetupPath),
		"wrong":   open.post("BAD"),
		"wait":    open.post("SLOW-DOWN"),
		"welcome": open.do(session),
		"help":    open.get("/help"),
		"missing": open.get("/nowhere"),
		"closed":  newSite(false).get("/"),
	}
}

func TestNoPageAllowsOrContainsAnythingInlineOrFromElsewhere(t *testing.T) {
	elsewhere := regexp.MustCompile(`(?i)(src|href|action)="(https?:)?//`)
	handler := regexp.MustCompile(`(?i)<script|\son[a-z]+=|\sstyle=|javascript:`)
	for name, r := range allPages() {
		csp, page := r.Header.Get("Content-Security-Policy"), body(t, r)
		if !strings.HasPrefix(csp, "default-src ") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", name, csp)
		}
		if elsewhere.MatchString(page) || handler.MatchString(page) {
			t.Errorf("%s: something inline or from elsewhere in %s", name, page)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", name, r.Header)
		}
		if len(page) > 8<<10 {
			t.Errorf("%s: %d bytes", name, len(page))
		}
	}
}

func TestEveryPageIsALandmarkedDocumentWithOneHeading(t *testing.T) {
	for name, r := range allPages() {
		page := body(t, r)
		for _, once := range []string{"<!DOCTYPE html>", `<html lang="en">`, "<title>", "<main", "<h1>"} {
			if strings.Count(page, once) != 1 {
				t.Errorf("%s: %d times %s", name, strings.Count(page, once), once)
			}
		}
		if strings.Contains(page, "<no value>") || strings.Contains(page, "ZgotmplZ") {
			t.Errorf("%s: a hole in the page", name)
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

func TestStyleSheetIsFoundAndCachedForEver(t *testing.T) {
	s := newSite(true)
	link := regexp.MustCompile(`href="(/static/style-[0-9a-f]{12}\.css)"`).FindStringSubmatch(body(t, s.get(SetupPath)))
	if link == nil {
		t.Fatal("the page links no style sheet")
	}
	r := s.get(link[1])
	css := body(t, r)
	if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/css") || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
		t.Error(r.Status, r.Header)
	}
	if !strings.Contains(css, "prefers-color-scheme: dark") || strings.Contains(css, "url(") || strings.Contains(css, "@import") {
		t.Error("the style sheet lacks a dark scheme, or asks for something else")
	}
}

// TestABodyThatDoesNotComeHoldsNoConnection: nobody needs to have logged in to send one.
func TestABodyThatDoesNotComeHoldsNoConnection(t *testing.T) {
	whole := bodyTimeout
	bodyTimeout = 100 * time.Millisecond
	t.Cleanup(func() { bodyTimeout = whole })
	server := httptest.NewServer(newSite(true).handler)
	defer server.Close()
	for _, path := range []string{"/api/v1/login", SetupPath, "/help"} {
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

func FuzzSetupForm(f *testing.F) {
	for _, seed := range []string{"code=GOOD-CODE", "code=%00", "code=<script>&code=2", "%zz", strings.Repeat("a=b&", 5000)} {
		f.Add(seed)
	}
	s := newSite(true)
	f.Fuzz(func(t *testing.T, form string) {
		r := httptest.NewRequest(http.MethodPost, "https://server"+SetupPath, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		got := s.do(r)
		if got.StatusCode >= 500 || strings.Contains(body(t, got), "<script") {
			t.Errorf("%q: %s", form, got.Status)
		}
	})
}

func TestANodeThatIsSetUpHasNoFirstRunPage(t *testing.T) {
	s := newSite(true)
	s.codes.done = true
	if r := s.get(SetupPath); r.StatusCode != http.StatusGone || !strings.Contains(body(t, r), "set up already") {
		t.Errorf("the page: %s", r.Status)
	}
	if r := s.post("GOOD-CODE"); r.StatusCode != http.StatusGone || s.codes.from.IsValid() {
		t.Errorf("a code: %s, asked from %v", r.Status, s.codes.from)
	}
}
