package model

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Node is a machine that runs the server.
type Node struct {
	Head
	Description string `json:"description,omitempty"`
	// Address is where the other nodes reach this one, HOST:PORT.
	Address string `json:"address,omitempty"`
}

// Key is the node's identity.
func (n *Node) Key() Key { return NodeKey(n.Name) }

// Normalize brings the fields to their canonical form.
func (n *Node) Normalize() { n.Description = compose(n.Description) }

// Search is by the description.
func (n *Node) Search() []string { return []string{n.Description, n.Address} }

// Validate tells what is wrong with the node.
func (n *Node) Validate() error {
	var c check
	c.slug("name", n.Name)
	c.line("description", n.Description)
	if n.Address != "" {
		c.hostPort("address", n.Address)
	}
	return c.err(n.Key())
}

// Contact is what SuperAdmins and Admins have alike.
type Contact struct {
	Email    string   `json:"email,omitempty"`
	Password Password `json:"password,omitzero"`
	TOTP     TOTP     `json:"totp,omitzero"`
	// AllowFrom are the networks that may log in; all if empty.
	AllowFrom []string `json:"allowFrom,omitempty"`
	Account
}

func (a *Contact) normalize() {
	a.Email = strings.TrimSpace(a.Email)
	canonicalNetworks(a.AllowFrom)
}

func (c *check) contact(a Contact) {
	c.optionalEmail("email", a.Email)
	c.password("password", a.Password)
	c.totp("totp", a.TOTP)
	c.networks("allowFrom", a.AllowFrom)
	c.account(a.Account)
}

// Search is by the address.
func (a *Contact) Search() []string { return []string{a.Email} }

// Secrets are the fields kept encrypted.
func (a *Contact) Secrets() []SecretField { return []SecretField{{"totp.secret", &a.TOTP.Secret}} }

// Passwords are the fields that hold a hash.
func (a *Contact) Passwords() []PasswordField { return []PasswordField{{"password", &a.Password}} }

// SuperAdmin rules the server: nodes, sites, licenses, backups, and what is in the sites.
type SuperAdmin struct {
	Head
	Contact
}

// Key is the SuperAdmin's identity.
func (s *SuperAdmin) Key() Key { return s.key(KindSuperAdmin, "") }

// Normalize brings the fields to their canonical form.
func (s *SuperAdmin) Normalize() {
	s.Name = compose(s.Name)
	s.normalize()
}

// Validate tells what is wrong with the SuperAdmin. A recovery address is required.
func (s *SuperAdmin) Validate() error {
	var c check
	c.name("name", s.Name)
	c.that(s.Email != "", "email", "it is missing", "give the address that a lost password is recovered with")
	c.contact(s.Contact)
	return c.err(s.Key())
}

// Search is by the address.
func (s *SuperAdmin) Search() []string { return s.Contact.Search() }

// Secrets are the fields kept encrypted.
func (s *SuperAdmin) Secrets() []SecretField { return s.Contact.Secrets() }

// Passwords are the fields that hold a hash.
func (s *SuperAdmin) Passwords() []PasswordField { return s.Contact.Passwords() }

// Rights say which kinds of objects an Admin or a token may see and change. Who may
// change a kind may see it.
type Rights struct {
	View []Kind `json:"view,omitempty"`
	Edit []Kind `json:"edit,omitempty"`
}

// MayView tells whether the kind may be seen.
func (r Rights) MayView(k Kind) bool { return slices.Contains(r.View, k) || r.MayEdit(k) }

// MayEdit tells whether the kind may be changed.
func (r Rights) MayEdit(k Kind) bool { return slices.Contains(r.Edit, k) }

// FullRights are over everything that belongs to a site.
func FullRights() Rights {
	var r Rights
	for _, k := range Kinds() {
		if k.Scoped() {
			r.View, r.Edit = append(r.View, k), append(r.Edit, k)
		}
	}
	return r
}

// kindNames are those that rights can name.
func kindNames() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

