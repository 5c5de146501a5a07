package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
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
	Rows []sessionRow
	Site string
	Text string
	Sort string
	// Sorts are the orders to choose from.
	Sorts []option
	// Total is how many fit.
	Total   int
	MayKick bool
	Sites   []link
	// Action is where sessions are ended, Export where the list is had as a file, Next what
	// comes behind it, empty if that is nothing.
	Action, Export, Next string
}

func (p *Pages) sessionsOfSomeSite(v *visit) error { return v.someSite("/sessions") }

// sessionSorts are the orders of sessions, the first one unless another is asked for.
var sessionSorts = []struct {
	option
	compare func(a, b rest.Session) int
}{
	{option{Value: "-started", Text: "Begun last"}, func(a, b rest.Session) int { return b.Started.Compare(a.Started) }},
	{option{Value: "started", Text: "Begun first"}, func(a, b rest.Session) int { return a.Started.Compare(b.Started) }},
	{option{Value: "user", Text: "User"}, func(a, b rest.Session) int { return strings.Compare(a.User, b.User) }},
	{option{Value: "address", Text: "Address"}, func(a, b rest.Session) int { return strings.Compare(a.Address, b.Address) }},
	{option{Value: "-up", Text: "Most up"}, func(a, b rest.Session) int { return cmp.Compare(b.Received, a.Received) }},
	{option{Value: "-down", Text: "Most down"}, func(a, b rest.Session) int { return cmp.Compare(b.Sent, a.Sent) }},
}

// wantedSessions are those of the site that the address asks for, in its order.
func (v *visit) wantedSessions(data *sessionsData) ([]rest.Session, error) {
	running, err := v.who.Sessions(v.site())
	if err != nil {
		return nil, err
	}
	data.Text = cut(v.r.URL.Query().Get("q"), 200)
	wanted := slices.DeleteFunc(running, func(s rest.Session) bool {
		return !strings.Contains(strings.ToLower(s.User+" "+s.Address+" "+s.Client), strings.ToLower(data.Text))
	})
	chosen := sessionSorts[0]
	for _, s := range sessionSorts {
		data.Sorts = append(data.Sorts, s.option)
		if s.Value == v.r.URL.Query().Get("sort") {
			chosen = s
		}
	}
	data.Sort, data.Total = chosen.Value, len(wanted)
	slices.SortFunc(wanted, func(a, b rest.Session) int { return cmp.Or(chosen.compare(a, b), cmp.Compare(b.ID, a.ID)) })
	return wanted, nil
}

// sessions are those that run in a site.
func (p *Pages) sessions(v *visit) error {
	at := sitePath(v.site()) + "/sessions"
	data := sessionsData{Site: v.site(), Sites: v.otherSites("/sessions"), Action: at + "/kick", MayKick: v.who.MayEdit(usersKey(v.site()))}
	wanted, err := v.wantedSessions(&data)
	if err != nil {
		return err
	}
	query := url.Values{"q": {data.Text}, "sort": {data.Sort}}
	data.Export = at + ".csv?" + query.Encode()
	from, _ := strconv.Atoi(v.r.URL.Query().Get("from"))
	from = min(max(from, 0), len(wanted))
	to := min(from+pageSize, len(wanted))
	for _, s := range wanted[from:to] {
		data.Rows = append(data.Rows, sessionRow{s, userPath(v.site(), s.User)})
	}
	if to < len(wanted) {
		query.Set("from", strconv.Itoa(to))
		data.Next = at + "?" + query.Encode()
	}
	return v.show(http.StatusOK, "sessions", view{Title: "Sessions", Lead: "Who is connected to this site now.", Crumbs: v.crumbs(), Tabs: v.tabs(), Data: data})
}

// exportSessions sends the sessions of the list as a table of CSV.
func (p *Pages) exportSessions(v *visit) error {
	wanted, err := v.wantedSessions(&sessionsData{})
	if err != nil {
		return err
	}
	t := v.table("sessions-of-"+v.site(), "user", "address", "client", "started", "active", "up", "down", "open files", "cipher", "key")
	for _, s := range wanted {
		if !t.row(s.User, s.Address, s.Client, iso(s.Started), iso(s.Active), strconv.FormatInt(s.Received, 10), strconv.FormatInt(s.Sent, 10), strconv.Itoa(s.Transfer), s.Cipher, s.Key) {
			return nil
		}
	}
	t.end()
	return nil
}

// kick ends sessions: one of them, or all of a user.
func (p *Pages) kick(v *visit) error {
	form := v.r.PostForm
	notice := "kicked"
	var ended int
	var err error
	if id, bad := strconv.ParseUint(form.Get("session"), 10, 64); bad == nil {
		ended, err = v.who.KickSession(v.site(), id)
	} else if user := form.Get("user"); user != "" {
		ended, err = v.who.Kick(v.site(), user)
	} else {
		notice = "none-kicked"
	}
	switch {
	case err != nil && sortOf(err) != problemNotFound:
		return err
	case ended == 0 && notice == "kicked":
		notice = "kicked-already"
	}
	to := form.Get("next")
	if !localPath(to) {
		to = sitePath(v.site()) + "/sessions"
	}
	return v.redirect(to, notice)
}
