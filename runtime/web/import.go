package web

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// Bounds of a file of users.
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
	// File is one that was looked at: it waits to be imported, or State tells how far it is.
	File  string
	State string
	Done  int
	// Left are lines of an export that had more than a file tells.
	Left []lineError
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
	csvColumns = []string{
		"name", "email", "description", "groups", "password", "must change", "key", "ways to log in", "directory", "allow from",
		"storage", "folder", "permissions", "quota bytes", "soft quota bytes", "sessions", "enabled from", "disabled from", "disabled", "reason",
	}
	csvIgnored = []string{"keys", leftColumn, "created", "modified"}
)

// leftColumn names what a user has that no column of a file is for.
const leftColumn = "not in this file"

// csvUsers is a file of users that was read. What is below mu changes while they are made.
type csvUsers struct {
	site  string
	names []string
	lines []int
	left  []lineError
	total int

	mu    sync.Mutex
	forms []any
	state string
	done  int
	wrong string
	found []lineError
}

// showImport is the page that takes a file, or tells how far one is.
func (p *Pages) showImport(v *visit) error {
	id := v.r.URL.Query().Get("file")
	if id == "" {
		return v.importPage(http.StatusOK, importData{})
	}
	read, ok := v.sentTable(id)
	if !ok {
		return v.importPage(http.StatusNotFound, importData{Wrong: noTable})
	}
	return v.showTable(id, read)
}

const noTable = "The file is not here any more: it waits for 15 minutes, and not longer than the server runs. Look in the list whether the users were made; if not, send it again."

// sentTable is a file that the visitor had looked at.
func (v *visit) sentTable(id string) (*csvUsers, bool) {
	read, ok := v.tables.getOf(v.who.Name(), id)
	return read, ok && read.site == v.site()
}

// showTable tells how far a file is.
func (v *visit) showTable(id string, read *csvUsers) error {
	read.mu.Lock()
	data := importData{File: id, State: read.state, Done: read.done, Users: read.total, Shown: read.names[:min(len(read.names), shownBulk)], Wrong: read.wrong, Left: read.left}
	if read.state == stateFailed {
		data.tell(read.found)
	}
	read.mu.Unlock()
	data.Left = data.Left[:min(len(data.Left), shownErrors)]
	status := http.StatusOK
	if data.State == stateFailed && v.r.Header.Get("X-Part") == "" {
		status = http.StatusUnprocessableEntity
	}
	return v.importPage(status, data)
}

// tell puts what is wrong with lines on the page, the first of them.
func (d *importData) tell(lines []lineError) {
	slices.SortStableFunc(lines, func(a, b lineError) int { return a.Line - b.Line })
	d.More = max(0, len(lines)-shownErrors)
	d.Lines = lines[:min(len(lines), shownErrors)]
}

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
	read.site, read.total = v.site(), len(read.forms)
	found, err := v.who.CheckUsers(read.site, read.forms)
	if err != nil {
		return err
	}
	if lines := append(wrong, linesOf(read, found)...); len(lines) > 0 {
		data := importData{Users: read.total, Wrong: "Nothing was imported. Put the lines below right and send the file again."}
		data.tell(lines)
		return v.importPage(http.StatusUnprocessableEntity, data)
	}
	read.state = stateReady
	return v.showTable(p.tables.put(v.who.Name(), len(text), read), read)
}

// makeUsers begins to make the users of a file that was looked at. They are made whether the
// page stays or not; who comes back finds how far they are.
func (v *visit) makeUsers(id string) error {
	read, ok := v.sentTable(id)
	if !ok {
		return v.importPage(http.StatusUnprocessableEntity, importData{Wrong: noTable})
	}
	if ended := read.begin(v); ended != nil {
		wait(ended)
	}
	read.mu.Lock()
	done := read.state == stateDone
	read.mu.Unlock()
	if done {
		return v.redirect(withQuery(sitePath(v.site())+"/users", "imported", strconv.Itoa(read.total)), "")
	}
	return v.redirect(withQuery(sitePath(v.site())+"/import-users", "file", id), "")
}

