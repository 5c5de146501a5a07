package openssh

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ss-setup/migrate/convert"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// keyLine is a line of authorized_keys.
type keyLine struct {
	text, name string
	// from are the patterns of addresses that the key is good for; all if it is empty.
	from    []string
	expires time.Time
	// why is the reason for which the key cannot be taken over.
	why string
}

// maxKeys is how many keys a user may have.
const maxKeys = 100

// keyTypes are the beginnings of names of keys.
var keyTypes = []string{"ssh-", "ecdsa-", "sk-"}

func isKeyType(word string) bool {
	return slices.ContainsFunc(keyTypes, func(p string) bool { return strings.HasPrefix(word, p) })
}

// parseKey reads a line. ok is false for one that says nothing.
func parseKey(line string) (k keyLine, ok bool) {
	line = strings.Trim(line, " \t\r\n")
	if line == "" || line[0] == '#' {
		return k, false
	}
	first, rest, _ := strings.Cut(line, " ")
	if !isKeyType(first) {
		options, after, err := options(line)
		if err {
			k.why = "it is not a line that is understood here"
			return k, true
		}
		for _, o := range options {
			k.option(o[0], o[1])
		}
		line = strings.TrimLeft(after, " \t")
		if first, rest, _ = strings.Cut(line, " "); !isKeyType(first) {
			k.why = "it is not a line that is understood here"
			return k, true
		}
	}
	blob, comment, _ := strings.Cut(strings.TrimLeft(rest, " \t"), " ")
	k.text, k.name = first+" "+blob, strings.TrimSpace(comment)
	if strings.Contains(first, "-cert-") && k.why == "" {
		k.why = "it is a certificate, which is no key here"
	}
	return k, true
}

// options takes those at the beginning of a line apart: NAME or NAME="VALUE", with commas
// between.
func options(line string) (list [][2]string, rest string, bad bool) {
	for {
		at := strings.IndexAny(line, `=, "`+"\t")
		if at <= 0 {
			return nil, "", true
		}
		o := [2]string{strings.ToLower(line[:at])}
		if line = line[at:]; line[0] == '=' {
			value, after, ok := quoted(line[1:])
			if !ok {
				return nil, "", true
			}
			o[1], line = value, after
		}
		list = append(list, o)
		switch {
		case line == "":
			return nil, "", true
		case line[0] == ',':
			line = line[1:]
		case line[0] == ' ' || line[0] == '\t':
			return list, line, false
		default:
			return nil, "", true
		}
	}
}

// quoted reads a text in quotes, in which \" is one.
func quoted(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++
			b.WriteByte('"')
		case text[i] == '"':
			return b.String(), text[i+1:], true
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", false
}

// harmless options take or give what is not here anyway.
var harmless = []string{
	"restrict", "no-agent-forwarding", "no-port-forwarding", "no-pty", "no-user-rc", "no-x11-forwarding", "agent-forwarding", "port-forwarding",
	"pty", "user-rc", "x11-forwarding", "permitopen", "permitlisten", "environment", "tunnel", "no-touch-required",
}

// option heeds one option. What is not known may narrow the key, so it leaves it out.
func (k *keyLine) option(name, value string) {
	out := func(why string) {
		if k.why == "" {
			k.why = why
		}
	}
	switch {
	case slices.Contains(harmless, name):
	case name == "command":
		if f := parseForce(value); !f.sftp {
			out("it might run one command alone")
		} else if f.narrow() {
			out("it might do less over SFTP than its user")
		}
	case name == "from":
		if value == "" {
			out("it might come from nowhere")
		}
		k.from = append(k.from, strings.Split(value, ",")...)
	case name == "expiry-time":
		t, ok := expiry(value)
		if !ok {
			out("when it ends cannot be read")
		} else if k.expires.IsZero() || t.Before(k.expires) {
			k.expires = t
		}
	case name == "cert-authority":
		out("it signs certificates, and is no key by itself")
	case name == "principals":
		out("it is for certificates")
	case name == "verify-required":
		out("it must be confirmed with a PIN, which is not asked for here")
	default:
		out(fmt.Sprintf("its option %.40q is not known here", name))
	}
}

