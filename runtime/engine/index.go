package engine

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/model"
)

// indexVersion is raised when an entry is made in another way: an index of another
// version is made anew at the start.
const indexVersion = 1

// errStaleIndex: the index in the store does not fit the objects.
var errStaleIndex = errors.New("the index is out of date")

// An entry's text is its ID and what people search for, folded, each field ended by
// fieldEnd and the last by lineEnd. Neither stands in a name or in what is searched.
const (
	fieldEnd = '\x1f'
	lineEnd  = '\n'
)

// maxSearched bounds what one object puts into memory, in bytes.
const maxSearched = 400

// entry is what the index knows of an object.
type entry struct {
	key  model.Key
	text string
	refs []model.Key
}

func entryOf(key model.Key, o model.Object, refs []model.Reference) entry {
	var b strings.Builder
	b.WriteString(key.ID)
	for _, field := range o.Search() {
		field = searched(field)
		if len(field) > maxSearched-b.Len() {
			field = strings.ToValidUTF8(field[:max(0, maxSearched-b.Len())], "")
		}
		if field != "" {
			b.WriteByte(fieldEnd)
			b.WriteString(field)
		}
	}
	b.WriteByte(lineEnd)
	return entry{key: key, text: b.String(), refs: refsOf(key, refs)}
}

// searched is a text as searches compare it.
func searched(text string) string {
	if strings.ContainsFunc(text, unicode.IsControl) {
		text = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, text)
	}
	return model.Fold(strings.TrimSpace(text))
}

// refsOf are the objects that an object refers to, each once. Its own site goes without
// saying: it is in the key.
func refsOf(key model.Key, refs []model.Reference) []model.Key {
	var out []model.Key
	own := model.SiteKey(key.Site)
	for _, r := range refs {
		if r.To != own && !slices.Contains(out, r.To) {
			out = append(out, r.To)
		}
	}
	return out
}

// listName names a list: the objects of one kind in one site.
type listName struct {
	kind model.Kind
	site string
}

// index is what the store holds at one moment, for lists and searches. It never changes:
// a commit makes the next one, which shares with it what stayed.
type index struct {
	seq   uint64
	lists map[listName]list
	names *names
}

// list is entries in the order of their IDs, in chunks: a commit copies the chunks that
// it touches, and the few words that name the others.
type list []*chunk

// chunkLen is how many entries a full chunk has. Few make commits quick, many searches.
const chunkLen = 512

// chunk is some entries side by side. blob is their texts; entry i ends at ends[i] and
// refers to refs[refEnds[i-1]:refEnds[i]].
type chunk struct {
	blob    []byte
	ends    []uint32
	refs    []uint32
	refEnds []uint32
}

func (c *chunk) len() int { return len(c.ends) }

func (c *chunk) text(i int) []byte { return c.blob[before(c.ends, i):c.ends[i]] }

func (c *chunk) refsOf(i int) []uint32 { return c.refs[before(c.refEnds, i):c.refEnds[i]] }

func before(ends []uint32, i int) uint32 {
	if i == 0 {
		return 0
	}
	return ends[i-1]
}

func (c *chunk) id(i int) []byte {
	text := c.text(i)
	if end := bytes.IndexByte(text, fieldEnd); end >= 0 {
		return text[:end]
	}
	return text[:len(text)-1]
}

// find is the place of id, or where it would be.
func (c *chunk) find(id string) (i int, found bool) {
	i = sort.Search(c.len(), func(i int) bool { return string(c.id(i)) >= id })
	return i, i < c.len() && string(c.id(i)) == id
}

func (c *chunk) add(text []byte, refs []uint32) {
	c.blob = append(c.blob, text...)
	c.ends = append(c.ends, uint32(len(c.blob)))
	c.refs = append(c.refs, refs...)
	c.refEnds = append(c.refEnds, uint32(len(c.refs)))
}

func (l list) len() int {
	n := 0
	for _, c := range l {
		n += c.len()
	}
	return n
}

// chunkOf is the chunk that id belongs to; there is one.
func (l list) chunkOf(id string) int {
	return max(0, sort.Search(len(l), func(i int) bool { return string(l[i].id(0)) > id })-1)
}

// builder makes chunks of entries that come in order.
type builder struct{ list list }

func (b *builder) add(text []byte, refs []uint32) {
	if n := len(b.list); n == 0 || b.list[n-1].len() >= chunkLen {
		b.list = append(b.list, &chunk{})
	}
	b.list[len(b.list)-1].add(text, refs)
}

// done gives the chunks back, without the room that growing left in them.
func (b *builder) done() list {
	for _, c := range b.list {
		c.blob, c.ends = slices.Clip(c.blob), slices.Clip(c.ends)
		c.refs, c.refEnds = slices.Clip(c.refs), slices.Clip(c.refEnds)
	}
	return b.list
}

// change is an entry that is there from now on, or, without a text, no more.
type change struct {
	id   string
	text []byte
	refs []uint32
}

