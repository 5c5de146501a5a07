package web

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/model"
	"ss-setup/runtime/setup/answers"
)

// takeStep keeps what a step was told and goes on, or back.
func (p *Pages) takeStep(w http.ResponseWriter, r *http.Request, plan *plan, expires time.Time, step int) {
	w, done := p.wizard.work(w)
	defer done()
	sections := p.stepSections(plan, step)
	keep(plan.values, sections, r.PostForm)
	if to, ok := leads(r.PostForm, step); ok {
		http.Redirect(w, r, stepPath(to), http.StatusSeeOther)
		return
	}
	f := p.stepForm(plan, step)
	if step == nodeStep && plan.values.get("way") == "join" {
		data := p.wizardData(plan, expires, step)
		data.form, data.HA = f, true
		for _, name := range []string{"node_id", "description"} {
			data.Mine = append(data.Mine, hidden{name, plan.values.get(name)})
		}
		p.show(w, r, http.StatusOK, "wizard", view{Token: p.token(r, setupCookie), Title: "Clusters come later", Lead: "Joining a cluster comes with clustering in a later release. This release runs on its own.", Data: data})
		return
	}
	if err := p.takePasswords(r.Context(), plan, step, r.PostForm, f); err != nil {
		p.Log.Error("a password could not be hashed", "error", err)
		f.General = append(f.General, "The password could not be taken; the log of ss-server tells why.")
	}
	p.check(plan, step, f)
	if len(f.wrong) > 0 || len(f.General) > 0 {
		p.showStep(w, r, http.StatusUnprocessableEntity, plan, expires, step, f)
		return
	}
	plan.reached = max(plan.reached, step+1)
	if step == adminStep && plan.unproved() {
		if plan.secret == "" {
			plan.secret = auth.NewSecret()
		}
		http.Redirect(w, r, SetupPath+"?part=app", http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, stepPath(step+1), http.StatusSeeOther)
}

// takePasswords takes the passwords of a step: they are checked, and kept as hashes.
func (p *Pages) takePasswords(ctx context.Context, plan *plan, step int, sent url.Values, f *form) error {
	switch step {
	case adminStep:
		typed := sent.Get("superadmin.password.clear")
		if typed != sent.Get("again.clear") {
			f.wrong["again.clear"] = append(f.wrong["again.clear"], "It is not the same; type the password twice.")
			return nil
		}
		if typed == "" {
			return nil
		}
		hash, err := hashed(ctx, "superadmin.password", plan.values.get("superadmin.name"), typed, f)
		if hash != "" {
			plan.password = hash
		}
		return err
	case siteStep:
		typed := sent.Get("first_site.user.password.clear")
		if typed == "" {
			return nil
		}
		hash, err := hashed(ctx, "first_site.user.password", plan.values.get("first_site.user.name"), typed, f)
		if hash != "" {
			plan.userPassword = hash
		}
		return err
	}
	return nil
}

// hashed is the hash of a password that is good enough; else what is wrong stands in f.
func hashed(ctx context.Context, name, who, typed string, f *form) (string, error) {
	if err := auth.DefaultPolicy().Check(who, typed); err != nil {
		f.wrong[name+".clear"] = append(f.wrong[name+".clear"], sentence(strings.TrimPrefix(err.Error(), auth.ErrPolicy.Error()+": ")))
		return "", nil
	}
	a := &answers.Answers{SuperAdmin: &answers.SuperAdmin{Password: typed}}
	err := a.Hash(ctx)
	return a.SuperAdmin.Password, err
}

// check puts what is wrong with the answers of a step beside its fields.
func (p *Pages) check(plan *plan, step int, f *form) {
	a, wrong := plan.answers()
	a.Complete()
	own := fieldsOf(f.Sections)
	for _, e := range append(wrong, a.Check()...) {
		// A password that was just refused is not also missing.
		refused := strings.TrimSuffix(e.Field, ".password") + ".password.clear"
		if (e.Field == "superadmin.password" || e.Field == "first_site.user") && len(f.wrong[refused]) > 0 {
			continue
		}
		place := strings.NewReplacer("[", ".", "]", "").Replace(e.Field)
		switch {
		case e.Field == "superadmin.password" && plan.password == "":
			e.Cure = "choose one"
		case e.Field == "first_site.user":
			place, e.Cure = "first_site.user.password", "give a password or a public key"
		}
		for _, field := range own {
			name := strings.TrimSuffix(field.Name, ".clear")
			if place == name || strings.HasPrefix(place, name+".") && name != "first_site" {
				f.wrong[field.Name] = append(f.wrong[field.Name], sentence(e.Problem+"; "+e.Cure))
			}
		}
	}
}

// answers are what the plan says, as answers of a file would.
func (pl *plan) answers() (a *answers.Answers, wrong []model.FieldError) {
	get := pl.values.get
	a = &answers.Answers{
		NodeID: get("node_id"), Description: get("description"), RecoveryEmail: get("recovery_email"),
		SuperAdmin: &answers.SuperAdmin{Name: get("superadmin.name"), Password: pl.password},
	}
	if pl.proved && get("app") != "" {
		a.SuperAdmin.TOTP = model.TOTP{Secret: model.Secret{Clear: pl.secret}, Recovery: pl.hashes}
	}
	if get("first_site") == "" {
		return a, wrong
	}
	if port := strings.TrimSpace(get("sftp_port")); port != "" {
		var err error
		if a.SFTPPort, err = strconv.Atoi(port); err != nil || a.SFTPPort < 1 {
			a.SFTPPort = 0
			wrong = append(wrong, model.FieldError{Field: "sftp_port", Problem: "it is no port", Cure: "use 1 to 65535"})
		}
	}
	a.FirstSite = &answers.Site{Name: get("first_site.name"), Folder: get("first_site.folder"), Encrypted: get("first_site.encrypted") != ""}
	if name := get("first_site.user.name"); name != "" {
		a.FirstSite.User = &answers.User{Name: name, Password: pl.userPassword, PublicKeys: lines(get("first_site.user.public_keys"))}
	}
	return a, wrong
}

func (p *Pages) showApp(w http.ResponseWriter, r *http.Request, status int, plan *plan, expires time.Time, wrong string) {
	data := p.wizardData(plan, expires, adminStep)
	data.form, data.Secret, data.Problem = formOf(nil, nil), plan.secret, wrong
	data.URI = auth.SecretURI("SS Server", plan.values.get("superadmin.name"), plan.secret)
	data.App = qrOf(data.URI)
	p.show(w, r, status, "wizard", view{Token: p.token(r, setupCookie), Title: "Authenticator app", Lead: "Scan the code with the app, then type the six digits that it shows. Only then will the app be asked for.", Data: data})
}

// takeApp tests the app before it counts.
func (p *Pages) takeApp(w http.ResponseWriter, r *http.Request, plan *plan, expires time.Time) {
	w, done := p.wizard.work(w)
	defer done()
	if to, ok := leads(r.PostForm, siteStep); ok {
		http.Redirect(w, r, stepPath(to), http.StatusSeeOther)
		return
	}
	if r.PostForm.Get("go") == "skip" {
		delete(plan.values, "app")
		http.Redirect(w, r, stepPath(siteStep), http.StatusSeeOther)
		return
	}
	if _, err := auth.CheckCode(plan.secret, r.PostForm.Get("app-code"), p.Now(), 0); err != nil {
		p.showApp(w, r, http.StatusUnprocessableEntity, plan, expires, "That is not the code of the app. Look whether the clocks of phone and server are right, and type the code of now.")
		return
	}
	plan.proved = true
	plan.recovery, plan.hashes = auth.NewRecovery(recoveryCodes)
	http.Redirect(w, r, stepPath(siteStep), http.StatusSeeOther)
}

// recoveryCodes are how many a person gets.
const recoveryCodes = 8

// review is what will be made, answer by answer.
func (p *Pages) review(plan *plan) (out []reviewed) {
	add := func(step int, label, value string) {
		if value != "" {
			out = append(out, reviewed{label, value, step})
		}
	}
	get := plan.values.get
	a, _ := plan.answers()
	a.Complete()
	add(nodeStep, "Node", strings.Trim(a.NodeID+", "+a.Description, ", "))
	add(adminStep, "SuperAdmin", a.SuperAdmin.Name+", "+a.RecoveryEmail)
	app := "no"
	if plan.proved && get("app") != "" {
		app = "yes, tested"
	}
	add(adminStep, "Authenticator app", app)
	if s := a.FirstSite; s != nil {
		add(siteStep, "Site", s.Name)
		port := "22, or 2222 where that is taken"
		if a.SFTPPort != 0 {
			port = strconv.Itoa(a.SFTPPort)
		}
		add(siteStep, "Port", port)
		files := s.Folder
		if s.Encrypted {
			files += ", encrypted"
		}
		add(siteStep, "Files", files)
		user := "none yet"
		if s.User != nil {
			user = s.User.Name
		}
		add(siteStep, "First user", user)
	} else {
		add(siteStep, "First site", "none yet")
	}
	return out
}
