package v6

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/collection"
	"ss-setup/migrate/container"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/document"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// siteParts is what is gathered of a site before it is made.
type siteParts struct {
	id       string
	folders  []string // the site's names in the backup's collections
	old      convert.OldSite
	bindings []convert.Binding
	safe     []convert.Network
	kept     []keptPart
}

// keptPart is a part of the settings that has no use here.
type keptPart struct {
	sort, name, raw, what string
	handler               bool
}

func (i *run) sites() error {
	var all []*siteParts
	known := map[string]*siteParts{}
	byID := func(id string) *siteParts {
		s, ok := known[model.Fold(id)]
		if !ok {
			s = &siteParts{id: id, old: convert.OldSite{ID: id}}
			known[model.Fold(id)], all = s, append(all, s)
		}
		return s
	}
	doubles := map[string]bool{}
	err := i.Each(i.ctx, "", vsites, func(doc *document.Value) error {
		id := identity(doc)
		if doubles[model.Fold(id)] {
			doc.Skip()
			i.c.Drop(report.Site, "", id, report.Duplicates, "there is another site of this ID", "")
			return nil
		}
		doubles[model.Fold(id)] = true
		i.virtualSite(byID(id), doc)
		if err := tooManySites(len(all)); err != nil {
			return err
		}
		return i.c.Hold(len(doc.Raw()))
	})
	if err != nil {
		return err
	}
	listed := slices.Clone(all)
	for _, folder := range i.Set.Sites() {
		s := ofFolder(listed, folder)
		if s == nil {
			s = byID(folder)
		}
		s.folders = append(s.folders, folder)
	}
	if err := i.homeless(&all, byID); err != nil {
		return err
	}
	for _, s := range all {
		if err := i.site(s); err != nil {
			return fmt.Errorf("site %.80q: %w", s.id, err)
		}
	}
	return nil
}

// ofFolder is the site that a folder is called after: by its ID, else its name, else
// either as it is in addresses. It is nil if none is, or more than one.
func ofFolder(all []*siteParts, folder string) *siteParts {
	for _, same := range []func(s *siteParts) bool{
		func(s *siteParts) bool { return model.Fold(s.id) == model.Fold(folder) },
		func(s *siteParts) bool { return model.Fold(s.old.Title) == model.Fold(folder) },
		func(s *siteParts) bool {
			slug := convert.Slug(folder)
			return convert.Slug(s.id) == slug || convert.Slug(s.old.Title) == slug
		},
	} {
		var found []*siteParts
		for _, s := range all {
			if same(s) {
				found = append(found, s)
			}
		}
		if len(found) == 1 {
			return found[0]
		}
	}
	return nil
}

// tooManySites refuses a source with more sites than anybody has.
func tooManySites(n int) error {
	if n > container.MaxSites {
		return fmt.Errorf("%w: it has more than %d sites", archive.ErrHostile, container.MaxSites)
	}
	return nil
}

