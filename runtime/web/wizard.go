package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ss-setup/runtime/rest"
	"ss-setup/runtime/setup"
	"ss-setup/runtime/setup/answers"
)

// donePath is the page behind the last step of the wizard.
const donePath = "/init/done"

// setupCookie carries the session that a setup code opened: the prefix makes browsers insist
// on HTTPS and on this very host.
const setupCookie = "__Host-ss-setup"

// The steps of the wizard. The app is part of the second.
const (
	nodeStep = iota + 1
	adminStep
	siteStep
	checkStep
	lastStep = checkStep
)

var stepNames = []string{"Node", "SuperAdmin", "First site", "Check"}

// wizard keeps what was told until the last step: nothing of it is saved before.
type wizard struct {
	mu    sync.Mutex
	token string
	plan  *plan
	// done is what the page behind the last step shows, by the token of the session.
	done *doneData
}

// work locks the plan. What is written to the writer goes to the client when done has let go
// of it: somebody with a slow line keeps nobody waiting.
func (w *wizard) work(to http.ResponseWriter) (later *laterWriter, done func()) {
	later = &laterWriter{ResponseWriter: to}
	w.mu.Lock()
	return later, func() {
		w.mu.Unlock()
		later.send()
	}
}

// laterWriter keeps an answer until it is sent.
type laterWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (l *laterWriter) WriteHeader(status int) {
	if l.status == 0 {
		l.status = status
	}
}

// Write implements http.ResponseWriter.
func (l *laterWriter) Write(p []byte) (int, error) {
	l.WriteHeader(http.StatusOK)
	return l.body.Write(p)
}

func (l *laterWriter) send() {
	if l.status != 0 {
		l.ResponseWriter.WriteHeader(l.status)
		_, _ = l.ResponseWriter.Write(l.body.Bytes()) // who went away misses it
	}
}

// plan is what the wizard was told so far.
type plan struct {
	values  values
	reached int
	// password and userPassword are hashes: what was typed does not lie about.
	password, userPassword string
	// secret is that of the authenticator app; proved when a code of it was typed.
	secret           string
	proved           bool
	recovery, hashes []string
}

// open is the furthest step that may be seen: an app that was asked for is proved before
// anything behind it.
func (pl *plan) open() int {
	if pl.unproved() {
		return min(pl.reached, adminStep)
	}
	return pl.reached
}

// unproved tells of an app that is wanted, and of which no code was typed yet.
func (pl *plan) unproved() bool { return pl.values.get("app") != "" && !pl.proved }

// doneData is what the last page shows.
type doneData struct {
	setup.Made
	token    string
	at       time.Time
	Recovery []string
	Login    string
}

// codeForm is what the page that asks for the setup code shows.
type codeForm struct {
	Typed   string
	Wrong   bool
	WaitFor int
	// Carry is what was typed in a session that has ended.
	Carry string
	Ended bool
	// Kept tells that what was typed is carried, or lies here still.
	Kept bool
}

// wizardData is what a step shows.
type wizardData struct {
	*form
	Step    int
	Steps   []stepMark
	Expires time.Time
	Carry   string
	Next    string
	Review  []reviewed
	App     *code
	Secret  string
	URI     string
	// Problem is what is wrong with the code of the app.
	Problem string
	HA      bool
	Mine    []hidden
}

type stepMark struct {
	Number int
	Name   string
	// Open ones can be gone to.
	Open, Here, Done bool
}

// reviewed is one answer on the last step.
type reviewed struct {
	Label, Value string
	Step         int
}

// whileNew closes the wizard of a node that is set up.
func (p *Pages) whileNew(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		done, err := p.Codes.Done()
		switch {
		case err != nil:
			p.Log.Error("whether the node is set up could not be looked up", "error", err)
			p.message(w, r, http.StatusInternalServerError, "The server's objects could not be read", "The log of ss-server tells why.")
		case done:
			p.message(w, r, http.StatusGone, "SS Server is set up already", "This page is for the first run only. Sign in to change anything.")
		default:
			next(w, r)
		}
	}
}

// session is that of a setup code, if there is one.
func (p *Pages) setupSession(r *http.Request) (token string, expires time.Time, ok bool) {
	cookie, err := r.Cookie(setupCookie)
	if err != nil {
		return "", time.Time{}, false
	}
	expires, ok = p.Codes.Session(cookie.Value)
	return cookie.Value, expires, ok
}

