package web

import (
	"net/http"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// Whoever finds a SuperAdmin's session open must not become master of the server by it: what
// hands out all rights or all secrets asks for the password, unless it was typed a short while
// ago.

// problemProof is the problem of who must show first that it is he.
const problemProof = "proof-required"

// proofAsk is what a form asks for that must know who sits there.
type proofAsk struct {
	// Code tells that the code of an app belongs to it.
	Code  bool
	Wrong map[string]string
}

// proof is what the visitor must show, nil if nothing.
func (v *visit) proof() (*proofAsk, error) {
	if !v.who.NeedsProof() {
		return nil, nil
	}
	me, err := v.who.Me()
	if err != nil {
		return nil, err
	}
	ask := &proofAsk{Code: me.TOTP, Wrong: v.unproved}
	if ask.Wrong == nil {
		ask.Wrong = map[string]string{}
	}
	return ask, nil
}

// prove takes what the form of the visitor shows; false if that is not enough: what is wrong
// stands in the form then.
func (v *visit) prove() (ok bool, err error) {
	if !v.who.NeedsProof() {
		return true, nil
	}
	form := v.r.PostForm
	v.unproved = map[string]string{}
	if form.Get("proof.clear") == "" {
		v.unproved["password"] = "Type it to show that it is you. Nothing was changed."
		return false, nil
	}
	err = v.who.Prove(v.r.Context(), &rest.Proof{
		Password: form.Get("proof.clear"), Code: form.Get("proof-code.clear"), Recovery: form.Get("proof-code-recovery.clear"),
	})
	var p *rest.Problem
	if !asProblem(err, &p) {
		return err == nil, err
	}
	switch {
	case len(p.Errors) > 0:
		for _, e := range p.Errors {
			v.unproved[e.Field] = sentence(e.Problem + "; " + e.Cure)
		}
	case p.Status == http.StatusTooManyRequests:
		v.unproved["password"] = sentence(p.Detail)
	default:
		return false, err
	}
	return false, nil
}

// guarded tells the kinds that are the way to all rights.
func (res resource) guarded() bool {
	return res.kind == model.KindSuperAdmin || res.kind == model.KindToken
}

// proofFor is what the form of an object asks for.
func (v *visit) proofFor(res resource) (*proofAsk, error) {
	if !res.guarded() {
		return nil, nil
	}
	return v.proof()
}

// proveFor takes what the form of an object shows.
func (v *visit) proveFor(res resource) (ok bool, err error) {
	if !res.guarded() {
		return true, nil
	}
	return v.prove()
}

const unprovedForm = "Show at the end of the form that it is you: your own password is asked for there."