// merge is the list after changes, which are in the order of their IDs.
func (l list) merge(changes []change) list {
	if len(l) == 0 {
		l = list{&chunk{}}
	}
	out := make(list, 0, len(l)+1)
	for i, c := range l {
		n := len(changes)
		if i+1 < len(l) {
			next := string(l[i+1].id(0))
			n = sort.Search(len(changes), func(j int) bool { return changes[j].id >= next })
		}
		if n == 0 {
			out = append(out, c)
			continue
		}
		out = append(out, c.merge(changes[:n])...)
		changes = changes[n:]
	}
	return out
}

func (c *chunk) merge(changes []change) list {
	var entries builder
	i := 0
	for _, ch := range changes {
		at, found := c.find(ch.id)
		for ; i < at; i++ {
			entries.add(c.text(i), c.refsOf(i))
		}
		if found {
			i++
		}
		if ch.text != nil {
			entries.add(ch.text, ch.refs)
		}
	}
	for ; i < c.len(); i++ {
		entries.add(c.text(i), c.refsOf(i))
	}
	out := entries.done()
	// Two halves take the next entries without another split; a rest of one would not.
	if n := len(out); n >= 2 && out[n-1].len() < chunkLen/2 {
		out = append(out[:n-2], halves(out[n-2], out[n-1])...)
	}
	return out
}

func halves(a, b *chunk) list {
	n := (a.len() + b.len()) / 2
	out := list{{}, {}}
	k := 0
	for _, c := range []*chunk{a, b} {
		for i := range c.len() {
			out[min(k/n, 1)].add(c.text(i), c.refsOf(i))
			k++
		}
	}
	return (&builder{out}).done()
}

// apply is the index after a commit: of each object that was touched the entry it has
// now, or one without a text if it is gone.
func (x *index) apply(seq uint64, latest map[model.Key]entry) *index {
	next := &index{seq: seq, lists: make(map[listName]list, len(x.lists)+1), names: x.names}
	for name, l := range x.lists {
		next.lists[name] = l
	}
	byList := map[listName][]change{}
	for key, e := range latest {
		name := listName{key.Kind, key.Site}
		ch := change{id: key.ID}
		if e.text != "" {
			ch.text, ch.refs = []byte(e.text), x.names.numbers(e.refs)
		}
		byList[name] = append(byList[name], ch)
	}
	for name, changes := range byList {
		slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.id, b.id) })
		if l := next.lists[name].merge(changes); len(l) > 0 {
			next.lists[name] = l
		} else {
			delete(next.lists, name)
		}
	}
	return next
}

// loadIndex reads the index from the store.
func (e *Engine) loadIndex() (*index, error) {
	x := &index{lists: map[listName]list{}, names: newNames()}
	err := e.store.View(func(tx *bbolt.Tx) error {
		x.seq = seqOf(tx)
		if v := counter(tx, versionCounter); v != indexVersion {
			return fmt.Errorf("%w: it is of version %d, this release makes version %d", errStaleIndex, v, indexVersion)
		}
		for _, kind := range model.Kinds() {
			if err := x.load(tx, kind); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

func (x *index) load(tx *bbolt.Tx, kind model.Kind) error {
	b, err := bucket(tx, indexBucket, kind)
	if err != nil {
		return err
	}
	builders := map[string]*builder{}
	var n uint64
	err = b.ForEach(func(row, record []byte) error {
		e, err := unpackEntry(row, record, kind)
		if err != nil {
			return err
		}
		if len(e.text) < 2 || e.text[len(e.text)-1] != lineEnd {
			return fmt.Errorf("%w: the entry %q has no end", errStaleIndex, row)
		}
		of := builders[e.key.Site]
		if of == nil {
			of = &builder{}
			builders[e.key.Site] = of
		}
		of.add([]byte(e.text), x.names.numbers(e.refs))
		n++
		return nil
	})
	if err != nil {
		return err
	}
	if want := counter(tx, countCounter(kind)); n != want {
		return fmt.Errorf("%w: it has %d entries for %d objects of kind %s", errStaleIndex, n, want, kind)
	}
	for site, of := range builders {
		x.lists[listName{kind, site}] = of.done()
	}
	return nil
}

// rebuildIndex makes the index of the store from its objects.
func rebuildIndex(tx *bbolt.Tx) error {
	for _, kind := range model.Kinds() {
		n, err := rebuildKind(tx, kind)
		if err != nil {
			return err
		}
		if err := setCounter(tx, countCounter(kind), n); err != nil {
			return err
		}
	}
	return setCounter(tx, versionCounter, indexVersion)
}

func rebuildKind(tx *bbolt.Tx, kind model.Kind) (n uint64, err error) {
	objects, err := bucket(tx, objectsBucket, kind)
	if err != nil {
		return 0, err
	}
	outer := tx.Bucket(indexBucket)
	if err := outer.DeleteBucket([]byte(kind)); err != nil {
		return 0, err
	}
	entries, err := outer.CreateBucket([]byte(kind))
	if err != nil {
		return 0, err
	}
	err = objects.ForEach(func(row, record []byte) error {
		o := kind.New()
		if err := decode(row, record, o); err != nil {
			return err
		}
		n++
		e := entryOf(keyOfRow(kind, row), o, o.References())
		return entries.Put(row, packEntry(row, &e))
	})
	return n, err
}
