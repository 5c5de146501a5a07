// Package convert turns what an old product had into objects of this one, by the rules of
// docs/upgrading.md. Importers read their files into the neutral types of this package
// and hand them over, site by site; what is said in the report is said here, so that one
// thing is told in one way wherever it comes from.
//
// The order is: Nodes, SuperAdmins; then for each site BeginSite, and within it host keys,
// certificates, bindings, VFSs, groups, LDAP profiles, users, list entries; at the end
// Admins, Settings and Finish.
package convert

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"ss-setup/migrate/importer"
	"ss-setup/migrate/pfx"
	"ss-setup/migrate/report"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/model"
)

// Conversion is one import.
type Conversion struct {
	// Source is the version of the product, which kept objects are marked with.
	Source string

	opt    importer.Options
	to     importer.Taker
	report *report.Report
	hasher *auth.Hasher

	node  string // of this machine
	home  string // the name that it has in the source
	taken map[nameKey]bool
	// sites are those that were taken over.
	sites []*Site
	users int
	// rsa tells that an RSA host key was taken over.
	rsa                    bool
	bound                  []*model.Binding
	bindings, certificates int
	// held is how many bytes of documents are held.
	held int
	// next is which number a name that is taken was tried with last.
	next map[nameKey]int
	// reached are the folders of this machine that VFSs lie in.
	reached map[string]bool
	// work is how much may be done to open what passwords close.
	work *pfx.Work
}

// maxWork is how many rounds of hashing the passwords of one import may cost: some ten
// seconds at most, however many certificates and passwords there are.
const maxWork = 50_000_000

type nameKey struct {
	kind model.Kind
	site string
	id   string
}

// New begins an import of a product's version.
func New(source string, o importer.Options, to importer.Taker, r *report.Report) (*Conversion, error) {
	hasher, err := auth.NewHasher(auth.DefaultParams)
	if err != nil {
		return nil, err
	}
	if source == "" {
		source = "unknown"
	}
	return &Conversion{Source: source, opt: o, to: to, report: r, hasher: hasher, taken: map[nameKey]bool{}, reached: map[string]bool{}, next: map[nameKey]int{}, work: pfx.NewWork(maxWork)}, nil
}

// Report is where everything is told.
func (c *Conversion) Report() *report.Report { return c.report }

// maxRepairs is how often an object is put right: what hides behind one fault may be another.
const maxRepairs = 4

// give hands an object over. One that cannot be is dropped with what is wrong with it,
// unless repair, which may be nil, puts each of its fields right.
func (c *Conversion) give(item *report.Item, o model.Object, repair func(model.FieldError) bool) error {
	var invalid *model.InvalidError
	for n := 0; ; n++ {
		if err := c.to.Take(o); !errors.As(err, &invalid) {
			return err
		}
		if repair == nil || n == maxRepairs || !mended(invalid.Errors, repair) {
			break
		}
	}
	problems := make([]string, len(invalid.Errors))
	for i, e := range invalid.Errors {
		problems[i] = e.Field + ": " + e.Problem
	}
	item.Drop(report.NotValid, "it cannot be here: "+strings.Join(problems, "; "), "put it right in the old server and make the backup again, or make it anew here")
	return nil
}

func mended(list []model.FieldError, repair func(model.FieldError) bool) bool {
	for _, e := range list {
		if !repair(e) {
			return false
		}
	}
	return true
}

// claim takes a name for an object; false if it is taken.
func (c *Conversion) claim(kind model.Kind, site, name string) bool {
	key := nameKey{kind, site, model.Fold(name)}
	if c.taken[key] {
		return false
	}
	// A name is a piece of its document, which would all be kept with it.
	key.id = strings.Clone(key.id)
	c.taken[key] = true
	return true
}

// unique is name, or name with a number behind it where it is taken.
func (c *Conversion) unique(item *report.Item, kind model.Kind, site, name string) string {
	fitted := c.free(kind, site, name)
	if fitted != name {
		item.Rename(name)
		item.Change(report.Names, fmt.Sprintf("it is called %q here", fitted), "")
	}
	return fitted
}

