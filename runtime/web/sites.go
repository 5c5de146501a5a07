package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
	"ss-setup/runtime/sites"
)

// sitePath is the page of a site.
func sitePath(site string) string { return "/sites/" + url.PathEscape(site) }

// crumbs lead from the overview to the site of the page.
func (v *visit) crumbs() []link {
	if v.site() == "" {
		return nil
	}
	site := link{Text: v.site()}
	if v.who.MayView(model.SiteKey(v.site())) {
		site.Href = sitePath(v.site())
	}
	if !v.who.MayList(model.KindSite, "") {
		return []link{site}
	}
	return []link{{Text: "Sites", Href: "/sites"}, site}
}

// tabs are the pages of a site.
func (v *visit) tabs() []link {
	site := v.site()
	if site == "" && strings.HasPrefix(v.r.URL.Path, "/sites/") {
		site = v.r.PathValue("id") // the page of the site itself
	}
	if site == "" {
		return nil
	}
	var list []link
	if v.who.MayView(model.SiteKey(site)) {
		list = append(list, link{Text: "Site", Href: sitePath(site)})
	}
	for _, res := range resources() {
		if res.kind.Scoped() && v.worth(res, site) {
			list = append(list, link{Text: res.title, Href: res.at(site)})
		}
	}
	if v.who.MayList(model.KindUser, site) {
		list = append(list, link{Text: "Sessions", Href: sitePath(site) + "/sessions"})
	}
	at := v.r.URL.Path
	for i, l := range list {
		list[i].Here = at == l.Href || l.Href != sitePath(site) && (strings.HasPrefix(at, l.Href+"/") || strings.HasSuffix(at, "/new"+strings.TrimPrefix(l.Href, sitePath(site))))
	}
	return list
}

func sitesResource() resource {
	return resource{
		kind: model.KindSite, path: "sites", title: "Sites",
		lead:  "Each site is a server of its own: its addresses, users, storage and rules.",
		empty: "There is no site yet. A site is where users connect to.",
		index: func(v *visit) error { return v.sitesPage() },
		sections: func(v *visit, _ string, _ map[string]any) ([]section, error) {
			return siteSections(), nil
		},
		above: func(v *visit, key model.Key) (string, any, error) {
			state, err := v.siteAbove(key.ID)
			return "site", state, err
		},
		loss: func(v *visit, o model.Object) string {
			const first = "What belongs to it - users, storage, bindings, host keys - must be deleted first."
			state, err := v.who.State(o.Key().ID)
			if err != nil || state.Sessions == 0 {
				return first
			}
			return "It ends " + many(state.Sessions, "session") + ". " + first
		},
	}
}

// siteRow is a site in the list with how it runs.
type siteRow struct {
	Name, Title, Href string
	State             cell
	Sessions          int
	Bindings          []sites.BindingStatus
	Users             int
	MayRun            bool
}

// siteData is what the page of a site shows above its settings.
type siteData struct {
	sites.SiteStatus
	State  cell
	MayRun bool
	Path   string
	Keys   []hostKeyRow
	Needs  []rest.Need
}

// hostKeyRow is a host key with what there is to say of it.
type hostKeyRow struct {
	Algorithm, Fingerprint string
	State                  cell
}

func (v *visit) hostKeyRow(h *model.HostKey) (hostKeyRow, error) {
	row := hostKeyRow{Algorithm: h.Algorithm, Fingerprint: h.Fingerprint, State: cell{Text: "Disabled", State: "off"}}
	if h.Disabled {
		return row, nil
	}
	found, err := v.who.JudgeHostKey(h.Key())
	row.State = verdictCell(found)
	return row, err
}

