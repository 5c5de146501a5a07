package model

import (
	"path"
	"slices"
	"strings"
	"time"
)

// VFSType is how a VFS keeps its files.
type VFSType string

// The types.
const (
	VFSDisk      VFSType = "disk"
	VFSEncrypted VFSType = "encrypted"
)

// VFS is a place for files.
type VFS struct {
	Head
	Site        string  `json:"site"`
	Description string  `json:"description,omitempty"`
	Type        VFSType `json:"type"`
	// Root is a folder of the machine.
	Root  string `json:"root"`
	Quota Quota  `json:"quota,omitzero"`
	// KeyID names the key of an encrypted VFS in the key ring; Passphrase is there if
	// the copy of the key at the VFS's root is wrapped by one.
	KeyID      string `json:"keyId,omitempty"`
	Passphrase Secret `json:"passphrase,omitzero"`
	// InPlace writes uploads under their own name from the first byte.
	InPlace bool `json:"inPlace,omitempty"`
	// Links lets users make symbolic links; they never lead out of the VFS.
	Links bool `json:"links,omitempty"`
	// KeepTimes and KeepModes decline what clients ask for after an upload, in silence.
	KeepTimes bool `json:"keepTimes,omitempty"`
	KeepModes bool `json:"keepModes,omitempty"`
}

// Key is the VFS's identity.
func (v *VFS) Key() Key { return v.key(KindVFS, v.Site) }

// Normalize brings the fields to their canonical form.
func (v *VFS) Normalize() {
	v.Name, v.Description = compose(v.Name), compose(v.Description)
	if v.Type == "" {
		v.Type = VFSDisk
	}
	v.Root = cleanLocalPath(v.Root)
}

// Validate tells what is wrong with the VFS by itself; whether the folder can be used is
// for its creation to try.
func (v *VFS) Validate() error {
	var c check
	c.name("name", v.Name)
	c.slug("site", v.Site)
	c.text("description", v.Description)
	oneOf(&c, "type", v.Type, []VFSType{VFSDisk, VFSEncrypted})
	ok := isLocalPath(v.Root) && len(v.Root) <= maxText && isText(v.Root, "")
	c.that(ok, "root", quoted(v.Root)+" is not the path of a folder", `write it from the root on, as /srv/files or D:\Files, without ..`)
	c.that(v.Root != "/", "root", "it is the whole machine", "choose a folder")
	c.quota("quota", v.Quota)
	if v.Type == VFSEncrypted {
		c.that(v.KeyID != "" && strings.Trim(v.KeyID, "0123456789abcdefghijklmnopqrstuvwxyz-") == "" && len(v.KeyID) <= 64,
			"keyId", "it names no key", "let the server make one")
	} else {
		c.that(v.KeyID == "", "keyId", "a plain VFS has no key", "leave it empty")
		c.that(v.Passphrase.IsZero(), "passphrase", "a plain VFS has none", "leave it out, or make an encrypted VFS")
	}
	return c.err(v.Key())
}

// isLocalPath tells an absolute path of either system. The files of a backup may be
// those of the other.
func isLocalPath(p string) bool {
	parts := strings.FieldsFunc(p, func(r rune) bool { return r == '/' || r == '\\' })
	if slices.Contains(parts, "..") {
		return false
	}
	if strings.HasPrefix(p, "/") {
		return !strings.HasPrefix(p, "//")
	}
	drive := len(p) >= 3 && (p[0]|0x20) >= 'a' && (p[0]|0x20) <= 'z' && p[1] == ':' && (p[2] == '\\' || p[2] == '/')
	return drive && !strings.ContainsAny(p[2:], `:*?"<>|`)
}

