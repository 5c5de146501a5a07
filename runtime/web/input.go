package web

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// inputType says how a value is typed, and how it stands in the JSON form of an object.
type inputType string

const (
	textInput    inputType = "text"
	monoInput    inputType = "mono"    // a path, a name of DNS, an ID
	areaInput    inputType = "area"    // several lines, one value
	linesInput   inputType = "lines"   // one value a line, in their order; options are those known
	numberInput  inputType = "number"  // an empty one is none
	sizeInput    inputType = "size"    // bytes: "10 GiB"
	flagInput    inputType = "flag"    // yes or no
	choiceInput  inputType = "choice"  // one of a list
	radioInput   inputType = "radio"   // one of a short list, each with what it means
	choicesInput inputType = "choices" // any of a list, in no order
	momentInput  inputType = "moment"  // a time, in UTC
	secretInput  inputType = "secret"  // goes in and never comes out
	pemInput     inputType = "pem"     // a secret of many lines
	dropInput    inputType = "drop"    // ticked, it takes the value away
	keysInput    inputType = "keys"    // public keys, one a line
	rowsInput    inputType = "rows"    // a list of objects
)

// field is one input of a form, for one place in the JSON form of an object.
type field struct {
	// Name is the place, as in limits.perUser.
	Name  string
	Label string
	// Help says what the setting does and what holds where it is empty.
	Help    string
	Type    inputType
	Options []option
	// Fields are those of a row.
	Fields      []field
	Unit        string
	Placeholder string
	Required    bool
	// Fixed is chosen when the object is made, and never again.
	Fixed bool
	// Focus is where typing begins.
	Focus bool
	// Bare is a secret that REST takes as a text, and not as an object that has it as clear.
	Bare bool
	// Lone chooses for a new object where there is one thing to choose only.
	Lone bool
}

// option is one choice.
type option struct{ Value, Text, Help string }

// section is a part of a form under a heading.
type section struct {
	Title, Help string
	Fields      []field
	// Folded ones are opened when they are wanted.
	Folded bool
}

// values are those of a form by the names of its inputs, as they are typed.
type values map[string][]string

func (vs values) get(name string) string {
	if list := vs[name]; len(list) > 0 {
		return list[0]
	}
	return ""
}

// same tells whether two forms have the same in an input. Boxes that are ticked have no order.
func (f field) same(a, b values, name string) bool {
	if f.Type == choicesInput {
		return slices.Equal(slices.Sorted(slices.Values(a[name])), slices.Sorted(slices.Values(b[name])))
	}
	return slices.Equal(a[name], b[name])
}

// inOrder brings what was ticked into the order that the object has it in: a form sends that
// of its boxes, which nobody chose. What is new comes behind.
func (f field) inOrder(name string, typed, was values) {
	switch f.Type {
	case choicesInput:
		var out []string
		for _, value := range was[name] {
			if slices.Contains(typed[name], value) {
				out = append(out, value)
			}
		}
		for _, value := range typed[name] {
			if !slices.Contains(was[name], value) {
				out = append(out, value)
			}
		}
		if out != nil {
			typed[name] = out
		}
	case rowsInput:
		for i := range rowsOf(name, typed) {
			for _, inner := range f.Fields {
				inner.inOrder(rowName(name, i, inner.Name), typed, was)
			}
		}
	}
}

// look finds the value of a place in a JSON tree.
func look(tree any, place string) any {
	for _, part := range strings.Split(place, ".") {
		object, ok := tree.(map[string]any)
		if !ok {
			return nil
		}
		tree = object[part]
	}
	return tree
}

// put sets the value of a place in a JSON tree.
func put(tree map[string]any, place string, value any) {
	first, rest, deeper := strings.Cut(place, ".")
	if !deeper {
		tree[first] = value
		return
	}
	inner, ok := tree[first].(map[string]any)
	if !ok {
		inner = map[string]any{}
		tree[first] = inner
	}
	put(inner, rest, value)
}

// typed are the values of fields as a form shows them for an object.
func typed(fields []field, tree any) values {
	out := values{}
	for _, f := range fields {
		f.show(look(tree, f.place()), f.Name, out)
	}
	return out
}

