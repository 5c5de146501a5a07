package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	passwdFile  = "/etc/passwd"
	groupFile   = "/etc/group"
	shadowFile  = "/etc/shadow"
	gshadowFile = "/etc/gshadow"
	// locked is a password that no input matches.
	locked = "!*"
)

// accounts edits the files of accounts by itself: useradd and groupadd of
// distributions differ, are missing in small ones, do not work on an image of
// another architecture and cannot be asked to take back exactly what they did.
type accounts struct {
	fs  *FS
	run Runner
}

// NewAccounts are the accounts of the machine, or of the image below f's root.
func NewAccounts(f *FS) Accounts { return &accounts{fs: f, run: runCommand} }

func (a *accounts) read(file string) (accountFile, error) {
	content, err := a.fs.ReadFile(file)
	if err != nil {
		return accountFile{}, fmt.Errorf("read accounts: %w", err)
	}
	return parseAccountFile(content), nil
}

// Lookup tells an account's numbers.
func (a *accounts) Lookup(name string) (uid, gid int, err error) {
	passwd, err := a.read(passwdFile)
	if err != nil {
		return 0, 0, err
	}
	fields, ok := passwd.find(name)
	if !ok {
		if fields = a.ask("passwd", name); fields == nil {
			return 0, 0, fmt.Errorf("account %s: %w", name, fs.ErrNotExist)
		}
	}
	if len(fields) < 4 {
		return 0, 0, fmt.Errorf("account %s: its line in %s is too short; correct it with vipw", name, passwdFile)
	}
	uid, uidErr := strconv.Atoi(fields[2])
	gid, gidErr := strconv.Atoi(fields[3])
	if err := errors.Join(uidErr, gidErr); err != nil {
		return 0, 0, fmt.Errorf("account %s: its line in %s is wrong; correct it with vipw: %w", name, passwdFile, err)
	}
	return uid, gid, nil
}

// LookupID tells the names for numbers.
func (a *accounts) LookupID(uid, gid int) (user, group string) {
	return a.nameOf(passwdFile, "passwd", uid), a.nameOf(groupFile, "group", gid)
}

func (a *accounts) nameOf(file, database string, n int) string {
	if content, err := a.read(file); err == nil {
		if fields, ok := content.findNumber(n); ok {
			return fields[0]
		}
	}
	if fields := a.ask(database, strconv.Itoa(n)); fields != nil {
		return fields[0]
	}
	return strconv.Itoa(n)
}

// ask asks the directory services of a running machine; nil when none knows key,
// as in an image.
func (a *accounts) ask(database, key string) []string {
	if a.fs.Root != "" || !a.hasDirectory(database) {
		return nil
	}
	return a.askDirectory(database, key)
}

func (a *accounts) askDirectory(database, key string) []string {
	out, err := within(context.Background(), a.run, askBound, "getent", database, key)
	if err != nil {
		return nil
	}
	line, _, _ := strings.Cut(out, "\n")
	if fields := strings.Split(line, ":"); len(fields) > 2 {
		return fields
	}
	return nil
}

// hasDirectory tells whether accounts come from elsewhere than the files; to ask
// costs a process each time.
func (a *accounts) hasDirectory(database string) bool {
	content, err := a.fs.ReadFile("/etc/nsswitch.conf")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(content)) {
		line, _, _ = strings.Cut(line, "#")
		sources, ok := strings.CutPrefix(strings.TrimSpace(line), database+":")
		if !ok {
			continue
		}
		for _, source := range strings.Fields(sources) {
			// systemd's own numbers lie outside every login.defs.
			if source != "files" && source != "systemd" && !strings.HasPrefix(source, "[") {
				return true
			}
		}
	}
	return false
}

