package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// The sorts of problems that pages tell apart; package rest has all.
const (
	problemUnauthenticated = "unauthenticated"
	problemCode            = "code-required"
	problemMustChange      = "password-must-change"
	problemConflict        = "conflict"
	problemNotFound        = "not-found"
	problemExists          = "exists"
	problemReferenced      = "referenced"
)

// Bounds of what a form may send, in bytes.
const (
	// maxForm is for who has signed in: a certificate with its chain is the largest.
	maxForm = 512 << 10
	// maxStranger is for everybody else: what waits for a log-in.
	maxStranger = 64 << 10
	// maxLogin has such a form once more in it, escaped.
	maxLogin = 3*maxStranger + 8<<10
)

// visit is a request of somebody who has logged in.
type visit struct {
	*Pages
	w   http.ResponseWriter
	r   *http.Request
	who *rest.Visitor
	// unproved is why it was not shown who it is, by the inputs for it.
	unproved map[string]string
}

// handler answers a visit, or says why not: an error is shown as a page.
type handler func(*visit) error

// formReader reads the form of a request into its PostForm, of at most so many bytes.
type formReader func(w http.ResponseWriter, r *http.Request, most int64) error

// page makes a route for who has logged in.
func (p *Pages) page(pattern string, fn handler) { p.signedIn(pattern, p.readForm, fn) }

// signedIn is page for a form that read reads. Who asks is settled before a byte of it is
// read: nobody who is not let in makes the server keep anything.
func (p *Pages) signedIn(pattern string, read formReader, fn handler) {
	p.handle(pattern, p.onceSetUp(func(w http.ResponseWriter, r *http.Request) {
		enter := p.API.Enter
		if r.Header.Get("X-Live") != "" {
			enter = p.API.Watch
		}
		who, err := enter(r)
		switch {
		case sortOf(err) == problemUnauthenticated:
			p.signInFirst(w, r, read)
		case err != nil:
			p.problem(w, r, err)
		case read(w, r, maxForm) != nil:
			p.unreadable(w, r)
		default:
			(&visit{Pages: p, w: w, r: r, who: who}).answer(fn)
		}
	}))
}

// answer does what a visit is for.
func (v *visit) answer(fn handler) {
	var err error
	switch {
	case v.r.Method == http.MethodPost && !v.ownForm(v.r, rest.SessionCookie):
		v.stale()
	case v.who.MustChange() && !strings.HasPrefix(v.r.URL.Path, "/account") && v.r.URL.Path != "/logout":
		http.Redirect(v.w, v.r, "/account", http.StatusSeeOther)
	default:
		err = fn(v)
	}
	if sortOf(err) == problemUnauthenticated {
		v.signInFirst(v.w, v.r, nil)
	} else if err != nil {
		v.fail(err)
	}
}

// arrived is a page that needs no session: it is for everybody whom the Protector and the
// ration of his address let in.
func (p *Pages) arrived(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := p.API.Arrive(r); err != nil {
			p.problem(w, r, err)
			return
		}
		next(w, r)
	}
}

// onceSetUp leads to the wizard as long as the node is new.
func (p *Pages) onceSetUp(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		done, err := p.Codes.Done()
		switch {
		case err != nil:
			p.Log.Error("whether the node is set up could not be looked up", "error", err)
			p.message(w, r, http.StatusInternalServerError, "The server's objects could not be read", "The log of ss-server tells why.")
		case !done:
			http.Redirect(w, r, SetupPath, http.StatusSeeOther)
		default:
			next(w, r)
		}
	}
}

func (p *Pages) readForm(w http.ResponseWriter, r *http.Request, most int64) error {
	if r.Method != http.MethodPost {
		return nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, most)
	return r.ParseForm()
}

// unreadable answers a form that did not come whole, or is too large.
func (p *Pages) unreadable(w http.ResponseWriter, r *http.Request) {
	r.PostForm = nil
	p.message(w, r, http.StatusBadRequest, "That form could not be read", "Go back and send it again; it may hold at most "+size(maxForm)+".")
}

// token is what the forms of a session carry. It is made of the session's cookie, so it ends
// with it.
func (p *Pages) token(r *http.Request, cookie string) string {
	c, err := r.Cookie(cookie)
	if err != nil {
		return ""
	}
	return p.tokenOf(c.Value)
}

