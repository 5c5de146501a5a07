package openssh

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// person is an account of the machine.
type person struct {
	name, home, shell, comment string
	uid                        int
	gid                        string
	groups                     []string
	hash                       string
	// noHash tells that the file with the password is not there.
	noHash bool
	// changed is the day of the last change of the password, lasts how many days it holds,
	// ends the day on which the account ends; all since 1970, below zero for none.
	changed, lasts, ends int
	// from and notFrom are the addresses that keys and AllowUsers leave.
	from, notFrom []string
}

// people are the accounts of the machine, in the order of passwd.
type people struct {
	list []*person
	// passwd tells that the file of accounts is there, shadow that of passwords.
	passwd, shadow bool
}

// maxPeople bounds the accounts of a machine.
const maxPeople = 1 << 20

// people reads passwd, group and shadow.
func (s *Source) people() (*people, error) {
	p := &people{}
	text, ok, err := s.read("/etc/passwd")
	if p.passwd = ok; err != nil || !ok {
		return p, err
	}
	byName := map[string]*person{}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) != 7 || f[0] == "" || strings.HasPrefix(f[0], "#") || byName[f[0]] != nil {
			continue
		}
		uid, err := strconv.Atoi(f[2])
		if err != nil {
			continue
		}
		u := &person{name: f[0], hash: f[1], uid: uid, gid: f[3], comment: f[4], home: f[5], shell: f[6], changed: -1, lasts: -1, ends: -1}
		if len(p.list) == maxPeople {
			return nil, fmt.Errorf("%w: passwd has more than %d accounts", archive.ErrHostile, maxPeople)
		}
		byName[u.name] = u
		p.list = append(p.list, u)
	}
	if err := s.shadow(p, byName); err != nil {
		return nil, err
	}
	return p, s.groups(p, byName)
}

func (s *Source) shadow(p *people, byName map[string]*person) error {
	text, ok, err := s.read("/etc/shadow")
	if err != nil {
		return err
	}
	p.shadow = ok
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if u := byName[f[0]]; u != nil && len(f) >= 8 {
			u.hash, u.changed, u.lasts, u.ends = f[1], days(f[2]), days(f[4]), days(f[7])
		}
	}
	for _, u := range p.list {
		u.noHash = !ok && u.hash == "x"
	}
	return nil
}

func days(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n > 1<<20 {
		return -1
	}
	return n
}

func (s *Source) groups(p *people, byName map[string]*person) error {
	text, _, err := s.read("/etc/group")
	if err != nil {
		return err
	}
	names := map[string][]string{}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) != 4 {
			continue
		}
		names[f[2]] = append(names[f[2]], f[0])
		for member := range strings.SplitSeq(f[3], ",") {
			if u := byName[strings.TrimSpace(member)]; u != nil {
				u.groups = append(u.groups, f[0])
			}
		}
	}
	for _, u := range p.list {
		for _, group := range names[u.gid] {
			if !slices.Contains(u.groups, group) {
				u.groups = append(u.groups, group)
			}
		}
	}
	return nil
}

// rules are what sshd_config says for one user.
type rules struct {
	force   force
	chroot  string
	chains  []model.AuthChain
	denied  bool
	keys    []string
	odd     string // what of the ways in is not known here
	allowed []string
}

// rulesOf are those for a user; also is a Match that is taken to hold.
func (c *config) rulesOf(u *person, also *match) rules {
	get := c.effective(u, also)
	first := func(keyword, otherwise string) string {
		if v := get(keyword); len(v) > 0 {
			return v[0]
		}
		return otherwise
	}
	r := rules{force: parseForce(strings.Join(get("forcecommand"), " ")), keys: get("authorizedkeysfile")}
	if r.chroot = first("chrootdirectory", "none"); strings.EqualFold(r.chroot, "none") {
		r.chroot = ""
	}
	if len(r.keys) == 0 {
		r.keys = []string{".ssh/authorized_keys", ".ssh/authorized_keys2"}
	}
	r.chains, r.odd = ways(get("authenticationmethods"), map[string]bool{
		"publickey":            !strings.EqualFold(first("pubkeyauthentication", "yes"), "no"),
		"password":             !strings.EqualFold(first("passwordauthentication", "yes"), "no"),
		"keyboard-interactive": !strings.EqualFold(first("kbdinteractiveauthentication", first("challengeresponseauthentication", "yes")), "no"),
	})
	r.admit(c, u, also)
	return r
}

