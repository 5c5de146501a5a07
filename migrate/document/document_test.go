package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func parse(t testing.TB, text string) *Value {
	t.Helper()
	v, err := new(Parser).Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestFieldsThatNobodyAsksForAreNamed(t *testing.T) {
	v := parse(t, `{"id":"anna","Home":{"vfs":"a","colour":1},"folders":{"/x":{"vfs":"b","size":2},"/y":{}},"keys":[{"key":"k","old":true}],"none":null,"more":[1]}`)
	if v.Get("ID").Str() != "anna" || v.Get("home").Get("vfs").Str() != "a" {
		t.Error("a field was not found")
	}
	for _, f := range v.Get("folders").Entries() {
		f.Get("vfs")
	}
	for k := range v.Get("keys").Items() {
		k.Get("key")
	}
	var got []string
	v.Unused("users", func(path string) { got = append(got, path) })
	want := []string{"users.Home.colour", "users.folders.{}.size", "users.keys[].old", "users.none", "users.more"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	v.Skip()
	v.Unused("users", func(path string) { t.Errorf("%s is still told", path) })
}

func TestValuesAreReadInTheWaysThatPeopleWriteThem(t *testing.T) {
	v := parse(t, `{"n":"5","f":5.0,"big":1e99,"yes":"Yes","t":{"$date":"2020-01-02T03:04:05Z"},"ms":{"$date":{"$numberLong":"1577934245000"}},"oid":{"$oid":"5f"},
		"bin":{"$binary":{"base64":"AAA=","subType":"00"}},"day":"2020-01-02","delphi":"1899-12-31","bad":"soon","one":"x"}`)
	if n, ok := v.Get("n").Int(); n != 5 || !ok {
		t.Error("a number in a text")
	}
	if n, ok := v.Get("f").Int(); n != 5 || !ok {
		t.Error("a whole number with a point")
	}
	if _, ok := v.Get("big").Int(); ok {
		t.Error("a number that is too big")
	}
	if yes, ok := v.Get("yes").True(); !yes || !ok {
		t.Error("yes")
	}
	want := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, name := range []string{"t", "ms"} {
		if at, ok := v.Get(name).Time(); !at.Equal(want) || !ok {
			t.Errorf("%s: %v", name, at)
		}
	}
	if v.Get("oid").Str() != "5f" || v.Get("bin").Str() != "AAA=" {
		t.Error("the wrappers of MongoDB")
	}
	if at, ok := v.Get("day").Time(); !ok || at.Day() != 2 {
		t.Error("a day")
	}
	if _, ok := v.Get("bad").Time(); ok {
		t.Error("a moment that is none")
	}
	n := 0
	for range v.Get("one").Items() {
		n++
	}
	if n != 1 || v.Get("nothing").Str() != "" || v.Get("nothing").Get("x").Kind() != Null {
		t.Error("one value as a list, or nothing")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5e-3,"x\u00e9\n",{"b":null}],"c":true}`, `{"a":1,"a":2}`, `[`, `"\ud83d\ude00"`, `"\ud83d"`, "\xff", `{"$oid":"1"}`, `-0`, `01`, `[1,]`, ` {} `, `{"a" 1}`, `nul`,
		strings.Repeat("[", 70), `"` + "\x01" + `"`, `{"":{"":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := new(Parser).Parse(text)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Errorf("got %v", err)
			}
			return
		}
		if !json.Valid(text) {
			t.Errorf("%q was read, and is no JSON", text)
		}
		if !json.Valid([]byte(v.Raw())) {
			t.Errorf("%q became %q", text, v.Raw())
		}
		v.Unused("x", func(string) {})
		walkAll(v)
		v.Skip()
	})
}

// walkAll asks for everything.
func walkAll(v *Value) {
	v.Str()
	v.Int()
	v.Time()
	v.True()
	v.Number()
	for i := range v.Items() {
		if i != v {
			walkAll(i)
		}
	}
	for _, e := range v.Entries() {
		walkAll(e)
	}
}

