package v6

import (
	"fmt"
	"slices"
	"strings"

	"ss-setup/migrate/collection"
	"ss-setup/migrate/container"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/document"
	"ss-setup/runtime/model"
)

func siteKey(site, name string) container.Key { return container.Key{Site: site, Name: name} }

// identity is an object's ID, as the REST interface or as a database has it.
func identity(doc *document.Value) string {
	id, own := doc.Get("id").Str(), doc.Get("_id")
	if id == "" {
		id = own.Str()
	}
	own.Skip()
	return id
}

// account reads a User, which may be a group.
func (i *run) account(doc *document.Value) *convert.Account {
	a := &convert.Account{
		Name: identity(doc), Email: doc.Get("email").Str(), Description: doc.Get("description").Str(),
		Password: password(doc.Get("password")), TOTP: authenticator(doc), Auth: words(doc.Get("authTypes")),
		Speed: speeds(doc.Get("speedLimits")), Directory: doc.Get("ldapServerId").Str(),
	}
	a.Layout = func() string {
		return fmt.Sprintf(`{"home":%s,"virtualFolders":%s}`, doc.Get("home").Raw(), doc.Get("virtualFolders").Raw())
	}
	i.sort(a, doc)
	a.AuthAll, _ = doc.Get("authMultiOnSsh").True()
	for k := range doc.Get("sshPubKeys").Items() {
		a.Keys = append(a.Keys, convert.UserKey{Name: first(k, "name", "comment", "id"), Text: k.Get("key").Str()})
		for _, name := range []string{"id", "_id", "name", "fingerprint", "type", "comment"} {
			k.Get(name)
		}
	}
	a.Home = i.folder(a, "", doc.Get("home"))
	a.HomeRights = homeRights(doc.Get("home").Get("permissions"), a.Home.Permissions)
	for mount, v := range doc.Get("virtualFolders").Entries() {
		a.Folders = append(a.Folders, i.folder(a, mount, v))
	}
	if v := doc.Get("virtualFolders"); v.Kind() == document.List {
		for f := range v.Items() {
			a.Folders = append(a.Folders, i.folder(a, first(f, "mountPoint", "id", "path"), f))
		}
	}
	for path, v := range doc.Get("permissionOverride").Entries() {
		a.Overrides = append(a.Overrides, convert.Override{Path: path, Permissions: i.permissions(a, v.Get("permissions"))})
	}
	for item := range doc.Get("allowList").Items() {
		a.Allow = append(a.Allow, network(item))
	}
	// A server that has not set the list writes nothing, or a list of nothing.
	if list := words(doc.Get("subsystems")); len(list) > 0 {
		a.NoSFTP = !allowsSFTP(list)
	}
	a.Disabled, a.Status = collection.Status(doc.Get("status"))
	a.From = collection.Date(doc, "autoEnable", "autoEnableDate")
	a.Until = collection.Date(doc, "autoDisable", "autoDisableDate")
	if v := doc.Get("eventHandlers"); v != nil && !v.Empty() {
		for h := range v.Items() {
			a.Handlers = append(a.Handlers, first(h, "varEvent", "event"))
		}
		a.KeptHandlers = v.Raw()
		v.Skip()
	}
	i.Leave(doc, users, "pictures are not kept", "picture")
	i.Leave(doc, users, "it concerns the old pages only", "tourTaken")
	i.Leave(doc, users, "the LDAP profile says how users are found here", "ldapQuery")
	return a
}

// sort tells what an account is.
func (i *run) sort(a *convert.Account, doc *document.Value) {
	kind := convert.Bare(doc.Get("type").Str())
	windows := strings.Contains(kind, "windows") || kind == "win" || kind == "wingroup" || kind == "winuser"
	active := strings.HasPrefix(kind, "ad") && kind != "admin" || strings.Contains(kind, "activedirectory")
	directory := active || strings.Contains(kind, "ldap") || kind == "" && a.Directory != ""
	group := isGroup(a.Name)
	if group {
		a.Name = a.Name[1 : len(a.Name)-1]
	}
	known := kind == "" || windows || directory || localTypes[strings.TrimSuffix(strings.TrimSuffix(kind, "group"), "user")]
	if !known {
		a.Type = doc.Get("type").Str()
	}
	switch {
	case windows && group:
		a.Sort = convert.WindowsGroup
	case windows:
		a.Sort = convert.WindowsUser
	case directory && group:
		a.Sort = convert.DirectoryGroup
	case directory:
		a.Sort = convert.DirectoryUser
	case group:
		a.Sort = convert.LocalGroup
	}
	a.Active = active
}

// localTypes are words for accounts of the server's own, without user or group behind.
var localTypes = map[string]bool{"": true, "normal": true, "local": true, "internal": true, "standard": true, "regular": true, "sms": true, "default": true, "plain": true, "native": true, "ss": true, "ss6": true}

func first(doc *document.Value, names ...string) string {
	for _, name := range names {
		if text := doc.Get(name).Str(); text != "" {
			return text
		}
	}
	return ""
}

