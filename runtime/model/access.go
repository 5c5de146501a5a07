package model

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Account says whether an account may be used.
type Account struct {
	Disabled bool `json:"disabled,omitempty"`
	// Reason is why it is disabled, for people.
	Reason      string    `json:"reason,omitempty"`
	EnableFrom  time.Time `json:"enableFrom,omitzero"`
	DisableFrom time.Time `json:"disableFrom,omitzero"`
}

// Active tells whether the account may be used at a moment, and if not, why.
func (a Account) Active(now time.Time) (ok bool, why string) {
	switch {
	case a.Disabled && a.Reason != "":
		return false, "the account is disabled: " + a.Reason
	case a.Disabled:
		return false, "the account is disabled"
	case now.Before(a.EnableFrom):
		return false, "the account is enabled from " + a.EnableFrom.Format(time.RFC3339)
	case !a.DisableFrom.IsZero() && !now.Before(a.DisableFrom):
		return false, "the account expired at " + a.DisableFrom.Format(time.RFC3339)
	}
	return true, ""
}

func (c *check) account(a Account) {
	c.line("reason", a.Reason)
	if !a.DisableFrom.IsZero() {
		c.that(a.EnableFrom.Before(a.DisableFrom), "disableFrom", "it is not after enableFrom", "choose a later moment")
	}
}

// Permission is one thing that a user may do in a folder.
type Permission string

// The permissions. Resume is writing into a file that is there, beyond its end or
// within; without Overwrite an upload never replaces one.
const (
	PermList      Permission = "list"
	PermDownload  Permission = "download"
	PermUpload    Permission = "upload"
	PermOverwrite Permission = "overwrite"
	PermResume    Permission = "resume"
	PermDelete    Permission = "delete"
	PermRename    Permission = "rename"
	PermMkdir     Permission = "mkdir"
	PermRmdir     Permission = "rmdir"
	PermAttr      Permission = "attributes" // times and modes
	PermLink      Permission = "link"       // make symbolic links
)

var allPermissions = []Permission{
	PermList, PermDownload, PermUpload, PermOverwrite, PermResume, PermDelete,
	PermRename, PermMkdir, PermRmdir, PermAttr, PermLink,
}

// AllPermissions are all there are.
func AllPermissions() Permissions { return slices.Clone(allPermissions) }

// UsualPermissions are all but making links.
func UsualPermissions() Permissions { return slices.Clone(allPermissions[:len(allPermissions)-1]) }

// Permissions are what a user may do in a folder.
type Permissions []Permission

// Has tells whether p is among them.
func (list Permissions) Has(p Permission) bool { return slices.Contains(list, p) }

// canonical is the order in which permissions are listed, each once; unknown ones stay,
// at the end, for Validate to name.
func (list Permissions) canonical() Permissions {
	if list.isCanonical() {
		return list
	}
	rank := func(p Permission) int {
		if i := slices.Index(allPermissions, p); i >= 0 {
			return i
		}
		return len(allPermissions)
	}
	slices.SortStableFunc(list, func(a, b Permission) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(string(a), string(b))
	})
	return slices.Compact(list)
}

