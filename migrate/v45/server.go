package v45

import (
	"fmt"
	"strings"

	"ss-setup/migrate/collection"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/document"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// serverParts is what is gathered of a virtual server before it is made.
type serverParts struct {
	id       string
	folders  []string // the server's names in the backup's collections
	old      convert.OldSite
	bindings []convert.Binding
	keys     []convert.HostKey
	certs    []convert.Certificate
	ldap     []convert.Directory
	safe     []convert.Network
	handlers []string
}

func (i *run) sites() error {
	list, err := i.siteNames()
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := i.site(s); err != nil {
			return fmt.Errorf("virtual server %.80q: %w", s.id, err)
		}
	}
	return nil
}

func (i *run) site(s *serverParts) error {
	in := &siteRun{run: i, s: s}
	err := in.each(conf, func(doc *document.Value) error {
		i.conf(s, doc)
		return i.c.Hold(len(doc.Raw()))
	})
	if err != nil {
		return err
	}
	if err := in.parts(); err != nil {
		return err
	}
	if in.site, err = i.c.BeginSite(s.old); err != nil {
		return err
	}
	for _, step := range []func() error{
		in.keysAndBindings, in.vfss, in.groups, in.ldap,
		in.users, in.lists, in.scripts, in.siteAdmins,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// conf reads the settings of a virtual server.
func (i *run) conf(s *serverParts, doc *document.Value) {
	o := &s.old
	doc.Get("_id").Skip()
	number := func(names ...string) int64 { n, _ := doc.Get(names...).Int(); return n }
	bound := func(names ...string) convert.Bound {
		n, ok := doc.Get(names...).Int()
		return convert.Bound{N: n, Set: ok}
	}
	o.MaxConnections = bound("MaxConn", "MaxConnections")
	o.MaxPerClient = bound("MaxConnPerClient", "MaxConnPerIP", "MaxConnectionsPerClient")
	o.MaxPerUser = bound("MaxConnPerUser", "MaxConnectionsPerUser")
	o.IdleMinutes = bound("IdleTimeoutMinutes", "IdleTimeout", "TimeoutMinutes")
	o.Level = doc.Get("ProtectorBehavior").Str()
	o.WindowMinutes, o.Threshold = number("ProtectorTimeWindowMin", "ProtectorTimeWindow"), number("ProtectorErrThreshold", "ProtectorThreshold")
	o.BanMinutes, o.GrowPercent = number("ProtectorBanForMin", "ProtectorBanTime"), number("ProtectorCompoundIncr", "ProtectorIncrement")
	rule := doc
	if doc.Has("PassComplexity") {
		rule = doc.Get("PassComplexity")
	}
	minLength, _ := rule.Get("MinLength", "PassMinLength").Int()
	o.Rule.MinLength = int(min(max(minLength, 0), 1000))
	o.Rule.Upper, _ = rule.Get("RequireUpper", "PassUpper").True()
	o.Rule.Lower, _ = rule.Get("RequireLower", "PassLower").True()
	o.Rule.Digit, _ = rule.Get("RequireNumber", "PassNumber").True()
	o.Rule.Special, _ = rule.Get("RequireSpecial", "PassSpecial").True()
	ssh := doc
	if doc.Has("SSHConf", "SSH") {
		ssh = doc.Get("SSHConf", "SSH")
	}
	o.SoftwareID, o.Banner = ssh.Get("SoftwareID", "SSHSoftwareID").Str(), ssh.Get("Greeting", "SSHBanner", "Banner").Str()
	o.KeyExchanges, o.Ciphers, o.MACs = words(ssh.Get("Kex", "SSHKex", "KeyExchange")), words(ssh.Get("Crypto", "Ciphers", "SSHCiphers")), words(ssh.Get("Mac", "Macs", "SSHMacs"))
	i.Leave(ssh, conf, "SSH is not compressed here", "ZCompress", "SSHCompression", "Compression")
	o.Speed = speeds(doc.Get("SpeedLimits"))
	for n := range doc.Get("SafeList").Items() {
		s.safe = append(s.safe, network(n))
	}
	for n := range doc.Get("WhiteList", "AllowedIPs", "AllowList").Items() {
		o.Allow = append(o.Allow, network(n))
	}
	for h := range doc.Get("EventHandlers").Items() {
		s.handlers = append(s.handlers, first(h, "Event", "Name", "_id"))
		h.Skip()
	}
	for b := range doc.Get("Bindings").Items() {
		s.bindings = append(s.bindings, binding("", b))
	}
	for k := range doc.Get("SSHServerKeys", "ServerKeys", "HostKeys").Items() {
		s.keys = append(s.keys, i.hostKey(k))
	}
	for x := range doc.Get("Certificates", "X509ServerCerts").Items() {
		s.certs = append(s.certs, certificate(x))
	}
	for l := range doc.Get("LDAPServers", "LDAP", "ActiveDirectory").Items() {
		s.ldap = append(s.ldap, i.directory(l))
	}
	i.Leave(doc, conf, "FTP is not served here", "FTPConf", "FTP", "FTPTLSMode", "FTPSConf")
	i.Leave(doc, conf, "mail is handed in for the whole server here", "SMTPConf", "SMTP", "SMTPTLS")
	i.Leave(doc, conf, "logs are set for the whole server here", "LogConf", "Log", "LogDetail", "LogSettings")
	i.Leave(doc, conf, "WebDAV and web pages for users are not served here", "WebDAVConf", "HTTPConf", "WebClient")
	i.Leave(doc, conf, "quotas are always up to date here", "QuotaTTL")
	i.Leave(doc, conf, "connections are slowed down by Protector here", "ConnDelaySecs", "AntiHammering", "HammerDelay")
}

// parts are collections that other backups have within the settings.
func (in *siteRun) parts() error {
	i, s := in.run, in.s
	for _, c := range []struct {
		name string
		take func(doc *document.Value)
	}{
		{nodes, func(doc *document.Value) {
			id := nodeID(doc)
			for _, name := range []string{"_id", "id", "NodeID", "MachineID", "HostName", "Description"} {
				doc.Get(name).Skip()
			}
			for b := range doc.Get("Bindings").Items() {
				s.bindings = append(s.bindings, binding(id, b))
			}
		}},
		{hostKeys, func(doc *document.Value) { s.keys = append(s.keys, i.hostKey(doc)) }},
		{certs, func(doc *document.Value) { s.certs = append(s.certs, certificate(doc)) }},
		{ldaps, func(doc *document.Value) { s.ldap = append(s.ldap, i.directory(doc)) }},
		{whitelist, func(doc *document.Value) { s.old.Allow = append(s.old.Allow, network(doc)) }},
		{safelist, func(doc *document.Value) { s.safe = append(s.safe, network(doc)) }},
	} {
		err := in.each(c.name, func(doc *document.Value) error {
			c.take(doc)
			return i.c.Hold(len(doc.Raw()))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func binding(node string, doc *document.Value) convert.Binding {
	b := convert.Binding{Node: node, Service: doc.Get("Service", "Protocol", "Type").Str(), Address: doc.Get("IP", "Address", "IPAddress").Str(), Raw: doc.Raw()}
	b.Port, _ = doc.Get("Port").Int()
	w := convert.Bare(b.Service)
	b.SFTP = strings.Contains(w, "ssh") || strings.Contains(w, "sftp")
	doc.Skip()
	return b
}

func (i *run) hostKey(doc *document.Value) convert.HostKey {
	if doc.Kind() == document.String {
		return convert.HostKey{Text: doc.Str()}
	}
	k := convert.HostKey{ID: doc.Get("_id", "id").Str(), Name: doc.Get("Name", "Description").Str(), Text: doc.Get("PKI", "Key", "PrivateKey").Str()}
	i.Leave(doc, hostKeys, "it is made of the key", "Hash", "KeyLength", "PubKey", "KAlg")
	return k
}

func certificate(doc *document.Value) convert.Certificate {
	return convert.Certificate{
		ID: doc.Get("_id", "id").Str(), Name: doc.Get("Name", "CommonName").Str(), Cert: doc.Get("Cert", "PFX", "Certificate").Str(),
		Key: doc.Get("Key", "PrivateKey").Str(), Chain: doc.Get("CABundle", "Chain").Str(), Password: convert.Secret{Text: doc.Get("Password", "Pass").Str()},
	}
}

func (i *run) directory(doc *document.Value) convert.Directory {
	d := convert.Directory{
		ID: first(doc, "_id", "id", "Name", "Host", "Server"), Name: doc.Get("Name", "Description").Str(), Hosts: words(doc.Get("Host", "Server", "Hosts")),
		User: doc.Get("Username", "User", "BindDN").Str(), Password: convert.Secret{Text: doc.Get("Password", "Pass").Str()},
		Domains: words(doc.Get("Domains", "Domain")), BaseDN: doc.Get("BaseDN").Str(),
	}
	doc.Get("_id").Skip()
	d.Port, _ = doc.Get("Port").Int()
	if doc.Has("UseTLS", "TLS", "SSL", "LDAPS") {
		d.TLS, _ = doc.Get("UseTLS", "TLS", "SSL", "LDAPS").True()
	} else {
		d.TLS = d.Port == 636
	}
	d.Suspect = convert.Suspect(d.Password.Text)
	return d
}

// siteRun is one import of one virtual server.
type siteRun struct {
	*run
	site *convert.Site
	s    *serverParts
}

// each hands over the documents of a collection of the site.
func (in *siteRun) each(name string, take func(doc *document.Value) error) error {
	site := ""
	if in.site != nil {
		site = in.site.Name
	}
	return in.EachIn(in.ctx, in.s.folders, site, name, take)
}

// again is each for a second look at documents that each tells of; look may pass some over.
func (in *siteRun) again(name string, look func([]byte) bool, take func(doc *document.Value) error) error {
	return in.AgainIn(in.ctx, in.s.folders, name, look, take)
}

func (in *siteRun) keysAndBindings() error {
	if err := in.site.HostKeys(in.s.keys); err != nil {
		return err
	}
	for _, x := range in.s.certs {
		if err := in.site.Certificate(x); err != nil {
			return err
		}
	}
	return in.site.Bindings(in.s.bindings)
}

func (in *siteRun) vfss() error {
	return in.each(vfss, func(doc *document.Value) error {
		old := convert.Storage{
			ID: doc.Get("_id", "id").Str(), Name: doc.Get("VFSName", "Name").Str(), Description: doc.Get("Description").Str(),
			Type: doc.Get("TargetType", "VFSType", "Type").Str(), Root: doc.Get("Target").Str(), Raw: doc.Raw(),
		}
		w := convert.Bare(old.Type)
		old.Disk = w == "" || w == "disk"
		old.Encrypted = strings.Contains(w, "aes") || strings.Contains(w, "encr") || strings.Contains(w, "crypt")
		old.Recover = "recover the files with ss-vfsdecrypt"
		pass := doc.Get("EncryptionPass", "EncPass", "PassPhrase")
		old.Doubtful = !old.Encrypted && !pass.Empty()
		pass.Skip()
		old.Soft, _ = doc.Get("SoftQuota").Int()
		old.Hard, _ = doc.Get("HardQuota").Int()
		in.Leave(doc, vfss, "a folder needs nothing more", "TargetPayload", "QuotaTTL")
		return in.site.VFS(old)
	})
}

// groups comes before LDAP profiles and users.
func (in *siteRun) groups() error {
	return in.again(users, mayBeGroup, func(doc *document.Value) error {
		if !isGroup(sortOf(doc.Get("UserType").Str())) {
			doc.Skip()
			return nil
		}
		return in.account(doc)
	})
}

// mayBeGroup tells documents that have the word group in them, in any case and with any
// signs in it, as sortOf finds it. A backslash may hide any letter.
func mayBeGroup(text []byte) bool {
	const word = "group"
	n := 0
	for _, c := range text {
		switch {
		case c == '\\':
			return true
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		default:
			continue // a sign
		}
		switch {
		case c == word[n]:
			n++
		case c == word[0]:
			n = 1
		default:
			n = 0
		}
		if n == len(word) {
			return true
		}
	}
	return false
}

// users takes over first those whose names nobody can contest.
func (in *siteRun) users() error {
	if err := in.site.EndLDAP(); err != nil {
		return err
	}
	left := 0
	err := in.each(users, func(doc *document.Value) error {
		switch a := accountName(doc); {
		case isGroup(a.Sort):
		case a.Contested():
			left++
		default:
			return in.account(doc)
		}
		doc.Skip()
		return nil
	})
	if err != nil || left == 0 {
		return err
	}
	return in.again(users, nil, func(doc *document.Value) error {
		if a := accountName(doc); isGroup(a.Sort) || !a.Contested() {
			doc.Skip()
			return nil
		}
		return in.account(doc)
	})
}

func (in *siteRun) account(doc *document.Value) error {
	var a convert.Account
	in.run.account(&a, doc)
	return in.site.Account(&a)
}

func (in *siteRun) ldap() error {
	for _, d := range in.s.ldap {
		if err := in.site.LDAP(d); err != nil {
			return err
		}
	}
	return nil
}

func (in *siteRun) lists() error {
	for _, n := range in.s.safe {
		if err := in.site.Entry(convert.ListEntry{List: model.ListSafe, Network: n.Text, Notes: n.Notes}); err != nil {
			return err
		}
	}
	return in.each(blacklist, func(doc *document.Value) error {
		n := network(doc)
		e := convert.ListEntry{List: model.ListBlock, Network: n.Text, Notes: n.Notes, Reason: doc.Get("Reason", "AddReason").Str()}
		if doc.Has("BLPerTemporary", "Temporary") {
			e.Temporary, _ = collection.Truth(doc.Get("BLPerTemporary", "Temporary"))
		} else {
			e.Temporary = strings.HasPrefix(convert.Bare(doc.Get("Persistence").Str()), "temp")
		}
		if when := doc.Get("Expiration", "ExpirationUTC", "ExpireWhen", "Expires"); e.Temporary {
			e.Expires = collection.Moment(when)
		}
		e.Offences, _ = doc.Get("Hits").Int()
		return in.site.Entry(e)
	})
}

// scripts are dropped by name: their language is no more.
func (in *siteRun) scripts() error {
	for _, name := range in.s.handlers {
		in.site.Drop(report.Handler, name, report.Scripts, "the scripts of version 4 and 5 are not run any more", "")
	}
	err := in.each(scripts, func(doc *document.Value) error {
		label := first(doc, "Name", "ScriptName", "_id", "id")
		doc.Skip()
		in.site.Drop(report.Script, label, report.Scripts, "the scripts of version 4 and 5 are not run any more", "")
		return nil
	})
	if err != nil {
		return err
	}
	past := 0
	err = in.each(transient, func(doc *document.Value) error {
		past++
		doc.Skip()
		return nil
	})
	in.r.DropAll(report.Other, in.site.Name, "sessions and logs", past, report.OtherSettings, "it is of the past, and not of the configuration", "")
	return err
}

func (in *siteRun) siteAdmins() error {
	return in.each(admins, func(doc *document.Value) error {
		a := in.admin(doc)
		a.Site = in.site.Name
		role := doc.Get("AdminRole").Str()
		var ok bool
		if a.Rights, ok = roleRights(role); !ok {
			a.Status = "role " + role
		}
		in.run.admins = append(in.run.admins, a)
		return in.c.Hold(len(doc.Raw()))
	})
}

func words(v *document.Value) (out []string) {
	for item := range v.Items() {
		if text := item.Str(); text != "" {
			out = append(out, text)
		}
	}
	return out
}

func first(doc *document.Value, names ...string) string {
	for _, name := range names {
		if text := doc.Get(name).Str(); text != "" {
			return text
		}
	}
	return ""
}

func network(doc *document.Value) convert.Network {
	if doc.Kind() == document.String {
		return convert.Network{Text: doc.Str()}
	}
	doc.Get("_id").Skip()
	return convert.Network{Text: first(doc, "IPNet", "lIPNet", "IPOrNetwork", "IP", "Network", "Item", "_id"), Notes: doc.Get("Notes", "Description").Str()}
}

// bytesPerKilobyte: limits were in kilobytes a second.
const bytesPerKilobyte = 1024

func speeds(list *document.Value) (out []convert.Speed) {
	for doc := range list.Items() {
		up, _ := doc.Get("UpKBps", "UpSpeed", "Upload", "Up").Int()
		down, _ := doc.Get("DnKBps", "DownKBps", "DnSpeed", "Download", "Down").Int()
		s := convert.Speed{From: first(doc, "IPNet", "Network", "Source", "IP")}
		if up > 0 && up < 1<<40 {
			s.Up = up * bytesPerKilobyte
		}
		if down > 0 && down < 1<<40 {
			s.Down = down * bytesPerKilobyte
		}
		out = append(out, s)
	}
	return out
}
