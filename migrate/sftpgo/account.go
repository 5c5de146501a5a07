package sftpgo

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ss-setup/migrate/convert"
	"ss-setup/migrate/document"
	"ss-setup/migrate/report"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/model"
)

// group is what users need to know of a group: SFTPGo lays some settings of the first
// group over those of a user, and adds others.
type group struct {
	home *convert.Folder
	// elsewhere tells that the home is no folder of the machine.
	elsewhere   bool
	permissions map[string][]string
	filters     filters
	expiresIn   int64
	folders     []convert.Folder
}

// Sorts of membership.
const (
	primary   = 1
	secondary = 2
)

// filters are the bounds of an account.
type filters struct {
	allowed, denied, methods, protocols, second []string
}

func (f filters) and(o filters) filters {
	return filters{
		slices.Concat(f.allowed, o.allowed), slices.Concat(f.denied, o.denied), slices.Concat(f.methods, o.methods),
		slices.Concat(f.protocols, o.protocols), slices.Concat(f.second, o.second),
	}
}

// providers are the kinds of storage, by their numbers.
var providers = []string{"local", "s3", "gcs", "azblob", "crypt", "sftp", "http"}

// shown are the fields of a foreign storage that tell which it is, and no secret.
var shown = []string{"bucket", "container", "account_name", "key_prefix", "region", "endpoint", "username", "prefix"}

// provider is the kind of storage of a "filesystem", and what is kept of a foreign one.
func provider(doc *document.Value) (name, kept string) {
	n, _ := doc.Get("provider").Int()
	name = "number " + strconv.FormatInt(n, 10)
	if n >= 0 && n < int64(len(providers)) {
		name = providers[n]
	}
	about := map[string]string{"provider": name}
	for _, key := range []string{"s3config", "gcsconfig", "azblobconfig", "sftpconfig", "httpconfig"} {
		for _, field := range shown {
			// What stands before an @ may be a name and password.
			text := doc.Get(key).Get(field).Str()
			if text = text[strings.LastIndex(text, "@")+1:]; text != "" {
				about[field] = text
			}
		}
	}
	doc.Skip()
	raw, err := json.Marshal(about)
	if err != nil {
		raw = []byte("null")
	}
	return name, string(raw)
}

// storage is where files of the machine lie, or what stands for another place.
func (i *run) storage(doc *document.Value, id, name, folder string) (convert.Folder, error) {
	kind, kept := provider(doc)
	if kind == "local" {
		return i.site.Place(userMark(folder))
	}
	if kind == "crypt" {
		kind = "encrypted by SFTPGo"
	}
	err := i.site.VFS(convert.Storage{ID: id, Name: name, Type: kind, Root: folder, Raw: kept})
	return convert.Folder{VFS: id}, err
}

// userMark writes the name of the user in a folder as it is here.
func userMark(folder string) string { return strings.ReplaceAll(folder, "%username%", model.UserMark) }

// folders are the virtual folders: places that users and groups share.
func (i *run) folders() error {
	return i.each(folders, func(doc *document.Value) error {
		name := doc.Get("name").Str()
		kind, kept := provider(doc.Get("filesystem"))
		old := convert.Storage{
			ID: "folder " + name, Name: name, Description: doc.Get("description").Str(), Type: kind, Disk: kind == "local",
			Root: doc.Get("mapped_path").Str(), Raw: kept,
		}
		if kind == "crypt" {
			old.Type = "encrypted by SFTPGo"
		}
		i.leave(doc, folders, "it is the state of a moment", "id", "used_quota_size", "used_quota_files", "last_quota_update", "users", "groups")
		return i.site.VFS(old)
	})
}

