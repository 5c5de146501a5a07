package web

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// resource is a kind of objects with its pages: a list, a form to make one, a form to change
// one, a page that deletes one. Where the kind belongs to sites, so do the pages.
type resource struct {
	kind model.Kind
	// path is the collection in addresses, as REST has it.
	path string
	// title and lead head the list; empty is told where it has nothing.
	title, lead, empty string
	// inServer is for kinds whose objects may belong to no site, too.
	inServer bool
	columns  []column
	// trouble tells what is wrong with an object now, in its column troubleAt; nil for nothing.
	trouble   func(v *visit, key model.Key) string
	troubleAt int
	// sections are the form; the tree is nil for an object that is made.
	sections func(v *visit, site string, tree map[string]any) ([]section, error)
	// start are the values of a new object's form.
	start values
	// above is what the page of an object shows before its form: a template and its data.
	above func(v *visit, key model.Key) (name string, data any, err error)
	// loss is what goes with an object, for the page that asks before it is deleted.
	loss func(v *visit, o model.Object) string
	// kept is neither made nor changed here; made is not made here.
	kept, single bool
	// rare ones are led to only where there is something.
	rare bool
	// index takes the place of the usual list.
	index handler
	// filter is what a list can be narrowed by beside a text; nil for nothing.
	filter func(v *visit, site string) (*filter, error)
}

// filter narrows a list to what was picked. Its first option is all.
type filter struct {
	Label   string
	Options []option
	Picked  string
	narrow  func(q *rest.ListQuery, picked string)
}

// filterOf is the filter of a list with what the address picks, put into the query; nil for
// none.
func (v *visit) filterOf(res resource, q *rest.ListQuery) (*filter, error) {
	picked := v.r.URL.Query().Get("of")
	if res.filter == nil || picked == "" && v.r.Header.Get("X-Part") != "" { // a part has no filter to show
		return nil, nil
	}
	f, err := res.filter(v, v.site())
	if err != nil || len(f.Options) < 3 { // all, and one that is all as well
		return nil, err
	}
	if picked != "" && slices.ContainsFunc(f.Options, func(o option) bool { return o.Value == picked }) {
		f.Picked = picked
		f.narrow(q, picked)
	}
	return f, nil
}

// referring narrows a list to what refers to an object, whose key is the picked value.
func referring(q *rest.ListQuery, picked string) { q.RefersTo = picked }

// referredTo are the objects of a kind as options for referring.
func (v *visit) referredTo(k model.Kind, site, what string) ([]option, error) {
	names, err := v.names(k, site, "")
	if err != nil {
		return nil, err
	}
	var out []option
	for _, o := range names[1:] {
		out = append(out, option{Value: rest.KeyOf(k, site, o.Value).String(), Text: what + o.Text})
	}
	return out, nil
}

// column is one of a list.
type column struct {
	Title string
	// Quiet columns are left out where there is little room.
	Quiet, Number bool
	cell          func(o model.Object) cell
}

// cell is one place in a table.
type cell struct {
	Text, Href, Sub string
	State           string // good, bad, warn, or off: a badge
	Mono            bool
	Quiet, Number   bool
}

// resource makes the routes of a kind.
func (p *Pages) resource(res resource) {
	if res.single {
		p.page("GET /"+res.path, func(v *visit) error { return v.editPage(res) })
		p.page("POST /"+res.path, func(v *visit) error { return v.save(res) })
		return
	}
	if !res.kind.Scoped() || res.inServer {
		p.collection(res, "/"+res.path, "/new/"+res.path)
	}
	if res.kind.Scoped() {
		p.collection(res, "/sites/{site}/"+res.path, "/sites/{site}/new/"+res.path)
	}
}

func (p *Pages) collection(res resource, at, fresh string) {
	index := res.index
	if index == nil {
		index = func(v *visit) error { return v.list(res) }
	}
	p.page("GET "+at, index)
	if res.index == nil && res.kind != model.KindUser { // they have more in theirs
		p.page("GET "+at+".csv", func(v *visit) error { return v.exportList(res) })
	}
	p.page("GET "+at+"/{id}", func(v *visit) error { return v.editPage(res) })
	p.page("GET "+at+"/{id}/delete", func(v *visit) error { return v.askDelete(res) })
	p.page("POST "+at+"/{id}/delete", func(v *visit) error { return v.delete(res) })
	if res.kept {
		return
	}
	p.page("POST "+at+"/{id}", func(v *visit) error { return v.save(res) })
	p.page("GET "+fresh, func(v *visit) error { return v.newPage(res) })
	p.page("POST "+fresh, func(v *visit) error { return v.create(res) })
}

