package v45

import (
	"encoding/json"
	"strings"

	"ss-setup/migrate/collection"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/document"
	"ss-setup/runtime/model"
)

// sortOf tells what an account is by its UserType: SMS, ADUser, ADGroup, WinUser, ...
func sortOf(userType string) convert.Sort {
	w := convert.Bare(userType)
	group := strings.HasSuffix(w, "group")
	switch {
	case strings.HasPrefix(w, "win"):
		if group {
			return convert.WindowsGroup
		}
		return convert.WindowsUser
	case strings.HasPrefix(w, "ad"), strings.Contains(w, "directory"), strings.Contains(w, "ldap"):
		if group {
			return convert.DirectoryGroup
		}
		return convert.DirectoryUser
	case group:
		return convert.LocalGroup
	}
	return convert.Local
}

// isGroup tells groups from users.
func isGroup(s convert.Sort) bool {
	return s == convert.WindowsGroup || s == convert.DirectoryGroup || s == convert.LocalGroup
}

// accountName is what tells in which order accounts are taken over.
func accountName(doc *document.Value) *convert.Account {
	return &convert.Account{Name: doc.Get("Username").Str(), Sort: sortOf(doc.Get("UserType").Str())}
}

// localTypes are words for accounts of the server's own, without user or group behind.
var localTypes = map[string]bool{"": true, "sms": true, "sm": true, "normal": true, "local": true, "internal": true, "standard": true, "default": true}

// unknownType is a UserType that is none that is known here.
func unknownType(userType string) string {
	w := convert.Bare(userType)
	if s := sortOf(userType); s != convert.Local && s != convert.LocalGroup || localTypes[strings.TrimSuffix(strings.TrimSuffix(w, "group"), "user")] {
		return ""
	}
	return userType
}

// account reads a user.
func (i *run) account(a *convert.Account, doc *document.Value) {
	userType := doc.Get("UserType").Str()
	*a = convert.Account{
		Name: doc.Get("Username").Str(), Email: doc.Get("Email").Str(), Description: doc.Get("Description").Str(),
		Sort: sortOf(userType), Password: password(doc), Auth: words(doc.Get("AuthTypes")), Speed: speeds(doc.Get("SpeedLimits")),
		Directory: doc.Get("LDAPServerID", "LDAPServer").Str(),
	}
	a.Type = unknownType(userType)
	a.Active = !strings.Contains(convert.Bare(userType), "ldap")
	doc.Get("_id").Skip()
	a.AuthAll, _ = doc.Get("AuthAll").True()
	for k := range doc.Get("PubKeys").Items() {
		if k.Kind() == document.String {
			a.Keys = append(a.Keys, convert.UserKey{Text: k.Str()})
			continue
		}
		a.Keys = append(a.Keys, convert.UserKey{Name: first(k, "Name", "Comment", "KeyName"), Text: first(k, "PubKey", "Key", "Data")})
		k.Skip()
	}
	a.Home = i.folder(a, doc.Get("Home"))
	a.HomeRights = homeRights(doc.Get("Home").Get("Permissions"), a.Home.Permissions)
	for f := range doc.Get("VirtualFolders").Items() {
		a.Folders = append(a.Folders, i.folder(a, f))
	}
	if doc.Has("AllowSFTP") {
		yes, _ := collection.Truth(doc.Get("AllowSFTP"))
		a.NoSFTP = !yes
	}
	a.Disabled, a.Status = collection.Status(doc.Get("AccountStatus"))
	a.From = collection.Date(doc, "AutoEnable", "AutoEnableWhen")
	a.Until = collection.Date(doc, "AutoDisable", "AutoDisableWhen")
	for n := range doc.Get("AllowedIPs").Items() {
		a.Allow = append(a.Allow, network(n))
	}
	if v := doc.Get("EventHandlers"); v != nil {
		for h := range v.Items() {
			a.Handlers = append(a.Handlers, first(h, "Event", "Name", "ScriptName", "Script", "_id"))
		}
		v.Skip()
	}
	a.Layout = func() string { return layout(a) }
	a.MaxSessions, _ = doc.Get("MaxConn", "MaxConnections").Int()
	i.Leave(doc, users, "the LDAP profile says which domains there are", "RemapDomain")
	i.Leave(doc, users, "this protocol is not served here", "AllowPlainFTP", "AllowExplicitFTPS", "AllowImplicitFTPS", "AllowSSH", "AllowForward", "AllowWebDAV")
	i.Leave(doc, users, "connections are not forwarded here", "AllowedFwd")
}

