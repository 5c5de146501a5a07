package machine

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// accountFile is the content of passwd, group, shadow or gshadow, taken apart
// only as far as it must be: every line keeps its bytes, so that what is put
// together again differs in nothing but the lines that were added or removed.
type accountFile struct {
	lines []string
	// ended tells whether the last line ends as lines do.
	ended bool
}

func parseAccountFile(content []byte) accountFile {
	if len(content) == 0 {
		return accountFile{ended: true}
	}
	lines := strings.Split(string(content), "\n")
	if last := len(lines) - 1; lines[last] == "" {
		return accountFile{lines: lines[:last], ended: true}
	}
	return accountFile{lines: lines}
}

func (a accountFile) bytes() []byte {
	var out bytes.Buffer
	for i, line := range a.lines {
		out.WriteString(line)
		if a.ended || i < len(a.lines)-1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

// find returns the fields of the line that begins with name.
func (a accountFile) find(name string) ([]string, bool) {
	for _, line := range a.lines {
		if fields := strings.Split(line, ":"); fields[0] == name && len(fields) > 1 {
			return fields, true
		}
	}
	return nil, false
}

// findNumber returns the fields of the line whose third field is n: the uid of
// passwd, the gid of group.
func (a accountFile) findNumber(n int) ([]string, bool) {
	for _, line := range a.lines {
		fields := strings.Split(line, ":")
		if len(fields) < 3 {
			continue
		}
		if found, err := strconv.Atoi(fields[2]); err == nil && found == n {
			return fields, true
		}
	}
	return nil, false
}

// with is the file with a line added: at the end, yet before the lines that hand
// over to a directory service, after which nothing is read.
func (a accountFile) with(line string) accountFile {
	at := len(a.lines)
	for i, old := range a.lines {
		if strings.HasPrefix(old, "+") || strings.HasPrefix(old, "-") {
			at = i
			break
		}
	}
	lines := make([]string, 0, len(a.lines)+1)
	lines = append(lines, a.lines[:at]...)
	lines = append(lines, line)
	lines = append(lines, a.lines[at:]...)
	return accountFile{lines: lines, ended: a.ended}
}

// without is the file without the lines of name.
func (a accountFile) without(name string) accountFile {
	kept := accountFile{ended: a.ended}
	for _, line := range a.lines {
		if !strings.HasPrefix(line, name+":") {
			kept.lines = append(kept.lines, line)
		}
	}
	return kept
}

// numberRange is an inclusive range of uids or gids.
type numberRange struct{ min, max int }

// loginDefs is the part of /etc/login.defs that is about system accounts.
type loginDefs struct{ uids, gids numberRange }

// parseLoginDefs reads login.defs. What is missing or wrong there is as in
// useradd(8): 101 up to one below the first ordinary number.
func parseLoginDefs(content []byte) loginDefs {
	values := make(map[string]int)
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		// Base 0: useradd reads octal and hexadecimal numbers there as well.
		n, err := strconv.ParseInt(fields[1], 0, 32)
		if err == nil && n >= 0 {
			values[fields[0]] = int(n)
		}
	}
	return loginDefs{uids: systemRange(values, "UID"), gids: systemRange(values, "GID")}
}

func systemRange(values map[string]int, kind string) numberRange {
	const first, firstOrdinary = 101, 1000
	r := numberRange{min: first, max: firstOrdinary - 1}
	if ordinary, ok := values[kind+"_MIN"]; ok && ordinary > first {
		r.max = ordinary - 1
	}
	if n, ok := values["SYS_"+kind+"_MIN"]; ok && n > 0 {
		r.min = n
	}
	if n, ok := values["SYS_"+kind+"_MAX"]; ok && n > 0 {
		r.max = n
	}
	if r.min > r.max {
		return numberRange{min: first, max: firstOrdinary - 1}
	}
	return r
}

func (r numberRange) has(n int) bool { return r.min <= n && n <= r.max }

// checkAccountName refuses what would not be one field of one line.
func checkAccountName(name string) error {
	const longest = 32 // of Linux's utmp
	ok := name != "" && len(name) <= longest
	for i, c := range name {
		letter := c >= 'a' && c <= 'z' || c == '_'
		ok = ok && (letter || i > 0 && (c >= '0' && c <= '9' || c == '-'))
	}
	if !ok {
		return fmt.Errorf("account %q: a name has 1 to %d of a-z, 0-9, - and _, and begins with a letter", name, longest)
	}
	return nil
}
