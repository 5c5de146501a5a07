package web

import (
	"net/http"
	"strconv"
	"strings"

	"ss-setup/runtime/rest"
)

// sessionRow is a session in the list.
type sessionRow struct {
	rest.Session
	Href string
}

type sessionsData struct {
	Rows    []sessionRow
	Site    string
	Text    string
	Total   int
	MayKick bool
	Sites   []link
	Action  string
}

func (p *Pages) sessionsOfSomeSite(v *visit) error { return v.someSite("/sessions") }

// sessions are those that run in a site.
func (p *Pages) sessions(v *visit) error {
	running, err := v.who.Sessions(v.site())
	if err != nil {
		return err
	}
	text := strings.ToLower(cut(v.r.URL.Query().Get("q"), 200))
	data := sessionsData{Site: v.site(), Text: text, Total: len(running), Sites: v.otherSites("/sessions"), Action: sitePath(v.site()) + "/sessions/kick", MayKick: v.who.MayEdit(usersKey(v.site()))}
	for _, s := range running {
		if text != "" && !strings.Contains(strings.ToLower(s.User+" "+s.Address+" "+s.Client), text) {
			continue
		}
		data.Rows = append(data.Rows, sessionRow{s, userPath(v.site(), s.User)})
	}
	return v.show(http.StatusOK, "sessions", view{Title: "Sessions", Lead: "Who is connected to this site now.", Crumbs: v.crumbs(), Tabs: v.tabs(), Data: data})
}

// kick ends sessions: one of them, or all of a user.
func (p *Pages) kick(v *visit) error {
	form := v.r.PostForm
	var err error
	if id, bad := strconv.ParseUint(form.Get("session"), 10, 64); bad == nil {
		_, err = v.who.KickSession(v.site(), id)
	} else if user := form.Get("user"); user != "" {
		_, err = v.who.Kick(v.site(), user)
	}
	if err != nil && sortOf(err) != problemNotFound {
		return err
	}
	to := form.Get("next")
	if !localPath(to) {
		to = sitePath(v.site()) + "/sessions"
	}
	return v.redirect(to, "kicked")
}
