// Package document reads the documents of old backups: JSON as people and programs write
// it, the extended JSON of MongoDB's tools, and BSON. It streams: of a file with a million
// documents one is in memory at a time.
//
// Unlike encoding/json it knows which fields of a document nobody has asked for, so that
// an importer can name what it does not understand; and it refuses what two readers might
// read in two ways: a name that is there twice, text that is not UTF-8.
package document

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is what a value is.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Map
)

// String is the kind in a sentence.
func (k Kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "text", "a list", "an object"}[k]
}

// Value is one value of a document. All methods may be called on nil, which is what a
// document has not. It is valid until its Parser reads the next document; texts stay.
type Value struct {
	kind Kind
	used bool
	// names tells that the names of a map are data, not fields.
	names  bool
	text   string // of a string its content, of all others the JSON
	fields []field
}

type field struct {
	name  string
	value Value
}

// Bounds of one document.
const (
	maxDepth = 64
	// MaxDocument is the longest document in bytes.
	MaxDocument = 4 << 20
)

// ErrSyntax: the text is not JSON, or not JSON that everybody reads in the same way.
var ErrSyntax = errors.New("it is not sound JSON")

// Parser reads documents one after another.
type Parser struct {
	text  string
	at    int
	depth int
	stack []field
	slab  []field
}

// Parse reads one document. What was parsed before is no longer valid.
func (p *Parser) Parse(text []byte) (*Value, error) {
	if len(text) > MaxDocument {
		return nil, fmt.Errorf("%w: a document has %d bytes, at most %d are read", ErrSyntax, len(text), MaxDocument)
	}
	p.text, p.at, p.depth, p.stack, p.slab = string(text), 0, 0, p.stack[:0], p.slab[:0]
	if !utf8.ValidString(p.text) {
		return nil, fmt.Errorf("%w: it is not text in UTF-8", ErrSyntax)
	}
	v := new(Value)
	if err := p.value(v); err != nil {
		return nil, err
	}
	if p.blank(); p.at < len(p.text) {
		return nil, p.fail("something follows the document")
	}
	return v, nil
}

func (p *Parser) fail(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrSyntax, what, p.at)
}

func (p *Parser) blank() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

func (p *Parser) value(v *Value) error {
	p.blank()
	if p.at == len(p.text) {
		return p.fail("it ends too early")
	}
	begin := p.at
	var err error
	switch c := p.text[p.at]; {
	case c == '{':
		v.kind = Map
		err = p.compound(v, '}', true)
	case c == '[':
		v.kind = List
		err = p.compound(v, ']', false)
	case c == '"':
		v.kind = String
		v.text, err = p.str()
		return err
	case c == 't':
		v.kind, err = Bool, p.word("true")
	case c == 'f':
		v.kind, err = Bool, p.word("false")
	case c == 'n':
		v.kind, err = Null, p.word("null")
	case c == '-' || c >= '0' && c <= '9':
		v.kind, err = Number, p.number()
	default:
		return p.fail("a value is missing")
	}
	v.text = p.text[begin:p.at]
	return err
}

func (p *Parser) word(word string) error {
	if !strings.HasPrefix(p.text[p.at:], word) {
		return p.fail("an unknown word")
	}
	p.at += len(word)
	return nil
}

func (p *Parser) number() error {
	begin := p.at
	if p.text[p.at] == '-' {
		p.at++
	}
	digits := func() bool {
		from := p.at
		for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
			p.at++
		}
		return p.at > from
	}
	first := p.at
	ok := digits() && (p.text[first] != '0' || p.at == first+1)
	if ok && p.at < len(p.text) && p.text[p.at] == '.' {
		p.at++
		ok = digits()
	}
	if ok && p.at < len(p.text) && p.text[p.at]|0x20 == 'e' {
		p.at++
		if p.at < len(p.text) && (p.text[p.at] == '+' || p.text[p.at] == '-') {
			p.at++
		}
		ok = digits()
	}
	if !ok || p.at-begin > 400 {
		return p.fail("a number that is none")
	}
	return nil
}

// compound reads a list or a map.
func (p *Parser) compound(v *Value, end byte, named bool) error {
	if p.depth++; p.depth > maxDepth {
		return p.fail(fmt.Sprintf("more than %d levels", maxDepth))
	}
	p.at++
	base := len(p.stack)
	for first := true; ; first = false {
		p.blank()
		if p.at < len(p.text) && p.text[p.at] == end {
			p.at++
			break
		}
		if !first {
			if p.at == len(p.text) || p.text[p.at] != ',' {
				return p.fail("a comma or the end is missing")
			}
			p.at++
			p.blank()
		}
		if err := p.member(base, named); err != nil {
			return err
		}
	}
	p.depth--
	if named && len(p.stack)-base > manyFields {
		if err := p.uniqueAll(p.stack[base:]); err != nil {
			return err
		}
	}
	v.fields = p.keep(p.stack[base:])
	p.stack = p.stack[:base]
	return nil
}

