package sites

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

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

	ctx      context.Context // ends with the manager
	cancel   context.CancelFunc
	counting sync.WaitGroup

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

	// Under the lock of all.
	users   int
	retired bool

	mu     sync.Mutex
	quotas map[quotaKey]*quota.Account
	counts map[vfs.Path]*quota.Account // without limits
}

type quotaKey struct {
	path   vfs.Path
	limits quota.Limits
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
			o = &opened{all: vs, config: c, ready: make(chan struct{}), gone: make(chan struct{}), users: 1, quotas: map[quotaKey]*quota.Account{}, counts: map[vfs.Path]*quota.Account{}}
			vs.byRoot[c.root] = o
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
	vc := m.volumeConfig(c)
	vc.Passphrase = passphrase
	return volume.Open(vc)
}

func (m *Manager) volumeConfig(c volumeConfig) volume.Config {
	return volume.Config{
		Kind: c.kind, Dir: c.root, Apart: m.opt.Apart, Disk: disk.Options{Links: c.links}, InPlace: c.inPlace,
		Ring: m.opt.Ring, KeyID: c.keyID, Log: m.log, Now: m.opt.Now,
	}
}

// MakeVFS makes the folder of a VFS that is about to be created in the model, tries what
// the service will do there, and for an encrypted one makes the key and names it in v. A
// passphrase is that of v, in clear. The errors name folder, account and cure.
func (m *Manager) MakeVFS(v *model.VFS) error {
	v.Normalize()
	c := configOf(v)
	vc := m.volumeConfig(c)
	vc.Passphrase = v.Passphrase.Clear
	id, err := volume.Create(vc)
	if err == nil {
		v.KeyID = id
	}
	return err
}

// UnmakeVFS takes back what MakeVFS has just made of an encrypted VFS, which did not get
// into the model. One with anything in it stays as it is.
func (m *Manager) UnmakeVFS(v *model.VFS) error { return volume.Unmake(m.volumeConfig(configOf(v))) }

// retire has the VFS in a folder opened anew for whoever comes next.
func (vs *volumes) retire(root string) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if o := vs.byRoot[root]; o != nil {
		vs.retireLocked(o)
	}
}

func (vs *volumes) retireLocked(o *opened) {
	o.retired = true
	if o.users == 0 {
		vs.closeLocked(o)
	}
}

// closeLocked closes a VFS that nobody uses.
func (vs *volumes) closeLocked(o *opened) {
	select {
	case <-o.gone:
		return
	default:
	}
	if o.volume != nil {
		if err := errors.Join(o.flush(), o.volume.Close()); err != nil {
			vs.log.Error("a VFS was not closed as it should be; its quotas are counted anew", "root", o.config.root, "error", err)
		}
	}
	if vs.byRoot[o.config.root] == o {
		delete(vs.byRoot, o.config.root)
	}
	close(o.gone)
}

// release lets go of a VFS; it stays open for whoever comes next, unless it was changed.
func (o *opened) release() {
	o.all.mu.Lock()
	defer o.all.mu.Unlock()
	if o.users--; o.users == 0 && o.retired {
		o.all.closeLocked(o)
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
			o.all.counting.Go(func() {
				if err := o.count(o.all.ctx, path, base); err != nil && o.all.ctx.Err() == nil {
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

// inUse are the VFSs that are open, each held.
func (vs *volumes) inUse() []*opened {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	list := slices.Collect(maps.Values(vs.byRoot))
	list = slices.DeleteFunc(list, func(o *opened) bool { return o.retired })
	for _, o := range list {
		o.users++
	}
	return list
}

// sweep removes what uploads have left and is too old; daily it looks everywhere, and
// counts quotas anew.
func (vs *volumes) sweep(ctx context.Context, daily bool) {
	for _, o := range vs.inUse() {
		<-o.ready
		if o.err == nil {
			vs.sweepOne(ctx, o, daily)
		}
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
	vs.counting.Wait()
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, o := range vs.byRoot {
		o.retired = true
		if o.users == 0 {
			vs.closeLocked(o)
		}
	}
	return nil
}
