package admin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"ss-setup/runtime/setup"
)

//go:embed templates static
var files embed.FS

// sessionCookie: the prefix makes browsers insist on HTTPS and on this very host.
const sessionCookie = "__Host-ss-setup"

// maxForm bounds what a form may send.
const maxForm = 4 << 10

// pages renders the templates.
type pages struct {
	opt       Options
	templates map[string]*template.Template
	css       []byte
	stylePath string
	// closedPage never changes, and is asked for a hundred times a second when an
	// update keeps many clients waiting.
	closedPage []byte
	closedCSP  string
}

// view is what a template sees.
type view struct {
	Title   string
	Version string
	Style   string
	Data    any
}

func newPages(opt Options) *pages {
	p := &pages{opt: opt, templates: map[string]*template.Template{}}
	// The files are part of the program: a fault in them is a fault of the build,
	// which every start and every test would show.
	p.css = must(files.ReadFile("static/style.css"))
	sum := sha256.Sum256(p.css)
	p.stylePath = "/static/style-" + hex.EncodeToString(sum[:6]) + ".css"
	for _, name := range []string{"setup", "welcome", "help", "message"} {
		p.templates[name] = template.Must(template.ParseFS(files, "templates/layout.html", "templates/"+name+".html"))
	}
	p.renderClosed()
	return p
}

// renderClosed makes the page that is shown while everything else, the style sheet
// too, is closed: its few rules stand in the page, allowed by their hash.
func (p *pages) renderClosed() {
	css := must(files.ReadFile("static/closed.css"))
	sum := sha256.Sum256(css)
	p.closedCSP = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	var out bytes.Buffer
	page := template.Must(template.ParseFS(files, "templates/closed.html"))
	if err := page.Execute(&out, map[string]any{"CSS": template.CSS(css), "Seconds": retryAfter}); err != nil {
		panic(err)
	}
	p.closedPage = out.Bytes()
}

func (p *pages) closed(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy", p.closedCSP)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Retry-After", retryAfter)
	w.WriteHeader(http.StatusServiceUnavailable)
	w.Write(p.closedPage)
}

func (p *pages) health(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(p.opt.Health(r))
}

func (p *pages) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	// The name changes with the content, so the content under a name never does.
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(p.css)
}

func (p *pages) root(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, SetupPath, http.StatusSeeOther)
}

// whileNew closes the first-run page of a node that is set up.
func (p *pages) whileNew(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		done, err := p.opt.Codes.Done()
		switch {
		case err != nil:
			p.opt.Log.Error("whether the node is set up could not be looked up", "error", err)
			p.message(w, http.StatusInternalServerError, "The server's objects could not be read", "The log of ss-server tells why.")
		case done:
			p.message(w, http.StatusGone, "SS Server is set up already", "This page is for the first run only.")
		default:
			next(w, r)
		}
	}
}

// form is what the page that asks for the setup code shows.
type form struct {
	Typed   string
	Wrong   bool
	WaitFor int
}

func (p *pages) setup(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		p.render(w, http.StatusOK, "setup", "First run", form{})
		return
	}
	expires, ok := p.opt.Codes.Session(cookie.Value)
	if !ok {
		p.render(w, http.StatusOK, "setup", "First run", form{})
		return
	}
	p.render(w, http.StatusOK, "welcome", "Setup continues here", expires.UTC().Format("15:04 UTC"))
}

func (p *pages) redeem(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.message(w, http.StatusBadRequest, "That form could not be read", "Go back and type the setup code again.")
		return
	}
	typed := r.PostForm.Get("code")
	session, err := p.opt.Codes.Redeem(typed, remote(r))
	var wait *setup.TooManyError
	switch {
	case errors.As(err, &wait):
		seconds := int(wait.Wait/time.Second) + 1
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		p.render(w, http.StatusTooManyRequests, "setup", "First run", form{Typed: typed, WaitFor: seconds})
		return
	case errors.Is(err, setup.ErrInvalid):
		p.opt.Log.Warn("a setup code was refused", "from", r.RemoteAddr)
		p.render(w, http.StatusForbidden, "setup", "First run", form{Typed: typed, Wrong: true})
		return
	case err != nil:
		p.opt.Log.Error("the setup code could not be looked up", "error", err)
		p.message(w, http.StatusInternalServerError, "The setup code could not be looked up", "The log of ss-server tells why.")
		return
	}
	p.opt.Log.Info("the first-run page was opened with a setup code", "from", r.RemoteAddr)
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: session.Token, Path: "/", Expires: session.Expires,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, SetupPath, http.StatusSeeOther)
}

func (p *pages) help(w http.ResponseWriter, _ *http.Request) {
	p.render(w, http.StatusOK, "help", "Help", nil)
}

func (p *pages) notFound(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		p.message(w, http.StatusMethodNotAllowed, "This page takes no "+r.Method, "Open it by its address instead.")
		return
	}
	p.message(w, http.StatusNotFound, "There is no such page", "Check the address.")
}

func (p *pages) crossOrigin(w http.ResponseWriter, _ *http.Request) {
	p.message(w, http.StatusForbidden, "The form came from another site", "Open this page by its own address and send the form again.")
}

// message is a page of one sentence and its cure.
func (p *pages) message(w http.ResponseWriter, status int, title, cure string) {
	p.render(w, status, "message", title, cure)
}

// render writes a page whole or not at all.
func (p *pages) render(w http.ResponseWriter, status int, name, title string, data any) {
	var out bytes.Buffer
	err := p.templates[name].ExecuteTemplate(&out, "layout", view{title, p.opt.Version, p.stylePath, data})
	if err != nil {
		p.opt.Log.Error("a page could not be rendered", "page", name, "error", err)
		http.Error(w, "This page could not be rendered; the log of ss-server tells why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(out.Bytes())
}

// remote is the address the request came from; zero if it is none.
func remote(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