func (i *run) groupList() error {
	return i.each(groups, func(doc *document.Value) error {
		set := doc.Get("user_settings")
		a := &convert.Account{Name: doc.Get("name").Str(), Description: doc.Get("description").Str(), Sort: convert.LocalGroup}
		g := &group{permissions: permissionsOf(set.Get("permissions")), filters: i.filters(a, set.Get("filters"), groups)}
		if n, _ := set.Get("filesystem").Get("provider").Int(); n != 0 || set.Get("home_dir").Str() != "" {
			home, err := i.storage(set.Get("filesystem"), "group "+a.Name, a.Name, set.Get("home_dir").Str())
			if err != nil {
				return err
			}
			home.Permissions = i.words(a, g.permissions["/"], "/")
			g.home, g.elsewhere, a.Home = &home, n != 0, home
		}
		set.Get("filesystem").Skip()
		g.expiresIn, _ = set.Get("expires_in").Int()
		i.account(a, set, groups, g.permissions, g.filters)
		if len(g.filters.methods) > 0 {
			a.Chains, _ = chains(g.filters.methods)
		}
		a.Addresses(g.filters.allowed, g.filters.denied)
		i.virtual(a, doc.Get("virtual_folders"), g.permissions)
		g.folders = a.Folders
		a.Folders = slices.DeleteFunc(slices.Clone(a.Folders), func(f convert.Folder) bool { return strings.Contains(f.Mount, "%") })
		a.Overrides = slices.DeleteFunc(a.Overrides, func(o convert.Override) bool { return strings.Contains(o.Path, "%") })
		i.leave(doc, groups, "it is the state of a moment", "id", "created_at", "updated_at", "users", "admins")
		i.groups[a.Name] = g
		return i.accounts.Give(a)
	})
}

func (i *run) users() error {
	return i.each(users, func(doc *document.Value) error {
		a := &convert.Account{
			Name: doc.Get("username").Str(), Email: doc.Get("email").Str(), Description: doc.Get("description").Str(),
			Password: password(doc.Get("password").Str()),
		}
		n, ok := doc.Get("status").Int()
		if a.Disabled = n == 0; !ok || n > 1 {
			a.Status = doc.Get("status").Str()
		}
		for k := range doc.Get("public_keys").Items() {
			i.key(a, k.Str())
		}
		f := i.filters(a, doc.Get("filters"), users)
		permissions := permissionsOf(doc.Get("permissions"))
		first, joined := i.membership(a, doc.Get("groups"))
		for _, g := range joined {
			f = f.and(g.filters)
		}
		// The group's folder counts before the user's, but not before another storage.
		own, _ := doc.Get("filesystem").Get("provider").Int()
		if first != nil && first.home != nil && (first.elsewhere || own == 0) {
			a.Home = *first.home
			doc.Get("home_dir")
			doc.Get("filesystem").Skip()
		} else {
			home, err := i.storage(doc.Get("filesystem"), "user "+a.Name, a.Name, doc.Get("home_dir").Str())
			if err != nil {
				return err
			}
			a.Home = home
		}
		merge(permissions, first, joined)
		a.Home.Permissions = i.words(a, permissions["/"], "/")
		i.account(a, doc, users, permissions, f)
		a.Addresses(f.allowed, f.denied)
		mustHaveSecond(a, f)
		i.waysIn(a, f)
		i.virtual(a, doc.Get("virtual_folders"), permissions)
		i.virtualOf(a, joined, permissions)
		i.until(a, doc, first)
		i.leave(doc, users, "files belong to the server's account here", "uid", "gid")
		i.leave(doc, users, "it is the state of a moment", "id", "used_quota_size", "used_quota_files", "last_quota_update", "used_upload_data_transfer",
			"used_download_data_transfer", "last_login", "first_download", "first_upload", "created_at", "updated_at", "last_password_change", "deleted_at")
		i.leave(doc, users, "it has no place here", "additional_info", "oidc_custom_fields", "role", "has_password")
		return i.accounts.Give(a)
	})
}

// membership is the group whose settings go before a user's, and all that add to them.
func (i *run) membership(a *convert.Account, list *document.Value) (first *group, joined []*group) {
	for m := range list.Items() {
		name := m.Get("name").Str()
		sort, _ := m.Get("type").Int()
		if sort != primary && sort != secondary {
			i.r.LeftOut(users+".groups", "this sort of membership gives nothing")
			continue
		}
		at := len(a.Groups)
		if sort == primary {
			at = 0
		}
		a.Groups = slices.Insert(a.Groups, at, name)
		if g := i.groups[name]; g != nil && sort == primary {
			first, joined = g, slices.Insert(joined, 0, g)
		} else if g != nil {
			joined = append(joined, g)
		}
	}
	return first, joined
}