func (c *check) rights(r Rights) {
	for name, list := range map[string][]Kind{"rights.view": r.View, "rights.edit": r.Edit} {
		for i, k := range list {
			c.that(k.Known(), at(name, i), quoted(string(k))+" is not a kind of object", "use some of "+kindNames())
		}
	}
}

func (c *check) sites(list []string) {
	for i, site := range list {
		c.slug(at("sites", i), site)
	}
}

func siteReferences(list []string) []Reference {
	out := make([]Reference, len(list))
	for i, site := range list {
		out[i] = Reference{at("sites", i), SiteKey(site)}
	}
	return out
}

// Admin rules users and settings of some sites.
type Admin struct {
	Head
	Contact
	Sites  []string `json:"sites,omitempty"`
	Rights Rights   `json:"rights,omitzero"`
}

// Key is the Admin's identity.
func (a *Admin) Key() Key { return a.key(KindAdmin, "") }

// Normalize brings the fields to their canonical form.
func (a *Admin) Normalize() {
	a.Name = compose(a.Name)
	a.normalize()
}

// Validate tells what is wrong with the Admin.
func (a *Admin) Validate() error {
	var c check
	c.name("name", a.Name)
	c.contact(a.Contact)
	c.sites(a.Sites)
	c.rights(a.Rights)
	return c.err(a.Key())
}

// References are the Admin's sites.
func (a *Admin) References() []Reference { return siteReferences(a.Sites) }

// Search is by the address.
func (a *Admin) Search() []string { return a.Contact.Search() }

// Secrets are the fields kept encrypted.
func (a *Admin) Secrets() []SecretField { return a.Contact.Secrets() }

// Passwords are the fields that hold a hash.
func (a *Admin) Passwords() []PasswordField { return a.Contact.Passwords() }

// Token lets a program use the REST API.
type Token struct {
	Head
	Description string `json:"description,omitempty"`
	// Hash is the SHA-256 of the token in hex. A token is 256 random bits, so nothing
	// slower is needed.
	Hash string `json:"hash,omitempty"`
	// Super gives a SuperAdmin's rights instead of Rights over Sites.
	Super     bool      `json:"super,omitempty"`
	Sites     []string  `json:"sites,omitempty"`
	Rights    Rights    `json:"rights,omitzero"`
	AllowFrom []string  `json:"allowFrom,omitempty"`
	Expires   time.Time `json:"expires,omitzero"`
	Disabled  bool      `json:"disabled,omitempty"`
}

// Key is the token's identity.
func (t *Token) Key() Key { return Key{Kind: KindToken, ID: t.Name} }

// Normalize brings the fields to their canonical form.
func (t *Token) Normalize() {
	t.Description = compose(t.Description)
	canonicalNetworks(t.AllowFrom)
}

// Validate tells what is wrong with the token.
func (t *Token) Validate() error {
	var c check
	c.slug("name", t.Name)
	c.line("description", t.Description)
	c.that(len(t.Hash) == 64 && strings.Trim(t.Hash, "0123456789abcdef") == "", "hash", "it is not a SHA-256 in hex", "make the token again")
	c.sites(t.Sites)
	c.rights(t.Rights)
	c.networks("allowFrom", t.AllowFrom)
	return c.err(t.Key())
}

// References are the token's sites.
func (t *Token) References() []Reference { return siteReferences(t.Sites) }

// Search is by the description.
func (t *Token) Search() []string { return []string{t.Description} }

// List is one of the three lists of Protector.
type List string

// The lists. An allow list with entries lets only these in; a safe-listed address is
// refused when it misbehaves, but never block-listed.
const (
	ListBlock List = "block"
	ListAllow List = "allow"
	ListSafe  List = "safe"
)

// Reason is why an entry was made.
type Reason string

// The reasons: an administrator, or Protector for connections in a row, failed logins,
// violations of the protocol.
const (
	ReasonManual    Reason = "manual"
	ReasonHammering Reason = "hammering"
	ReasonAuth      Reason = "auth"
	ReasonProtocol  Reason = "protocol"
)

