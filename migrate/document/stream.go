package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Step says what to do with a value that a walk has come to.
type Step uint8

// The steps: hand the value over as a document; look at its fields, or at the items of a
// list, one by one; pass over it.
const (
	Take Step = iota
	Descend
	Pass
)

// Walk reads the values of a JSON text of any size. at says what to do with the value of
// a path: the names of the fields that lead to it; items of a list have the path of the
// list, and several values one after another, as in files with one document a line, that
// of the text itself, which is empty. take gets the documents, each at most MaxDocument
// bytes, valid until it returns. Both may keep path only until they return.
//
// An error of take ends the walk and is returned as it is; the others are of the reader,
// or ErrSyntax.
func Walk(r io.Reader, at func(path []string, kind Kind) Step, take func(path []string, document []byte) error) error {
	return WalkPlaces(r, func(path []string, kind Kind, _ int64) Step { return at(path, kind) }, take)
}

// WalkPlaces is Walk, and tells at where in the text each value begins, in bytes.
func WalkPlaces(r io.Reader, at func(path []string, kind Kind, begin int64) Step, take func(path []string, document []byte) error) error {
	w := &walker{from: r, at: at, take: take}
	if err := w.begin(); err != nil {
		return err
	}
	for {
		if err := w.blank(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := w.value(0); err != nil {
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("%w: it ends too early, after byte %d", ErrSyntax, w.offset())
			}
			return err
		}
	}
}

// WalkOne is Walk of the first value of a text, from where WalkPlaces said that it begins.
// What follows it is not looked at.
func WalkOne(r io.Reader, at func(path []string, kind Kind) Step, take func(path []string, document []byte) error) error {
	w := &walker{from: r, take: take, at: func(path []string, kind Kind, _ int64) Step { return at(path, kind) }}
	err := w.value(0)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends too early", ErrSyntax)
	}
	return err
}

type walker struct {
	from io.Reader
	at   func([]string, Kind, int64) Step
	take func([]string, []byte) error
	path []string

	buf  []byte // what was read and not yet used is buf[pos:]
	pos  int
	read int64
	// idle counts reads that gave nothing.
	idle int
}

// readSize is how much is read at once, or more where a document is larger.
const readSize = 64 << 10

func (w *walker) offset() int64 { return w.read - int64(len(w.buf)-w.pos) }

func (w *walker) fail(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrSyntax, what, w.offset())
}

// begin looks at the first bytes: they tell the encoding.
func (w *walker) begin() error {
	for len(w.buf) < 4 {
		if err := w.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return err
		}
	}
	switch {
	case bytes.HasPrefix(w.buf, []byte("\xef\xbb\xbf")):
		w.pos = 3
	case bytes.HasPrefix(w.buf, []byte("\xff\xfe")), bytes.HasPrefix(w.buf, []byte("\xfe\xff")),
		len(w.buf) >= 2 && (w.buf[0] == 0 || w.buf[1] == 0):
		return fmt.Errorf("%w: it is text in UTF-16, or no text; save it as UTF-8", ErrSyntax)
	}
	return nil
}

// fill reads more behind what is there, and lets go of what was used.
func (w *walker) fill() error {
	if w.pos > 0 {
		w.buf = w.buf[:copy(w.buf, w.buf[w.pos:])]
		w.pos = 0
	}
	if cap(w.buf)-len(w.buf) < readSize/2 {
		w.buf = append(make([]byte, 0, max(readSize, 2*cap(w.buf))), w.buf...)
	}
	n, err := w.from.Read(w.buf[len(w.buf):cap(w.buf)])
	w.buf = w.buf[:len(w.buf)+n]
	w.read += int64(n)
	if n > 0 {
		w.idle = 0
		return nil
	}
	if w.idle++; err == nil && w.idle > 100 {
		err = io.ErrNoProgress
	}
	return err
}

