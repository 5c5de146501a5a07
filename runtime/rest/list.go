package rest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// maxSorted bounds what is read for an order that the index does not have.
const maxSorted = 2000

// list answers with a page. What it costs is bounded by the page, or by maxSorted, and by
// one look over the index where text is searched or counted.
func (a *API) list(c *caller, kind model.Kind, site string, q *ListQuery) (*List, error) {
	if !c.mayViewAny(kind, site) {
		return nil, notAllowed(c, "see", kind, site)
	}
	query := engine.Query{
		Kind: kind, Site: site, Text: q.Text, Prefix: q.Prefix, After: q.After, Limit: q.Limit, Total: q.Total,
		Descending: strings.HasPrefix(q.Sort, "-"),
	}
	if q.RefersTo != "" {
		to, err := model.ParseKey(q.RefersTo)
		if err != nil {
			return nil, wrongField("refersTo", "it is no key", "write it as KIND/SITE/ID")
		}
		if !c.mayView(to) {
			return nil, notAllowed(c, "see", to.Kind, to.Site)
		}
		query.RefersTo = to
	}
	page := &Page[model.Object]{Items: []model.Object{}}
	err := a.Engine.Read(func(r *engine.Reader) error {
		if site != "" && !r.Has(model.SiteKey(site)) {
			return &engine.NotFoundError{Key: model.SiteKey(site)}
		}
		page.Seq = r.Seq()
		if field := strings.TrimPrefix(q.Sort, "-"); field == "modified" || field == "created" {
			return sorted(r, c, query, field, page)
		}
		return byName(r, c, query, page)
	})
	if err != nil {
		return nil, err
	}
	for _, o := range page.Items {
		model.Redact(o)
	}
	return &List{Body: page}, nil
}

// byName is a page in the order of the index.
func byName(r *engine.Reader, c *caller, q engine.Query, page *Page[model.Object]) error {
	found := find(r, c, q)
	if q.Total {
		page.Total = &found.Total
	}
	for _, key := range found.Keys {
		o, err := r.Get(key)
		if err != nil {
			return err
		}
		page.Items = append(page.Items, o)
	}
	if page.More = found.More; page.More {
		page.Next = found.Keys[len(found.Keys)-1].ID
	}
	return nil
}

// find answers a query as far as the caller may see what it finds. Only sites can be seen
// in part: there the rest is left out.
func find(r *engine.Reader, c *caller, q engine.Query) engine.Page {
	if q.Kind != model.KindSite || c.super {
		return r.Find(q)
	}
	all := q
	all.After, all.Total, all.Limit = "", false, 1000
	var out engine.Page
	for {
		part := r.Find(all)
		for _, key := range part.Keys {
			if !c.mayView(key) {
				continue
			}
			out.Total++
			before := key.ID <= q.After
			if q.Descending {
				before = q.After != "" && key.ID >= q.After
			}
			switch {
			case before:
			case len(out.Keys) == q.Limit:
				out.More = true
			default:
				out.Keys = append(out.Keys, key)
			}
		}
		if !part.More {
			return out
		}
		all.After = part.Keys[len(part.Keys)-1].ID
	}
}

// sorted is a page in the order of a time.
func sorted(r *engine.Reader, c *caller, q engine.Query, field string, page *Page[model.Object]) error {
	all := q
	all.After, all.Limit, all.Descending, all.Total = "", maxSorted, false, false
	found := find(r, c, all)
	if found.More {
		return wrongField("sort", "more than 2000 objects fit, too many to sort by a time", "narrow the search, or sort by name")
	}
	var objects []model.Object
	for _, key := range found.Keys {
		o, err := r.Get(key)
		if err != nil {
			return err
		}
		objects = append(objects, o)
	}
	when := func(o model.Object) time.Time { return o.Header().Modified }
	if field == "created" {
		when = func(o model.Object) time.Time { return o.Header().Created }
	}
	slices.SortStableFunc(objects, func(a, b model.Object) int {
		by := cmp.Or(when(a).Compare(when(b)), strings.Compare(a.Key().ID, b.Key().ID))
		if q.Descending {
			return -by
		}
		return by
	})
	if q.Total {
		n := len(objects)
		page.Total = &n
	}
	first := 0
	if q.After != "" {
		first = 1 + slices.IndexFunc(objects, func(o model.Object) bool { return o.Key().ID == q.After })
		if first == 0 {
			return wrongField("after", "the object that the page begins behind is gone", "begin with the first page")
		}
	}
	last := min(first+q.Limit, len(objects))
	page.Items = append(page.Items, objects[first:last]...)
	if page.More = last < len(objects); page.More {
		page.Next = objects[last-1].Key().ID
	}
	return nil
}
