package vfs

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest path and component, in bytes. Windows counts components in UTF-16 units,
// of which there are never more than bytes.
const (
	MaxPath = 4096
	MaxName = 255
)

// Names that belong to the server itself and that no client can name.
const (
	// Private is a folder at the root of each VFS: its key, journals, and the list of
	// uploads that are not done.
	Private = ".ss-server"
	// TempPrefix starts the name of an upload that is not done.
	TempPrefix = ".ss-upload-"
)

// Path is a place in a tree: components with single slashes between them, none of them
// empty, "." or "..", and none that a system gives a meaning of its own. Only Parse,
// and Join on what Parse made, make one, so that whoever holds a Path need not look
// again. The zero value is the root.
type Path struct{ s string }

// Root is the top of a tree.
var Root Path

// Rules are the peculiarities of names on one operating system.
type Rules struct {
	// Windows refuses what Windows reads otherwise than it is written: backslashes,
	// colons (streams, drives), wildcards, control characters, names of devices, dots
	// and blanks at the end, short 8.3 names, and text that is not UTF-8.
	Windows bool
}

// Parse turns a name as a client sent it into a Path: from the root, whether it starts
// with a slash or not. "." and ".." are taken away by their text alone, before anything
// looks at a disk, and a name that climbs above the root and comes down again is
// refused. The error is ErrBadPath with the reason.
func Parse(raw string, r Rules) (Path, error) {
	if len(raw) > MaxPath {
		return Root, fmt.Errorf("%w: longer than %d bytes", ErrBadPath, MaxPath)
	}
	var parts []string
	climbed := false
	for part := range strings.SplitSeq(raw, "/") {
		switch part {
		case "", ".":
		case "..":
			// "/.." is "/", as everywhere; clients send it to go up from the root.
			climbed = climbed || len(parts) == 0
			parts = parts[:max(0, len(parts)-1)]
		default:
			if climbed {
				return Root, fmt.Errorf("%w: %q climbs above the root", ErrBadPath, raw)
			}
			if err := r.check(part); err != nil {
				return Root, err
			}
			parts = append(parts, part)
		}
	}
	return Path{strings.Join(parts, "/")}, nil
}

// Join is the path of name in the folder p. It checks name as Parse does.
func (p Path) Join(name string, r Rules) (Path, error) {
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return Root, fmt.Errorf("%w: %q is no name", ErrBadPath, name)
	}
	if err := r.check(name); err != nil {
		return Root, err
	}
	return p.child(name), nil
}

// Under puts p below the folder base: what is "/a" in a tree that is mounted on "/m" is
// "/m/a".
func (p Path) Under(base Path) Path {
	if p.s == "" {
		return base
	}
	return base.child(p.s)
}

func (p Path) child(name string) Path {
	if p.s == "" {
		return Path{name}
	}
	return Path{p.s + "/" + name}
}

// Reserved is a path of the server's own below p, which Parse would refuse. It is for
// the layers of the VFS alone.
func (p Path) Reserved(names ...string) Path {
	for _, name := range names {
		p = p.child(name)
	}
	return p
}

// String is the path as users see it, from the slash on.
func (p Path) String() string { return "/" + p.s }

// Local is the path relative to the root, as io/fs and os.Root take it: "." for the root.
func (p Path) Local() string {
	if p.s == "" {
		return "."
	}
	return p.s
}

// IsRoot says whether p is the top of the tree.
func (p Path) IsRoot() bool { return p.s == "" }

// Base is the last component, "/" for the root.
func (p Path) Base() string {
	if p.s == "" {
		return "/"
	}
	return p.s[strings.LastIndexByte(p.s, '/')+1:]
}

// Parent is the folder that p lies in; the root's is the root.
func (p Path) Parent() Path {
	if i := strings.LastIndexByte(p.s, '/'); i >= 0 {
		return Path{p.s[:i]}
	}
	return Root
}

// Components are the names from the root down; none for the root.
func (p Path) Components() []string {
	if p.s == "" {
		return nil
	}
	return strings.Split(p.s, "/")
}

