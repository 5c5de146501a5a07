// Package filezilla imports the users and groups of FileZilla Server: the one XML file of
// versions 0.9, and users.xml with groups.xml of versions 1.
//
// That server speaks FTP and FTPS alone, so nothing of it says how SFTP is to be served:
// users come with their passwords, folders and bounds, and the site gets new host keys.
package filezilla

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
)

// Product is the name of the product.
const Product = "FileZilla Server"

// Site is the name of the one site that a configuration becomes.
const Site = "default"

// sftpPort is where it is served if nothing says where: 22 is mostly taken.
const sftpPort = 2222

// The root elements.
const (
	oldRoot = "FileZillaServer"
	newRoot = "filezilla"
)

// Source is an opened configuration.
type Source struct {
	name    string
	old     bool
	version string
	files   []*archive.Entry
	closer  io.Closer
}

// Open recognises the XML files by their root elements. archive.ErrNotBackup says that
// there are none.
func Open(ctx context.Context, f *archive.File) (*Source, error) {
	s := &Source{name: f.Name, closer: f}
	for _, e := range f.Entries {
		if f.Zip && e.Ext() != ".xml" {
			continue
		}
		root, err := rootOf(ctx, e)
		if err != nil {
			return nil, err
		}
		old := root.Name.Local == oldRoot
		if !old && root.Name.Local != newRoot {
			continue
		}
		if len(s.files) > 0 && s.old != old {
			return nil, fmt.Errorf("%w: it has files of FileZilla Server 0.9 and of 1; give those of one", archive.ErrNotBackup)
		}
		s.old = old
		s.files = append(s.files, e)
		for _, a := range root.Attr {
			if a.Name.Local == "product_version" && s.version == "" && len(a.Value) <= 32 {
				s.version = a.Value
			}
		}
	}
	if len(s.files) == 0 {
		return nil, fmt.Errorf("%w: it has no configuration of FileZilla Server", archive.ErrNotBackup)
	}
	return s, nil
}

// rootOf is the first element; one without a name if it is no XML.
func rootOf(ctx context.Context, e *archive.Entry) (xml.StartElement, error) {
	intro, err := e.Intro(4096)
	if err != nil || ctx.Err() != nil {
		return xml.StartElement{}, errors.Join(err, ctx.Err())
	}
	intro = bytes.TrimPrefix(intro, []byte("\xef\xbb\xbf"))
	if !bytes.HasPrefix(bytes.TrimLeft(intro, " \t\r\n"), []byte("<")) {
		return xml.StartElement{}, nil
	}
	d := xml.NewDecoder(bytes.NewReader(intro))
	d.CharsetReader = asItIs
	for {
		t, err := d.Token()
		if err != nil {
			return xml.StartElement{}, nil // then it is none of these
		}
		if start, ok := t.(xml.StartElement); ok {
			return start.Copy(), nil
		}
	}
}

// asItIs lets the root of a file be seen whatever its encoding is.
func asItIs(_ string, r io.Reader) (io.Reader, error) { return r, nil }

// About implements importer.Source.
func (s *Source) About() report.Source {
	container := "filezilla-1"
	if s.old {
		container = "filezilla-0.9"
	}
	return report.Source{Product: Product, Version: s.version, Container: container, File: s.name}
}

// Close implements importer.Source.
func (s *Source) Close() error { return s.closer.Close() }

// Import implements importer.Source.
func (s *Source) Import(ctx context.Context, o importer.Options, to importer.Taker, r *report.Report) error {
	c, err := convert.New(Product, o, to, r)
	if err != nil {
		return err
	}
	if err := c.Nodes(nil); err != nil {
		return err
	}
	site, err := c.BeginSite(convert.OldSite{ID: Site, Title: Product})
	if err != nil {
		return err
	}
	r.Warn(report.Protocols, "the old server spoke FTP; its users log in by SFTP now, with the name and password that they had", "tell them the new address, the port and the fingerprints; take them in where FTP alone was meant")
	if err := site.HostKeys(nil); err != nil {
		return err
	}
	if err := site.Listen(sftpPort); err != nil {
		return err
	}
	i := &run{ctx: ctx, source: s, allowed: map[string][]string{}, site: site, accounts: site.Accounts(), r: r}
	for _, step := range []func() error{i.groups, i.users, i.accounts.End} {
		if err := step(); err != nil {
			return err
		}
	}
	c.Finish()
	return r.Balanced()
}