// free claims the nearest name to one that nobody has.
func (c *Conversion) free(kind model.Kind, site, name string) string {
	return c.numbered(kind, site, FitName(name), func(base string, n int) string {
		return FitName(fmt.Sprintf("%.*s %d", maxFitted-8, base, n))
	})
}

// Contested tells names that another may have the better right to: those that are not
// allowed here, and those that are taken for another's in which they are not only written
// in other case. Whoever bears one is taken over behind all others.
func Contested(name string) bool {
	return FitName(name) != name || model.Fold(name) != strings.ToLower(name)
}

// numbered claims base, or what with makes of it with the first number from 2 on that
// nobody has.
func (c *Conversion) numbered(kind model.Kind, site, base string, with func(base string, n int) string) string {
	if c.claim(kind, site, base) {
		return base
	}
	// Of n equal names the last one would try n others.
	key := nameKey{kind, site, strings.Clone(model.Fold(base))}
	for n := max(c.next[key], 2); ; n++ {
		if name := with(base, n); c.claim(kind, site, name) {
			c.next[key] = n + 1
			return name
		}
	}
}

// maxFitted is the longest name that FitName makes, in characters.
const maxFitted = 64

// FitName is the nearest name that an object may have; a name that it may have stays.
func FitName(name string) string {
	if model.IsPlainName(name) {
		return name
	}
	u := &model.Group{Head: model.Head{Name: name}, Site: "x"}
	u.Normalize()
	if u.Validate() == nil {
		return u.Name
	}
	fitted := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r < ' ' || r == 0x7f {
			return '-'
		}
		return r
	}, strings.ToValidUTF8(name, "-"))
	if runes := []rune(fitted); len(runes) > maxFitted {
		fitted = string(runes[:maxFitted])
	}
	fitted = strings.TrimRight(strings.TrimSpace(fitted), ". ")
	for _, try := range []string{fitted, fitted + "-", ascii(fitted)} {
		u.Name = try
		if u.Normalize(); u.Validate() == nil {
			return u.Name
		}
	}
	return "unnamed"
}

// ascii keeps of a name what every rule allows.
func ascii(name string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '@':
			return r
		}
		return '-'
	}, name)
	if len(out) > maxFitted-1 {
		out = out[:maxFitted-1]
	}
	return out + "-"
}

// Slug is the nearest name that a node, a site or a binding may have.
func Slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		default:
			if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
				b.WriteByte('-')
			}
		}
	}
	out := b.String()
	if len(out) > 60 {
		out = out[:60]
	}
	if out = strings.Trim(out, "-"); out == "" {
		return "unnamed"
	}
	return out
}

// Node is a machine of the old product.
type Node struct {
	ID, Description string
	// Raw is the object as it was, in JSON.
	Raw string
}

// Nodes says which machines there were. One of them is this machine: the one that somebody
// named, else the one of its name, else that of the machine's own name, else the only one.
// Where nothing tells it is the first, which is a loss: what the others served is not
// served here, and perhaps it should be.
func (c *Conversion) Nodes(list []Node) error {
	at, err := c.placeOf(list)
	if err != nil {
		return err
	}
	guessed := at < 0 && len(list) > 1
	at = max(at, 0)
	for i, n := range list {
		item := c.report.Item(report.Node, "", n.ID)
		var err error
		if i == at {
			err = c.thisNode(item, n, guessed)
		} else {
			err = c.otherNode(item, n)
		}
		if err != nil {
			return err
		}
		item.Done()
	}
	if len(list) > 0 {
		return nil
	}
	if c.node = c.opt.Node; c.node != "" {
		return nil
	}
	c.node = Slug(c.opt.NewNode)
	c.report.Made(report.Nodes, report.Node, "", c.node, "the source names no node, so this machine got a name", "")
	return c.take(&model.Node{Head: model.Head{Name: c.node}})
}

