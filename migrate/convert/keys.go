package convert

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"ss-setup/migrate/report"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
)

// publicKey reads a user's key in any way that it may be written.
func (c *Conversion) publicKey(k UserKey) (out model.PublicKey, problem string) {
	out.Name, out.Expires = oneLine(k.Name), k.Expires
	if len(out.Name) > 200 {
		out.Name = strings.ToValidUTF8(out.Name[:200], "")
	}
	text := strings.TrimSpace(k.Text)
	inPEM := strings.HasPrefix(text, "--")
	switch {
	case text == "":
		return out, "it is empty"
	case strings.HasPrefix(text, "ssh-dss "):
		return out, brokenDSA
	case !inPEM:
		var comment string
		if text, comment, problem = plainKey(text); problem != "" {
			return out, problem
		}
		if out.Name == "" {
			out.Name = oneLine(comment)
		}
		if out.Key = text; !strings.HasPrefix(text, "ssh-rsa ") && c.opt.Weak.Len() == 0 {
			return out, "" // nothing is known that may be wrong with it
		}
	}
	// Keys of security tokens are none that a server has.
	key, err := hostkey.Parse([]byte(text), "")
	switch {
	case err != nil && inPEM:
		return out, noKey
	case err != nil:
		return out, ""
	case key.Type == hostkey.DSA:
		return out, brokenDSA
	}
	if v := key.Judge(c.opt.Weak); slices.Contains(knownKeys, v.Code) {
		return out, v.Reason
	}
	out.Key = key.Line()
	return out, ""
}

// knownKeys are verdicts on keys that others can log in with.
var knownKeys = []hostkey.Code{hostkey.ROCA, hostkey.Factors, hostkey.Listed}

// harmless are options of a key that take away what nobody has here.
var harmless = []string{"restrict", "no-pty", "no-port-forwarding", "no-agent-forwarding", "no-x11-forwarding", "no-user-rc"}

// plainKey is the line of a key without options. One whose options bound it, or that
// revokes a key, would open more than it did.
func plainKey(text string) (line, comment, problem string) {
	if strings.HasPrefix(text, "@") {
		return "", "", "it is a line of known_hosts that marks a key"
	}
	if line, comment, ok := plainLine(text); ok {
		return line, comment, ""
	}
	key, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(rest) > 0 {
		return "", "", noKey
	}
	for _, o := range options {
		if name, _, _ := strings.Cut(o, "="); !slices.Contains(harmless, strings.ToLower(name)) {
			return "", "", fmt.Sprintf("its option %.40q cannot be kept, and without it the key could do more", name)
		}
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), comment, ""
}

// ed25519Line begins every line of a key of ed25519 that has no options.
const ed25519Line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"

// plainLine takes a line of a key of ed25519 apart, as most are. Whether it is a key is
// asked when its user is handed over.
func plainLine(text string) (line, comment string, ok bool) {
	const size = len("ssh-ed25519 ") + 68
	if !strings.HasPrefix(text, ed25519Line) || len(text) < size || strings.ContainsAny(text, "\r\n\t\"") {
		return "", "", false
	}
	comment, ok = strings.CutPrefix(text[size:], " ")
	return text[:size], strings.TrimSpace(comment), ok || len(text) == size
}

const (
	noKey     = "it is not a public key"
	brokenDSA = "DSA keys are broken"
)

// HostKey is a key that a site proved itself with.
type HostKey struct {
	ID, Name string
	// Text is the private key in any format that package hostkey reads.
	Text string
}

// judged is a host key and what package hostkey says of it.
type judged struct {
	old     HostKey
	key     *hostkey.Key
	verdict hostkey.Verdict
}

// HostKeys takes over all host keys of a site, and makes new ones in the place of those
// that must not be used.
func (s *Site) HostKeys(list []HostKey) error {
	if len(list) > maxHostKeys {
		return tooMany(maxHostKeys, "host keys of a site")
	}
	var all []judged
	good := map[string]bool{}
	bad := 0
	for _, old := range list {
		j := s.judge(old)
		if all = append(all, j); j.verdict.OK() {
			good[j.key.Algorithm()] = true
		} else {
			bad++
		}
	}
	if s.dropped {
		for _, j := range all {
			s.item(report.HostKey, j.old.Name)
		}
		return nil
	}
	var made []*model.HostKey
	if bad > 0 || len(all) == 0 {
		var err error
		if made, err = s.newHostKeys(good); err != nil {
			return err
		}
	}
	var fresh []string
	for _, k := range made {
		fresh = append(fresh, k.Algorithm+" "+k.Fingerprint)
	}
	for _, j := range all {
		if len(made) == 0 && j.verdict.OK() {
			fresh = append(fresh, j.key.Algorithm()+" "+j.key.SHA256())
		}
	}
	inUse := map[string]bool{}
	for _, j := range all {
		if err := s.hostKey(j, strings.Join(fresh, ", "), inUse); err != nil {
			return err
		}
	}
	for _, k := range made {
		s.c.report.Made(report.HostKeys, report.HostKey, s.Name, k.Name, fmt.Sprintf("%s with the fingerprint %s", k.Algorithm, k.Fingerprint), "tell the users of the site")
		if err := s.c.take(k); err != nil {
			return err
		}
	}
	return nil
}