// homeless are collections of a site that lie in no folder: they belong to the only site.
func (i *run) homeless(all *[]*siteParts, byID func(string) *siteParts) error {
	var names []string
	for _, name := range slices.Compact(slices.Sorted(maps.Values(schema.Site))) {
		found := false
		if err := i.Set.Each(i.ctx, siteKey("", name), func([]byte) bool { found = true; return false }, nil); err != nil {
			return err
		}
		if found && name != transient {
			names = append(names, name)
		}
	}
	if len(names) > 0 && len(*all) == 0 {
		byID("default")
	}
	if len(*all) == 1 {
		(*all)[0].folders = append((*all)[0].folders, "")
		return nil
	}
	for _, name := range names {
		err := i.Each(i.ctx, "", name, func(doc *document.Value) error {
			kind, label := kindOf(name), first(doc, "id", "_id", "name")
			if name == users && isGroup(label) {
				kind = report.Group
			}
			doc.Skip()
			i.c.Unplaced(kind, "", label, "it lies in no site's folder, and nothing tells which site it belongs to")
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// virtualSite reads a VirtualSite.
func (i *run) virtualSite(s *siteParts, doc *document.Value) {
	s.old.Title = doc.Get("name").Str()
	if doc.Has("autoStart") {
		yes, ok := doc.Get("autoStart").True()
		s.old.Manual = ok && !yes
	}
	for node := range doc.Get("nodeBindings").Items() {
		id := node.Get("nodeId").Str()
		for b := range node.Get("bindings").Items() {
			s.bindings = append(s.bindings, i.binding(id, b))
		}
	}
	i.Leave(doc, vsites, "a site is always started anew here", "autoRestart")
	i.Leave(doc, vsites, "it is the state of a moment", "serviceStatus")
	i.Leave(doc, vsites, "pages have one look here", "adminUiLogo", "adminUiLogoType", "adminUiDisclaimer")
}

func (i *run) binding(node string, doc *document.Value) convert.Binding {
	b := convert.Binding{Node: node, Service: doc.Get("service").Str(), Address: doc.Get("ip").Str(), Raw: doc.Raw()}
	b.Port, _ = doc.Get("port").Int()
	proxy, ok := collection.Truth(doc.Get("behindHaProxy"))
	b.Proxy = proxy || !ok
	w := convert.Bare(b.Service)
	b.SFTP = strings.Contains(w, "ssh") || strings.Contains(w, "sftp")
	switch v := convert.Bare(doc.Get("ipVersion").Str()); {
	case strings.HasSuffix(v, "4") && !strings.Contains(v, "6"):
		b.Version = 4
	case strings.HasSuffix(v, "6") && !strings.Contains(v, "4"):
		b.Version = 6
	}
	if b.SFTP {
		i.Leave(doc, vsites+".bindings", "a site is reached by address and port here", "hostName")
	}
	for _, name := range []string{"hostName", "dataPort", "portRangeMin", "portRangeMax"} {
		doc.Get(name).Skip() // of FTP, which is kept
	}
	return b
}

// site makes a site and everything in it.
func (i *run) site(s *siteParts) error {
	in := &siteRun{run: i, folders: s.folders}
	err := in.each(srvConfig, func(doc *document.Value) error {
		i.srvConfig(s, doc)
		return i.c.Hold(len(doc.Raw()))
	})
	if err != nil {
		return err
	}
	if in.site, err = i.c.BeginSite(s.old); err != nil {
		return err
	}
	for _, step := range []func() error{
		in.hostKeys, in.certificates, func() error { return in.bindings(s) }, in.vfss, in.groups, in.ldap, in.users,
		func() error { return in.lists(s) }, in.keptObjects, func() error { return in.kept(s) }, in.siteAdmins,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// srvConfig reads a SrvConfig.
func (i *run) srvConfig(s *siteParts, doc *document.Value) {
	o := &s.old
	identity(doc)
	number := func(name string) int64 { n, _ := doc.Get(name).Int(); return n }
	bound := func(name string) convert.Bound { n, ok := doc.Get(name).Int(); return convert.Bound{N: n, Set: ok} }
	o.MaxConnections, o.MaxPerClient, o.MaxPerUser = bound("maxConn"), bound("maxConnPerClient"), bound("maxConnPerUser")
	o.IdleMinutes = bound("idleTimeoutMinutes")
	o.WindowMinutes, o.Threshold, o.BanMinutes, o.GrowPercent = number("protectorTimeWindowMin"), number("protectorErrThreshold"), number("protectorBanForMin"), number("protectorCompoundIncr")
	o.Level = doc.Get("protectorBehavior").Str()
	rule := doc.Get("passComplexity")
	minLength, _ := rule.Get("minLength").Int()
	o.Rule.MinLength = int(min(max(minLength, 0), 1000))
	o.Rule.Upper, _ = rule.Get("requireUpper").True()
	o.Rule.Lower, _ = rule.Get("requireLower").True()
	o.Rule.Digit, _ = rule.Get("requireNumber").True()
	o.Rule.Special, _ = rule.Get("requireSpecial").True()
	for item := range doc.Get("safeList").Items() {
		s.safe = append(s.safe, network(item))
	}
	for item := range doc.Get("allowList").Items() {
		o.Allow = append(o.Allow, network(item))
	}
	o.Speed = speeds(doc.Get("speedLimits"))
	i.sshConfig(o, doc.Get("sshConf"))
	for _, part := range []keptPart{
		{"ftp-config", "ftpConf", "", "FTP is not served here", false},
		{"web-config", "httpConf", "", "the WebClient is not served here", false},
		{"mail-config", "smtpConf", "", "mail is handed in for the whole server here", false},
		{"log-config", "logConf", "", "logs are set for the whole server here", false},
		{"event-handlers", "eventHandlers", "", "scripts are not run here", true},
	} {
		if v := doc.Get(part.name); v != nil && !v.Empty() {
			part.raw = v.Raw()
			s.kept = append(s.kept, part)
			v.Skip()
		}
	}
	i.Leave(doc, srvConfig, "connections are slowed down by Protector here", "connDelaySecs")
	i.Leave(doc, srvConfig, "quotas are always up to date here", "quotaTtl")
}

func (i *run) sshConfig(o *convert.OldSite, doc *document.Value) {
	o.SoftwareID, o.Banner = doc.Get("softwareId").Str(), doc.Get("greeting").Str()
	o.Auth, o.KeyExchanges = words(doc.Get("auth")), words(doc.Get("kex"))
	o.MACs, o.Ciphers = words(doc.Get("mac")), words(doc.Get("crypto"))
	i.Leave(doc, srvConfig+".sshConf", "SSH is not compressed here", "zCompress")
	i.Leave(doc, srvConfig+".sshConf", "it concerns the old program only", "useAllocator", "assumeUtf8", "overrideTimeout")
	i.Leave(doc, srvConfig+".sshConf", "connections are not forwarded here", "allowForwardingTo")
	i.Leave(doc, srvConfig+".sshConf", "version 3 of SFTP is spoken here", "sftpVer")
}

func words(v *document.Value) (out []string) {
	for item := range v.Items() {
		if text := item.Str(); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// siteRun is one import of one site.
type siteRun struct {
	*run
	site    *convert.Site
	folders []string
}

// each hands over the documents of a collection of the site.
func (in *siteRun) each(name string, take func(doc *document.Value) error) error {
	site := ""
	if in.site != nil {
		site = in.site.Name
	}
	return in.EachIn(in.ctx, in.folders, site, name, take)
}

// again is each for a second look at documents that each tells of; look may pass some over.
func (in *siteRun) again(name string, look func([]byte) bool, take func(doc *document.Value) error) error {
	return in.AgainIn(in.ctx, in.folders, name, look, take)
}

func (in *siteRun) hostKeys() error {
	var list []convert.HostKey
	err := in.each(hostKeys, func(doc *document.Value) error {
		list = append(list, convert.HostKey{ID: identity(doc), Name: doc.Get("name").Str(), Text: doc.Get("key").Str()})
		in.Leave(doc, hostKeys, "it is made of the key", "type", "fingerprint")
		return in.c.Hold(len(doc.Raw()))
	})
	if err != nil {
		return err
	}
	return in.site.HostKeys(list)
}

func (in *siteRun) certificates() error {
	return in.each(certs, func(doc *document.Value) error {
		return in.site.Certificate(in.certificate(doc, certs))
	})
}

func (i *run) certificate(doc *document.Value, path string) convert.Certificate {
	old := convert.Certificate{
		ID: identity(doc), Name: doc.Get("commonName").Str(), Cert: doc.Get("cert").Str(), Key: doc.Get("key").Str(),
		Chain: doc.Get("caBundle").Str(), Password: secret(doc.Get("keyPass")),
	}
	i.Leave(doc, path, "it is made of the certificate", "hash", "validFrom", "validUntil")
	return old
}

func (in *siteRun) bindings(s *siteParts) error {
	return in.site.Bindings(s.bindings)
}

func (in *siteRun) vfss() error {
	return in.each(vfss, func(doc *document.Value) error {
		old := convert.Storage{
			ID: identity(doc), Name: doc.Get("name").Str(), Type: doc.Get("type").Str(), Root: doc.Get("target").Str(), Raw: doc.Raw(),
		}
		w := convert.Bare(old.Type)
		old.Disk = w == "" || w == "disk" || w == "local" || w == "filesystem" || w == "localdisk"
		marked, ok := collection.Truth(doc.Get("encrypt"))
		pass := doc.Get("passPhrase")
		old.Encrypted = marked || !ok
		// How version 6 encrypts is not known to ss-vfsdecrypt.
		old.Recover = "download the files as a user while the old server runs, which decrypts them"
		old.Doubtful = !old.Encrypted && (pass.Str() != "" || pass.Get("payload").Str() != "")
		pass.Skip()
		if v := doc.Get("targetPayload"); v != nil && old.Disk && !v.Empty() {
			in.r.LeftOut(vfss+".targetPayload", "a folder needs nothing more")
		}
		doc.Get("targetPayload").Skip()
		q := doc.Get("quota")
		old.Soft, _ = q.Get("soft").Int()
		old.Hard, _ = q.Get("hard").Int()
		return in.site.VFS(old)
	})
}

// groups comes before users: a group's name is in square brackets.
func (in *siteRun) groups() error {
	look := func(text []byte) bool {
		return bytes.Contains(text, []byte(`"[`)) || bytes.Contains(text, []byte(`\u005`))
	}
	return in.again(users, look, func(doc *document.Value) error {
		if !isGroup(identity(doc)) {
			doc.Skip()
			return nil
		}
		return in.site.Account(in.account(doc))
	})
}

func isGroup(id string) bool {
	return strings.HasPrefix(id, "[") && strings.HasSuffix(id, "]") && len(id) > 2
}

// users takes over first those whose names nobody can contest.
func (in *siteRun) users() error {
	if err := in.site.EndLDAP(); err != nil {
		return err
	}
	left := 0
	err := in.each(users, func(doc *document.Value) error {
		if isGroup(identity(doc)) {
			doc.Skip()
			return nil
		}
		if in.contested(doc) {
			left++
			doc.Skip()
			return nil
		}
		return in.site.Account(in.account(doc))
	})
	if err != nil || left == 0 {
		return err
	}
	return in.again(users, nil, func(doc *document.Value) error {
		if isGroup(identity(doc)) || !in.contested(doc) {
			doc.Skip()
			return nil
		}
		return in.site.Account(in.account(doc))
	})
}

// contested tells whether somebody else may have the better right to a user's name.
func (in *siteRun) contested(doc *document.Value) bool {
	a := &convert.Account{Name: identity(doc), Directory: doc.Get("ldapServerId").Str()}
	if convert.Contested(a.Name) {
		in.sort(a, doc)
		return a.Contested()
	}
	return false
}

func (in *siteRun) ldap() error {
	return in.each(ldaps, func(doc *document.Value) error {
		old := convert.Directory{
			ID: identity(doc), Hosts: words(doc.Get("id", "_id")), User: doc.Get("username").Str(),
			Password: secret(doc.Get("password")), Domains: words(doc.Get("domains")),
		}
		old.Port, _ = doc.Get("port").Int()
		w := convert.Bare(doc.Get("ldapProto").Str())
		old.TLS = w == "ldaps" || strings.HasPrefix(w, "ldaps") || old.Port == 636 && w == ""
		old.StartTLS = strings.Contains(w, "starttls")
		return in.site.LDAP(old)
	})
}

func (in *siteRun) lists(s *siteParts) error {
	for _, n := range s.safe {
		if err := in.site.Entry(convert.ListEntry{List: model.ListSafe, Network: n.Text, Notes: n.Notes}); err != nil {
			return err
		}
	}
	return in.each(blocklist, func(doc *document.Value) error {
		e := convert.ListEntry{List: model.ListBlock, Network: doc.Get("ipOrNetwork").Str(), Notes: doc.Get("notes").Str(), Reason: doc.Get("addReason").Str()}
		e.Temporary = strings.HasPrefix(convert.Bare(doc.Get("persistence").Str()), "temp")
		if when := doc.Get("expirationUTC"); e.Temporary {
			e.Expires = collection.Moment(when)
		}
		e.Offences, _ = doc.Get("hits").Int()
		identity(doc)
		return in.site.Entry(e)
	})
}

// keptObjects are those that have no use here.
func (in *siteRun) keptObjects() error {
	for _, c := range []struct {
		collection, sort string
		kind             report.Kind
		rule             report.Rule
		what             string
	}{
		{scripts, "script", report.Script, report.Scripts, "scripts are not run here"},
		{csrs, "csr", report.Other, report.OtherSettings, "it is a request for a certificate that was not answered"},
		{saml, "saml", report.Other, report.OtherSettings, "log-ins by SAML are not served here"},
	} {
		err := in.each(c.collection, func(doc *document.Value) error {
			name := doc.Get("name").Str()
			if name == "" {
				name = identity(doc)
			}
			doc.Skip()
			return in.site.Keep(c.kind, c.sort, name, doc.Raw(), c.rule, c.what, "")
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// kept are the parts of the site's settings that have no use here.
func (in *siteRun) kept(s *siteParts) error {
	for _, p := range s.kept {
		kind, rule := report.Settings, report.OtherSettings
		if p.handler {
			kind, rule = report.Handler, report.Scripts
		}
		if err := in.site.Keep(kind, p.sort, p.name, p.raw, rule, p.what, ""); err != nil {
			return err
		}
	}
	return nil
}

func (in *siteRun) siteAdmins() error {
	return in.each(admins, func(doc *document.Value) error {
		a := in.admin(doc, admins)
		a.Site = in.site.Name
		for _, part := range []struct {
			name string
			to   *[]model.Kind
		}{{"view", &a.Rights.View}, {"edit", &a.Rights.Edit}} {
			for _, word := range words(doc.Get("permissions").Get(part.name)) {
				kinds := rights(word)
				if kinds == nil {
					a.NoRights = append(a.NoRights, fmt.Sprintf("%.40q", word))
					in.r.LeftOut(admins+".permissions."+part.name, "some rights have names that are not known here, and are not given")
				}
				for _, k := range kinds {
					if !slices.Contains(*part.to, k) {
						*part.to = append(*part.to, k)
					}
				}
			}
		}
		in.run.admins = append(in.run.admins, a)
		return in.c.Hold(len(doc.Raw()))
	})
}