// planOf is the plan of a session, nil if the session has ended meanwhile: its late requests
// must not take the plan from the session that came behind it. A new plan begins with what carry
// has; else with what the session before was told, but for passwords: whoever has a setup code
// is root on this machine.
func (p *Pages) planOf(token, carry string) *plan {
	w := &p.wizard
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := p.Codes.Session(token); !ok {
		return nil
	}
	if w.plan != nil && w.token == token {
		return w.plan
	}
	fresh := &plan{reached: nodeStep, values: valuesOf(carry)}
	if fresh.values == nil && w.plan != nil {
		fresh.values = maps.Clone(w.plan.values)
	}
	if fresh.values == nil {
		fresh.values = firstValues()
	}
	w.token, w.plan = token, fresh
	return fresh
}

// valuesOf are those that a form carries, nil for none.
func valuesOf(carry string) (all values) {
	if json.Unmarshal([]byte(carry), &all) != nil {
		return nil
	}
	return all
}

// firstValues are what the wizard proposes.
func firstValues() values {
	all := values{"way": {"standalone"}, "first_site": {"on"}, "first_site.name": {answers.DefaultSite}, "superadmin.name": {answers.DefaultSuperAdmin}}
	if id, err := answers.NewNodeID(rand.Reader); err == nil {
		all["node_id"] = one(id)
	}
	return all
}

// has tells whether what a session was told lies here still.
func (w *wizard) has(token string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.plan != nil && w.token == token
}

// openOf is the furthest step of a plan that may be seen.
func (w *wizard) openOf(pl *plan) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return pl.open()
}

func (p *Pages) showWizard(w http.ResponseWriter, r *http.Request) {
	token, expires, ok := p.setupSession(r)
	if !ok {
		p.askCode(w, r, http.StatusOK, codeForm{Ended: token != "", Kept: p.wizard.has(token)})
		return
	}
	plan := p.planOf(token, "")
	if plan == nil {
		p.askCode(w, r, http.StatusOK, codeForm{Ended: true})
		return
	}
	w, done := p.wizard.work(w)
	defer done()
	step, err := strconv.Atoi(r.URL.Query().Get("step"))
	if err != nil || step < nodeStep || step > plan.open() {
		step = plan.open()
	}
	if plan.secret != "" && (r.URL.Query().Get("part") == "app" || err != nil && plan.unproved()) {
		p.showApp(w, r, http.StatusOK, plan, expires, "")
		return
	}
	p.showStep(w, r, http.StatusOK, plan, expires, step, p.stepForm(plan, step))
}

func (p *Pages) askCode(w http.ResponseWriter, r *http.Request, status int, f codeForm) {
	p.show(w, r, status, "code", view{Title: "Set up SS Server", Data: f})
}

// stepForm is the form of a step with what was told.
func (p *Pages) stepForm(plan *plan, step int) *form {
	f := formOf(p.stepSections(plan, step), nil)
	f.typed = values{}
	for name, list := range plan.values {
		f.typed[name] = list
	}
	return f
}

