package web

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// form is what a page shows of an object that can be changed: its values as they are typed,
// and what is wrong with them.
type form struct {
	Sections []section
	// typed are the values in the inputs, was those that the object had when the form was
	// first shown: what differs is what somebody changed.
	typed, was values
	// tree is the object's JSON form, nil for one that is made.
	tree     any
	Rev      uint64
	ReadOnly bool
	// Unsaved tells that it holds what somebody typed before, and that is saved nowhere: the page
	// is not left or loaded anew by itself.
	Unsaved bool
	wrong   map[string][]string
	// General are messages that belong to no field.
	General []string
}

func fieldsOf(sections []section) (out []field) {
	for _, s := range sections {
		out = append(out, s.Fields...)
	}
	return out
}

// treeOf is an object as JSON is read.
func treeOf(o model.Object) (tree map[string]any, err error) {
	text, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(text, &tree)
	}
	return tree, err
}

// formOf is the form of an object as it is.
func formOf(sections []section, tree map[string]any) *form {
	f := &form{Sections: sections, wrong: map[string][]string{}}
	if tree != nil {
		f.tree = tree
		f.was = typed(fieldsOf(sections), tree)
		f.typed = f.was
		rev, _ := tree["rev"].(float64)
		f.Rev = uint64(rev)
	}
	return f
}

// take puts what was sent into the form.
func (f *form) take(sent url.Values) {
	f.typed, f.Unsaved = values{}, true
	for name, list := range sent {
		list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
		if len(list) > 0 {
			f.typed[name] = list
		}
	}
	// What cannot change is not sent: browsers leave out inputs that are disabled.
	for _, field := range fieldsOf(f.Sections) {
		if field.Fixed && f.tree != nil {
			field.show(look(f.tree, field.place()), field.Name, f.typed)
		}
	}
	if rev, err := strconv.ParseUint(sent.Get("rev"), 10, 64); err == nil {
		f.Rev = rev
	}
	var was values
	if json.Unmarshal([]byte(sent.Get("was")), &was) == nil && was != nil {
		f.was = was
	}
	for _, field := range fieldsOf(f.Sections) {
		field.closed(f.typed, f.was)
		field.inOrder(field.Name, f.typed, f.was)
		if list := f.typed[field.Name]; len(list) == 1 {
			f.typed[field.Name] = one(field.asSent(list[0]))
		}
	}
}

// tooLong tells a list of the object that has more rows than the form.
func (f *form) tooLong(field field) bool { return field.tooLong(look(f.tree, field.place())) }

// Was is what the object had, for the form to send along.
func (f *form) Was() string {
	text, _ := json.Marshal(f.was) // strings cannot fail
	return string(text)
}

// changed tells whether somebody typed another value into a field.
func (f *form) changed(field field) bool {
	if field.Type != rowsInput {
		return !field.same(f.typed, f.was, field.Name)
	}
	n := max(rowsOf(field.Name, f.typed), rowsOf(field.Name, f.was))
	for i := range n {
		for _, inner := range field.Fields {
			if !inner.same(f.typed, f.was, rowName(field.Name, i, inner.Name)) {
				return true
			}
		}
	}
	return false
}

// patch is a merge patch of what was changed; false if something typed cannot be read.
func (f *form) patch() (patch map[string]any, ok bool) {
	patch, ok = map[string]any{}, true
	for _, field := range fieldsOf(f.Sections) {
		if f.tree != nil && (field.Fixed || f.tooLong(field) || !f.changed(field)) {
			continue
		}
		v, wrong := field.read(field.Name, f.typed, look(f.tree, field.place()))
		if wrong != "" {
			f.wrong[field.Name] = append(f.wrong[field.Name], wrong)
			ok = false
			continue
		}
		if v == nil && f.tree == nil || field.Type == dropInput && f.typed.get(field.Name) == "" {
			continue
		}
		name := field.Name
		if field.Bare {
			name = field.place()
		}
		put(patch, name, v)
	}
	return patch, ok
}

// refuse puts a problem beside the fields that it concerns.
func (f *form) refuse(p *rest.Problem) {
	if len(p.Errors) == 0 {
		f.General = append(f.General, sentence(p.Detail))
		return
	}
	for _, e := range p.Errors {
		message := sentence(e.Problem + "; " + e.Cure)
		if e.Other != nil {
			message = sentence(e.Problem + " (" + model.Describe(*e.Other) + "); " + e.Cure)
		}
		if name := f.inputFor(e.Field); name != "" {
			f.wrong[name] = append(f.wrong[name], message)
		} else {
			f.General = append(f.General, e.Field+": "+message)
		}
	}
}

// forget tells beside each secret that was typed that it must be typed again: no page shows it,
// so saving once more would leave it out unnoticed.
func (f *form) forget() {
	for _, field := range fieldsOf(f.Sections) {
		if field.secret() && f.typed.get(field.Name) != "" {
			f.wrong[field.Name] = append(f.wrong[field.Name], "Type it again: it is not kept here.")
		}
	}
}