// tokenOf is the token of the session whose cookie has a value.
func (p *Pages) tokenOf(value string) string {
	mac := hmac.New(sha256.New, p.csrfKey[:])
	mac.Write([]byte(value))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ownForm tells a form that a page of this session sent.
func (p *Pages) ownForm(r *http.Request, cookie string) bool {
	want := p.token(r, cookie)
	return want != "" && hmac.Equal([]byte(want), []byte(r.PostForm.Get("csrf")))
}

// stale answers a form of another session: what was typed comes back, with the token of this
// one.
func (v *visit) stale() {
	if id, ok := v.hold(v.r.PostForm, v.who.Name()); ok {
		http.Redirect(v.w, v.r, withQuery(withQuery(v.r.PostForm.Get("page"), "draft", id), "notice", "stale"), http.StatusSeeOther)
		return
	}
	v.message(v.w, v.r, http.StatusForbidden, "That form is of another session", "Open the page again, look at it, and send the form anew. Nothing was changed.")
}

// draft is a form whose session ended before it was saved.
type draft struct {
	path, by string
	values   url.Values
}

// hold keeps a form for the page of its path, if whoever signed in is who it was shown to:
// another who comes to the same machine finds nothing of it.
func (p *Pages) hold(form url.Values, by string) (id string, ok bool) {
	path := form.Get("page")
	if path == "" || !localPath(path) || form.Get("by") != by {
		return "", false
	}
	kept := withoutSecrets(form)
	return p.drafts.put(by, len(kept.Encode()), draft{path, by, kept}), true
}

// held is the form that was kept for this page, nil if none was.
func (v *visit) held() url.Values {
	d, ok := v.drafts.get(v.r.URL.Query().Get("draft"))
	if !ok || d.by != v.who.Name() {
		return nil
	}
	if u, err := url.Parse(d.path); err != nil || u.Path != v.r.URL.Path {
		return nil
	}
	return d.values
}

// withoutSecrets leaves out what must not lie about, and what belongs to the session.
func withoutSecrets(form url.Values) url.Values {
	out := url.Values{}
	for name, values := range form {
		if name != "csrf" && !strings.HasSuffix(name, ".clear") {
			out[name] = values
		}
	}
	return out
}

// signInFirst shows the log-in. A form that was sent waits in it; read reads the form, and is
// nil where it was read before.
func (p *Pages) signInFirst(w http.ResponseWriter, r *http.Request, read formReader) {
	if r.URL.Path == "/logout" {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	if r.Header.Get("X-Part") != "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	ask := loginForm{Next: r.URL.RequestURI()}
	if r.Method == http.MethodPost {
		ask.Next, ask.Ended = "/", true
		if read != nil && read(w, r, maxStranger) != nil {
			ask.TooLarge, r.PostForm = true, nil
		} else {
			ask.keep(r.PostForm)
		}
	} else if _, err := r.Cookie(rest.SessionCookie); err == nil {
		ask.Ended = true
	}
	if r.Method == http.MethodGet && !ask.Ended {
		http.Redirect(w, r, withQuery("/login", "next", ask.Next), http.StatusSeeOther)
		return
	}
	p.askLogin(w, r, http.StatusUnauthorized, ask)
}

// redirect leads to another page after something was done; notice names what to tell there.
func (v *visit) redirect(to, notice string) error {
	if notice != "" {
		to = withQuery(to, "notice", notice)
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

func withQuery(path, name, value string) string {
	before := "?"
	if strings.Contains(path, "?") {
		before = "&"
	}
	return path + before + url.Values{name: {value}}.Encode()
}

// cameFrom is the page on which a form was sent: the one that takes it again, or the one to go
// back to. It is empty where the form names none.
func cameFrom(form url.Values) string {
	for _, name := range []string{"page", "back"} {
		if path := form.Get(name); path != "" && localPath(path) {
			return path
		}
	}
	return ""
}

// localPath tells a path of this server from an address of another.
func localPath(path string) bool {
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(path, "/") &&
		!strings.HasPrefix(path, "//") && !strings.ContainsAny(path, "\\\r\n\t")
}

// sortOf is the sort of a problem; empty for other errors and for none.
func sortOf(err error) string {
	var p *rest.Problem
	if errors.As(err, &p) {
		return p.Sort()
	}
	return ""
}

// fail shows an error as a page.
func (v *visit) fail(err error) {
	status, title, cure := v.told(v.w, v.r, err)
	v.message(v.w, v.r, status, title, cure)
}

func (p *Pages) problem(w http.ResponseWriter, r *http.Request, err error) {
	status, title, cure := p.told(w, r, err)
	p.message(w, r, status, title, cure)
}

// told is an error in the words of a page.
func (p *Pages) told(w http.ResponseWriter, r *http.Request, err error) (status int, title, cure string) {
	var problem *rest.Problem
	if !asProblem(err, &problem) {
		p.Log.Error("a page failed", "path", r.URL.Path, "error", err)
		return http.StatusInternalServerError, "The server failed", "Its log tells why."
	}
	if after := problem.GetHeaders().Get("Retry-After"); after != "" {
		w.Header().Set("Retry-After", after)
	}
	return problem.Status, problem.Title, sentence(problem.Detail)
}

// sentence begins with a capital and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	if first, n := utf8.DecodeRuneInString(text); first != utf8.RuneError {
		text = string(unicode.ToUpper(first)) + text[n:]
	}
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// site is the one in the path.
func (v *visit) site() string { return v.r.PathValue("site") }

// key is the object in the path.
func (v *visit) key(k model.Kind) model.Key { return rest.KeyOf(k, v.site(), v.r.PathValue("id")) }

func asProblem(err error, p **rest.Problem) bool { return errors.As(err, p) }