func (v *visit) siteAbove(site string) (*siteData, error) {
	state, err := v.who.State(site)
	if err != nil {
		return nil, err
	}
	data := &siteData{SiteStatus: state, State: stateCell(state), MayRun: v.who.Super(), Path: sitePath(site)}
	if v.who.MayList(model.KindHostKey, site) {
		keys, err := v.who.List(model.KindHostKey, site, &rest.ListQuery{Limit: 20})
		if err != nil {
			return nil, err
		}
		for _, o := range keys.Items {
			row, err := v.hostKeyRow(o.(*model.HostKey))
			if err != nil {
				return nil, err
			}
			data.Keys = append(data.Keys, row)
		}
	}
	if v.who.MayList(model.KindUser, site) {
		data.Needs, err = v.who.Needs(v.r.Context(), site)
		if sortOf(err) == "unavailable" {
			err = nil // the site does not run
		}
	}
	return data, err
}

// stateCell says how a site runs, as a badge.
func stateCell(s sites.SiteStatus) cell {
	down := slices.ContainsFunc(s.Bindings, func(b sites.BindingStatus) bool { return b.Problem != "" })
	switch {
	case s.Problem != "":
		return cell{Text: "Cannot serve", State: "bad", Sub: s.Problem}
	case !s.Running:
		return cell{Text: "Stopped", State: "off"}
	case len(s.Bindings) == 0:
		return cell{Text: "No binding", State: "warn", Sub: "Nobody can reach it: it listens nowhere."}
	case down:
		return cell{Text: "Partly", State: "warn", Sub: "A binding cannot listen."}
	}
	return cell{Text: "Running", State: "good"}
}

// siteList is a part of the list of sites with how they run.
func (v *visit) siteList(text, after string) ([]siteRow, *rest.Page[model.Object], error) {
	found, err := v.who.List(model.KindSite, "", &rest.ListQuery{Text: text, After: after, Limit: pageSize, Total: true})
	if err != nil {
		return nil, nil, err
	}
	states, err := v.who.States()
	if err != nil {
		return nil, nil, err
	}
	var rows []siteRow
	for _, o := range found.Items {
		s := o.(*model.Site)
		row := siteRow{Name: s.Name, Title: s.Title, Href: sitePath(s.Name), State: cell{Text: "Stopped", State: "off"}, MayRun: v.who.Super()}
		for _, state := range states {
			if state.Site == s.Name {
				row.State, row.Sessions, row.Bindings = stateCell(state), state.Sessions, state.Bindings
			}
		}
		if row.Users, err = v.countUsers(s.Name); err != nil {
			return nil, nil, err
		}
		rows = append(rows, row)
	}
	return rows, found, nil
}

// countUsers is how many users a site has; none for who may not see them.
func (v *visit) countUsers(site string) (int, error) {
	if !v.who.MayList(model.KindUser, site) {
		return 0, nil
	}
	users, err := v.who.List(model.KindUser, site, &rest.ListQuery{Limit: 1, Total: true})
	if err != nil || users.Total == nil {
		return 0, err
	}
	return *users.Total, nil
}

// siteNames are the sites whose objects the visitor may see, at most so many: who may not see
// the sites themselves knows those that he is for.
func (v *visit) siteNames(most int) (names []string, err error) {
	if !v.who.MayList(model.KindSite, "") {
		me, err := v.who.Me()
		if err != nil {
			return nil, err
		}
		return me.Sites[:min(len(me.Sites), most)], nil
	}
	q := &rest.ListQuery{Limit: min(most, 1000), Sort: "name"}
	for {
		found, err := v.who.List(model.KindSite, "", q)
		if err != nil {
			return nil, err
		}
		for _, o := range found.Items {
			names = append(names, o.Header().Name)
		}
		if q.After = found.Next; !found.More || len(names) >= most {
			return names, nil
		}
	}
}

type sitesData struct {
	Rows  []siteRow
	Text  string
	Total int
	Next  string
	Fresh string
}

