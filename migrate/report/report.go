// Package report tells what became of everything that an old configuration had: what was
// imported, what was changed on the way, what was dropped and why, and what is left for
// somebody to do. As text, as JSON, and as one page of HTML that needs nothing else.
//
// What it promises: of each kind, as many as were in the source are imported or dropped
// (Balanced says so, and the importers' tests hold it). Whatever happened to an object has
// a line of its own; fields that nobody understood are counted by name. No line quotes a
// password, a key or a passphrase.
package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is a sort of object as people of the old product know it.
type Kind string

// The kinds of the old products.
const (
	SuperAdmin  Kind = "SuperAdmin"
	Admin       Kind = "Admin"
	Node        Kind = "node"
	Site        Kind = "site"
	Binding     Kind = "binding"
	User        Kind = "user"
	Group       Kind = "group"
	VFS         Kind = "VFS"
	HostKey     Kind = "host key"
	Certificate Kind = "certificate"
	LDAP        Kind = "LDAP profile"
	ListEntry   Kind = "list entry"
	Script      Kind = "script"
	Handler     Kind = "event handler"
	Settings    Kind = "settings"
	License     Kind = "license"
	Other       Kind = "other object"
)

// kinds is the order of the table.
var kinds = []Kind{
	Site, User, Group, VFS, LDAP, HostKey, Certificate, Binding, ListEntry, Admin, SuperAdmin,
	Node, Script, Handler, Settings, License, Other,
}

// Outcome is what became of an object, or of a part of it.
type Outcome string

// The outcomes, from bad to good. Dropped objects are not there any more; Disabled ones
// are, but may not be used; Kept ones survive without a use, for backups and a later
// release; Changed ones are there in another form; Made is new, in the place of another.
// A Warning changes nothing by itself.
const (
	Dropped  Outcome = "dropped"
	Disabled Outcome = "disabled"
	Action   Outcome = "needs action"
	Changed  Outcome = "changed"
	Kept     Outcome = "kept"
	Made     Outcome = "made"
	Warning  Outcome = "warning"
)

// Source is what was imported.
type Source struct {
	// Product is as its makers wrote it, Version what the source says, "" if nothing.
	Product string `json:"product"`
	Version string `json:"version,omitempty"`
	// Container is the adapter that read it, as docs/formats.md names them.
	Container string    `json:"container"`
	File      string    `json:"file,omitempty"`
	Made      time.Time `json:"made,omitzero"`
}

// Line is what happened to one object under one rule.
type Line struct {
	Rule    Rule    `json:"rule"`
	Outcome Outcome `json:"outcome"`
	Kind    Kind    `json:"kind"`
	Site    string  `json:"site,omitempty"`
	Name    string  `json:"name,omitempty"`
	// What says what happened and why, Cure what to do.
	What string `json:"what"`
	Cure string `json:"cure,omitempty"`
	// Loss tells that because of it somebody cannot log in or loses rights or safety, or
	// that something does not serve, so that nobody may meet it unasked.
	Loss bool `json:"loss,omitempty"`
}

// Count is the table's row of one kind. In is Imported + Dropped.
type Count struct {
	Kind     Kind `json:"kind"`
	In       int  `json:"in"`
	Imported int  `json:"imported"`
	Dropped  int  `json:"dropped"`
	// Of the imported: those that are disabled, those changed, those kept without a use.
	Disabled int `json:"disabled"`
	Changed  int `json:"changed"`
	Kept     int `json:"kept"`
	// Made are new ones that the source did not have.
	Made int `json:"made"`
}

// Field is a field of the source that has no place here.
type Field struct {
	// Path is COLLECTION.FIELD.FIELD; "[]" stands for any place of a list, "{}" for any
	// name of a map.
	Path  string `json:"path"`
	Count int    `json:"count"`
	// Unknown fields are those that nobody here understands; Why is the reason for the
	// others.
	Unknown bool   `json:"unknown"`
	Why     string `json:"why,omitempty"`
}

// Report is what became of a source. Its zero value is not ready: use New.
type Report struct {
	Source Source
	// DryRun tells that nothing was kept.
	DryRun bool
	Lines  []Line

	counts map[Kind]*Count
	fields map[fieldKey]int
	// more is how many lines had no place, full that some of them tell of losses.
	more int
	full bool
	// size is about how many bytes the lines have.
	size int
}

type fieldKey struct {
	path, why string
	unknown   bool
}

// New is an empty report.
func New(source Source) *Report {
	source.Version, source.File = plain(source.Version, maxName), plain(source.File, maxSentence)
	return &Report{Source: source, counts: map[Kind]*Count{}, fields: map[fieldKey]int{}}
}