// account reads what users and groups have alike.
func (i *run) account(a *convert.Account, doc *document.Value, at string, permissions map[string][]string, f filters) {
	a.MaxSessions, _ = doc.Get("max_sessions").Int()
	a.Hard, _ = doc.Get("quota_size").Int()
	up, _ := doc.Get("upload_bandwidth").Int()
	down, _ := doc.Get("download_bandwidth").Int()
	if up > 0 || down > 0 {
		a.Speed = append(a.Speed, convert.Speed{Up: kilobytes(up), Down: kilobytes(down)})
	}
	for _, p := range sortedPaths(permissions) {
		if p == "/" {
			continue
		}
		if strings.ContainsAny(p, "*?[") {
			a.Locks = append(a.Locks, convert.Lock{Rule: report.Rights, Why: fmt.Sprintf("its permissions for %.80q are for a pattern of folders, which is not known here", p), Cure: "give it permissions for these folders and enable it"})
			continue
		}
		a.Overrides = append(a.Overrides, convert.Override{Path: userMarkOf(p, a), Permissions: i.words(a, permissions[p], p)})
	}
	a.NoSFTP = slices.Contains(f.protocols, "SSH")
	for _, field := range []string{"quota_files", "upload_data_transfer", "download_data_transfer", "total_data_transfer"} {
		if n, _ := doc.Get(field).Int(); n > 0 {
			a.Notes = append(a.Notes, convert.Lock{Rule: report.Quotas, Why: fmt.Sprintf("its bound %s of %d is not kept: nothing counts that here", field, n), Cure: "give it a quota in bytes if it needs one"})
		}
	}
}

// userMarkOf puts the name of a user into a path of his; groups keep the mark, which no
// path of an override has here.
func userMarkOf(p string, a *convert.Account) string {
	if a.Sort == convert.Local {
		return strings.ReplaceAll(p, "%username%", a.Name)
	}
	return p
}