// run is one import.
type run struct {
	ctx      context.Context
	source   *Source
	site     *convert.Site
	accounts *convert.Accounts
	r        *report.Report
	// allowed are the addresses that members of a group may come from; of one that is not
	// there any.
	allowed map[string][]string
}

func (i *run) groups() error {
	if i.source.old {
		return each(i, []string{oldRoot, "Groups", "Group"}, func(g *oldAccount) error { return i.oldAccount(g, true) })
	}
	return each(i, []string{newRoot, "group"}, func(g *newAccount) error { return i.newAccount(g, true) })
}

func (i *run) users() error {
	if i.source.old {
		if err := i.rest(); err != nil {
			return err
		}
		return each(i, []string{oldRoot, "Users", "User"}, func(u *oldAccount) error { return i.oldAccount(u, false) })
	}
	return each(i, []string{newRoot, "user"}, func(u *newAccount) error { return i.newAccount(u, false) })
}

// rest counts the settings of the whole server: they are of FTP.
func (i *run) rest() error {
	return each(i, []string{oldRoot, "Settings", "Item"}, func(item *struct {
		Name string `xml:"name,attr"`
		Text string `xml:",chardata"`
	},
	) error {
		if strings.TrimSpace(item.Text) != "" {
			i.r.LeftOut("Settings."+short(item.Name), "it is a setting of FTP")
		}
		return nil
	})
}

func short(name string) string {
	if len(name) > 80 {
		name = name[:80]
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' {
			return '?'
		}
		return r
	}, name), "?")
}

// maxElement bounds the text of one account.
const maxElement = 4 << 20

// each reads the elements of a path, in all files, one at a time.
func each[T any](i *run, path []string, take func(*T) error) error {
	for _, e := range i.source.files {
		if err := eachOf(i.ctx, e, path, take); err != nil {
			return err
		}
	}
	return nil
}

func eachOf[T any](ctx context.Context, e *archive.Entry, path []string, take func(*T) error) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	in := &bounded{ctx: ctx, r: r, left: maxElement}
	d := xml.NewDecoder(in)
	var at []string
	for {
		in.left = maxElement
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return damaged(e, err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			at = append(at, t.Name.Local)
			if !same(at, path) {
				if len(at) > maxDepth {
					return fmt.Errorf("%w: %s has more than %d levels", archive.ErrHostile, e.Name, maxDepth)
				}
				continue
			}
			at = at[:len(at)-1]
			v := new(T)
			if err := d.DecodeElement(v, &t); err != nil {
				return damaged(e, err)
			}
			if err := take(v); err != nil {
				return err
			}
		case xml.EndElement:
			if len(at) > 0 {
				at = at[:len(at)-1]
			}
		}
	}
}

// maxDepth bounds elements within each other.
const maxDepth = 64

func same(at, path []string) bool {
	if len(at) != len(path) {
		return false
	}
	for i := range at {
		if !strings.EqualFold(at[i], path[i]) {
			return false
		}
	}
	return true
}

func damaged(e *archive.Entry, err error) error {
	if errors.Is(err, archive.ErrHostile) || errors.Is(err, archive.ErrDamaged) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if strings.Contains(err.Error(), "encoding") {
		return fmt.Errorf("%w: %s is not text in UTF-8; save it as UTF-8", archive.ErrDamaged, e.Name)
	}
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w: %s, line %d: it is not sound XML", archive.ErrDamaged, e.Name, syntax.Line)
	}
	return fmt.Errorf("%w: %s: it is not sound XML", archive.ErrDamaged, e.Name)
}

// bounded ends an element that has no end.
type bounded struct {
	ctx  context.Context
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("%w: one account has more than %d bytes", archive.ErrHostile, maxElement)
	}
	return n, err
}