// easternmost is how far a local time may lie before UTC.
const easternmost = 14 * time.Hour

// expiry reads YYYYMMDD[HHMM[SS]][Z]. A time without Z is local; taken is the earliest that
// it can be, so that no key lives longer than it did.
func expiry(text string) (t time.Time, ok bool) {
	digits, utc := strings.CutSuffix(text, "Z")
	layout, known := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}[len(digits)]
	t, err := time.Parse(layout, digits)
	if !known || err != nil {
		return time.Time{}, false
	}
	if !utc {
		t = t.Add(-easternmost)
	}
	return t, t.Year() > 1970
}

// keys gives a user those of his files.
func (i *run) keys(a *convert.Account, u *person, files []string) error {
	var list []keyLine
	for _, name := range files {
		text, ok, err := i.s.read(name)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if i.openToOthers(name) {
			a.Notes = append(a.Notes, convert.Lock{Rule: report.UserKeys, Why: fmt.Sprintf("its keys in %.120q are left out: others may write there, so sshd did not heed them", name), Cure: "give it its keys here"})
			continue
		}
		n := 0
		for line := range strings.Lines(text) {
			n++
			k, ok := parseKey(line)
			if !ok {
				continue
			}
			if k.name == "" {
				k.name = fmt.Sprintf("line %d", n)
			}
			list = append(list, k)
		}
	}
	leave := func(k keyLine, why string) {
		a.Notes = append(a.Notes, convert.Lock{Rule: report.UserKeys, Why: fmt.Sprintf("its key %.60q is left out: %s", k.name, why), Cure: "have the user give another key, or give it to an account that is as narrow"})
	}
	list = slices.DeleteFunc(list, func(k keyLine) bool {
		if k.why != "" {
			leave(k, k.why)
		}
		return k.why != ""
	})
	from, same := commonFrom(list)
	for _, k := range list {
		switch {
		case len(k.from) > 0 && !same:
			leave(k, "it was good from some addresses only, and not all keys of the user have the same")
		case len(a.Keys) == maxKeys:
			leave(k, fmt.Sprintf("a user has at most %d keys", maxKeys))
		default:
			a.Keys = append(a.Keys, convert.UserKey{Name: k.name, Text: k.text, Expires: k.expires})
		}
	}
	if same && len(from) > 0 {
		allow, deny := signs(from)
		u.from = append(u.from, allow...)
		u.notFrom = append(u.notFrom, deny...)
		a.Notes = append(a.Notes, convert.Lock{Rule: report.UserKeys, Why: "its keys were good from some addresses only; here that holds for its password as well", Cure: "look at its allow list"})
	}
	return nil
}

// othersWrite are the bits of a mode that let others than the owner write.
const othersWrite = 0o022

// openToOthers tells files that sshd refuses to read, unless StrictModes is off.
func (i *run) openToOthers(name string) bool {
	e := i.s.lookup(name)
	return e != nil && e.Mode&othersWrite != 0 && !i.opt.Windows() && !strings.EqualFold(i.config.global("strictmodes"), "no")
}

// commonFrom are the addresses that all keys share, if they are such as an account can have:
// networks. same is true where no key has any, too.
func commonFrom(list []keyLine) (from []string, same bool) {
	for n, k := range list {
		if n == 0 {
			from = k.from
		}
		if !slices.Equal(from, k.from) {
			return nil, false
		}
	}
	allow, deny := signs(from)
	for _, text := range slices.Concat(allow, deny) {
		if _, err := model.Network(text); err != nil {
			return nil, false
		}
	}
	return from, len(from) == 0 || len(allow) > 0
}

// signs parts patterns from those that forbid.
func signs(patterns []string) (allow, deny []string) {
	for _, p := range patterns {
		if p = strings.TrimSpace(p); strings.HasPrefix(p, "!") {
			deny = append(deny, p[1:])
		} else {
			allow = append(allow, p)
		}
	}
	return allow, deny
}
