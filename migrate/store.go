package migrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
	"time"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/backup"
	"ss-setup/runtime/backup/node"
	"ss-setup/runtime/model"
)

// Present is what an import must know and keep of the configuration that it replaces: the
// machine's own node, who rules it, and the certificates, tokens and lists of the whole
// server. Sites, with everything in them, and Admins are those of the import.
type Present struct {
	// Node is the name of this machine's node, empty if it has none yet.
	Node string
	// Replaced is how many objects of each kind go.
	Replaced map[model.Kind]int

	files    []backup.File
	nodes    []*model.Node
	supers   map[string]*model.SuperAdmin
	settings *model.Settings
	rest     []model.Object // tokens, and what belongs to the whole server
	hostKeys map[string][]*model.HostKey
	bindings []*model.Binding
	// sum is over everything that stays.
	sum hash.Hash
	// server are the certificates, list entries and kept objects of the whole server.
	server map[model.Key]model.Object
}

// ReadPresent reads a backup of the configuration in force. nil is a machine that has
// none.
func ReadPresent(ctx context.Context, a *backup.Archive) (*Present, error) {
	p := &Present{sum: sha256.New(), Replaced: map[model.Kind]int{}, supers: map[string]*model.SuperAdmin{}, hostKeys: map[string][]*model.HostKey{}, server: map[model.Key]model.Object{}}
	if a == nil {
		return p, nil
	}
	if _, err := a.Restore(ctx, p); err != nil {
		return nil, fmt.Errorf("read the configuration in force: %w", err)
	}
	if len(p.nodes) > 0 {
		p.Node = p.nodes[0].Name
	}
	return p, nil
}

// Same tells whether what stays of the configuration is the same as in another reading.
func (p *Present) Same(other *Present) bool {
	return bytes.Equal(p.sum.Sum(nil), other.sum.Sum(nil))
}

// Begin implements backup.Sink.
func (p *Present) Begin(backup.Header) error { return nil }

// PutFile implements backup.Sink.
func (p *Present) PutFile(f backup.File) error {
	f.Content = slices.Clone(f.Content)
	p.files = append(p.files, f)
	return nil
}

// Commit implements backup.Sink.
func (p *Present) Commit() error { return nil }

// Abort implements backup.Sink.
func (p *Present) Abort() error { return nil }

// Put implements backup.Sink.
func (p *Present) Put(o backup.Object) error {
	kind := model.Kind(o.Kind)
	switch kind {
	case model.KindUser, model.KindGroup, model.KindVFS, model.KindLDAP, model.KindAdmin, model.KindSite:
		p.Replaced[kind]++
		return nil
	}
	p.sum.Write(o.JSON)
	object := kind.New()
	if object == nil {
		return fmt.Errorf("this release knows no objects of kind %s", o.Kind)
	}
	if err := json.Unmarshal(o.JSON, object); err != nil {
		return fmt.Errorf("an object of kind %s: %w", o.Kind, err)
	}
	switch object := object.(type) {
	case *model.Node:
		p.nodes = append(p.nodes, object)
	case *model.SuperAdmin:
		p.supers[object.Key().ID] = object
	case *model.Settings:
		p.settings = object
	case *model.HostKey:
		p.hostKeys[object.Site] = append(p.hostKeys[object.Site], object)
		p.Replaced[kind]++
	case *model.Token:
		p.rest = append(p.rest, object)
	case *model.Binding:
		p.bindings = append(p.bindings, object)
		p.Replaced[kind]++
	default:
		if object.Key().Site == "" {
			p.rest = append(p.rest, object)
			p.server[object.Key()] = object
		} else {
			p.Replaced[kind]++
		}
	}
	return nil
}

// options adds what an importer must know of the machine: its node and the host keys
// that it has.
func (p *Present) options(o importer.Options) importer.Options {
	if p.Node != "" {
		o.Node = p.Node
	}
	o.Bindings = p.bindings
	o.HostKeys = func(site string) []*model.HostKey { return p.hostKeys[site] }
	if len(p.supers) > 0 {
		o.SuperAdmin = func(name string) bool { return p.supers[model.Fold(name)] != nil }
	}
	return o
}

// DryRun tells what an import would do, and keeps nothing of it.
func DryRun(ctx context.Context, s importer.Source, p *Present, o importer.Options) (*report.Report, error) {
	return dryRun(ctx, s, p, o, func(model.Object) error { return nil })
}

