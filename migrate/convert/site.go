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
	// Limits. One that the source does not have is the default of this product.
	MaxConnections, MaxPerClient, MaxPerUser, IdleMinutes Bound
	Level                                                 string
	Threshold, WindowMinutes, BanMinutes, GrowPercent     int64
	Rule                                                  model.PasswordRule
	SoftwareID, Banner                                    string
	Auth, KeyExchanges, Ciphers, MACs                     []string
	Speed                                                 []Speed
	// Allow is the list of those who may connect; all if it is empty.
	Allow []Network
}

// Bound is a limit; 0 is none.
type Bound struct {
	N   int64
	Set bool
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
	profiles map[string]profile
	local    map[string]string // groups, by the name that they had
	// dropped tells that the site is not there, nor may anything in it be.
	dropped bool
	// bindings are all that were made, open those of them in use, users those that are there.
	bindings, open, users int
}

// profile is what became of an LDAP profile.
type profile struct {
	name     string
	disabled bool
}

// storage is what became of a VFS.
type storage struct {
	name string
	fate fate
	// path is where in it every user begins.
	path string
	// why is said of those who use it, if it is lost, or if its folder cannot be here.
	why string
}

type fate uint8

const (
	usable fate = iota
	encrypted
	inert
	lost    // dropped for another reason
	foreign // there, with a folder that no machine of this system has
)

