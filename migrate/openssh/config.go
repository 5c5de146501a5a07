package openssh

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"ss-setup/migrate/archive"
)

// keyword is what one of sshd_config means here. why is the reason for which it has no
// place; empty for those that are heeded.
type keyword struct{ name, why string }

const (
	noShell   = "there are no shells and no forwarding here"
	otherAuth = "this way to log in is not here"
	ofProcess = "it is of the program and not of its users"
)

// keywords are those of sshd_config, in small letters.
var keywords = map[string]keyword{}

func init() {
	for why, names := range map[string]string{
		"": "AllowGroups AllowUsers AuthenticationMethods AuthorizedKeysFile Banner ChallengeResponseAuthentication ChrootDirectory Ciphers DenyGroups DenyUsers " +
			"ForceCommand HostKey Include KbdInteractiveAuthentication KexAlgorithms ListenAddress MACs Match PasswordAuthentication Port " +
			"PubkeyAuthentication StrictModes Subsystem UsePAM AuthorizedKeysCommand TrustedUserCAKeys RevokedKeys",
		noShell: "AcceptEnv AllowAgentForwarding AllowStreamLocalForwarding AllowTcpForwarding DisableForwarding GatewayPorts PermitListen PermitOpen PermitTTY " +
			"PermitTunnel PermitUserEnvironment PermitUserRC PrintLastLog PrintMotd SetEnv StreamLocalBindMask StreamLocalBindUnlink X11DisplayOffset X11Forwarding X11UseLocalhost XAuthLocation",
		otherAuth: "AuthorizedKeysCommandUser AuthorizedPrincipalsCommand AuthorizedPrincipalsCommandUser AuthorizedPrincipalsFile CASignatureAlgorithms GSSAPIAuthentication GSSAPICleanupCredentials " +
			"GSSAPIKeyExchange GSSAPIStoreCredentialsOnRekey GSSAPIStrictAcceptorCheck HostCertificate HostKeyAgent HostbasedAcceptedAlgorithms HostbasedAcceptedKeyTypes HostbasedAuthentication HostbasedUsesNameFromPacketOnly IgnoreRhosts IgnoreUserKnownHosts " +
			"KerberosAuthentication KerberosGetAFSToken KerberosOrLocalPasswd KerberosTicketCleanup PermitEmptyPasswords PermitRootLogin RhostsRSAAuthentication RSAAuthentication ExposeAuthInfo PubkeyAuthOptions SecurityKeyProvider",
		ofProcess: "AddressFamily ChannelTimeout ClientAliveCountMax ClientAliveInterval Compression DebianBanner FingerprintHash HostKeyAlgorithms IPQoS KeyRegenerationInterval LogLevel LogVerbose LoginGraceTime MaxAuthTries MaxSessions " +
			"MaxStartups ModuliFile PerSourceMaxStartups PerSourceNetBlockSize PerSourcePenalties PerSourcePenaltyExemptList PidFile Protocol PubkeyAcceptedAlgorithms PubkeyAcceptedKeyTypes RDomain RefuseConnection RekeyLimit RequiredRSASize ServerKeyBits " +
			"SshdSessionPath SyslogFacility TCPKeepAlive UnusedConnectionTimeout UseDNS UseLogin UsePrivilegeSeparation VersionAddendum",
	} {
		for _, name := range strings.Fields(names) {
			keywords[strings.ToLower(name)] = keyword{name, why}
		}
	}
}

// directive is one line of sshd_config.
type directive struct {
	keyword string // in small letters
	args    []string
	match   *match // nil outside of Match
}

// criterion is a condition of Match: of the user, his groups, or of the connection.
type criterion struct{ name, patterns string }

// match is a Match line.
type match struct {
	where    string // for people
	criteria []criterion
}

// config is a parsed sshd_config.
type config struct {
	directives []directive
	matches    []*match
	missing    []string
}

// Bounds of sshd_config.
const (
	maxIncludes   = 16
	maxDirectives = 100_000
)

// parse reads sshd_config and what it includes.
func (s *Source) parse(ctx context.Context) (*config, error) {
	c := &config{}
	return c, s.include(ctx, c, s.config, nil, 0)
}

func (s *Source) include(ctx context.Context, c *config, e *archive.Entry, within *match, depth int) error {
	if depth > maxIncludes {
		return fmt.Errorf("%w: sshd_config includes files more than %d deep", archive.ErrHostile, maxIncludes)
	}
	raw, err := e.ReadAll(maxFile)
	if err != nil {
		return err
	}
	current, n := within, 0
	for line := range strings.Lines(string(raw)) {
		if n++; ctx.Err() != nil {
			return ctx.Err()
		}
		words, err := split(strings.ToValidUTF8(line, "\ufffd"))
		if err != nil {
			return fmt.Errorf("%w: %s, line %d: %w", archive.ErrDamaged, e.Name, n, err)
		}
		if len(words) == 0 {
			continue
		}
		if len(c.directives) >= maxDirectives {
			return fmt.Errorf("%w: sshd_config has more than %d lines", archive.ErrHostile, maxDirectives)
		}
		d := directive{strings.ToLower(words[0]), words[1:], current}
		switch d.keyword {
		case "match":
			m, err := newMatch(d.args, fmt.Sprintf("line %d of %s", n, path.Base(e.Name)))
			if err != nil {
				return fmt.Errorf("%w: %s, line %d: %w", archive.ErrDamaged, e.Name, n, err)
			}
			if within != nil { // both must hold
				m.criteria = slices.Concat(within.criteria, m.criteria)
			}
			c.matches = append(c.matches, m)
			current = m
		case "include":
			for _, pattern := range d.args {
				if err := s.includeAll(ctx, c, pattern, current, depth); err != nil {
					return err
				}
			}
		default:
			c.directives = append(c.directives, d)
		}
	}
	return nil
}