// stepSections are the questions of a step.
func (p *Pages) stepSections(plan *plan, step int) []section {
	switch step {
	case nodeStep:
		return []section{{Fields: []field{
			{Name: "way", Label: "How will this node run?", Type: radioInput, Options: []option{
				{Value: "standalone", Text: "On its own", Help: "One server. This is what most need."},
				{Value: "join", Text: "As one of a cluster", Help: "Several servers with one configuration."},
			}},
			{Name: "node_id", Label: "Name of the node", Type: monoInput, Required: true, Help: "It stands in logs and tells nodes apart: small letters, digits and hyphens. Keep this one, or write your own."},
			{Name: "description", Label: "Description", Type: textInput, Placeholder: "Files for customers, rack 4", Help: "What the node is for, for whoever finds it in two years."},
		}}}
	case adminStep:
		kept := "At least 10 characters."
		if plan.password != "" {
			kept = "It was taken. Leave both empty to keep it."
		}
		return []section{{Fields: []field{
			{Name: "superadmin.name", Label: "Name", Type: textInput, Required: true, Help: "Who may everything, with these pages and the REST interface."},
			{Name: "superadmin.password.clear", Label: "Password", Type: secretInput, Help: kept},
			{Name: "again.clear", Label: "Password again", Type: secretInput},
			{Name: "recovery_email", Label: "Recovery e-mail", Type: textInput, Required: true, Placeholder: "you@example.com", Help: "Where a lost password is recovered with."},
			{Name: "app", Label: "Ask for a code of an authenticator app, too", Type: flagInput, Help: "The next page shows a code to scan. It is tested before it counts."},
		}}}
	case siteStep:
		kept := "At least 10 characters; or leave it empty and give a public key."
		if plan.userPassword != "" {
			kept = "It was taken. Leave it empty to keep it."
		}
		return []section{
			{Fields: []field{{Name: "first_site", Label: "Make a first site now", Type: flagInput, Help: "A site is a server of its own that users connect to by SFTP. More can be made later."}}},
			{Title: "Site", Fields: []field{
				{Name: "first_site.name", Label: "Name", Type: monoInput, Placeholder: answers.DefaultSite, Help: "In addresses and logs."},
				{Name: "sftp_port", Label: "Port", Type: numberInput, Placeholder: "22, or 2222 where that is taken", Help: "Where users connect. Empty: 22, or 2222 where the machine's own SSH server has that, as nearly always."},
				{Name: "first_site.folder", Label: "Folder for files", Type: monoInput, Placeholder: "below " + here().Files, Help: "It is made if it is not there."},
				{Name: "first_site.encrypted", Label: "Encrypt the files", Type: flagInput, Help: "Only this server reads them then; its key ring is in every backup. It cannot be changed later."},
			}},
			{Title: "First user", Help: "Leave the name empty to make users later.", Fields: []field{
				{Name: "first_site.user.name", Label: "Name", Type: textInput, Placeholder: "anna"},
				{Name: "first_site.user.password.clear", Label: "Password", Type: secretInput, Help: kept},
				{Name: "first_site.user.public_keys", Label: "Public keys", Type: linesInput, Placeholder: "ssh-ed25519 AAAAC3Nza… anna@laptop", Help: "One a line, as in a .pub file."},
			}},
		}
	}
	return nil
}

var stepLeads = map[int]string{
	nodeStep:  "What this server is called, and whether it runs alone.",
	adminStep: "The account that you sign in with from now on.",
	siteStep:  "Where users connect, and who is the first of them.",
	checkStep: "Nothing is saved yet. This is what will be made.",
}

func (p *Pages) showStep(w http.ResponseWriter, r *http.Request, status int, plan *plan, expires time.Time, step int, f *form) {
	data := p.wizardData(plan, expires, step)
	data.form = f
	if step == checkStep {
		data.Review, data.Next = p.review(plan), "Set the server up"
	}
	p.show(w, r, status, "wizard", view{Token: p.token(r, setupCookie), Title: stepNames[step-1], Lead: stepLeads[step], Data: data})
}

func (p *Pages) wizardData(plan *plan, expires time.Time, step int) *wizardData {
	carry, _ := json.Marshal(plan.values) // strings cannot fail
	data := &wizardData{Step: step, Expires: expires, Carry: string(carry), Next: "Continue"}
	for i, name := range stepNames {
		data.Steps = append(data.Steps, stepMark{Number: i + 1, Name: name, Open: i+1 <= plan.open(), Here: i+1 == step, Done: i+1 < plan.open()})
	}
	return data
}

func stepPath(step int) string { return withQuery(SetupPath, "step", strconv.Itoa(step)) }

// stepWizard takes a setup code, or a step.
func (p *Pages) stepWizard(w http.ResponseWriter, r *http.Request) {
	who, err := p.API.Arrive(r)
	if err != nil {
		p.problem(w, r, err)
		return
	}
	if p.readForm(w, r, maxStranger) != nil {
		p.unreadable(w, r)
		return
	}
	if r.PostForm.Has("code") && !r.PostForm.Has("step") {
		p.redeem(w, r, who)
		return
	}
	token, expires, ok := p.setupSession(r)
	if !ok {
		p.askAgain(w, r)
		return
	}
	if !p.ownForm(r, setupCookie) {
		p.message(w, r, http.StatusForbidden, "That form is of another session", "Open the page again and send the form anew. Nothing was changed.")
		return
	}
	plan := p.planOf(token, r.PostForm.Get("carry"))
	if plan == nil {
		p.askAgain(w, r)
		return
	}
	step, _ := strconv.Atoi(r.PostForm.Get("step"))
	open := p.wizard.openOf(plan)
	switch {
	case r.PostForm.Has("part"):
		p.takeApp(w, r, plan, expires)
	case step == checkStep && open == checkStep:
		p.finish(w, r, plan, token, expires)
	case step >= nodeStep && step < checkStep && step <= open:
		p.takeStep(w, r, plan, expires, step)
	default:
		http.Redirect(w, r, SetupPath, http.StatusSeeOther)
	}
}

