package web

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
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

// mostBulk is how many users are changed at once: what a page of the list can tick.
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
	names := slices.Compact(slices.Sorted(slices.Values(form["id"])))
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
	return v.redirect(withQuery(back, "changed", strconv.Itoa(n)), "")
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
		if n, err := strconv.Atoi(query.Get(done)); err == nil && n >= 0 {
			return many(n, "user") + " " + done + "."
		}
	}
	return ""
}

// Bounds of a file of users: passwords are made into hashes one after the other.
const (
	maxCSV     = 4 << 20
	maxCSVRows = 5000
)

// importData is the page on which a file of users is sent, and looked at before any is made.
type importData struct {
	Path, Back string
	Columns    []string
	Wrong      string
	// Lines are what is wrong, and how many users are in the file.
	Lines []lineError
	More  int
	Users int
	Shown []string
	// Ready names the file that waits to be imported.
	Ready string
}

// lineError is what is wrong with a line of the file.
type lineError struct {
	Line int
	Text string
}

// shownErrors is how many of them the page has.
const shownErrors = 200

// csvColumns are those that a file may have; the others of an export say what was, and are
// passed over.
var (
	csvColumns = []string{"name", "email", "description", "groups", "password", "must change", "key", "storage", "folder", "quota bytes", "disabled", "reason"}
	csvIgnored = []string{"keys", "created", "modified"}
)

// csvUsers is a file of users that was read.
type csvUsers struct {
	site  string
	forms []any
	names []string
	lines []int
}

func (p *Pages) showImport(v *visit) error { return v.importPage(http.StatusOK, importData{}) }

func (v *visit) importPage(status int, data importData) error {
	if !v.who.MayEdit(usersKey(v.site())) {
		return v.who.NeedsSuper("create-users", "make users of this site")
	}
	data.Back, data.Columns = sitePath(v.site())+"/users", csvColumns
	data.Path = sitePath(v.site()) + "/import-users"
	return v.show(status, "import", view{
		Title: "Import users", Lead: "A table as CSV, one user a line. You see first what is wrong; then all of them are made, or none.",
		Crumbs: append(v.crumbs(), link{Text: "Users", Href: data.Back}), Data: data,
	})
}

// importUsers looks at a file of users, or makes those of one that was looked at.
func (p *Pages) importUsers(v *visit) error {
	if !v.who.MayEdit(usersKey(v.site())) {
		return v.importPage(0, importData{})
	}
	if id := v.r.PostForm.Get("ready"); id != "" {
		return v.makeUsers(id)
	}
	content, _ := v.file()
	if content == nil {
		content = strings.NewReader("")
	}
	text, err := io.ReadAll(io.LimitReader(content, maxCSV+1))
	if err != nil || len(text) > maxCSV {
		return v.importPage(http.StatusRequestEntityTooLarge, importData{Wrong: "The file did not come whole, or has more than " + size(maxCSV) + ". Split it."})
	}
	read, wrong, err := readUsers(text)
	if err != nil {
		return v.importPage(http.StatusUnprocessableEntity, importData{Wrong: sentence(err.Error())})
	}
	read.site = v.site()
	found, err := v.who.CheckUsers(read.site, read.forms)
	if err != nil {
		return err
	}
	data := importData{Users: len(read.forms), Shown: read.names[:min(len(read.names), shownBulk)], Lines: append(wrong, linesOf(read, found)...)}
	if len(data.Lines) > 0 {
		slices.SortStableFunc(data.Lines, func(a, b lineError) int { return a.Line - b.Line })
		data.More = max(0, len(data.Lines)-shownErrors)
		data.Lines = data.Lines[:min(len(data.Lines), shownErrors)]
		data.Wrong = "Nothing was imported. Put the lines below right and send the file again."
		return v.importPage(http.StatusUnprocessableEntity, data)
	}
	data.Ready = p.tables.put(v.who.Name(), len(text), read)
	return v.importPage(http.StatusOK, data)
}

// makeUsers makes the users of a file that was looked at.
func (v *visit) makeUsers(id string) error {
	read, ok := v.tables.get(id)
	if !ok || read.site != v.site() {
		return v.importPage(http.StatusUnprocessableEntity, importData{Wrong: "The file is not here any more. Send it again."})
	}
	v.tables.drop(id)
	found, err := v.who.CreateUsers(v.unhurried(), read.site, read.forms)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return v.importPage(http.StatusUnprocessableEntity, importData{
			Users: len(read.forms), Lines: linesOf(read, found), Wrong: "Somebody changed something since you looked. Nothing was imported.",
		})
	}
	return v.redirect(withQuery(sitePath(v.site())+"/users", "imported", strconv.Itoa(len(read.forms))), "")
}

