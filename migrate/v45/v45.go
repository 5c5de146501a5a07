// Package v45 imports backups of versions 4 and 5.
//
// What users, Admins, VFSs and host keys look like was published as the reference of the
// old REST interface; the rest of the format, and how a backup packs it, was not, so
// docs/formats.md says exactly what is read here and on what assumption. Windows accounts,
// scripts, encrypted VFSs with who uses them, and insecure host keys do not come along.
package v45

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/collection"
	"ss-setup/migrate/container"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/document"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// Product is the name that the product had, Last5 the last release of version 5. That of
// version 4 is not known.
const (
	Product = "Syncplify.me Server!"
	Last5   = "5.1.30"
)

// The collections.
const (
	version     = "version"
	servers     = "vservers"
	superAdmins = "superadmins"
	license     = "license"
	transient   = "transient"

	conf      = "conf"
	users     = "users"
	vfss      = "vfs"
	admins    = "admins"
	nodes     = "nodes"
	hostKeys  = "serverkeys"
	certs     = "certificates"
	ldaps     = "ldap"
	scripts   = "scripts"
	blacklist = "blacklist"
	whitelist = "whitelist"
	safelist  = "safelist"
)

var schema = container.Schema{
	Server: map[string]string{
		"version": version, "info": version, "manifest": version, "about": version,
		"vserver": servers, "vservers": servers, "virtualserver": servers, "virtualservers": servers,
		"superadmin": superAdmins, "superadmins": superAdmins,
		"license": license, "licenses": license,
	},
	Site: map[string]string{
		"conf": conf, "config": conf, "configuration": conf, "srvconf": conf, "serverconf": conf,
		"user": users, "users": users, "vfs": vfss, "vfss": vfss, "vfsitems": vfss,
		"admin": admins, "admins": admins, "node": nodes, "nodes": nodes,
		"serverkey": hostKeys, "serverkeys": hostKeys, "sshserverkeys": hostKeys, "sshkeys": hostKeys, "hostkeys": hostKeys,
		"cert": certs, "certs": certs, "certificate": certs, "certificates": certs, "x509servercerts": certs,
		"ldap": ldaps, "ldapservers": ldaps, "ldapconfig": ldaps, "activedirectory": ldaps,
		"script": scripts, "scripts": scripts,
		"blacklist": blacklist, "blacklists": blacklist, "whitelist": whitelist, "whitelists": whitelist, "safelist": safelist, "safelists": safelist,
		"session": transient, "sessions": transient, "stats": transient, "log": transient, "logs": transient, "audit": transient,
	},
	Sites:   []string{"vservers", "virtualservers"},
	Ignored: []string{"readme", "prelude", "systemindexes"},
	Past:    []string{transient},
}

// Source is an opened backup of version 4 or 5.
type Source struct {
	file    *archive.File
	set     *container.Set
	version string
}