// place is where the field's value stands: that of a secret is written beside the mark that
// there is one.
func (f field) place() string {
	if f.secret() {
		return strings.TrimSuffix(f.Name, ".clear")
	}
	return f.Name
}

// secret tells an input whose value never comes out. Its name ends with .clear, by which forms
// that wait for a log-in leave it out.
func (f field) secret() bool { return f.Type == secretInput || f.Type == pemInput }

// show writes a value as it is typed.
func (f field) show(v any, name string, out values) {
	switch f.Type {
	case flagInput:
		if v == true {
			out[name] = []string{"on"}
		}
	case choicesInput:
		out[name] = texts(v)
	case linesInput:
		out[name] = one(f.asSent(strings.Join(texts(v), "\n")))
	case sizeInput:
		if n, ok := v.(float64); ok && n != 0 {
			out[name] = one(typedSize(int64(n)))
		}
	case numberInput:
		if n, ok := v.(float64); ok && n != 0 {
			out[name] = one(strconv.FormatFloat(n, 'f', -1, 64))
		}
	case momentInput:
		if t, err := time.Parse(time.RFC3339, text(v)); err == nil {
			out[name] = one(t.UTC().Format(momentForm))
		}
	case keysInput:
		out[name] = one(f.asSent(keyLines(v)))
	case secretInput, pemInput, dropInput:
	case rowsInput:
		list, _ := v.([]any)
		if f.tooLong(v) {
			return
		}
		for i, row := range list {
			for _, inner := range f.Fields {
				inner.show(look(row, inner.place()), rowName(name, i, inner.Name), out)
			}
		}
	default:
		out[name] = one(f.asSent(text(v)))
	}
}

// asSent is a text as a form sends it that nobody typed in: with line breaks of one sort where
// the input has lines, and without any where it has one line. An object may have it otherwise,
// which nobody has changed by looking at it.
func (f field) asSent(text string) string {
	switch f.Type {
	case textInput, monoInput:
		return strings.NewReplacer("\r", "", "\n", "").Replace(text)
	case areaInput, linesInput, keysInput, pemInput:
		return oneBreak.Replace(text)
	}
	return text
}

// oneBreak makes all line breaks of one sort.
var oneBreak = strings.NewReplacer("\r\n", "\n", "\r", "\n")

const momentForm = "2006-01-02T15:04"

func rowName(name string, i int, inner string) string {
	return name + "." + strconv.Itoa(i) + "." + inner
}