// begin makes the users once; ended is closed when that is over, and nil if it was begun before.
func (c *csvUsers) begin(v *visit) (ended <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateReady && !(c.state == stateFailed && len(c.found) == 0) {
		return nil
	}
	c.state, c.done, c.wrong = statePutting, 0, ""
	forms, over := c.forms, make(chan struct{})
	v.jobs.Go(func() {
		defer close(over)
		found, err := v.who.CreateUsers(v.ending, c.site, forms, func(n int) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.done = n
		})
		c.finish(v, found, err)
	})
	return over
}

// finish notes how it ended. The forms have passwords in them: they go when they are not wanted
// any more.
func (c *csvUsers) finish(v *visit, found rest.UserErrors, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		v.Log.Error("users of a file were not made", "site", c.site, "error", err)
		c.state, c.wrong = stateFailed, "Nothing was imported. The server failed: its log tells why. Try again."
		var p *rest.Problem
		if asProblem(err, &p) {
			c.wrong = "Nothing was imported. " + sentence(p.Detail)
		}
	case len(found) > 0:
		c.state, c.found, c.forms = stateFailed, linesOf(c, found), nil
		c.wrong = "Somebody changed something since you looked. Nothing was imported."
	default:
		c.state, c.forms = stateDone, nil
	}
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
		if at := slices.Index(head, leftColumn); at >= 0 && row[at] != "" {
			read.left = append(read.left, lineError{line, form["name"].(string) + ": " + cut(row[at], 200)})
		}
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
	for i, name := range head {
		text := row[i]
		if name != "password" { // an export has none
			text = original(text)
		}
		if text == "" {
			continue
		}
		if err := putColumn(form, name, text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	// A file that says nothing of permissions means the usual ones; one that does means what
	// it says.
	if look(form, "home.vfs") != nil && !slices.Contains(head, "permissions") {
		put(form, "home.permissions", permissionNames(model.UsualPermissions()))
	}
	return form, nil
}

// columnPlaces are the places of columns whose text is the value.
var columnPlaces = map[string]string{
	"name": "name", "email": "email", "description": "description", "reason": "reason", "password": "password.clear",
	"storage": "home.vfs", "folder": "home.path", "directory": "ldap",
}

// listPlaces are those of columns with several values, and what separates them.
var listPlaces = map[string]struct{ place, between string }{
	"permissions": {"home.permissions", ","}, "allow from": {"allowFrom", ","}, "ways to log in": {"auth", ";"},
}

// putColumn puts what stands in a column into the form of a user.
func putColumn(form map[string]any, name, text string) error {
	if place, ok := columnPlaces[name]; ok {
		put(form, place, text)
		return nil
	}
	if list, ok := listPlaces[name]; ok {
		put(form, list.place, split(text, list.between))
		return nil
	}
	switch name {
	case "groups":
		form["groups"] = groupsOf(text)
	case "key":
		form["keys"] = []any{map[string]any{"key": text}}
	case "quota bytes":
		return putNumber(form, "quota.hard", text)
	case "soft quota bytes":
		return putNumber(form, "quota.soft", text)
	case "sessions":
		return putNumber(form, "maxSessions", text)
	case "enabled from":
		return putMoment(form, "enableFrom", text)
	case "disabled from":
		return putMoment(form, "disableFrom", text)
	case "disabled":
		return putTruth(form, "disabled", text)
	case "must change":
		return putTruth(form, "password.mustChange", text)
	}
	return nil
}

// groupsOf reads groups as an export writes them; in a file without the separator of that they
// stand between commas.
func groupsOf(text string) []string {
	if !strings.Contains(text, groupsBetween) {
		return split(text, ",")
	}
	return slices.DeleteFunc(split(text, groupsBetween), func(name string) bool { return name == "" })
}

func split(text, at string) (all []string) {
	for one := range strings.SplitSeq(text, at) {
		all = append(all, strings.TrimSpace(one))
	}
	return all
}

func putNumber(form map[string]any, place, text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return errors.New("it is not a number; write it in digits, without a unit, 0 for no bound")
	}
	if n != 0 {
		put(form, place, n)
	}
	return nil
}

func putMoment(form map[string]any, place, text string) error {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		text = t.UTC().Format("2006-01-02T15:04:05")
	}
	t, wrong := readMoment(text)
	if wrong != "" {
		return errors.New(wrong)
	}
	put(form, place, t)
	return nil
}

func putTruth(form map[string]any, place, text string) error {
	on, err := truth(text)
	if on {
		put(form, place, true)
	}
	return err
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
