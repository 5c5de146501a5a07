package web

import (
	"net/http"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// accountData is what people see of their own account.
type accountData struct {
	*rest.Me
	Wrong map[string]string
	// TakesCode tells that another password takes the code of the app.
	TakesCode bool
	// Secret is the app that is being set up.
	Secret *rest.NewSecret
	QR     *code
}

// account is the page of one's own password and authenticator app.
func (p *Pages) account(v *visit) error { return v.showAccount(http.StatusOK, nil) }

func (v *visit) showAccount(status int, err error) error {
	me, meErr := v.who.Me()
	if meErr != nil {
		return meErr
	}
	data := accountData{Me: me, Wrong: map[string]string{}, TakesCode: me.TOTP && v.who.PasswordTakesCode()}
	var problem *rest.Problem
	if asProblem(err, &problem) {
		status = problem.Status
		for _, e := range problem.Errors {
			data.Wrong[e.Field] = sentence(e.Problem + "; " + e.Cure)
		}
		if len(problem.Errors) == 0 {
			data.Wrong[""] = sentence(problem.Detail)
		}
	} else if err != nil {
		return err
	}
	page := view{Title: "Your account", Lead: me.By, Data: data}
	if me.MustChange {
		page.Lead = "Choose another password before you go on."
	}
	return v.show(status, "account", page)
}

func (p *Pages) setPassword(v *visit) error {
	form := v.r.PostForm
	if form.Get("new.clear") != form.Get("again.clear") {
		return v.showAccount(0, &rest.Problem{
			Status: http.StatusUnprocessableEntity, Errors: []model.FieldError{{Field: "again", Problem: "it is not the same", Cure: "type the new password twice"}},
		})
	}
	cookie, err := v.who.SetPassword(v.r.Context(), &rest.PasswordRequest{
		Current: form.Get("current.clear"), New: form.Get("new.clear"), Code: form.Get("password-code.clear"), Recovery: form.Get("password-code-recovery.clear"),
	})
	var problem *rest.Problem
	if asProblem(err, &problem) {
		for i, e := range problem.Errors {
			if e.Field == "code" { // the page has another one
				problem.Errors[i].Field = "password-code"
			}
		}
	}
	if err != nil {
		return v.showAccount(0, err)
	}
	v.w.Header().Add("Set-Cookie", cookie)
	return v.redirect("/account", "password")
}

func (p *Pages) beginTOTP(v *visit) error {
	form := v.r.PostForm
	if _, err := v.who.BeginTOTP(v.r.Context(), &rest.Proof{Password: form.Get("password.clear")}); err != nil {
		return v.showAccount(0, err)
	}
	return v.redirect("/account/totp", "")
}

// showTOTP shows the secret of the app that is being set up.
func (p *Pages) showTOTP(v *visit) error { return v.showSecret(http.StatusOK, "") }

func (v *visit) showSecret(status int, wrong string) error {
	secret := v.who.PendingTOTP()
	if secret == nil {
		return v.redirect("/account", "")
	}
	data := accountData{Secret: secret, QR: qrOf(secret.URI), Wrong: map[string]string{"code": wrong}}
	return v.show(status, "totp", view{Title: "Set up an authenticator app", Crumbs: []link{{Text: "Your account", Href: "/account"}}, Data: data})
}

func (p *Pages) useTOTP(v *visit) error {
	codes, cookie, err := v.who.UseTOTP(v.r.Context(), v.r.PostForm.Get("code"))
	var problem *rest.Problem
	if asProblem(err, &problem) && len(problem.Errors) > 0 {
		return v.showSecret(problem.Status, sentence(problem.Errors[0].Problem+"; "+problem.Errors[0].Cure))
	}
	if err != nil {
		return err
	}
	v.w.Header().Add("Set-Cookie", cookie)
	fresh, err := http.ParseSetCookie(cookie)
	if err != nil {
		return err
	}
	return v.tellOnce(shown{
		Title: "Keep these recovery codes", Lead: "Each stands in once for the app, when the phone is lost. They are shown until you say that you have kept them, 5 minutes at most.", Lines: codes, Next: "/account",
	}, fresh.Value)
}

func (p *Pages) removeTOTP(v *visit) error {
	form := v.r.PostForm
	cookie, err := v.who.RemoveTOTP(v.r.Context(), &rest.Proof{
		Password: form.Get("password.clear"), Code: form.Get("code.clear"), Recovery: form.Get("code-recovery.clear"),
	})
	if err != nil {
		return v.showAccount(0, err)
	}
	v.w.Header().Add("Set-Cookie", cookie)
	return v.redirect("/account", "totp-off")
}
