package convert

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// Lock is a reason for which an account must not be used before somebody has looked at it.
type Lock struct {
	Rule      report.Rule
	Why, Cure string
}

// Listen has the site listen where the sites of this machine did, or else at port: the
// source says nothing that would hold here.
func (s *Site) Listen(port int) error {
	if s.dropped {
		return nil
	}
	var made []*model.Binding
	for _, b := range s.c.opt.Bindings {
		if b.Protocol == model.ProtocolSFTP && !b.Disabled && b.Node == s.c.node && !slices.ContainsFunc(made, b.Clashes) {
			b = model.Clone(b)
			b.Rev, b.Site = 0, s.Name
			made = append(made, b)
		}
	}
	why := "it listens where this server did before"
	if len(made) == 0 {
		made = append(made, &model.Binding{Head: model.Head{Name: "sftp"}, Site: s.Name, Node: s.c.node, Protocol: model.ProtocolSFTP, Port: port})
		why = "the source does not say where SFTP is to be served"
	}
	for _, b := range made {
		b.Normalize()
		if slices.ContainsFunc(s.c.bound, b.Clashes) {
			continue
		}
		s.bindings++
		s.open++
		s.c.bound = append(s.c.bound, model.Clone(b))
		s.c.report.Made(report.Bindings, report.Binding, s.Name, b.Name, fmt.Sprintf("port %d: %s", b.Port, why), "change it if clients expect another port")
		if err := s.c.take(b); err != nil {
			return err
		}
	}
	return nil
}

// Place is where a folder of the machine lies: in a VFS that is made of the folder above
// it, as many users have theirs side by side. A folder that cannot be served comes back
// as well, and what has its home there is disabled.
func (s *Site) Place(folder string) (Folder, error) {
	root, name := splitFolder(folder)
	if root == "" {
		root = "/" // the whole machine, which nobody gets
	}
	if odd := otherMarks.MatchString(strings.ReplaceAll(folder, model.UserMark, "")); odd || name != "" && !model.IsPath(model.CanonicalPath(name)) {
		s.vfs[folder] = storage{name: folder, fate: inert, why: "nothing is known here that a part of it stands for"}
		return Folder{VFS: folder}, nil
	}
	if s.ownFolder(root) != nil && !strings.Contains(name, model.UserMark) {
		root, name = folder, "" // not all that lies beside it
	}
	if _, ok := s.vfs[root]; !ok && !s.dropped {
		root = strings.Clone(root) // a piece of its document, which would all be kept with it
		if err := s.makeVFS(root); err != nil {
			return Folder{}, err
		}
	}
	return Folder{VFS: root, Path: name}, nil
}

// ownFolder says why no VFS may lie in a folder of this machine; nil for one that may.
func (s *Site) ownFolder(root string) error {
	if s.c.opt.Own == nil {
		return nil
	}
	return s.c.opt.Own(root)
}