// isCanonical tells lists of known permissions that are in order.
func (list Permissions) isCanonical() bool {
	rest := allPermissions
	for _, p := range list {
		i := slices.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}

func (c *check) permissions(field string, list Permissions) {
	for i, p := range list {
		if !slices.Contains(allPermissions, p) {
			oneOf(c, at(field, i), p, allPermissions)
		}
	}
}

// Folder is a place in a VFS.
type Folder struct {
	VFS string `json:"vfs,omitempty"`
	// Path is within the VFS, "/" if empty. {user} stands for the user's name.
	Path string `json:"path,omitempty"`
	// Permissions hold in the folder and below.
	Permissions Permissions `json:"permissions,omitempty"`
}

// UserMark stands for the user's name in the path of a folder.
const UserMark = "{user}"

// At is the path for a user, with his name in the place of UserMark.
func (f Folder) At(user string) string {
	return strings.ReplaceAll(CanonicalPath(f.Path), UserMark, user)
}

// VirtualFolder is a folder that a user sees under another path.
type VirtualFolder struct {
	// Mount is where the user sees it, such as "/invoices/in".
	Mount string `json:"mount"`
	Folder
	// Hidden leaves it out of listings; who knows the path gets in.
	Hidden bool `json:"hidden,omitempty"`
}

// PathPermissions replace the permissions of a folder, for a path and all below.
type PathPermissions struct {
	// Path is as the user sees it.
	Path        string      `json:"path"`
	Permissions Permissions `json:"permissions"`
}

// Quota bounds what a VFS or a user's home may hold, in bytes; 0 is no bound. At Soft an
// upload under way may finish and none begin, at Hard it is cut.
type Quota struct {
	Soft int64 `json:"soft,omitempty"`
	Hard int64 `json:"hard,omitempty"`
}

func (c *check) quota(field string, q Quota) {
	c.that(q.Soft >= 0, field+".soft", "it is negative", "use a number of bytes, or 0 for no bound")
	c.that(q.Hard >= 0, field+".hard", "it is negative", "use a number of bytes, or 0 for no bound")
	c.that(q.Hard <= 0 || q.Soft <= q.Hard, field+".soft", "it is above the hard quota", "choose it at or below")
}

// SpeedLimit bounds transfers in bytes a second; 0 is no bound.
type SpeedLimit struct {
	// From is the network that it is for, all if empty. The narrowest network counts.
	From string `json:"from,omitempty"`
	Up   int64  `json:"up,omitempty"`
	Down int64  `json:"down,omitempty"`
}

func (c *check) speed(field string, list []SpeedLimit) {
	seen := map[string]bool{}
	for i, l := range list {
		if l.From != "" {
			c.network(at(field, i)+".from", l.From)
		}
		c.that(l.Up >= 0, at(field, i)+".up", "it is negative", "use a number of bytes a second, or 0 for no bound")
		c.that(l.Down >= 0, at(field, i)+".down", "it is negative", "use a number of bytes a second, or 0 for no bound")
		c.that(first(seen, l.From), at(field, i)+".from", "there are two limits for one network", "take one away")
	}
}

func normalizeSpeed(list []SpeedLimit) {
	for i := range list {
		if list[i].From != "" {
			list[i].From = canonicalNetwork(list[i].From)
		}
	}
}

// AuthMethod is a way to prove who one is.
type AuthMethod string

// The methods. Interactive asks for the password by keyboard-interactive, and for the
// code of the authenticator app where there is one.
const (
	AuthPassword    AuthMethod = "password"
	AuthPublicKey   AuthMethod = "publickey"
	AuthInteractive AuthMethod = "keyboard-interactive"
	AuthTOTP        AuthMethod = "totp"
)

var authMethods = []AuthMethod{AuthPassword, AuthPublicKey, AuthInteractive, AuthTOTP}

// AuthChain is methods to pass one after another, as in "publickey,totp".
type AuthChain string

// Methods are the methods in their order.
func (a AuthChain) Methods() []AuthMethod {
	words := strings.Split(string(a), ",")
	out := make([]AuthMethod, len(words))
	for i, word := range words {
		out[i] = AuthMethod(strings.TrimSpace(word))
	}
	return out
}

func normalizeChains(list []AuthChain) {
	for i, chain := range list {
		words := chain.Methods()
		text := make([]string, len(words))
		for j, word := range words {
			text[j] = strings.ToLower(string(word))
		}
		list[i] = AuthChain(strings.Join(text, ","))
	}
}

func (c *check) chains(field string, list []AuthChain) {
	seen := map[AuthChain]bool{}
	for i, chain := range list {
		methods, named, own := chain.Methods(), map[AuthMethod]bool{}, at(field, i)
		for _, m := range methods {
			oneOf(c, own, m, authMethods)
			if !first(named, m) {
				c.add(own, fmt.Sprintf("it has %s twice", m), "name each method once")
			}
		}
		c.that(methods[0] != AuthTOTP, own, "a code alone would be the whole login", "put publickey or password before totp")
		c.that(first(seen, chain), own, "it is there twice", "take one away")
	}
}

// Profile is what users can have of their own or get from their groups.
type Profile struct {
	Home    Folder          `json:"home,omitzero"`
	Folders []VirtualFolder `json:"folders,omitempty"`
	// Overrides are permissions for paths as the user sees them; the longest path counts.
	Overrides []PathPermissions `json:"overrides,omitempty"`
	Quota     Quota             `json:"quota,omitzero"`
	Speed     []SpeedLimit      `json:"speed,omitempty"`
	// AllowFrom are the networks that may log in; all if empty.
	AllowFrom []string `json:"allowFrom,omitempty"`
	// Auth are the ways in, any one of which is enough; those of the site if empty.
	Auth []AuthChain `json:"auth,omitempty"`
	// MaxSessions bounds sessions at once; 0 leaves it to the site.
	MaxSessions int `json:"maxSessions,omitempty"`
}

func (p *Profile) normalize() {
	p.Home.normalize()
	for i := range p.Folders {
		f := &p.Folders[i]
		f.Mount = CanonicalPath(f.Mount)
		f.Folder.normalize()
	}
	for i := range p.Overrides {
		o := &p.Overrides[i]
		o.Path, o.Permissions = CanonicalPath(o.Path), o.Permissions.canonical()
	}
	normalizeSpeed(p.Speed)
	canonicalNetworks(p.AllowFrom)
	normalizeChains(p.Auth)
}

func (f *Folder) normalize() {
	f.VFS = compose(f.VFS)
	if f.Path != "" {
		f.Path = CanonicalPath(f.Path)
	}
	f.Permissions = f.Permissions.canonical()
}

func (c *check) profile(p Profile) {
	if p.Home.VFS != "" {
		c.folder("home", p.Home)
	} else {
		c.that(p.Home.Path == "", "home.path", "it has no VFS", "name one in home.vfs")
	}
	mounts, paths := map[string]bool{}, map[string]bool{}
	for i, f := range p.Folders {
		field := at("folders", i)
		c.path(field+".mount", f.Mount)
		c.that(f.Mount != "/", field+".mount", "the root is the home", "choose a path below it")
		c.folder(field, f.Folder)
		c.that(first(mounts, Fold(f.Mount)), field+".mount", "two folders have this path", "choose another path for one")
	}
	for i, o := range p.Overrides {
		c.path(at("overrides", i)+".path", o.Path)
		c.permissions(at("overrides", i)+".permissions", o.Permissions)
		c.that(first(paths, o.Path), at("overrides", i)+".path", "it is there twice", "take one away")
	}
	c.quota("quota", p.Quota)
	c.speed("speed", p.Speed)
	c.networks("allowFrom", p.AllowFrom)
	c.chains("auth", p.Auth)
	c.number("maxSessions", int64(p.MaxSessions), 0, 100_000)
}

func (c *check) folder(field string, f Folder) {
	c.name(field+".vfs", f.VFS)
	if f.Path != "" {
		c.path(field+".path", f.Path)
	}
	c.permissions(field+".permissions", f.Permissions)
}

func (p *Profile) references(site string) []Reference {
	var out []Reference
	if p.Home.VFS != "" {
		out = append(out, Reference{"home.vfs", VFSKey(site, p.Home.VFS)})
	}
	for i, f := range p.Folders {
		out = append(out, Reference{at("folders", i) + ".vfs", VFSKey(site, f.VFS)})
	}
	return out
}

// CanonicalPath is a path of the server's own, with "/" in front and nothing behind.
// What climbs stays as it is, for Validate to name.
func CanonicalPath(text string) string {
	text = compose(text)
	if slices.Contains(strings.Split(text, "/"), "..") {
		return text
	}
	return path.Clean("/" + text)
}

func (c *check) path(field, text string) {
	if !IsPath(text) {
		c.add(field, quoted(text)+" is not a path of the server", "write it as /folder/in/folder, without .. and \\")
	}
}

// IsPath tells whether a path of the server is one that an object may name.
func IsPath(text string) bool {
	return len(text) <= maxText && isText(text, "") && !strings.Contains(text, `\`) && strings.HasPrefix(text, "/") &&
		!slices.Contains(strings.Split(text, "/"), "..")
}