// sitesPage is the list of sites with how they run.
func (v *visit) sitesPage() error {
	query := v.r.URL.Query()
	rows, found, err := v.siteList(cut(query.Get("q"), 200), query.Get("after"))
	if err != nil {
		return err
	}
	res := sitesResource()
	data := sitesData{Rows: rows, Text: query.Get("q"), Total: *found.Total}
	if found.More {
		data.Next = "/sites?" + url.Values{"q": {data.Text}, "after": {found.Next}}.Encode()
	}
	page := view{Title: res.title, Lead: res.lead, Data: &data}
	if v.who.Super() {
		data.Fresh = "/new/sites"
		if len(rows) > 0 || data.Text != "" { // the empty list has the button itself
			page.Primary = &link{Text: "New site", Href: data.Fresh}
		}
	}
	return v.show(http.StatusOK, "sites", page)
}

// siteState is the state of a site by itself, for a script that looks again.
func (p *Pages) siteState(v *visit) error {
	data, err := v.siteAbove(v.site())
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "edit", view{Title: v.site(), Crumbs: v.crumbs(), Data: editData{form: formOf(nil, nil), AboveName: "site", Above: data}})
}

// runData is what the page shows that asks before a site is stopped.
type runData struct {
	Site, Verb, Button string
	Sessions           int
	Transfers          int
	Action, Back       string
}

var runButtons = map[string]string{"start": "Start", "stop": "Stop now", "drain": "Drain and stop"}

var runTitles = map[string]string{"start": "Start site ", "stop": "Stop site ", "drain": "Drain site "}

func (p *Pages) askRunSite(verb string) handler {
	return func(v *visit) error {
		state, err := v.who.State(v.site())
		if err != nil {
			return err
		}
		data := runData{Site: v.site(), Verb: verb, Button: runButtons[verb], Sessions: state.Sessions, Action: sitePath(v.site()) + "/" + verb, Back: sitePath(v.site())}
		if running, err := v.who.Sessions(v.site()); err == nil {
			for _, s := range running {
				data.Transfers += s.Transfer
			}
		}
		return v.show(http.StatusOK, "run", view{Title: runTitles[verb] + v.site(), Crumbs: v.crumbs(), Data: data})
	}
}

var runNotices = map[string]string{"start": "started", "stop": "stopped", "drain": "draining"}

func (p *Pages) runSite(verb string) handler {
	return func(v *visit) error {
		// Who leaves the page takes back no order that was given.
		if _, err := v.who.RunSite(context.WithoutCancel(v.r.Context()), verb, v.site()); err != nil {
			return err
		}
		return v.redirect(sitePath(v.site()), runNotices[verb])
	}
}

