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
	// Status is a word for the state that is not known here, Type one for the sort.
	Status, Type string
	// From and Until are when it is enabled and disabled.
	From, Until Moment
	MaxSessions int64
	// NoRights are words for permissions that are not known here; HomeRights tells what
	// the source says of those in the home.
	NoRights   []string
	HomeRights Rights
	// Groups are those of the site that give the account what it has not of its own.
	Groups []string
	// Soft and Hard bound what its home may hold, in bytes.
	Soft, Hard int64
	// Chains are the ways in, where Auth cannot say them.
	Chains []model.AuthChain
	Locks  []Lock
	// Notes are what the account loses or gains, without a lock.
	Notes []Lock
	// ActsAs is as whom of the operating system the old server read its files, HalfRename
	// that it could rename only files, or only folders.
	ActsAs     string
	HalfRename bool
	// Layout is its home and folders as they were, in JSON: what is kept of an account of
	// which a part cannot be served. Nothing secret is in it.
	Layout func() string
	// Handlers are the names of its own event handlers; KeptHandlers are these in JSON,
	// for an importer that keeps them.
	Handlers     []string
	KeptHandlers string
}

// Rights is what a source says of what an account may do in its home.
type Rights uint8

// What is said: something that is known here; that nothing is allowed; nothing at all;
// only words of which none that matters is known here.
const (
	RightsKnown Rights = iota
	RightsNone
	RightsUnsaid
	RightsUnknown
)