func (s *Site) judge(old HostKey) judged {
	j := judged{old: old}
	if j.old.Name == "" {
		j.old.Name = old.ID
	}
	text := strings.ReplaceAll(old.Text, "\r\n", "\n")
	key, err := hostkey.Parse([]byte(text), "")
	for i := 0; err != nil && i < len(s.c.opt.Passwords); i++ {
		if again, failed := hostkey.Parse([]byte(text), s.c.opt.Passwords[i]); failed == nil {
			key, err = again, nil
		}
	}
	if err != nil {
		j.verdict = hostkey.JudgeError(err)
		return j
	}
	j.key, j.verdict = key, key.Judge(s.c.opt.Weak)
	if j.verdict.OK() && !key.HasPrivate() {
		j.verdict = hostkey.Verdict{Code: hostkey.Unreadable, Reason: "its private half is missing"}
	}
	return j
}

// hostKey takes over or drops one key. fresh are those that stand in the place of bad ones.
func (s *Site) hostKey(j judged, fresh string, inUse map[string]bool) error {
	item, _ := s.item(report.HostKey, j.old.Name)
	defer item.Done()
	if !j.verdict.OK() {
		was := "unknown"
		if j.key != nil && j.key.SHA256() != "" {
			was = j.key.SHA256()
		}
		item.Drop(report.HostKeys, fmt.Sprintf("%s; old fingerprint %s, in its place %s", j.verdict.Reason, was, fresh), "tell the users of the site")
		return nil
	}
	private, err := j.key.PEM()
	if err != nil {
		return fmt.Errorf("take over the host key %q of site %s: %w", j.old.Name, s.Name, err)
	}
	k := &model.HostKey{Site: s.Name, Public: j.key.Line(), Private: model.Secret{Clear: private}}
	if algorithm := j.key.Algorithm(); inUse[algorithm] {
		item.Disable(report.Duplicates, "the site has another host key of its kind, and shows one of each", "choose which of the two")
		k.Disabled = true
	} else {
		inUse[algorithm] = true
	}
	s.c.rsa = s.c.rsa || j.key.Type == hostkey.RSA
	name := j.old.Name
	if name == "" {
		name = string(j.key.Type)
	}
	k.Name = s.c.unique(item, model.KindHostKey, s.Name, name)
	return s.c.give(item, k, nil)
}

// newHostKeys makes what a site lacks: ed25519 and ecdsa. One that the machine has from
// an import before this stays.
func (s *Site) newHostKeys(good map[string]bool) (out []*model.HostKey, err error) {
	for _, algorithm := range hostkey.Generated[:2] {
		if good[algorithm] {
			continue
		}
		name := "ed25519"
		if strings.HasPrefix(algorithm, "ecdsa") {
			name = "ecdsa"
		}
		k := s.presentHostKey(algorithm)
		if k == nil {
			if k, err = s.newHostKey(algorithm); err != nil {
				return nil, err
			}
		}
		if k.Name == "" {
			k.Name = name
		}
		for n, base := 2, k.Name; !s.c.claim(model.KindHostKey, s.Name, k.Name); n++ {
			k.Name = fmt.Sprintf("%s-%d", base, n)
		}
		k.Normalize()
		out = append(out, k)
	}
	return out, nil
}

func (s *Site) presentHostKey(algorithm string) *model.HostKey {
	if s.c.opt.HostKeys == nil {
		return nil
	}
	for _, k := range s.c.opt.HostKeys(s.Name) {
		if k.Algorithm == algorithm && !k.Disabled && !k.Private.IsZero() {
			k = model.Clone(k)
			k.Rev, k.Site = 0, s.Name
			return k
		}
	}
	return nil
}

func (s *Site) newHostKey(algorithm string) (*model.HostKey, error) {
	key, err := hostkey.Generate(algorithm)
	if err != nil {
		return nil, err
	}
	private, err := key.PEM()
	if err != nil {
		return nil, err
	}
	return &model.HostKey{Site: s.Name, Public: key.Line(), Private: model.Secret{Clear: private}}, nil
}
