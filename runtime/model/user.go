package model

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// User is somebody who transfers files.
type User struct {
	Head
	Site        string `json:"site"`
	Email       string `json:"email,omitempty"`
	Description string `json:"description,omitempty"`
	// Groups give what the user has not of his own; the first that has it counts.
	Groups   []string    `json:"groups,omitempty"`
	Password Password    `json:"password,omitzero"`
	Keys     []PublicKey `json:"keys,omitempty"`
	TOTP     TOTP        `json:"totp,omitzero"`
	// LDAP is the profile that checks the password instead.
	LDAP string `json:"ldap,omitempty"`
	// LDAPGroups has each log-in by the directory set those of Groups that the profile
	// maps, as it is with users whom the profile made. Others stay, and count first.
	LDAPGroups bool `json:"ldapGroups,omitempty"`
	Profile
	Account
}

// PublicKey is a key that a user logs in with.
type PublicKey struct {
	Name string `json:"name,omitempty"`
	// Key is a line of authorized_keys without options: type and base64.
	Key string `json:"key"`
	// Fingerprint is SHA256:..., made of Key by Normalize.
	Fingerprint string    `json:"fingerprint,omitempty"`
	Added       time.Time `json:"added,omitzero"`
	Expires     time.Time `json:"expires,omitzero"`
}

// maxPublicKey bounds the line of a key: one of RSA with 16384 bits has 2.8 KiB.
const maxPublicKey = 16 << 10

func (k *PublicKey) normalize() {
	k.Name, k.Fingerprint = compose(k.Name), ""
	if len(k.Key) > maxPublicKey {
		return
	}
	if blob, ok := plainEd25519(k.Key); ok {
		k.Fingerprint = fingerprint(blob)
		return
	}
	key, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(k.Key))
	if err != nil || len(options) > 0 || len(rest) > 0 {
		return
	}
	if k.Name == "" && isText(comment, "") {
		k.Name = comment
	}
	k.Key = strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n")
	k.Fingerprint = ssh.FingerprintSHA256(key)
}

// ed25519Key begins the line of a key of ed25519, ed25519Blob what is in its base64: most
// keys are of this kind.
const (
	ed25519Key  = "ssh-ed25519 "
	ed25519Blob = "\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
	ed25519Size = len(ed25519Blob) + 32
)

// plainEd25519 reads the line of a key of ed25519 that is in its canonical form already.
func plainEd25519(line string) (blob []byte, ok bool) {
	text, ok := strings.CutPrefix(line, ed25519Key)
	// As many bytes as are in it have one form in base64, without padding.
	if !ok || len(text) != ed25519Size/3*4 || strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(blob) != ed25519Size || !strings.HasPrefix(string(blob), ed25519Blob) {
		return nil, false
	}
	return blob, true
}

