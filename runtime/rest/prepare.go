package rest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/tlscert"
	"ss-setup/runtime/vfs/crypt"
)

// write is an object on its way in.
type write struct {
	api    *API
	ctx    context.Context
	caller *caller
	// old is nil for one that is made.
	old, new model.Object
	// token is the text of a token that is made.
	token string
	// beside is what is made with it.
	beside []model.Object
}

// prepare does what needs time or a look at the old object before the write path has it:
// passwords become hashes, keys are judged, folders tried. The object is validated first,
// so that nothing of this happens for one that is refused.
func (w *write) prepare() error {
	if err := w.nothingToChange(); err != nil {
		return err
	}
	w.keepServersFields()
	if err := w.checkSecrets(); err != nil {
		return err
	}
	if err := w.valid(); err != nil {
		return err
	}
	if err := w.hashPasswords(); err != nil {
		return err
	}
	switch o := w.new.(type) {
	case *model.Site:
		return w.site(o)
	case *model.HostKey:
		return w.hostKey(o)
	case *model.Certificate:
		return w.certificate(o)
	case *model.VFS:
		return w.vfs(o)
	case *model.Entry:
		return w.entry(normal(o))
	}
	return nil
}

// entry refuses what would keep the caller himself out of this interface, where nobody
// could take it back.
func (w *write) entry(e *model.Entry) error {
	from := w.caller.from
	if e.Site != "" || !from.IsValid() || !e.Current(w.api.Now()) {
		return nil
	}
	within := e.Prefix().Contains(from)
	switch {
	case e.List == model.ListBlock && within:
		return wrongField("network", "your own address, "+from.String()+", is in it", "choose a smaller network, or do it from another address")
	case e.List != model.ListAllow || within || from.IsLoopback():
		return nil
	}
	err := w.api.Engine.Read(func(r *engine.Reader) error {
		for other, err := range engine.Entries.InSite(r, "") {
			if err != nil {
				return err
			}
			if other.List == model.ListAllow && other.Key() != e.Key() && other.Current(w.api.Now()) && other.Prefix().Contains(from) {
				within = true
			}
		}
		return nil
	})
	if err == nil && !within {
		err = wrongField("network", "your own address, "+from.String()+", would be on no allow list", "allow that first")
	}
	return err
}

// valid asks the model about the object as it will be when prepare is done.
func (w *write) valid() error {
	o := model.Clone(w.new)
	for _, f := range o.Passwords() {
		f.Password.Clear = ""
	}
	switch o := o.(type) {
	case *model.HostKey:
		return nil // everything in it is made of the key, which tells what is wrong itself
	case *model.VFS:
		if o.Type == model.VFSEncrypted && o.KeyID == "" {
			o.KeyID = "made-later"
		}
	}
	o.Normalize()
	return o.Validate()
}

// keepServersFields takes over from the old object what only the server sets.
func (w *write) keepServersFields() {
	switch o := w.new.(type) {
	case *model.Token:
		if old, ok := w.old.(*model.Token); ok {
			o.Hash = old.Hash
		} else {
			w.token, o.Hash = newToken(o.Name)
		}
	case *model.Certificate:
		old, _ := w.old.(*model.Certificate)
		if old == nil {
			old = &model.Certificate{}
		}
		o.NotBefore, o.NotAfter, o.Fingerprint = old.NotBefore, old.NotAfter, old.Fingerprint
	case *model.VFS:
		o.KeyID = ""
		if old, ok := w.old.(*model.VFS); ok {
			o.KeyID = old.KeyID
		}
	case *model.HostKey:
		if old, ok := w.old.(*model.HostKey); ok {
			o.Algorithm, o.Public, o.Fingerprint = old.Algorithm, old.Public, old.Fingerprint
		}
	case *model.User:
		old, _ := w.old.(*model.User)
		w.keysAdded(o, old)
	}
	w.keepRecovery()
	w.keepPasswords()
}

