package v6

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"ss-setup/migrate/convert"
	"ss-setup/migrate/document"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// siteParts is what is gathered of a site before it is made.
type siteParts struct {
	id       string
	folder   string // the site's name in the backup's collections
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
	byID := func(id string) *siteParts {
		at := slices.IndexFunc(all, func(s *siteParts) bool { return model.Fold(s.id) == model.Fold(id) })
		if at < 0 {
			all = append(all, &siteParts{id: id, old: convert.OldSite{ID: id}})
			at = len(all) - 1
		}
		return all[at]
	}
	doubles := map[string]bool{}
	err := i.each("", vsites, func(doc *document.Value) error {
		id := doc.Get("id").Str()
		if doubles[model.Fold(id)] {
			doc.Skip()
			i.c.Drop(report.Site, "", id, report.Duplicates, "there is another site of this ID", "")
			return nil
		}
		doubles[model.Fold(id)] = true
		i.virtualSite(byID(id), doc)
		return nil
	})
	if err != nil {
		return err
	}
	for _, folder := range i.set.Sites() {
		byID(folder).folder = folder
	}
	if err := i.homeless(&all, byID); err != nil {
		return err
	}
	for _, s := range all {
		if err := i.site(s); err != nil {
			return fmt.Errorf("site %s: %w", s.id, err)
		}
	}
	return nil
}

// homeless are collections of a site that lie in no folder: they belong to the only site.
func (i *run) homeless(all *[]*siteParts, byID func(string) *siteParts) error {
	for name := range schemaSiteNames() {
		found := false
		if name == transient {
			continue
		}
		if err := i.set.Each(i.ctx, siteKey("", name), func([]byte) bool { found = true; return false }, nil); err != nil {
			return err
		}
		if !found {
			continue
		}
		if len(*all) == 0 {
			byID("default")
		}
		if len(*all) == 1 && (*all)[0].folder == "" {
			return nil // folder "" is where they lie
		}
		i.c.Drop(report.Other, "", name, report.References, "nothing tells which site it belongs to", "")
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
			s.bindings = append(s.bindings, binding(id, b))
		}
	}
	i.leave(doc, vsites, "a site is always started anew here", "autoRestart")
	i.leave(doc, vsites, "it is the state of a moment", "serviceStatus")
	i.leave(doc, vsites, "pages have one look here", "adminUiLogo", "adminUiLogoType", "adminUiDisclaimer")
}

func binding(node string, doc *document.Value) convert.Binding {
	b := convert.Binding{Node: node, Service: doc.Get("service").Str(), Address: doc.Get("ip").Str(), Raw: doc.Raw()}
	b.Port, _ = doc.Get("port").Int()
	b.Proxy, _ = doc.Get("behindHaProxy").True()
	w := convert.Bare(b.Service)
	b.SFTP = strings.Contains(w, "ssh") || strings.Contains(w, "sftp")
	switch v := convert.Bare(doc.Get("ipVersion").Str()); {
	case strings.HasSuffix(v, "4") && !strings.Contains(v, "6"):
		b.Version = 4
	case strings.HasSuffix(v, "6") && !strings.Contains(v, "4"):
		b.Version = 6
	}
	for _, name := range []string{"hostName", "dataPort", "portRangeMin", "portRangeMax"} {
		doc.Get(name).Skip()
	}
	return b
}

// site makes a site and everything in it.
func (i *run) site(s *siteParts) error {
	err := i.each(s.folder, srvConfig, func(doc *document.Value) error {
		i.srvConfig(s, doc)
		return nil
	})
	if err != nil {
		return err
	}
	site, err := i.c.BeginSite(s.old)
	if err != nil {
		return err
	}
	in := &siteRun{run: i, site: site, folder: s.folder}
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
	doc.Get("id")
	number := func(name string) int64 { n, _ := doc.Get(name).Int(); return n }
	o.MaxConnections, o.MaxPerClient, o.MaxPerUser = number("maxConn"), number("maxConnPerClient"), number("maxConnPerUser")
	o.IdleMinutes = number("idleTimeoutMinutes")
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
	i.leave(doc, srvConfig, "connections are slowed down by Protector here", "connDelaySecs")
	i.leave(doc, srvConfig, "quotas are always up to date here", "quotaTtl")
}

func (i *run) sshConfig(o *convert.OldSite, doc *document.Value) {
	o.SoftwareID, o.Banner = doc.Get("softwareId").Str(), doc.Get("greeting").Str()
	o.Auth, o.KeyExchanges = words(doc.Get("auth")), words(doc.Get("kex"))
	o.MACs, o.Ciphers = words(doc.Get("mac")), words(doc.Get("crypto"))
	i.leave(doc, srvConfig+".sshConf", "SSH is not compressed here", "zCompress")
	i.leave(doc, srvConfig+".sshConf", "it concerns the old program only", "useAllocator", "assumeUtf8", "overrideTimeout")
	i.leave(doc, srvConfig+".sshConf", "connections are not forwarded here", "allowForwardingTo")
	i.leave(doc, srvConfig+".sshConf", "version 3 of SFTP is spoken here", "sftpVer")
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
	site   *convert.Site
	folder string
}