// Open recognises a backup of version 4 or 5. archive.ErrNotBackup says that it is
// another product's, or nobody's; archive.ErrTooOld that it is of versions 1 to 3.
func Open(ctx context.Context, f *archive.File) (*Source, error) {
	set, err := container.Index(ctx, f, schema)
	if err != nil {
		return nil, err
	}
	s := &Source{file: f, set: set}
	err = set.Each(ctx, container.Key{Name: version}, nil, func(doc *document.Value) error {
		if v := doc.Get("Version", "ProductVersion").Str(); s.version == "" && len(v) <= 64 {
			s.version = v
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if major, ok := archive.Major(s.version); ok && major != 4 && major != 5 {
		return nil, &archive.VersionError{Version: s.version}
	}
	// What only these versions have.
	if !set.Has(servers) && !set.Has(conf) && !set.Has(blacklist) && !set.Has(users) && !set.Has(vfss) {
		return nil, fmt.Errorf("%w: it has nothing of versions 4 and 5", archive.ErrNotBackup)
	}
	return s, nil
}

// About implements importer.Source.
func (s *Source) About() report.Source {
	return report.Source{Product: Product, Version: s.version, Container: "v45-" + s.set.Adapter, File: s.file.Name}
}

// Close implements importer.Source.
func (s *Source) Close() error { return s.file.Close() }

// Import implements importer.Source.
func (s *Source) Import(ctx context.Context, o importer.Options, to importer.Taker, r *report.Report) error {
	c, err := convert.New(s.version, o, to, r)
	if err != nil {
		return err
	}
	last := Last5
	if major, _ := archive.Major(s.version); major == 4 {
		last = ""
	}
	c.CheckRelease(Product, s.version, last)
	c.Assume("quotas are bytes, speeds kilobytes a second, and times without a zone UTC")
	i := &run{Reader: collection.Reader{Set: s.set, Conversion: c, Report: r, KindOf: kindOf}, ctx: ctx, c: c, r: r}
	for _, name := range s.set.Strange {
		c.Strange(name)
	}
	for _, step := range []func() error{i.version, i.allNodes, i.superAdmins, i.sites, i.others} {
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
		servers: report.Site, superAdmins: report.SuperAdmin, license: report.License, conf: report.Settings, users: report.User,
		vfss: report.VFS, admins: report.Admin, nodes: report.Node, hostKeys: report.HostKey, certs: report.Certificate,
		ldaps: report.LDAP, scripts: report.Script, blacklist: report.ListEntry, whitelist: report.ListEntry, safelist: report.ListEntry,
	}
	return cmp.Or(kinds[name], report.Other)
}

// run is one import.
type run struct {
	collection.Reader
	ctx context.Context
	c   *convert.Conversion
	r   *report.Report

	machines map[string]bool
	admins   []convert.Admin
}

func (i *run) version() error {
	return i.Each(i.ctx, "", version, func(doc *document.Value) error {
		i.Leave(doc, version, "it is told above", "Version", "ProductVersion", "Product", "Name", "BuildDate", "Date")
		return nil
	})
}

// allNodes are the machines that the sites name. One machine may serve several.
func (i *run) allNodes() error {
	var list []convert.Node
	i.machines = map[string]bool{}
	for _, site := range append(i.Set.Sites(), "") {
		err := i.Set.Each(i.ctx, container.Key{Site: site, Name: nodes}, nil, func(doc *document.Value) error {
			n := convert.Node{ID: nodeID(doc), Description: doc.Get("Description", "HostName").Str(), Raw: doc.Raw()}
			if n.ID != "" && !i.machines[n.ID] {
				i.machines[n.ID] = true
				list = append(list, n)
			}
			return i.c.Hold(len(doc.Raw()))
		})
		if err != nil {
			return err
		}
	}
	return i.c.Nodes(list)
}

func nodeID(doc *document.Value) string {
	return first(doc, "NodeID", "MachineID", "_id", "id", "HostName")
}

func (i *run) superAdmins() error {
	var list []convert.Admin
	err := i.Each(i.ctx, "", superAdmins, func(doc *document.Value) error {
		list = append(list, i.admin(doc))
		i.Leave(doc, superAdmins, "SuperAdmins have one role", "AdminRole")
		return nil
	})
	if err != nil {
		return err
	}
	return i.c.SuperAdmins(list)
}

func (i *run) admin(doc *document.Value) convert.Admin {
	a := convert.Admin{Name: doc.Get("Username").Str(), Email: doc.Get("Email").Str(), Password: password(doc)}
	doc.Get("_id").Skip()
	a.Disabled, a.Status = collection.Status(doc.Get("AccountStatus"))
	a.Until = collection.Date(doc, "AutoDisable", "AutoDisableWhen")
	for n := range doc.Get("AllowedIPs").Items() {
		a.Allow = append(a.Allow, network(n))
	}
	return a
}

func (i *run) others() error {
	err := i.Each(i.ctx, "", license, func(doc *document.Value) error {
		doc.Skip()
		i.c.Drop(report.License, "", "", report.Licenses, "a license of version 4 or 5 is not valid for version 7", "ask for one of version 7; with a maintenance plan it costs nothing")
		return nil
	})
	if err != nil {
		return err
	}
	return i.c.Admins(i.admins)
}

// roleRights are what the three roles may do.
func roleRights(role string) (model.Rights, bool) {
	full := model.FullRights()
	full.View, full.Edit = append(full.View, model.KindSite), append(full.Edit, model.KindSite)
	switch convert.Bare(role) {
	case "admin", "administrator":
		return full, true
	case "viewonly", "readonly":
		return model.Rights{View: full.View}, true
	case "dashboardonly", "dashboard":
		return model.Rights{View: []model.Kind{model.KindSite, model.KindBinding}}, true
	}
	return model.Rights{}, false
}

// siteNames are the virtual servers: those that are listed, and those that something
// lies in.
func (i *run) siteNames() (list []*serverParts, err error) {
	known := map[string]*serverParts{}
	byID := func(id string) *serverParts {
		s, ok := known[model.Fold(id)]
		if !ok {
			s = &serverParts{id: id, old: convert.OldSite{ID: plainName(id)}}
			known[model.Fold(id)], list = s, append(list, s)
		}
		return s
	}
	seen := map[string]bool{}
	err = i.Each(i.ctx, "", servers, func(doc *document.Value) error {
		id := first(doc, "Name", "VServer", "VirtualServer", "_id", "id")
		doc.Get("_id").Skip()
		if seen[model.Fold(id)] {
			doc.Skip()
			i.c.Drop(report.Site, "", id, report.Duplicates, "there is another virtual server of this name", "")
			return nil
		}
		seen[model.Fold(id)] = true
		s := byID(id)
		s.old.Title = doc.Get("Description", "Title").Str()
		if doc.Has("AutoStart") {
			yes, ok := doc.Get("AutoStart").True()
			s.old.Manual = ok && !yes
		}
		if len(list) > container.MaxSites {
			return fmt.Errorf("%w: it has more than %d sites", archive.ErrHostile, container.MaxSites)
		}
		return i.c.Hold(len(doc.Raw()))
	})
	if err != nil {
		return nil, err
	}
	for _, folder := range i.Set.Sites() {
		at := slices.IndexFunc(list, func(s *serverParts) bool { return model.Fold(plainName(folder)) == model.Fold(plainName(s.id)) })
		if at < 0 {
			at = ofSlug(list, folder)
		}
		if at >= 0 {
			list[at].folders = append(list[at].folders, folder)
			continue
		}
		s := byID(folder)
		s.folders = append(s.folders, folder)
	}
	return list, i.homeless(&list, byID)
}

// ofSlug is the only server that a folder's name may mean by its title, or as it is in
// addresses; -1 if there is none.
func ofSlug(list []*serverParts, folder string) int {
	at := -1
	for n, s := range list {
		slug := convert.Slug(plainName(folder))
		if convert.Slug(plainName(s.id)) != slug && convert.Slug(s.old.Title) != slug {
			continue
		}
		if at >= 0 {
			return -1
		}
		at = n
	}
	return at
}

// plainName is a virtual server's name without what its database has before it.
func plainName(id string) string {
	for _, prefix := range []string{"smserver-", "smserver_", "sms-", "sms_"} {
		if len(id) > len(prefix) && strings.EqualFold(id[:len(prefix)], prefix) {
			return id[len(prefix):]
		}
	}
	return id
}

// homeless are collections that lie in no folder: they belong to the only site.
func (i *run) homeless(list *[]*serverParts, byID func(string) *serverParts) error {
	var names []string
	for _, name := range slices.Compact(slices.Sorted(maps.Values(schema.Site))) {
		found := false
		err := i.Set.Each(i.ctx, container.Key{Name: name}, func([]byte) bool { found = true; return false }, nil)
		if err != nil {
			return err
		}
		if found {
			names = append(names, name)
		}
	}
	if len(names) > 0 && len(*list) == 0 {
		byID("default")
	}
	if len(*list) == 1 {
		(*list)[0].folders = append((*list)[0].folders, "")
		return nil
	}
	for _, name := range names {
		err := i.Each(i.ctx, "", name, func(doc *document.Value) error {
			kind, label := kindOf(name), first(doc, "Username", "Name", "VFSName", "_id", "id")
			if name == users && isGroup(sortOf(doc.Get("UserType").Str())) {
				kind = report.Group
			}
			doc.Skip()
			i.c.Unplaced(kind, "", label, "it lies in no virtual server's folder, and nothing tells which one it belongs to")
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
