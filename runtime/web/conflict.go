package web

import (
	"net/http"
	"strings"
	"time"

	"ss-setup/runtime/model"
)

// When two change one object, the second sees both versions, field by field, and chooses.
// What only one of them changed is chosen already.

// conflictData is what the page of a conflict shows.
type conflictData struct {
	Noun, By     string
	When         time.Time
	Action, Back string
	Rev          uint64
	Was          string
	Fields       []contested
	// Mine are all inputs as they were typed, to be sent along.
	Mine []hidden
	// Lost are fields whose content is not repeated, as passwords.
	Lost []string
}

// contested is a field in which two versions differ.
type contested struct {
	Name, Label  string
	Theirs, Mine string
	// TakeMine is the choice to begin with.
	TakeMine bool
	// Only tells who alone changed it: them, you; empty if both did.
	Only string
}

type hidden struct{ Name, Value string }

// showConflict shows what somebody else made of an object beside what was typed. o is the
// object as it is now.
func (v *visit) showConflict(res resource, o model.Object, mine *form) error {
	// Somebody may have been quicker once more.
	o, err := v.who.Get(o.Key())
	if sortOf(err) == problemNotFound {
		return v.gone(res, res.key(v))
	}
	if err != nil {
		return err
	}
	theirs, err := v.formFor(res, o)
	if err != nil {
		return err
	}
	head, key := o.Header(), o.Key()
	data := conflictData{
		Noun: key.Kind.Noun(), By: head.By, When: head.Modified, Action: res.of(key), Back: res.of(key), Rev: head.Rev, Was: theirs.Was(),
	}
	for _, field := range fieldsOf(theirs.Sections) {
		data.Fields = append(data.Fields, contest(field, mine, theirs)...)
		if field.secret() && mine.typed.get(field.Name) != "" || theirs.tooLong(field) && mine.changed(field) {
			data.Lost = append(data.Lost, field.Label)
		}
	}
	for name, list := range withoutSecrets(map[string][]string(mine.typed)) {
		if name == "rev" || name == "was" || name == "page" || name == "by" || name == "decided" || strings.HasPrefix(name, "take-") {
			continue
		}
		for _, value := range list {
			data.Mine = append(data.Mine, hidden{name, value})
		}
	}
	return v.show(http.StatusConflict, "conflict", view{
		Title: "Changed by somebody else", Crumbs: append(v.crumbs(), link{Text: res.title, Href: res.at(key.Site)}, link{Text: head.Name, Href: res.of(key)}), Data: data,
	})
}

// contest compares the versions of a field.
func contest(field field, mine, theirs *form) []contested {
	if field.Fixed || field.secret() || theirs.tooLong(field) {
		return nil
	}
	other := &form{typed: mine.typed, was: theirs.typed}
	if !other.changed(field) {
		return nil // both have the same
	}
	base := &form{typed: theirs.typed, was: mine.was}
	c := contested{
		Name: field.Name, Label: field.Label, TakeMine: true,
		Theirs: field.words(theirs.typed, field.Name), Mine: field.words(mine.typed, field.Name),
	}
	switch iDid, theyDid := mine.changed(field), base.changed(field); {
	case theyDid && !iDid:
		c.Only, c.TakeMine = "them", false
	case iDid && !theyDid:
		c.Only = "you"
	}
	return []contested{c}
}

// decide puts the values that the other had back where somebody chose them on the page of a
// conflict: those that the page showed, also when a third was quicker since.
func (v *visit) decide(f *form) {
	if v.r.PostForm.Get("decided") == "" {
		return
	}
	for _, field := range fieldsOf(f.Sections) {
		if v.r.PostForm.Get("take-"+field.Name) == "theirs" {
			f.restore(field)
		}
	}
}

// restore gives a field the values that the object had when the form was shown.
func (f *form) restore(field field) {
	for _, name := range append(f.inputNames(field), inputsIn(f.was, field)...) {
		if list, ok := f.was[name]; ok {
			f.typed[name] = list
		} else {
			delete(f.typed, name)
		}
	}
}

func inputsIn(vs values, field field) []string {
	return (&form{typed: vs}).inputNames(field)
}
