// Package sftpgo imports dumps of SFTPGo: the JSON that its interface writes as a backup
// of users, groups, virtual folders and admins.
//
// A dump has no host keys and no bindings. They come along if the dump lies in a folder or
// archive with the files beside it: sftpgo.json and the keys that it names. Secrets that
// SFTPGo sealed cannot be read here.
package sftpgo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/container"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/document"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// Product is the name of the product.
const Product = "SFTPGo"

// The collections of a dump.
const (
	users     = "users"
	groups    = "groups"
	folders   = "folders"
	admins    = "admins"
	ipLists   = "ip_lists"
	configs   = "configs"
	apiKeys   = "api_keys"
	shares    = "shares"
	roles     = "roles"
	actions   = "event_actions"
	rules     = "event_rules"
	dumpStamp = "version"
)

var schema = container.Schema{Server: map[string]string{
	"users": users, "groups": groups, "folders": folders, "admins": admins, "iplists": ipLists, "configs": configs,
	"apikeys": apiKeys, "shares": shares, "roles": roles, "eventactions": actions, "eventrules": rules, "version": dumpStamp,
}}

// Site is the name of the one site that a dump becomes.
const Site = "default"

// sftpPort is where it is served if nothing says where: 22 is mostly taken.
const sftpPort = 2222

// Source is an opened dump.
type Source struct {
	file    *archive.File
	set     *container.Set
	version string
	config  *archive.Entry
	keys    []*archive.Entry
}

// maxLooked bounds the files of a folder that are looked at for a dump.
const maxLooked = 64

// Open recognises a dump, by itself or among other files. archive.ErrNotBackup says that
// there is none.
func Open(ctx context.Context, f *archive.File) (*Source, error) {
	if f.Text {
		return nil, fmt.Errorf("%w: it is not JSON", archive.ErrNotBackup)
	}
	s := &Source{file: f}
	var dump *archive.Entry
	looked := 0
	for _, e := range f.Entries {
		intro, err := e.Intro(64)
		if err != nil {
			return nil, err
		}
		switch {
		case bytes.HasPrefix(intro, []byte("-----BEGIN ")) && f.Zip:
			s.keys = append(s.keys, e)
		case f.Zip && path.Base(e.Name) == "sftpgo.json":
			s.config = e
		case dump == nil && looked < maxLooked && (!f.Zip || e.Ext() == ".json"):
			looked++
			version, ok, err := isDump(ctx, e)
			if err != nil {
				return nil, err
			}
			if ok {
				dump, s.version = e, version
			}
		}
	}
	if dump == nil {
		return nil, fmt.Errorf("%w: it has no dump of SFTPGo", archive.ErrNotBackup)
	}
	set, err := container.Index(ctx, &archive.File{Name: f.Name, Entries: []*archive.Entry{dump}}, schema)
	s.set = set
	return s, err
}

// isDump tells a dump by what only one has: a number for a version, beside users or
// folders with fields of their own.
func isDump(ctx context.Context, e *archive.Entry) (version string, ok bool, err error) {
	r, err := e.Open()
	if err != nil {
		return "", false, err
	}
	known, foreign := 0, 0
	at := func(p []string, kind document.Kind) document.Step {
		switch {
		case ctx.Err() != nil:
			return document.Pass
		case len(p) == 0 && kind == document.Map:
			return document.Descend
		case len(p) == 1 && p[0] == dumpStamp && kind == document.Number:
			return document.Take
		case len(p) == 1 && schema.Server[strings.ReplaceAll(p[0], "_", "")] == p[0]:
			known++
		case len(p) == 1:
			foreign++
		}
		return document.Pass
	}
	err = document.Walk(r, at, func(_ []string, text []byte) error {
		version = string(text)
		return nil
	})
	closed := r.Close()
	_, number := strconv.Atoi(version)
	switch {
	case ctx.Err() != nil:
		return "", false, ctx.Err()
	case errors.Is(err, document.ErrSyntax):
		return "", false, closed // what is broken is another's to tell
	case err != nil:
		return "", false, errors.Join(err, closed)
	}
	return version, number == nil && known > 0 && foreign <= known, closed
}

// About implements importer.Source.
func (s *Source) About() report.Source {
	return report.Source{Product: Product, Container: "sftpgo-dump-" + s.version, File: s.file.Name}
}

// Close implements importer.Source.
func (s *Source) Close() error { return s.file.Close() }