func one(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func text(v any) string { s, _ := v.(string); return s }

func texts(v any) (out []string) {
	list, _ := v.([]any)
	for _, item := range list {
		out = append(out, text(item))
	}
	return out
}

func keyLines(v any) string {
	var lines []string
	list, _ := v.([]any)
	for _, item := range list {
		line := strings.TrimSpace(text(look(item, "key")) + " " + text(look(item, "name")))
		if end, err := time.Parse(time.RFC3339, text(look(item, "expires"))); err == nil && !end.IsZero() {
			line = `expiry-time="` + end.UTC().Format(keyEndForm) + `Z" ` + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// typedSize writes bytes so that reading gives the very number again.
func typedSize(n int64) string {
	for i := len(units) - 1; i > 0; i-- {
		if unit := int64(1) << (10 * i); n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + " " + units[i]
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}

// readSize reads what people write of bytes: 10 GiB, 10g, 1.5 TB. All units are binary.
func readSize(text string) (n int64, ok bool) {
	text = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), " ", ""))
	digits := strings.TrimRight(text, "bikmgtp")
	unit := strings.TrimSuffix(strings.TrimSuffix(text[len(digits):], "b"), "i")
	i := strings.Index("kmgtp", unit)
	if len(unit) > 1 || i < 0 {
		return 0, false
	}
	v, err := strconv.ParseFloat(digits, 64)
	if unit != "" {
		v *= math.Pow(1024, float64(i+1))
	}
	if err != nil || !(v >= 0 && v < 1<<62) { // NaN is neither
		return 0, false
	}
	return int64(v), true
}

// read is what was typed as a value of JSON; nil takes it away. wrong says why it is none.
func (f field) read(name string, in values, before any) (v any, wrong string) {
	typed := in.get(name)
	trimmed := strings.TrimSpace(typed)
	switch f.Type {
	case flagInput:
		return typed != "", ""
	case choicesInput:
		return orNone(in[name]), ""
	case linesInput:
		return orNone(lines(typed)), ""
	case keysInput:
		return readKeys(typed, before), ""
	case sizeInput:
		if trimmed == "" {
			return nil, ""
		}
		n, ok := readSize(trimmed)
		if !ok {
			return nil, "it is no size; write it as 500 MiB or 10 GiB"
		}
		return n, ""
	case numberInput:
		if trimmed == "" {
			return nil, ""
		}
		n, err := strconv.ParseInt(trimmed, 10, 64)
		if err != nil {
			return nil, "it is no whole number; write digits only"
		}
		return n, ""
	case momentInput:
		return readMoment(trimmed)
	case rowsInput:
		return f.readRows(name, in, before)
	case areaInput, pemInput:
		return orNothing(f.asSent(typed)), ""
	case secretInput:
		return orNothing(typed), ""
	case dropInput:
		return nil, ""
	}
	return orNothing(trimmed), ""
}

func readMoment(text string) (any, string) {
	if text == "" {
		return nil, ""
	}
	for _, form := range []string{momentForm, "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC().Format(time.RFC3339), ""
		}
	}
	return nil, "it is no time; write it as 2026-12-31T18:00"
}

func orNothing(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func orNone(list []string) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

func lines(text string) (out []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// The end of a key, as OpenSSH writes it before the key; all times are of UTC here.
var keyEnd = regexp.MustCompile(`^expiry-time="(\d{8}(?:\d{4}(?:\d{2})?)?)Z?"\s+(.*)$`)

const keyEndForm = "20060102150405"

// cutKeyEnd takes the end of a key off its line; end is empty for a key that has none.
func cutKeyEnd(line string) (rest, end string) {
	found := keyEnd.FindStringSubmatch(line)
	if found == nil {
		return line, ""
	}
	at, err := time.Parse(keyEndForm[:len(found[1])], found[1])
	if err != nil {
		return line, "" // it is refused, as no key
	}
	return found[2], at.Format(time.RFC3339)
}

// readKeys takes lines as of authorized_keys. A key that was there keeps what a line does
// not say.
func readKeys(typed string, before any) any {
	old, _ := before.([]any)
	var out []any
	for _, line := range lines(typed) {
		line, end := cutKeyEnd(line)
		words := strings.SplitN(line, " ", 3)
		key := map[string]any{"key": strings.Join(words[:min(2, len(words))], " ")}
		for _, was := range old {
			if object, ok := was.(map[string]any); ok && object["key"] == key["key"] {
				for name, value := range object {
					if name != "fingerprint" && name != "added" {
						key[name] = value
					}
				}
			}
		}
		delete(key, "name")
		delete(key, "expires")
		if len(words) == 3 {
			key["name"] = words[2]
		}
		if end != "" {
			key["expires"] = end
		}
		out = append(out, key)
	}
	if out == nil {
		return nil
	}
	return out
}

// readRows takes the rows that have something in them; what the form has no input for stays as
// it was in the row of that place.
func (f field) readRows(name string, in values, before any) (any, string) {
	var out []any
	old, _ := before.([]any)
	for i := range rowsOf(name, in) {
		row := map[string]any{}
		if i < len(old) {
			row = copied(old[i])
		}
		if f.blank(name, i, in) {
			continue
		}
		for _, inner := range f.Fields {
			v, wrong := inner.read(rowName(name, i, inner.Name), in, nil)
			if wrong != "" {
				return nil, inner.Label + ": " + wrong
			}
			put(row, inner.place(), v)
		}
		out = append(out, withoutNil(row))
	}
	if out == nil {
		return nil, ""
	}
	return out, ""
}

// filled tells whether something was typed in a row, beside what was chosen and ticked.
func (f field) filled(name string, i int, in values) bool {
	return slices.ContainsFunc(f.Fields, func(inner field) bool {
		switch inner.Type {
		case flagInput, choicesInput, choiceInput, radioInput:
			return false
		}
		return strings.TrimSpace(in.get(rowName(name, i, inner.Name))) != ""
	})
}

// blank tells a row that is as an empty one is sent.
func (f field) blank(name string, i int, in values) bool {
	return !slices.ContainsFunc(f.Fields, func(inner field) bool {
		got := strings.TrimSpace(in.get(rowName(name, i, inner.Name)))
		return got != "" && got != inner.untouched()
	})
}

// untouched is what an input sends in which nobody chose anything.
func (f field) untouched() string {
	none := slices.ContainsFunc(f.Options, func(o option) bool { return o.Value == "" })
	if f.Type != choiceInput || none || len(f.Options) == 0 {
		return ""
	}
	return f.Options[0].Value
}

// maxRows is how many rows a form has at most of one list.
const maxRows = 500

// tooLong tells a list that has more rows than a form. It is not in the form at all: what is
// not shown is not written either.
func (f field) tooLong(v any) bool {
	list, _ := v.([]any)
	return f.Type == rowsInput && len(list) > maxRows
}

// rowsOf is how many rows a form has, empty ones between them counted.
func rowsOf(name string, in values) int {
	n := 0
	for key := range in {
		rest, ok := strings.CutPrefix(key, name+".")
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, ".")
		if i, err := strconv.Atoi(digits); err == nil && i >= n && i < maxRows {
			n = i + 1
		}
	}
	return n
}

// closed takes empty rows out, so that the rows of a form are those of the object. A row that
// was there is emptied by what is typed in it; a new one in which anything was chosen stays, so
// that somebody hears of what is missing.
func (f field) closed(in, was values) {
	if f.Type != rowsInput {
		return
	}
	to, known := 0, rowsOf(f.Name, was)
	for i := range rowsOf(f.Name, in) {
		full := f.filled(f.Name, i, in) || i >= known && !f.blank(f.Name, i, in)
		for _, inner := range f.Fields {
			from := rowName(f.Name, i, inner.Name)
			if typed, ok := in[from]; ok && full {
				delete(in, from)
				in[rowName(f.Name, to, inner.Name)] = typed
			} else {
				delete(in, from)
				if full {
					delete(in, rowName(f.Name, to, inner.Name))
				}
			}
		}
		if full {
			to++
		}
	}
}

func copied(v any) map[string]any {
	out := map[string]any{}
	text, err := json.Marshal(v)
	if err != nil || json.Unmarshal(text, &out) != nil {
		return map[string]any{}
	}
	return out
}

func withoutNil(tree map[string]any) map[string]any {
	for name, v := range tree {
		if inner, ok := v.(map[string]any); ok {
			withoutNil(inner)
		}
		if v == nil {
			delete(tree, name)
		}
	}
	return tree
}

// chosen are options as people read them.
func (f field) chosen(typed []string) (out []string) {
	for _, value := range typed {
		if at := slices.IndexFunc(f.Options, func(o option) bool { return o.Value == value }); at >= 0 {
			value = f.Options[at].Text
		}
		out = append(out, value)
	}
	return out
}

// words says what was typed in a field, for people who compare two versions.
func (f field) words(in values, name string) string {
	switch f.Type {
	case flagInput:
		if in.get(name) != "" {
			return "yes"
		}
		return "no"
	case choicesInput, choiceInput:
		return strings.Join(f.chosen(in[name]), ", ")
	case secretInput, pemInput:
		if in.get(name) != "" {
			return "another one"
		}
		return "left as it is"
	case dropInput:
		if in.get(name) != "" {
			return "taken away"
		}
		return "left as it is"
	case rowsInput:
		var rows []string
		for i := range rowsOf(name, in) {
			var cells []string
			for _, inner := range f.Fields {
				if w := inner.words(in, rowName(name, i, inner.Name)); w != "" {
					cells = append(cells, inner.Label+": "+w)
				}
			}
			rows = append(rows, strings.Join(cells, ", "))
		}
		return strings.Join(rows, "\n")
	}
	return in.get(name)
}
