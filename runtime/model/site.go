package model

import (
	"net/netip"
	"slices"
	"strings"
)

// Site is a virtual site: a server of its own, with its users, storage and settings.
type Site struct {
	Head
	Title string `json:"title,omitempty"`
	// Manual leaves the site stopped when the server starts.
	Manual       bool         `json:"manual,omitempty"`
	SSH          SSH          `json:"ssh,omitzero"`
	Limits       Limits       `json:"limits,omitzero"`
	Protector    Protector    `json:"protector,omitzero"`
	PasswordRule PasswordRule `json:"passwordRule,omitzero"`
	Speed        []SpeedLimit `json:"speed,omitempty"`
}

// SSH is how a site speaks. An empty list is the safe default of the release; the order
// of a list is the order of preference.
type SSH struct {
	// SoftwareID is told in the first line, after "SSH-2.0-"; the product's if empty.
	SoftwareID string      `json:"softwareId,omitempty"`
	Banner     string      `json:"banner,omitempty"`
	Auth       []AuthChain `json:"auth,omitempty"`

	KeyExchanges []string `json:"keyExchanges,omitempty"`
	Ciphers      []string `json:"ciphers,omitempty"`
	MACs         []string `json:"macs,omitempty"`
	// UserKeys are the signature algorithms accepted from users' keys, HostKeys those
	// offered with the site's keys.
	UserKeys []string `json:"userKeys,omitempty"`
	HostKeys []string `json:"hostKeys,omitempty"`
}

// Limits of a site; 0 is the default of the release, -1 no limit.
type Limits struct {
	Connections int `json:"connections,omitempty"`
	PerAddress  int `json:"perAddress,omitempty"`
	PerUser     int `json:"perUser,omitempty"`
	// IdleSeconds ends a session in which nothing happens.
	IdleSeconds int `json:"idleSeconds,omitempty"`
	// LoginSeconds bounds a login.
	LoginSeconds int `json:"loginSeconds,omitempty"`
}

// Level is how much Protector takes offence at.
type Level string

// The levels, from mild to harsh.
const (
	LevelOff       Level = "off"
	LevelIndulgent Level = "indulgent"
	LevelNormal    Level = "normal"
	LevelStrict    Level = "strict"
	LevelParanoid  Level = "paranoid"
)

// Protector is when addresses are banned, and for how long. Zero values are the
// defaults of the release.
type Protector struct {
	Level Level `json:"level,omitempty"`
	// Threshold offences within WindowMinutes ban for BanMinutes.
	Threshold     int `json:"threshold,omitempty"`
	WindowMinutes int `json:"windowMinutes,omitempty"`
	BanMinutes    int `json:"banMinutes,omitempty"`
	// GrowPercent lengthens a ban each time a banned address comes again.
	GrowPercent int `json:"growPercent,omitempty"`
}

// PasswordRule is what a new password must have; MinLength 0 is the default of the
// release.
type PasswordRule struct {
	MinLength int  `json:"minLength,omitempty"`
	Upper     bool `json:"upper,omitempty"`
	Lower     bool `json:"lower,omitempty"`
	Digit     bool `json:"digit,omitempty"`
	Special   bool `json:"special,omitempty"`
}

func (c *check) passwordRule(field string, r PasswordRule) {
	c.number(field+".minLength", int64(r.MinLength), 0, 256)
}

// Key is the site's identity.
func (s *Site) Key() Key { return SiteKey(s.Name) }

// Normalize brings the fields to their canonical form.
func (s *Site) Normalize() {
	s.Title = compose(s.Title)
	normalizeSpeed(s.Speed)
	normalizeChains(s.SSH.Auth)
}

// Search is by the title.
func (s *Site) Search() []string { return []string{s.Title} }

// Validate tells what is wrong with the site.
func (s *Site) Validate() error {
	var c check
	c.slug("name", s.Name)
	c.line("title", s.Title)
	c.ssh(s.SSH)
	for field, n := range map[string]int{
		"connections": s.Limits.Connections, "perAddress": s.Limits.PerAddress, "perUser": s.Limits.PerUser,
	} {
		c.number("limits."+field, int64(n), -1, 1_000_000)
	}
	c.number("limits.idleSeconds", int64(s.Limits.IdleSeconds), -1, 7*24*3600)
	c.number("limits.loginSeconds", int64(s.Limits.LoginSeconds), 0, 3600)
	c.protector(s.Protector)
	c.passwordRule("passwordRule", s.PasswordRule)
	c.speed("speed", s.Speed)
	return c.err(s.Key())
}