func (i *run) folder(a *convert.Account, mount string, doc *document.Value) convert.Folder {
	f := convert.Folder{Mount: mount, VFS: doc.Get("vfsId").Str(), Permissions: i.permissions(a, doc.Get("permissions"))}
	if doc.Has("visible") {
		yes, ok := doc.Get("visible").True()
		f.Hidden = ok && !yes
	}
	doc.Get("mountPoint")
	return f
}

// words of permissions, as the manual of version 6 lists them.
var permissionWords = map[string][]model.Permission{
	"list":         {model.PermList},
	"make":         {model.PermMkdir},
	"rename":       {model.PermRename},
	"delete":       {model.PermDelete, model.PermRmdir},
	"editmetadata": {model.PermAttr},
	"get":          {model.PermDownload},
	"put":          {model.PermUpload},
	"modify":       {model.PermOverwrite, model.PermResume},
	"symlink":      {model.PermLink},
	"all":          model.AllPermissions(),
	"full":         model.AllPermissions(),
}

func (i *run) permissions(a *convert.Account, list *document.Value) []model.Permission {
	if known, ok := i.rights[list.Raw()]; ok {
		list.Skip()
		return slices.Clone(known)
	}
	var out model.Permissions
	allKnown := list.Kind() == document.List
	for item := range list.Items() {
		allKnown = allKnown && item.Kind() == document.String
	}
	for _, word := range words(list) {
		perms, ok := permissionWords[convert.Bare(word)]
		if !ok {
			allKnown = false
			i.r.LeftOut(users+".permissions", "some permissions have names that are not known here, and are not given")
			if shown := fmt.Sprintf("%.40q", word); !slices.Contains(a.NoRights, shown) {
				a.NoRights = append(a.NoRights, shown)
			}
		}
		for _, p := range perms {
			if !out.Has(p) {
				out = append(out, p)
			}
		}
	}
	if allKnown && len(i.rights) < maxRights {
		i.rights[strings.Clone(list.Raw())] = slices.Clone(out)
	}
	return out
}

// homeRights is what a list of permissions says, of which those given are known here.
func homeRights(list *document.Value, given model.Permissions) convert.Rights {
	switch {
	case list == nil:
		return convert.RightsUnsaid
	case len(words(list)) == 0:
		return convert.RightsNone
	case !given.Has(model.PermList) && !given.Has(model.PermDownload) && !given.Has(model.PermUpload):
		return convert.RightsUnknown
	}
	return convert.RightsKnown
}

func allowsSFTP(list []string) bool {
	for _, word := range list {
		if w := convert.Bare(word); strings.Contains(w, "sftp") || w == "ssh" || w == "ssh2" || w == "all" {
			return true
		}
	}
	return false
}

// password reads a PasswordType.
func password(doc *document.Value) convert.Password {
	p := convert.Password{Salt: doc.Get("salt").Str(), Hash: doc.Get("payload").Str(), Scheme: convert.Foreign}
	p.MustChange, _ = doc.Get("mustChange").True()
	version := convert.Bare(doc.Get("version").Str())
	switch {
	case strings.HasPrefix(p.Hash, "$"):
		p.Scheme = convert.Plain
	case version == "legacy" || version == "v4plus":
		p.Scheme = convert.V4
	}
	return p
}

// secret reads a Secret: only one in clear is of use.
func secret(doc *document.Value) convert.Secret {
	text := doc.Get("payload").Str()
	switch convert.Bare(doc.Get("status").Str()) {
	case "", "plain", "plaintext", "clear", "cleartext", "decrypted", "unencrypted", "none":
		return convert.Secret{Text: text}
	}
	return convert.Secret{Sealed: text != ""}
}

func authenticator(doc *document.Value) convert.Secret {
	s := secret(doc.Get("authenticatorSecret"))
	switch convert.Bare(doc.Get("authenticatorType").Str()) {
	case "none", "disabled", "off", "no":
		return convert.Secret{}
	}
	return s
}

// network reads an SAListItem, or an address as text.
func network(doc *document.Value) convert.Network {
	if doc.Kind() == document.String {
		return convert.Network{Text: doc.Str()}
	}
	return convert.Network{Text: doc.Get("ipOrNetwork").Str(), Notes: doc.Get("notes").Str()}
}

// bytesPerKilobit: limits were in kilobits a second.
const bytesPerKilobit = 125

func speeds(list *document.Value) (out []convert.Speed) {
	for doc := range list.Items() {
		up, _ := doc.Get("upKbps").Int()
		down, _ := doc.Get("dnKbps").Int()
		out = append(out, convert.Speed{From: doc.Get("source").Str(), Up: kilobits(up), Down: kilobits(down)})
	}
	return out
}

func kilobits(n int64) int64 {
	if n < 0 || n > 1<<40 {
		return 0
	}
	return n * bytesPerKilobit
}

func mail(doc *document.Value) convert.Mail {
	m := convert.Mail{Host: first(doc, "host", "varHost"), User: doc.Get("user").Str(), From: first(doc, "sender", "varSender"), Password: secret(doc.Get("pass"))}
	m.Port, _ = doc.Get("port").Int()
	w := convert.Bare(doc.Get("tlsCliMode").Str())
	m.StartTLS = strings.Contains(w, "starttls") || strings.Contains(w, "explicit")
	m.TLS = !m.StartTLS && (strings.Contains(w, "implicit") || strings.Contains(w, "tls"))
	return m
}