// DryRunSum is DryRun, and gives a digest of all objects that there would be, in whatever
// order they come. Host keys that an import makes anew are not in it. at is where they
// would serve.
func DryRunSum(ctx context.Context, s importer.Source, p *Present, o importer.Options) (r *report.Report, sum string, at Listens, err error) {
	var sums []string
	places := listens{byHand: map[string]bool{}}
	hostKeys := map[[2]string]string{}
	r, err = dryRun(ctx, s, p, o, func(o model.Object) error {
		places.look(o)
		k, isHostKey := o.(*model.HostKey)
		if isHostKey { // a private key is written in another way each time
			k = model.Clone(k)
			k.Private = model.Secret{}
			o = k
		}
		text, err := json.Marshal(o)
		if err != nil {
			return err
		}
		raw := sha256.Sum256(append([]byte(o.Key().Kind+" "), text...))
		if isHostKey {
			hostKeys[[2]string{k.Site, k.Name}] = string(raw[:])
		} else {
			sums = append(sums, string(raw[:]))
		}
		return nil
	})
	if err != nil {
		return nil, "", at, err
	}
	for _, l := range r.Lines {
		if l.Outcome == report.Made && l.Kind == report.HostKey {
			delete(hostKeys, [2]string{l.Site, l.Name})
		}
	}
	sums = slices.AppendSeq(sums, maps.Values(hostKeys))
	slices.Sort(sums)
	all := sha256.Sum256([]byte(strings.Join(sums, "")))
	return r, hex.EncodeToString(all[:]), places.places(), nil
}

func dryRun(ctx context.Context, s importer.Source, p *Present, o importer.Options, put func(model.Object) error) (*report.Report, error) {
	r := report.New(s.About())
	r.DryRun = true
	t := &taker{present: p, report: r, put: put, keys: map[model.Key]bool{}}
	if err := t.run(ctx, s, p.options(o)); err != nil {
		return nil, err
	}
	return r, nil
}

// Build reads a source into a new store beside the one in force, of which nothing is
// touched, and tells what became of everything. The store comes into force by
// node.Place.Replace; until then the report is that of a dry run.
func Build(ctx context.Context, s importer.Source, place node.Place, p *Present, o importer.Options, tell func(string)) (*node.Built, *report.Report, error) {
	r := report.New(s.About())
	r.DryRun = true
	tell("reading " + s.About().File)
	built, err := place.Fill(ctx, "import", p.files, tell, func(put func(model.Object) error) error {
		keep := func(o model.Object) error {
			if err := put(o); err != nil {
				return &storeError{err}
			}
			return nil
		}
		t := &taker{present: p, report: r, put: keep, keys: map[model.Key]bool{}}
		return t.run(ctx, s, p.options(o))
	})
	if err != nil {
		return nil, nil, err
	}
	return built, r, nil
}

// storeError is a store that took no more. Whatever object it names, it is one that was
// given long before: it must not be taken for what is wrong with the one given last.
type storeError struct{ err error }

func (e *storeError) Error() string { return "the new store: " + e.err.Error() }

// Is tells what it is, but to errors.As.
func (e *storeError) Is(target error) bool { return errors.Is(e.err, target) }

// taker is where an importer's objects meet what the machine keeps.
type taker struct {
	present *Present
	report  *report.Report
	put     func(model.Object) error
	// keys are the objects put, but for those that nothing refers to.
	keys map[model.Key]bool
	// settings come last, behind the certificate that they may name.
	settings *model.Settings
	// ruled tells that there is a SuperAdmin who can log in.
	ruled bool
	now   time.Time
}

// run has the importer give everything, and adds what the machine keeps.
func (t *taker) run(ctx context.Context, s importer.Source, o importer.Options) error {
	t.now = o.Time()
	for _, n := range t.present.nodes {
		if err := t.stay(n); err != nil {
			return err
		}
	}
	if err := s.Import(ctx, o, t, t.report); err != nil {
		return fmt.Errorf("import %s: %w", s.About().File, err)
	}
	if err := t.report.Full(); err != nil {
		return fmt.Errorf("%w: %w", archive.ErrHostile, err)
	}
	return t.carry()
}

// Take implements importer.Taker.
func (t *taker) Take(o model.Object) error {
	switch o := o.(type) {
	case *model.SuperAdmin:
		t.meetSuperAdmin(o)
	case *model.Settings:
		t.meetSettings(o)
	case *model.Certificate:
		t.meetCertificate(o)
	}
	o.Normalize()
	if err := o.Validate(); err != nil {
		return err
	}
	if s, ok := o.(*model.Settings); ok {
		t.settings = s
		return nil
	}
	if missing := t.missing(o); missing != nil {
		return &model.InvalidError{Key: o.Key(), Errors: missing}
	}
	return t.keep(o)
}

// stay keeps an object of the machine.
func (t *taker) stay(o model.Object) error {
	o = model.Clone(o)
	o.Normalize()
	if err := o.Validate(); err != nil {
		return fmt.Errorf("keep what this server has: %w", err)
	}
	return t.keep(o)
}