// Import implements importer.Source.
func (s *Source) Import(ctx context.Context, o importer.Options, to importer.Taker, r *report.Report) error {
	c, err := convert.New(Product, o, to, r)
	if err != nil {
		return err
	}
	i := &run{ctx: ctx, source: s, c: c, r: r, groups: map[string]*group{}}
	for _, name := range s.set.Strange {
		c.Strange(name)
	}
	if err := c.Nodes(nil); err != nil {
		return err
	}
	for _, step := range []func() error{i.begin, i.hostKeys, i.bindings, i.folders, i.groupList, i.users, func() error { return i.accounts.End() }, i.lists, i.admins, i.others} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := i.settings(); err != nil {
		return err
	}
	c.Finish()
	return r.Balanced()
}

// run is one import.
type run struct {
	ctx      context.Context
	source   *Source
	c        *convert.Conversion
	r        *report.Report
	site     *convert.Site
	accounts *convert.Accounts
	groups   map[string]*group
	mail     convert.Mail
}

// each hands over the documents of a collection, and tells what nobody asked for.
func (i *run) each(name string, take func(doc *document.Value) error) error {
	return i.source.set.Each(i.ctx, container.Key{Name: name}, nil, func(doc *document.Value) error {
		if doc == nil {
			i.c.Drop(report.Other, "", name, report.NotUnderstood, "it is no object", "")
			return nil
		}
		if err := take(doc); err != nil {
			return err
		}
		doc.Unused(name, i.r.Unknown)
		return nil
	})
}

// leave counts fields that have no place here and that say something.
func (i *run) leave(doc *document.Value, at, why string, names ...string) {
	for _, name := range names {
		v := doc.Get(name)
		if v != nil && !v.Empty() && v.Raw() != "0" && v.Raw() != "false" {
			i.r.LeftOut(at+"."+name, why)
		}
		v.Skip()
	}
}

// begin makes the site, with the algorithms that the dump may have.
func (i *run) begin() error {
	old := convert.OldSite{ID: Site, Title: Product}
	err := i.each(configs, func(doc *document.Value) error {
		sftpd := doc.Get("sftpd")
		old.KeyExchanges, old.Ciphers, old.MACs = texts(sftpd.Get("kex_algorithms")), texts(sftpd.Get("ciphers")), texts(sftpd.Get("macs"))
		i.leave(sftpd, configs+".sftpd", "keys are audited here", "host_key_algos", "public_key_algos")
		i.mail = mail(doc.Get("smtp"))
		i.leave(doc, configs, "certificates of an authority are asked for anew here", "acme")
		i.leave(doc, configs, "pages have one look here", "branding")
		i.leave(doc, configs, "it is the state of a moment", "updated_at")
		return nil
	})
	if err != nil {
		return err
	}
	if i.site, err = i.c.BeginSite(old); err != nil {
		return err
	}
	i.accounts = i.site.Accounts()
	return nil
}

func texts(list *document.Value) (out []string) {
	for v := range list.Items() {
		out = append(out, v.Str())
	}
	return out
}

// Encryptions of mail.
const (
	mailTLS      = 1
	mailStartTLS = 2
)

func mail(doc *document.Value) convert.Mail {
	m := convert.Mail{Host: doc.Get("host").Str(), User: doc.Get("user").Str(), From: doc.Get("from").Str(), Password: secret(doc.Get("password"))}
	m.Port, _ = doc.Get("port").Int()
	n, _ := doc.Get("encryption").Int()
	m.TLS, m.StartTLS = n == mailTLS, n == mailStartTLS
	for _, name := range []string{"auth_type", "domain", "debug", "oauth2"} {
		doc.Get(name).Skip()
	}
	return m
}

func (i *run) settings() error {
	if i.mail.Host == "" {
		return nil
	}
	return i.c.Settings(i.mail)
}

// secret reads a sealed field: only one in the clear is of use.
func secret(doc *document.Value) convert.Secret {
	if doc.Kind() == document.String {
		return convert.Secret{Text: doc.Str()}
	}
	text := doc.Get("payload").Str()
	for _, name := range []string{"key", "additional_data", "mode"} {
		doc.Get(name).Skip()
	}
	if strings.EqualFold(doc.Get("status").Str(), "plain") {
		return convert.Secret{Text: text}
	}
	return convert.Secret{Sealed: text != ""}
}

// maxKey bounds the file of a host key.
const maxKey = 64 << 10

