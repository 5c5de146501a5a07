package local

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Owner is the name of the account that a file belongs to; "" if nobody knows.
func Owner(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(stat.Uid), 10))
	if err != nil {
		return ""
	}
	return u.Username
}

// account is whom the kernel asks about. One that is yet to be made owns nothing.
type account struct {
	name string
	// uid is -1 for one that is not there.
	uid  int64
	gids []int64
}

func accountOf(name string) account {
	a := account{name: name, uid: -1}
	u, err := user.Lookup(name)
	if err != nil {
		return a
	}
	groups, err := u.GroupIds()
	if err != nil {
		groups = []string{u.Gid}
	}
	for _, g := range groups {
		if gid, err := strconv.ParseInt(g, 10, 64); err == nil {
			a.gids = append(a.gids, gid)
		}
	}
	if uid, err := strconv.ParseInt(u.Uid, 10, 64); err == nil {
		a.uid = uid
	}
	return a
}

// Access is importer.Options.Access for an account; nil for one that may do anything.
func Access(name string) func(string) (why, cure string) {
	if name == "" {
		return nil
	}
	a := accountOf(name)
	if a.uid == 0 {
		return nil
	}
	return a.problem
}

// What an account may do, as in modes.
const (
	read   = 4
	write  = 2
	enter  = 1
	wholly = read | write | enter
)

// maxSeen bounds how much of what lies in a folder is looked at.
const maxSeen = 2000

// problem looks at the way to a folder, at the folder, and at what lies in it as far as it
// goes. What it says stays the same while files in it come and go.
func (a account) problem(dir string) (why, cure string) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", ""
	}
	above := "/"
	for _, name := range strings.Split(strings.Trim(filepath.Dir(real), "/"), "/") {
		above = filepath.Join(above, name)
		if !a.may(above, enter) {
			return fmt.Sprintf("the account %s, as which the server runs, may not enter %q, in which its folder %q lies", a.name, above, dir),
				fmt.Sprintf("setfacl -m u:%s:x %s; and for the files: %s", a.name, quoted(above), a.grant(dir))
		}
	}
	if !a.may(real, wholly) {
		return fmt.Sprintf("the account %s, as which the server runs, may not read and write in its folder %q", a.name, dir), a.grant(dir)
	}
	if !a.mayAll(real) {
		return fmt.Sprintf("the account %s, as which the server runs, may not use everything in its folder %q", a.name, dir), a.grant(dir)
	}
	return "", ""
}

// grant is the command that gives the account the right to a folder.
func (a account) grant(dir string) string {
	return fmt.Sprintf("setfacl -R -m u:%[1]s:rwX,d:u:%[1]s:rwX %[2]s", a.name, quoted(dir))
}

// mayAll looks at what lies in a folder: folders are to be written in, files to be read.
func (a account) mayAll(dir string) bool {
	seen, all := 0, true
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		seen++
		switch {
		case seen > maxSeen:
			return fs.SkipAll
		case err != nil:
			return nil // it is gone
		case d.IsDir() && !a.may(path, wholly), d.Type().IsRegular() && !a.may(path, read):
			all = false
			return fs.SkipAll
		}
		return nil
	})
	return all
}

// maxACL is how large an access list may be that is read, in bytes.
const maxACL = 16 << 10

// may tells whether the account has all those rights; what is gone does nobody harm.
func (a account) may(path string, want uint32) bool {
	info, err := os.Stat(path)
	if err != nil {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	acl := make([]byte, maxACL)
	if n, err := unix.Getxattr(path, "system.posix_acl_access", acl); err == nil {
		if entries, ok := parseACL(acl[:n]); ok {
			return a.byACL(entries, int64(stat.Uid), int64(stat.Gid), want)
		}
	}
	mode := uint32(info.Mode().Perm())
	switch {
	case int64(stat.Uid) == a.uid:
		mode >>= 6
	case slices.Contains(a.gids, int64(stat.Gid)):
		mode >>= 3
	}
	return mode&want == want
}

// aclEntry is one of an access list as the kernel keeps it.
type aclEntry struct {
	tag, rights uint16
	id          uint32
}

// The kinds of entries.
const (
	aclOwner = 1 << iota
	aclUser
	aclOwningGroup
	aclGroup
	aclMask
	aclOthers
)

// parseACL reads the form in which the kernel gives it: a version and entries, in the byte
// order of PCs.
func parseACL(raw []byte) (entries []aclEntry, ok bool) {
	const version, head, size = 2, 4, 8
	if len(raw) < head || (len(raw)-head)%size != 0 || binary.LittleEndian.Uint32(raw) != version {
		return nil, false
	}
	for raw = raw[head:]; len(raw) > 0; raw = raw[size:] {
		entries = append(entries, aclEntry{
			binary.LittleEndian.Uint16(raw), binary.LittleEndian.Uint16(raw[2:]), binary.LittleEndian.Uint32(raw[4:]),
		})
	}
	return entries, true
}

// byACL goes through an access list as the kernel does.
func (a account) byACL(entries []aclEntry, owner, group int64, want uint32) bool {
	rights := func(fits func(aclEntry) bool) (all []uint32) {
		for _, e := range entries {
			if fits(e) {
				all = append(all, uint32(e.rights))
			}
		}
		return all
	}
	one := func(tag uint16) []uint32 { return rights(func(e aclEntry) bool { return e.tag == tag }) }
	grants := func(all []uint32, mask uint32) bool {
		return slices.ContainsFunc(all, func(r uint32) bool { return r&mask&want == want })
	}
	mask := uint32(wholly)
	if m := one(aclMask); len(m) > 0 {
		mask = m[0]
	}
	if owner == a.uid {
		return grants(one(aclOwner), wholly)
	}
	if own := rights(func(e aclEntry) bool { return e.tag == aclUser && int64(e.id) == a.uid }); len(own) > 0 {
		return grants(own, mask)
	}
	groups := rights(func(e aclEntry) bool {
		return e.tag == aclOwningGroup && slices.Contains(a.gids, group) || e.tag == aclGroup && slices.Contains(a.gids, int64(e.id))
	})
	if len(groups) > 0 {
		return grants(groups, mask)
	}
	return grants(one(aclOthers), wholly)
}

// quoted is a path as a shell takes it.
func quoted(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@:,") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
