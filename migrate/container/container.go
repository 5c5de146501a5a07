// Package container finds the documents of a backup: which collection of which site they
// belong to, in whatever way the backup packs them. An importer names its collections in
// a Schema; the adapters are described in docs/formats.md:
//
//	folders   one file for each collection, sites in folders
//	mongodump the same in BSON, as MongoDB's tool writes it
//	tree      one JSON object with everything
package container

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/document"
)

// Schema is the names of a product's collections. Names are compared without signs and
// case, as "sshhostkeys".
type Schema struct {
	// Server and Site are the collections of the whole server and of a site: what a file
	// may be called, and what it is called here.
	Server, Site map[string]string
	// Sites are names of folders that have a folder for each site.
	Sites []string
	// Ignored are files that say nothing.
	Ignored []string
}

// Key names a collection. Site is empty for one of the whole server.
type Key struct{ Site, Name string }

// String is the key in messages.
func (k Key) String() string {
	if k.Site == "" {
		return k.Name
	}
	return k.Site + "/" + k.Name
}

// The adapters.
const (
	Folders   = "folders"
	MongoDump = "mongodump"
	Tree      = "tree"
)

// place is where a collection lies: an entry, and in a tree the names that lead to it.
type place struct {
	key   Key
	entry *archive.Entry
	path  []string
}

// Set is the collections of a backup.
type Set struct {
	// Adapter names how the backup packs them.
	Adapter string
	// Strange are entries that belong to no collection.
	Strange []string
	places  []place
}

