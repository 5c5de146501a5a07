// Package admin is the web interface of ss-server: /healthz for probes, the page that
// stands in while an update is not committed, the first-run page, and the place of the
// REST interface.
//
// Pages are rendered here, work without JavaScript, and make no request to anywhere
// else; the content security policy allows nothing inline. The package knows neither
// the store nor the generation: it is handed functions.
package admin

import (
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"ss-setup/runtime/daemon"
	"ss-setup/runtime/setup"
)

// SetupPath is the first-run page.
const SetupPath = "/init/setup"

// retryAfter is what a closed server tells clients to wait, in seconds: about the
// downtime of an update.
const retryAfter = "2"

// Options are what the pages need of the server.
type Options struct {
	Health func(*http.Request) daemon.Health
	Open   func() bool
	Codes  Codes
	// Metrics is the page /metrics; nil for none.
	Metrics http.Handler
	// API is what is below /api/; nil for none.
	API     http.Handler
	Version string
	Log     *slog.Logger
}

// Codes redeems setup codes and knows the session that one opened.
type Codes interface {
	Redeem(typed string, from netip.Addr) (setup.Session, error)
	Session(token string) (expires time.Time, ok bool)
	// Done tells that the node is set up: codes open nothing any more.
	Done() (bool, error)
}

// Handler is the whole web interface.
func Handler(opt Options) http.Handler {
	p := newPages(opt)
	pages := http.NewServeMux()
	pages.HandleFunc("GET "+p.stylePath, p.style)
	pages.HandleFunc("GET /{$}", p.root)
	pages.HandleFunc("GET "+SetupPath, p.whileNew(p.setup))
	pages.HandleFunc("POST "+SetupPath, p.whileNew(p.redeem))
	pages.HandleFunc("GET /help", p.help)
	pages.HandleFunc("/", p.notFound)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", p.health)
	if opt.Metrics != nil {
		// Like health it is there before the generation is committed.
		mux.Handle("GET /metrics", opt.Metrics)
	}
	if opt.API != nil {
		mux.Handle("/api/", whenOpen(opt.Open, opt.API, closedAPI))
	}
	mux.Handle("/", whenOpen(opt.Open, protected(pages, p.crossOrigin), p.closed))
	return withHeaders(mux)
}

// whenOpen answers everything with closed until the generation is committed: nothing that
// anybody does before may be lost by going back.
func whenOpen(open func() bool, next http.Handler, closed func(http.ResponseWriter)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open() {
			next.ServeHTTP(w, r)
			return
		}
		closed(w)
	})
}

// closedAPI is the closed page for programs.
func closedAPI(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Retry-After", retryAfter)
	w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w, `{"type":"urn:ss-server:problem:unavailable","title":"Not possible now","status":503,`+
		`"detail":"SS Server is being updated. Come back in a moment."}`+"\n")
}

// protected refuses forms that another site's page sends.
func protected(next http.Handler, deny http.HandlerFunc) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(deny)
	return guard.Handler(next)
}

// withHeaders sets what every answer carries. Nothing inline, nothing from elsewhere,
// no framing, no caching of pages (a handler of files says otherwise).
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if r.ContentLength != 0 {
			// What no handler reads, the library does before it lets go of the connection.
			// A test's recorder knows no deadlines.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		next.ServeHTTP(w, r)
	})
}

// bodyTimeout is how long a client may take to send the body of a request: forms and
// objects are small. Tests do not wait so long.
var bodyTimeout = 30 * time.Second