func (r *Report) count(k Kind) *Count {
	c := r.counts[k]
	if c == nil {
		c = &Count{Kind: k}
		r.counts[k] = c
	}
	return c
}

// Item is one object of the source. Every Item ends with Done, once.
type Item struct {
	r          *Report
	kind       Kind
	site, name string
	dropped    bool
	disabled   bool
	changed    bool
	kept       bool
}

// Item begins an object of the source, and counts it. site is empty for what belongs to
// none.
func (r *Report) Item(kind Kind, site, name string) *Item {
	r.count(kind).In++
	return &Item{r: r, kind: kind, site: site, name: name}
}

func (i *Item) line(rule Rule, o Outcome, what, cure string, loss bool) {
	switch o {
	case Dropped:
		i.dropped = true
	case Disabled:
		i.disabled = true
	case Changed, Action:
		i.changed = true
	case Kept:
		i.kept = true
	}
	// A name is a piece of its document, which would all be kept with it.
	i.r.add(Line{rule, o, i.kind, i.site, strings.Clone(i.name), what, cure, loss})
}

// missed tells the kinds of which none may be dropped or disabled unasked.
func (k Kind) missed() bool {
	return k == User || k == Group || k == Site || k == VFS || k == LDAP || k == Admin || k == Binding
}

// Drop says that the object was not imported.
func (i *Item) Drop(rule Rule, what, cure string) { i.line(rule, Dropped, what, cure, i.kind.missed()) }

// Disable says that the object is there and may not be used.
func (i *Item) Disable(rule Rule, what, cure string) {
	i.line(rule, Disabled, what, cure, i.kind.missed())
}

// Change says what is different now.
func (i *Item) Change(rule Rule, what, cure string) { i.line(rule, Changed, what, cure, false) }

// Action says what somebody has to do before it works as before.
func (i *Item) Action(rule Rule, what, cure string) { i.line(rule, Action, what, cure, false) }

// Keep says that the object, or a part of it, is kept and has no use here.
func (i *Item) Keep(rule Rule, what, cure string) { i.line(rule, Kept, what, cure, false) }

// Warn says what to know of an object that is imported as it was.
func (i *Item) Warn(rule Rule, what, cure string) { i.line(rule, Warning, what, cure, false) }

// Lose is Drop, Disable, Change, Action, Keep or Warn, by the outcome, for what is a loss.
func (i *Item) Lose(o Outcome, rule Rule, what, cure string) { i.line(rule, o, what, cure, true) }

// Done counts what became of the object, and tells whether it is imported.
func (i *Item) Done() bool {
	c := i.r.count(i.kind)
	if i.dropped {
		c.Dropped++
		return false
	}
	c.Imported++
	for _, flag := range []struct {
		is bool
		n  *int
	}{{i.disabled, &c.Disabled}, {i.kept, &c.Kept}, {i.changed, &c.Changed}} {
		if flag.is {
			*flag.n++
		}
	}
	return true
}

// DropAll counts objects of the source that are dropped for one reason, with one line.
func (r *Report) DropAll(kind Kind, site, name string, n int, rule Rule, what, cure string) {
	if n == 0 {
		return
	}
	c := r.count(kind)
	c.In, c.Dropped = c.In+n, c.Dropped+n
	if n > 1 {
		name = fmt.Sprintf("%s (%d)", name, n)
	}
	r.add(Line{Rule: rule, Outcome: Dropped, Kind: kind, Site: site, Name: name, What: what, Cure: cure})
}

// Dropped tells whether Drop was called.
func (i *Item) Dropped() bool { return i.dropped }

// Rename gives the item the name that the lines from now on show.
func (i *Item) Rename(name string) { i.name = name }

// Made says that an object was made that the source did not have.
func (r *Report) Made(rule Rule, kind Kind, site, name, what, cure string) {
	r.count(kind).Made++
	r.add(Line{Rule: rule, Outcome: Made, Kind: kind, Site: site, Name: name, What: what, Cure: cure})
}

// Warn says what concerns no object alone.
func (r *Report) Warn(rule Rule, what, cure string) {
	r.add(Line{Rule: rule, Outcome: Warning, What: what, Cure: cure})
}

// Bounds of a report: far above what a configuration has to tell, and low enough that a
// source made to do harm does not fill the memory.
const (
	// maxSize is how many bytes the lines have; from half of it on those that tell of no
	// object that is lost are only counted.
	maxSize = 384 << 20
	// lineSize is what a line has besides its texts.
	lineSize = 120
	// maxFields is how many fields are told by name.
	maxFields = 1000
)

