package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
)

//go:embed closed.html
var closedHTML string

//go:embed closed.css
var closedCSS string

// closedPage is what is shown while everything else, the style sheet too, is closed: its few
// rules stand in the page, allowed by their hash. It never changes, and is asked for a
// hundred times a second when an update keeps many clients waiting.
type closedPage struct {
	text   []byte
	policy string
}

func newClosedPage() closedPage {
	sum := sha256.Sum256([]byte(closedCSS))
	var out bytes.Buffer
	// The template is part of the program: a fault in it is one of the build, which every
	// start and every test would show.
	page := template.Must(template.New("closed").Parse(closedHTML))
	if err := page.Execute(&out, map[string]any{"CSS": template.CSS(closedCSS), "Seconds": retryAfter}); err != nil {
		panic(err)
	}
	return closedPage{out.Bytes(), "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
}

func (p closedPage) serve(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy", p.policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Retry-After", retryAfter)
	w.WriteHeader(http.StatusServiceUnavailable)
	w.Write(p.text)
}
