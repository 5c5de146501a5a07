package convert

import (
	"fmt"
	"slices"
	"strings"

	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// OldSite is a virtual site or server.
type OldSite struct {
	ID, Title string
	Manual    bool
	// Limits; 0 is none.
	MaxConnections, MaxPerClient, MaxPerUser, IdleMinutes int64
	Level                                                 string
	Threshold, WindowMinutes, BanMinutes, GrowPercent     int64
	Rule                                                  model.PasswordRule
	SoftwareID, Banner                                    string
	Auth, KeyExchanges, Ciphers, MACs                     []string
	Speed                                                 []Speed
	// Allow is the list of those who may connect; all if it is empty.
	Allow []Network
}

// Network is an address or network with a note.
type Network struct{ Text, Notes string }

// Speed is a limit in bytes a second.
type Speed struct {
	From     string
	Up, Down int64
}

// Site is a site whose objects are being converted.
type Site struct {
	c *Conversion
	// Name is the site's here.
	Name string

	vfs      map[string]storage
	groups   map[string][]model.LDAPGroup // by the directory's ID
	profiles map[string]string
	// dropped tells that the site is not there, nor may anything in it be.
	dropped  bool
	bindings int
}

// storage is what became of a VFS.
type storage struct {
	name string
	fate fate
	// path is where in it every user begins.
	path string
}

type fate uint8

const (
	usable fate = iota
	encrypted
	inert
	lost // dropped for another reason
)

// BeginSite makes a site.
func (c *Conversion) BeginSite(old OldSite) (*Site, error) {
	item := c.report.Item(report.Site, "", old.ID)
	s := &Site{c: c, Name: Slug(old.ID), vfs: map[string]storage{}, groups: map[string][]model.LDAPGroup{}, profiles: map[string]string{}}
	for n := 2; !c.claim(model.KindSite, "", s.Name); n++ {
		s.Name = fmt.Sprintf("%s-%d", Slug(old.ID), n)
	}
	if s.Name != old.ID {
		item.Change(report.Names, fmt.Sprintf("it is called %q here", s.Name), "")
	}
	site := &model.Site{
		Head: model.Head{Name: s.Name}, Title: oneLine(old.Title), Manual: old.Manual, PasswordRule: old.Rule,
		Limits: model.Limits{
			Connections: limit(item, "connections", old.MaxConnections, 1, 1_000_000),
			PerAddress:  limit(item, "connections of a client", old.MaxPerClient, 1, 1_000_000),
			PerUser:     limit(item, "connections of a user", old.MaxPerUser, 1, 1_000_000),
			IdleSeconds: limit(item, "minutes without work", old.IdleMinutes, 60, 7*24*60),
		},
		Protector: model.Protector{
			Level:         level(item, old.Level),
			Threshold:     within(item, "errors", old.Threshold, 100_000),
			WindowMinutes: within(item, "minutes that errors count", old.WindowMinutes, 7*24*60),
			BanMinutes:    within(item, "minutes of a ban", old.BanMinutes, 366*24*60),
			GrowPercent:   within(item, "percent that bans grow", old.GrowPercent, 1000),
		},
		SSH: model.SSH{
			Banner:       plainText(old.Banner),
			Auth:         authChains(item, old.Auth, false),
			KeyExchanges: algorithms(item, "key exchange", old.KeyExchanges, model.KeyExchanges),
			Ciphers:      algorithms(item, "cipher", old.Ciphers, model.Ciphers),
			MACs:         algorithms(item, "MAC", old.MACs, model.MACs),
		},
		Speed: speeds(item, old.Speed),
	}
	if site.PasswordRule.MinLength > 256 || site.PasswordRule.MinLength < 0 {
		item.Change(report.OtherSettings, "the least length of passwords is set to 256", "")
		site.PasswordRule.MinLength = 256
	}
	site.SSH.SoftwareID = softwareID(item, old.SoftwareID)
	entries := s.allowList(item, site, old.Allow)
	if err := c.give(item, site, nil); err != nil {
		return nil, err
	}
	s.dropped = item.Dropped()
	item.Done()
	for _, e := range entries {
		if err := s.entry(e); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// item begins an object of the site. It is dropped at once if the site is not there.
func (s *Site) item(kind report.Kind, name string) (item *report.Item, ok bool) {
	item = s.c.report.Item(kind, s.Name, name)
	if s.dropped {
		item.Drop(report.References, "its site is not there", "")
		item.Done()
		return nil, false
	}
	return item, true
}

// allowList is the list of those who may connect. A list of which nothing can be read
// must not become an open door.
func (s *Site) allowList(item *report.Item, site *model.Site, list []Network) (out []ListEntry) {
	for _, n := range list {
		out = append(out, ListEntry{List: model.ListAllow, Network: n.Text, Notes: n.Notes})
	}
	bad := 0
	for _, n := range list {
		if _, err := model.Network(strings.TrimSpace(n.Text)); err != nil {
			bad++
		}
	}
	if bad > 0 && bad == len(list) {
		site.Manual = true
		item.Disable(report.Lists, "nothing of its allow list can be read, so it is not started: it would let everybody in", "write the allow list anew, then start the site")
	}
	return out
}

// limit is a bound where 0 was none; factor brings it to this product's unit.
func limit(item *report.Item, what string, n, factor, most int64) int {
	switch {
	case n <= 0:
		return -1
	case n > most:
		item.Change(report.OtherSettings, fmt.Sprintf("the bound of %s is %d, not %d", what, most, n), "")
		n = most
	}
	return int(n * factor)
}

func within(item *report.Item, what string, n, most int64) int {
	if n < 0 || n > most {
		set := min(max(n, 0), most)
		item.Change(report.OtherSettings, fmt.Sprintf("the number of %s is %d, not %d", what, set, n), "")
		return int(set)
	}
	return int(n)
}

var levels = map[string]model.Level{
	"": "", "off": model.LevelOff, "none": model.LevelOff, "disabled": model.LevelOff,
	"permissive": model.LevelIndulgent, "indulgent": model.LevelIndulgent,
	"normal": model.LevelNormal, "strict": model.LevelStrict, "paranoid": model.LevelParanoid,
}

func level(item *report.Item, text string) model.Level {
	l, ok := levels[Bare(text)]
	if !ok {
		item.Change(report.OtherSettings, fmt.Sprintf("Protector's behaviour %.40q is not known and is normal here", text), "")
		return model.LevelNormal
	}
	return l
}

// Bare is a word as it is compared: small letters and digits alone.
func Bare(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, text)
}

// softwareID keeps one of the site's own; the old product's name tells nobody the truth.
func softwareID(item *report.Item, text string) string {
	if text == "" || strings.Contains(strings.ToLower(text), "syncplify") {
		return ""
	}
	text = strings.TrimPrefix(text, "SSH-2.0-")
	ok := len(text) <= 200 && strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	if !ok {
		item.Change(report.OtherSettings, "the software ID that it told clients is not allowed and is the product's now", "")
		return ""
	}
	return text
}

// algorithms are those of a list that this product has and that are not obsolete.
func algorithms(item *report.Item, sort string, list []string, known []model.Algorithm) []string {
	var out []string
	for _, name := range list {
		i := slices.IndexFunc(known, func(a model.Algorithm) bool { return sameAlgorithm(a.Name, name) })
		switch {
		case i < 0:
			item.Change(report.Algorithms, fmt.Sprintf("the %s %.60q is not known here and is left out", sort, name), "")
		case known[i].Weak != "":
			item.Change(report.Algorithms, fmt.Sprintf("the %s %s is switched off: %s", sort, known[i].Name, known[i].Weak), "an Admin of the site may switch it on again for old clients")
		case !slices.Contains(out, known[i].Name):
			out = append(out, known[i].Name)
		}
	}
	if len(list) > 0 && len(out) == 0 {
		item.Change(report.Algorithms, fmt.Sprintf("no %s of its list is left, so it has the usual ones", sort), "")
	}
	return out
}

// sameAlgorithm compares names as different programs write them: with or without the
// domain, with signs or as one word.
func sameAlgorithm(ours, theirs string) bool {
	stem := func(s string) string {
		s, _, _ = strings.Cut(strings.ToLower(s), "@")
		return Bare(s)
	}
	return stem(ours) == stem(theirs)
}

// authWords are the ways to log in, by what stands in their old names.
func authWord(word string) (model.AuthMethod, bool) {
	w := Bare(word)
	switch {
	case w == "":
		return "", false
	case strings.Contains(w, "interactive") || strings.Contains(w, "keyboard"):
		return model.AuthInteractive, true
	case strings.Contains(w, "pki") || strings.Contains(w, "pub") || strings.Contains(w, "key"):
		return model.AuthPublicKey, true
	case strings.Contains(w, "pass"):
		return model.AuthPassword, true
	case strings.Contains(w, "totp") || strings.Contains(w, "otp"):
		return model.AuthTOTP, true
	}
	return "", false
}

// authChains are the ways in: each word alone, or with all one after another.
func authChains(item *report.Item, words []string, all bool) []model.AuthChain {
	var methods []model.AuthMethod
	for _, word := range words {
		m, ok := authWord(word)
		switch {
		case !ok:
			item.Change(report.Protocols, fmt.Sprintf("the way to log in %.40q is not known here and is left out", word), "")
		case !slices.Contains(methods, m):
			methods = append(methods, m)
		}
	}
	// A code alone would be the whole log-in; it is asked for where there is a secret.
	if len(methods) > 0 && methods[0] == model.AuthTOTP {
		methods = methods[1:]
	}
	var out []model.AuthChain
	for _, m := range methods {
		if all && len(out) > 0 {
			out[0] += model.AuthChain("," + m)
		} else if all || m != model.AuthTOTP {
			out = append(out, model.AuthChain(m))
		}
	}
	return out
}

// speeds are limits that can be: of one network the first.
func speeds(item *report.Item, list []Speed) []model.SpeedLimit {
	var out []model.SpeedLimit
	for _, l := range list {
		from := strings.TrimSpace(l.From)
		if from == "0.0.0.0/0" || from == "*" || from == "any" || from == "::/0" {
			from = ""
		}
		if from != "" {
			p, err := model.Network(from)
			if err != nil {
				item.Change(report.Lists, fmt.Sprintf("a speed limit is for %.60q, which is no network, and is left out", l.From), "")
				continue
			}
			if from = p.String(); p.IsSingleIP() {
				from = p.Addr().String()
			}
		}
		if slices.ContainsFunc(out, func(o model.SpeedLimit) bool { return o.From == from }) {
			item.Change(report.Lists, fmt.Sprintf("there are two speed limits for %.60q; the first one counts", l.From), "")
			continue
		}
		out = append(out, model.SpeedLimit{From: from, Up: max(l.Up, 0), Down: max(l.Down, 0)})
	}
	return out
}

// Keep keeps an object of the site that has no use here.
func (s *Site) Keep(kind report.Kind, sort, name, raw string, rule report.Rule, what, cure string) error {
	item, ok := s.item(kind, name)
	if !ok {
		return nil
	}
	item.Keep(rule, what, cure)
	item.Done()
	return s.c.keep(s.Name, sort, name, raw)
}

// Drop counts an object of the site that is not taken over.
func (s *Site) Drop(kind report.Kind, name string, rule report.Rule, what, cure string) {
	if item, ok := s.item(kind, name); ok {
		item.Drop(rule, what, cure)
		item.Done()
	}
}
