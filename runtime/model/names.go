package model

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxName bounds a name in characters; the bytes are bounded so that a name can be the
// name of a folder everywhere.
const (
	maxName      = 64
	maxNameBytes = 200
	maxSlug      = 63
	maxText      = 4096
)

// Fold is the form under which a name is compared and found: case, width and the
// composition of accents make no difference. Fold(Fold(x)) is Fold(x).
func Fold(name string) string {
	if isASCII(name) {
		return strings.ToLower(name)
	}
	if folded, ok := foldLatin(name); ok {
		return folded
	}
	return foldAny(name)
}

func foldAny(name string) string {
	// Folding can undo the composition and composing the folding, for a few letters;
	// two rounds have always been enough, the bound is for certainty.
	for range 4 {
		next := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name)))
		if next == name {
			break
		}
		name = next
	}
	return name
}

// latin has what the letters of Latin with accents fold to, by themselves; empty for those
// that something else may be composed with. None of the others changes beside another.
var latin = sync.OnceValue(func() []string {
	out := make([]string, latinEnd)
	for r := range rune(latinEnd) {
		folded := foldAny(string(r))
		if !strings.ContainsFunc(folded, func(r rune) bool { return r >= latinEnd }) {
			out[r] = folded
		}
	}
	return out
})

// latinEnd is the first character behind Latin Extended-B; marks that go onto letters lie
// behind it.
const latinEnd = 0x250

// foldLatin folds names of Latin letters, accents and all, much quicker than the tables.
func foldLatin(name string) (string, bool) {
	known := latin()
	var b strings.Builder
	b.Grow(len(name))
	for _, r := range name {
		if int(r) >= len(known) || known[r] == "" {
			return "", false
		}
		b.WriteString(known[r])
	}
	return b.String(), true
}

// isASCII tells the names that need no look into tables: most of them.
func isASCII(name string) bool {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// compose is how a name is kept: as written, with accents composed.
func compose(name string) string { return norm.NFC.String(name) }

// reservedNames are those that Windows gives to devices, with any extension.
var reservedNames = map[string]bool{
	"con": true, "prn": true, "aux": true, "nul": true, "conin$": true, "conout$": true, "clock$": true,
}

func init() {
	for _, digit := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		reservedNames["com"+digit], reservedNames["lpt"+digit] = true, true
	}
}

// nameProblem says what is wrong with the name of a user, a group, a VFS: such names
// are also names of folders, on every system, and stand in logs.
func nameProblem(name string) (problem, cure string) {
	if IsPlainName(name) {
		return "", ""
	}
	folded := Fold(name)
	switch {
	case name == "":
		return "it is missing", "give one"
	case !utf8.ValidString(name):
		return "it is not text in UTF-8", "write it again"
	case utf8.RuneCountInString(name) > maxName || len(name) > maxNameBytes || len(folded) > maxNameBytes:
		return "it is too long", "use at most 64 characters"
	case strings.TrimSpace(name) != name || strings.HasSuffix(name, "."):
		return "it begins or ends with a blank, or ends with a dot", "take that away"
	}
	// The folded form is a name as well: a wide "／" folds to "/".
	for _, form := range []string{name, folded} {
		for _, r := range form {
			if strings.ContainsRune(`/\:*?"<>|`, r) {
				return `it contains one of / \ : * ? " < > |`, "use letters, digits, - _ . @ or blanks"
			}
			if !unicode.IsGraphic(r) || r != ' ' && unicode.IsSpace(r) || r == utf8.RuneError {
				return "it contains a character that cannot be seen", "use letters, digits, - _ . @ or blanks"
			}
		}
		if strings.Trim(form, ".") == "" || form != strings.TrimSpace(form) {
			return "it is not a name", "use letters, digits, - _ . @ or blanks"
		}
	}
	stem, _, _ := strings.Cut(folded, ".")
	if reservedNames[strings.TrimRight(stem, " ")] {
		return "Windows reserves it for a device", "choose another"
	}
	return "", ""
}

// IsPlainName tells names of users, groups and VFSs that are surely right, which most are: of
// letters that every rule allows, and not those of devices of Windows.
func IsPlainName(name string) bool {
	const shortestDevice = 3
	stem, _, _ := strings.Cut(name, ".")
	if len(stem) < shortestDevice || len(name) > maxName || name[len(name)-1] == '.' || reservedNames[strings.ToLower(stem)] {
		return false
	}
	for i := range len(name) {
		c := name[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '@' || c == '.'
		if !ok {
			return false
		}
	}
	return true
}

// slugProblem says what is wrong with the name of a node, a site, a binding: these
// stand in addresses and in the names of metrics.
func slugProblem(name string) (problem, cure string) {
	const rule = "use 1 to 63 small letters, digits and hyphens, a letter or digit first and last"
	if name == "" {
		return "it is missing", "give one"
	}
	if len(name) > maxSlug || name[0] == '-' || name[len(name)-1] == '-' {
		return "it is not a short name", rule
	}
	for i := range len(name) {
		if c := name[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return "it is not a short name", rule
		}
	}
	return "", ""
}