// askAgain asks for a code with a form of a session that has ended: what it told waits.
func (p *Pages) askAgain(w http.ResponseWriter, r *http.Request) {
	p.askCode(w, r, http.StatusForbidden, codeForm{Ended: true, Kept: true, Carry: p.carried(r)})
}

// carried is what a form of a session that has ended told, with what it carried.
func (p *Pages) carried(r *http.Request) string {
	all := valuesOf(r.PostForm.Get("carry"))
	if all == nil {
		all = values{}
	}
	if step, _ := strconv.Atoi(r.PostForm.Get("step")); !r.PostForm.Has("part") { // a part has no answers
		keep(all, p.stepSections(&plan{}, step), r.PostForm)
	}
	text, _ := json.Marshal(all) // strings cannot fail
	return string(text)
}

// keep puts what was typed in a step into all that was told.
func keep(all values, sections []section, sent url.Values) {
	for _, f := range fieldsOf(sections) {
		if f.secret() {
			continue
		}
		delete(all, f.Name)
		if text := sent.Get(f.Name); text != "" {
			all[f.Name] = one(strings.ReplaceAll(text, "\r\n", "\n"))
		}
	}
}

// redeem opens the wizard with a setup code.
func (p *Pages) redeem(w http.ResponseWriter, r *http.Request, who *rest.Visitor) {
	f := codeForm{Typed: r.PostForm.Get("code"), Carry: r.PostForm.Get("carry")}
	session, err := p.Codes.Redeem(f.Typed, who.From())
	var wait *setup.TooManyError
	switch {
	case errors.As(err, &wait):
		f.WaitFor = int(wait.Wait/time.Second) + 1
		w.Header().Set("Retry-After", strconv.Itoa(f.WaitFor))
		p.askCode(w, r, http.StatusTooManyRequests, f)
		return
	case errors.Is(err, setup.ErrInvalid):
		p.Log.Warn("a setup code was refused", "from", who.From())
		who.Refused("setup.code")
		f.Wrong = true
		p.askCode(w, r, http.StatusForbidden, f)
		return
	case err != nil:
		p.Log.Error("the setup code could not be looked up", "error", err)
		p.message(w, r, http.StatusInternalServerError, "The setup code could not be looked up", "The log of ss-server tells why.")
		return
	}
	p.Log.Info("the wizard was opened with a setup code", "from", who.From())
	p.planOf(session.Token, f.Carry)
	setSetupCookie(w, session.Token, session.Expires)
	http.Redirect(w, r, SetupPath, http.StatusSeeOther)
}