// UserKey is a public key.
type UserKey struct {
	Name, Text string
	Expires    time.Time
}

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
	if a.endless(item) {
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

// locker disables an account, and tells why. The first reason stays with the account.
type locker struct {
	item    *report.Item
	account *model.Account
}

func (l locker) lock(rule report.Rule, why, cure string) {
	l.item.Disable(rule, why, cure)
	if l.account.Reason == "" {
		l.account.Disabled, l.account.Reason = true, oneLine("import: "+why)
	}
}

// profile is what users and groups have alike, and why the account may not be used.
func (s *Site) profile(item *report.Item, a *Account, l *layout) (model.Profile, model.Account, error) {
	p := model.Profile{Home: l.home, Folders: l.folders, Speed: speeds(item, a.Speed), Overrides: overrides(item, a.Overrides)}
	p.Quota = quota(item, a.Soft, a.Hard)
	p.MaxSessions = int(min(max(a.MaxSessions, 0), 100_000))
	if l.home.VFS == "" && l.noHome == "" && !a.isGroup() && len(a.Groups) == 0 {
		item.Warn(report.References, "it has no home", "give it one, or a group that has one")
	}
	account := model.Account{Disabled: a.Disabled}
	locks := locker{item, &account}
	locks.words(a)
	if l.noHome != "" {
		locks.lock(report.VFSType, l.noHome, "give it a home and enable it")
	}
	var weaker string
	if p.Auth, weaker = authChains(item, a.Auth, a.AuthAll); weaker != "" {
		locks.lock(report.Protocols, weaker, "choose how it logs in and enable it")
	}
	if len(a.Chains) > 0 {
		p.Auth = a.Chains
	}
	var ok bool
	if p.AllowFrom, ok = networks(item, a.Allow); !ok {
		locks.lock(report.Lists, "nothing of its allow list can be read", "write the list anew and enable it")
	}
	locks.dates(a.From, a.Until)
	if l.home.VFS != "" {
		locks.rights(a)
	}
	return p, account, s.keepParts(item, a, l)
}

// overrides are permissions for paths, each path once.
func overrides(item *report.Item, list []Override) (out []model.PathPermissions) {
	for _, o := range list {
		path := model.CanonicalPath(strings.ReplaceAll(o.Path, `\`, "/"))
		switch {
		case !model.IsPath(path):
			item.Lose(report.Changed, report.NotValid, fmt.Sprintf("the permissions of %.80q are left out: that is no path", o.Path), "look what it may do there")
		case slices.ContainsFunc(out, func(have model.PathPermissions) bool { return have.Path == path }):
			item.Change(report.Duplicates, fmt.Sprintf("the permissions of %.80q are there twice; the first ones count", o.Path), "")
		default:
			out = append(out, model.PathPermissions{Path: path, Permissions: o.Permissions})
		}
	}
	return out
}

// words are those of which nobody here knows what they meant.
func (l locker) words(a *Account) {
	for _, n := range a.Notes {
		if n.Rule == report.UserKeys || n.Rule == report.Rights {
			l.item.Lose(report.Action, n.Rule, n.Why, n.Cure)
			continue
		}
		l.item.Action(n.Rule, n.Why, n.Cure)
	}
	for _, reason := range a.Locks {
		l.lock(reason.Rule, reason.Why, reason.Cure)
	}
	if a.Status != "" {
		l.lock(report.NotUnderstood, fmt.Sprintf("its state %.40q is not known here", a.Status), "look at it and enable it")
	}
	switch known := a.Password.Hash != "" && a.Password.Scheme != Foreign; {
	case a.Type == "":
	case known:
		l.item.Lose(report.Changed, report.NotUnderstood, fmt.Sprintf("accounts of the type %.40q are not known here; as it has a password, it is taken for one of the server's own", a.Type), "look how it logged in")
	default:
		l.lock(report.NotUnderstood, fmt.Sprintf("accounts of the type %.40q are not known here", a.Type), "look how it logged in, and enable it if it can do so here")
	}
	if a.NoSFTP {
		l.lock(report.Protocols, "it could not use SFTP before", "enable it if it may")
	}
}

// rights tells of permissions that are not given because nobody here knows their names,
// and locks who would have none that makes a log-in worth while.
func (l locker) rights(a *Account) {
	const cure = "give it the permissions that it had"
	if len(a.NoRights) > 0 {
		l.item.Lose(report.Changed, report.Rights, "permissions of names that are not known here are not given: "+strings.Join(a.NoRights, ", "), cure)
	}
	switch a.HomeRights {
	case RightsUnknown:
		l.lock(report.Rights, "nothing of what it may do in its home is known here", cure+" and enable it")
	case RightsUnsaid:
		l.item.Lose(report.Action, report.Rights, "the source does not say what it may do in its home, so it may do nothing there", cure)
	case RightsNone:
		l.item.Warn(report.Rights, "it may do nothing in its home, here as before", "")
	}
}

// dates bounds the account. A date that cannot be read must not open it.
func (l locker) dates(from, until Moment) {
	const cure = "set its dates and enable it"
	if shown, is := from.unread(); is && from.Time.IsZero() {
		l.lock(report.Dates, "it was to begin on a day that cannot be read: "+shown, cure)
	} else if !is {
		l.account.EnableFrom = from.Time
	}
	if shown, is := until.unread(); is {
		l.lock(report.Dates, "it was to end on a day that cannot be read: "+shown, cure)
	} else {
		l.account.DisableFrom = until.Time
	}
	if end := l.account.DisableFrom; !end.IsZero() && !l.account.EnableFrom.Before(end) {
		l.item.Change(report.Dates, fmt.Sprintf("it was to end on %s and to begin after that; only its end counts", end.Format(time.DateOnly)), "look at its dates")
		l.account.EnableFrom = time.Time{}
	}
}

// keepParts keeps and tells what of an account has no use here.
func (s *Site) keepParts(item *report.Item, a *Account, l *layout) error {
	if len(a.Handlers) > 0 {
		item.Change(report.Scripts, "its event handlers are not run here: "+some(a.Handlers), "")
		if a.KeptHandlers != "" {
			if err := s.c.keep(s.Name, "event-handlers", a.Name, a.KeptHandlers); err != nil {
				return err
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
		return s.c.keep(s.Name, "folders", a.Name, a.Layout())
	}
	return nil
}

// some are the first of many names.
func some(names []string) string {
	const most = 20
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", n)
	}
	shown := make([]string, len(names))
	for i, name := range names {
		shown[i] = oneLine(fmt.Sprintf("%.60s", name))
	}
	return strings.Join(shown, ", ") + more
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
	g := &model.Group{Site: s.Name, Description: textOf(item, "description", a.Description), Profile: p, Account: account}
	dn, name := "", a.Name
	if strings.Contains(name, "=") {
		dn, name = name, firstOfDN(name)
	}
	name = s.c.unique(item, model.KindGroup, s.Name, name)
	g.Name = name
	if err := s.c.give(item, g, accountRepair(item, nil, g)); err != nil || item.Dropped() {
		return err
	}
	if a.Sort == DirectoryGroup {
		s.directoryGroup(item, a, dn, name)
	}
	s.local[a.Name] = name
	return nil
}

// memberOf are the groups of an account as they are called here. What a group that is not
// there forbade must not be allowed: the account is locked.
func (s *Site) memberOf(a *Account) (out []string) {
	for _, group := range a.Groups {
		name, ok := s.local[group]
		if !ok {
			a.Locks = append(a.Locks, Lock{report.References, fmt.Sprintf("its group %.80q is not there", group), "give it another group and enable it"})
		} else if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// firstOfDN is the first value of a name in a directory: staff of cn=staff,dc=example. A
// comma behind a backslash belongs to it.
func firstOfDN(dn string) string {
	_, value, _ := strings.Cut(dn, "=")
	var out strings.Builder
	for i := 0; i < len(value) && value[i] != ','; i++ {
		if value[i] == '\\' && i+1 < len(value) {
			i++
		}
		out.WriteByte(value[i])
	}
	return out.String()
}

func (s *Site) directoryGroup(item *report.Item, a *Account, dn, name string) {
	if a.Active {
		item.Change(report.Directory, "the group of Active Directory is a group of LDAP now", "")
	}
	id := s.directory(a)
	s.groups[id] = append(s.groups[id], model.LDAPGroup{DN: dn, Group: name})
	if dn == "" {
		item.Lose(report.Action, report.Directory, "its members get its settings only when the LDAP profile knows which group of the directory it is",
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
	groups := s.memberOf(a)
	p, account, err := s.profile(item, a, l)
	if err != nil {
		return err
	}
	u := &model.User{
		Site: s.Name, Email: strings.TrimSpace(a.Email), Description: textOf(item, "description", a.Description), Profile: p, Account: account, Groups: groups,
	}
	if !s.named(item, a, u) {
		return nil
	}
	u.TOTP = s.c.totp(locker{item, &u.Account}, a.TOTP)
	s.keys(item, a, u)
	if a.Sort == DirectoryUser {
		err = s.directoryUser(item, a, u)
	} else {
		u.Password = s.c.password(item, a.Password, len(u.Keys) > 0)
	}
	if err != nil {
		return err
	}
	if err := s.c.give(item, u, accountRepair(item, u, nil)); err != nil {
		return err
	}
	if !item.Dropped() {
		s.users++
		s.c.users++
	}
	return nil
}

// LoginName is the name that a user logs in with: users of a directory without its domain.
func (a *Account) LoginName() string {
	if _, name, ok := strings.Cut(a.Name, `\`); ok && name != "" && a.Sort == DirectoryUser {
		return name
	}
	return a.Name
}

// Contested tells users that come behind all others, lest they take another's name.
func (a *Account) Contested() bool {
	name := a.LoginName()
	return name != a.Name || Contested(name)
}

// named gives a user the name, or drops who cannot have one.
func (s *Site) named(item *report.Item, a *Account, u *model.User) bool {
	login := a.LoginName()
	fitted := FitName(login)
	free := s.c.claim(model.KindUser, s.Name, fitted)
	switch {
	case !free && login != a.Name:
		item.Drop(report.Duplicates, fmt.Sprintf("without its domain it is called %.80q, as another user of the site is", login), "make it under another name, or keep the directories in sites of their own")
		return false
	case !free && !Contested(login):
		item.Drop(report.Duplicates, "there is another user of this name: the case of letters makes no difference here", "make one of the two under another name")
		return false
	case !free:
		fitted = s.c.free(model.KindUser, s.Name, login)
	}
	switch {
	case fitted != login:
		item.Lose(report.Action, report.Names, fmt.Sprintf("it logs in as %q now: its name is not allowed here, or another's", fitted), "tell the user")
	case login != a.Name:
		item.Change(report.Directory, fmt.Sprintf("it logs in as %q, without the domain", login), "")
	}
	if u.Name = fitted; fitted != a.Name && hasUserMark(&u.Profile) {
		item.Lose(report.Action, report.Names, fmt.Sprintf("the folder that has its name is the one of %q now, and was the one of %.80q", fitted, a.Name), "rename the folder, or write its name into the path of the home")
	}
	return true
}

// hasUserMark tells whether a path has the user's name in it.
func hasUserMark(p *model.Profile) bool {
	return strings.Contains(p.Home.Path, model.UserMark) ||
		slices.ContainsFunc(p.Folders, func(f model.VirtualFolder) bool { return strings.Contains(f.Path, model.UserMark) })
}

func (s *Site) directoryUser(item *report.Item, a *Account, u *model.User) error {
	if a.Active {
		item.Change(report.Directory, "the user of Active Directory is a user of LDAP now", "")
	}
	id := s.directory(a)
	p, ok := s.profiles[id]
	if !ok {
		var err error
		if p, err = s.missingProfile(id); err != nil {
			return err
		}
	}
	if u.LDAP = p.name; p.disabled {
		item.Lose(report.Action, report.LDAPSettings, fmt.Sprintf("its LDAP profile %q is disabled, so it cannot log in by password", p.name), "put the profile right and enable it")
	}
	return nil
}

// keys takes over the keys that can be used.
func (s *Site) keys(item *report.Item, a *Account, u *model.User) {
	rsa := 0
	for _, k := range a.Keys {
		key, problem := s.c.publicKey(k)
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

// accountRepair puts fields right that are not worth losing an account for. Where that
// may open a door the account is disabled.
func accountRepair(item *report.Item, u *model.User, g *model.Group) func(model.FieldError) bool {
	var p *model.Profile
	var description *string
	var locks locker
	if u != nil {
		p, description, locks = &u.Profile, &u.Description, locker{item, &u.Account}
	} else {
		p, description, locks = &g.Profile, &g.Description, locker{item, &g.Account}
	}
	doubtful := func(what string, e model.FieldError) {
		locks.lock(report.NotValid, fmt.Sprintf("its %s cannot be as in the source and are left out: %s: %s", what, e.Field, e.Problem), "set them anew and enable it")
	}
	keysDropped := false
	return func(e model.FieldError) bool {
		part, _, _ := strings.Cut(e.Field, "[")
		part, _, _ = strings.Cut(part, ".")
		switch {
		case u != nil && part == "keys":
			if !keysDropped {
				keysDropped = dropKeys(item, u)
			}
			return keysDropped
		case u != nil && part == "email":
			item.Change(report.NotValid, fmt.Sprintf("its e-mail address %.80q is none and is left out", u.Email), "")
			u.Email = ""
		case u != nil && e.Field == "password.hash":
			item.Lose(report.Action, report.Passwords, mustBeSet, setAgain)
			u.Password = model.Password{MustSet: true}
		case part == "description":
			*description = ""
			item.Change(report.NotValid, "its description cannot be shown and is left out", "")
		case part == "speed":
			p.Speed = nil
			item.Change(report.NotValid, "its speed limits cannot be as in the source and are left out: "+e.Problem, "set them anew")
		case part == "maxSessions":
			p.MaxSessions = 0
		case part == "home":
			p.Home = model.Folder{}
			doubtful("home", e)
		case part == "folders":
			p.Folders = nil
			doubtful("folders", e)
		case part == "overrides":
			p.Overrides = nil
			doubtful("permissions of paths", e)
		case part == "auth":
			p.Auth = nil
			doubtful("ways to log in", e)
		case part == "allowFrom":
			p.AllowFrom = nil
			doubtful("allowed addresses", e)
		case part == "enableFrom", part == "disableFrom":
			locks.account.EnableFrom, locks.account.DisableFrom = time.Time{}, time.Time{}
			doubtful("dates", e)
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