// In says whether p is dir or lies below it, and where below. It compares whole
// components.
func (p Path) In(dir Path) (rest Path, ok bool) {
	switch {
	case dir.s == "":
		return p, true
	case p.s == dir.s:
		return Root, true
	case len(p.s) > len(dir.s) && p.s[len(dir.s)] == '/' && p.s[:len(dir.s)] == dir.s:
		return Path{p.s[len(dir.s)+1:]}, true
	default:
		return Root, false
	}
}

// Fold is p as a file system that does not tell upper from lower case compares it: two
// paths that it takes for one have the same Fold. Paths that fold alike may still be two
// files elsewhere.
func (p Path) Fold() Path { return Path{fold(p.s)} }

func fold(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'a' <= c && c <= 'z' {
			// Upper case, as NTFS compares; then lower, for the few letters with two
			// capitals.
			return strings.Map(func(r rune) rune { return unicode.ToUpper(unicode.ToLower(unicode.ToUpper(r))) }, s)
		}
	}
	return s
}

// check refuses one component.
func (r Rules) check(name string) error {
	switch {
	case len(name) > MaxName:
		return fmt.Errorf("%w: a name is longer than %d bytes", ErrBadPath, MaxName)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%w: a name has a zero byte in it", ErrBadPath)
	case IsReserved(name):
		return fmt.Errorf("%w: %q belongs to the server", ErrBadPath, name)
	case r.Windows:
		return checkWindows(name)
	}
	return nil
}

// IsReserved says whether name is one that the server keeps for itself. It compares as
// the laxest file system does.
func IsReserved(name string) bool {
	f := fold(name)
	return f == fold(Private) || strings.HasPrefix(f, fold(TempPrefix))
}

func checkWindows(name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("%w: a name is not UTF-8", ErrBadPath)
	}
	for _, r := range name {
		if r < 0x20 || r == 0x7f || strings.ContainsRune(`\:*?"<>|`, r) {
			return fmt.Errorf("%w: %q has %q in it, which Windows does not allow", ErrBadPath, name, r)
		}
	}
	switch last := name[len(name)-1]; {
	case last == '.' || last == ' ':
		return fmt.Errorf("%w: %q ends with a dot or blank, which Windows drops", ErrBadPath, name)
	case isDevice(name):
		return fmt.Errorf("%w: %q is the name of a device on Windows", ErrBadPath, name)
	case isShortName(name):
		return fmt.Errorf("%w: %q looks like a short name, which on Windows may be another file", ErrBadPath, name)
	}
	return nil
}

// isDevice knows the names that Windows takes for devices, whatever their extension.
// Superscript digits count as digits there.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	digit, ok := strings.CutPrefix(stem, "COM")
	if !ok {
		digit, ok = strings.CutPrefix(stem, "LPT")
	}
	return ok && utf8.RuneCountInString(digit) == 1 && strings.ContainsAny(digit, "0123456789¹²³")
}

// isShortName knows names of the form that NTFS gives as second names, like PROGRA~1:
// they would reach a file past the rules for its real name.
func isShortName(name string) bool {
	stem, ext, _ := strings.Cut(name, ".")
	if len(stem) > 8 || len(ext) > 3 {
		return false
	}
	before, number, ok := strings.Cut(stem, "~")
	return ok && before != "" && number != "" && strings.Trim(number, "0123456789") == ""
}

// ParseOwn reads back what String gave: a path that the server itself wrote down, which
// may be one of its own. ErrBadPath if it cannot be that.
func ParseOwn(s string) (Path, error) {
	rest, ok := strings.CutPrefix(s, "/")
	if !ok || len(s) > 2*MaxPath {
		return Root, fmt.Errorf("%w: %.80q", ErrBadPath, s)
	}
	if rest == "" {
		return Root, nil
	}
	for part := range strings.SplitSeq(rest, "/") {
		if part == "" || part == "." || part == ".." || strings.IndexByte(part, 0) >= 0 || len(part) > MaxName {
			return Root, fmt.Errorf("%w: %.80q", ErrBadPath, s)
		}
	}
	return Path{rest}, nil
}