// at is the address of a collection.
func (res resource) at(site string) string {
	if site == "" {
		return "/" + res.path
	}
	return "/sites/" + url.PathEscape(site) + "/" + res.path
}

func (res resource) of(key model.Key) string {
	if res.single {
		return "/" + res.path
	}
	return res.at(key.Site) + "/" + url.PathEscape(key.ID)
}

func (res resource) fresh(site string) string {
	if site == "" {
		return "/new/" + res.path
	}
	return "/sites/" + url.PathEscape(site) + "/new/" + res.path
}

func (res resource) key(v *visit) model.Key {
	if res.single {
		return model.Key{Kind: res.kind, ID: model.SettingsName}
	}
	return v.key(res.kind)
}

// listData is what a list shows.
type listData struct {
	Columns []column
	Rows    [][]cell
	Empty   string
	Text    string
	Sort    string
	Sorts   []option
	// Note says why the list is not what was asked for.
	Note   string
	Filter *filter
	// Filtered tells that something was picked of it.
	Filtered bool
	Total    int
	Next     string
	At       string
	// Fresh is where one is made, empty if that is not allowed.
	Fresh, Noun string
	Sites       []link
	// InUse is the certificate that these pages are served with, on the page of certificates.
	InUse *CertificateState
	// Bulk is where ticked users are changed, if they can be ticked now, and Tick where they
	// can; Import is where a file of them is taken. They are empty where that is not allowed.
	Bulk, Tick, Import string
	// All tells that all that were found can be ticked at once, those of other pages as well.
	All bool
	// Export is where what is shown can be had as a file, empty if it cannot.
	Export string
}

// pageSize is how many rows a list has before "more".
const pageSize = 100

var sorts = []option{{Value: "name", Text: "Name"}, {Value: "-name", Text: "Name, from the end"}, {Value: "-modified", Text: "Changed last"}, {Value: "-created", Text: "Made last"}}

func (v *visit) list(res resource) error {
	query := v.r.URL.Query()
	q := v.listQuery()
	q.After, q.Limit, q.Total = query.Get("after"), pageSize, true
	narrowed, err := v.filterOf(res, q)
	if err != nil {
		return err
	}
	found, note, err := v.found(res, q)
	if err != nil {
		return err
	}
	data := listData{
		Note: note, Filter: narrowed,
		Columns: res.columns, Empty: res.empty, Text: q.Text, Sort: q.Sort, Sorts: sorts, At: res.at(v.site()), Noun: res.kind.Noun(),
		Rows: make([][]cell, 0, len(found.Items)),
	}
	if found.Total != nil {
		data.Total = *found.Total
	}
	for _, o := range found.Items {
		row := res.row(o)
		if res.trouble != nil {
			if wrong := res.trouble(v, o.Key()); wrong != "" {
				row[res.troubleAt].State, row[res.troubleAt].Sub = "bad", sentence(wrong)
			}
		}
		data.Rows = append(data.Rows, row)
	}
	asked := url.Values{"q": {q.Text}, "sort": {q.Sort}}
	if narrowed != nil && narrowed.Picked != "" {
		asked.Set("of", narrowed.Picked)
		data.Filtered = true
	}
	if found.More {
		next := maps.Clone(asked)
		next.Set("after", found.Next)
		if query.Get("tick") != "" {
			next.Set("tick", "1")
		}
		data.Next = data.At + "?" + next.Encode()
	}
	data.Export = data.At + ".csv?" + asked.Encode()
	page := view{Title: res.title, Lead: res.lead, Crumbs: v.crumbs(), Tabs: v.tabs()}
	if v.mayMake(res) {
		data.Fresh = res.fresh(v.site())
		if len(data.Rows) > 0 || data.Text != "" || data.Filtered { // the empty list has the button itself
			page.Primary = &link{Text: "New " + res.kind.Noun(), Href: data.Fresh}
		}
	}
	if res.kind == model.KindUser {
		data.Sites = v.otherSites("/users")
		if v.mayMake(res) {
			data.Import = sitePath(v.site()) + "/import-users"
			tick := maps.Clone(asked)
			tick.Set("tick", "1")
			data.Tick = data.At + "?" + tick.Encode()
			if query.Get("tick") != "" {
				data.Bulk = bulkPath(v.site())
				data.All = data.Total > 1 && data.Total <= mostBulk
			}
		}
		page.Notice = usersNotice(query)
	}
	if res.kind == model.KindCertificate && v.site() == "" && v.Certificate != nil {
		state := v.Certificate()
		data.InUse = &state
	}
	page.Data = data
	return v.show(http.StatusOK, "list", page)
}