func linesOf(read *csvUsers, found rest.UserErrors) (out []lineError) {
	for n, list := range found {
		for _, e := range list {
			out = append(out, lineError{read.lines[n], sentence(e.Field + ": " + e.Problem + "; " + e.Cure)})
		}
	}
	return out
}

var errCSV = errors.New("it is not a table as CSV")

// readUsers reads a file of users. What is wrong with a line comes with its number.
func readUsers(text []byte) (*csvUsers, []lineError, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // as tables' programs of Windows begin a file
	first, _, _ := bytes.Cut(text, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(text))
	if bytes.Count(first, []byte(";")) > bytes.Count(first, []byte(",")) {
		r.Comma = ';'
	}
	r.FieldsPerRecord = -1
	head, err := r.Read()
	if err != nil {
		return nil, nil, errors.New("no file came, or an empty one; choose one whose first line names the columns")
	}
	for i, name := range head {
		head[i] = strings.ToLower(strings.TrimSpace(name))
		if known := slices.Contains(csvColumns, head[i]) || slices.Contains(csvIgnored, head[i]); !known || slices.Contains(head[:i], head[i]) {
			return nil, nil, fmt.Errorf("the column %q is not known, or is there twice; the columns are: %s", cut(name, 60), strings.Join(csvColumns, ", "))
		}
	}
	if !slices.Contains(head, "name") {
		return nil, nil, errors.New("the first line names no column name; it has to name the columns")
	}
	read := &csvUsers{}
	var wrong []lineError
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errCSV, err)
		}
		line, _ := r.FieldPos(0)
		if len(row) != len(head) {
			wrong = append(wrong, lineError{line, fmt.Sprintf("It has %d fields, and the first line %d columns.", len(row), len(head))})
			continue
		}
		form, err := userOf(head, row)
		if err != nil {
			wrong = append(wrong, lineError{line, sentence(err.Error())})
			continue
		}
		read.forms, read.lines, read.names = append(read.forms, form), append(read.lines, line), append(read.names, form["name"].(string))
		if len(read.forms)+len(wrong) > maxCSVRows {
			return nil, nil, fmt.Errorf("it has more than %d users; split it", maxCSVRows)
		}
	}
	if len(read.forms) == 0 && len(wrong) == 0 {
		return nil, nil, errors.New("there is no user in it, only the names of columns")
	}
	return read, wrong, nil
}

// userOf is the form of a user of a line.
func userOf(head, row []string) (map[string]any, error) {
	form := map[string]any{"name": ""}
	home, password := map[string]any{}, map[string]any{}
	for i, name := range head {
		text := row[i]
		// An export puts it before what a program for tables would take for a formula.
		if len(text) > 1 && text[0] == '\'' && strings.ContainsRune("=+-@\t\r", rune(text[1])) {
			text = text[1:]
		}
		if text == "" {
			continue
		}
		switch name {
		case "name", "email", "description", "reason":
			form[name] = text
		case "groups":
			var groups []string
			for group := range strings.SplitSeq(text, ",") {
				groups = append(groups, strings.TrimSpace(group))
			}
			form["groups"] = groups
		case "password":
			password["clear"] = row[i]
		case "key":
			form["keys"] = []any{map[string]any{"key": text}}
		case "storage":
			home["vfs"], home["permissions"] = text, permissionNames(model.UsualPermissions())
		case "folder":
			home["path"] = text
		case "quota bytes":
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return nil, errors.New("quota bytes: it is not a number of bytes; write it without a unit, 0 for no bound")
			}
			if n != 0 {
				form["quota"] = map[string]any{"hard": n}
			}
		case "disabled", "must change":
			on, err := truth(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if on && name == "disabled" {
				form["disabled"] = true
			} else if on {
				password["mustChange"] = true
			}
		}
	}
	if len(home) > 0 {
		form["home"] = home
	}
	if len(password) > 0 {
		form["password"] = password
	}
	return form, nil
}

func truth(text string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0":
		return false, nil
	}
	return false, errors.New("it is neither yes nor no; write one of them")
}