// Create makes the account. Its line in passwd comes last, so that an account
// that is there is there completely.
func (a *accounts) Create(ctx context.Context, name, home string) (created bool, err error) {
	if err := checkAccountName(name); err != nil {
		return false, err
	}
	if strings.ContainsAny(home, ":\n") || !filepath.IsAbs(home) {
		return false, fmt.Errorf("account %s: home %q cannot stand in %s", name, home, passwdFile)
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	_, _, err = a.Lookup(name)
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	uid, gid, err := a.numbers(name)
	if err != nil {
		return false, fmt.Errorf("create account %s: %w", name, err)
	}
	if err := a.addLines(name, home, uid, gid); err != nil {
		return false, fmt.Errorf("create account %s: %w", name, err)
	}
	return true, a.restoreContext(ctx)
}

func (a *accounts) addLines(name, home string, uid, gid int) error {
	if err := a.addGroup(name, gid); err != nil {
		return err
	}
	userPassword := locked
	if a.fs.Exists(shadowFile) {
		userPassword = "x"
		// A line that is there belongs to an account that is not; with a password
		// in it, it would let somebody in.
		if err := a.setLine(shadowFile, name, name+":"+locked+":::::::"); err != nil {
			return err
		}
	}
	return a.addLine(passwdFile, name, fmt.Sprintf("%s:%s:%d:%d::%s:%s", name, userPassword, uid, gid, home, a.noLogin()))
}

// addGroup adds the group unless there is one. Its line in group comes last, so
// that a group that is there is there completely.
func (a *accounts) addGroup(name string, gid int) error {
	exists, err := a.HasGroup(name)
	if exists || err != nil {
		return err
	}
	password := "!"
	if a.fs.Exists(gshadowFile) {
		password = "x"
		if err := a.setLine(gshadowFile, name, name+":!::"); err != nil {
			return err
		}
	}
	return a.addLine(groupFile, name, fmt.Sprintf("%s:%s:%d:", name, password, gid))
}

// HasGroup looks into the group file.
func (a *accounts) HasGroup(name string) (bool, error) {
	group, err := a.read(groupFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, exists := group.find(name)
	return exists, nil
}

// addLine adds the line of name unless there is one.
func (a *accounts) addLine(file, name, line string) error {
	content, err := a.read(file)
	if err != nil {
		return err
	}
	if _, exists := content.find(name); exists {
		return nil
	}
	return a.write(file, content.with(line))
}

// setLine makes line the only one of name.
func (a *accounts) setLine(file, name, line string) error {
	content, err := a.read(file)
	if err != nil {
		return err
	}
	if slices.Contains(content.lines, line) {
		return nil
	}
	return a.write(file, content.without(name).with(line))
}

// write replaces a file, keeping its owner and mode.
func (a *accounts) write(file string, content accountFile) error {
	info, err := a.fs.Lstat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("write %s: it is no regular file; make it one, or create the account by hand", file)
	}
	uid, gid := Owner(info)
	return a.fs.WriteFile(file, content.bytes(), Attr{Mode: info.Mode().Perm(), UID: uid, GID: gid})
}

// noLogin is a shell that lets nobody in and exists: some programs take one that
// does not for a broken account.
func (a *accounts) noLogin() string {
	shells := []string{"/usr/sbin/nologin", "/sbin/nologin", "/usr/bin/nologin", "/bin/false", "/usr/bin/false"}
	for _, shell := range shells {
		if a.fs.Exists(shell) {
			return shell
		}
	}
	return shells[0]
}

// numbers chooses a uid and a gid from the top of the system's range downwards,
// the same for both where one is free in both.
func (a *accounts) numbers(name string) (uid, gid int, err error) {
	passwd, err := a.read(passwdFile)
	if err != nil {
		return 0, 0, err
	}
	group, err := a.read(groupFile)
	if err != nil {
		return 0, 0, err
	}
	content, err := a.fs.ReadFile("/etc/login.defs")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, err
	}
	defs := parseLoginDefs(content)
	freeUID := func(n int) bool { return defs.uids.has(n) && !a.taken(passwd, "passwd", n) }
	freeGID := func(n int) bool { return defs.gids.has(n) && !a.taken(group, "group", n) }

	if fields, exists := group.find(name); exists && len(fields) > 2 {
		// The group of a run that was cut, or the administrator's.
		if gid, err = strconv.Atoi(fields[2]); err != nil {
			return 0, 0, fmt.Errorf("group %s: its line in %s is wrong; correct it with vigr: %w", name, groupFile, err)
		}
		if freeUID(gid) {
			return gid, gid, nil
		}
		uid, ok := highest(defs.uids, freeUID)
		return uid, gid, noneFree(ok, defs)
	}
	if n, ok := highest(defs.uids, func(n int) bool { return freeUID(n) && freeGID(n) }); ok {
		return n, n, nil
	}
	uid, uidOK := highest(defs.uids, freeUID)
	gid, gidOK := highest(defs.gids, freeGID)
	return uid, gid, noneFree(uidOK && gidOK, defs)
}

