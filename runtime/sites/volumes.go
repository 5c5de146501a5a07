package sites

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/quota"
	"ss-setup/runtime/vfs/volume"
)

// volumeConfig is what a VFS is opened with. It is comparable: a VFS that is changed is
// another one.
type volumeConfig struct {
	key        model.Key
	kind       volume.Kind
	root       string
	keyID      string
	passphrase string // sealed
	inPlace    bool
	links      bool
}

func configOf(v *model.VFS) volumeConfig {
	c := volumeConfig{
		key: v.Key(), kind: volume.Disk, root: v.Root, keyID: v.KeyID, passphrase: v.Passphrase.Sealed, inPlace: v.InPlace, links: v.Links,
	}
	if v.Type == model.VFSEncrypted {
		c.kind = volume.Encrypted
	}
	return c
}

// opensAs tells whether an object is a VFS that is opened as another.
func opensAs(o model.Object, old *model.VFS) bool {
	v, ok := o.(*model.VFS)
	return ok && v != nil && configOf(v) == configOf(old)
}

// serves tells whether a VFS that is open is what another configuration opens: two sites
// may have VFSs in one folder, if they are alike.
func (c volumeConfig) serves(other volumeConfig) bool {
	c.key, other.key = model.Key{}, model.Key{}
	return c == other
}

// volumes are the VFSs that are open, each once, by their folder.
type volumes struct {
	log *slog.Logger
	now func() time.Time

	ctx     context.Context // ends with the manager
	cancel  context.CancelFunc
	running sync.WaitGroup // who counts or closes

	mu     sync.Mutex
	byRoot map[string]*opened
}

func newVolumes(log *slog.Logger, now func() time.Time) *volumes {
	vs := &volumes{log: log, now: now, byRoot: map[string]*opened{}}
	vs.ctx, vs.cancel = context.WithCancel(context.Background())
	return vs
}

// opened is a VFS that is open, or being opened.
type opened struct {
	all    *volumes
	config volumeConfig
	ready  chan struct{} // closed when volume or err is set
	volume *volume.Volume
	err    error
	gone   chan struct{} // closed when it is closed
	ctx    context.Context
	cancel context.CancelFunc // ends counting and sweeping

	// Under the lock of all.
	users   int
	leaving bool // retired when its last user goes
	retired bool
	closing bool

	mu     sync.Mutex
	quotas map[quotaKey]*quota.Account
	counts map[vfs.Path]*quota.Account // without limits
}

type quotaKey struct {
	path   vfs.Path
	limits quota.Limits
}

// addLocked notes a VFS that its first user is about to open.
func (vs *volumes) addLocked(c volumeConfig) *opened {
	o := &opened{
		all: vs, config: c, ready: make(chan struct{}), gone: make(chan struct{}), users: 1,
		quotas: map[quotaKey]*quota.Account{}, counts: map[vfs.Path]*quota.Account{},
	}
	o.ctx, o.cancel = context.WithCancel(vs.ctx)
	vs.byRoot[c.root] = o
	return o
}

// retireWait is how long a changed VFS waits for the sessions that still have the old one.
const retireWait = 5 * time.Second

// hold opens a VFS, or takes the one that is open; release lets go of it.
func (m *Manager) hold(c volumeConfig) (*opened, error) {
	vs := m.volumes
	deadline := time.Now().Add(retireWait)
	for {
		vs.mu.Lock()
		o := vs.byRoot[c.root]
		switch {
		case o == nil:
			o = vs.addLocked(c)
			vs.mu.Unlock()
			o.volume, o.err = m.openVolume(c)
			close(o.ready)
		case !o.retired && o.config.serves(c):
			o.users++
			vs.mu.Unlock()
		case o.users > 0 && !o.retired && o.config.key != c.key:
			vs.mu.Unlock()
			return nil, fmt.Errorf("the folder %s is in use by %s, with other settings; make them alike, or choose another folder for %s", c.root, model.Describe(o.config.key), model.Describe(c.key))
		default:
			vs.retireLocked(o)
			vs.mu.Unlock()
			if err := waitFor(o.gone, deadline); err != nil {
				return nil, fmt.Errorf("the VFS in %s was changed, and sessions still use it as it was; log in again: %w", c.root, err)
			}
			continue
		}
		<-o.ready
		if o.err == nil {
			return o, nil
		}
		err := o.err
		vs.mu.Lock()
		vs.retireLocked(o) // whoever comes next tries again
		vs.mu.Unlock()
		o.release()
		return nil, err
	}
}

