package convert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// Sort is where an account of a site comes from.
type Sort uint8

// The sorts.
const (
	Local Sort = iota
	LocalGroup
	DirectoryUser
	DirectoryGroup
	WindowsUser
	WindowsGroup
)

// Account is a user or group of a site.
type Account struct {
	Name, Email, Description string
	Sort                     Sort
	// Directory is the ID of the LDAP profile of a DirectoryUser or DirectoryGroup.
	Directory string
	// Active tells an account of Active Directory that was no LDAP account before.
	Active   bool
	Password Password
	Keys     []UserKey
	TOTP     Secret
	Auth     []string
	AuthAll  bool
	Home     Folder
	Folders  []Folder
	// Overrides are permissions by path.
	Overrides []Override
	Speed     []Speed
	Allow     []Network
	// NoSFTP tells that the account could not use SFTP.
	NoSFTP   bool
	Disabled bool
	// Status is a word for the state that is not known here.
	Status      string
	From, Until time.Time
	MaxSessions int64
	// ActsAs is as whom of the operating system the old server read its files, HalfRename
	// that it could rename only files, or only folders.
	ActsAs     string
	HalfRename bool
	// Layout is its home and folders as they were, in JSON: what is kept of an account of
	// which a part cannot be served. Nothing secret is in it.
	Layout func() string
	// Handlers is how many event handlers of its own there are; KeptHandlers are these in
	// JSON, for an importer that keeps them.
	Handlers     int
	KeptHandlers string
}

// UserKey is a public key.
type UserKey struct{ Name, Text string }

// Override is permissions of a path.
type Override struct {
	Path        string
	Permissions []model.Permission
}

func (a *Account) isGroup() bool {
	return a.Sort == LocalGroup || a.Sort == DirectoryGroup || a.Sort == WindowsGroup
}

// Account takes over a user or group. Groups come before LDAP profiles, users after.
func (s *Site) Account(a *Account) error {
	kind := report.User
	if a.isGroup() {
		kind = report.Group
	}
	item, ok := s.item(kind, a.Name)
	if !ok {
		return nil
	}
	defer item.Done()
	if a.Sort == WindowsUser || a.Sort == WindowsGroup {
		item.Drop(report.WindowsAccount, "it is an account of Windows itself", "make an account here, or use the directory")
		return nil
	}
	l := s.layout(item, a.Home, a.Folders)
	if l.secret != "" {
		item.Drop(report.EncryptedVFS, fmt.Sprintf("it uses the encrypted VFS %.80q", l.secret), "make it anew when the VFS is there again")
		return nil
	}
	if a.isGroup() {
		return s.group(item, a, &l)
	}
	return s.user(item, a, &l)
}