// placeOf is which of the nodes of the source is this machine; below zero if nothing tells.
func (c *Conversion) placeOf(list []Node) (int, error) {
	if named := c.opt.SourceNode; named != "" {
		at := slices.IndexFunc(list, func(n Node) bool { return n.ID == named })
		if at < 0 {
			ids := make([]string, len(list))
			for i, n := range list {
				ids[i] = strconv.Quote(n.ID)
			}
			return 0, fmt.Errorf("the source has no node %q; it has %s", named, cmp.Or(strings.Join(ids, ", "), "none"))
		}
		return at, nil
	}
	for _, name := range []string{c.opt.Node, c.opt.NewNode} {
		if at := slices.IndexFunc(list, func(n Node) bool { return name != "" && Slug(n.ID) == Slug(name) }); at >= 0 {
			return at, nil
		}
	}
	return -1, nil
}

// take hands over an object that was made here.
func (c *Conversion) take(o model.Object) error {
	if err := c.to.Take(o); err != nil {
		return fmt.Errorf("take over what was made for the import: %w", err)
	}
	return nil
}

func (c *Conversion) thisNode(item *report.Item, n Node, guessed bool) error {
	c.home, c.node = n.ID, c.opt.Node
	if guessed {
		item.Lose(report.Action, report.Nodes, "it is taken for this machine, as nothing says which one this is; what the others served is not served", "name the one whose place this machine takes: ss-server import --node NAME")
	}
	if c.node != "" {
		if c.node != n.ID {
			item.Change(report.Nodes, "this machine has its place, as "+c.node, "")
		}
		return nil
	}
	c.node = Slug(n.ID)
	if c.node != n.ID {
		item.Change(report.Names, fmt.Sprintf("it is called %q here", c.node), "")
	}
	return c.give(item, &model.Node{Head: model.Head{Name: c.node}, Description: oneLine(n.Description)}, nil)
}

func (c *Conversion) otherNode(item *report.Item, n Node) error {
	item.Keep(report.Nodes, "it is another machine and has to join by itself", "install it, and have it join this node")
	return c.keep("", "node", n.ID, n.Raw)
}

// keep keeps an object that has no use here.
func (c *Conversion) keep(site, sort, name, raw string) error {
	if name = oneLine(name); name == "" {
		name = sort
	}
	name = c.numbered(model.KindLegacy, site, sort+":"+name, func(base string, n int) string { return fmt.Sprintf("%s %d", base, n) })
	name = strings.TrimPrefix(name, sort+":")
	if raw == "" {
		raw = "null"
	}
	kept := &model.Legacy{Head: model.Head{Name: name}, Site: site, Source: oneLine(c.Source), Type: sort, Data: []byte(raw)}
	if public, secret := withoutSecrets(raw); secret {
		kept.Data, kept.Whole = []byte(public), model.Secret{Clear: raw}
	}
	return c.take(kept)
}

// Keep keeps an object that belongs to no site.
func (c *Conversion) Keep(kind report.Kind, sort, name, raw string, rule report.Rule, what, cure string) error {
	item := c.report.Item(kind, "", name)
	item.Keep(rule, what, cure)
	item.Done()
	return c.keep("", sort, name, raw)
}

// Drop counts an object that is not taken over, with the reason.
func (c *Conversion) Drop(kind report.Kind, site, name string, rule report.Rule, what, cure string) {
	item := c.report.Item(kind, site, name)
	item.Drop(rule, what, cure)
	item.Done()
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "one " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// oneLine is a text without what a line may not have.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if text = strings.TrimSpace(text); len(text) > 1000 {
		text = strings.ToValidUTF8(text[:1000], "")
	}
	return text
}

// plainText is a text of several lines without what it may not have.
func plainText(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxKept {
		text = strings.ToValidUTF8(text[:maxKept], "")
	}
	return text
}

// maxKept is how many bytes of a text are kept.
const maxKept = 4000

// textOf is plainText of an object, which tells that it is cut.
func textOf(item *report.Item, what, text string) string {
	if len(text) > maxKept {
		item.Change(report.NotValid, fmt.Sprintf("its %s is cut to %d bytes", what, maxKept), "write it anew, shorter")
	}
	return plainText(text)
}

// Assume tells what an importer takes for granted of its source without knowing.
func (c *Conversion) Assume(what string) {
	c.report.Warn(report.OtherSettings, "it was never published, and is assumed: "+what, "compare a few with the old server")
}