// fingerprint is that of a key, as programs for SSH show it.
func fingerprint(blob []byte) string {
	sum := sha256.Sum256(blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

func (c *check) publicKeys(field string, list []PublicKey) {
	c.that(len(list) <= 100, field, "there are too many keys", "keep at most 100")
	seen := map[string]bool{}
	for i, k := range list {
		own := at(field, i)
		c.line(own+".name", k.Name)
		own += ".key"
		// Normalize makes a fingerprint of what it can read.
		c.that(k.Fingerprint != "", own, "it is not a public key", "write one line as in a .pub file: type and base64, without options")
		c.that(first(seen, k.Key), own, "it is there twice", "take one away")
	}
}

// Key is the user's identity.
func (u *User) Key() Key { return u.key(KindUser, u.Site) }

// Normalize brings the fields to their canonical form.
func (u *User) Normalize() {
	u.Name, u.Description = compose(u.Name), compose(u.Description)
	u.Email = strings.TrimSpace(u.Email)
	u.LDAP = compose(u.LDAP)
	for i := range u.Groups {
		u.Groups[i] = compose(u.Groups[i])
	}
	for i := range u.Keys {
		u.Keys[i].normalize()
	}
	u.normalize()
}

// Validate tells what is wrong with the user.
func (u *User) Validate() error {
	var c check
	c.name("name", u.Name)
	c.slug("site", u.Site)
	c.optionalEmail("email", u.Email)
	c.text("description", u.Description)
	c.groups(u.Groups)
	c.password("password", u.Password)
	c.publicKeys("keys", u.Keys)
	c.totp("totp", u.TOTP)
	c.optionalName("ldap", u.LDAP)
	c.that(!u.LDAPGroups || u.LDAP != "", "ldapGroups", "there is no directory to take groups from", "name the LDAP profile, or switch it off")
	c.profile(u.Profile)
	c.account(u.Account)
	return c.err(u.Key())
}

func (c *check) groups(list []string) {
	c.that(len(list) <= 100, "groups", "there are too many", "keep at most 100")
	seen := map[string]bool{}
	for i, group := range list {
		c.name(at("groups", i), group)
		c.that(first(seen, Fold(group)), at("groups", i), "it is there twice", "take one away")
	}
}

// References are the user's site, groups, LDAP profile and VFSs.
func (u *User) References() []Reference {
	out := siteReference(u.Site)
	for i, group := range u.Groups {
		out = append(out, Reference{at("groups", i), GroupKey(u.Site, group)})
	}
	if u.LDAP != "" {
		out = append(out, Reference{"ldap", LDAPKey(u.Site, u.LDAP)})
	}
	return append(out, u.references(u.Site)...)
}

// Search is by address and description.
func (u *User) Search() []string { return []string{u.Email, u.Description} }

// Secrets are the fields kept encrypted.
func (u *User) Secrets() []SecretField { return []SecretField{{"totp.secret", &u.TOTP.Secret}} }

// Passwords are the fields that hold a hash.
func (u *User) Passwords() []PasswordField { return []PasswordField{{"password", &u.Password}} }

// Group gives its users what they have not of their own.
type Group struct {
	Head
	Site        string `json:"site"`
	Description string `json:"description,omitempty"`
	Profile
	Account
}

// Key is the group's identity.
func (g *Group) Key() Key { return g.key(KindGroup, g.Site) }

// Normalize brings the fields to their canonical form.
func (g *Group) Normalize() {
	g.Name, g.Description = compose(g.Name), compose(g.Description)
	g.normalize()
}

// Validate tells what is wrong with the group.
func (g *Group) Validate() error {
	var c check
	c.name("name", g.Name)
	c.slug("site", g.Site)
	c.text("description", g.Description)
	c.profile(g.Profile)
	c.account(g.Account)
	return c.err(g.Key())
}

// References are the group's site and VFSs.
func (g *Group) References() []Reference {
	return append(siteReference(g.Site), g.references(g.Site)...)
}

// Search is by the description.
func (g *Group) Search() []string { return []string{g.Description} }

// Effective is the user with what his groups give him: of each setting his own, else
// that of the first group in his order that has it; folders and overrides of all, his
// own before theirs. A disabled group gives nothing away: its users may not log in.
func (u *User) Effective(groups []*Group) *User {
	e := *u
	e.Folders, e.Overrides = slices.Clone(u.Folders), slices.Clone(u.Overrides)
	for _, g := range groups {
		if e.Home.VFS == "" {
			e.Home = g.Home
		}
		if e.Quota == (Quota{}) {
			e.Quota = g.Quota
		}
		if len(e.Speed) == 0 {
			e.Speed = g.Speed
		}
		if len(e.AllowFrom) == 0 {
			e.AllowFrom = g.AllowFrom
		}
		if len(e.Auth) == 0 {
			e.Auth = g.Auth
		}
		if e.MaxSessions == 0 {
			e.MaxSessions = g.MaxSessions
		}
		for _, f := range g.Folders {
			if !slices.ContainsFunc(e.Folders, func(own VirtualFolder) bool { return Fold(own.Mount) == Fold(f.Mount) }) {
				e.Folders = append(e.Folders, f)
			}
		}
		for _, o := range g.Overrides {
			if !slices.ContainsFunc(e.Overrides, func(own PathPermissions) bool { return own.Path == o.Path }) {
				e.Overrides = append(e.Overrides, o)
			}
		}
		e.Account = e.Account.narrowed(g)
	}
	return &e
}

// narrowed is the account within the bounds of a group's.
func (a Account) narrowed(g *Group) Account {
	if g.Disabled && !a.Disabled {
		a.Disabled, a.Reason = true, fmt.Sprintf("the group %s is disabled", g.Name)
	}
	if g.EnableFrom.After(a.EnableFrom) {
		a.EnableFrom = g.EnableFrom
	}
	if !g.DisableFrom.IsZero() && (a.DisableFrom.IsZero() || g.DisableFrom.Before(a.DisableFrom)) {
		a.DisableFrom = g.DisableFrom
	}
	return a
}