func (c *check) ssh(s SSH) {
	c.that(IsSoftwareID(s.SoftwareID), "ssh.softwareId", "it is not letters, digits and marks of ASCII without blanks", "write it again, or leave it empty")
	c.text("ssh.banner", s.Banner)
	c.chains("ssh.auth", s.Auth)
	c.algorithms("ssh.keyExchanges", s.KeyExchanges, KeyExchanges)
	c.algorithms("ssh.ciphers", s.Ciphers, Ciphers)
	c.algorithms("ssh.macs", s.MACs, MACs)
	c.algorithms("ssh.userKeys", s.UserKeys, Signatures)
	c.algorithms("ssh.hostKeys", s.HostKeys, Signatures)
}

// IsSoftwareID tells whether a site may tell clients a text as its software, behind
// "SSH-2.0-".
func IsSoftwareID(text string) bool {
	return len(text) <= 200 && strings.Trim(text, printable) == ""
}

// printable is what RFC 4253 allows in the software version.
const printable = "!\"#$%&'()*+,./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"

func (c *check) protector(p Protector) {
	if p.Level != "" {
		oneOf(c, "protector.level", p.Level, []Level{LevelOff, LevelIndulgent, LevelNormal, LevelStrict, LevelParanoid})
	}
	c.number("protector.threshold", int64(p.Threshold), 0, 100_000)
	c.number("protector.windowMinutes", int64(p.WindowMinutes), 0, 7*24*60)
	c.number("protector.banMinutes", int64(p.BanMinutes), 0, 366*24*60)
	c.number("protector.growPercent", int64(p.GrowPercent), 0, 1000)
}

// Algorithm is one of SSH.
type Algorithm struct {
	Name string
	// Weak is why it is not among the defaults; empty for those that are, or may be.
	Weak string
}

// The algorithms that a site can list. The weak ones are there for old clients and are
// never on by themselves.
var (
	KeyExchanges = []Algorithm{
		{"mlkem768x25519-sha256", ""},
		{"curve25519-sha256", ""},
		{"ecdh-sha2-nistp256", ""},
		{"ecdh-sha2-nistp384", ""},
		{"ecdh-sha2-nistp521", ""},
		{"diffie-hellman-group14-sha256", ""},
		{"diffie-hellman-group16-sha512", ""},
		{"diffie-hellman-group14-sha1", "SHA-1"},
		{"diffie-hellman-group1-sha1", "SHA-1 and a group of 1024 bits"},
	}
	Ciphers = []Algorithm{
		{"aes128-gcm@openssh.com", ""},
		{"aes256-gcm@openssh.com", ""},
		{"chacha20-poly1305@openssh.com", ""},
		{"aes128-ctr", ""},
		{"aes192-ctr", ""},
		{"aes256-ctr", ""},
		{"aes128-cbc", "CBC mode"},
		{"3des-cbc", "a block of 64 bits"},
		{"arcfour", "RC4"},
		{"arcfour128", "RC4"},
		{"arcfour256", "RC4"},
	}
	MACs = []Algorithm{
		{"hmac-sha2-256-etm@openssh.com", ""},
		{"hmac-sha2-512-etm@openssh.com", ""},
		{"hmac-sha2-256", ""},
		{"hmac-sha2-512", ""},
		{"hmac-sha1", "SHA-1"},
		{"hmac-sha1-96", "SHA-1, cut to 96 bits"},
	}
	Signatures = []Algorithm{
		{"ssh-ed25519", ""},
		{"sk-ssh-ed25519@openssh.com", ""},
		{"ecdsa-sha2-nistp256", ""},
		{"ecdsa-sha2-nistp384", ""},
		{"ecdsa-sha2-nistp521", ""},
		{"sk-ecdsa-sha2-nistp256@openssh.com", ""},
		{"rsa-sha2-256", ""},
		{"rsa-sha2-512", ""},
		{"ssh-rsa", "SHA-1"},
		{"ssh-dss", "a key of 1024 bits and SHA-1"},
	}
)

func (c *check) algorithms(field string, list []string, known []Algorithm) {
	seen := map[string]bool{}
	for i, name := range list {
		ok := slices.ContainsFunc(known, func(a Algorithm) bool { return a.Name == name })
		c.that(ok, at(field, i), quoted(name)+" is not an algorithm that this release has", "take it away")
		c.that(first(seen, name), at(field, i), quoted(name)+" is there twice", "take one away")
	}
}