// keysAdded notes when a key came.
func (w *write) keysAdded(u, old *model.User) {
	fresh := model.Clone(u)
	fresh.Normalize()
	for i := range u.Keys {
		u.Keys[i].Added = w.api.Now().UTC()
		if old == nil {
			continue
		}
		same := func(k model.PublicKey) bool { return k.Key == fresh.Keys[i].Key }
		if at := slices.IndexFunc(old.Keys, same); at >= 0 {
			u.Keys[i].Added = old.Keys[at].Added
		}
	}
}

// keepRecovery keeps recovery codes as long as the secret stays that they stand in for.
func (w *write) keepRecovery() {
	if t := model.SecondFactor(w.new); t != nil && w.old != nil && t.Secret.Set && t.Secret.Clear == "" {
		t.Recovery = model.SecondFactor(w.old).Recovery
	}
}

// keepPasswords leaves passwords as they are that are sent as they were read.
func (w *write) keepPasswords() {
	for i, f := range w.new.Passwords() {
		old := w.oldPassword(i)
		switch {
		case f.Password.Clear != "":
			*f.Password = model.Password{Clear: f.Password.Clear, MustChange: f.Password.MustChange}
		case keeps(f.Password, old):
			*f.Password = model.Password{
				Hash: old.Hash, MustChange: f.Password.MustChange, MustSet: old.MustSet, Legacy: old.Legacy, Changed: old.Changed,
			}
		default:
			*f.Password = model.Password{}
		}
	}
}

// keeps tells a password that is sent as it was read.
func keeps(p *model.Password, old model.Password) bool {
	return p.Set && old.Hash != "" || p.MustSet && old.MustSet
}

// oldPassword is the object's password of before.
func (w *write) oldPassword(i int) (old model.Password) {
	if w.old != nil {
		old = *w.old.Passwords()[i].Password
	}
	return old
}

// nothingToChange refuses to have a password changed that there is none of: who asked for it
// would take it for granted.
func (w *write) nothingToChange() error {
	for i, f := range w.new.Passwords() {
		old := w.oldPassword(i)
		if f.Password.MustChange && !old.MustChange && f.Password.Clear == "" && !keeps(f.Password, old) {
			return wrongField(f.Field+".mustChange", "there is no password that could be changed", "set one, or leave this out")
		}
	}
	return nil
}

// checkSecrets refuses to keep a secret for whom it was not given: who may send a profile's
// password to another server could have it told to himself.
func (w *write) checkSecrets() error {
	before := map[string]bool{}
	if w.old != nil {
		for _, f := range w.old.Secrets() {
			before[f.Field] = !f.Secret.IsZero()
		}
	}
	moved := w.moved()
	for _, f := range w.new.Secrets() {
		keeps := f.Secret.Set && f.Secret.Clear == ""
		if keeps && !before[f.Field] {
			*f.Secret = model.Secret{}
			continue
		}
		if keeps && slices.Contains(moved, f.Field) {
			return wrongField(f.Field, "it was given for another server", "give it again, as it is now sent elsewhere")
		}
	}
	return nil
}

// moved are the secrets whose destination changes.
func (w *write) moved() []string {
	switch o := w.new.(type) {
	case *model.LDAPProfile:
		old, ok := w.old.(*model.LDAPProfile)
		if !ok {
			break
		}
		a, b := model.Clone(o), model.Clone(old)
		a.Normalize()
		if !reflect.DeepEqual(a.URLs, b.URLs) || a.StartTLS != b.StartTLS || a.CA != b.CA || a.BindDN != b.BindDN {
			return []string{"bindPassword"}
		}
	case *model.Settings:
		old, ok := w.old.(*model.Settings)
		if ok && (o.Mail.Host != old.Mail.Host || o.Mail.Port != old.Mail.Port || o.Mail.TLS != old.Mail.TLS || o.Mail.User != old.Mail.User) {
			return []string{"mail.password"}
		}
	}
	return nil
}