// Unplaced counts an object that lies where nothing tells what it belongs to.
func (c *Conversion) Unplaced(kind report.Kind, site, name, what string) {
	item := c.report.Item(kind, site, name)
	item.Lose(report.Dropped, report.NotUnderstood, what, "put it into the place that docs/formats.md tells, or make it anew here")
	item.Done()
}

// Strange tells of a part of the source that nobody here knows.
func (c *Conversion) Strange(name string) {
	c.Unplaced(report.Other, "", name, "it is no part of a backup that is known here")
}

// basicUsers is how many users the smallest edition has.
const basicUsers = 100

// Finish tells what only the whole shows.
func (c *Conversion) Finish() {
	c.tellReached()
	if c.rsa && c.opt.Weak.Len() == 0 {
		c.report.Warn(report.HostKeys, "no list of known keys is here, so RSA keys made on Debian from 2006 to 2008 were not looked for", "docs/administrator.md says where to put one; then import again")
	}
	limit, edition := c.opt.UserLimit, c.opt.Edition
	if limit == 0 {
		limit, edition = basicUsers, "BASIC"
	}
	if c.users > limit && (c.opt.UserLimit > 0 || c.opt.Edition == "") {
		c.report.Warn(report.UserLimit,
			fmt.Sprintf("there are %d users, and the edition %s allows %d; all of them are imported and none is disabled", c.users, edition, limit),
			"compare with your license, and change to a higher edition if that is yours")
	}
	for _, s := range c.sites {
		s.finish()
	}
	switch {
	case len(c.sites) == 0:
		c.report.Lose(report.Line{Rule: report.NotUnderstood, Outcome: report.Action, What: "no site was found that could be taken over", Cure: "compare the names in the backup with docs/formats.md"})
	case c.users == 0:
		c.report.Lose(report.Line{Rule: report.NotUnderstood, Outcome: report.Action, What: "no user was found that could be taken over", Cure: "compare the names in the backup with docs/formats.md"})
	}
}

// finish tells what only the whole site shows.
func (s *Site) finish() {
	if s.open == 0 {
		s.c.report.Lose(report.Line{Rule: report.Bindings, Outcome: report.Action, Kind: report.Site, Name: s.Name, What: "it has no binding that is in use, so nobody reaches it", Cure: "make or enable one"})
	}
	if s.users == 0 {
		s.c.report.About(report.Line{Rule: report.References, Outcome: report.Warning, Kind: report.Site, Name: s.Name, What: "it has no users", Cure: "look whether those of another site belong here"})
	}
}

// Moment is a date of an account or of an entry of a list.
type Moment struct {
	// Time is zero where there is none.
	Time time.Time
	// Unread is what stands there, if it is no date that can be read; Missing tells that
	// there is none where there must be one.
	Unread  string
	Missing bool
}

// unread tells dates that mean nothing that is known here, and shows what stands there.
// Delphi and MongoDB write no date as one before the time of these products.
func (m Moment) unread() (shown string, is bool) {
	switch {
	case m.Unread != "":
		return fmt.Sprintf("%.60q", m.Unread), true
	case m.Missing:
		return "nothing", true
	case !m.Time.IsZero() && m.Time.Year() < 1990:
		return m.Time.Format(time.DateOnly), true
	}
	return "", false
}

// CheckRelease warns of a source that is not the last release of its line.
func (c *Conversion) CheckRelease(product, version, last string) {
	switch {
	case version != "" && last == "":
		c.report.Warn(report.OldRelease, "the backup was made by version "+version+"; which release is the last one of its line is not known here", "make sure that the old server is up to date")
	case version == "":
		if last == "" {
			last = "of an unknown release"
		}
		c.report.Warn(report.OldRelease, "the backup does not say which version made it; it is read as one of "+product+" "+last, "make sure that the old server is up to date, and make the backup again")
	case semver.IsValid("v"+version) && semver.Compare("v"+version, "v"+last) < 0:
		c.report.Warn(report.OldRelease, fmt.Sprintf("the backup was made by version %s, and %s is the last one of its line", version, last), "update the old server first, and make the backup again")
	}
}