// ways are the ways in: chains of methods, or each that is switched on. odd names what
// makes them unknown here.
func ways(chains []string, on map[string]bool) (out []model.AuthChain, odd string) {
	if len(chains) == 0 || strings.EqualFold(chains[0], "any") {
		for _, m := range []model.AuthMethod{model.AuthPublicKey, model.AuthPassword, model.AuthInteractive} {
			if on[string(m)] {
				out = append(out, model.AuthChain(m))
			}
		}
		return out, ""
	}
	for _, chain := range chains {
		var words []string
		ok := true
		for word := range strings.SplitSeq(strings.ToLower(chain), ",") {
			word, _, _ = strings.Cut(word, ":")
			switch {
			case !on[word]:
				odd, ok = fmt.Sprintf("the way in %.60q", chain), false
			case slices.Contains(words, word):
				odd, ok = "two keys of a user, one after another", false
			}
			words = append(words, word)
		}
		if next := model.AuthChain(strings.Join(words, ",")); ok && !slices.Contains(out, next) {
			out = append(out, next)
		}
	}
	return out, odd
}

// admit looks whether a user may log in at all, and from where.
func (r *rules) admit(c *config, u *person, also *match) {
	matched := func(keyword string) (whole bool, hosts []string) {
		for _, p := range c.gathered(u, also, keyword) {
			name, host, at := strings.Cut(p, "@")
			switch {
			case !fits(name, u.name):
			case !at:
				whole = true
			default:
				hosts = append(hosts, host)
			}
		}
		return whole, hosts
	}
	inGroup := func(keyword string) (said, in bool) {
		list := c.gathered(u, also, keyword)
		for _, p := range list {
			in = in || fits(p, u.groups...)
		}
		return len(list) > 0, in
	}
	if whole, hosts := matched("denyusers"); whole || len(hosts) > 0 {
		r.denied = true // from some hosts alone: nobody here could say which
	}
	if len(c.gathered(u, also, "allowusers")) > 0 {
		whole, hosts := matched("allowusers")
		r.denied = r.denied || !whole && len(hosts) == 0
		if !whole {
			r.allowed = hosts
		}
	}
	if _, in := inGroup("denygroups"); in {
		r.denied = true
	}
	if said, in := inGroup("allowgroups"); said && !in {
		r.denied = true
	}
}

// differs tells whether rules would let a user do other things.
func (r rules) differs(o rules) bool {
	return r.force != o.force || r.chroot != o.chroot || r.denied != o.denied || !slices.Equal(r.chains, o.chains) || !slices.Equal(r.keys, o.keys) || !slices.Equal(r.allowed, o.allowed)
}

// force is a command that is run whatever a user asks for.
type force struct {
	// sftp tells that it is the SFTP server.
	sftp bool
	// readOnly, permitted and refused are its options -R, -p and -P; unknown another.
	readOnly, unknown  bool
	permitted, refused string
	start              string
}

// parseForce reads a command.
func parseForce(command string) force {
	words := strings.Fields(command)
	if len(words) == 0 || words[0] != "internal-sftp" && path.Base(words[0]) != "sftp-server" {
		return force{}
	}
	f := force{sftp: true}
	for at := 1; at < len(words); at++ {
		flag, value := words[at], ""
		if len(flag) > 2 && strings.HasPrefix(flag, "-") && strings.IndexByte("dflpPu", flag[1]) >= 0 {
			flag, value = flag[:2], flag[2:]
		} else if len(flag) == 2 && strings.IndexByte("dflpPu", flag[1]) >= 0 && at+1 < len(words) {
			at++
			value = words[at]
		}
		switch flag {
		case "-e", "-h", "-f", "-l", "-u":
		case "-d":
			f.start = value
		case "-R":
			f.readOnly = true
		case "-p":
			f.permitted = value
		case "-P":
			f.refused = value
		default:
			f.unknown = true
		}
	}
	return f
}

// narrow tells whether the server lets its user do less than everything.
func (f force) narrow() bool { return f.readOnly || f.unknown || f.permitted != "" || f.refused != "" }

// requests are those of SFTP that a permission needs.
var requests = map[model.Permission][]string{
	model.PermList: {"opendir", "readdir"}, model.PermDownload: {"open", "read"}, model.PermUpload: {"open", "write"},
	model.PermOverwrite: {"open", "write"}, model.PermResume: {"open", "write"}, model.PermDelete: {"remove"}, model.PermRename: {"rename", "posix-rename"},
	model.PermMkdir: {"mkdir"}, model.PermRmdir: {"rmdir"}, model.PermAttr: {"setstat", "fsetstat"}, model.PermLink: {"symlink"},
}

