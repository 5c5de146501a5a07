package web

import (
	"net/http"
	"net/url"
	"strconv"

	"ss-setup/runtime/rest"
)

// loginForm is what the log-in shows.
type loginForm struct {
	Name, As string
	// Next is the page to go on with; Held a form that waits for it.
	Next, Held string
	Ended      bool
	// TooLarge tells of a form that was sent and is too large to wait.
	TooLarge bool
	Wrong    string
	Wait     int
	// Half names a log-in whose password was right and that waits for a code.
	Half     string
	Recovery bool
}

// keep has a form wait, and leads back to its page.
func (f *loginForm) keep(form url.Values) {
	if from := cameFrom(form); from != "" {
		f.Next = from
	}
	if form.Get("page") == "" {
		return // its page takes nothing that was typed
	}
	if held := withoutSecrets(form).Encode(); len(held) <= maxStranger {
		f.Held = held
	} else {
		f.TooLarge = true
	}
}

// AsAdmin tells that the Admin of the name is meant.
func (f loginForm) AsAdmin() bool { return f.As == asAdmin }

// half is a log-in that waits for a code.
type half struct{ name, password, as string }

func (p *Pages) askLogin(w http.ResponseWriter, r *http.Request, status int, f loginForm) {
	title := "Sign in"
	if f.Half != "" {
		title = "Enter the code"
	}
	p.show(w, r, status, "login", view{Title: title, Data: f})
}

func (p *Pages) showLogin(w http.ResponseWriter, r *http.Request) {
	p.askLogin(w, r, http.StatusOK, loginForm{Next: r.URL.Query().Get("next"), As: r.URL.Query().Get("as")})
}

// login is both steps: name and password, then a code where the account has an app.
func (p *Pages) login(w http.ResponseWriter, r *http.Request) {
	who, err := p.API.Arrive(r)
	if err != nil {
		p.problem(w, r, err)
		return
	}
	if p.readForm(w, r, maxLogin) != nil {
		p.unreadable(w, r)
		return
	}
	form := r.PostForm
	f := loginForm{Name: form.Get("name"), As: form.Get("as"), Next: form.Get("next"), Held: form.Get("held"), Half: form.Get("half"), Recovery: form.Get("recovery") != ""}
	if p.otherAccount(&f, form) {
		p.askLogin(w, r, http.StatusOK, f)
		return
	}
	ask := &rest.LoginRequest{Name: f.Name, Password: form.Get("password"), As: f.As}
	if f.Half != "" {
		begun, ok := p.halves.get(f.Half)
		if !ok {
			f.Half, f.Wrong = "", "That took too long. Sign in again."
			p.askLogin(w, r, http.StatusUnauthorized, f)
			return
		}
		f.Name, f.As = begun.name, begun.as
		ask.Name, ask.Password, ask.As = begun.name, begun.password, begun.as
		ask.Code, ask.Recovery = form.Get("code"), form.Get("recovery")
	}
	me, cookie, err := who.Login(r.Context(), ask)
	if err != nil {
		p.refuseLogin(w, r, f, ask, err)
		return
	}
	p.halves.drop(f.Half)
	w.Header().Add("Set-Cookie", cookie)
	http.Redirect(w, r, p.onwards(f, me.By), http.StatusSeeOther)
}

// otherAccount begins the log-in anew where a button asks for it. What waits for it goes on
// waiting.
func (p *Pages) otherAccount(f *loginForm, form url.Values) bool {
	switch {
	case form.Get("again") != "":
		p.halves.drop(f.Half)
		f.Half, f.Name, f.As = "", "", ""
	case form.Get("admin") != "":
		f.As = asAdmin
	default:
		return false
	}
	return true
}

// asAdmin is who means the Admin and not the SuperAdmin of the same name.
const asAdmin = "admin"

// onwards is where the log-in of somebody leads to.
func (p *Pages) onwards(f loginForm, by string) string {
	if !localPath(f.Next) {
		return "/"
	}
	held, err := url.ParseQuery(f.Held)
	if err != nil || f.Held == "" {
		return f.Next
	}
	if id, ok := p.hold(held, by); ok {
		return withQuery(withQuery(held.Get("page"), "draft", id), "notice", "back")
	}
	return withQuery(f.Next, "notice", "others")
}

func (p *Pages) refuseLogin(w http.ResponseWriter, r *http.Request, f loginForm, ask *rest.LoginRequest, err error) {
	var problem *rest.Problem
	if !asProblem(err, &problem) {
		p.Log.Error("a log-in failed", "error", err)
		p.message(w, r, http.StatusInternalServerError, "The server failed", "Its log tells why.")
		return
	}
	status := problem.Status
	switch {
	case problem.Sort() == problemCode && f.Half == "":
		f.Half, status = p.halves.put(ask.Name, len(ask.Password), half{ask.Name, ask.Password, ask.As}), http.StatusOK
	case problem.Sort() == problemCode:
		f.Wrong = "Type the code of the authenticator app, or a recovery code."
	case problem.Sort() == problemUnauthenticated && f.Half != "":
		f.Wrong = "The code is not right, or was used before. Wait for the next one and type that."
	case problem.Sort() == problemUnauthenticated:
		f.Wrong = "Name or password is wrong, or the account may not be used now. A forgotten password of a SuperAdmin is set anew on the server, with: ss-server sapassreset"
	default:
		f.Wrong = sentence(problem.Detail)
	}
	if after := problem.GetHeaders().Get("Retry-After"); after != "" {
		w.Header().Set("Retry-After", after)
		f.Wait, _ = strconv.Atoi(after)
	}
	p.askLogin(w, r, status, f)
}

func (p *Pages) logout(v *visit) error {
	cookie, err := v.who.Logout()
	if err != nil {
		return err
	}
	v.w.Header().Add("Set-Cookie", cookie)
	return v.redirect("/login", "")
}