// cleanLocalPath is the one form of a path: folders are told apart by it. One that leads up
// stays as it is, for Validate to refuse.
func cleanLocalPath(p string) string {
	if !isLocalPath(p) {
		return p
	}
	if strings.HasPrefix(p, "/") {
		return path.Clean(p)
	}
	parts := strings.FieldsFunc(p[2:], func(r rune) bool { return r == '/' || r == '\\' })
	for i, part := range parts {
		parts[i] = strings.TrimRight(part, ". ") // as Windows reads it
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	return strings.ToUpper(p[:1]) + `:\` + strings.Join(parts, `\`)
}

// References are the VFS's site.
func (v *VFS) References() []Reference { return siteReference(v.Site) }

// Search is by root and description.
func (v *VFS) Search() []string { return []string{v.Root, v.Description} }

// Secrets are the fields kept encrypted.
func (v *VFS) Secrets() []SecretField { return []SecretField{{"passphrase", &v.Passphrase}} }

// LDAPProfile is a directory that checks users' passwords.
type LDAPProfile struct {
	Head
	Site string `json:"site"`
	// URLs are its servers, asked in their order: ldaps://ldap.example.com.
	URLs []string `json:"urls"`
	// StartTLS turns an ldap:// connection into an encrypted one before anything is said.
	StartTLS bool `json:"startTLS,omitempty"`
	// CA are certificates in PEM that the servers' are checked against; those of the
	// machine if empty.
	CA           string `json:"ca,omitempty"`
	BindDN       string `json:"bindDN,omitempty"`
	BindPassword Secret `json:"bindPassword,omitzero"`
	BaseDN       string `json:"baseDN"`
	// Filter finds a user; {user} stands for the name typed, escaped.
	Filter string `json:"filter"`
	// Domains are tried in their order for a name without one.
	Domains []string `json:"domains,omitempty"`
	// Groups map a group of the directory to one of the site.
	Groups []LDAPGroup `json:"groups,omitempty"`
	// GroupAttribute names the groups in a user's entry; memberOf if empty.
	GroupAttribute string `json:"groupAttribute,omitempty"`
	TimeoutSeconds int    `json:"timeoutSeconds,omitempty"`
	// Autocreate lets in users of the directory that the site does not list, as members
	// of their mapped groups.
	Autocreate bool   `json:"autocreate,omitempty"`
	Disabled   bool   `json:"disabled,omitempty"`
	Reason     string `json:"reason,omitempty"`
}

// LDAPGroup is one line of the map.
type LDAPGroup struct {
	DN    string `json:"dn"`
	Group string `json:"group"`
}

// Key is the profile's identity.
func (l *LDAPProfile) Key() Key { return l.key(KindLDAP, l.Site) }

// Normalize brings the fields to their canonical form.
func (l *LDAPProfile) Normalize() {
	l.Name = compose(l.Name)
	for i := range l.URLs {
		l.URLs[i] = strings.TrimRight(strings.TrimSpace(l.URLs[i]), "/")
	}
	for i := range l.Groups {
		l.Groups[i].Group = compose(l.Groups[i].Group)
	}
}

// Validate tells what is wrong with the profile. A disabled one may be incomplete: so
// are those that were imported and do not pass.
func (l *LDAPProfile) Validate() error {
	var c check
	c.name("name", l.Name)
	c.slug("site", l.Site)
	c.line("reason", l.Reason)
	if l.Disabled {
		return c.err(l.Key())
	}
	c.that(len(l.URLs) > 0, "urls", "there is no server", "name one, as ldaps://ldap.example.com")
	for i, u := range l.URLs {
		c.link(at("urls", i), u, "ldaps", "ldap")
		c.that(!l.StartTLS || !strings.HasPrefix(u, "ldaps:"), at("urls", i), "ldaps:// is encrypted already", "switch startTLS off or write ldap://")
	}
	c.text("ca", l.CA)
	c.line("bindDN", l.BindDN)
	c.that(l.BindDN == "" || !l.BindPassword.IsZero(), "bindPassword", "it is missing", "give the password of "+quoted(l.BindDN))
	c.that(l.BaseDN != "" && strings.Contains(l.BaseDN, "="), "baseDN", quoted(l.BaseDN)+" is not a name in a directory", "write it as dc=example,dc=com")
	balanced := strings.HasPrefix(l.Filter, "(") && strings.HasSuffix(l.Filter, ")") && strings.Count(l.Filter, "(") == strings.Count(l.Filter, ")")
	c.that(balanced && strings.Contains(l.Filter, UserMark), "filter", quoted(l.Filter)+" finds no user", "write it as (uid={user})")
	for i, d := range l.Domains {
		c.host(at("domains", i), d)
	}
	for i, g := range l.Groups {
		c.that(strings.Contains(g.DN, "="), at("groups", i)+".dn", quoted(g.DN)+" is not a name in a directory", "write it as cn=staff,dc=example,dc=com")
		c.name(at("groups", i)+".group", g.Group)
	}
	c.number("timeoutSeconds", int64(l.TimeoutSeconds), 0, 120)
	return c.err(l.Key())
}

// References are the profile's site and groups.
func (l *LDAPProfile) References() []Reference {
	out := siteReference(l.Site)
	for i, g := range l.Groups {
		out = append(out, Reference{at("groups", i) + ".group", GroupKey(l.Site, g.Group)})
	}
	return out
}

// Search is by the servers.
func (l *LDAPProfile) Search() []string { return l.URLs }

// Secrets are the fields kept encrypted.
func (l *LDAPProfile) Secrets() []SecretField {
	return []SecretField{{"bindPassword", &l.BindPassword}}
}

// HostKey is a key that a site proves itself with.
type HostKey struct {
	Head
	Site string `json:"site"`
	// Algorithm is that of the public key: ssh-ed25519, ecdsa-sha2-nistp256, ssh-rsa.
	Algorithm string `json:"algorithm"`
	// Public is a line of a .pub file, Fingerprint SHA256:...
	Public      string `json:"public"`
	Fingerprint string `json:"fingerprint"`
	// Private is the key in PEM.
	Private  Secret `json:"private,omitzero"`
	Disabled bool   `json:"disabled,omitempty"`
}

// Key is the host key's identity.
func (h *HostKey) Key() Key { return h.key(KindHostKey, h.Site) }

// Normalize brings the fields to their canonical form.
func (h *HostKey) Normalize() {
	h.Name = compose(h.Name)
	k := PublicKey{Key: h.Public}
	k.normalize()
	h.Public, h.Fingerprint = k.Key, k.Fingerprint
	h.Algorithm, _, _ = strings.Cut(k.Key, " ")
}

// Validate tells what is wrong with the host key. How strong it is, package hostkey
// says.
func (h *HostKey) Validate() error {
	var c check
	c.name("name", h.Name)
	c.slug("site", h.Site)
	c.that(h.Fingerprint != "", "public", "it is not a public key", "write one line as in a .pub file: type and base64")
	c.that(!h.Private.IsZero(), "private", "it is missing", "give the private key, or let the server make one")
	return c.err(h.Key())
}

// References are the host key's site.
func (h *HostKey) References() []Reference { return siteReference(h.Site) }

// Search is by the fingerprint.
func (h *HostKey) Search() []string { return []string{h.Fingerprint} }

// Secrets are the fields kept encrypted.
func (h *HostKey) Secrets() []SecretField { return []SecretField{{"private", &h.Private}} }

// CertificateType is where a certificate comes from.
type CertificateType string

// The types.
const (
	CertSelfSigned CertificateType = "self-signed"
	CertPEM        CertificateType = "pem"
	CertACME       CertificateType = "acme"
)

// Certificate is one for TLS, of a site or of the whole server.
type Certificate struct {
	Head
	Site string          `json:"site,omitempty"`
	Type CertificateType `json:"type"`
	// Domains are the names and addresses that it is to hold for.
	Domains []string `json:"domains,omitempty"`
	// Chain is PEM, its own certificate first.
	Chain     string    `json:"chain,omitempty"`
	Private   Secret    `json:"private,omitzero"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
	// Fingerprint is the SHA-256 of the certificate.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Key is the certificate's identity.
func (x *Certificate) Key() Key { return x.key(KindCertificate, x.Site) }

// Normalize brings the fields to their canonical form.
func (x *Certificate) Normalize() {
	x.Name = compose(x.Name)
	for i := range x.Domains {
		x.Domains[i] = strings.ToLower(strings.TrimSpace(x.Domains[i]))
	}
}

// Validate tells what is wrong with the certificate by itself.
func (x *Certificate) Validate() error {
	var c check
	c.name("name", x.Name)
	c.optionalSlug("site", x.Site)
	oneOf(&c, "type", x.Type, []CertificateType{CertSelfSigned, CertPEM, CertACME})
	for i, d := range x.Domains {
		c.host(at("domains", i), strings.TrimPrefix(d, "*."))
	}
	c.that(len(x.Chain) <= 256<<10 && isText(x.Chain, "\n\r"), "chain", "it is not PEM", "paste the certificate and those between it and its authority")
	if x.Type == CertPEM {
		c.that(strings.HasPrefix(strings.TrimSpace(x.Chain), "-----BEGIN CERTIFICATE-----"), "chain", "it is not PEM", "begin with the certificate itself")
		c.that(!x.Private.IsZero(), "private", "it is missing", "give the private key of the certificate")
	}
	c.that(x.Type != CertACME || len(x.Domains) > 0, "domains", "there is none", "name the domains to ask a certificate for")
	return c.err(x.Key())
}

// References are the certificate's site.
func (x *Certificate) References() []Reference { return siteReference(x.Site) }

// Search is by the domains.
func (x *Certificate) Search() []string { return x.Domains }

// Secrets are the fields kept encrypted.
func (x *Certificate) Secrets() []SecretField { return []SecretField{{"private", &x.Private}} }