func sortedPaths(m map[string][]string) []string {
	out := make([]string, 0, len(m))
	for p := range m {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// kilobytes are bytes.
func kilobytes(n int64) int64 {
	if n < 0 || n > 1<<40 {
		return 0
	}
	return n << 10
}

// filters reads the bounds of an account.
func (i *run) filters(a *convert.Account, doc *document.Value, at string) filters {
	f := filters{
		allowed: texts(doc.Get("allowed_ip")), denied: texts(doc.Get("denied_ip")), methods: texts(doc.Get("denied_login_methods")),
		protocols: texts(doc.Get("denied_protocols")), second: texts(doc.Get("2fa_protocols", "two_factor_protocols")),
	}
	for l := range doc.Get("bandwidth_limits").Items() {
		up, _ := l.Get("upload_bandwidth").Int()
		down, _ := l.Get("download_bandwidth").Int()
		for source := range l.Get("sources").Items() {
			a.Speed = append(a.Speed, convert.Speed{From: source.Str(), Up: kilobytes(up), Down: kilobytes(down)})
		}
	}
	note := func(rule report.Rule, why, cure string) {
		a.Notes = append(a.Notes, convert.Lock{Rule: rule, Why: why, Cure: cure})
	}
	if v := doc.Get("file_patterns"); !v.Empty() {
		note(report.Rights, "its patterns of names that were allowed or forbidden are not kept: nothing looks at names here", "take permissions away where the patterns were there for safety")
	}
	if n, _ := doc.Get("max_upload_file_size").Int(); n > 0 {
		note(report.Quotas, fmt.Sprintf("its bound of %d bytes for one upload is not kept", n), "give it a quota if it needs one")
	}
	if text := doc.Get("start_directory").Str(); text != "" && text != "/" {
		note(report.OtherSettings, fmt.Sprintf("it begins in / here and not in %.80q", text), "tell the user, or write whole paths")
	}
	if v := doc.Get("access_time"); !v.Empty() {
		a.Locks = append(a.Locks, convert.Lock{Rule: report.Dates, Why: "it might log in at certain hours only, which is not known here", Cure: "enable it if it may at any hour"})
	}
	if yes, _ := doc.Get("is_anonymous").True(); yes {
		a.Locks = append(a.Locks, convert.Lock{Rule: report.Protocols, Why: "it let in anybody, over FTP and WebDAV", Cure: "give it a password and enable it"})
	}
	if yes, _ := doc.Get("require_password_change").True(); yes {
		a.Password.MustChange = true
	}
	secondFactor(a, doc)
	for _, v := range []string{"file_patterns", "access_time", "recovery_codes", "totp_config"} {
		doc.Get(v).Skip()
	}
	i.leave(doc, at+".filters", "it concerns other protocols", "tls_username", "tls_certs", "web_client", "ftp_security", "allow_api_key_auth", "external_auth_cache_time", "default_shares_expiration", "max_shares_expiration", "password_expiration", "password_strength", "additional_emails")
	i.leave(doc, at+".filters", "programs of one's own are not asked here", "hooks", "user_type", "disable_fs_checks", "custom_placeholder1", "data_transfer_limits")
	return f
}

// secondFactor reads the authenticator app of a user.
func secondFactor(a *convert.Account, doc *document.Value) {
	t := doc.Get("totp_config")
	on, _ := t.Get("enabled").True()
	forSSH := slices.Contains(texts(t.Get("protocols")), "SSH")
	if on && forSSH {
		a.TOTP = secret(t.Get("secret"))
	}
}

// mustHaveSecond locks a user who must have a second factor, by himself or by a group, and
// has none.
func mustHaveSecond(a *convert.Account, f filters) {
	if slices.Contains(f.second, "SSH") && (a.TOTP.Text == "" || a.TOTP.Sealed) {
		a.Locks = append(a.Locks, convert.Lock{Rule: report.SecondFactor, Why: "it must have a second factor, and here it has none", Cure: "set the authenticator app up again and enable it"})
	}
}

// The ways in, as they are named where they are forbidden.
const (
	byKey         = "publickey"
	byPassword    = "password"
	byPasswordSSH = "password-over-SSH"
	byInteractive = "keyboard-interactive"
	keyPassword   = "publickey+password"
	keyAnswers    = "publickey+keyboard-interactive"
)

// chains are the ways in that are left. Two steps count only where a key alone is not
// enough. ok is false if none is left.
func chains(denied []string) (out []model.AuthChain, ok bool) {
	no := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(denied, w) })
	}
	if !no(byKey) {
		out = append(out, "publickey")
	}
	if !no(byPassword, byPasswordSSH) {
		out = append(out, "password")
	}
	if !no(byInteractive) {
		out = append(out, "keyboard-interactive")
	}
	if no(byKey) && !no(keyPassword) {
		out = append(out, "publickey,password")
	}
	if no(byKey) && !no(keyAnswers) {
		out = append(out, "publickey,keyboard-interactive")
	}
	return out, len(out) > 0
}

func (i *run) waysIn(a *convert.Account, f filters) {
	if len(f.methods) == 0 {
		return
	}
	var ok bool
	if a.Chains, ok = chains(f.methods); !ok {
		a.Locks = append(a.Locks, convert.Lock{Rule: report.Protocols, Why: "every way to log in over SSH was forbidden", Cure: "allow one and enable it"})
	}
}

// until is when a user ends: at a date of his own, or some days after he was made.
func (i *run) until(a *convert.Account, doc *document.Value, first *group) {
	if ms, _ := doc.Get("expiration_date").Int(); ms > 0 {
		a.Until.Time = time.UnixMilli(ms).UTC()
		return
	}
	made, _ := doc.Get("created_at").Int()
	if first == nil || first.expiresIn <= 0 {
		return
	}
	if made <= 0 || first.expiresIn > 1<<20 {
		a.Locks = append(a.Locks, convert.Lock{Rule: report.Dates, Why: "it ends some days after it was made, and when that was is not known", Cure: "give it an end and enable it"})
		return
	}
	a.Until.Time = time.UnixMilli(made).UTC().AddDate(0, 0, int(first.expiresIn))
}