// listQuery is what the address of a list asks for, but for its filter and page.
func (v *visit) listQuery() *rest.ListQuery {
	query := v.r.URL.Query()
	q := &rest.ListQuery{Text: cut(query.Get("q"), 200), Sort: "name"}
	for _, s := range sorts {
		if s.Value == query.Get("sort") {
			q.Sort = s.Value
		}
	}
	return q
}

// found is a page of a list. Where it cannot be had as it was asked for, q says how it was, and
// note why.
func (v *visit) found(res resource, q *rest.ListQuery) (page *rest.Page[model.Object], note string, err error) {
	page, err = v.who.List(res.kind, v.site(), q)
	switch {
	case wrongIn(err, "sort"):
		note = "More than 2,000 fit, too many to put in the order of a time. They stand by name; search for fewer."
		q.Sort, q.After = "name", ""
	case wrongIn(err, "after"):
		note = "What stood last on the page before was deleted meanwhile, so the list begins anew."
		q.After = ""
	default:
		return page, "", err
	}
	page, err = v.who.List(res.kind, v.site(), q)
	return page, note, err
}

// wrongIn tells a problem with a field of what was asked for.
func wrongIn(err error, field string) bool {
	var p *rest.Problem
	return asProblem(err, &p) && slices.ContainsFunc(p.Errors, func(e model.FieldError) bool { return e.Field == field })
}

// worth tells whether it is worth to lead to a list.
func (v *visit) worth(res resource, site string) bool {
	if !v.who.MayList(res.kind, site) {
		return false
	}
	if !res.rare {
		return true
	}
	found, err := v.who.List(res.kind, site, &rest.ListQuery{Limit: 1})
	return err == nil && len(found.Items) > 0
}

func (v *visit) mayMake(res resource) bool {
	if res.kept || res.single {
		return false
	}
	return v.who.MayEdit(model.Key{Kind: res.kind, Site: v.site()})
}

func (res resource) row(o model.Object) []cell {
	row := make([]cell, len(res.columns))
	for i, c := range res.columns {
		row[i] = c.cell(o)
		row[i].Quiet, row[i].Number = c.Quiet, c.Number
		if i == 0 && row[i].Href == "" {
			row[i].Href = res.of(o.Key())
		}
	}
	return row
}