// inputFor is the input that a field of an object is typed in; empty if there is none. A
// message of a part - keys[0].key - belongs to the input of the whole, and one of a whole to
// its first part.
func (f *form) inputFor(place string) string {
	place = strings.ReplaceAll(strings.ReplaceAll(place, "[", "."), "]", "")
	best := ""
	for _, field := range fieldsOf(f.Sections) {
		for _, name := range f.inputNames(field) {
			switch {
			case name == place:
				return name
			case within(place, name) && len(name) > len(best):
				best = name
			case best == "" && within(name, place):
				best = name
			}
		}
	}
	return best
}

func (f *form) inputNames(field field) []string {
	names := []string{field.Name}
	if field.Type == rowsInput {
		for i := range rowsOf(field.Name, f.typed) {
			for _, inner := range field.Fields {
				names = append(names, rowName(field.Name, i, inner.Name))
			}
		}
	}
	return names
}

func within(place, name string) bool { return strings.HasPrefix(place, name+".") }

// Wrong are the inputs with messages, for the summary that leads to them.
func (f *form) Wrong() (out []link) {
	for _, field := range fieldsOf(f.Sections) {
		for _, name := range f.inputNames(field) {
			if len(f.wrong[name]) > 0 {
				out = append(out, link{Text: field.Label, Href: "#" + inputID(name)})
			}
		}
	}
	return out
}

// input is a field as a template shows it.
type input struct {
	field
	ID       string
	Value    string
	Choices  []choice
	On       bool
	Set      bool // a secret is there
	Wrong    []string
	ReadOnly bool
	Rows     [][]input
	Full     bool // no row fits any more
}

type choice struct {
	option
	On bool
}

func inputID(name string) string { return "f-" + strings.ReplaceAll(name, ".", "-") }

// Inputs are the fields of a section with their values.
func (f *form) Inputs(s section) (out []input) {
	for _, field := range s.Fields {
		out = append(out, f.input(field, field.Name))
	}
	return out
}

// Open tells that a section is to be seen: it is no folded one, or has something in it.
func (f *form) Open(s section) bool {
	return !s.Folded || slices.ContainsFunc(s.Fields, func(field field) bool {
		return slices.ContainsFunc(f.inputNames(field), func(name string) bool { return len(f.wrong[name]) > 0 || len(f.typed[name]) > 0 })
	})
}

// others are values that the object has and the form does not offer: without a box of their
// own they would be lost with the next change of whatever else.
func (f *form) others(field field, name string) (out []choice) {
	for _, value := range slices.Concat(f.typed[name], f.was[name]) {
		is := func(o option) bool { return o.Value == value }
		if !slices.ContainsFunc(field.Options, is) && !slices.ContainsFunc(out, func(c choice) bool { return is(c.option) }) {
			out = append(out, choice{option{Value: value, Text: value}, slices.Contains(f.typed[name], value)})
		}
	}
	return out
}

// spareRows are those that wait for more.
const spareRows = 1

func (f *form) input(field field, name string) input {
	in := input{
		field: field, ID: inputID(name), Value: f.typed.get(name), On: f.typed.get(name) != "",
		Wrong: f.wrong[name], ReadOnly: f.ReadOnly || field.Fixed && f.tree != nil,
	}
	in.Name = name
	known := false
	for _, o := range field.Options {
		on := slices.Contains(f.typed[name], o.Value) || (field.Type == choiceInput || field.Type == radioInput) && in.Value == o.Value
		known = known || on
		in.Choices = append(in.Choices, choice{o, on})
	}
	if field.Type == choiceInput && !known && in.Value != "" {
		in.Choices = append(in.Choices, choice{option{Value: in.Value, Text: in.Value}, true})
	}
	if field.Type == choicesInput {
		in.Choices = append(in.Choices, f.others(field, name)...)
	}
	switch field.Type {
	case secretInput, pemInput:
		in.Value = ""
		if in.Set = look(look(f.tree, field.place()), "set") == true; in.Set {
			in.Help = strings.TrimSpace(in.Help + " Leave it empty to keep what there is.")
		}
	case dropInput:
		in.Set = look(f.tree, field.Name) != nil
	case rowsInput:
		f.rows(&in)
	}
	return in
}

// rows are those of a list, with room for more as long as the form takes more.
func (f *form) rows(in *input) {
	if list, _ := look(f.tree, in.field.place()).([]any); f.tooLong(in.field) {
		in.ReadOnly = true
		in.Help = strings.TrimSpace(in.Help + " It has " + many(len(list), "line") + ", and a page takes " + strconv.Itoa(maxRows) + " at most: change it by the REST interface. Whatever else is saved here leaves it as it is.")
		return
	}
	n := rowsOf(in.Name, f.typed)
	if !in.ReadOnly {
		in.Full = n >= maxRows
		n = min(n+spareRows, maxRows)
	}
	for i := range n {
		var row []input
		for _, inner := range in.Fields {
			row = append(row, f.input(inner, rowName(in.Name, i, inner.Name)))
		}
		in.Rows = append(in.Rows, row)
	}
}