// virtual reads the folders that an account sees beside its home.
func (i *run) virtual(a *convert.Account, list *document.Value, permissions map[string][]string) {
	for v := range list.Items() {
		name, mount := v.Get("name").Str(), v.Get("virtual_path").Str()
		a.Folders = append(a.Folders, convert.Folder{Mount: mount, VFS: "folder " + name, Permissions: i.words(a, permissionsAt(permissions, mount), mount)})
		if n, _ := v.Get("quota_size").Int(); n > 0 {
			a.Notes = append(a.Notes, convert.Lock{Rule: report.Quotas, Why: fmt.Sprintf("its quota of %d bytes in the folder %.80q is not kept: here the VFS has one for all", n, mount), Cure: "give the VFS a quota"})
		}
		v.Skip()
	}
}

// virtualOf gives a user the folders of the groups, with what the user may do there: a
// group by itself does not know that.
func (i *run) virtualOf(a *convert.Account, joined []*group, permissions map[string][]string) {
	for _, g := range joined {
		for _, f := range g.folders {
			f.Mount = userMarkOf(f.Mount, a)
			if !slices.ContainsFunc(a.Folders, func(own convert.Folder) bool { return path.Clean("/"+own.Mount) == path.Clean("/"+f.Mount) }) {
				f.Permissions = i.words(a, permissionsAt(permissions, f.Mount), f.Mount)
				a.Folders = append(a.Folders, f)
			}
		}
	}
}

// merge adds the permissions of groups to a user's as SFTPGo does: those of the first group
// for everything go before the user's own; for single folders the user's own do.
func merge(own map[string][]string, first *group, joined []*group) {
	if first != nil && first.permissions["/"] != nil {
		own["/"] = first.permissions["/"]
	}
	for _, g := range joined {
		for p, list := range g.permissions {
			if _, have := own[p]; !have && p != "/" {
				own[p] = list
			}
		}
	}
}

// permissionsOf reads the permissions of folders.
func permissionsOf(doc *document.Value) map[string][]string {
	out := map[string][]string{}
	for p, list := range doc.Entries() {
		out[path.Clean("/"+p)] = append([]string{}, texts(list)...)
	}
	return out
}

// permissionsAt are those that hold in a folder: its own, or of the nearest above it.
func permissionsAt(m map[string][]string, folder string) []string {
	for p := path.Clean("/" + folder); ; p = path.Dir(p) {
		if list, ok := m[p]; ok || p == "/" {
			return list
		}
	}
}

var permissionWords = map[string][]model.Permission{
	"*": model.AllPermissions(), "list": {model.PermList}, "download": {model.PermDownload}, "upload": {model.PermUpload},
	"overwrite": {model.PermOverwrite, model.PermResume}, "delete": {model.PermDelete, model.PermRmdir},
	"delete_files": {model.PermDelete}, "delete_dirs": {model.PermRmdir}, "rename": {model.PermRename},
	"create_dirs": {model.PermMkdir}, "create_symlinks": {model.PermLink},
	// Together with others, or nothing that is here.
	"rename_files": nil, "rename_dirs": nil, "chmod": nil, "chown": nil, "chtimes": nil, "copy": nil,
}

// words are permissions as they are here.
func (i *run) words(a *convert.Account, list []string, where string) []model.Permission {
	var out model.Permissions
	give := func(p model.Permission) {
		if !out.Has(p) {
			out = append(out, p)
		}
	}
	for _, word := range list {
		perms, ok := permissionWords[word]
		if !ok {
			a.NoRights = append(a.NoRights, fmt.Sprintf("%.40q for %.80q", word, where))
		}
		for _, p := range perms {
			give(p)
		}
	}
	has := func(word string) bool { return slices.Contains(list, word) }
	if has("rename_files") && has("rename_dirs") {
		give(model.PermRename)
	} else if (has("rename_files") || has("rename_dirs")) && !out.Has(model.PermRename) {
		a.HalfRename = true
	}
	if has("chmod") && has("chtimes") {
		give(model.PermAttr)
	} else if (has("chmod") || has("chtimes")) && !out.Has(model.PermAttr) {
		a.Notes = append(a.Notes, convert.Lock{Rule: report.Rights, Why: fmt.Sprintf("in %.80q it could change times or modes, but not both; here it can change neither", where), Cure: "give it the right if it may"})
	}
	return out
}

