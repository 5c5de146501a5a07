package engine

import (
	"bytes"
	"slices"
	"strings"

	"ss-setup/runtime/model"
)

// Query asks for the keys of objects of one kind in one site, in the order of their IDs.
type Query struct {
	Kind model.Kind
	Site string
	// Text is looked for in names, addresses and descriptions, without regard to case;
	// all objects fit an empty one.
	Text string
	// Prefix is how the ID begins.
	Prefix string
	// RefersTo keeps the objects that name this one: the users of a VFS, the members of
	// a group.
	RefersTo model.Key
	// After is the ID that the page begins behind; empty for the first page.
	After string
	// Descending turns the order around.
	Descending bool
	// Limit bounds the page; 0 means 50.
	Limit int
	// Total asks for the number of all that fit, which looks at each of them.
	Total bool
}

// defaultLimit is a page of a list.
const defaultLimit = 50

// Page is an answer.
type Page struct {
	Keys []model.Key
	// More tells that others fit behind the last key.
	More bool
	// Total is the number of all that fit, if it was asked for.
	Total int
}

// Find answers a query from the index. In a transaction it does not see what the
// transaction changed.
func (r *Reader) Find(q Query) Page { return r.index.find(q) }

// Count is the number of objects of a kind in a site.
func (r *Reader) Count(kind model.Kind, site string) int {
	return r.index.lists[listName{kind, site}].len()
}

func (x *index) find(q Query) Page {
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	m := matcher{query: q, needle: []byte(searched(q.Text)), prefix: model.Fold(q.Prefix)}
	if q.RefersTo != (model.Key{}) {
		id, ok := x.names.lookup(q.RefersTo)
		if !ok {
			return Page{}
		}
		m.ref, m.byRef = id, true
	}
	var page Page
	l := x.lists[listName{q.Kind, q.Site}]
	if q.Descending {
		m.backward(l, &page)
		return page
	}
	first := 0
	// Without the total there is no need to look at what comes before the page.
	if from := max(q.After, m.prefix); from != "" && !q.Total && len(l) > 0 {
		first = l.chunkOf(from)
	}
	for _, c := range l[first:] {
		if !m.look(c, &page) {
			break
		}
	}
	if !q.Total {
		page.Total = 0
	}
	return page
}

// backward is find for the other order.
func (m *matcher) backward(l list, page *Page) {
	last := len(l) - 1
	if m.query.After != "" && !m.query.Total && last >= 0 {
		last = l.chunkOf(m.query.After)
	}
	for i := last; i >= 0; i-- {
		if !m.lookBack(l[i], page) {
			break
		}
	}
	if !m.query.Total {
		page.Total = 0
	}
}

// lookBack is look for the other order.
func (m *matcher) lookBack(c *chunk, page *Page) bool {
	var hits []int
	for i := m.next(c, 0); i < c.len(); i = m.next(c, i+1) {
		if _, fits := m.fits(c, i, c.id(i)); fits {
			hits = append(hits, i)
		}
	}
	for _, i := range slices.Backward(hits) {
		page.Total++
		id := string(c.id(i))
		if m.query.After != "" && id >= m.query.After {
			continue
		}
		if len(page.Keys) == m.query.Limit {
			page.More = true
			if !m.query.Total {
				return false
			}
			continue
		}
		page.Keys = append(page.Keys, model.Key{Kind: m.query.Kind, Site: m.query.Site, ID: id})
	}
	// Nothing before the beginning can have it.
	return m.prefix == "" || string(c.id(0)) >= m.prefix
}

// matcher looks through chunks.
type matcher struct {
	query  Query
	needle []byte
	prefix string
	ref    uint32
	byRef  bool
}

// look takes what fits in a chunk, and tells whether to go on.
func (m *matcher) look(c *chunk, page *Page) bool {
	for i := m.next(c, 0); i < c.len(); i = m.next(c, i+1) {
		if page.More && m.prefix == "" && !m.byRef {
			// Only the total is of interest any more.
			page.Total++
			continue
		}
		id := c.id(i)
		if past, fits := m.fits(c, i, id); past {
			return false
		} else if !fits {
			continue
		}
		page.Total++
		if string(id) <= m.query.After {
			continue
		}
		if len(page.Keys) == m.query.Limit {
			page.More = true
			if !m.query.Total {
				return false
			}
			continue
		}
		page.Keys = append(page.Keys, model.Key{Kind: m.query.Kind, Site: m.query.Site, ID: string(id)})
	}
	return true
}

// next is the first entry from i on that has the text.
func (m *matcher) next(c *chunk, i int) int {
	if len(m.needle) == 0 || i >= c.len() {
		return i
	}
	from := before(c.ends, i)
	at := bytes.Index(c.blob[from:], m.needle)
	if at < 0 {
		return c.len()
	}
	// Mostly it is this entry or the next.
	for pos := from + uint32(at); c.ends[i] <= pos; {
		i++
	}
	return i
}

// fits tells whether an entry is asked for, and whether none behind it can be.
func (m *matcher) fits(c *chunk, i int, id []byte) (past, fits bool) {
	if m.prefix != "" && !bytes.HasPrefix(id, []byte(m.prefix)) {
		return string(id) > m.prefix, false
	}
	return false, !m.byRef || slices.Contains(c.refsOf(i), m.ref)
}

// referrers are the objects that refer to key, but for those left out: the first few,
// and how many. An object of a site refers to the site.
func (x *index) referrers(key model.Key, out func(model.Key) bool) (first []model.Key, count int) {
	id, known := x.names.lookup(key)
	for name, l := range x.lists {
		inSite := key.Kind == model.KindSite && name.site == key.ID
		if !known && !inSite {
			continue
		}
		for _, c := range l {
			for i := range c.len() {
				if !inSite && !slices.Contains(c.refsOf(i), id) {
					continue
				}
				from := model.Key{Kind: name.kind, Site: name.site, ID: string(c.id(i))}
				if !out(from) {
					count++
					first = keepFirst(first, from)
				}
			}
		}
	}
	return first, count
}

// fewReferrers is how many an error names.
const fewReferrers = 5

// keepFirst keeps the first few keys in order.
func keepFirst(list []model.Key, k model.Key) []model.Key {
	at, _ := slices.BinarySearchFunc(list, k, func(a, b model.Key) int { return strings.Compare(a.String(), b.String()) })
	if at >= fewReferrers {
		return list
	}
	list = slices.Insert(list, at, k)
	return list[:min(len(list), fewReferrers)]
}