// TestAWalkGivesTheSameInPiecesOfEverySize compares with encoding/json.
func TestAWalkGivesTheSameInPiecesOfEverySize(t *testing.T) {
	for _, text := range []string{
		`{"a":1}` + "\n" + `{"b":"]}"}`, "\xef\xbb\xbf{\"c\":[1,[2,{\"d\":\"\\\\\\\"\"}]]} ", `5`, `"x"`, ``, ` `, `true false`, `{"x":"é"}{"y":"\\"}`,
	} {
		var want []string
		d := json.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "\xef\xbb\xbf")))
		for {
			var raw json.RawMessage
			if d.Decode(&raw) != nil {
				break
			}
			want = append(want, string(raw))
		}
		for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
			var got []string
			err := Walk(r, func([]string, Kind) Step { return Take }, func(_ []string, doc []byte) error {
				got = append(got, string(doc))
				return nil
			})
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%q: got %q, want %q, %v", text, got, want, err)
			}
		}
	}
}

func FuzzWalk(f *testing.F) {
	for _, seed := range []string{
		`{"users":[{"id":"a"},{"id":"b"}],"x":{"y":[]}}`, `[{"a":1}]`, `{"a":1}{"b":2}`, `{"users":`, `}`, `[}`, `{"a":1,"a":2}`, "\xff\xfe{", `{"a":"` + "\x00" + `"}`, `[1 2]`, `{"a":[[[[]]]]}`, `,`, `:1`,
	} {
		f.Add([]byte(seed), 3)
	}
	f.Add([]byte("[000]"), 1) // a value that is passed over ends with a piece
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		descend := func(path []string, kind Kind) Step {
			switch {
			case len(path) == 0 || kind == List:
				return Descend
			case path[0] == "x":
				return Pass
			}
			return Take
		}
		var parser Parser
		var whole, pieces [][]byte
		err := Walk(bytes.NewReader(text), descend, func(_ []string, doc []byte) error {
			whole = append(whole, bytes.Clone(doc))
			if _, err := parser.Parse(doc); err != nil && !errors.Is(err, ErrSyntax) {
				t.Errorf("%v", err)
			}
			return nil
		})
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Errorf("got %v", err)
		}
		again := Walk(&bySize{bytes.NewReader(text), max(1, min(size, 64))}, descend, func(_ []string, doc []byte) error {
			pieces = append(pieces, bytes.Clone(doc))
			return nil
		})
		if (err == nil) != (again == nil) || !reflect.DeepEqual(whole, pieces) {
			t.Errorf("in one piece %q, %v; in pieces %q, %v", whole, err, pieces, again)
		}
	})
}

// bySize reads a few bytes at a time.
type bySize struct {
	r io.Reader
	n int
}

func (b *bySize) Read(p []byte) (int, error) { return b.r.Read(p[:min(len(p), b.n)]) }

func FuzzWalkBSON(f *testing.F) {
	f.Add([]byte("\x05\x00\x00\x00\x00"))
	f.Add([]byte("\x16\x00\x00\x00\x02hello\x00\x06\x00\x00\x00world\x00\x00"))
	f.Add([]byte("\x10\x00\x00\x00\x10a\x00\x01\x00\x00\x00\x08b\x00\x01\x00"))
	f.Add([]byte("\x0f\x00\x00\x00\x03a\x00\x05\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x1a\x00\x00\x00\x04l\x00\x0e\x00\x00\x00\x100\x00\x01\x00\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, text []byte) {
		err := WalkBSON(bytes.NewReader(text), func(doc []byte) error {
			if !json.Valid(doc) {
				t.Errorf("%x became %q", text, doc)
			}
			return nil
		})
		if err != nil && !errors.Is(err, ErrBSON) {
			t.Errorf("got %v", err)
		}
	})
}
