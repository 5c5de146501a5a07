package convert

import (
	"fmt"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/report"
)

// Bounds of a configuration: far above what anybody has. Some of what is bounded is
// compared each with each, some of it takes long to look at.
const (
	maxBindings     = 2000
	maxHostKeys     = 100 // of a site
	maxCertificates = 2000
	maxAdmins       = 10_000
	// maxParts is how many keys, folders, networks and others an account may have of each.
	maxParts = 1000
	// maxHeld is how many bytes of documents may be held until the whole is known.
	maxHeld = 256 << 20
)

// tooMany refuses a source.
func tooMany(most int, what string) error {
	return fmt.Errorf("%w: it has more than %d %s", archive.ErrHostile, most, what)
}

// Hold is asked before parts of a document of size bytes are held until the others are
// known. What is not held costs no memory, however long the source is.
func (c *Conversion) Hold(size int) error {
	if c.held += size; c.held > maxHeld {
		return fmt.Errorf("%w: its settings have more than %d bytes", archive.ErrHostile, maxHeld)
	}
	return nil
}

// endless tells accounts that have more of something than anybody needs.
func (a *Account) endless(item *report.Item) bool {
	for _, part := range []struct {
		n    int
		what string
	}{
		{len(a.Keys), "keys"},
		{len(a.Folders), "folders"},
		{len(a.Overrides), "permissions by path"},
		{len(a.Speed), "speed limits"},
		{len(a.Allow), "networks in its allow list"},
		{len(a.Auth), "ways to log in"},
	} {
		if part.n > maxParts {
			item.Drop(report.NotValid, fmt.Sprintf("it has more than %d %s", maxParts, part.what), "make it anew")
			return true
		}
	}
	return false
}

// few are the first of a list of which nobody has many.
func few[T any](item *report.Item, what string, list []T) []T {
	if len(list) <= maxParts {
		return list
	}
	item.Change(report.NotValid, fmt.Sprintf("it has %d %s, of which the first %d count", len(list), what, maxParts), "")
	return list[:maxParts]
}
