package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// FieldError is one thing that is wrong with one field. A form shows it beside the
// field; Field is the path in the JSON form, as in "folders[2].vfs".
type FieldError struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
	Cure    string `json:"cure"`
	// Other is the object that this one clashes with, if there is one. Not everybody
	// who may change the one may see the other.
	Other *Key `json:"other,omitempty"`
}

func (e FieldError) String() string {
	text := e.Field + ": " + e.Problem
	if e.Other != nil {
		text += " (" + Describe(*e.Other) + ")"
	}
	return text + "; " + e.Cure
}

// InvalidError is what is wrong with an object: everything, up to a hundred fields.
type InvalidError struct {
	Key    Key          `json:"object"`
	Errors []FieldError `json:"errors"`
}

func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Errors))
	for i, f := range e.Errors {
		parts[i] = f.String()
	}
	return fmt.Sprintf("%s is not valid: %s", Describe(e.Key), strings.Join(parts, ". "))
}

// Describe names an object for people: `user "anna" of site main`.
func Describe(k Key) string {
	text := fmt.Sprintf("%s %q", k.Kind.Noun(), k.ID)
	if k.Site != "" {
		text += " of site " + k.Site
	}
	return text
}

var nouns = map[Kind]string{
	KindSettings: "settings", KindNode: "node", KindSuperAdmin: "SuperAdmin", KindAdmin: "Admin",
	KindToken: "token", KindSite: "site", KindBinding: "binding", KindGroup: "group", KindUser: "user",
	KindVFS: "VFS", KindLDAP: "LDAP profile", KindHostKey: "host key", KindCertificate: "certificate",
	KindEntry: "list entry", KindLegacy: "kept object",
}

// Noun is the kind in a sentence.
func (k Kind) Noun() string {
	if noun, ok := nouns[k]; ok {
		return noun
	}
	return string(k)
}

// check gathers what is wrong with an object.
type check struct{ errors []FieldError }

// maxErrors is how many are told: objects come from outside, and their lists are as long
// as a body may be.
const maxErrors = 100

func (c *check) add(field, problem, cure string) {
	if len(c.errors) == maxErrors {
		return
	}
	c.errors = append(c.errors, FieldError{Field: field, Problem: problem, Cure: cure})
}

// that notes a problem unless ok. Where its words have to be made, what is checked for every
// user says add itself: most are right.
func (c *check) that(ok bool, field, problem, cure string) {
	if !ok {
		c.add(field, problem, cure)
	}
}

func (c *check) name(field, name string) {
	if problem, cure := nameProblem(name); problem != "" {
		c.add(field, problem, cure)
	}
}

func (c *check) slug(field, name string) {
	if problem, cure := slugProblem(name); problem != "" {
		c.add(field, problem, cure)
	}
}

func (c *check) optionalSlug(field, name string) {
	if name != "" {
		c.slug(field, name)
	}
}

func (c *check) optionalName(field, name string) {
	if name != "" {
		c.name(field, name)
	}
}

// tooLong is the cure for a text of more than maxText bytes.
var tooLong = fmt.Sprintf("use at most %d bytes", maxText)

// text checks what people write freely.
func (c *check) text(field, text string) {
	c.that(len(text) <= maxText, field, "it is too long", tooLong)
	c.that(isText(text, "\n\t\r"), field, "it contains characters that cannot be seen", "write it again")
}

// line checks a text of one line.
func (c *check) line(field, text string) {
	c.that(len(text) <= maxText, field, "it is too long", tooLong)
	c.that(isText(text, ""), field, "it is not one line of text", "write it again")
}

func (c *check) number(field string, n, low, high int64) {
	if n < low || n > high {
		c.add(field, fmt.Sprintf("%d is out of range", n), fmt.Sprintf("use %d to %d", low, high))
	}
}

func (c *check) port(field string, port int) { c.number(field, int64(port), 1, 65535) }

func (c *check) err(k Key) error {
	if len(c.errors) == 0 {
		return nil
	}
	return &InvalidError{Key: k, Errors: c.errors}
}

// oneOf checks a value out of a short list.
func oneOf[T ~string](c *check, field string, value T, list []T) {
	if slices.Contains(list, value) {
		return
	}
	words := make([]string, len(list))
	for i, known := range list {
		words[i] = string(known)
	}
	c.add(field, fmt.Sprintf("%q is not known", string(value)), "use "+strings.Join(words, ", "))
}

func at(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// first tells whether a value is the first of its sort, and remembers it.
func first[T comparable](seen map[T]bool, value T) bool {
	was := seen[value]
	seen[value] = true
	return !was
}