func cut(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// editData is what the page of a form shows.
type editData struct {
	*form
	// Action is where the form is sent; Back leads away without saving.
	Action, Back string
	Verb         string
	// Delete is where the object is deleted, empty if that is not allowed.
	Delete     string
	Noun       string
	By         string
	Changed    time.Time
	AboveName  string
	Above      any
	SiteStatus any
}

func (v *visit) formFor(res resource, o model.Object) (*form, error) {
	var tree map[string]any
	if o != nil {
		var err error
		if tree, err = treeOf(o); err != nil {
			return nil, err
		}
	}
	sections, err := res.sections(v, v.site(), tree)
	if err != nil {
		return nil, err
	}
	return formOf(sections, tree), nil
}

func (v *visit) editPage(res resource) error {
	key := res.key(v)
	o, err := v.who.Get(key)
	if err != nil {
		return err
	}
	f, err := v.formFor(res, o)
	if err != nil {
		return err
	}
	f.ReadOnly = res.kept || !v.who.MayEdit(key)
	if held := v.held(); held != nil && !f.ReadOnly {
		f.take(held)
	}
	return v.showForm(res, http.StatusOK, o, f)
}

// showForm is the page of an object that there is.
func (v *visit) showForm(res resource, status int, o model.Object, f *form) error {
	key := o.Key()
	head := o.Header()
	data := editData{form: f, Action: res.of(key), Back: res.at(key.Site), Verb: "Save changes", Noun: key.Kind.Noun(), By: head.By, Changed: head.Modified}
	if (!f.ReadOnly || res.kept && v.who.MayEdit(key)) && !res.single && (key.Kind != model.KindSite || v.who.Super()) {
		data.Delete = res.of(key) + "/delete"
	}
	if res.above != nil {
		var err error
		if data.AboveName, data.Above, err = res.above(v, key); err != nil {
			return err
		}
	}
	title := head.Name
	if res.single {
		title = res.title
		data.Back = "/"
	}
	page := view{Title: title, Crumbs: append(v.crumbs(), link{Text: res.title, Href: res.at(key.Site)}), Tabs: v.tabs(), Data: data}
	if res.single {
		page.Crumbs, page.Lead = nil, res.lead
	}
	if !f.ReadOnly {
		var err error
		if page.Proof, err = v.proofFor(res); err != nil {
			return err
		}
	}
	return v.show(status, "edit", page)
}

// save changes an object. Whatever is refused comes back with what was typed.
func (v *visit) save(res resource) error {
	key := res.key(v)
	o, err := v.who.Get(key)
	if sortOf(err) == problemNotFound && !res.single {
		return v.gone(res, key)
	}
	if err != nil {
		return err
	}
	f, err := v.formFor(res, o)
	if err != nil {
		return err
	}
	f.take(v.r.PostForm)
	v.decide(f)
	patch, ok := f.patch()
	if !ok {
		f.forget()
		return v.showForm(res, http.StatusUnprocessableEntity, o, f)
	}
	if len(patch) == 0 && f.Rev == o.Header().Rev {
		return v.redirect(res.of(key), "same")
	}
	if ok, err := v.proveFor(res); err != nil {
		return err
	} else if !ok {
		f.General = append(f.General, unprovedForm)
		f.forget()
		return v.showForm(res, http.StatusUnprocessableEntity, o, f)
	}
	_, err = v.who.Change(v.r.Context(), key, f.Rev, patch)
	switch sortOf(err) {
	case "":
		if err != nil {
			return err
		}
		return v.redirect(res.of(key), "saved")
	case problemConflict:
		return v.showConflict(res, o, f)
	case problemNotFound:
		return v.gone(res, key)
	case problemUnauthenticated, problemMustChange, "forbidden":
		return err
	}
	return v.refuseForm(err, f, func(status int) error { return v.showForm(res, status, o, f) })
}

// refuseForm shows a form again with what is wrong.
func (v *visit) refuseForm(err error, f *form, show func(status int) error) error {
	var p *rest.Problem
	if !asProblem(err, &p) {
		return err
	}
	switch p.Sort() {
	case problemExists:
		f.wrong["name"] = append(f.wrong["name"], sentence(p.Detail))
	case problemProof: // the time for it ran out just now
		f.General = append(f.General, unprovedForm)
	default:
		f.refuse(p)
	}
	f.forget()
	return show(p.Status)
}

// gone tells that the object was deleted meanwhile; what was typed can make it anew.
func (v *visit) gone(res resource, key model.Key) error {
	f, err := v.formFor(res, nil)
	if err != nil {
		return err
	}
	f.take(v.r.PostForm)
	f.Rev = 0
	f.General = append(f.General, sentence(model.Describe(key)+" was deleted by somebody else meanwhile. What you typed is here: save it to make the "+key.Kind.Noun()+" anew"))
	if f.typed.get("name") == "" {
		f.typed["name"] = one(key.ID)
	}
	f.forget()
	return v.showNew(res, http.StatusConflict, f)
}

func (v *visit) newPage(res resource) error {
	if !v.mayMake(res) {
		return v.notYours(res)
	}
	f, err := v.formFor(res, nil)
	if err != nil {
		return err
	}
	f.typed = values{}
	for name, list := range res.start {
		f.typed[name] = list
	}
	for _, field := range fieldsOf(f.Sections) {
		if given := slices.DeleteFunc(slices.Clone(field.Options), func(o option) bool { return o.Value == "" }); field.Lone && len(given) == 1 {
			f.typed[field.Name] = one(given[0].Value)
		}
	}
	if held := v.held(); held != nil {
		f.take(held)
	}
	return v.showNew(res, http.StatusOK, f)
}

func (v *visit) notYours(res resource) error {
	v.message(v.w, v.r, http.StatusForbidden, "Not allowed", "Your account may not make any "+res.kind.Noun()+" here. A SuperAdmin can give the right.")
	return nil
}

func (v *visit) showNew(res resource, status int, f *form) error {
	noun := res.kind.Noun()
	proof, err := v.proofFor(res)
	if err != nil {
		return err
	}
	return v.show(status, "edit", view{
		Title: "New " + noun, Proof: proof, Crumbs: append(v.crumbs(), link{Text: res.title, Href: res.at(v.site())}), Tabs: v.tabs(),
		Data: editData{form: f, Action: res.fresh(v.site()), Back: res.at(v.site()), Verb: "Make " + noun, Noun: noun},
	})
}

func (v *visit) create(res resource) error {
	f, err := v.formFor(res, nil)
	if err != nil {
		return err
	}
	f.take(v.r.PostForm)
	body, ok := f.patch()
	if !ok {
		f.forget()
		return v.showNew(res, http.StatusUnprocessableEntity, f)
	}
	if ok, err := v.proveFor(res); err != nil {
		return err
	} else if !ok {
		f.General = append(f.General, unprovedForm)
		f.forget()
		return v.showNew(res, http.StatusUnprocessableEntity, f)
	}
	if v.site() != "" && res.kind != model.KindHostKey {
		body["site"] = v.site()
	}
	if _, named := body["name"]; !named && res.kind == model.KindEntry {
		body["name"] = "" // made of list and network
	}
	o, secret, err := v.who.Create(v.r.Context(), res.kind, v.site(), body)
	if err != nil {
		switch sortOf(err) {
		case problemUnauthenticated, problemMustChange, "forbidden":
			return err
		}
		return v.refuseForm(err, f, func(status int) error { return v.showNew(res, status, f) })
	}
	if secret != "" {
		return v.tellOnce(shown{Title: "Copy the " + res.kind.Noun() + " now", Lead: "It is shown until you say that you have kept it, 5 minutes at most; nobody can read it again.", Lines: []string{secret}, Next: res.of(o.Key())}, "")
	}
	return v.redirect(res.of(o.Key()), "made")
}

// deleteData is what the page shows that asks before an object goes.
type deleteData struct {
	Noun, Name, Loss string
	Action, Back     string
	Rev              uint64
	Wrong            string
	Typed            string
	UsedBy           []link
	More             int
	Blocked          string
}

func (v *visit) askDelete(res resource) error { return v.deletePage(res, http.StatusOK, deleteData{}) }

func (v *visit) deletePage(res resource, status int, data deleteData) error {
	key := res.key(v)
	o, err := v.who.Get(key)
	if err != nil {
		return err
	}
	data.Noun, data.Name, data.Action, data.Back = key.Kind.Noun(), o.Header().Name, res.of(key)+"/delete", res.of(key)
	if data.Rev == 0 {
		data.Rev = o.Header().Rev
	}
	if res.loss != nil {
		data.Loss = res.loss(v, o)
	}
	proof, err := v.proofFor(res)
	if err != nil {
		return err
	}
	return v.show(status, "delete", view{
		Proof: proof, Title: "Delete " + data.Noun + " " + data.Name, Crumbs: append(v.crumbs(), link{Text: res.title, Href: res.at(key.Site)}, link{Text: data.Name, Href: data.Back}), Data: data,
	})
}

func (v *visit) delete(res resource) error {
	key := res.key(v)
	form := v.r.PostForm
	rev, _ := strconv.ParseUint(form.Get("rev"), 10, 64)
	if o, err := v.who.Get(key); err != nil {
		return err
	} else if form.Get("confirm") != o.Header().Name {
		return v.deletePage(res, http.StatusUnprocessableEntity, deleteData{Rev: rev, Typed: form.Get("confirm"), Wrong: "That is not the name. Type it as it stands above."})
	}
	if ok, err := v.proveFor(res); err != nil {
		return err
	} else if !ok {
		return v.deletePage(res, http.StatusUnprocessableEntity, deleteData{Rev: rev, Typed: form.Get("confirm")})
	}
	err := v.who.Delete(v.r.Context(), key, rev)
	var p *rest.Problem
	switch {
	case err == nil:
		return v.redirect(res.at(key.Site), "deleted")
	case !asProblem(err, &p):
		return err
	case p.Sort() == problemConflict:
		return v.deletePage(res, p.Status, deleteData{Blocked: "It was changed by " + p.Conflict.By + " meanwhile. Look at it again before you delete it."})
	case p.Sort() == problemReferenced:
		data := deleteData{Rev: rev, Blocked: sentence(p.Detail)}
		for _, k := range p.UsedBy.First {
			data.UsedBy = append(data.UsedBy, link{Text: model.Describe(k), Href: pageOf(k)})
		}
		data.More = p.UsedBy.Count - len(p.UsedBy.First)
		return v.deletePage(res, p.Status, data)
	}
	return err
}

// pageOf is the page of an object; the overview for one that has none.
func pageOf(key model.Key) string {
	for _, res := range resources() {
		if res.kind == key.Kind {
			return res.of(key)
		}
	}
	return "/"
}