func (i *run) folder(a *convert.Account, doc *document.Value) convert.Folder {
	f := convert.Folder{Mount: doc.Get("MountPoint").Str(), VFS: doc.Get("VFSItemID", "VFSID").Str()}
	f.Permissions = i.permissions(a, doc.Get("Permissions"))
	if doc.Has("Visible") {
		yes, ok := doc.Get("Visible").True()
		f.Hidden = ok && !yes
	}
	if as := doc.Get("ImpType").Str(); as != "" && convert.Bare(as) != "none" {
		a.ActsAs = as
	}
	doc.Get("ImpUser").Skip()
	doc.Get("ImpPass").Skip()
	return f
}

// permissions are switches. Files and folders are renamed by one right here.
func (i *run) permissions(a *convert.Account, doc *document.Value) []model.Permission {
	can := func(name string) bool { yes, _ := collection.Truth(doc.Get(name)); return yes }
	var out []model.Permission
	give := func(yes bool, list ...model.Permission) {
		if yes {
			out = append(out, list...)
		}
	}
	give(can("canListDir"), model.PermList)
	give(can("canGetFile"), model.PermDownload)
	put := can("canPutFile")
	// Clients set times after an upload, and take a refusal for its failure.
	give(put, model.PermUpload, model.PermAttr)
	give(can("canModFile"), model.PermOverwrite, model.PermResume)
	give(can("canDelFile"), model.PermDelete)
	give(can("canMakeDir"), model.PermMkdir)
	give(can("canDelDir"), model.PermRmdir)
	files, folders := can("canRenFile"), can("canRenDir")
	give(files && folders, model.PermRename)
	if files != folders {
		a.HalfRename = true
	}
	return out
}

// homeRights is what the switches of permissions say, of which those given are on.
func homeRights(doc *document.Value, given model.Permissions) convert.Rights {
	switch {
	case doc == nil:
		return convert.RightsUnsaid
	case len(given) > 0:
		return convert.RightsKnown
	case !doc.Empty() && !doc.Has("canListDir", "canGetFile", "canPutFile", "canModFile", "canDelFile", "canMakeDir", "canDelDir", "canRenFile", "canRenDir"):
		return convert.RightsUnknown
	}
	return convert.RightsNone
}

// password reads type, salt and hash.
func password(doc *document.Value) convert.Password {
	p := convert.Password{Salt: doc.Get("Salt").Str(), Hash: doc.Get("Password", "PassHash").Str(), Scheme: convert.Foreign}
	kind := convert.Bare(doc.Get("PHType").Str())
	if kind == "v4plus" || kind == "v5" {
		p.Scheme = convert.V4
	}
	if strings.HasPrefix(p.Hash, "$") {
		p.Scheme = convert.Plain
	}
	p.MustChange, _ = doc.Get("MustChange", "MustChangePassword").True()
	return p
}

// layout is home and folders in JSON, without the passwords that old ones may have.
func layout(a *convert.Account) string {
	type folder struct {
		Mount string `json:"MountPoint"`
		VFS   string `json:"VFSItemID"`
	}
	var list []folder
	for _, f := range append([]convert.Folder{a.Home}, a.Folders...) {
		list = append(list, folder{f.Mount, f.VFS})
	}
	text, err := json.Marshal(list)
	if err != nil {
		return ""
	}
	return string(text)
}