// Entry is an address or network in a list of a site, or of all sites. Its name is made
// of list and network.
type Entry struct {
	Head
	Site    string `json:"site,omitempty"`
	List    List   `json:"list"`
	Network string `json:"network"`
	// Expires is the end of a ban; one of the zero time is permanent.
	Expires time.Time `json:"expires,omitzero"`
	Reason  Reason    `json:"reason,omitempty"`
	// Offences is how often the address was banned; bans grow with it.
	Offences int    `json:"offences,omitempty"`
	Notes    string `json:"notes,omitempty"`
}

// EntryKey is the key of an entry, for a network in any spelling.
func EntryKey(site string, list List, network string) Key {
	return Key{Kind: KindEntry, Site: site, ID: string(list) + ":" + strings.ToLower(canonicalNetwork(network))}
}

// Key is the entry's identity.
func (e *Entry) Key() Key { return EntryKey(e.Site, e.List, e.Network) }

// Normalize brings the fields to their canonical form.
func (e *Entry) Normalize() {
	e.Network = canonicalNetwork(e.Network)
	e.Notes = compose(e.Notes)
	if e.Reason == "" {
		e.Reason = ReasonManual
	}
	e.Name = e.Key().ID
}

// Validate tells what is wrong with the entry.
func (e *Entry) Validate() error {
	var c check
	c.optionalSlug("site", e.Site)
	oneOf(&c, "list", e.List, []List{ListBlock, ListAllow, ListSafe})
	c.network("network", e.Network)
	c.number("offences", int64(e.Offences), 0, 1<<31)
	oneOf(&c, "reason", e.Reason, []Reason{ReasonManual, ReasonHammering, ReasonAuth, ReasonProtocol})
	c.text("notes", e.Notes)
	return c.err(e.Key())
}

// Prefix is the entry's network; it is not valid for an entry that does not validate.
func (e *Entry) Prefix() netip.Prefix {
	p, err := Network(e.Network)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Current tells whether the entry holds at a moment.
func (e *Entry) Current(now time.Time) bool { return e.Expires.IsZero() || now.Before(e.Expires) }

// References are the entry's site.
func (e *Entry) References() []Reference { return siteReference(e.Site) }

// Search is by the notes.
func (e *Entry) Search() []string { return []string{e.Notes} }

// Legacy is what an older product knew and this one does not serve: kept as it was, for
// backups and for a release that may.
type Legacy struct {
	Head
	Site string `json:"site,omitempty"`
	// Source is the product version it comes from, Type what it was there.
	Source string          `json:"source"`
	Type   string          `json:"type"`
	Data   json.RawMessage `json:"data,omitempty"`
	// Whole is all of it, as JSON, where Data leaves out what is secret.
	Whole Secret `json:"whole,omitzero"`
}

// Key is the object's identity.
func (l *Legacy) Key() Key {
	return Key{Kind: KindLegacy, Site: l.Site, ID: Fold(l.Type + ":" + l.Name)}
}

// Normalize brings the fields to their canonical form.
func (l *Legacy) Normalize() { l.Name = compose(l.Name) }

// Validate tells what is wrong with the object; its content is nobody's business.
func (l *Legacy) Validate() error {
	var c check
	c.optionalSlug("site", l.Site)
	c.that(l.Name != "", "name", "it is missing", "give one")
	c.line("name", l.Name)
	c.slug("type", l.Type)
	c.line("source", l.Source)
	c.that(len(l.Data) == 0 || json.Valid(l.Data), "data", "it is not JSON", "import it again")
	return c.err(l.Key())
}

// References are the object's site.
func (l *Legacy) References() []Reference { return siteReference(l.Site) }

// Secrets are the fields kept encrypted.
func (l *Legacy) Secrets() []SecretField { return []SecretField{{"whole", &l.Whole}} }