// hostKeys are the files that lie beside the dump.
func (i *run) hostKeys() error {
	var list []convert.HostKey
	for _, e := range i.source.keys {
		text, err := e.ReadAll(maxKey)
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte("PRIVATE KEY-----")) {
			list = append(list, convert.HostKey{ID: e.Name, Name: path.Base(e.Name), Text: string(text)})
		}
	}
	if len(list) == 0 {
		i.r.Warn(report.HostKeys, "a dump has no host keys, so clients will see new ones", "put the dump into a folder with the key files of SFTPGo (id_rsa, id_ecdsa, id_ed25519) and import the folder")
	}
	return i.site.HostKeys(list)
}

// bindings are those of sftpgo.json, if it lies beside the dump.
func (i *run) bindings() error {
	if i.source.config == nil {
		return i.site.Listen(sftpPort)
	}
	found := 0
	r, err := i.source.config.Open()
	if err != nil {
		return err
	}
	at := func(p []string, kind document.Kind) document.Step {
		switch {
		case len(p) == 0, len(p) == 1 && p[0] == "sftpd" && kind == document.Map:
			return document.Descend
		case len(p) == 2 && p[1] == "bindings" && kind == document.List:
			return document.Descend
		case len(p) == 2 && p[1] == "bindings":
			return document.Take
		}
		return document.Pass
	}
	err = document.Walk(io.LimitReader(r, document.MaxDocument), at, func(_ []string, text []byte) error {
		doc, err := new(document.Parser).Parse(text)
		if err != nil {
			return err
		}
		b := convert.Binding{Service: "SFTP", SFTP: true, Address: doc.Get("address").Str(), Raw: doc.Raw()}
		if b.Port, _ = doc.Get("port").Int(); b.Port == 0 {
			return nil // switched off
		}
		found++
		return i.site.Binding(b)
	})
	if errors.Is(err, document.ErrSyntax) {
		err = fmt.Errorf("%w: %s: %w", archive.ErrDamaged, i.source.config.Name, err)
	}
	if err = errors.Join(err, r.Close()); err != nil || found > 0 {
		return err
	}
	return i.site.Listen(sftpPort)
}

// Kinds of address lists, and what an entry of one says.
const (
	listAllow    = 1
	listDefender = 2
	modeDeny     = 2
	protocolSSH  = 1
)

func (i *run) lists() error {
	return i.each(ipLists, func(doc *document.Value) error {
		kind, _ := doc.Get("type").Int()
		mode, _ := doc.Get("mode").Int()
		protocols, _ := doc.Get("protocols").Int()
		network := doc.Get("ipornet").Str()
		e := convert.ListEntry{Network: network, Notes: doc.Get("description").Str(), List: model.ListSafe}
		if mode == modeDeny {
			e.List = model.ListBlock
		}
		i.leave(doc, ipLists, "it is the state of a moment", "created_at", "updated_at")
		switch {
		case protocols != 0 && protocols&protocolSSH == 0:
			i.site.Drop(report.ListEntry, network, report.Protocols, "it is of protocols that are not served here", "")
		case kind == listDefender:
			return i.site.Entry(e)
		case kind == listAllow && mode != modeDeny:
			i.site.Drop(report.ListEntry, network, report.Lists, "it stood on the allow list, and a dump does not say whether that was in force; here it would lock everybody else out", "write the allow list of the site if it was in force")
		case kind == listAllow:
			return i.site.Entry(e)
		default:
			i.site.Drop(report.ListEntry, network, report.Lists, "it is of a list that is not here", "")
		}
		return nil
	})
}

// others are objects that have no counterpart here.
func (i *run) others() error {
	for _, o := range []struct {
		name     string
		kind     report.Kind
		rule     report.Rule
		why      string
		nameKeys []string
	}{
		{actions, report.Script, report.Scripts, "actions on events are not run here", []string{"name"}},
		{rules, report.Handler, report.Scripts, "rules for events are not run here", []string{"name"}},
		{shares, report.Other, report.OtherSettings, "links to share files are not here", []string{"name", "id"}},
		{apiKeys, report.Other, report.OtherSettings, "keys of the interface are not taken over: make tokens", []string{"name", "id"}},
		{roles, report.Other, report.Rights, "there are no roles of Admins here", []string{"name"}},
	} {
		err := i.each(o.name, func(doc *document.Value) error {
			name := ""
			for _, key := range o.nameKeys {
				if name == "" {
					name = doc.Get(key).Str()
				}
			}
			doc.Skip()
			i.c.Drop(o.kind, "", name, o.rule, o.why, "")
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
