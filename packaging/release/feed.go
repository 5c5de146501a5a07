package release

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Feed is an Atom feed of release notes.
type Feed struct {
	Title string
	// BaseURL is where it is published, without a slash at its end.
	BaseURL string
	Entries []Entry
}

type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Author  string      `xml:"author>name"`
	Links   []atomLink  `xml:"link"`
	Entries []atomEntry `xml:"entry"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr"`
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	ID      string     `xml:"id"`
	Title   string     `xml:"title"`
	Updated string     `xml:"updated"`
	Links   []atomLink `xml:"link"`
	Content atomText   `xml:"content"`
}

type atomText struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

// Write writes the feed. The same entries give the same bytes.
func (f Feed) Write(w io.Writer) error {
	base := strings.TrimRight(f.BaseURL, "/")
	out := atomFeed{
		ID: base + "/releases.atom", Title: f.Title, Author: f.Title,
		Links: []atomLink{{"self", base + "/releases.atom"}},
	}
	for i, e := range f.Entries {
		when := e.Date.UTC().Format(time.RFC3339)
		if i == 0 {
			out.Updated = when
		}
		out.Entries = append(out.Entries, atomEntry{
			ID: base + "/releases/" + e.Version, Title: f.Title + " " + e.Version, Updated: when,
			Links: []atomLink{{"alternate", base + "/"}}, Content: atomText{"text", e.Notes},
		})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("write the feed: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// WithoutEntry is a feed that Write has written, without the entry of a version, and
// whether there was one.
func WithoutEntry(feed []byte, version string) ([]byte, bool) {
	const begin, end = "  <entry>\n", "</entry>\n"
	var out []byte
	found := false
	for rest := feed; ; {
		before, entry, more := bytes.Cut(rest, []byte(begin))
		out = append(out, before...)
		if !more {
			return out, found
		}
		// Text is escaped, so neither mark is found inside of it.
		entry, rest, _ = bytes.Cut(entry, []byte(end))
		if bytes.Contains(entry, []byte("/releases/"+version+"</id>")) {
			found = true
			continue
		}
		out = append(append(append(out, begin...), entry...), end...)
	}
}
