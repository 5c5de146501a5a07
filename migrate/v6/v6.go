// Package v6 imports backups of version 6, and gets one from a server of version 6 that
// runs.
//
// Objects are read as the public reference of the version 6 interface describes them; how
// the backup packs them is not public, so docs/formats.md says exactly what is read here
// and on what assumption. Everything that version 6 has and this product does not serve is
// kept without a use; only encrypted VFSs, with who uses them, and insecure host keys are
// lost. Names of values that nobody published are compared without signs and case, and
// what is not known is told.
package v6

import (
	"cmp"
	"context"
	"fmt"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/collection"
	"ss-setup/migrate/container"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/document"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// Product is the name of the product, Last the last release of its line.
const (
	Product = "Syncplify Server!"
	Last    = "6.2.60"
)

// The collections.
const (
	version     = "version"
	superAdmins = "superadmins"
	vsites      = "vsites"
	nodes       = "nodes"
	global      = "globalconfig"
	license     = "license"
	nodeCerts   = "nodecerts"
	nodeCSRs    = "nodecsr"
	transient   = "transient"

	srvConfig = "srvconfig"
	admins    = "admins"
	users     = "users"
	vfss      = "vfs"
	hostKeys  = "sshhostkeys"
	certs     = "certs"
	csrs      = "csr"
	ldaps     = "ldapconfig"
	scripts   = "scripts"
	blocklist = "blocklist"
	saml      = "saml"
)

var schema = container.Schema{
	Server: map[string]string{
		"version": version, "versioninfo": version, "manifest": version, "info": version,
		"superadmin": superAdmins, "superadmins": superAdmins,
		"vsite": vsites, "vsites": vsites, "virtualsite": vsites, "virtualsites": vsites, "sites": vsites,
		"node": nodes, "nodes": nodes, "hanode": nodes, "hanodes": nodes,
		"globalconfig": global, "globalconf": global, "globalconfigs": global,
		"license": license, "licenses": license, "maintenance": license,
		"nodecert": nodeCerts, "nodecerts": nodeCerts, "nodecertificates": nodeCerts,
		"nodecsr": nodeCSRs, "nodecsrs": nodeCSRs,
		"notification": transient, "notifications": transient, "stats": transient, "sessions": transient,
	},
	Site: map[string]string{
		"srvconfig": srvConfig, "srvconfigs": srvConfig, "vsiteconfig": srvConfig, "siteconfig": srvConfig,
		"adm": admins, "admin": admins, "admins": admins,
		"user": users, "users": users,
		"vfs": vfss, "vfss": vfss, "virtualfilesystem": vfss, "virtualfilesystems": vfss,
		"sshhostkey": hostKeys, "sshhostkeys": hostKeys, "hostkey": hostKeys, "hostkeys": hostKeys,
		"cert": certs, "certs": certs, "certificates": certs, "tlscertificates": certs,
		"csr": csrs, "csrs": csrs,
		"ldap": ldaps, "ldapconfig": ldaps, "ldapconfigs": ldaps,
		"script": scripts, "scripts": scripts,
		"blocklist": blocklist, "blocklists": blocklist, "blocklistitems": blocklist,
		"saml": saml, "samls": saml,
		"notification": transient, "notifications": transient, "stats": transient, "sessions": transient,
	},
	Sites:   []string{"sites", "vsites", "virtualsites"},
	Ignored: []string{"readme"},
	Past:    []string{transient},
}

// Source is an opened backup of version 6.
type Source struct {
	file    *archive.File
	set     *container.Set
	version string
}

// Open recognises a backup of version 6. archive.ErrNotBackup says that it is another
// product's, or nobody's.
func Open(ctx context.Context, f *archive.File) (*Source, error) {
	set, err := container.Index(ctx, f, schema)
	if err != nil {
		return nil, err
	}
	s := &Source{file: f, set: set}
	if err := s.readVersion(ctx); err != nil {
		return nil, err
	}
	if major, ok := archive.Major(s.version); ok && major != 6 {
		return nil, &archive.VersionError{Version: s.version}
	}
	// What only this version has.
	if !set.Has(vsites) && !set.Has(srvConfig) && !set.Has(global) && (s.version == "" || set.Empty()) {
		return nil, fmt.Errorf("%w: it has nothing of version 6", archive.ErrNotBackup)
	}
	return s, nil
}

func (s *Source) readVersion(ctx context.Context) error {
	err := s.set.Each(ctx, container.Key{Name: version}, nil, func(doc *document.Value) error {
		if v := doc.Get("version").Str(); s.version == "" && len(v) <= 64 {
			s.version = v
		}
		return nil
	})
	return err
}

// About implements importer.Source.
func (s *Source) About() report.Source {
	return report.Source{Product: Product, Version: s.version, Container: "v6-" + s.set.Adapter, File: s.file.Name}
}

// Close implements importer.Source.
func (s *Source) Close() error { return s.file.Close() }

// Import implements importer.Source.
func (s *Source) Import(ctx context.Context, o importer.Options, to importer.Taker, r *report.Report) error {
	c, err := convert.New(s.version, o, to, r)
	if err != nil {
		return err
	}
	c.CheckRelease(Product, s.version, Last)
	c.Assume("quotas are bytes, speeds kilobits a second, the life of sessions minutes, and times without a zone UTC")
	i := &run{Reader: collection.Reader{Set: s.set, Conversion: c, Report: r, KindOf: kindOf}, ctx: ctx, c: c, r: r, rights: map[string][]model.Permission{}}
	for _, name := range s.set.Strange {
		c.Strange(name)
	}
	for _, step := range []func() error{i.version, i.nodes, i.superAdmins, i.sites, i.globals, i.others} {
		if err := step(); err != nil {
			return err
		}
	}
	c.Finish()
	return r.Balanced()
}

// kindOf is what the documents of a collection are in the report.
func kindOf(name string) report.Kind {
	kinds := map[string]report.Kind{
		superAdmins: report.SuperAdmin, vsites: report.Site, nodes: report.Node, global: report.Settings, license: report.License,
		nodeCerts: report.Certificate, srvConfig: report.Settings, admins: report.Admin, users: report.User, vfss: report.VFS,
		hostKeys: report.HostKey, certs: report.Certificate, ldaps: report.LDAP, scripts: report.Script, blocklist: report.ListEntry,
	}
	return cmp.Or(kinds[name], report.Other)
}

// run is one import.
type run struct {
	collection.Reader
	ctx context.Context
	c   *convert.Conversion
	r   *report.Report

	admins []convert.Admin
	// rights are what lists of permissions mean of which every word is known: most users have
	// one of a few.
	rights map[string][]model.Permission
}

// maxRights bounds how many lists of permissions are remembered.
const maxRights = 1000

func (i *run) version() error {
	return i.Each(i.ctx, "", version, func(doc *document.Value) error {
		i.Leave(doc, version, "it is told above", "version", "name", "buildDate")
		return nil
	})
}

func (i *run) nodes() error {
	var list []convert.Node
	err := i.Each(i.ctx, "", nodes, func(doc *document.Value) error {
		n := convert.Node{ID: identity(doc), Description: doc.Get("description").Str()}
		if err := i.c.Hold(len(doc.Raw())); err != nil {
			return err
		}
		n.Raw = fmt.Sprintf(`{"id":%s,"description":%s}`, doc.Get("id", "_id").Raw(), doc.Get("description").Raw())
		list = append(list, n)
		i.Leave(doc, nodes, "nodes make keys of their own here", "privateKey", "publicKey")
		return nil
	})
	if err != nil {
		return err
	}
	return i.c.Nodes(list)
}

func (i *run) superAdmins() error {
	var list []convert.Admin
	err := i.Each(i.ctx, "", superAdmins, func(doc *document.Value) error {
		list = append(list, i.admin(doc, superAdmins))
		return nil
	})
	if err != nil {
		return err
	}
	return i.c.SuperAdmins(list)
}

func (i *run) admin(doc *document.Value, path string) convert.Admin {
	a := convert.Admin{
		Name: identity(doc), Email: doc.Get("email").Str(), Password: password(doc.Get("password")),
		TOTP: authenticator(doc),
	}
	a.Disabled, a.Status = collection.Status(doc.Get("status"))
	a.Until = collection.Date(doc, "autoDisable", "autoDisableDate")
	for item := range doc.Get("allowList").Items() {
		a.Allow = append(a.Allow, network(item))
	}
	i.Leave(doc, path, "pictures are not kept", "picture")
	i.Leave(doc, path, "it concerns the old pages only", "tourTaken")
	i.Leave(doc, path, "notices by mail are not sent here", "receiveEmailNotifications")
	return a
}

func (i *run) globals() error {
	return i.Each(i.ctx, "", global, func(doc *document.Value) error {
		m := mail(doc.Get("smtpConf"))
		m.SessionMinutes, _ = doc.Get("jwtLifeSpan").Int()
		if err := i.c.Settings(m); err != nil {
			return err
		}
		identity(doc)
		for _, name := range []string{"logConf", "securityConf", "corsConf"} {
			if v := doc.Get(name); v != nil && !v.Empty() {
				v.Skip()
				if err := i.c.Keep(report.Settings, "global-config", name, v.Raw(), report.OtherSettings, "it has no place here", ""); err != nil {
					return err
				}
			}
		}
		i.Leave(doc, global, "sessions are renewed by their use here", "jwtAutoRefresh", "jwtAutoRefreshMaxTimes")
		return nil
	})
}

func (i *run) others() error {
	err := i.Each(i.ctx, "", nodeCerts, func(doc *document.Value) error {
		inner := doc
		id := identity(doc)
		if doc.Has("certificate") {
			inner = doc.Get("certificate")
		}
		old := i.certificate(inner, nodeCerts)
		if old.ID == "" || inner != doc {
			old.ID = id
		}
		return i.c.Certificate(old)
	})
	if err != nil {
		return err
	}
	err = i.Each(i.ctx, "", nodeCSRs, func(doc *document.Value) error {
		doc.Skip()
		return i.c.Keep(report.Other, "csr", identity(doc), doc.Raw(), report.OtherSettings, "it is a request for a certificate that was not answered", "ask anew")
	})
	if err != nil {
		return err
	}
	err = i.Each(i.ctx, "", license, func(doc *document.Value) error {
		doc.Skip()
		i.c.Drop(report.License, "", doc.Get("type").Str(), report.Licenses, "a license of version 6 is not valid for version 7", "activate one of version 7; with a maintenance plan it costs nothing")
		return nil
	})
	if err != nil {
		return err
	}
	for _, site := range append(i.Set.Sites(), "") {
		n := 0
		err := i.Each(i.ctx, site, transient, func(doc *document.Value) error {
			n++
			doc.Skip()
			return nil
		})
		if err != nil {
			return err
		}
		i.r.DropAll(report.Other, site, "notices and counts", n, report.OtherSettings, "it is of the past, and not of the configuration", "")
	}
	return i.c.Admins(i.admins)
}

// rights are the kinds of objects of one word of version 6.
func rights(word string) []model.Kind {
	switch convert.Bare(word) {
	case "user", "users", "group", "groups", "pubkeys":
		return []model.Kind{model.KindUser, model.KindGroup}
	case "vfs", "vfss":
		return []model.Kind{model.KindVFS}
	case "sshhostkeys", "sshhostkey", "hostkeys":
		return []model.Kind{model.KindHostKey}
	case "certs", "certificates", "csr", "tlscertificates":
		return []model.Kind{model.KindCertificate}
	case "blocklist", "lists", "safelist", "allowlist":
		return []model.Kind{model.KindEntry}
	case "ldap", "ldapconfig":
		return []model.Kind{model.KindLDAP}
	case "scripts", "script", "eventhandlers":
		return []model.Kind{model.KindLegacy}
	case "srvconfig", "config", "vsiteconfig", "bindings":
		return []model.Kind{model.KindSite, model.KindBinding}
	case "all", "everything":
		full := model.FullRights()
		return append(full.View, model.KindSite)
	}
	return nil
}