// profile is what users and groups have alike, and why the account may not be used.
func (s *Site) profile(item *report.Item, a *Account, l *layout) (model.Profile, model.Account, error) {
	p := model.Profile{
		Home: l.home, Folders: l.folders, Speed: speeds(item, a.Speed), Auth: authChains(item, a.Auth, a.AuthAll),
	}
	if l.home.VFS == "" && l.noHome == "" && !a.isGroup() {
		item.Warn(report.References, "it has no home", "give it one, or a group that has one")
	}
	p.MaxSessions = int(min(max(a.MaxSessions, 0), 100_000))
	for _, o := range a.Overrides {
		path := "/" + strings.Trim(strings.ReplaceAll(o.Path, `\`, "/"), "/")
		if slices.Contains(strings.Split(path, "/"), "..") {
			item.Change(report.NotValid, fmt.Sprintf("the permissions of %.80q are left out: that is no path", o.Path), "")
			continue
		}
		if slices.ContainsFunc(p.Overrides, func(have model.PathPermissions) bool { return have.Path == path }) {
			item.Change(report.Duplicates, fmt.Sprintf("the permissions of %.80q are there twice; the first ones count", o.Path), "")
			continue
		}
		p.Overrides = append(p.Overrides, model.PathPermissions{Path: path, Permissions: o.Permissions})
	}
	account := model.Account{Disabled: a.Disabled}
	lock := func(rule report.Rule, why, cure string) {
		item.Disable(rule, why, cure)
		if account.Reason == "" {
			account.Disabled, account.Reason = true, "import: "+why
		}
	}
	if a.Status != "" {
		lock(report.NotUnderstood, fmt.Sprintf("its state %.40q is not known here", a.Status), "look at it and enable it")
	}
	if l.noHome != "" {
		lock(report.VFSType, l.noHome, "give it a home and enable it")
	}
	if a.NoSFTP {
		lock(report.Protocols, "it could not use SFTP before", "enable it if it may")
	}
	allow, ok := networks(item, a.Allow)
	if p.AllowFrom = allow; !ok {
		lock(report.Lists, "nothing of its allow list can be read", "write the list anew and enable it")
	}
	s.dates(item, &account, a.From, a.Until)
	if a.Handlers > 0 {
		item.Change(report.Scripts, "its event handlers are not run here: "+counted(a.Handlers, "handler"), "")
		if a.KeptHandlers != "" {
			if err := s.c.keep(s.Name, "event-handlers", a.Name, a.KeptHandlers); err != nil {
				return p, account, err
			}
		}
	}
	if a.ActsAs != "" {
		item.Action(report.Rights, fmt.Sprintf("its files were read under another account of the machine (%.40s)", a.ActsAs), "give the server's own account the right to read and write them")
	}
	if a.HalfRename {
		item.Change(report.Rights, "it could rename files or folders, but not both; here it can rename neither", "give it the right if it may")
	}
	if l.partly && a.Layout != nil {
		if err := s.c.keep(s.Name, "folders", a.Name, a.Layout()); err != nil {
			return p, account, err
		}
	}
	return p, account, nil
}

func (s *Site) dates(item *report.Item, account *model.Account, from, until time.Time) {
	if unknownTime(from) {
		from = time.Time{}
	}
	if unknownTime(until) {
		until = time.Time{}
	}
	if !until.IsZero() && !from.Before(until) && !from.IsZero() {
		item.Change(report.Dates, fmt.Sprintf("it was to end on %s and to begin after that; only its end counts", until.Format(time.DateOnly)), "look at its dates")
		from = time.Time{}
	}
	account.EnableFrom, account.DisableFrom = from, until
}

// networks are those that can be read; ok is false if there were some and none can.
func networks(item *report.Item, list []Network) (out []string, ok bool) {
	for _, n := range list {
		p, err := model.Network(strings.TrimSpace(n.Text))
		if err != nil {
			item.Change(report.Lists, fmt.Sprintf("%.60q of its allow list is no address or network", n.Text), "")
			continue
		}
		text := p.String()
		if p.IsSingleIP() {
			text = p.Addr().String()
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out, len(list) == 0 || len(out) > 0
}

func (s *Site) group(item *report.Item, a *Account, l *layout) error {
	p, account, err := s.profile(item, a, l)
	if err != nil {
		return err
	}
	g := &model.Group{Site: s.Name, Description: plainText(a.Description), Profile: p, Account: account}
	dn := ""
	name := a.Name
	if strings.Contains(name, "=") {
		dn = name
		name = firstOfDN(name)
	}
	g.Name = s.c.unique(item, model.KindGroup, s.Name, name)
	if a.Sort == DirectoryGroup {
		s.directoryGroup(item, a, dn, g.Name)
	}
	return s.c.give(item, g, accountRepair(item, nil, g))
}

// firstOfDN is the first value of a name in a directory: staff of cn=staff,dc=example.
func firstOfDN(dn string) string {
	first, _, _ := strings.Cut(dn, ",")
	_, value, _ := strings.Cut(first, "=")
	return value
}

func (s *Site) directoryGroup(item *report.Item, a *Account, dn, name string) {
	if a.Active {
		item.Change(report.Directory, "the group of Active Directory is a group of LDAP now", "")
	}
	id := s.directory(a)
	s.groups[id] = append(s.groups[id], model.LDAPGroup{DN: dn, Group: name})
	if dn == "" {
		item.Action(report.Directory, "its members get its settings only when the LDAP profile knows which group of the directory it is",
			"write its distinguished name into the groups of the LDAP profile")
	}
}

// ActiveDirectory is the ID of the LDAP profile that stands for a directory that the old
// product asked Windows about.
const ActiveDirectory = "\x00active-directory"

func (s *Site) directory(a *Account) string {
	if a.Directory == "" {
		return ActiveDirectory
	}
	return a.Directory
}

func (s *Site) user(item *report.Item, a *Account, l *layout) error {
	p, account, err := s.profile(item, a, l)
	if err != nil {
		return err
	}
	u := &model.User{
		Head: model.Head{Name: a.Name}, Site: s.Name, Email: strings.TrimSpace(a.Email), Description: plainText(a.Description),
		Profile: p, TOTP: s.c.totp(item, a.TOTP),
	}
	u.Account = account
	if a.Sort == DirectoryUser {
		if err := s.directoryUser(item, a, u); err != nil {
			return err
		}
	} else {
		u.Password = s.c.password(item, a.Password)
	}
	s.keys(item, a, u)
	if fitted := FitName(u.Name); fitted != u.Name {
		item.Action(report.Names, fmt.Sprintf("it logs in as %q now: its name is not allowed here", fitted), "tell the user")
		u.Name = fitted
	}
	if !s.c.claim(model.KindUser, s.Name, u.Name) {
		item.Drop(report.Duplicates, "there is another user of this name: the case of letters makes no difference here", "make one of the two under another name")
		return nil
	}
	if err := s.c.give(item, u, accountRepair(item, u, nil)); err != nil {
		return err
	}
	if !item.Dropped() {
		s.c.users++
	}
	return nil
}

func (s *Site) directoryUser(item *report.Item, a *Account, u *model.User) error {
	if a.Active {
		item.Change(report.Directory, "the user of Active Directory is a user of LDAP now", "")
	}
	if domain, name, ok := strings.Cut(u.Name, `\`); ok && name != "" {
		item.Change(report.Directory, fmt.Sprintf("it logs in as %q, without the domain %.60q", name, domain), "")
		u.Name = name
	}
	id := s.directory(a)
	profile, ok := s.profiles[id]
	if !ok {
		var err error
		if profile, err = s.missingProfile(id); err != nil {
			return err
		}
	}
	u.LDAP = profile
	return nil
}

// keys takes over the keys that can be used.
func (s *Site) keys(item *report.Item, a *Account, u *model.User) {
	rsa := 0
	for _, k := range a.Keys {
		key, problem := publicKey(k)
		switch {
		case problem != "":
			item.Change(report.UserKeys, fmt.Sprintf("its key %.60q is left out: %s", k.Name, problem), "have the user give another")
		case slices.ContainsFunc(u.Keys, func(have model.PublicKey) bool { return have.Key == key.Key }):
			item.Change(report.Duplicates, fmt.Sprintf("its key %.60q is there twice", k.Name), "")
		default:
			u.Keys = append(u.Keys, key)
			if strings.HasPrefix(key.Key, "ssh-rsa ") {
				rsa++
			}
		}
	}
	if rsa > 0 && rsa == len(u.Keys) {
		item.Warn(report.RSAKeys, "it has only RSA keys, and clients that sign with SHA-1 are refused", "have the user use an ed25519 key; until then an Admin of the site can switch ssh-rsa on again")
	}
}

// accountRepair puts fields right that are not worth losing an account for.
func accountRepair(item *report.Item, u *model.User, g *model.Group) func(model.FieldError) bool {
	keysDropped := false
	return func(e model.FieldError) bool {
		switch {
		case u != nil && strings.HasPrefix(e.Field, "keys["):
			if !keysDropped {
				keysDropped = dropKeys(item, u)
			}
			return keysDropped
		case u != nil && e.Field == "email":
			item.Change(report.NotValid, fmt.Sprintf("its e-mail address %.80q is none and is left out", u.Email), "")
			u.Email = ""
		case u != nil && e.Field == "password.hash":
			item.Action(report.Passwords, mustBeSet, setAgain)
			u.Password = model.Password{MustSet: true}
		case u != nil && e.Field == "description":
			u.Description = ""
			item.Change(report.NotValid, "its description cannot be shown and is left out", "")
		case g != nil && e.Field == "description":
			g.Description = ""
			item.Change(report.NotValid, "its description cannot be shown and is left out", "")
		default:
			return false
		}
		return true
	}
}

// dropKeys takes away the keys that are none, or there twice; false if there is no such.
func dropKeys(item *report.Item, u *model.User) bool {
	before, seen := len(u.Keys), map[string]bool{}
	u.Keys = slices.DeleteFunc(u.Keys, func(k model.PublicKey) bool {
		switch {
		case k.Fingerprint == "":
			item.Change(report.UserKeys, fmt.Sprintf("its key %.60q is left out: %s", k.Name, noKey), "have the user give another")
		case seen[k.Key]:
			item.Change(report.Duplicates, fmt.Sprintf("its key %.60q is there twice", k.Name), "")
		default:
			seen[k.Key] = true
			return false
		}
		return true
	})
	return len(u.Keys) < before
}
