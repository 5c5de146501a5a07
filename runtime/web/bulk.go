package web

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// bulkData is the page that asks before many users are changed.
type bulkData struct {
	Action, Back string
	Do           string
	Names        []string
	// Shown are the first of them, More how many there are besides.
	Shown  []string
	More   int
	Verb   string
	Lead   string
	Groups []string
	Typed  map[string]string
	Wrong  map[string]string
}

// bulkVerbs are what can be done to many users, in the order of the buttons.
var bulkVerbs = []struct{ do, verb, lead string }{
	{"enable", "Enable", "They can sign in again, as far as their dates and groups allow."},
	{"disable", "Disable", "They cannot sign in any more, and their sessions end."},
	{"group", "Move to a group", "The group takes the place of all groups that they are in."},
	{"must-change", "Ask for another password", "At the next log-in with a password they have to choose another."},
	{"delete", "Delete", "They go for ever. Their files stay where they are."},
}

// mostBulk is how many users are changed at once.
const mostBulk = 1000

// shownBulk is how many names the page that asks has.
const shownBulk = 20

// bulkPath is where users of a site are changed.
func bulkPath(site string) string { return sitePath(site) + "/bulk-users" }

// bulk asks before many users are changed, and changes them when it was agreed to.
func (p *Pages) bulk(v *visit) error {
	form := v.r.PostForm
	if v.r.Method == http.MethodGet {
		// It is only asked again: what was ticked waited for a log-in.
		form = maps.Clone(v.held())
		delete(form, "sure")
	}
	names, err := v.ticked(form)
	if err != nil {
		return err
	}
	back := sitePath(v.site()) + "/users"
	at := slices.IndexFunc(bulkVerbs, func(b struct{ do, verb, lead string }) bool { return b.do == form.Get("do") })
	if v.r.Method == http.MethodGet && form == nil {
		return v.redirect(back, "")
	}
	if at < 0 || len(names) == 0 || len(names) > mostBulk {
		return v.redirect(back, "none-ticked")
	}
	if !v.who.MayEdit(usersKey(v.site())) {
		return v.who.NeedsSuper("change-users", "change users of this site")
	}
	verb := bulkVerbs[at]
	data := bulkData{
		Action: bulkPath(v.site()), Back: back, Do: verb.do, Names: names, Shown: names[:min(len(names), shownBulk)], More: max(0, len(names)-shownBulk),
		Verb: verb.verb + " " + many(len(names), "user"), Lead: verb.lead, Typed: map[string]string{}, Wrong: map[string]string{},
	}
	if verb.do == "group" {
		data.Verb = "Move " + many(len(names), "user") + " to the group"
		groups, err := v.who.List(model.KindGroup, v.site(), &rest.ListQuery{Limit: mostChoices, Sort: "name"})
		if err != nil {
			return err
		}
		for _, g := range groups.Items {
			data.Groups = append(data.Groups, g.Header().Name)
		}
	}
	for _, field := range []string{"reason", "group", "confirm"} {
		data.Typed[field] = form.Get(field)
	}
	if form.Get("sure") == "" || data.wrong() {
		status := http.StatusOK
		if len(data.Wrong) > 0 {
			status = http.StatusUnprocessableEntity
		}
		return v.show(status, "bulk", view{Title: data.Verb, Lead: data.Lead, Crumbs: append(v.crumbs(), link{Text: "Users", Href: back}), Data: data})
	}
	n, err := v.who.ChangeUsers(v.r.Context(), v.site(), names, data.change())
	if err != nil {
		return err
	}
	back = withQuery(back, "changed", strconv.Itoa(n))
	if left := len(names) - n; left > 0 {
		back = withQuery(back, "left", strconv.Itoa(left))
	}
	return v.redirect(back, "")
}

// ticked are the users that a form names: those of its boxes, or all that its search finds. One
// more than can be changed at once stands for any number.
func (v *visit) ticked(form url.Values) ([]string, error) {
	if form.Get("all") == "" {
		return slices.Compact(slices.Sorted(slices.Values(form["id"]))), nil
	}
	// A group that is gone finds nobody, and not everybody.
	found, err := v.who.List(model.KindUser, v.site(), &rest.ListQuery{Text: cut(form.Get("q"), 200), RefersTo: form.Get("of"), Limit: mostBulk + 1, Sort: "name"})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, o := range found.Items {
		names = append(names, o.Header().Name)
	}
	return names, nil
}

// wrong checks what was typed.
func (d *bulkData) wrong() bool {
	switch {
	case d.Do == "group" && d.Typed["group"] == "":
		d.Wrong["group"] = "Choose a group."
	case d.Do == "delete" && strings.TrimSpace(d.Typed["confirm"]) != strconv.Itoa(len(d.Names)):
		d.Wrong["confirm"] = fmt.Sprintf("Type %d, the number of users that go.", len(d.Names))
	}
	return len(d.Wrong) > 0
}

func (d *bulkData) change() (c rest.UsersChange) {
	switch yes, no := true, false; d.Do {
	case "enable":
		c.Disabled = &no
	case "disable":
		c.Disabled, c.Reason = &yes, d.Typed["reason"]
	case "group":
		c.Group = d.Typed["group"]
	case "must-change":
		c.MustChange = true
	case "delete":
		c.Delete = true
	}
	return c
}

// usersNotice tells on the list how many users were changed or imported.
func usersNotice(query url.Values) string {
	for _, done := range []string{"changed", "imported"} {
		n, err := strconv.Atoi(query.Get(done))
		if err != nil || n < 0 {
			continue
		}
		text := many(n, "user") + " " + done + "."
		if left, err := strconv.Atoi(query.Get("left")); err == nil && left > 0 {
			text += " Left out: " + count(left) + ", who were like that already, have no password, or are gone."
		}
		return text
	}
	return ""
}