// ErrFull: a source has more to tell than a report has room for.
var ErrFull = errors.New("more objects are dropped or disabled than a report has room for")

// Full is ErrFull once lines that nobody may miss had no place.
func (r *Report) Full() error {
	if r.full {
		return ErrFull
	}
	return nil
}

// add keeps a line. Names and values in it come from the source: what moves the cursor of
// a terminal, or looks like another line, stands there as an escape.
func (r *Report) add(l Line) {
	grave := l.Loss || l.Outcome == Dropped || l.Outcome == Disabled
	switch {
	case r.size >= maxSize:
		r.full = r.full || grave
		r.more++
		return
	case r.size >= maxSize/2 && !grave:
		r.more++
		return
	}
	l.Site, l.Name = plain(l.Site, maxName), plain(l.Name, maxName)
	l.What, l.Cure = plain(l.What, maxSentence), plain(l.Cure, maxSentence)
	r.size += lineSize + len(l.Site) + len(l.Name) + len(l.What) + len(l.Cure)
	r.Lines = append(r.Lines, l)
}

// Unknown counts a field that nobody understands.
func (r *Report) Unknown(path string) { r.field(fieldKey{path: path, unknown: true}) }

// LeftOut counts a field that is understood and has no place here.
func (r *Report) LeftOut(path, why string) { r.field(fieldKey{path: path, why: why}) }

// otherFields stands for those beyond maxFields.
const otherFields = "(other fields)"

func (r *Report) field(key fieldKey) {
	key.path = plain(key.path, maxName)
	if _, known := r.fields[key]; !known && len(r.fields) >= maxFields {
		key = fieldKey{path: otherFields, unknown: key.unknown}
	}
	r.fields[key]++
}

// Counts is the table, in a fixed order, without the kinds that there are none of.
func (r *Report) Counts() []Count {
	var out []Count
	for _, k := range kinds {
		if c := r.counts[k]; c != nil && *c != (Count{Kind: k}) {
			out = append(out, *c)
		}
	}
	return out
}

// Fields are those left out, by their paths.
func (r *Report) Fields() []Field {
	out := make([]Field, 0, len(r.fields))
	for key, n := range r.fields {
		out = append(out, Field{key.path, n, key.unknown, key.why})
	}
	slices.SortFunc(out, func(a, b Field) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Why, b.Why))
	})
	return out
}

// Balanced is an error if of some kind more or less came out than went in.
func (r *Report) Balanced() error {
	for _, c := range r.Counts() {
		if c.In != c.Imported+c.Dropped {
			return fmt.Errorf("of %d objects of kind %s %d were imported and %d dropped", c.In, c.Kind, c.Imported, c.Dropped)
		}
	}
	return nil
}

// About adds a line that only the whole shows. It counts no object.
func (r *Report) About(l Line) { r.add(l) }

// Lose tells a loss that only the whole shows. It counts no object.
func (r *Report) Lose(l Line) {
	l.Loss = true
	r.add(l)
}

// Losses are the lines that nobody may meet unasked: who cannot log in afterwards, what
// does not serve, and what nobody understood.
func (r *Report) Losses() []Line {
	var out []Line
	for _, l := range r.Lines {
		if l.Loss {
			out = append(out, l)
		}
	}
	return out
}

// LossDigest is the SHA-256, in hexadecimal, of all Losses in whatever order: who has
// agreed to them has agreed to exactly these.
func (r *Report) LossDigest() string {
	losses := r.Losses()
	lines := make([]string, len(losses))
	for i, l := range losses {
		lines[i] = fmt.Sprintf("%q", []string{string(l.Rule), string(l.Outcome), string(l.Kind), l.Site, l.Name, l.What, l.Cure})
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// LossSummary says of how many objects there are Losses, such as "2 users and one site";
// an object with several counts once. It is empty if there are none.
func (r *Report) LossSummary() string {
	type object struct {
		kind       Kind
		site, name string
	}
	seen, of := map[object]bool{}, map[Kind]int{}
	for _, l := range r.Lines {
		if o := (object{l.Kind, l.Site, l.Name}); l.Loss && (l.Kind == "" || !seen[o]) {
			seen[o] = true
			of[l.Kind]++
		}
	}
	var parts []string
	for _, k := range append(slices.Clone(kinds), "") {
		noun := cmp.Or(string(k), "other point")
		switch n := of[k]; {
		case n == 1:
			parts = append(parts, "one "+noun)
		case n > 1 && k != Settings:
			parts = append(parts, fmt.Sprintf("%d %ss", n, noun))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, noun))
		}
	}
	if n := len(parts); n > 1 {
		return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
	return strings.Join(parts, "")
}
