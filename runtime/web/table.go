package web

import (
	"encoding/csv"
	"net/http"
	"strings"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// table is a file of CSV on its way to a browser.
type table struct {
	v    *visit
	name string
	out  *csv.Writer
}

// table begins a file. What is wrong is told as a page before, and not any more behind it.
func (v *visit) table(name string, head ...string) *table {
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	t := &table{v, name, csv.NewWriter(v.w)}
	t.row(head...)
	return t
}

// inLine has a text on one line: some programs for tables begin another row at every break.
var inLine = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", "\t", " ")

// row writes a line; false tells that nobody reads any more.
func (t *table) row(cells ...string) bool {
	for i, text := range cells {
		cells[i] = harmless(inLine.Replace(text))
	}
	return t.out.Write(cells) == nil
}

// end writes out what is left.
func (t *table) end() { t.out.Flush() }

// cut breaks the answer off: a file that ends too early must not look whole.
func (t *table) cut(err error) {
	t.v.Log.Error("an export was cut off", "file", t.name, "error", err)
	panic(http.ErrAbortHandler)
}

// toExport is the first page of what a list shows, in its order; q asks for the next.
func (v *visit) toExport(res resource) (q *rest.ListQuery, first *rest.Page[model.Object], err error) {
	q = v.listQuery()
	q.Limit = exportPage
	if _, err = v.filterOf(res, q); err == nil {
		first, _, err = v.found(res, q)
	}
	return q, first, err
}

// exportList sends what a list shows as a table of CSV, all pages of it.
func (v *visit) exportList(res resource) error {
	q, found, err := v.toExport(res)
	if err != nil {
		return err
	}
	name := res.path
	if v.site() != "" {
		name += "-of-" + v.site()
	}
	head := make([]string, len(res.columns))
	for i, c := range res.columns {
		head[i] = strings.ToLower(c.Title)
	}
	t := v.table(name, head...)
	for {
		for _, o := range found.Items {
			cells := res.row(o)
			row := make([]string, len(cells))
			for i, c := range cells {
				row[i] = c.Text
			}
			if !t.row(row...) {
				return nil
			}
		}
		if !found.More {
			break
		}
		q.After = found.Next
		if found, err = v.who.List(res.kind, v.site(), q); err != nil {
			t.cut(err)
		}
	}
	t.end()
	return nil
}
