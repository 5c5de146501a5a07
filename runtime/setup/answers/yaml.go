package answers

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Kind is the YAML type of a value.
type Kind int

// The kinds.
const (
	Text Kind = iota
	Number
	Boolean
)

// LineOf is the line that a node stands in, from 1.
func LineOf(n ast.Node) int {
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

// KeyName is the text of a key.
func KeyName(e *ast.MappingValueNode) string {
	if e.Key == nil || e.Key.GetToken() == nil {
		return ""
	}
	return e.Key.GetToken().Value
}

// Scalar is the text of a value of one kind, of one line.
func Scalar(n ast.Node, want Kind) (string, error) {
	var value string
	var is Kind
	switch n := n.(type) {
	case *ast.StringNode:
		value = n.Value
	case *ast.LiteralNode:
		value = strings.TrimRight(n.Value.Value, "\n")
	case *ast.IntegerNode:
		value, is = n.GetToken().Value, Number
	case *ast.FloatNode:
		value = n.GetToken().Value // a version such as 7.0
	case *ast.BoolNode:
		value, is = strconv.FormatBool(n.Value), Boolean
	case *ast.NullNode, nil:
		return "", errors.New("has no value")
	default:
		return "", errors.New("is not one plain value")
	}
	switch {
	case want == is, want == Text && is == Number:
	case want == Text:
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
	// hashForm are the forms in which a password may lie about: $argon2id$…, $2b$…
	hashForm = regexp.MustCompile(`^\$[0-9a-z-]+\$.+`)
	userInfo = regexp.MustCompile(`://[^/@:]*:[^/@]+@`)
)

// ClearPassword finds the first password in clear text, nil if there is none; inAddress
// tells that it stands in an address.
func ClearPassword(n ast.Node) (found ast.Node, inAddress bool) {
	w := &search{}
	ast.Walk(w, n)
	return w.found, w.address
}

type search struct {
	found   ast.Node
	address bool
}

// Visit implements ast.Visitor.
func (w *search) Visit(n ast.Node) ast.Visitor {
	if w.found != nil {
		return nil
	}
	switch n := n.(type) {
	case *ast.MappingValueNode:
		if secretName.MatchString(KeyName(n)) && clearText(n.Value) {
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
		return n.Value != "" && !hashForm.MatchString(n.Value)
	case *ast.NullNode, *ast.MappingNode, *ast.SequenceNode, *ast.BoolNode, nil:
		return false
	}
	return true
}