// word is a name as it is compared.
func word(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// Index looks which collections a backup has. It reads no documents, but for a tree, of
// which it looks through everything.
func Index(ctx context.Context, f *archive.File, s Schema) (*Set, error) {
	set := &Set{Adapter: Folders}
	var tree *archive.Entry
	for _, e := range f.Entries {
		switch key, ok := s.keyOf(e); {
		case ok && e.Ext() == ".bson":
			set.Adapter = MongoDump
			set.places = append(set.places, place{key: key, entry: e})
		case ok && (f.Zip || f.Entries[0].Ext() == ".jsonl"):
			set.places = append(set.places, place{key: key, entry: e})
		case slices.Contains(s.Ignored, word(e.Base())) || strings.HasSuffix(e.Name, ".metadata.json"):
		case tree == nil && (e.Ext() == ".json" || !f.Zip):
			tree = e
		default:
			set.Strange = append(set.Strange, e.Name)
		}
	}
	if tree == nil {
		return set, nil
	}
	if len(set.places) > 0 {
		set.Strange = append(set.Strange, tree.Name)
		return set, nil
	}
	set.Adapter = Tree
	return set, set.indexTree(ctx, tree, s)
}

// containers are names of folders that say nothing of what is in them.
var containers = []string{"backup", "dump", "data", "config", "configuration", "server", "global", "db", "export", "superadmin", "sa", "root"}

// keyOf tells the collection of an entry by its name.
func (s Schema) keyOf(e *archive.Entry) (Key, bool) {
	if x := e.Ext(); x != ".json" && x != ".jsonl" && x != ".bson" && x != ".ndjson" {
		return Key{}, false
	}
	parts := strings.Split(strings.TrimSuffix(e.Name, path.Ext(e.Name)), "/")
	base, folders := word(parts[len(parts)-1]), parts[:len(parts)-1]
	site := ""
	if n := len(folders); n > 0 {
		site = folders[n-1]
		known := n > 1 && slices.Contains(s.Sites, word(folders[n-2]))
		if !known && (slices.Contains(containers, word(site)) || slices.Contains(s.Sites, word(site))) {
			site = ""
		}
	}
	if name, ok := s.Site[base]; ok && (site != "" || s.Server[base] == "") {
		return Key{site, name}, true
	}
	name, ok := s.Server[base]
	return Key{"", name}, ok
}

// indexTree finds the collections of a tree.
func (set *Set) indexTree(ctx context.Context, e *archive.Entry, s Schema) error {
	seen := map[string]bool{}
	note := func(key Key, at []string) {
		if id := strings.Join(at, "\x00"); !seen[id] {
			seen[id] = true
			set.places = append(set.places, place{key, e, slices.Clone(at)})
		}
	}
	at := func(p []string, kind document.Kind) document.Step {
		switch len(p) {
		case 0:
			if kind == document.Map {
				return document.Descend
			}
		case 1:
			base := word(p[0])
			if slices.Contains(s.Sites, base) && kind == document.Map {
				return document.Descend
			}
			if name, ok := s.Server[base]; ok {
				note(Key{"", name}, p)
			} else if name, ok := s.Site[base]; ok {
				note(Key{"", name}, p)
			} else {
				set.Strange = append(set.Strange, strings.Join(p, "."))
			}
		case 2:
			if kind == document.Map {
				return document.Descend
			}
			set.Strange = append(set.Strange, strings.Join(p, "."))
		case 3:
			if name, ok := s.Site[word(p[2])]; ok {
				note(Key{p[1], name}, p)
			} else {
				set.Strange = append(set.Strange, strings.Join(p, "."))
			}
		}
		return document.Pass
	}
	err := read(ctx, e, func(r io.Reader) error {
		return document.Walk(r, at, func([]string, []byte) error { return nil })
	})
	if errors.Is(err, document.ErrSyntax) {
		err = fmt.Errorf("%w: %s: %w", archive.ErrDamaged, e.Name, err)
	}
	return err
}

// Has tells whether there is a collection of a name, of any site.
func (set *Set) Has(name string) bool {
	return slices.ContainsFunc(set.places, func(p place) bool { return p.key.Name == name })
}

// Empty tells a backup of which nothing is understood.
func (set *Set) Empty() bool { return len(set.places) == 0 }

// Sites are the names of sites that collections lie in.
func (set *Set) Sites() []string {
	var out []string
	for _, p := range set.places {
		if p.key.Site != "" && !slices.Contains(out, p.key.Site) {
			out = append(out, p.key.Site)
		}
	}
	return out
}

// NotObjectError is a document that is no object.
type NotObjectError struct{ Kind document.Kind }

func (e *NotObjectError) Error() string { return "it is " + e.Kind.String() }

// Each hands over the documents of a collection, one after another; each is valid until
// take returns. A document that is no object comes as nil. With look, which may be nil,
// documents are passed over of which it says so by their text.
func (set *Set) Each(ctx context.Context, key Key, look func(text []byte) bool, take func(doc *document.Value) error) error {
	var parser document.Parser
	for _, p := range set.places {
		if p.key != key {
			continue
		}
		n := 0
		err := p.each(ctx, func(text []byte) error {
			if n++; n%256 == 0 {
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			if look != nil && !look(text) {
				return nil
			}
			doc, err := parser.Parse(text)
			if err != nil {
				return &syntaxError{n, err}
			}
			if doc.Kind() != document.Map {
				doc = nil
			}
			return take(doc)
		})
		var syntax *syntaxError
		switch {
		case errors.As(err, &syntax):
			return fmt.Errorf("%w: %s, document %d: %w", archive.ErrDamaged, p.entry.Name, syntax.n, syntax.err)
		case errors.Is(err, document.ErrSyntax), errors.Is(err, document.ErrBSON):
			return fmt.Errorf("%w: %s: %w", archive.ErrDamaged, p.entry.Name, err)
		case err != nil:
			return err
		}
	}
	return nil
}

type syntaxError struct {
	n   int
	err error
}

func (e *syntaxError) Error() string { return e.err.Error() }

func (p place) each(ctx context.Context, take func([]byte) error) error {
	return read(ctx, p.entry, func(r io.Reader) error {
		if p.entry.Ext() == ".bson" {
			return document.WalkBSON(r, take)
		}
		if p.path == nil {
			return eachOfFile(r, take)
		}
		at := func(at []string, kind document.Kind) document.Step {
			inside := len(at) <= len(p.path) && slices.Equal(at, p.path[:len(at)])
			switch {
			case !inside:
				return document.Pass
			case len(at) < len(p.path), kind == document.List:
				return document.Descend
			}
			return document.Take
		}
		return document.Walk(r, at, func(_ []string, text []byte) error { return take(text) })
	})
}

// eachOfFile hands over the documents of a file: a list, one after another, or the list
// in an answer of a REST interface, {"result": [...]}.
func eachOfFile(r io.Reader, take func([]byte) error) error {
	b := bufio.NewReaderSize(r, 4096)
	intro, _ := b.Peek(256)
	envelope := isEnvelope(intro)
	at := func(at []string, kind document.Kind) document.Step {
		switch {
		case len(at) == 0 && (kind == document.List || envelope):
			return document.Descend
		case len(at) == 0:
			return document.Take
		case !strings.EqualFold(at[0], "result"):
			return document.Pass
		case kind == document.List:
			return document.Descend
		}
		return document.Take
	}
	return document.Walk(b, at, func(_ []string, text []byte) error { return take(text) })
}

func isEnvelope(intro []byte) bool {
	intro = bytes.TrimLeft(bytes.TrimPrefix(intro, []byte("\xef\xbb\xbf")), " \t\r\n")
	rest, ok := bytes.CutPrefix(intro, []byte("{"))
	return ok && bytes.HasPrefix(bytes.ToLower(bytes.TrimLeft(rest, " \t\r\n")), []byte(`"result"`))
}

// read opens an entry for the time of fn. ctx ends it between two reads.
func read(ctx context.Context, e *archive.Entry, fn func(io.Reader) error) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	err = fn(untilDone{ctx, r})
	if closed := r.Close(); err == nil {
		err = closed
	}
	return err
}

type untilDone struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