func waitFor(done <-chan struct{}, deadline time.Time) error {
	select {
	case <-done:
		return nil
	case <-time.After(time.Until(deadline)):
		return errors.New("it took too long")
	}
}

// openVolume opens the VFS of a configuration.
func (m *Manager) openVolume(c volumeConfig) (*volume.Volume, error) {
	passphrase, err := m.opt.Engine.Reveal(c.key, "passphrase", model.Secret{Sealed: c.passphrase})
	if err != nil {
		return nil, err
	}
	vc, err := m.volumeConfig(c)
	if err != nil {
		return nil, err
	}
	vc.Passphrase = passphrase
	return volume.Open(vc)
}

func (m *Manager) volumeConfig(c volumeConfig) (volume.Config, error) {
	within, err := m.within(c.root)
	return volume.Config{
		Kind: c.kind, Dir: c.root, Within: within, Apart: m.opt.Apart, Disk: disk.Options{Links: c.links}, InPlace: c.inPlace,
		Ring: m.opt.Ring, KeyID: c.keyID, Log: m.log, Now: m.opt.Now,
	}, err
}

// within are the folders above root where users may make links, the outermost first:
// those of other VFSs, and the one that its site shares out.
func (m *Manager) within(root string) (out []string, err error) {
	err = m.opt.Engine.Read(func(r *engine.Reader) error {
		for o, err := range r.All(model.KindVFS) {
			if err != nil {
				return err
			}
			if above := o.(*model.VFS).Root; lies(root, above) {
				out = append(out, above)
			}
		}
		return nil
	})
	if m.opt.Files != "" && lies(root, m.opt.Files) {
		rel, _ := filepath.Rel(m.opt.Files, root)
		site, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		if above := filepath.Join(m.opt.Files, site); lies(root, above) {
			out = append(out, above)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return slices.Compact(out), err
}

// lies tells by the names whether root lies below another folder.
func lies(root, above string) bool {
	rel, err := filepath.Rel(above, root)
	return err == nil && filepath.IsLocal(rel) && rel != "."
}

// MakeVFS makes the folder of a VFS that is about to be created in the model, tries what
// the service will do there, and for an encrypted one makes the key and names it in v. A
// passphrase is that of v, in clear. The errors name folder, account and cure.
func (m *Manager) MakeVFS(v *model.VFS) error {
	v.Normalize()
	vc, err := m.volumeConfig(configOf(v))
	if err != nil {
		return err
	}
	vc.Passphrase = v.Passphrase.Clear
	id, err := volume.Create(vc)
	if err == nil {
		v.KeyID = id
	}
	return err
}

// UnmakeVFS takes back what MakeVFS has just made of a VFS, which did not get into the
// model. One with anything in it stays as it is.
func (m *Manager) UnmakeVFS(v *model.VFS) error {
	vc, err := m.volumeConfig(configOf(v))
	if err != nil {
		return err
	}
	return volume.Unmake(vc)
}

// leave lets go of the VFS in a folder that one of its sites has changed or removed, as
// soon as nobody uses it: it may be another's as well.
func (vs *volumes) leave(root string) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if o := vs.byRoot[root]; o != nil {
		o.leaving = true
		if o.users == 0 {
			vs.retireLocked(o)
		}
	}
}

// retireLocked has the VFS in a folder opened anew for whoever comes next.
func (vs *volumes) retireLocked(o *opened) {
	o.retired = true
	o.cancel()
	if o.users == 0 {
		vs.closeLocked(o)
	}
}

// closeLocked closes a VFS that nobody uses. Its disk may be slow, or never answer: nobody
// waits for it but those who want this VFS.
func (vs *volumes) closeLocked(o *opened) {
	if !o.closing {
		o.closing = true
		vs.running.Go(o.close)
	}
}

func (o *opened) close() {
	if o.volume != nil {
		if err := errors.Join(o.flush(), o.volume.Close()); err != nil {
			o.all.log.Error("a VFS was not closed as it should be; its quotas are counted anew", "root", o.config.root, "error", err)
		}
	}
	o.all.mu.Lock()
	defer o.all.mu.Unlock()
	if o.all.byRoot[o.config.root] == o {
		delete(o.all.byRoot, o.config.root)
	}
	close(o.gone)
}

// release lets go of a VFS; it stays open for whoever comes next, unless it was changed.
func (o *opened) release() {
	o.all.mu.Lock()
	defer o.all.mu.Unlock()
	if o.users--; o.users == 0 && (o.retired || o.leaving) {
		o.all.retireLocked(o)
	}
}

// quota is the account of a folder with these limits, shared by all who have both. What is
// counted is shared by all who have the folder, whatever their limits: who has none counts
// too where others have or had some, and else gets no account.
func (o *opened) quota(path vfs.Path, limits quota.Limits) (*quota.Account, error) {
	key := quotaKey{path, limits}
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.quotas[key]; a != nil {
		return a, nil
	}
	log := o.all.log.With("root", o.config.root, "folder", path.String())
	base := o.counts[path]
	if base == nil {
		sum := sha256.Sum256([]byte(path.String()))
		var err error
		if base, err = quota.Open(o.volume.Counts(hex.EncodeToString(sum[:8])), quota.Limits{}, nil); err != nil {
			return nil, err
		}
		use, sure := base.Use()
		if limits == (quota.Limits{}) && !sure && use == (quota.Use{}) {
			return nil, nil
		}
		o.counts[path] = base
		if !sure {
			o.all.running.Go(func() {
				if err := o.count(o.ctx, path, base); err != nil && o.ctx.Err() == nil {
					log.Error("what a quota holds could not be counted; the daily count tries again", "error", err)
				}
			})
		}
	}
	a := base.With(limits, func(u quota.Use) {
		log.Warn("a soft quota is passed: no more uploads begin there", "bytes", u.Bytes, "limit", limits.SoftBytes)
	})
	o.quotas[key] = a
	return a, nil
}

// count counts anew.
func (o *opened) count(ctx context.Context, path vfs.Path, a *quota.Account) error {
	content, err := o.volume.Content(path)
	if err != nil {
		return err
	}
	return errors.Join(a.Recount(ctx, content), content.Close())
}

// accounts are those that count, by their folders.
func (o *opened) accounts() map[vfs.Path]*quota.Account {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.counts)
}