// key takes over a public key. One with options was good for less than it would be here.
func (i *run) key(a *convert.Account, text string) {
	_, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err == nil && len(options) > 0 {
		a.Notes = append(a.Notes, convert.Lock{Rule: report.UserKeys, Why: fmt.Sprintf("its key %.60q is left out: it has options, which would not be heeded here", comment), Cure: "have the user give another key"})
		return
	}
	a.Keys = append(a.Keys, convert.UserKey{Name: comment, Text: text})
}

// password brings a hash into the form that is checked here. PBKDF2 is written in a way of
// SFTPGo's own.
func password(text string) convert.Password {
	for prefix, d := range map[string]auth.Digest{"{MD5}": auth.DigestMD5, "{SHA256}": auth.DigestSHA256, "{SHA512}": auth.DigestSHA512} {
		if sum, ok := strings.CutPrefix(text, prefix); ok {
			hash, _ := auth.DigestHash(d, nil, strings.ToLower(sum))
			return plain(hash)
		}
	}
	if rest, ok := strings.CutPrefix(text, "$pbkdf2-"); ok {
		return plain(pbkdf2(rest))
	}
	switch {
	case strings.HasPrefix(text, "{"):
		return plain("")
	case text != "" && !strings.HasPrefix(text, "$"):
		return convert.Password{Scheme: convert.Clear, Hash: text}
	}
	return convert.Password{Hash: text}
}

// plain is a hash, or what cannot be checked.
func plain(hash string) convert.Password {
	if hash == "" {
		return convert.Password{Scheme: convert.Foreign, Hash: "?"}
	}
	return convert.Password{Hash: hash}
}

// pbkdf2 reads sha256$ITERATIONS$SALT$SUM, where the salt is text, or b64salt-sha256$...,
// where it is base64.
func pbkdf2(text string) string {
	parts := strings.Split(text, "$")
	if len(parts) != 4 {
		return ""
	}
	name, inBase64 := strings.CutPrefix(parts[0], "b64salt-")
	n, err := strconv.Atoi(parts[1])
	sum, sumErr := base64.StdEncoding.DecodeString(parts[3])
	salt := []byte(parts[2])
	var saltErr error
	if inBase64 {
		salt, saltErr = base64.StdEncoding.DecodeString(parts[2])
	}
	if err != nil || sumErr != nil || saltErr != nil {
		return ""
	}
	hash, _ := auth.PBKDF2Hash(auth.Digest(name), n, salt, sum)
	return hash
}

// admins: those who may do everything become Admins of the site; the rights of others have
// no counterpart.
func (i *run) admins() error {
	var list []convert.Admin
	err := i.each(admins, func(doc *document.Value) error {
		a := convert.Admin{Name: doc.Get("username").Str(), Email: doc.Get("email").Str(), Password: password(doc.Get("password").Str()), Site: Site, Rights: model.FullRights()}
		n, ok := doc.Get("status").Int()
		if a.Disabled = n == 0; !ok || n > 1 {
			a.Status = doc.Get("status").Str()
		}
		for _, text := range texts(doc.Get("filters").Get("allow_list")) {
			a.Allow = append(a.Allow, convert.Network{Text: text})
		}
		t := doc.Get("filters").Get("totp_config")
		if on, _ := t.Get("enabled").True(); on {
			a.TOTP = secret(t.Get("secret"))
		}
		rights, role := texts(doc.Get("permissions")), doc.Get("role").Str()
		name := a.Name
		doc.Skip()
		if !slices.Contains(rights, "*") || role != "" {
			i.c.Drop(report.Admin, Site, name, report.Rights, "it might do only some things, and such rights are not here", "make an Admin of the site with the rights that it needs")
			return nil
		}
		list = append(list, a)
		return nil
	})
	if err != nil {
		return err
	}
	return i.c.Admins(list)
}