// peek is the next byte.
func (w *walker) peek() (byte, error) {
	for w.pos == len(w.buf) {
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	return w.buf[w.pos], nil
}

func (w *walker) blank() error {
	for {
		c, err := w.peek()
		if err != nil {
			return err
		}
		switch c {
		case ' ', '\t', '\r', '\n':
			w.pos++
		default:
			return nil
		}
	}
}

func kindOf(c byte) Kind {
	switch c {
	case '{':
		return Map
	case '[':
		return List
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Number
}

func (w *walker) value(depth int) error {
	if err := w.blank(); err != nil {
		return err
	}
	if depth > maxDepth {
		return w.fail(fmt.Sprintf("more than %d levels", maxDepth))
	}
	kind := kindOf(w.buf[w.pos])
	begin := w.offset()
	step := w.at(w.path, kind, begin)
	switch {
	case step == Descend && kind == Map:
		return w.compound(depth, '}')
	case step == Descend && kind == List:
		return w.compound(depth, ']')
	}
	end, err := w.end(step == Take)
	if err != nil {
		return err
	}
	if w.offset()+int64(end) == begin && w.pos < len(w.buf) { // what is passed over may be gone from the buffer
		if c := w.buf[w.pos]; c == '}' || c == ']' {
			return w.fail("a value is missing")
		}
	}
	if step == Take {
		err = w.take(w.path, w.buf[w.pos:w.pos+end])
	}
	w.pos += end
	return err
}

// compound goes through a list or map.
func (w *walker) compound(depth int, end byte) error {
	w.pos++
	seen := map[string]bool{}
	for first := true; ; first = false {
		if err := w.blank(); err != nil {
			return err
		}
		c := w.buf[w.pos]
		if c == end {
			w.pos++
			return nil
		}
		if !first {
			if c != ',' {
				return w.fail("a comma or the end is missing")
			}
			w.pos++
			if err := w.blank(); err != nil {
				return err
			}
		}
		if end == ']' {
			if err := w.value(depth + 1); err != nil {
				return err
			}
			continue
		}
		if err := w.member(depth, seen); err != nil {
			return err
		}
	}
}

// Bounds of the fields of a map that is gone through: all names are in memory.
const (
	maxNames    = 100_000
	maxNameSize = 1 << 10
)

func (w *walker) member(depth int, seen map[string]bool) error {
	if w.buf[w.pos] != '"' {
		return w.fail("the name of a field is missing")
	}
	n, err := w.end(true)
	if err != nil {
		return err
	}
	var p Parser
	v, err := p.Parse(w.buf[w.pos : w.pos+n])
	if err != nil {
		return err
	}
	name := v.Str()
	if len(name) > maxNameSize {
		return w.fail(fmt.Sprintf("the name of a field has more than %d bytes", maxNameSize))
	}
	if seen[name] {
		return w.fail(fmt.Sprintf("the field %.80q is there twice,", name))
	}
	if seen[name] = true; len(seen) > maxNames {
		return w.fail(fmt.Sprintf("more than %d fields", maxNames))
	}
	w.pos += n
	if err := w.blank(); err != nil {
		return err
	}
	if w.buf[w.pos] != ':' {
		return w.fail("a colon is missing")
	}
	w.pos++
	w.path = append(w.path, name)
	err = w.value(depth + 1)
	w.path = w.path[:len(w.path)-1]
	return err
}

// end is how far the value at pos goes. With whole all of it is in the buffer; otherwise
// what was passed over is let go, and the rest is counted from where pos is then.
func (w *walker) end(whole bool) (int, error) {
	s := scanner{}
	i := 0
	for {
		if i = s.scan(w.buf, w.pos+i) - w.pos; s.done {
			return i, nil
		}
		if whole && i > MaxDocument {
			return 0, w.fail(fmt.Sprintf("a document of more than %d bytes", MaxDocument))
		}
		if !whole {
			w.pos, i = w.pos+i, 0
		}
		if err := w.fill(); err != nil {
			// A number may end with the text.
			if errors.Is(err, io.EOF) && s.depth == 0 && s.bare {
				return i, nil
			}
			return 0, err
		}
	}
}

// scanner finds the end of a value, without a look at whether it is sound.
type scanner struct {
	depth           int
	inText, escaped bool
	bare            bool // a number or word has begun
	done            bool
}

// scan goes on from i to the end of the value, or of buf.
func (s *scanner) scan(buf []byte, i int) int {
	for i < len(buf) {
		if s.inText {
			if i = s.text(buf, i); s.done {
				return i
			}
			continue
		}
		c := buf[i]
		switch c {
		case '"':
			if s.bare && s.depth == 0 {
				s.done = true
				return i
			}
			s.inText = true
		case '{', '[':
			if s.bare && s.depth == 0 {
				s.done = true
				return i
			}
			s.depth++
		case '}', ']':
			if s.depth == 0 {
				s.done = true
				return i
			}
			if s.depth--; s.depth == 0 {
				s.done = true
				return i + 1
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if s.depth == 0 && s.bare {
				s.done = true
				return i
			}
		default:
			s.bare = true
		}
		i++
	}
	return i
}

// text goes on in a string.
func (s *scanner) text(buf []byte, i int) int {
	for i < len(buf) {
		if s.escaped {
			s.escaped = false
			i++
			continue
		}
		// Most texts are short: no call is worth it.
		for i < len(buf) && buf[i] != '"' && buf[i] != '\\' {
			i++
		}
		if i == len(buf) {
			return i
		}
		if i++; buf[i-1] == '\\' {
			s.escaped = true
			continue
		}
		s.inText = false
		s.done = s.depth == 0
		return i
	}
	return i
}
