// Package collection reads the collections of documents that backups of older versions are,
// and keeps account of what nobody asked for. What the documents mean is for the packages of
// the versions.
package collection

import (
	"cmp"
	"context"
	"fmt"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/container"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/document"
	"ss-setup/migrate/report"
)

// Reader reads the collections of one backup.
type Reader struct {
	Set        *container.Set
	Conversion *convert.Conversion
	Report     *report.Report
	// KindOf is what the documents of a collection are.
	KindOf func(collection string) report.Kind
}

// noObject is said of documents that are none.
const noObject = "it is no object"

// Each hands over the documents of a collection, and tells what nobody asked for.
func (r *Reader) Each(ctx context.Context, site, name string, take func(doc *document.Value) error) error {
	return r.EachIn(ctx, []string{site}, "", name, take)
}

// EachIn is Each for the collections of a name in several folders, which are those of a site;
// each folder is a site of its own if that is empty.
func (r *Reader) EachIn(ctx context.Context, folders []string, site, name string, take func(doc *document.Value) error) error {
	for _, folder := range folders {
		strange := func() { r.Conversion.Unplaced(r.KindOf(name), cmp.Or(site, folder), "", noObject) }
		if err := r.walk(ctx, folder, name, nil, take, strange); err != nil {
			return err
		}
	}
	return nil
}

// AgainIn is EachIn for a second look at documents that EachIn tells of; look may pass some
// over.
func (r *Reader) AgainIn(ctx context.Context, folders []string, name string, look func([]byte) bool, take func(doc *document.Value) error) error {
	for _, folder := range folders {
		if err := r.walk(ctx, folder, name, look, take, func() {}); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) walk(ctx context.Context, site, name string, look func([]byte) bool, take func(doc *document.Value) error, strange func()) error {
	return r.Set.Each(ctx, container.Key{Site: site, Name: name}, look, func(doc *document.Value) error {
		if doc == nil {
			strange()
			return nil
		}
		if err := take(doc); err != nil {
			return err
		}
		doc.Unused(name, r.Report.Unknown)
		if err := r.Report.Full(); err != nil {
			return fmt.Errorf("%w: %w", archive.ErrHostile, err)
		}
		return nil
	})
}

// Leave counts fields that have no place here.
func (r *Reader) Leave(doc *document.Value, path, why string, names ...string) {
	for _, name := range names {
		v := doc.Get(name)
		if v != nil && !v.Empty() {
			r.Report.LeftOut(path+"."+name, why)
		}
		v.Skip()
	}
}

// Truth is what a switch says; ok is false if that cannot be told.
func Truth(v *document.Value) (yes, ok bool) {
	if v.Kind() == document.Map || v.Kind() == document.List {
		v.Skip()
		return false, false
	}
	return v.True()
}

// Date reads the day that a switch makes count. A switch of which nobody can tell how it
// stands counts as on.
func Date(doc *document.Value, on, when string) (m convert.Moment) {
	at := doc.Get(when)
	if yes, ok := Truth(doc.Get(on)); !yes && ok {
		at.Skip()
		return m
	}
	return Moment(at)
}

// Moment reads a date that must be there.
func Moment(v *document.Value) convert.Moment {
	t, ok := v.Time()
	switch {
	case !ok:
		text := cmp.Or(v.Str(), v.Raw())
		v.Skip()
		return convert.Moment{Unread: text}
	case t.IsZero():
		return convert.Moment{Missing: true}
	}
	return convert.Moment{Time: t}
}

// Status tells whether an account is disabled; word is one that is not known.
func Status(v *document.Value) (disabled bool, word string) {
	switch text := v.Str(); convert.Bare(text) {
	case "", "enabled", "active", "1", "true":
		return false, ""
	case "disabled", "inactive", "locked", "0", "false":
		return true, ""
	default:
		return false, text
	}
}
