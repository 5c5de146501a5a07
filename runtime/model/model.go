// Package model is the vocabulary of the server: what a node, a site, a user or a VFS
// is, when one is valid, and how it looks in JSON. Backup, REST, the importers and the
// store speak it; it does no input or output and knows none of them.
//
// The promises: the JSON forms only ever grow; an object that passes Validate has only
// canonical values after Normalize; an error names the object, the field and the cure.
// What one object alone cannot tell (does the VFS exist that a user names?) it hands
// out as References, for the write path to check.
package model

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is a sort of object. Its text stands in keys, backups and URLs.
type Kind string

// The kinds.
const (
	KindSettings    Kind = "settings"
	KindNode        Kind = "node"
	KindSuperAdmin  Kind = "superadmin"
	KindAdmin       Kind = "admin"
	KindToken       Kind = "token"
	KindSite        Kind = "site"
	KindBinding     Kind = "binding"
	KindGroup       Kind = "group"
	KindUser        Kind = "user"
	KindVFS         Kind = "vfs"
	KindLDAP        Kind = "ldap"
	KindHostKey     Kind = "hostkey"
	KindCertificate Kind = "certificate"
	KindEntry       Kind = "entry"
	KindLegacy      Kind = "legacy"
)

type kindInfo struct {
	kind   Kind
	scoped bool // its objects belong to a site
	make   func() Object
}

// kinds is in the order in which objects can be restored: what is referred to first.
var kinds = []kindInfo{
	{KindNode, false, func() Object { return new(Node) }},
	{KindSuperAdmin, false, func() Object { return new(SuperAdmin) }},
	{KindSite, false, func() Object { return new(Site) }},
	{KindCertificate, true, func() Object { return new(Certificate) }},
	{KindAdmin, false, func() Object { return new(Admin) }},
	{KindToken, false, func() Object { return new(Token) }},
	{KindHostKey, true, func() Object { return new(HostKey) }},
	{KindBinding, true, func() Object { return new(Binding) }},
	{KindVFS, true, func() Object { return new(VFS) }},
	{KindGroup, true, func() Object { return new(Group) }},
	{KindLDAP, true, func() Object { return new(LDAPProfile) }},
	{KindUser, true, func() Object { return new(User) }},
	{KindEntry, true, func() Object { return new(Entry) }},
	{KindLegacy, true, func() Object { return new(Legacy) }},
	{KindSettings, false, func() Object { return new(Settings) }},
}

// Kinds lists all kinds; one that others refer to stands before them.
func Kinds() []Kind {
	out := make([]Kind, len(kinds))
	for i, k := range kinds {
		out[i] = k.kind
	}
	return out
}

func (k Kind) info() (kindInfo, bool) {
	i := slices.IndexFunc(kinds, func(info kindInfo) bool { return info.kind == k })
	if i < 0 {
		return kindInfo{}, false
	}
	return kinds[i], true
}

// Known tells a kind of this release from one that a newer or foreign file names.
func (k Kind) Known() bool { _, ok := k.info(); return ok }

// Scoped tells whether the kind's objects belong to a site.
func (k Kind) Scoped() bool { info, _ := k.info(); return info.scoped }

// New is an empty object of the kind, nil for an unknown kind.
func (k Kind) New() Object {
	if info, ok := k.info(); ok {
		return info.make()
	}
	return nil
}

// Key identifies an object. Site is empty for kinds that belong to no site, and for
// certificates and entries that hold for all of them. ID is the folded name.
type Key struct {
	Kind Kind
	Site string
	ID   string
}

// String is KIND/ID, or KIND/SITE/ID for kinds that belong to a site.
func (k Key) String() string {
	if k.Kind.Scoped() {
		return string(k.Kind) + "/" + k.Site + "/" + k.ID
	}
	return string(k.Kind) + "/" + k.ID
}

