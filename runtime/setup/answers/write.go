package answers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Marshal writes answers as the part of an answers file that they are, with remarks on
// what is not said; nil is all remarks. A password that is no hash is left out, and named.
func Marshal(a *Answers) (text []byte, leftOut []string, err error) {
	tree := map[string]any{}
	if a != nil {
		asJSON, err := json.Marshal(a)
		if err == nil {
			err = json.Unmarshal(asJSON, &tree)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("write the answers: %w", err)
		}
	}
	w := writer{tree: tree, opened: map[string]bool{}}
	for _, k := range Keys {
		w.key(k)
	}
	return w.out.Bytes(), w.leftOut, nil
}

// writer writes answers key by key, in the order of Keys: that of one section stand
// together.
type writer struct {
	out     bytes.Buffer
	tree    map[string]any
	opened  map[string]bool
	leftOut []string
}

func (w *writer) key(k Key) {
	parts := strings.Split(k.Name, ".")
	for depth := 1; depth < len(parts); depth++ {
		section := strings.Join(parts[:depth], ".")
		if !w.opened[section] && w.at(parts[:depth]) != nil {
			w.opened[section] = true
			fmt.Fprintf(&w.out, "\n%s%s:\n", indent(depth-1), parts[depth-1])
		}
	}
	last := parts[len(parts)-1]
	in := indent(len(parts) - 1)
	fmt.Fprintf(&w.out, "\n%s# %s It can be %s.\n", in, k.Text, k.Allowed)
	value := w.at(parts)
	if secret, ok := value.(string); ok && last == "password" && !hashed(secret) {
		w.leftOut = append(w.leftOut, k.Name)
		value = nil
	}
	if value == nil {
		fmt.Fprintf(&w.out, "%s# %s: (standard: %s)\n", in, k.Name, k.Standard)
		return
	}
	fmt.Fprintf(&w.out, "%s%s:", in, last)
	switch k.kind {
	case texts:
		for _, v := range value.([]any) {
			fmt.Fprintf(&w.out, "\n%s  - %s", in, strconv.Quote(fmt.Sprint(v)))
		}
	case text:
		fmt.Fprintf(&w.out, " %s", strconv.Quote(fmt.Sprint(value)))
	default:
		fmt.Fprintf(&w.out, " %v", value)
	}
	w.out.WriteByte('\n')
}

// at is what the answers say at a path; nil if nothing.
func (w *writer) at(path []string) any {
	var value any = w.tree
	for _, name := range path {
		section, _ := value.(map[string]any)
		value = section[name]
	}
	return value
}

func indent(depth int) string { return strings.Repeat("  ", depth) }

// Clone is a copy that shares nothing.
func (a *Answers) Clone() *Answers {
	if a == nil {
		return nil
	}
	c := *a
	if a.SuperAdmin != nil {
		s := *a.SuperAdmin
		c.SuperAdmin = &s
	}
	if a.FirstSite == nil {
		return &c
	}
	s := *a.FirstSite
	s.HostKeys = append([]string(nil), s.HostKeys...)
	if s.User != nil {
		u := *s.User
		u.PublicKeys = append([]string(nil), u.PublicKeys...)
		s.User = &u
	}
	c.FirstSite = &s
	return &c
}