// splitFolder takes the last part from a path: /srv/files and /anna of /srv/files/anna; or
// all from the part on that has the user's name in it. Folders at the root of the machine
// are whole.
func splitFolder(folder string) (root, name string) {
	folder = strings.TrimRight(strings.TrimSpace(folder), `/\`)
	before := len(folder)
	if mark := strings.Index(folder, model.UserMark); mark >= 0 {
		before = mark
	}
	at := strings.LastIndexAny(folder[:before], `/\`)
	if at < 1 || strings.HasSuffix(folder[:at], ":") {
		return folder, ""
	}
	return folder[:at], "/" + strings.ReplaceAll(folder[at+1:], `\`, "/")
}

func (s *Site) makeVFS(root string) error {
	at := strings.LastIndexAny(root, `/\`)
	base := FitName(strings.Trim(root[at+1:], ":"))
	v := &model.VFS{Site: s.Name, Type: model.VFSDisk, Root: root}
	if root == "" || strings.Contains(root, model.UserMark) || !s.rootFits(v) || s.c.opt.Windows() && strings.HasPrefix(root, "/") {
		s.vfs[root] = storage{name: root, fate: inert, why: "it is not a folder of this machine"}
		return nil
	}
	if err := s.ownFolder(v.Root); err != nil {
		s.vfs[root] = storage{name: root, fate: inert, why: err.Error()}
		s.c.report.Lose(report.Line{Rule: report.VFSType, Outcome: report.Action, Kind: report.VFS, Site: s.Name, Name: root, What: "no VFS was made of it: " + err.Error(), Cure: "move the files of its users elsewhere, and make a VFS there"})
		return nil
	}
	v.Name = base
	for n := 2; !s.c.claim(model.KindVFS, s.Name, v.Name); n++ {
		v.Name = FitName(fmt.Sprintf("%.50s %d", base, n))
	}
	became := storage{name: v.Name}
	lose := func(what, cure string) {
		s.c.report.Lose(report.Line{Rule: report.VFSType, Outcome: report.Action, Kind: report.VFS, Site: s.Name, Name: v.Name, What: what, Cure: cure})
	}
	switch {
	case !s.c.opt.Windows() && !strings.HasPrefix(root, "/"):
		became.fate, became.why = foreign, fmt.Sprintf("whose folder %.200q is one of Windows", root)
		lose(fmt.Sprintf("its folder %.200q is one of Windows, and this machine has another system; until it has another folder nobody can use it", root), "copy the files, and change the folder of the VFS")
	case s.c.opt.Folder != nil && !s.c.opt.Folder(root):
		lose(fmt.Sprintf("its folder %.200q is not there on this machine", root), "make it and copy the files, or change the folder of the VFS")
	default:
		s.c.within(root, lose, func(why, cure string) {
			s.c.report.About(report.Line{Rule: report.VFSType, Outcome: report.Action, Kind: report.VFS, Site: s.Name, Name: v.Name, What: why, Cure: cure})
		})
	}
	if s.vfs[root] = became; became.fate == usable {
		s.c.reaches(v.Root)
	}
	s.c.report.Made(report.References, report.VFS, s.Name, v.Name, fmt.Sprintf("the folder %.200q, which users have their files in", root), "give the server's own account the right to read and write there")
	return s.c.take(v)
}

// Accounts takes over users and groups in an order in which nobody gets a name that is
// another's: users whose names must change come last.
type Accounts struct {
	site  *Site
	later []*Account
}

// Accounts begins the accounts of the site; End ends them.
func (s *Site) Accounts() *Accounts { return &Accounts{site: s} }

// Give takes over an account, at once or at the end. Groups come before users.
func (x *Accounts) Give(a *Account) error {
	if a.Home.VFS != "" && len(a.Home.Permissions) == 0 && a.HomeRights == RightsKnown {
		a.HomeRights = RightsNone
	}
	if !a.isGroup() && a.Contested() {
		x.later = append(x.later, a)
		return nil
	}
	return x.site.Account(a)
}

// End takes over those that waited.
func (x *Accounts) End() error {
	for _, a := range x.later {
		if err := x.site.Account(a); err != nil {
			return err
		}
	}
	return nil
}

// Except are the networks of allow - all if it is empty - without those of deny, and what
// cannot be read as a network. Such an entry in deny must not be passed over.
func Except(allow, deny []string) (list []Network, badAllow, badDeny []string) {
	parse := func(texts []string) (out []netip.Prefix, bad []string) {
		for _, text := range texts {
			text = strings.TrimSpace(text)
			if text == "*" {
				out = append(out, everybody()...)
				continue
			}
			if p, err := model.Network(text); err == nil {
				out = append(out, p)
			} else if more, ok := between(text); ok {
				out = append(out, more...)
			} else if text != "" {
				bad = append(bad, text)
			}
		}
		return out, bad
	}
	in, badAllow := parse(allow)
	out, badDeny := parse(deny)
	if len(allow) == 0 {
		if len(deny) == 0 {
			return nil, nil, nil
		}
		in = everybody()
	}
	if len(in)*len(out) > maxPairs {
		return nil, badAllow, append(badDeny, deny[0])
	}
	for _, p := range in {
		rest := []netip.Prefix{p}
		for _, d := range out {
			var next []netip.Prefix
			for _, r := range rest {
				next = append(next, without(r, d)...)
			}
			rest = next
		}
		for _, r := range rest {
			n := Network{Text: r.String()}
			if !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return list, badAllow, badDeny
}

// maxPairs bounds the work of taking networks away from others.
const maxPairs = 10_000

func everybody() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
}

// without is p less d, as networks.
func without(p, d netip.Prefix) []netip.Prefix {
	switch {
	case !p.Overlaps(d):
		return []netip.Prefix{p}
	case d.Bits() <= p.Bits():
		return nil
	}
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	raw := p.Addr().AsSlice()
	raw[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	addr, _ := netip.AddrFromSlice(raw) // of the length that it had
	high := netip.PrefixFrom(addr, p.Bits()+1)
	return append(without(low, d), without(high, d)...)
}

// between are the networks of a range, "192.0.2.10-192.0.2.20".
func between(text string) (out []netip.Prefix, ok bool) {
	from, to, ok := strings.Cut(text, "-")
	first, err1 := netip.ParseAddr(strings.TrimSpace(from))
	last, err2 := netip.ParseAddr(strings.TrimSpace(to))
	if !ok || err1 != nil || err2 != nil || first.BitLen() != last.BitLen() || last.Less(first) || first.Zone() != "" || last.Zone() != "" {
		return nil, false
	}
	for {
		bits := first.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(first, bits-1).Masked()
			if wider.Addr() != first || last.Less(lastOf(wider)) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(first, bits)
		out = append(out, p)
		end := lastOf(p)
		if end == last {
			return out, true
		}
		first = end.Next()
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for bit := p.Bits(); bit < p.Addr().BitLen(); bit++ {
		raw[bit/8] |= 0x80 >> (bit % 8)
	}
	addr, _ := netip.AddrFromSlice(raw) // of the length that it had
	return addr
}

// maxAllow is how many networks an account may have.
const maxAllow = 1000

// Addresses gives an account the networks that it may come from. One that was kept out
// must not get in because its line cannot be read.
func (a *Account) Addresses(allow, deny []string) {
	list, badAllow, badDeny := Except(allow, deny)
	if len(list) > maxAllow {
		a.Locks = append(a.Locks, Lock{report.Lists, fmt.Sprintf("its lists of addresses come to %d networks, and at most %d can be here", len(list), maxAllow), "write its allow list anew and enable it"})
		list = list[:maxAllow]
	}
	a.Allow = append(a.Allow, list...)
	for _, text := range badAllow {
		a.Allow = append(a.Allow, Network{Text: text}) // is told, and leaves nobody in
	}
	switch {
	case len(badDeny) > 0:
		a.Locks = append(a.Locks, Lock{report.Lists, fmt.Sprintf("the address %.60q, which it was kept out from, cannot be read", badDeny[0]), "write its allow list anew and enable it"})
	case len(list) == 0 && len(allow)+len(deny) > 0 && len(badAllow) == 0:
		a.Locks = append(a.Locks, Lock{report.Lists, "its lists of addresses let nobody in", "write its allow list anew and enable it"})
	}
}

// clear is the hash of a password that the source has in the clear.
func (c *Conversion) clear(item *report.Item, text string) model.Password {
	hash, err := c.hasher.Hash(context.Background(), []byte(text))
	if err != nil {
		item.Action(report.Passwords, "its password is too long", setAgain)
		return model.Password{MustSet: true}
	}
	item.Warn(report.Passwords, "its password stood in the source for anybody to read", "set it again, and destroy the copies of the source")
	return model.Password{Hash: hash}
}

// weak tells hashes that are quick to guess: those of package auth of other products.
func weak(hash string) bool {
	return strings.HasPrefix(hash, "$1$") || strings.HasPrefix(hash, "$apr1$") || strings.HasPrefix(hash, "$ss-digest$")
}