// hashPasswords makes hashes of passwords that are set, if they are good enough.
func (w *write) hashPasswords() error {
	if err := w.checkPasswords(); err != nil {
		return err
	}
	for _, f := range w.new.Passwords() {
		clear := f.Password.Clear
		if clear == "" {
			continue
		}
		hash, err := w.api.Hasher.Hash(w.ctx, []byte(clear))
		if err != nil {
			return err
		}
		*f.Password = model.Password{Hash: hash, MustChange: f.Password.MustChange, Changed: w.api.Now().UTC()}
	}
	return nil
}

// checkPasswords refuses those that are not good enough.
func (w *write) checkPasswords() error {
	for _, f := range w.new.Passwords() {
		if f.Password.Clear == "" {
			continue
		}
		policy, err := w.policy()
		if err != nil {
			return err
		}
		if err := policy.Check(w.new.Header().Name, f.Password.Clear); err != nil {
			return policyProblem(f.Field+".clear", err)
		}
	}
	return nil
}

// policy is the rule for the object's password: the site's for users.
func (w *write) policy() (p auth.Policy, err error) {
	err = w.api.Engine.Read(func(r *engine.Reader) error {
		if u, ok := w.new.(*model.User); ok {
			site, err := engine.Sites.Get(r, "", u.Site)
			if err == nil {
				p = auth.PolicyOf(site.PasswordRule)
			}
			return err
		}
		settings, err := engine.CurrentSettings(r)
		if err == nil {
			p = auth.PolicyOf(settings.PasswordRule)
		}
		return err
	})
	return p, err
}

// certificate checks that a key belongs to its certificate, and makes a self-signed one.
func (w *write) certificate(x *model.Certificate) error {
	switch x.Type {
	case model.CertSelfSigned:
		return w.selfSigned(x)
	case model.CertACME:
		return nil
	}
	private := x.Private.Clear
	if private == "" {
		old := w.old.(*model.Certificate) // without one the model misses the key
		var err error
		if private, err = w.api.Engine.Reveal(old.Key(), "private", old.Private); err != nil {
			return err
		}
	}
	pair, err := tlscert.Parse([]byte(x.Chain), []byte(private))
	if err != nil {
		// What the library says names neither of the two texts.
		return wrongField("chain", "certificate and key do not go together: "+err.Error(), "give the key of this very certificate, and the certificate first in the chain")
	}
	tellOf(x, pair)
	return nil
}

func tellOf(x *model.Certificate, pair tlscert.Pair) {
	x.NotBefore, x.NotAfter, x.Fingerprint = pair.TLS.Leaf.NotBefore.UTC(), pair.NotAfter.UTC(), pair.Fingerprint
}

// selfSigned makes certificate and key, or keeps those that there are for the same names
// until they end: clients may have them by their fingerprint.
func (w *write) selfSigned(x *model.Certificate) error {
	now := w.api.Now()
	old, _ := w.old.(*model.Certificate)
	if old != nil && old.Type == x.Type && old.Chain != "" && now.Before(old.NotAfter) && slices.Equal(old.Domains, normal(x).Domains) {
		x.Chain, x.Private = old.Chain, model.Secret{Set: true}
		return nil
	}
	cert, key, err := tlscert.SelfSigned(normal(x).Domains, now)
	if err != nil {
		return err
	}
	pair, err := tlscert.Parse(cert, key)
	if err != nil {
		return err
	}
	x.Chain, x.Private = string(cert), model.Secret{Clear: string(key)}
	tellOf(x, pair)
	return nil
}