// BeginSite makes a site.
func (c *Conversion) BeginSite(old OldSite) (*Site, error) {
	item := c.report.Item(report.Site, "", old.ID)
	name := c.numbered(model.KindSite, "", Slug(old.ID), func(base string, n int) string { return fmt.Sprintf("%.50s-%d", base, n) })
	s := &Site{c: c, Name: name, vfs: map[string]storage{}, groups: map[string][]model.LDAPGroup{}, profiles: map[string]profile{}, local: map[string]string{}}
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
			Banner:       textOf(item, "banner", old.Banner),
			Auth:         siteChains(item, old.Auth),
			KeyExchanges: algorithms(item, "key exchange", old.KeyExchanges, model.KeyExchanges),
			Ciphers:      algorithms(item, "cipher", old.Ciphers, model.Ciphers),
			MACs:         algorithms(item, "MAC", old.MACs, model.MACs),
		},
		Speed: speeds(item, old.Speed),
	}
	if old.Manual {
		item.Warn(report.Bindings, "it is started by hand, here as before: it does not serve until somebody starts it", "start it, or have it start with the server")
	}
	if site.PasswordRule.MinLength > 256 || site.PasswordRule.MinLength < 0 {
		item.Change(report.OtherSettings, "the least length of passwords is set to 256", "")
		site.PasswordRule.MinLength = 256
	}
	site.SSH.SoftwareID = softwareID(item, old.SoftwareID)
	entries := s.allowList(item, site, old.Allow)
	if err := c.give(item, site, siteRepair(item, site)); err != nil {
		return nil, err
	}
	if s.dropped = item.Dropped(); !s.dropped {
		c.sites = append(c.sites, s)
	}
	item.Done()
	for _, e := range entries {
		if err := s.entry(e); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// siteRepair puts settings back to the default: none is worth losing a site for.
func siteRepair(item *report.Item, site *model.Site) func(model.FieldError) bool {
	return func(e model.FieldError) bool {
		for _, part := range []struct {
			prefix string
			reset  func()
		}{
			{"title", func() { site.Title = "" }},
			{"ssh.softwareId", func() { site.SSH.SoftwareID = "" }},
			{"ssh.banner", func() { site.SSH.Banner = "" }},
			{"ssh.auth", func() { site.SSH.Auth = nil }},
			{"ssh.keyExchanges", func() { site.SSH.KeyExchanges = nil }},
			{"ssh.ciphers", func() { site.SSH.Ciphers = nil }},
			{"ssh.macs", func() { site.SSH.MACs = nil }},
			{"limits.", func() { site.Limits = model.Limits{} }},
			{"protector.", func() { site.Protector = model.Protector{} }},
			{"passwordRule.", func() { site.PasswordRule = model.PasswordRule{} }},
			{"speed", func() { site.Speed = nil }},
		} {
			if strings.HasPrefix(e.Field, part.prefix) {
				part.reset()
				item.Change(report.NotValid, fmt.Sprintf("%s cannot be as it was and is the default: %s", strings.TrimSuffix(part.prefix, "."), e.Problem), "look whether that is right")
				return true
			}
		}
		return false
	}
}

// hasSite tells whether a site was taken over.
func (c *Conversion) hasSite(name string) bool {
	return slices.ContainsFunc(c.sites, func(s *Site) bool { return s.Name == name })
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
func limit(item *report.Item, what string, b Bound, factor, most int64) int {
	n := b.N
	switch {
	case !b.Set:
		return 0
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
	if !model.IsSoftwareID(text) {
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
	case strings.HasPrefix(w, "totp") || w == "otp" || strings.HasPrefix(w, "onetime") || strings.Contains(w, "authenticator"):
		return model.AuthTOTP, true
	case strings.Contains(w, "pass") || strings.Contains(w, "ldap") || w == "ad":
		return model.AuthPassword, true
	}
	return "", false
}

// authMethods are the ways in of a list of words, each once, a code behind what it is the
// second step of. unknown are the words that mean nothing here.
func authMethods(words []string) (methods []model.AuthMethod, unknown []string) {
	for _, word := range words {
		m, ok := authWord(word)
		switch {
		case !ok:
			unknown = append(unknown, fmt.Sprintf("%.40q", word))
		case !slices.Contains(methods, m):
			methods = append(methods, m)
		}
	}
	slices.SortStableFunc(methods, func(a, b model.AuthMethod) int { return codeLast(a) - codeLast(b) })
	return methods, unknown
}

func codeLast(m model.AuthMethod) int {
	if m == model.AuthTOTP {
		return 1
	}
	return 0
}

// siteChains are the ways into a site, any of which is enough.
func siteChains(item *report.Item, words []string) []model.AuthChain {
	methods, unknown := authMethods(words)
	for _, word := range unknown {
		item.Change(report.Protocols, fmt.Sprintf("the way to log in %s is not known here and is left out", word), "")
	}
	out := anyOf(methods)
	if len(unknown) > 0 && len(out) == 0 {
		item.Lose(report.Changed, report.Protocols, "no way to log in of its list is known here, so it has the usual ones", "look whether they are meant")
	}
	return out
}

// anyOf are chains of one method each. A code is asked for where there is a secret; alone
// it would be the whole log-in.
func anyOf(methods []model.AuthMethod) (out []model.AuthChain) {
	for _, m := range methods {
		if m != model.AuthTOTP {
			out = append(out, model.AuthChain(m))
		}
	}
	return out
}

// authChains are the ways in of an account: any of its words, or with all one after
// another. weaker says why less would be asked of it here than before, if it would.
func authChains(item *report.Item, words []string, all bool) (out []model.AuthChain, weaker string) {
	methods, unknown := authMethods(words)
	if !all {
		for _, word := range unknown {
			item.Change(report.Protocols, fmt.Sprintf("the way to log in %s is not known here and is left out", word), "")
		}
		if out = anyOf(methods); len(out) == 0 && len(words) > 0 {
			weaker = "no way to log in of its own is known here, and those of the site would do"
		}
		return out, weaker
	}
	chain := make([]string, len(methods))
	for i, m := range methods {
		chain[i] = string(m)
	}
	switch {
	case len(unknown) > 0:
		weaker = "it had to pass steps to log in, of which some are not known here: " + strings.Join(unknown, ", ")
	case len(methods) > 0 && methods[0] == model.AuthTOTP:
		weaker = "a code alone was its whole log-in"
	case len(methods) > 0:
		return []model.AuthChain{model.AuthChain(strings.Join(chain, ","))}, ""
	}
	return nil, weaker
}

// speeds are limits that can be: of one network the first.
func speeds(item *report.Item, list []Speed) []model.SpeedLimit {
	var out []model.SpeedLimit
	for _, l := range few(item, "speed limits", list) {
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
