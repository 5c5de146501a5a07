package web

import (
	"net/http"

	"ss-setup/runtime/rest"
)

// shown is what is told to somebody this once: codes, the text of a token.
type shown struct {
	Title, Lead string
	Lines       []string
	Next        string
	// session is the token of the session that may see it.
	session string
}

// tellOnce leads to a page that shows something to this session, until somebody says that he
// has kept it, and for some minutes at most. cookie is the value of the session's cookie
// where the answer changes it, else empty.
func (v *visit) tellOnce(s shown, cookie string) error {
	if cookie == "" {
		if c, err := v.r.Cookie(rest.SessionCookie); err == nil {
			cookie = c.Value
		}
	}
	s.session = v.tokenOf(cookie)
	return v.redirect("/once/"+v.secrets.put(v.who.Name(), 0, s), "")
}

// shownHere is what the address shows to this session.
func (v *visit) shownHere() (shown, error) {
	s, ok := v.secrets.get(v.r.PathValue("id"))
	if !ok || s.session != v.token(v.r, rest.SessionCookie) {
		return s, v.who.NotThere("what was shown here", "it was shown for some minutes, in one session, until somebody had kept it")
	}
	return s, nil
}

func (p *Pages) showOnce(v *visit) error {
	s, err := v.shownHere()
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "once", view{Title: s.Title, Lead: s.Lead, Data: s})
}

// kept takes away what was shown.
func (p *Pages) kept(v *visit) error {
	s, err := v.shownHere()
	if err != nil {
		return err
	}
	p.secrets.drop(v.r.PathValue("id"))
	return v.redirect(s.Next, "")
}