// permissions are what the server lets its user do.
func (f force) permissions() (out []model.Permission) {
	for _, p := range model.AllPermissions() {
		ok := !f.readOnly || p == model.PermList || p == model.PermDownload
		for _, request := range requests[p] {
			if f.permitted != "" && !slices.Contains(strings.Split(f.permitted, ","), request) || slices.Contains(strings.Split(f.refused, ","), request) {
				ok = false
			}
		}
		if ok {
			out = append(out, p)
		}
	}
	return out
}

// Accounts of people begin here on all usual systems; nobody is nobody.
const (
	firstUID = 1000
	nobody   = 65534
)

// maxWork bounds how many lines of sshd_config are looked at, for all accounts: far above
// what a machine has.
const maxWork = 2_000_000_000

func (i *run) users() error {
	if !i.people.passwd {
		i.r.Warn(report.References, "there is no passwd, so no users are imported", "give a folder with etc/passwd, etc/group, etc/shadow and the homes, as the root of the machine is")
		return nil
	}
	if !i.people.shadow {
		i.r.Warn(report.Passwords, "there is no shadow file, so no passwords come along", "give a copy that has etc/shadow, and keep it like a key")
	}
	i.accounts = i.site.Accounts()
	others, found := 0, 0
	if work := len(i.people.list) * (len(i.config.directives) + 1) * (len(i.config.matches) + 1); work > maxWork {
		return fmt.Errorf("%w: %d accounts and %d lines of sshd_config in %d Matches are more than is looked through", archive.ErrHostile, len(i.people.list), len(i.config.directives), len(i.config.matches))
	}
	for _, u := range i.people.list {
		if i.ctx.Err() != nil {
			return i.ctx.Err()
		}
		r := i.config.rulesOf(u, nil)
		switch {
		case r.force.sftp && u.uid == 0:
			i.site.Drop(report.User, u.name, report.Protocols, "it is the account that rules the machine", "make an account of its own here if somebody needs it")
		case r.force.sftp:
			found++
			if err := i.user(u, r); err != nil {
				return err
			}
		case u.uid < firstUID || u.uid == nobody || !shell(u.shell):
			others++
		default:
			i.site.Drop(report.User, u.name, report.Protocols, "sshd_config does not confine it to SFTP: it is an account of the machine, with a shell", "confine it with ForceCommand internal-sftp and import again, or make an account here")
		}
	}
	if err := i.accounts.End(); err != nil {
		return err
	}
	if others > 0 {
		i.r.Warn(report.Protocols, fmt.Sprintf("%d accounts of the system itself stay where they are", others), "")
	}
	if found == 0 {
		i.r.Warn(report.Protocols, "sshd_config confines nobody to SFTP", "write a Match for the users or groups with ForceCommand internal-sftp, and import again")
	}
	return nil
}

// shell tells those that somebody can work in.
func shell(name string) bool {
	base := path.Base(name)
	return base != "nologin" && base != "false"
}

// expand writes the name, home and number of a user in a path.
func (u *person) expand(text string) string {
	return strings.NewReplacer("%%", "%", "%u", u.name, "%h", u.home, "%U", strconv.Itoa(u.uid)).Replace(text)
}

// usualChains are the ways in of sshd, and of a site.
var usualChains = []model.AuthChain{"publickey", "password", "keyboard-interactive"}