// includeAll includes the files of a pattern.
func (s *Source) includeAll(ctx context.Context, c *config, pattern string, within *match, depth int) error {
	if !strings.HasPrefix(pattern, "/") {
		pattern = path.Join("/etc/ssh", pattern)
	}
	if !strings.ContainsAny(pattern, "*?[") {
		e := s.lookup(pattern)
		if e == nil {
			c.missing = append(c.missing, pattern)
			return nil
		}
		return s.include(ctx, c, e, within, depth+1)
	}
	dir, base := path.Split(pattern)
	for _, name := range s.names(dir) {
		if ok, err := path.Match(base, name); err != nil || !ok {
			continue
		}
		if e := s.lookup(dir + name); e != nil {
			if err := s.include(ctx, c, e, within, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// newMatch reads the words behind Match: names with a list of patterns each.
func newMatch(words []string, where string) (*match, error) {
	m := &match{where: where}
	for at := 0; at < len(words); at++ {
		name, patterns, ok := strings.Cut(words[at], "=")
		name = strings.ToLower(name)
		switch {
		case ok:
		case name == "all", name == "invalid-user", name == "canonical", name == "final":
		case at+1 < len(words):
			at++
			patterns = words[at]
		default:
			return nil, errors.New("a Match without its patterns")
		}
		m.criteria = append(m.criteria, criterion{name, patterns})
	}
	if len(m.criteria) == 0 {
		return nil, errors.New("a Match without a condition")
	}
	return m, nil
}

// holds tells whether the match holds for a user. maybe is true where it depends on the
// connection as well, and may hold.
func (m *match) holds(u *person) (holds, maybe bool) {
	holds = true
	for _, c := range m.criteria {
		switch c.name {
		case "all":
		case "user":
			holds = holds && fits(c.patterns, u.name)
		case "group":
			holds = holds && fits(c.patterns, u.groups...)
		case "invalid-user":
			holds = false
		default:
			maybe = true
		}
	}
	return holds && !maybe, holds && maybe
}

// fits matches words with a list of patterns: one that begins with ! forbids.
func fits(patterns string, words ...string) bool {
	ok := false
	for p := range strings.SplitSeq(patterns, ",") {
		p, not := strings.CutPrefix(p, "!")
		for _, word := range words {
			if wild(p, word) {
				if not {
					return false
				}
				ok = true
			}
		}
	}
	return ok
}

// wild matches a pattern with * and ?, in a time that its length bounds.
func wild(pattern, word string) bool {
	p, w, star, back := 0, 0, -1, 0
	for w < len(word) {
		switch {
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == word[w]) && pattern[p] != '*':
			p++
			w++
		case p < len(pattern) && pattern[p] == '*':
			star, back = p, w
			p++
		case star >= 0:
			back++
			p, w = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// global is the first value that holds for everybody.
func (c *config) global(keyword string) string {
	for _, d := range c.directives {
		if d.match == nil && d.keyword == keyword && len(d.args) > 0 {
			return d.args[0]
		}
	}
	return ""
}

// all are the values of all lines of a keyword outside of Match.
func (c *config) all(keyword string) (out []string) {
	for _, d := range c.directives {
		if d.match == nil && d.keyword == keyword && len(d.args) > 0 {
			out = append(out, d.args[0])
		}
	}
	return out
}

// effective are the values for a user: those of the first Match that holds and has the
// keyword, else of the first line outside. also is a Match that is taken to hold.
func (c *config) effective(u *person, also *match) func(keyword string) []string {
	active := map[*match]bool{}
	for _, m := range c.matches {
		holds, _ := m.holds(u)
		active[m] = holds || m == also
	}
	return func(keyword string) []string {
		var outside []string
		found := false
		for _, d := range c.directives {
			switch {
			case d.keyword != keyword:
			case d.match == nil && !found:
				outside, found = d.args, true
			case d.match != nil && active[d.match]:
				return d.args
			}
		}
		return outside
	}
}

// gathered is effective for lists that several lines add to.
func (c *config) gathered(u *person, also *match, keyword string) (out []string) {
	var outside []string
	for _, d := range c.directives {
		if d.keyword != keyword {
			continue
		}
		if d.match == nil {
			outside = append(outside, d.args...)
		} else if holds, _ := d.match.holds(u); holds || d.match == also {
			out = append(out, d.args...)
		}
	}
	if len(out) > 0 {
		return out
	}
	return outside
}

// split takes a line apart: words, "words in quotes", KEY=value, and # before a comment.
func split(line string) (words []string, err error) {
	line = strings.Trim(line, " \t\r\n\f")
	if line == "" || line[0] == '#' {
		return nil, nil
	}
	if at := strings.IndexAny(line, " \t="); at > 0 {
		rest := strings.TrimLeft(line[at:], " \t")
		rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), " \t")
		words, line = append(words, strings.Trim(line[:at], `"`)), rest
	}
	for line != "" {
		var word strings.Builder
		at, quoted := 0, false
		for ; at < len(line) && (quoted || line[at] != ' ' && line[at] != '\t'); at++ {
			switch {
			case line[at] == '"':
				quoted = !quoted
			case line[at] == '\\' && at+1 < len(line) && strings.IndexByte(`\" `, line[at+1]) >= 0:
				at++
				word.WriteByte(line[at])
			case line[at] == '#' && !quoted && at == 0:
				return words, nil
			default:
				word.WriteByte(line[at])
			}
		}
		if quoted {
			return nil, errors.New("a quote without its end")
		}
		words = append(words, word.String())
		line = strings.TrimLeft(line[at:], " \t")
	}
	return words, nil
}