func (in *siteRun) hostKeys() error {
	var list []convert.HostKey
	err := in.each(in.folder, hostKeys, func(doc *document.Value) error {
		list = append(list, convert.HostKey{ID: doc.Get("id").Str(), Name: doc.Get("name").Str(), Text: doc.Get("key").Str()})
		in.leave(doc, hostKeys, "it is made of the key", "type", "fingerprint")
		return nil
	})
	if err != nil {
		return err
	}
	return in.site.HostKeys(list)
}

func (in *siteRun) certificates() error {
	return in.each(in.folder, certs, func(doc *document.Value) error {
		return in.site.Certificate(in.certificate(doc, certs))
	})
}

func (i *run) certificate(doc *document.Value, path string) convert.Certificate {
	old := convert.Certificate{
		ID: doc.Get("id").Str(), Name: doc.Get("commonName").Str(), Cert: doc.Get("cert").Str(), Key: doc.Get("key").Str(),
		Chain: doc.Get("caBundle").Str(), Password: secret(doc.Get("keyPass")),
	}
	i.leave(doc, path, "it is made of the certificate", "hash", "validFrom", "validUntil")
	return old
}

func (in *siteRun) bindings(s *siteParts) error {
	for _, b := range s.bindings {
		if err := in.site.Binding(b); err != nil {
			return err
		}
	}
	return nil
}

func (in *siteRun) vfss() error {
	return in.each(in.folder, vfss, func(doc *document.Value) error {
		old := convert.Storage{
			ID: doc.Get("id").Str(), Name: doc.Get("name").Str(), Type: doc.Get("type").Str(), Root: doc.Get("target").Str(), Raw: doc.Raw(),
		}
		w := convert.Bare(old.Type)
		old.Disk = w == "" || w == "disk" || w == "local" || w == "filesystem" || w == "localdisk"
		old.Encrypted, _ = doc.Get("encrypt").True()
		doc.Get("passPhrase").Skip()
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
	return in.some(in.folder, users, look, func(doc *document.Value) error {
		if !isGroup(doc.Get("id").Str()) {
			doc.Skip()
			return nil
		}
		return in.site.Account(in.account(doc))
	})
}

func isGroup(id string) bool {
	return strings.HasPrefix(id, "[") && strings.HasSuffix(id, "]") && len(id) > 2
}

func (in *siteRun) users() error {
	if err := in.site.EndLDAP(); err != nil {
		return err
	}
	return in.each(in.folder, users, func(doc *document.Value) error {
		if isGroup(doc.Get("id").Str()) {
			doc.Skip()
			return nil
		}
		return in.site.Account(in.account(doc))
	})
}

func (in *siteRun) ldap() error {
	return in.each(in.folder, ldaps, func(doc *document.Value) error {
		old := convert.Directory{
			ID: doc.Get("id").Str(), Hosts: words(doc.Get("id")), User: doc.Get("username").Str(),
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
	return in.each(in.folder, blocklist, func(doc *document.Value) error {
		e := convert.ListEntry{List: model.ListBlock, Network: doc.Get("ipOrNetwork").Str(), Notes: doc.Get("notes").Str(), Reason: doc.Get("addReason").Str()}
		e.Temporary = strings.HasPrefix(convert.Bare(doc.Get("persistence").Str()), "temp")
		e.Expires, _ = doc.Get("expirationUTC").Time()
		e.Offences, _ = doc.Get("hits").Int()
		doc.Get("id")
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
		err := in.each(in.folder, c.collection, func(doc *document.Value) error {
			name := doc.Get("name").Str()
			if name == "" {
				name = doc.Get("id").Str()
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
	return in.each(in.folder, admins, func(doc *document.Value) error {
		a := in.admin(doc, admins)
		a.Site = in.site.Name
		for _, part := range []struct {
			name string
			to   *[]model.Kind
		}{{"view", &a.Rights.View}, {"edit", &a.Rights.Edit}} {
			for _, word := range words(doc.Get("permissions").Get(part.name)) {
				kinds := rights(word)
				if kinds == nil {
					in.r.LeftOut(admins+".permissions."+part.name+"."+convert.Bare(word), "no right of this name is known here, so it is not given")
				}
				for _, k := range kinds {
					if !slices.Contains(*part.to, k) {
						*part.to = append(*part.to, k)
					}
				}
			}
		}
		in.run.admins = append(in.run.admins, a)
		return nil
	})
}