func (i *run) user(u *person, r rules) error {
	a := &convert.Account{Name: u.name, Description: strings.Trim(strings.ReplaceAll(u.comment, ",", " "), " "), ActsAs: u.name, Disabled: r.denied}
	lock := func(rule report.Rule, why, cure string) {
		a.Locks = append(a.Locks, convert.Lock{Rule: rule, Why: why, Cure: cure})
	}
	for _, m := range i.config.matches {
		if _, maybe := m.holds(u); maybe && i.config.rulesOf(u, m).differs(r) {
			lock(report.Protocols, fmt.Sprintf("what it may do depends on where it comes from (Match in %s), which is not known here", m.where), "give it an allow list and enable it")
			break
		}
	}
	var files []string
	for _, name := range r.keys {
		if name = u.expand(name); strings.EqualFold(name, "none") {
			continue
		}
		if !strings.HasPrefix(name, "/") {
			name = path.Join(u.home, name)
		}
		files = append(files, name)
	}
	if err := i.keys(a, u, files); err != nil {
		return err
	}
	i.outside(a, u)
	i.password(a, u)
	for _, host := range r.allowed {
		if _, err := netip.ParsePrefix(host); err != nil {
			if _, err := netip.ParseAddr(host); err != nil {
				lock(report.Lists, fmt.Sprintf("it might log in from hosts like %.60q only", host), "give it an allow list of networks and enable it")
				continue
			}
		}
		// Both must hold; of two lists the networks that both have would be needed.
		if len(u.from) > 0 {
			lock(report.Lists, "AllowUsers and its keys each name addresses that it may come from", "give it an allow list and enable it")
		}
		a.Allow = append(a.Allow, convert.Network{Text: host})
	}
	if len(r.allowed) == 0 {
		a.Addresses(u.from, u.notFrom)
	}
	if !slices.Equal(r.chains, usualChains) {
		a.Chains = r.chains // else those of the site, which are the same
	}
	switch {
	case r.odd != "":
		lock(report.Protocols, r.odd+" is not known here", "choose its ways in and enable it")
	case len(r.chains) == 0:
		lock(report.Protocols, "sshd let it in neither by key nor by password", "choose its ways in and enable it")
	}
	if r.force.unknown {
		lock(report.Rights, "its ForceCommand has options that are not known here", "look at its permissions and enable it")
	}
	if err := i.home(a, u, r); err != nil {
		return err
	}
	return i.accounts.Give(a)
}

// outside tells of keys that lie in no file of the user's.
func (i *run) outside(a *convert.Account, u *person) {
	get := i.config.effective(u, nil)
	for keyword, why := range map[string]string{
		"authorizedkeyscommand": "a program of the machine may give it keys, which do not come along",
		"trustedusercakeys":     "it may log in with certificates, which are not known here",
	} {
		if v := get(keyword); len(v) > 0 && !strings.EqualFold(v[0], "none") {
			a.Notes = append(a.Notes, convert.Lock{Rule: report.UserKeys, Why: why, Cure: "give it its keys here"})
		}
	}
	if v := get("revokedkeys"); len(v) > 0 && !strings.EqualFold(v[0], "none") && len(a.Keys) > 0 {
		a.Locks = append(a.Locks, convert.Lock{Rule: report.UserKeys, Why: "some keys may be revoked (RevokedKeys), which is not looked at here", Cure: "take revoked keys away and enable it"})
	}
}

// password takes over the hash, and when it and the account end.
func (i *run) password(a *convert.Account, u *person) {
	switch {
	case u.noHash:
		a.Password = convert.Password{Scheme: convert.Foreign, Hash: "?"}
	case u.hash == "" || strings.HasPrefix(u.hash, "!") || strings.HasPrefix(u.hash, "*") || u.hash == "x":
		// Without PAM sshd lets nobody in whose password is locked, not with a key either.
		pam := strings.EqualFold(i.config.global("usepam"), "yes")
		a.Disabled = a.Disabled || strings.HasPrefix(u.hash, "!") && !pam
	case strings.HasPrefix(u.hash, "$"):
		a.Password = convert.Password{Hash: u.hash}
	default:
		a.Password = convert.Password{Scheme: convert.Foreign, Hash: u.hash}
	}
	day := func(n int) time.Time { return time.Unix(int64(n)*24*60*60, 0).UTC() }
	if u.ends >= 0 {
		a.Until.Time = day(u.ends)
	}
	now := time.Now
	if i.opt.Now != nil {
		now = i.opt.Now
	}
	old := u.changed >= 0 && u.lasts >= 0 && u.lasts < 99999 && now().After(day(u.changed+u.lasts))
	a.Password.MustChange = u.changed == 0 || old
}

// home is the folder that a user is confined to, or else his home.
func (i *run) home(a *convert.Account, u *person, r rules) error {
	root := path.Clean(u.expand(r.chroot))
	note := func(why, cure string) {
		a.Notes = append(a.Notes, convert.Lock{Rule: report.References, Why: why, Cure: cure})
	}
	switch {
	case r.chroot == "" || root == "/":
		root = u.home
		note("it could name every folder of the machine; here it sees its home alone, as /", "give it folders for what else it needs, and tell the user")
	default:
		i.chrooted = true
	}
	if start := u.expand(r.force.start); start != "" && path.Clean("/"+start) != "/" && r.chroot != "" {
		note(fmt.Sprintf("it began in %.80q; here it begins in /", start), "tell the user, or write whole paths")
	}
	place, err := i.site.Place(root)
	place.Permissions = r.force.permissions()
	a.Home = place
	return err
}