func (p *Parser) member(base int, named bool) (err error) {
	var f field
	if named {
		if p.at == len(p.text) || p.text[p.at] != '"' {
			return p.fail("the name of a field is missing")
		}
		if f.name, err = p.str(); err != nil {
			return err
		}
		if p.blank(); p.at == len(p.text) || p.text[p.at] != ':' {
			return p.fail("a colon is missing")
		}
		p.at++
	}
	if err := p.value(&f.value); err != nil {
		return err
	}
	if named {
		if err := p.unique(p.stack[base:], f.name); err != nil {
			return err
		}
	}
	p.stack = append(p.stack, f)
	return nil
}

// manyFields is from where on names are looked for in a set.
const manyFields = 64

func (p *Parser) unique(fields []field, name string) error {
	if len(fields) > manyFields {
		return nil // uniqueAll looks when the map is whole
	}
	for i := range fields {
		if fields[i].name == name {
			return p.fail(fmt.Sprintf("the field %.80q is there twice, up", name))
		}
	}
	return nil
}

// uniqueAll is unique for a map of many fields.
func (p *Parser) uniqueAll(fields []field) error {
	seen := make(map[string]bool, len(fields))
	for i := range fields {
		if name := fields[i].name; seen[name] {
			return p.fail(fmt.Sprintf("the field %.80q is there twice, up", name))
		}
		seen[fields[i].name] = true
	}
	return nil
}

// slabSize is how many fields a piece of the slab has room for.
const slabSize = 256

// keep copies fields to where they stay until the next document.
func (p *Parser) keep(fields []field) []field {
	if len(p.slab)+len(fields) > cap(p.slab) {
		p.slab = make([]field, 0, max(slabSize, len(fields)))
	}
	at := len(p.slab)
	p.slab = append(p.slab, fields...)
	return p.slab[at:len(p.slab):len(p.slab)]
}

func (p *Parser) str() (string, error) {
	p.at++
	begin := p.at
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			s := p.text[begin:p.at]
			p.at++
			return s, nil
		case c == '\\':
			return p.escaped(begin)
		case c < 0x20:
			return "", p.fail("a control character in a text")
		}
		p.at++
	}
	return "", p.fail("a text without an end")
}

// escaped reads on behind the first backslash.
func (p *Parser) escaped(begin int) (string, error) {
	out := []byte(p.text[begin:p.at])
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return string(out), nil
		case c < 0x20:
			return "", p.fail("a control character in a text")
		case c != '\\':
			out = append(out, c)
			p.at++
		default:
			var err error
			if out, err = p.escape(out); err != nil {
				return "", err
			}
		}
	}
	return "", p.fail("a text without an end")
}

var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (p *Parser) escape(out []byte) ([]byte, error) {
	if p.at+1 >= len(p.text) {
		return nil, p.fail("a text without an end")
	}
	c := p.text[p.at+1]
	if c != 'u' {
		r, ok := escapes[c]
		if !ok {
			return nil, p.fail("an unknown escape")
		}
		p.at += 2
		return append(out, r), nil
	}
	r, err := p.hex()
	if err != nil {
		return nil, err
	}
	if utf16.IsSurrogate(r) {
		if p.at+1 >= len(p.text) || p.text[p.at] != '\\' || p.text[p.at+1] != 'u' {
			return nil, p.fail("half a character")
		}
		low, err := p.hex()
		if err != nil {
			return nil, err
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return nil, p.fail("half a character")
		}
	}
	return utf8.AppendRune(out, r), nil
}

func (p *Parser) hex() (rune, error) {
	if p.at+6 > len(p.text) {
		return 0, p.fail("an escape that is cut")
	}
	n, err := strconv.ParseUint(p.text[p.at+2:p.at+6], 16, 32)
	if err != nil {
		return 0, p.fail("an escape that is none")
	}
	p.at += 6
	return rune(n), nil
}

// Kind is what the value is; Null for nil.
func (v *Value) Kind() Kind {
	if v == nil {
		return Null
	}
	return v.kind
}

// Raw is the value as JSON.
func (v *Value) Raw() string {
	if v == nil {
		return "null"
	}
	if v.kind == String {
		return quote(v.text)
	}
	return v.text
}

// Get is the field of the first of names that there is, in any case of letters; nil if
// there is none. The field counts as asked for.
func (v *Value) Get(names ...string) *Value {
	if v == nil || v.kind != Map {
		return nil
	}
	for _, name := range names {
		for i := range v.fields {
			f := &v.fields[i]
			if len(f.name) == len(name) && (f.name == name || strings.EqualFold(f.name, name)) {
				f.value.used = true
				if f.value.kind == Null {
					return nil
				}
				return &f.value
			}
		}
	}
	return nil
}

