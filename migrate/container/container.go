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
	// Past are collections, as they are called here, of what is no configuration: sessions
	// and logs, of which there may be any number.
	Past []string
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

// Bounds of a backup: far above what a server has, and low enough that one made to do harm
// neither fills the memory nor takes days.
const (
	// MaxSites is how many sites there may be.
	MaxSites = 1000
	// MaxDocuments is how many documents there may be, but for those of the past.
	MaxDocuments = 1_000_000
	// maxPlaces is how many collections there may be.
	maxPlaces = 60_000
	// maxStrange is how many parts that nobody knows are named.
	maxStrange = 10_000
	// maxSkipped is how many bytes of a packed tree may be passed over to come to its
	// collections, each from the beginning.
	maxSkipped = 32 << 30
)

// place is where a collection lies: an entry, and in a tree the names that lead to it and
// the byte at which it begins.
type place struct {
	key   Key
	entry *archive.Entry
	path  []string
	begin int64
	// documents is how many were seen in it so far.
	documents int
}

// Set is the collections of a backup.
type Set struct {
	// Adapter names how the backup packs them.
	Adapter string
	// Strange are entries that belong to no collection.
	Strange []string

	places    []*place
	index     map[Key][]*place
	sites     []string
	past      []string
	documents int
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
	set := &Set{Adapter: Folders, index: map[Key][]*place{}, past: s.Past}
	tree := set.indexFiles(f, s)
	if tree != nil && len(set.places) > 0 {
		set.Strange = append(set.Strange, tree.Name)
	} else if tree != nil {
		set.Adapter = Tree
		if err := set.indexTree(ctx, tree, s); err != nil {
			return nil, err
		}
	}
	return set, set.bounded()
}

// add notes a collection.
func (set *Set) add(p *place) {
	if len(set.sites) > MaxSites || len(set.places) > maxPlaces {
		return // bounded refuses it
	}
	set.places = append(set.places, p)
	set.index[p.key] = append(set.index[p.key], p)
	if site := p.key.Site; site != "" && !slices.Contains(set.sites, site) {
		set.sites = append(set.sites, site)
	}
}

// bounded refuses what no server has.
func (set *Set) bounded() error {
	if len(set.sites) > MaxSites {
		return fmt.Errorf("%w: it has more than %d sites", archive.ErrHostile, MaxSites)
	}
	if len(set.places) > maxPlaces {
		return fmt.Errorf("%w: it has more than %d collections", archive.ErrHostile, maxPlaces)
	}
	if len(set.Strange) > maxStrange {
		return fmt.Errorf("%w: it has more than %d parts that are not known here", archive.ErrHostile, maxStrange)
	}
	skipped := int64(0)
	for _, p := range set.places {
		if p.path == nil || p.entry.Seekable() {
			continue
		}
		if skipped += p.begin; skipped > maxSkipped {
			return fmt.Errorf("%w: %s has so many collections that reading it takes too long; unpack it and give the file within", archive.ErrHostile, p.entry.Name)
		}
	}
	return nil
}

// indexFiles finds collections by the names of files. tree is a file that may hold all of
// them.
func (set *Set) indexFiles(f *archive.File, s Schema) (tree *archive.Entry) {
	for _, e := range f.Entries {
		switch key, ok := s.keyOf(e); {
		case ok && e.Ext() == ".bson":
			set.Adapter = MongoDump
			set.add(&place{key: key, entry: e})
		case ok && (f.Zip || f.Entries[0].Ext() == ".jsonl"):
			set.add(&place{key: key, entry: e})
		case slices.Contains(s.Ignored, word(e.Base())) || strings.HasSuffix(e.Name, ".metadata.json"):
		case tree == nil && (e.Ext() == ".json" || !f.Zip):
			tree = e
		default:
			set.strange(e.Name)
		}
	}
	return tree
}

func (set *Set) strange(name string) {
	if len(set.Strange) <= maxStrange { // bounded refuses it
		set.Strange = append(set.Strange, name)
	}
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
	note := func(key Key, at []string, begin int64) {
		set.add(&place{key: key, entry: e, path: slices.Clone(at), begin: begin})
	}
	at := func(p []string, kind document.Kind, begin int64) document.Step {
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
				note(Key{"", name}, p, begin)
			} else if name, ok := s.Site[base]; ok {
				note(Key{"", name}, p, begin)
			} else {
				set.strange(strings.Join(p, "."))
			}
		case 2:
			if kind == document.Map {
				return document.Descend
			}
			set.strange(strings.Join(p, "."))
		case 3:
			if name, ok := s.Site[word(p[2])]; ok {
				note(Key{p[1], name}, p, begin)
			} else {
				set.strange(strings.Join(p, "."))
			}
		}
		return document.Pass
	}
	err := read(ctx, e, 0, func(r io.Reader) error {
		return document.WalkPlaces(r, at, func([]string, []byte) error { return nil })
	})
	if errors.Is(err, document.ErrSyntax) {
		err = fmt.Errorf("%w: %s: %w", archive.ErrDamaged, e.Name, err)
	}
	return err
}

// Has tells whether there is a collection of a name, of any site.
func (set *Set) Has(name string) bool {
	return slices.ContainsFunc(set.places, func(p *place) bool { return p.key.Name == name })
}

// Empty tells a backup of which nothing is understood.
func (set *Set) Empty() bool { return len(set.places) == 0 }

// Sites are the names of sites that collections lie in.
func (set *Set) Sites() []string { return slices.Clone(set.sites) }

// count counts the n-th document of a place. Who reads a place again counts nothing new.
func (set *Set) count(p *place, n int) error {
	if n <= p.documents || slices.Contains(set.past, p.key.Name) {
		return nil
	}
	p.documents = n
	if set.documents++; set.documents > MaxDocuments {
		return fmt.Errorf("%w: it has more than %d documents", archive.ErrHostile, MaxDocuments)
	}
	return nil
}

// NotObjectError is a document that is no object.
type NotObjectError struct{ Kind document.Kind }

func (e *NotObjectError) Error() string { return "it is " + e.Kind.String() }

// Each hands over the documents of a collection, one after another; each is valid until
// take returns. A document that is no object comes as nil. With look, which may be nil,
// documents are passed over of which it says so by their text.
func (set *Set) Each(ctx context.Context, key Key, look func(text []byte) bool, take func(doc *document.Value) error) error {
	var parser document.Parser
	for _, p := range set.index[key] {
		n := 0
		err := p.each(ctx, func(text []byte) error {
			if n++; n%256 == 0 {
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			if err := set.count(p, n); err != nil {
				return err
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

func (p *place) each(ctx context.Context, take func([]byte) error) error {
	return read(ctx, p.entry, p.begin, func(r io.Reader) error {
		if p.entry.Ext() == ".bson" {
			return document.WalkBSON(r, take)
		}
		if p.path == nil {
			return eachOfFile(r, take)
		}
		at := func(_ []string, kind document.Kind) document.Step {
			if kind == document.List {
				return document.Descend
			}
			return document.Take
		}
		return document.WalkOne(r, at, func(_ []string, text []byte) error { return take(text) })
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

// read opens an entry at an offset for the time of fn. ctx ends it between two reads.
func read(ctx context.Context, e *archive.Entry, offset int64, fn func(io.Reader) error) error {
	r, err := e.OpenAt(offset, func(r io.Reader) io.Reader { return untilDone{ctx, r} })
	if err != nil {
		return err
	}
	from := io.Reader(untilDone{ctx, r})
	if e.Seekable() {
		err = fn(from)
	} else {
		a := readAhead(from)
		err = fn(a)
		a.stop()
	}
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