// keep puts an object that is normalised and valid.
func (t *taker) keep(o model.Object) error {
	if u, ok := o.(*model.User); ok && u.Site != "" {
		return t.put(o) // most objects are users: not even their key is made here
	}
	key := o.Key()
	if s, ok := o.(*model.SuperAdmin); ok {
		active, _ := s.Active(t.now)
		t.ruled = t.ruled || s.Password.Hash != "" && active
	}
	switch key.Kind {
	case model.KindEntry, model.KindHostKey, model.KindBinding:
		if key.Site != "" {
			return t.put(o) // nothing refers to it, and there may be many
		}
	}
	if t.keys[key] {
		return fmt.Errorf("%s is there twice", model.Describe(key))
	}
	t.keys[key] = true
	return t.put(o)
}

// meetSuperAdmin keeps the password of somebody who could not log in otherwise.
func (t *taker) meetSuperAdmin(s *model.SuperAdmin) {
	here, ok := t.present.supers[model.Fold(s.Name)]
	if !ok || s.Password.Hash != "" || here.Password.Hash == "" {
		return
	}
	s.Password, s.TOTP = here.Password, here.TOTP
	t.report.Warn(report.Passwords, fmt.Sprintf("the SuperAdmin %s keeps the password and the authenticator app of this server", s.Name), "")
}

// meetSettings lays the imported settings over those of the machine.
func (t *taker) meetSettings(s *model.Settings) {
	here := t.present.settings
	if here == nil {
		return
	}
	mine := model.Clone(here)
	if s.Mail.Host != "" {
		mine.Mail = s.Mail
	}
	if s.Web.SessionMinutes != 0 {
		mine.Web.SessionMinutes = s.Web.SessionMinutes
	}
	*s = *mine
}

// meetCertificate gives an imported certificate of the whole server another name where
// this server has one of its name: the web pages are served with one by its name.
func (t *taker) meetCertificate(x *model.Certificate) {
	if x.Site != "" {
		return
	}
	was := x.Name
	for n := 2; t.keys[x.Key()] || t.hasOther(x); n++ {
		x.Name = convert.FitName(fmt.Sprintf("%.50s %d", was, n))
	}
	if x.Name != was {
		t.report.Warn(report.Certificates, fmt.Sprintf("the certificate %q is called %q here, for this server has another one of that name", was, x.Name), "")
	}
}

// hasOther tells whether this server has another certificate of the name.
func (t *taker) hasOther(x *model.Certificate) bool {
	here, ok := t.present.server[x.Key()].(*model.Certificate)
	return ok && (here.Fingerprint != x.Fingerprint || here.Chain != x.Chain)
}

// carry puts what the machine keeps and the import has not.
func (t *taker) carry() error {
	for _, id := range sortedKeys(t.present.supers) {
		if s := t.present.supers[id]; !t.keys[s.Key()] {
			if err := t.stay(s); err != nil {
				return err
			}
		}
	}
	var lost []string
	for _, o := range t.present.rest {
		if t.keys[o.Key()] {
			t.tellClash(o)
			continue
		}
		if t.missing(o) != nil {
			lost = append(lost, model.Describe(o.Key()))
			continue
		}
		if err := t.stay(o); err != nil {
			return err
		}
	}
	if t.settings == nil && t.present.settings != nil {
		t.settings = model.Clone(t.present.settings)
	}
	if t.settings != nil {
		if err := t.stay(t.settings); err != nil {
			return err
		}
	}
	if !t.ruled {
		t.report.Lose(report.Line{Rule: report.Passwords, Outcome: report.Action, What: "no SuperAdmin can log in", Cure: "set a password on the machine: ss-server sapassreset"})
	}
	t.tellReplaced(lost)
	return nil
}

// tellClash tells of an object of this server that one of the source has the place of. A
// certificate is the same one; what an import before this kept is kept again.
func (t *taker) tellClash(o model.Object) {
	switch o.(type) {
	case *model.Certificate, *model.Legacy:
		return
	}
	t.report.Warn(report.Duplicates, fmt.Sprintf("the source has the place of %s of this server", model.Describe(o.Key())), "compare the two")
}

// missing are the references of an object to what neither the import nor the machine has.
// A store finds them only at its end, and a dry run never.
func (t *taker) missing(o model.Object) (out []model.FieldError) {
	for _, r := range o.References() {
		if !t.keys[r.To] {
			out = append(out, model.FieldError{Field: r.Field, Problem: "there is no " + model.Describe(r.To), Cure: "make it first, or choose another"})
		}
	}
	return out
}

func (t *taker) tellReplaced(lost []string) {
	var parts []string
	for _, kind := range model.Kinds() {
		if n := t.present.Replaced[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d of kind %s", n, kind.Noun()))
		}
	}
	if len(parts) > 0 {
		t.report.Warn(report.OtherSettings, "what this server had goes: "+strings.Join(parts, ", "), "a snapshot of it is kept")
	}
	if len(lost) > 0 {
		t.report.Warn(report.OtherSettings, "what belonged to sites that go: "+strings.Join(lost, ", "), "")
	}
}

func sortedKeys(m map[string]*model.SuperAdmin) []string {
	out := make([]string, 0, len(m))
	for id := range m {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