// Weaknesses are the weak algorithms that the site has switched on, as "NAME: WHY".
func (s *SSH) Weaknesses() []string {
	var out []string
	for _, pair := range []struct {
		list  []string
		known []Algorithm
	}{{s.KeyExchanges, KeyExchanges}, {s.Ciphers, Ciphers}, {s.MACs, MACs}, {s.UserKeys, Signatures}, {s.HostKeys, Signatures}} {
		for _, a := range pair.known {
			if a.Weak != "" && slices.Contains(pair.list, a.Name) {
				out = append(out, a.Name+": "+a.Weak)
			}
		}
	}
	return out
}

// Protocol is what a binding serves.
type Protocol string

// ProtocolSFTP is the only one yet.
const ProtocolSFTP Protocol = "sftp"

// Binding is where a site listens on one node.
type Binding struct {
	Head
	Site     string   `json:"site"`
	Node     string   `json:"node"`
	Protocol Protocol `json:"protocol"`
	// Address is one of the node's addresses; all of them if empty.
	Address string `json:"address,omitempty"`
	Port    int    `json:"port"`
	// ProxyFrom are the load balancers that tell the client's address with the PROXY
	// protocol, and must.
	ProxyFrom []string `json:"proxyFrom,omitempty"`
	Disabled  bool     `json:"disabled,omitempty"`
}

// Key is the binding's identity.
func (b *Binding) Key() Key { return Key{Kind: KindBinding, Site: b.Site, ID: b.Name} }

// Normalize brings the fields to their canonical form.
func (b *Binding) Normalize() {
	if b.Protocol == "" {
		b.Protocol = ProtocolSFTP
	}
	if addr, err := netip.ParseAddr(strings.Trim(b.Address, "[] ")); err == nil {
		b.Address = addr.Unmap().String()
	}
	canonicalNetworks(b.ProxyFrom)
}

// Validate tells what is wrong with the binding.
func (b *Binding) Validate() error {
	var c check
	c.slug("name", b.Name)
	c.slug("site", b.Site)
	c.slug("node", b.Node)
	oneOf(&c, "protocol", b.Protocol, []Protocol{ProtocolSFTP})
	if b.Address != "" {
		_, err := netip.ParseAddr(b.Address)
		c.that(err == nil, "address", quoted(b.Address)+" is not an address", "use one of the machine's addresses, or none for all")
	}
	c.port("port", b.Port)
	c.networks("proxyFrom", b.ProxyFrom)
	return c.err(b.Key())
}

// References are the binding's site and node.
func (b *Binding) References() []Reference {
	return append(siteReference(b.Site), Reference{"node", NodeKey(b.Node)})
}

// Search is by address and node.
func (b *Binding) Search() []string { return []string{b.Address, b.Node} }

// Clashes tells whether two bindings cannot listen at once: one node, one port, and
// addresses of which one is the other or stands for it.
func (b *Binding) Clashes(other *Binding) bool {
	if b.Node != other.Node || b.Port != other.Port || b.Disabled || other.Disabled {
		return false
	}
	return b.Address == other.Address || covers(b.Address, other.Address) || covers(other.Address, b.Address)
}

// covers tells whether listening at a takes b's place as well. No address and "::" take
// both families.
func covers(a, b string) bool {
	wide, err := netip.ParseAddr(a)
	if a == "" || err == nil && wide.Is6() && wide.IsUnspecified() {
		return true
	}
	narrow, bad := netip.ParseAddr(b)
	return err == nil && wide.IsUnspecified() && bad == nil && narrow.Is4()
}

// SettingsName is the name of the one settings object.
const SettingsName = "global"

// Settings hold for all nodes.
type Settings struct {
	Head
	Web       WebSettings      `json:"web,omitzero"`
	Mail      MailSettings     `json:"mail,omitzero"`
	Log       LogSettings      `json:"log,omitzero"`
	Snapshots SnapshotSettings `json:"snapshots,omitzero"`
	ACME      ACMESettings     `json:"acme,omitzero"`
	// Protector is when addresses are banned that log in to the web interface wrongly.
	Protector Protector `json:"protector,omitzero"`
	// Passwords is the rule for SuperAdmins and Admins.
	PasswordRule PasswordRule `json:"passwordRule,omitzero"`
}