func setSetupCookie(w http.ResponseWriter, token string, expires time.Time) {
	http.SetCookie(w, &http.Cookie{
		Name: setupCookie, Value: token, Path: "/", Expires: expires, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// leads tells which step the form of a step leads to without going on: the one before, or the
// one of its number. They are buttons, as a form carries what was told, and a link does not.
func leads(form url.Values, step int) (to int, ok bool) {
	if form.Get("go") == "back" {
		return max(step-1, nodeStep), true
	}
	to, err := strconv.Atoi(form.Get("go"))
	return to, err == nil
}

// finish makes everything, all of it or nothing.
func (p *Pages) finish(w http.ResponseWriter, r *http.Request, plan *plan, token string, expires time.Time) {
	w, done := p.wizard.work(w)
	defer done()
	if to, ok := leads(r.PostForm, checkStep); ok {
		http.Redirect(w, r, stepPath(to), http.StatusSeeOther)
		return
	}
	for step := nodeStep; step < checkStep; step++ {
		f := p.stepForm(plan, step)
		if p.check(plan, step, f); len(f.wrong) > 0 {
			p.showStep(w, r, http.StatusUnprocessableEntity, plan, expires, step, f)
			return
		}
	}
	a, _ := plan.answers()
	// Who closes the browser now must not leave half a set-up.
	who, err := p.API.Arrive(r)
	if err != nil {
		p.problem(w, r, err)
		return
	}
	made, err := p.SetUp(context.WithoutCancel(r.Context()), who.From(), a)
	switch {
	case errors.Is(err, setup.ErrDone):
		p.message(w, r, http.StatusGone, "SS Server is set up already", "Somebody was quicker. Sign in to change anything.")
		return
	case errors.Is(err, answers.ErrInvalid):
		p.refuseSetUp(w, r, plan, expires, err)
		return
	case err != nil:
		p.Log.Error("the set-up failed", "error", err)
		f := p.stepForm(plan, checkStep)
		f.General = append(f.General, sentence("the set-up failed and nothing was changed: "+err.Error()))
		p.showStep(w, r, http.StatusInternalServerError, plan, expires, checkStep, f)
		return
	}
	p.wizard.done = &doneData{Made: made, token: token, at: p.Now(), Recovery: plan.recovery}
	if !plan.proved || plan.values.get("app") == "" {
		p.wizard.done.Recovery = nil
	}
	p.wizard.plan, p.wizard.token = nil, ""
	// The session of the code may end any moment; what is shown once needs the cookie still.
	setSetupCookie(w, token, p.Now().Add(doneLife))
	http.Redirect(w, r, donePath, http.StatusSeeOther)
}

// refuseSetUp shows the step whose answer only the machine could judge: a port, a folder.
func (p *Pages) refuseSetUp(w http.ResponseWriter, r *http.Request, plan *plan, expires time.Time, err error) {
	text := strings.TrimPrefix(err.Error(), answers.ErrInvalid.Error()+": ")
	name, message, _ := strings.Cut(text, ": ")
	for step := nodeStep; step < checkStep; step++ {
		f := p.stepForm(plan, step)
		own := fieldsOf(f.Sections)
		if slices.ContainsFunc(own, func(field field) bool { return field.Name == name }) {
			f.wrong[name] = append(f.wrong[name], sentence(message))
			p.showStep(w, r, http.StatusUnprocessableEntity, plan, expires, step, f)
			return
		}
	}
	f := p.stepForm(plan, checkStep)
	f.General = append(f.General, sentence(text))
	p.showStep(w, r, http.StatusUnprocessableEntity, plan, expires, checkStep, f)
}

// doneLife is how long the page behind the last step can be looked at.
const doneLife = 15 * time.Minute

// doneHere is what the page behind the last step shows to the browser that set the server
// up; nil for others.
func (p *Pages) doneHere(r *http.Request) *doneData {
	p.wizard.mu.Lock()
	defer p.wizard.mu.Unlock()
	done := p.wizard.done
	cookie, err := r.Cookie(setupCookie)
	if err != nil || done == nil || cookie.Value != done.token || p.Now().Sub(done.at) > doneLife {
		return nil
	}
	told := *done
	return &told
}

// keptCodes takes away the recovery codes that the last page shows.
func (p *Pages) keptCodes(w http.ResponseWriter, r *http.Request) {
	if p.readForm(w, r, maxStranger) != nil {
		p.unreadable(w, r)
		return
	}
	if p.doneHere(r) != nil && p.ownForm(r, setupCookie) {
		p.wizard.mu.Lock()
		p.wizard.done.Recovery = nil
		p.wizard.mu.Unlock()
	}
	http.Redirect(w, r, donePath, http.StatusSeeOther)
}

// showDone tells what runs, to the browser that set the server up.
func (p *Pages) showDone(w http.ResponseWriter, r *http.Request) {
	told := p.doneHere(r)
	if told == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if told.User != "" {
		host := r.Host
		if i := strings.LastIndexByte(host, ':'); i > 0 && !strings.HasSuffix(host, "]") {
			host = host[:i]
		}
		if told.Address != "" {
			host = told.Address
		}
		told.Login = "sftp -P " + strconv.Itoa(told.Port) + " " + told.User + "@" + host
	}
	p.show(w, r, http.StatusOK, "done", view{Token: p.token(r, setupCookie), Title: "SS Server is set up", Data: told})
}
