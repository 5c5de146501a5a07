//go:build linux

// Package snapshot makes the state of a machine, or of a folder that holds a root
// file system, comparable: every file with type, owner, mode, time and content, every
// account, every service. Two snapshots are equal when a person could not tell the
// machines apart; Diff says in words where they differ.
//
//	before := snapshot.Take(root, snapshot.Options{})
//	…
//	for _, line := range snapshot.Diff(before, snapshot.Take(root, snapshot.Options{})) {
//		t.Error(line)
//	}
//
// For a booted machine call it on a thread inside: lab.Machine.Inside.
package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Volatile is what changes on a machine without anybody's doing, or says nothing
// about what is installed. The contents of the account files are compared as accounts.
var Volatile = []string{
	"/dev", "/proc", "/sys", "/run", "/tmp", "/var/tmp", "/var/cache", "/root",
	"/var/log/journal", "/var/log/wtmp", "/var/log/btmp", "/var/log/lastlog", "/var/log/faillog",
	"/var/lib/systemd", "/var/lib/dbus", "/var/lib/private", "/var/lib/urandom",
	"/etc/machine-id", "/etc/.updated", "/var/.updated", "/etc/mtab", "/etc/.pwd.lock",
	"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid*", "/etc/subgid*",
}

// Options says what a snapshot holds.
type Options struct {
	Roots    []string          // folders to walk, as paths in the tree; default: everything
	Ignore   []string          // paths or path.Match patterns; each also leaves out what lies below
	Services map[string]string // state of services in the caller's words, such as "enabled, active"
	NoTimes  bool              // leave modification times out
}

// File is what a snapshot knows of one file, folder, link or other entry.
type File struct {
	Type    string // file, folder, link, fifo, socket, device
	Mode    string // permission bits, setuid, setgid and sticky as octal text
	Owner   string // by name, a number when it has none
	Group   string
	ModTime time.Time // of regular files only: a folder's changes with every visitor
	Size    int64
	SHA256  string
	Target  string // of links
}

// Snapshot is the state of a tree.
type Snapshot struct {
	Files    map[string]File
	Accounts map[string]string // "passwd ss-server" -> the rest of the line
	Services map[string]string
}

// Take walks the tree below root, "/" for the machine itself. Owners are named by the
// account files of that tree.
func Take(root string, o Options) (*Snapshot, error) {
	names, err := readNames(root)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Files: map[string]File{}, Accounts: map[string]string{}, Services: maps.Clone(o.Services)}
	roots := o.Roots
	if len(roots) == 0 {
		roots = []string{"/"}
	}
	for _, r := range roots {
		if err := s.walk(root, path.Clean("/"+r), o, names); err != nil {
			return nil, err
		}
	}
	return s, s.readAccounts(root)
}

func (s *Snapshot) walk(root, from string, o Options, names names) error {
	top := filepath.Join(root, from)
	err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since its folder was read, or a root that is not there: not in the snapshot
		}
		if err != nil {
			return err
		}
		inside := path.Join(from, strings.TrimPrefix(file, top))
		if ignored(inside, o.Ignore) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		f, err := look(file, names)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if o.NoTimes || isAccountFile(inside) {
			f.ModTime = time.Time{}
		}
		if isAccountFile(inside) {
			f.Size, f.SHA256 = 0, ""
		}
		s.Files[inside] = f
		return nil
	})
	if err != nil {
		return fmt.Errorf("snapshot of %s: %w", top, err)
	}
	return nil
}

// ignored tells whether a pattern fits the path or a folder above it.
func ignored(name string, patterns []string) bool {
	for ; name != "/"; name = path.Dir(name) {
		for _, pattern := range patterns {
			if ok, err := path.Match(pattern, name); err == nil && ok {
				return true
			}
		}
	}
	return false
}

func look(file string, names names) (File, error) {
	info, err := os.Lstat(file)
	if err != nil {
		return File{}, err
	}
	sys := info.Sys().(*syscall.Stat_t)
	f := File{
		Type:  typeOf(info.Mode()),
		Mode:  fmt.Sprintf("%04o", sys.Mode&0o7777),
		Owner: names.user(sys.Uid),
		Group: names.group(sys.Gid),
	}
	switch f.Type {
	case "file":
		f.ModTime, f.Size = info.ModTime(), info.Size()
		f.SHA256, err = hash(file)
	case "link":
		f.Mode = "" // the system's, not anybody's choice
		f.Target, err = os.Readlink(file)
	case "device":
		f.Target = fmt.Sprintf("device %d", sys.Rdev)
	}
	return f, err
}

func typeOf(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "folder"
	case fs.ModeSymlink:
		return "link"
	case fs.ModeNamedPipe:
		return "fifo"
	case fs.ModeSocket:
		return "socket"
	}
	return "device"
}

func hash(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// accountFiles lists the account databases. Of shadow, the day of the last change is
// no part of the account's state.
var accountFiles = []string{"passwd", "group", "shadow", "gshadow"}

func isAccountFile(name string) bool {
	return path.Dir(name) == "/etc" && slices.Contains(accountFiles, path.Base(name))
}

func (s *Snapshot) readAccounts(root string) error {
	for _, base := range accountFiles {
		text, err := readEtc(root, base)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			fields := strings.Split(strings.TrimSuffix(string(line), "\n"), ":")
			if base == "shadow" && len(fields) > 2 {
				fields[2] = ""
			}
			if fields[0] != "" {
				s.Accounts[base+" "+fields[0]] = strings.Join(fields[1:], ":")
			}
		}
	}
	return nil
}

func readEtc(root, base string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, "etc", base))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	return text, nil
}

// names gives numbers the names that they have in the tree.
type names struct{ users, groups map[uint32]string }

func readNames(root string) (names, error) {
	users, err := readIDs(root, "passwd")
	if err != nil {
		return names{}, err
	}
	groups, err := readIDs(root, "group")
	return names{users, groups}, err
}

func readIDs(root, base string) (map[uint32]string, error) {
	text, err := readEtc(root, base)
	if err != nil {
		return nil, err
	}
	ids := map[uint32]string{}
	for line := range bytes.Lines(text) {
		fields := strings.Split(string(line), ":")
		if len(fields) < 3 {
			continue
		}
		id, err := strconv.ParseUint(strings.TrimSpace(fields[2]), 10, 32)
		if err != nil {
			continue
		}
		if _, taken := ids[uint32(id)]; !taken {
			ids[uint32(id)] = fields[0]
		}
	}
	return ids, nil
}

func (n names) user(id uint32) string  { return name(n.users, id) }
func (n names) group(id uint32) string { return name(n.groups, id) }

func name(ids map[uint32]string, id uint32) string {
	if name, ok := ids[id]; ok {
		return name
	}
	return strconv.FormatUint(uint64(id), 10)
}