// ParseKey reads what String wrote.
func ParseKey(text string) (Key, error) {
	kind, rest, _ := strings.Cut(text, "/")
	key := Key{Kind: Kind(kind), ID: rest}
	if !key.Kind.Known() {
		return Key{}, fmt.Errorf("%q is no key: this release knows no kind %q", text, kind)
	}
	if key.Kind.Scoped() {
		site, id, ok := strings.Cut(rest, "/")
		if !ok {
			return Key{}, fmt.Errorf("%q is no key: it has no site", text)
		}
		key.Site, key.ID = site, id
	}
	if key.ID == "" {
		return Key{}, fmt.Errorf("%q is no key: it ends without a name", text)
	}
	return key, nil
}

// MarshalText is String.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParseKey.
func (k *Key) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKey(string(text))
	return err
}

// Object is what all objects can do.
type Object interface {
	// Key is the object's identity. It is right only after Normalize.
	Key() Key
	// Header is the part that all objects have.
	Header() *Head
	// Normalize brings every field to its one canonical form, as far as it has one:
	// names composed, addresses and networks as Go prints them.
	Normalize()
	// Validate tells everything that is wrong with the object by itself, as an
	// *InvalidError. It expects a normalised object.
	Validate() error
	// References are the objects that must exist beside this one.
	References() []Reference
	// Search is what people find the object by, besides its ID.
	Search() []string
	// Secrets are the fields that are kept encrypted, with their names.
	Secrets() []SecretField
	// Passwords are the fields that hold a hash, with their names.
	Passwords() []PasswordField
}

// Reference is one field's claim that another object exists.
type Reference struct {
	Field string
	To    Key
}

// Head is what every object begins with.
type Head struct {
	// Name is the name as people write it. It cannot change: the object's ID is made
	// of it.
	Name string `json:"name"`
	// Rev is the number of the change that made the object what it is; 0 for an
	// object that was never stored. Who updates an object hands in the Rev he read.
	Rev uint64 `json:"rev,omitempty"`
	// Created, Modified and By are set by the write path.
	Created  time.Time `json:"created,omitzero"`
	Modified time.Time `json:"modified,omitzero"`
	By       string    `json:"by,omitempty"`
}

// Header is the head itself.
func (h *Head) Header() *Head { return h }

// None of these is there unless a kind says so.

// References are none.
func (h *Head) References() []Reference { return nil }

// Search is by the name as it is written.
func (h *Head) Search() []string { return nil }

// Secrets are none.
func (h *Head) Secrets() []SecretField { return nil }

// Passwords are none.
func (h *Head) Passwords() []PasswordField { return nil }

func (h *Head) key(kind Kind, site string) Key { return Key{Kind: kind, Site: site, ID: Fold(h.Name)} }

// siteReference is the claim of every object that belongs to a site.
func siteReference(site string) []Reference {
	if site == "" {
		return nil
	}
	return []Reference{{Field: "site", To: SiteKey(site)}}
}

// SiteKey is the key of a site.
func SiteKey(site string) Key { return Key{Kind: KindSite, ID: site} }

// UserKey is the key of a user, by his name as anybody may write it.
func UserKey(site, name string) Key { return Key{Kind: KindUser, Site: site, ID: Fold(name)} }

// GroupKey is the key of a group, by its name as anybody may write it.
func GroupKey(site, name string) Key { return Key{Kind: KindGroup, Site: site, ID: Fold(name)} }

// VFSKey is the key of a VFS, by its name as anybody may write it.
func VFSKey(site, name string) Key { return Key{Kind: KindVFS, Site: site, ID: Fold(name)} }

// LDAPKey is the key of an LDAP profile, by its name as anybody may write it.
func LDAPKey(site, name string) Key { return Key{Kind: KindLDAP, Site: site, ID: Fold(name)} }

// SuperAdminKey is the key of a SuperAdmin.
func SuperAdminKey(name string) Key { return Key{Kind: KindSuperAdmin, ID: Fold(name)} }

// AdminKey is the key of an Admin.
func AdminKey(name string) Key { return Key{Kind: KindAdmin, ID: Fold(name)} }

// NodeKey is the key of a node.
func NodeKey(name string) Key { return Key{Kind: KindNode, ID: name} }

// SettingsKey is the key of the one settings object.
func SettingsKey() Key { return Key{Kind: KindSettings, ID: SettingsName} }
