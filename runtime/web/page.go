package web

import (
	"bytes"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// view is what the layout shows around a page.
type view struct {
	Title string
	// Lead is the one sentence below the title.
	Lead   string
	Crumbs []link
	Tabs   []link
	// Primary is the one thing that most people come for.
	Primary *link
	Notice  string
	// Proof is what a form asks for that must know who sits there, nil for nothing.
	Proof *proofAsk
	Data  any

	// The rest is filled in.
	Nav          []link
	Who, Role    string
	Token, Theme string
	// Page is the page that takes what its forms hold, Here the whole address of the one that
	// is shown: of the one before, where it answers a form. By is who it is shown to.
	Page, Here, By               string
	Version                      string
	Style, Script, Icons, Update string
}

// link leads somewhere.
type link struct {
	Text, Href, Icon string
	// Here is the page, or what it lies below.
	Here bool
}

// notices are what can be told after something was done, by the word in the address.
var notices = map[string]string{
	"saved":          "Saved. It holds from now on.",
	"same":           "Nothing was changed.",
	"made":           "Made. It holds from now on.",
	"deleted":        "Deleted.",
	"started":        "The site was started.",
	"stopped":        "The site was stopped.",
	"draining":       "No session begins any more; the site stops when its transfers are done.",
	"kicked":         "The sessions were ended.",
	"none-kicked":    "No session was chosen, and none was ended.",
	"kicked-already": "No session was ended: there was none any more.",
	"backup":         "The backup is made. Download it: it waits here for 15 minutes.",
	"snapshot":       "The snapshot is made.",
	"none-ticked":    "No user was ticked, or too many. Nothing was changed.",
	"removed":        "The file was removed. Nothing was changed.",
	"password":       "The password was changed. All other sessions of yours have ended.",
	"totp-off":       "Log-ins ask for no code any more.",
	"stale":          "The form came out of another session of yours, so nothing was saved yet. Look at it, and save it if it is right.",
	"others":         "Somebody else had typed into the form that waited at the log-in. It was left out, and nothing of it was saved.",
	"back":           "You are signed in again. What you had typed is still here, but for passwords; nothing was saved yet.",
}

// draftGone takes the place of what is told with a draft.
const draftGone = "What you had typed is not here any more: it waits for 15 minutes, and not longer than the server runs. This is what is saved."

// renderer has the templates: layout.html and parts.html are in each page.
type renderer struct {
	pages map[string]*template.Template
}

func newRenderer(p *Pages) *renderer {
	r := &renderer{pages: map[string]*template.Template{}}
	base := template.New("").Funcs(template.FuncMap{
		"ask": ask, "asset": func(name string) string { return p.assets.names[name] },
		"count": count, "size": size, "rate": rate, "iso": iso, "moment": moment, "span": span, "until": func(t time.Time) time.Duration { return t.Sub(p.Now()) },
		"ago": func(t time.Time) string { return span(p.Now().Sub(t)) }, "lower": lower, "sentence": sentence, "many": many, "root": root, "here": here, "endpoint": endpoint, "add": func(a, b int) int { return a + b },
	})
	template.Must(base.ParseFS(files, "templates/layout.html", "templates/parts.html"))
	for _, e := range must(files.ReadDir("templates")) {
		name := strings.TrimSuffix(e.Name(), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		r.pages[name] = template.Must(template.Must(base.Clone()).ParseFS(files, path.Join("templates", e.Name())))
	}
	return r
}

// show writes a page whole or not at all. A script that asks for a part of it gets that.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, status int, name string, v view) {
	p.dress(r, &v)
	part := "layout"
	t := p.render.pages[name]
	if asked := r.Header.Get("X-Part"); asked != "" && t.Lookup("part-"+asked) != nil {
		part = "part-" + asked
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, part, v); err != nil {
		p.Log.Error("a page could not be rendered", "page", name, "error", err)
		http.Error(w, "This page could not be rendered; the log of ss-server tells why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(out.Bytes())
}

// dress fills in what every page has.
func (p *Pages) dress(r *http.Request, v *view) {
	v.Version, v.Theme = p.Version, themeOf(r)
	if v.Page, v.Here = r.URL.EscapedPath(), withoutNotice(r.URL); r.Method == http.MethodPost {
		from := orText(cameFrom(r.PostForm), "/")
		v.Page, v.Here = from, from
	}
	v.Style, v.Script, v.Icons = p.assets.names["style.css"], p.assets.names["script.js"], p.assets.names["icons.svg"]
	if v.Notice == "" {
		v.Notice = notices[r.URL.Query().Get("notice")]
	}
}

// withoutNotice is an address without what is told at it once.
func withoutNotice(u *url.URL) string {
	query := u.Query()
	query.Del("notice")
	if len(query) == 0 {
		return u.EscapedPath()
	}
	return u.EscapedPath() + "?" + query.Encode()
}

// show is a page with the navigation around it.
func (v *visit) show(status int, name string, page view) error {
	page.Token, page.By = v.token(v.r, rest.SessionCookie), v.who.Name()
	page.Role, page.Who, _ = strings.Cut(v.who.Name(), "/")
	page.Role = model.Kind(page.Role).Noun()
	page.Nav = v.nav()
	if v.r.Method == http.MethodGet && v.r.URL.Query().Has("draft") && v.held() == nil {
		page.Notice = draftGone
	}
	if v.who.Super() {
		if u := v.update(); u != nil {
			page.Update = u.Version
		}
	}
	v.Pages.show(v.w, v.r, status, name, page)
	return nil
}

// nav is where the visitor may go.
func (v *visit) nav() []link {
	list := []link{{Text: "Overview", Href: "/", Icon: "home"}}
	add := func(ok bool, text, href, icon string) {
		if ok {
			list = append(list, link{Text: text, Href: href, Icon: icon})
		}
	}
	users := v.mayAnywhere(model.KindUser)
	add(v.who.MayList(model.KindSite, ""), "Sites", "/sites", "site")
	add(users, "Users", "/users", "users")
	add(users, "Sessions", "/sessions", "session")
	add(v.who.MayList(model.KindEntry, ""), "Protector", "/entries", "shield")
	add(v.who.Super(), "SuperAdmins", "/superadmins", "key")
	add(v.who.Super(), "Admins", "/admins", "key")
	add(v.who.Super(), "Tokens", "/tokens", "token")
	add(v.who.Super(), "Certificates", "/certificates", "lock")
	add(v.who.Super(), "Nodes", "/nodes", "node")
	add(v.who.Super(), "Settings", "/settings", "settings")
	add(v.who.Super() && v.worth(legacyResource(), ""), "Kept objects", "/legacy", "token")
	add(v.who.Super() && v.Backups != nil, "Backup", "/backup", "backup")
	add(v.who.Super() && v.Restorer != nil, "Restore", "/restore", "restore")
	add(true, "Audit log", "/audit", "log")
	add(true, "Help", "/help", "help")
	at := area(v.r.URL.Path)
	for i := range list {
		list[i].Here = list[i].Href == at
	}
	return list
}

// area is the address in the navigation that a page belongs to. What a site has lies below
// the site; users and sessions have a place of their own.
func area(at string) string {
	parts := strings.Split(strings.Trim(at, "/"), "/")
	if parts = slices.DeleteFunc(parts, func(p string) bool { return p == "new" }); len(parts) == 0 {
		return "/"
	}
	if parts[0] == "sites" && len(parts) > 2 {
		switch parts[2] {
		case "users", "bulk-users", "import-users":
			return "/users"
		case "sessions":
			return "/sessions"
		}
	}
	return "/" + parts[0]
}

// mayAnywhere tells whether a kind may be seen in some site.
func (v *visit) mayAnywhere(k model.Kind) bool {
	if v.who.Super() {
		return true
	}
	me, err := v.who.Me()
	return err == nil && len(me.Sites) > 0 && me.Right.MayView(k)
}

// message is a page of one sentence and its cure, with the navigation around it for who has
// signed in.
func (v *visit) message(w http.ResponseWriter, r *http.Request, status int, title, cure string) {
	if v.who == nil {
		v.Pages.message(w, r, status, title, cure)
		return
	}
	_ = v.show(status, "message", view{Title: title, Data: cure}) // it has none
}

// signedInHere is the visit of who has signed in, on a page that is open to all; nil for
// others.
func (p *Pages) signedInHere(w http.ResponseWriter, r *http.Request) *visit {
	if _, err := r.Cookie(rest.SessionCookie); err != nil {
		return nil
	}
	who, err := p.API.Enter(r)
	if err != nil {
		return nil
	}
	return &visit{Pages: p, w: w, r: r, who: who}
}

// message is a page of one sentence and its cure.
func (p *Pages) message(w http.ResponseWriter, r *http.Request, status int, title, cure string) {
	p.show(w, r, status, "message", view{Title: title, Data: cure})
}

func (p *Pages) nowhere(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		p.message(w, r, http.StatusMethodNotAllowed, "This page takes no "+r.Method, "Open it by its address instead.")
		return
	}
	const title, cure = "There is no such page", "Check the address, or begin at the overview."
	if v := p.signedInHere(w, r); v != nil {
		v.message(w, r, http.StatusNotFound, title, cure)
		return
	}
	p.message(w, r, http.StatusNotFound, title, cure)
}

func (p *Pages) help(w http.ResponseWriter, r *http.Request) {
	page := view{Title: "Help", Lead: "Commands for the machine this server runs on."}
	if v := p.signedInHere(w, r); v != nil {
		_ = v.show(http.StatusOK, "help", page) // it has none
		return
	}
	p.show(w, r, http.StatusOK, "help", page)
}

// CrossOrigin answers a form that a page of another site sent.
func (p *Pages) CrossOrigin(w http.ResponseWriter, r *http.Request) {
	p.message(w, r, http.StatusForbidden, "The form came from another site", "Open this page by its own address and send the form again.")
}

const themeCookie = "__Host-ss-theme"

// themeOf is "light" or "dark" where somebody chose, else what the system says.
func themeOf(r *http.Request) string {
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return "auto"
}

func (p *Pages) setTheme(w http.ResponseWriter, r *http.Request) {
	if p.readForm(w, r, maxLogin) != nil {
		p.unreadable(w, r)
		return
	}
	c := &http.Cookie{Name: themeCookie, Value: r.PostForm.Get("theme"), Path: "/", MaxAge: 365 * 24 * 3600, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if c.Value != "light" && c.Value != "dark" {
		c.Value, c.MaxAge = "", -1
	}
	http.SetCookie(w, c)
	to := r.PostForm.Get("page")
	if !localPath(to) {
		to = "/"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// asked is one input of a page that is no form of an object.
type asked struct {
	Name, Label, Help, Wrong string
	On                       bool
}

// ask makes one in a template.
func ask(name, label, help, wrong string, on ...bool) asked {
	return asked{name, label, help, wrong, len(on) > 0 && on[0]}
}

// count writes a number with separators.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// many is a number with its noun.
func many(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// endpoint says where something listens, of HOST:PORT.
func endpoint(address string) string {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return address
	case host == "":
		return "port " + port + " of all addresses"
	}
	return "port " + port + " of " + host
}

var units = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}

// size writes bytes in binary units.
func size(n int64) string {
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 || v == float64(int64(v)) {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// rate is bytes a second.
func rate(perSecond float64) string { return size(int64(perSecond)) + "/s" }

func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// moment is a time for people; a script puts it into the reader's zone.
func moment(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }

// span is how long something takes, in its largest unit.
func span(d time.Duration) string {
	for _, u := range []struct {
		one  time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int(d / u.one); n > 0 {
			if n == 1 {
				return "1 " + u.name
			}
			return strconv.Itoa(n) + " " + u.name + "s"
		}
	}
	return "a moment"
}

// lower is a label within a sentence: words keep the capitals that are not their first letter's.
func lower(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if first, n := utf8.DecodeRuneInString(word); strings.ToLower(word[n:]) == word[n:] {
			words[i] = string(unicode.ToLower(first)) + word[n:]
		}
	}
	return strings.Join(words, " ")
}