// vfs makes the place of a VFS, and keeps Admins in the folder of their site: another's
// files, and the machine's, would be theirs otherwise.
func (w *write) vfs(v *model.VFS) error {
	old, _ := w.old.(*model.VFS)
	if old != nil && (old.Type != v.Type || old.Root != normal(v).Root) {
		return wrongField("root", "the folder and the type of a VFS cannot change", "make another VFS, move the files, and delete this one")
	}
	if old != nil {
		return w.keepsPassphrase(v)
	}
	if !w.caller.super && !inFolder(filepath.Join(w.api.Files, v.Site), v.Root) {
		return wrongField("root", "an Admin's VFS lies in the folder of its site", "choose a folder in "+filepath.Join(w.api.Files, v.Site)+", or ask a SuperAdmin")
	}
	if w.api.Sites == nil {
		return problem(unavailable, "no VFS can be made here")
	}
	// A name that is taken would be found by the write path when the folder is made.
	if err := w.vacant(normal(v)); err != nil {
		return err
	}
	return notMade(w.api.Sites.MakeVFS(v))
}

// notMade names the field of a VFS that its place could not be made for.
func notMade(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, crypt.ErrShortPassphrase):
		return wrongField("passphrase", err.Error(), "choose a longer one")
	case errors.Is(err, crypt.ErrNeedsPassphrase), errors.Is(err, crypt.ErrPassphrase):
		return wrongField("passphrase", err.Error(), "give the one that the folder was encrypted with, or choose an empty folder")
	}
	return wrongField("root", err.Error(), "choose another folder, or make this one usable")
}

// vacant refuses a name that is taken and, for an encrypted VFS, the folder of another:
// one that nobody lists is taken over.
func (w *write) vacant(v *model.VFS) error {
	var others []*model.VFS
	err := w.api.Engine.Read(func(r *engine.Reader) error {
		if r.Has(v.Key()) {
			return &engine.ExistsError{Key: v.Key()}
		}
		for o, err := range r.All(model.KindVFS) {
			if err != nil {
				return err
			}
			others = append(others, o.(*model.VFS))
		}
		return nil
	})
	if err != nil || v.Type != model.VFSEncrypted {
		return err
	}
	for _, other := range others {
		if sameFolder(other.Root, v.Root) {
			taken := other.Key() // which not everybody may see
			return &model.InvalidError{Key: v.Key(), Errors: []model.FieldError{{
				Field: "root", Problem: "it is the folder of another VFS", Cure: "choose another folder", Other: &taken,
			}}}
		}
	}
	return nil
}

// sameFolder tells whether two paths lead to one folder.
func sameFolder(a, b string) bool {
	if a == b {
		return true
	}
	one, errOne := os.Stat(a)
	two, errTwo := os.Stat(b)
	return errOne == nil && errTwo == nil && os.SameFile(one, two)
}

// keepsPassphrase refuses another passphrase: the key in the folder is wrapped by the one
// there is.
func (w *write) keepsPassphrase(v *model.VFS) error {
	old := w.old.(*model.VFS)
	if v.Passphrase.Clear != "" || v.Passphrase.IsZero() != old.Passphrase.IsZero() {
		return wrongField("passphrase", "it cannot change: the key in the folder is kept by it", "leave it as it is")
	}
	return nil
}

func normal[O model.Object](o O) O {
	o = model.Clone(o)
	o.Normalize()
	return o
}

// inFolder tells whether root lies in folder, by names and by where they lead.
func inFolder(folder, root string) bool {
	if !filepath.IsAbs(folder) {
		return false
	}
	if runtime.GOOS == "windows" && filepath.VolumeName(root) == "" {
		return false
	}
	rel, err := filepath.Rel(folder, filepath.Clean(root))
	if err != nil || !filepath.IsLocal(rel) || rel == "." {
		return false
	}
	// The part of the path that is there must not lead elsewhere.
	there := filepath.Clean(root)
	for there != folder {
		if real, err := filepath.EvalSymlinks(there); err == nil {
			realFolder, err := filepath.EvalSymlinks(folder)
			if err != nil {
				return false
			}
			rel, err := filepath.Rel(realFolder, real)
			return err == nil && filepath.IsLocal(rel)
		}
		there = filepath.Dir(there)
	}
	return true
}
