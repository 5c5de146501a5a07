package web

import (
	"encoding/csv"
	"net/http"
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

// row writes a line; false tells that nobody reads any more.
func (t *table) row(cells ...string) bool {
	for i, text := range cells {
		cells[i] = harmless(text)
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