func siteSections() []section {
	return []section{
		{Title: "Identity", Fields: []field{
			{Name: "name", Label: "Name", Type: monoInput, Required: true, Fixed: true, Focus: true, Help: "In addresses, logs and metrics: small letters, digits and hyphens. It cannot change."},
			{Name: "title", Label: "Title", Type: textInput, Help: "What people call the site."},
			{Name: "manual", Label: "Start by hand", Type: flagInput, Help: "The site waits for a start by hand when the server starts."},
		}},
		{Title: "Limits", Help: "What an empty field means stands in it.", Fields: []field{
			{Name: "limits.connections", Label: "Connections at once", Type: numberInput, Placeholder: "no limit"},
			{Name: "limits.perAddress", Label: "Connections of one address", Type: numberInput, Placeholder: "no limit"},
			{Name: "limits.perUser", Label: "Sessions of one user", Type: numberInput, Placeholder: "no limit"},
			{Name: "limits.idleSeconds", Label: "End idle sessions after", Unit: "seconds", Type: numberInput, Placeholder: seconds(sites.DefaultIdle), Help: "A session in which nothing happens; -1 is no limit."},
			{Name: "limits.loginSeconds", Label: "Time for a log-in", Unit: "seconds", Type: numberInput, Placeholder: seconds(sites.DefaultLogin)},
		}},
		protectorSection("Protector", "When addresses are banned that log in wrongly or break the protocol."),
		passwordSection("New passwords of users must have"),
		{Title: "Speed limits", Folded: true, Help: "For all transfers of the site together. The narrowest network counts.", Fields: []field{speedField}},
		{Title: "SSH", Folded: true, Help: "An empty list is the safe default of this release. In the others the preferred one stands first, one a line. Weak algorithms are for old clients, each with its fault.", Fields: []field{
			{Name: "ssh.banner", Label: "Banner", Type: areaInput, Help: "Told to everybody before the log-in."},
			{Name: "ssh.softwareId", Label: "Software version", Type: monoInput, Help: "Told in the first line; the product's if empty."},
			{Name: "ssh.auth", Label: "Ways to log in", Type: linesInput, Placeholder: "publickey\npassword,totp", Help: "One a line, any of which is enough: publickey, password, keyboard-interactive, and each with ,totp behind it."},
			{Name: "ssh.ciphers", Label: "Ciphers", Type: linesInput, Options: algorithms(model.Ciphers)},
			{Name: "ssh.keyExchanges", Label: "Key exchanges", Type: linesInput, Options: algorithms(model.KeyExchanges)},
			{Name: "ssh.macs", Label: "MACs", Type: linesInput, Options: algorithms(model.MACs)},
			{Name: "ssh.userKeys", Label: "Signatures of users' keys", Type: linesInput, Options: algorithms(model.Signatures)},
			{Name: "ssh.hostKeys", Label: "Signatures of host keys", Type: linesInput, Options: algorithms(model.Signatures)},
		}},
	}
}

// seconds is what stands in an empty field of a duration.
func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }

func algorithms(list []model.Algorithm) (out []option) {
	for _, a := range list {
		o := option{Value: a.Name, Text: a.Name}
		if a.Weak != "" {
			o.Help = "weak: " + a.Weak
		}
		out = append(out, o)
	}
	return out
}

var speedField = field{Name: "speed", Label: "Limits", Type: rowsInput, Fields: []field{
	{Name: "from", Label: "From network", Type: monoInput, Placeholder: "everywhere"},
	{Name: "up", Label: "Up, a second", Type: sizeInput, Placeholder: "no limit"},
	{Name: "down", Label: "Down, a second", Type: sizeInput, Placeholder: "no limit"},
}}

func protectorSection(title, help string) section {
	return section{Title: title, Help: help, Fields: []field{
		{Name: "protector.level", Label: "Level", Type: choiceInput, Options: []option{
			{Value: "", Text: "Default of this release"},
			{Value: "off", Text: "Off"},
			{Value: "indulgent", Text: "Indulgent"},
			{Value: "normal", Text: "Normal"},
			{Value: "strict", Text: "Strict"},
			{Value: "paranoid", Text: "Paranoid"},
		}},
		{Name: "protector.threshold", Label: "Offences until a ban", Type: numberInput, Placeholder: "by the level"},
		{Name: "protector.windowMinutes", Label: "Counted over", Unit: "minutes", Type: numberInput, Placeholder: "by the level"},
		{Name: "protector.banMinutes", Label: "Ban for", Unit: "minutes", Type: numberInput, Placeholder: "by the level"},
		{Name: "protector.growPercent", Label: "Each further ban is longer by", Unit: "%", Type: numberInput, Placeholder: "by the level"},
	}}
}

func passwordSection(title string) section {
	return section{Title: title, Fields: []field{
		{Name: "passwordRule.minLength", Label: "Characters at least", Type: numberInput, Placeholder: strconv.Itoa(auth.DefaultPolicy().MinLength)},
		{Name: "passwordRule.upper", Label: "A capital letter", Type: flagInput},
		{Name: "passwordRule.lower", Label: "A small letter", Type: flagInput},
		{Name: "passwordRule.digit", Label: "A digit", Type: flagInput},
		{Name: "passwordRule.special", Label: "A character that is neither letter nor digit", Type: flagInput},
	}}
}
