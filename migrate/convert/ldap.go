package convert

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// Directory is an LDAP profile.
type Directory struct {
	ID, Name string
	Hosts    []string
	Port     int64
	// TLS and StartTLS tell how the connection is encrypted, if it is.
	TLS, StartTLS bool
	User          string
	Password      Secret
	Domains       []string
	BaseDN        string
	Filter        string
	// Suspect names characters of the password that may have been encoded twice.
	Suspect string
}

// The filters for the names of Active Directory.
const activeFilter = "(&(objectClass=user)(|(sAMAccountName={user})(userPrincipalName={user})))"

// LDAP takes over a profile. The groups of its directory come before it.
func (s *Site) LDAP(old Directory) error {
	name := old.Name
	if name == "" {
		name = old.ID
	}
	name = shownRoot(name)
	item, ok := s.item(report.LDAP, name)
	if !ok {
		return nil
	}
	defer item.Done()
	if _, twice := s.profiles[old.ID]; twice {
		item.Drop(report.Duplicates, fmt.Sprintf("another LDAP profile has the ID %.80q", shownRoot(old.ID)), "")
		return nil
	}
	p := &model.LDAPProfile{Site: s.Name, StartTLS: old.StartTLS && !old.TLS, BindDN: oneLine(old.User), BaseDN: old.BaseDN, Filter: old.Filter}
	p.Name = s.c.unique(item, model.KindLDAP, s.Name, name)
	var wrong []string
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	s.servers(p, old, fail)
	for _, d := range few(item, "domains", old.Domains) {
		if d = strings.Trim(strings.ToLower(strings.TrimSpace(d)), "."); d != "" && !slices.Contains(p.Domains, d) {
			p.Domains = append(p.Domains, d)
		}
	}
	s.search(item, p, fail)
	switch {
	case old.Password.Sealed:
		fail("only the old server could read its password")
	case old.Password.Text != "":
		p.BindPassword = model.Secret{Clear: old.Password.Text}
	}
	if old.Suspect != "" {
		item.Action(report.Passwords, "its password has characters that old versions encoded wrongly: "+old.Suspect, "test the profile, and set the password again if it fails")
	}
	s.mapGroups(item, p, old.ID)
	try := model.Clone(p)
	try.Normalize()
	if err := try.Validate(); err != nil && len(wrong) == 0 {
		invalid := err.(*model.InvalidError)
		for _, e := range invalid.Errors {
			fail("%s: %s", e.Field, e.Problem)
		}
	}
	if len(wrong) > 0 {
		p.Disabled = true
		p.Reason = oneLine("import: " + strings.Join(wrong, "; "))
		item.Disable(report.LDAPSettings, strings.Join(wrong, "; "), "put it right, test it and enable it; until then its users cannot log in")
	}
	became := profile{p.Name, p.Disabled}
	if err := s.c.give(item, p, nil); err != nil || item.Dropped() {
		return err
	}
	s.profiles[old.ID] = became
	return nil
}

// servers makes the addresses.
func (s *Site) servers(p *model.LDAPProfile, old Directory, fail func(string, ...any)) {
	for _, host := range old.Hosts[:min(len(old.Hosts), maxParts)] {
		host = strings.TrimSpace(host)
		scheme, rest, ok := strings.Cut(host, "://")
		tls := old.TLS
		if ok {
			host, tls = rest, tls || strings.EqualFold(scheme, "ldaps")
		}
		port := old.Port
		host = withoutUser(host)
		if h, digits, err := net.SplitHostPort(host); err == nil {
			host = h
			if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
				port = n
			}
		}
		if _, err := netip.ParseAddr(host); err != nil && !strings.Contains(host, ".") {
			fail("%.80q is neither an address nor a full name of DNS", host)
		}
		url, usual := "ldap://", int64(389)
		if tls {
			url, usual = "ldaps://", 636
		} else if !old.StartTLS {
			fail("the connection to %.80q is not encrypted", host)
		}
		if strings.Contains(host, ":") {
			host = "[" + strings.Trim(host, "[]") + "]"
		}
		if url += host; port != 0 && port != usual {
			url += ":" + strconv.FormatInt(port, 10)
		}
		p.URLs = append(p.URLs, url)
	}
	if len(p.URLs) == 0 {
		fail("it names no server")
	}
}

// search completes what the old products did not ask for.
func (s *Site) search(item *report.Item, p *model.LDAPProfile, fail func(string, ...any)) {
	if p.BindDN != "" && !strings.Contains(p.BindDN, "@") && !strings.Contains(p.BindDN, "=") {
		fail("its user %.80q is not a full name, as user@example.com", p.BindDN)
	}
	if p.BaseDN == "" {
		domain := ""
		if len(p.Domains) > 0 {
			domain = p.Domains[0]
		} else if _, after, ok := strings.Cut(p.BindDN, "@"); ok {
			domain = after
		}
		if domain == "" || !strings.Contains(domain, ".") {
			fail("it has no domain, so nothing tells where to search")
		} else {
			p.BaseDN = "dc=" + strings.ReplaceAll(strings.ToLower(domain), ".", ",dc=")
		}
		if len(p.Domains) > 1 {
			item.Lose(report.Action, report.LDAPSettings, fmt.Sprintf("users are searched in the first of its domains alone, %s, and not in %s", domain, some(p.Domains[1:])), "set a base that has all of them, or make a profile for each")
		}
	}
	if p.Filter == "" {
		p.Filter = activeFilter
	}
}

// mapGroups gives the profile the groups whose names in the directory are known.
func (s *Site) mapGroups(item *report.Item, p *model.LDAPProfile, id string) {
	missing := 0
	for _, g := range s.groups[id] {
		if g.DN == "" {
			missing++
			continue
		}
		p.Groups = append(p.Groups, g)
	}
	delete(s.groups, id)
	p.Autocreate = len(p.Groups) > 0 || missing > 0
	if missing > 0 {
		item.Lose(report.Action, report.Directory, counted(missing, "group")+" without a distinguished name", "add them to its groups")
	}
}

// missingProfile makes a disabled profile for accounts whose directory the source does
// not describe.
func (s *Site) missingProfile(id string) (profile, error) {
	p := &model.LDAPProfile{Site: s.Name, Disabled: true, Filter: activeFilter}
	what := "the source does not say how the directory is reached"
	if p.Name = FitName(shownRoot(id)); id == ActiveDirectory {
		p.Name = "active-directory"
	}
	name := s.c.numbered(model.KindLDAP, s.Name, p.Name, func(base string, n int) string { return FitName(fmt.Sprintf("%.50s %d", base, n)) })
	p.Name = name
	p.Reason = "import: " + what
	became := profile{name, true}
	s.profiles[id] = became
	for _, g := range s.groups[id] {
		if g.DN != "" {
			p.Groups = append(p.Groups, g)
		}
	}
	delete(s.groups, id)
	s.c.report.Made(report.LDAPSettings, report.LDAP, s.Name, name, what+", so this profile is disabled", "fill it in, test it and enable it; until then its users cannot log in")
	return became, s.c.take(p)
}

// EndLDAP comes when all profiles are there: directories that only groups name get one.
func (s *Site) EndLDAP() error {
	ids := make([]string, 0, len(s.groups))
	for id := range s.groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if _, err := s.missingProfile(id); err != nil {
			return err
		}
	}
	return nil
}