// Has tells whether there is a field of one of the names. It does not count as asking.
func (v *Value) Has(names ...string) bool {
	if v == nil || v.kind != Map {
		return false
	}
	for _, name := range names {
		for i := range v.fields {
			if strings.EqualFold(v.fields[i].name, name) {
				return true
			}
		}
	}
	return false
}

// Items are the values of a list; a single value that is none stands for a list of one.
func (v *Value) Items() iter.Seq[*Value] {
	return func(yield func(*Value) bool) {
		switch {
		case v.Kind() == Null:
		case v.kind != List:
			yield(v)
		default:
			for i := range v.fields {
				v.fields[i].value.used = true
				if !yield(&v.fields[i].value) {
					return
				}
			}
		}
	}
}

// Len is the number of values of a list or map.
func (v *Value) Len() int {
	if v == nil {
		return 0
	}
	return len(v.fields)
}

// Entries are the values of a map whose names are data.
func (v *Value) Entries() iter.Seq2[string, *Value] {
	return func(yield func(string, *Value) bool) {
		if v.Kind() != Map {
			return
		}
		v.names = true
		for i := range v.fields {
			v.fields[i].value.used = true
			if !yield(v.fields[i].name, &v.fields[i].value) {
				return
			}
		}
	}
}

// plain undoes the wrappers of MongoDB's extended JSON: {"$oid": "..."} and others.
func (v *Value) plain() *Value {
	for v != nil && v.kind == Map && len(v.fields) == 1 && strings.HasPrefix(v.fields[0].name, "$") {
		inner := &v.fields[0].value
		inner.used = true
		if v.fields[0].name == "$binary" && inner.kind == Map {
			v.fields[0].value.Get("subType")
			inner = inner.Get("base64")
		}
		v = inner
	}
	return v
}

// Str is the text of the value; numbers and truths as they are written. It is empty for
// what has none.
func (v *Value) Str() string {
	v = v.plain()
	if v == nil || v.kind == Null || v.kind == List || v.kind == Map {
		return ""
	}
	return v.text
}

// Int is the whole number that the value is, or that its text says.
func (v *Value) Int() (n int64, ok bool) {
	text := v.Str()
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != float64(int64(f)) || f >= 1<<62 || f <= -1<<62 {
		return 0, false
	}
	return int64(f), true
}

// Number is the number that the value is.
func (v *Value) Number() (f float64, ok bool) {
	f, err := strconv.ParseFloat(v.Str(), 64)
	return f, err == nil
}

// True tells whether the value means yes; ok is false for what means neither.
func (v *Value) True() (yes, ok bool) {
	switch strings.ToLower(v.Str()) {
	case "true", "1", "-1", "yes", "on", "enabled", "y", "t":
		return true, true
	case "false", "0", "no", "off", "disabled", "n", "f", "":
		return false, true
	}
	return false, false
}

// times are the ways in which moments are written.
var times = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02",
}

// leastMillis is the smallest number that is taken for milliseconds since 1970. Below it
// lie the seconds and the days that others count, and nothing that anybody means here.
const leastMillis = 1e10

// Time is the moment that the value says, in UTC unless it names a zone; numbers are
// milliseconds since 1970, from April of that year on. ok is false for what is no moment;
// nothing is the zero time.
func (v *Value) Time() (t time.Time, ok bool) {
	text := v.Str()
	if text == "" {
		return time.Time{}, v.Kind() == Null || v.Kind() == String
	}
	for _, layout := range times {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), t.Year() <= 9999 && t.Year() >= 0
		}
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= leastMillis && ms < 1<<47 {
		return time.UnixMilli(ms).UTC(), true
	}
	return time.Time{}, false
}

// Skip counts everything in the value as asked for.
func (v *Value) Skip() {
	if v == nil {
		return
	}
	v.used = true
	for i := range v.fields {
		v.fields[i].value.Skip()
	}
}

// Unused tells the paths of fields that nobody has asked for and that say something.
func (v *Value) Unused(path string, tell func(path string)) {
	if v.allUsed() {
		return // mostly: no paths are made then
	}
	for i := range v.fields {
		f := &v.fields[i]
		at := path + "[]"
		if v.kind == Map {
			at = path + "." + f.name
			if v.names {
				at = path + ".{}"
			}
		}
		if len(at) > 200 {
			at = strings.ToValidUTF8(at[:200], "") + "..."
		}
		if v.kind == Map && !f.value.used {
			tell(at)
			continue
		}
		f.value.Unused(at, tell)
	}
}

// allUsed tells whether somebody has asked for every field.
func (v *Value) allUsed() bool {
	if v == nil {
		return true
	}
	for i := range v.fields {
		f := &v.fields[i].value
		if v.kind == Map && !f.used || !f.allUsed() {
			return false
		}
	}
	return true
}

// Empty tells values that say nothing: null, "", [], {}.
func (v *Value) Empty() bool {
	switch v.Kind() {
	case Null:
		return true
	case String:
		return v.text == ""
	case List, Map:
		return len(v.fields) == 0
	}
	return false
}
