package answers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// ErrInvalid is found in the error for a file that cannot be taken as it is.
var ErrInvalid = errors.New("not valid")

// maxSize bounds what is read: answers are a page of text.
const maxSize = 64 << 10

// Answer is one key of a file with its value.
type Answer struct {
	Key   Key
	Value string
	Line  int
}

// Load reads the answers in a file. Passwords in clear text are taken from a file that
// is private, as who may do everything with the machine has it, and refused otherwise.
func Load(path string, private func(*os.File) bool) ([]Answer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSize {
		return nil, fmt.Errorf("%w: %s is not a text file of at most %d KiB", ErrInvalid, path, maxSize>>10)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return Parse(path, content, private(f))
}

// Parse reads the text of an answers file; name is what errors call it. Where it
// is not private, passwords in clear text are refused.
func Parse(name string, content []byte, private bool) ([]Answer, error) {
	p := &reading{name: name, private: private}
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		return nil, p.syntax(err)
	}
	if len(file.Docs) > 1 {
		return nil, p.fail(file.Docs[1], "the file has a second document; one file is one list of keys")
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil, nil
	}
	entries, err := p.entries(file.Docs[0].Body)
	if err != nil {
		return nil, err
	}
	// First of all, whatever else is wrong: who may read it has read it.
	if err := p.passwords(file.Docs[0].Body); err != nil {
		return nil, err
	}
	var list []Answer
	for _, e := range entries {
		a, err := p.answer(e)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(list, func(b Answer) bool { return a.Key.Name == b.Key.Name }); i >= 0 {
			return nil, p.fail(e, "%s is there already in line %d", a.Key.Name, list[i].Line)
		}
		list = append(list, a)
	}
	return list, nil
}

// reading is the file that is being read.
type reading struct {
	name    string
	private bool
}

func (p *reading) fail(at ast.Node, format string, args ...any) error {
	return fmt.Errorf("%w: %s:%d: %s", ErrInvalid, p.name, lineOf(at), fmt.Sprintf(format, args...))
}

func lineOf(n ast.Node) int {
	if n == nil {
		return 1
	}
	var t *token.Token
	if d, ok := n.(*ast.DocumentNode); ok && d.Body == nil {
		t = d.Start // what is empty has no token of its own
	} else {
		t = n.GetToken()
	}
	if t == nil || t.Position == nil {
		return 1
	}
	return t.Position.Line
}

// syntax says where the text is no YAML.
func (p *reading) syntax(err error) error {
	if at, ok := errors.AsType[yaml.Error](err); ok {
		line := 1
		if t := at.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
		return fmt.Errorf("%w: %s:%d: this is no YAML: %s", ErrInvalid, p.name, line, at.GetMessage())
	}
	return fmt.Errorf("%w: %s: this is no YAML: %w", ErrInvalid, p.name, err)
}

// entries are the keys of the file with their values.
func (p *reading) entries(body ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := body.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	case *ast.CommentGroupNode:
		return nil, nil
	}
	return nil, p.fail(body, "a list of keys is wanted, such as web_port: 6443")
}

func (p *reading) answer(e *ast.MappingValueNode) (Answer, error) {
	name := keyName(e)
	if slices.Contains(Later, name) {
		return Answer{}, p.fail(e.Key, "%s is not in this version; it has %s", name, names())
	}
	k, ok := keyNamed(name)
	if !ok {
		return Answer{}, p.fail(e.Key, "there is no key %q; there are %s", name, names())
	}
	value, err := scalar(e.Value, k.kind)
	if err == nil && k.check != nil {
		err = k.check(value)
	}
	if err != nil {
		return Answer{}, p.fail(e.Key, "%s %v; it can be %s", name, err, k.Allowed)
	}
	return Answer{Key: k, Value: value, Line: lineOf(e.Key)}, nil
}

func keyName(e *ast.MappingValueNode) string {
	if e.Key == nil || e.Key.GetToken() == nil {
		return ""
	}
	return e.Key.GetToken().Value
}

// scalar is the text of a value of one kind.
func scalar(n ast.Node, want kind) (string, error) {
	var value string
	var is kind
	switch n := n.(type) {
	case *ast.StringNode:
		value = n.Value
	case *ast.LiteralNode:
		value = strings.TrimRight(n.Value.Value, "\n")
	case *ast.IntegerNode:
		value, is = n.GetToken().Value, number
	case *ast.FloatNode:
		value = n.GetToken().Value // a version such as 7.0
	case *ast.BoolNode:
		value, is = strconv.FormatBool(n.Value), boolean
	case *ast.NullNode, nil:
		return "", errors.New("has no value")
	default:
		return "", errors.New("is not one plain value")
	}
	switch {
	case want == is, want == text && is == number:
	case want == text:
		return "", fmt.Errorf("is %s, which is no text", value)
	default:
		return "", fmt.Errorf("is %q", value)
	}
	if value == "" || strings.ContainsAny(value, "\n\r\x00") {
		return "", errors.New("is empty or has more than one line")
	}
	return value, nil
}

var (
	secretName = regexp.MustCompile(`(?i)(pass(word|phrase|wd)?|secret|token)$`)
	// hashed are the forms in which a password may lie about: $argon2id$…, $2b$…
	hashed   = regexp.MustCompile(`^\$[0-9a-z-]+\$.+`)
	userInfo = regexp.MustCompile(`://[^/@:]*:[^/@]+@`)
)

// passwords refuses passwords in clear text in a file that others can read.
func (p *reading) passwords(n ast.Node) error {
	if p.private {
		return nil
	}
	w := &search{}
	ast.Walk(w, n)
	if w.found == nil {
		return nil
	}
	if w.address {
		return p.fail(w.found, "%s", "an address with its password: "+clearPassword(p.name)+"; or give the address in the environment, such as SS_SETUP_FROM")
	}
	return p.fail(w.found, "%s", clearPassword(p.name))
}

// search finds the first password in clear text.
type search struct {
	found ast.Node
	// address: it stands in an address.
	address bool
}

// Visit implements ast.Visitor.
func (w *search) Visit(n ast.Node) ast.Visitor {
	if w.found != nil {
		return nil
	}
	switch n := n.(type) {
	case *ast.MappingValueNode:
		if secretName.MatchString(keyName(n)) && clearText(n.Value) {
			w.found = n.Key
		}
	case *ast.StringNode:
		if userInfo.MatchString(n.Value) {
			w.found, w.address = n, true
		}
	}
	return w
}

func clearText(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value != "" && !hashed.MatchString(n.Value)
	case *ast.NullNode, *ast.MappingNode, *ast.SequenceNode, *ast.BoolNode, nil:
		return false
	}
	return true
}
