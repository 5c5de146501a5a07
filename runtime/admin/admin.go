// Package admin is what answers at the web port of ss-server: /healthz for probes, the page
// that stands in while an update is not committed, the REST interface and the pages.
//
// It puts them together and sets what every answer carries. The pages themselves are package
// web's, the interface package rest's; it knows neither, nor the store: it is handed
// functions.
package admin

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"time"

	"ss-setup/runtime/daemon"
)

// retryAfter is what a closed server tells clients to wait, in seconds: about the
// downtime of an update.
const retryAfter = "2"

// Options are what the pages need of the server.
type Options struct {
	Health func(*http.Request) daemon.Health
	Open   func() bool
	// Metrics is the page /metrics; nil for none.
	Metrics http.Handler
	// API is what is below /api/; nil for none.
	API http.Handler
	// Pages are everything else.
	Pages Pages
	Log   *slog.Logger
}

// Pages are what a browser shows.
type Pages interface {
	http.Handler
	// CrossOrigin answers a form that a page of another site sent.
	CrossOrigin(w http.ResponseWriter, r *http.Request)
}

// Handler is the whole web interface.
func Handler(opt Options) http.Handler {
	closed := newClosedPage()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(opt.Health(r)); err != nil {
			opt.Log.Debug("a probe was not answered", "error", err)
		}
	})
	if opt.Metrics != nil {
		// Like health it is there before the generation is committed.
		mux.Handle("GET /metrics", opt.Metrics)
	}
	if opt.API != nil {
		mux.Handle("/api/", whenOpen(opt.Open, opt.API, closedAPI))
	}
	mux.Handle("/", whenOpen(opt.Open, protected(opt.Pages, opt.Pages.CrossOrigin), closed.serve))
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
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY") // for browsers that do not read frame-ancestors
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