func (a *accounts) taken(file accountFile, database string, n int) bool {
	_, exists := file.findNumber(n)
	return exists || a.ask(database, strconv.Itoa(n)) != nil
}

func highest(r numberRange, free func(int) bool) (int, bool) {
	for n := r.max; n >= r.min; n-- {
		if free(n) {
			return n, true
		}
	}
	return 0, false
}

func noneFree(ok bool, defs loginDefs) error {
	if ok {
		return nil
	}
	return fmt.Errorf("no number is free for a system account (uids %d-%d, gids %d-%d); widen SYS_UID_MIN and SYS_GID_MIN in /etc/login.defs",
		defs.uids.min, defs.uids.max, defs.gids.min, defs.gids.max)
}

// Remove takes the account away, in the reverse order of Create.
func (a *accounts) Remove(ctx context.Context, name string, keepGroup bool) (err error) {
	if err := checkAccountName(name); err != nil {
		return err
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	files := []string{passwdFile, shadowFile, groupFile, gshadowFile}
	if keepGroup {
		files = files[:2]
	}
	for _, file := range files {
		if err := a.removeLine(file, name); err != nil {
			return fmt.Errorf("remove account %s: %w", name, err)
		}
	}
	return a.restoreContext(ctx)
}

func (a *accounts) removeLine(file, name string) error {
	content, err := a.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	fields, exists := content.find(name)
	if !exists {
		return nil
	}
	if file == groupFile || file == gshadowFile {
		if used, err := a.groupUsed(name, fields); used || err != nil {
			return err
		}
	}
	return a.write(file, content.without(name))
}

// groupUsed tells whether somebody else has been put into the group since: as a
// member, or with it as the first group. Such a group stays.
func (a *accounts) groupUsed(name string, fields []string) (bool, error) {
	if last := fields[len(fields)-1]; len(fields) >= 4 && last != "" && last != name {
		return true, nil
	}
	group, err := a.read(groupFile)
	if err != nil {
		return false, err
	}
	fields, exists := group.find(name)
	if !exists || len(fields) < 3 {
		return false, nil
	}
	passwd, err := a.read(passwdFile)
	if err != nil {
		return false, err
	}
	for _, line := range passwd.lines {
		if user := strings.Split(line, ":"); len(user) > 3 && user[3] == fields[2] && user[0] != name {
			return true, nil
		}
	}
	return false, nil
}

// restoreContext gives the files back the SELinux label that a new file in /etc
// does not have; without it nobody could log in any more.
func (a *accounts) restoreContext(ctx context.Context) error {
	if a.fs.Root != "" {
		return nil
	}
	existing := make([]string, 0, 4)
	for _, file := range []string{passwdFile, groupFile, shadowFile, gshadowFile} {
		if a.fs.Exists(file) {
			existing = append(existing, file)
		}
	}
	return RestoreContext(ctx, a.run, existing...)
}