// WebSettings are those of the web pages and the REST API; 0 is the default.
type WebSettings struct {
	SessionMinutes int `json:"sessionMinutes,omitempty"`
	// Certificate is the one that the pages are served with; the first one made if empty.
	Certificate string `json:"certificate,omitempty"`
	// TrustedProxies tell the client's address in X-Forwarded-For.
	TrustedProxies []string `json:"trustedProxies,omitempty"`
	// RequestsPerMinute bounds what one address may ask of the REST API.
	RequestsPerMinute int `json:"requestsPerMinute,omitempty"`
}

// MailTLS is how a mail server is spoken to.
type MailTLS string

// The ways.
const (
	MailStartTLS MailTLS = "starttls"
	MailTLSOnly  MailTLS = "tls"
	MailPlain    MailTLS = "none"
)

// MailSettings are where mail is handed in.
type MailSettings struct {
	Host     string  `json:"host,omitempty"`
	Port     int     `json:"port,omitempty"`
	TLS      MailTLS `json:"tls,omitempty"`
	User     string  `json:"user,omitempty"`
	Password Secret  `json:"password,omitzero"`
	From     string  `json:"from,omitempty"`
}

// LogSettings are the level of the server's log - debug, info, warn or error, where the
// configuration file of the machine names none - and the bounds of the audit log; 0 is the
// default.
type LogSettings struct {
	Level    string `json:"level,omitempty"`
	MaxMB    int    `json:"maxMB,omitempty"`
	MaxFiles int    `json:"maxFiles,omitempty"`
	KeepDays int    `json:"keepDays,omitempty"`
}

// SnapshotSettings are those of the automatic snapshots.
type SnapshotSettings struct {
	// Hour of the day, of the machine's clock.
	Hour int `json:"hour,omitempty"`
}

// ACMESettings are how certificates are asked for.
type ACMESettings struct {
	// Directory is the authority's; Let's Encrypt if empty.
	Directory string `json:"directory,omitempty"`
	Email     string `json:"email,omitempty"`
	// Account is the key that the authority knows the server by.
	Account Secret `json:"account,omitzero"`
}

// Key is the settings' identity.
func (s *Settings) Key() Key { return SettingsKey() }

// Normalize brings the fields to their canonical form.
func (s *Settings) Normalize() {
	s.Name = SettingsName
	s.Web.Certificate = compose(s.Web.Certificate)
	canonicalNetworks(s.Web.TrustedProxies)
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate() error {
	var c check
	c.number("web.sessionMinutes", int64(s.Web.SessionMinutes), 0, 24*60)
	c.optionalName("web.certificate", s.Web.Certificate)
	c.networks("web.trustedProxies", s.Web.TrustedProxies)
	c.number("web.requestsPerMinute", int64(s.Web.RequestsPerMinute), 0, 1_000_000)
	c.mail(s.Mail)
	if s.Log.Level != "" {
		oneOf(&c, "log.level", s.Log.Level, []string{"debug", "info", "warn", "error"})
	}
	c.number("log.maxMB", int64(s.Log.MaxMB), 0, 100_000)
	c.number("log.maxFiles", int64(s.Log.MaxFiles), 0, 100_000)
	c.number("log.keepDays", int64(s.Log.KeepDays), 0, 36_500)
	c.number("snapshots.hour", int64(s.Snapshots.Hour), 0, 23)
	if s.ACME.Directory != "" {
		c.link("acme.directory", s.ACME.Directory, "https")
	}
	c.optionalEmail("acme.email", s.ACME.Email)
	c.protector(s.Protector)
	c.passwordRule("passwordRule", s.PasswordRule)
	return c.err(s.Key())
}

func (c *check) mail(m MailSettings) {
	if m.Host == "" {
		return
	}
	c.host("mail.host", m.Host)
	if m.Port != 0 {
		c.port("mail.port", m.Port)
	}
	if m.TLS != "" {
		oneOf(c, "mail.tls", m.TLS, []MailTLS{MailStartTLS, MailTLSOnly, MailPlain})
	}
	c.line("mail.user", m.User)
	c.that(m.TLS != MailPlain || m.Password.IsZero(), "mail.tls", "the password would go over the network in clear", "use starttls or tls")
	c.email("mail.from", m.From)
}

// References are the certificate.
func (s *Settings) References() []Reference {
	if s.Web.Certificate == "" {
		return nil
	}
	return []Reference{{"web.certificate", Key{Kind: KindCertificate, ID: Fold(s.Web.Certificate)}}}
}

// Secrets are the fields kept encrypted.
func (s *Settings) Secrets() []SecretField {
	return []SecretField{{"mail.password", &s.Mail.Password}, {"acme.account", &s.ACME.Account}}
}