// flush keeps what quotas have counted.
func (o *opened) flush() error {
	var all error
	for _, a := range o.accounts() {
		all = errors.Join(all, a.Flush())
	}
	return all
}

// roots are the folders of the VFSs that are open.
func (vs *volumes) roots() []string {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return slices.Sorted(maps.Keys(vs.byRoot))
}

// use holds the VFS in a folder if it is open, and is nil if it is not.
func (vs *volumes) use(root string) *opened {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	o := vs.byRoot[root]
	if o == nil || o.retired {
		return nil
	}
	o.users++
	return o
}

// sweep removes what uploads have left and is too old; daily it looks everywhere, and
// counts quotas anew. That takes hours where there is much: each VFS is held only as long
// as it is looked at, and one that is changed meanwhile is let go at once.
func (vs *volumes) sweep(ctx context.Context, daily bool) {
	for _, root := range vs.roots() {
		o := vs.use(root)
		if o == nil {
			continue
		}
		both, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(o.ctx, cancel)
		select {
		case <-o.ready:
			if o.err == nil {
				vs.sweepOne(both, o, daily)
			}
		case <-both.Done():
		}
		stop()
		cancel()
		o.release()
	}
}

func (vs *volumes) sweepOne(ctx context.Context, o *opened, daily bool) {
	removed, err := o.volume.Sweep(ctx, daily)
	if removed > 0 {
		vs.log.Info("removed what uploads had left for too long", "root", o.config.root, "count", removed)
	}
	if daily {
		for path, a := range o.accounts() {
			err = errors.Join(err, o.count(ctx, path, a))
		}
	}
	if err != nil && ctx.Err() == nil {
		vs.log.Error("a VFS could not be swept", "root", o.config.root, "error", err)
	}
}

// close closes all; the sites have ended.
func (vs *volumes) close() error {
	vs.cancel()
	vs.mu.Lock()
	for _, o := range vs.byRoot {
		vs.retireLocked(o)
	}
	vs.mu.Unlock()
	vs.running.Wait()
	return nil
}
