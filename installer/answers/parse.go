package answers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	setup "ss-setup/runtime/setup/answers"
)

// ErrInvalid is found in the error for a file that cannot be taken as it is.
var ErrInvalid = setup.ErrInvalid

// maxSize bounds what is read.
const maxSize = setup.MaxSize

// Answer is one key of a file with its value.
type Answer struct {
	Key   Key
	Value string
	Line  int
}

// Load reads the answers in a file, and what it says of the first set-up of the server.
// Passwords in clear text are taken from a file that is private, as who may do everything
// with the machine has it, and refused otherwise.
func Load(path string, private func(*os.File) bool) ([]Answer, *setup.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSize {
		return nil, nil, fmt.Errorf("%w: %s is not a text file of at most %d KiB", ErrInvalid, path, maxSize>>10)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	return Parse(path, content, private(f))
}

// Parse reads the text of an answers file; name is what errors call it. Where it
// is not private, passwords in clear text are refused.
func Parse(name string, content []byte, private bool) ([]Answer, *setup.File, error) {
	list, err := parseOwn(name, content, private)
	if err != nil {
		return nil, nil, err
	}
	first, err := setup.Parse(name, content, private)
	return list, first, err
}

// parseOwn reads the keys that are ss-setup's own.
func parseOwn(name string, content []byte, private bool) ([]Answer, error) {
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
		if setup.Mine(setup.KeyName(e)) {
			continue
		}
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
	return fmt.Errorf("%w: %s:%d: %s", ErrInvalid, p.name, setup.LineOf(at), fmt.Sprintf(format, args...))
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
	name := setup.KeyName(e)
	if slices.Contains(Later, name) {
		return Answer{}, p.fail(e.Key, "%s is not in this version; it has %s", name, names())
	}
	k, ok := keyNamed(name)
	if !ok {
		return Answer{}, p.fail(e.Key, "there is no key %q; there are %s", name, names())
	}
	value, err := setup.Scalar(e.Value, k.kind)
	if err == nil && k.check != nil {
		err = k.check(value)
	}
	if err != nil {
		return Answer{}, p.fail(e.Key, "%s %v; it can be %s", name, err, k.Allowed)
	}
	return Answer{Key: k, Value: value, Line: setup.LineOf(e.Key)}, nil
}

// passwords refuses passwords in clear text in a file that others can read.
func (p *reading) passwords(n ast.Node) error {
	if p.private {
		return nil
	}
	found, inAddress := setup.ClearPassword(n)
	switch {
	case found == nil:
		return nil
	case inAddress:
		return p.fail(found, "%s", "an address with its password: "+setup.ClearPasswordCure(p.name)+"; or give the address in the environment, such as SS_SETUP_FROM")
	}
	return p.fail(found, "%s", setup.ClearPasswordCure(p.name))
}
