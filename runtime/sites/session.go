package sites

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/quota"
	"ss-setup/runtime/vfs/speed"
	"ss-setup/runtime/vfs/tree"
	"ss-setup/runtime/vfs/volume"
)

// session is one that a user has, from the answer to the log-in to its end.
type session struct {
	site  *site
	login sftpd.Login
	tree  *tree.Tree
	end   context.CancelFunc

	mu      sync.Mutex
	over    bool
	seq     uint64         // of the last change that it knew when it was opened
	fresh   *sftpd.Account // until it is looked at first
	changed time.Time
	ldap    string
	layout  layout
	mounts  []*mount // as the places of the layout
}

// mount is a place that is open.
type mount struct {
	fs      vfs.FS
	folds   bool
	tree    *volume.Tree // nil if it could not be opened
	volume  *opened
	quotas  []*quota.Account
	problem error
}

func (m *mount) close() {
	if m.tree != nil {
		_ = m.tree.Close()
	}
	if m.volume != nil {
		m.volume.release()
	}
}

// claim is what a log-in gives, as it stands in the model now.
type claim struct {
	seq    uint64
	user   *model.User
	layout layout
}

// claim asks whether whoever logged in may be in now, and reads what for.
func (s *site) claim(ctx context.Context, l sftpd.Login) (claim, error) {
	// Read before what it is for: a change in between shows as one that is not known.
	c := claim{seq: s.m.opt.Engine.Seq()}
	byPassword := slices.Contains(l.Done, sftpd.StepPassword)
	_, err := s.rules.Load().gate.MayLogIn(ctx, l.User, l.Addr, byPassword)
	if errors.Is(err, auth.ErrMustChange) {
		return c, sftpd.ErrChangePassword
	}
	if err != nil {
		return c, err
	}
	err = s.m.opt.Engine.Read(func(r *engine.Reader) error {
		u, err := findIn(r, s.name, l.User)
		if err == nil {
			c.user = u
			c.layout, err = layoutOf(r, u)
		}
		return err
	})
	if err != nil {
		return c, err
	}
	if slices.Contains(l.Done, sftpd.StepKey) {
		if err := hasKey(c.user, l.Key, s.m.opt.Now()); err != nil {
			return c, errors.New("the key was removed, or is no longer valid")
		}
	}
	return c, nil
}

// open answers a log-in that has shown everything.
func (s *site) open(ctx context.Context, l sftpd.Login) (sftpd.Account, error) {
	c, err := s.claim(ctx, l)
	if err != nil {
		if errors.Is(err, errHome) {
			s.log.Error("a user cannot log in", "user", l.User, "error", err)
		}
		return sftpd.Account{}, err
	}
	life, end := context.WithCancel(context.Background())
	x := &session{
		site: s, login: l, end: end, seq: c.seq, changed: c.user.Password.Changed, ldap: c.user.LDAP,
		layout: c.layout,
	}
	x.login.Done = slices.Clone(l.Done)
	x.mounts = s.mount(c.layout.places, c.user)
	if x.tree, err = tree.New(life, x.view()); err != nil {
		x.release()
		return sftpd.Account{}, err
	}
	a := x.account(c.user)
	x.fresh = &sftpd.Account{Name: a.Name, Up: a.Up, Down: a.Down}
	a.FS, a.Release, a.Recheck, a.MaxSessions = x.tree, x.release, x.recheck, c.user.MaxSessions
	return a, nil
}

// account is who the session belongs to, and how quick it may be.
func (x *session) account(u *model.User) sftpd.Account {
	limit := narrowest(u.Speed, x.login.Addr)
	return sftpd.Account{Name: u.Name, Up: limit.Up, Down: limit.Down}
}

// mountWait bounds the wait for disks that do not answer: longer than for one that is being
// opened anew.
const mountWait = 2 * retireWait

// mount opens places. One that cannot be opened is there and says why: the user may go
// elsewhere meanwhile.
func (s *site) mount(places []place, u *model.User) []*mount {
	ctx, cancel := context.WithTimeout(context.Background(), mountWait)
	defer cancel()
	opening := make([]chan *mount, len(places))
	for i, p := range places {
		opening[i] = make(chan *mount, 1)
		go func() { opening[i] <- s.mountOne(p, u) }()
	}
	mounts := make([]*mount, len(places))
	for i, p := range places {
		select {
		case mounts[i] = <-opening[i]:
			continue
		case <-ctx.Done():
		}
		select {
		case mounts[i] = <-opening[i]:
		default:
			go func() { (<-opening[i]).close() }()
			mounts[i] = s.broken(p, u, errors.New("its disk does not answer"))
		}
	}
	return mounts
}

func (s *site) mountOne(p place, u *model.User) *mount {
	m := &mount{}
	if err := m.open(s, p, u); err != nil {
		m.close()
		return s.broken(p, u, err)
	}
	return m
}

func (s *site) broken(p place, u *model.User, err error) *mount {
	s.log.Error("a folder cannot be opened for a user", "user", u.Name, "folder", p.at.String(), "root", p.volume.root, "error", err)
	// By text alone: a disk that is not there is no folder that is missing.
	return &mount{fs: vfs.Broken(fmt.Errorf("the storage behind this folder cannot be reached: %v", err)), problem: err}
}

func (m *mount) open(s *site, p place, u *model.User) (err error) {
	if m.volume, err = s.m.hold(p.volume); err != nil {
		return err
	}
	if m.tree, err = m.volume.volume.Tree(p.inner, s.name+"/"+u.Key().ID); err != nil {
		return err
	}
	m.fs, m.folds = m.tree, m.volume.volume.FoldsCase()
	limits := map[vfs.Path]quota.Limits{vfs.Root: p.limits}
	limits[p.inner] = quota.Narrowest(limits[p.inner], p.homeLimits)
	for path, l := range limits {
		a, err := m.volume.quota(path, l)
		if err != nil {
			return err
		}
		if a != nil {
			m.quotas = append(m.quotas, a)
		}
	}
	return nil
}

// view is the tree's. x.mu is held, or x is nobody else's yet.
func (x *session) view() tree.View {
	v := tree.View{Rules: x.layout.rules}
	for i, p := range x.layout.places {
		m := x.mounts[i]
		v.Mounts = append(v.Mounts, tree.Mount{At: p.at, FS: m.fs, Folds: m.folds, Quotas: m.quotas, Deny: p.deny, Hidden: p.hidden})
	}
	v.Up, v.Down = x.site.rules.Load().speed.at(x.login.Addr)
	return v
}

// What ends a session that runs.
var (
	errPassword = errors.New("the password was changed")
	errNarrowed = errors.New("rights or folders were taken away")
)

// recheck asks whether the session may still be, and shows it what it has got since. Who
// has lost something begins anew: files may be open by what is no longer given.
func (x *session) recheck(ctx context.Context) (sftpd.Account, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return sftpd.Account{}, errors.New("it is over")
	}
	if fresh := x.fresh; fresh != nil {
		x.fresh = nil
		if x.seq == x.site.m.opt.Engine.Seq() {
			return *fresh, nil
		}
	}
	c, err := x.site.claim(ctx, x.login)
	if err != nil {
		return sftpd.Account{}, err
	}
	byPassword := slices.Contains(x.login.Done, sftpd.StepPassword)
	switch {
	case byPassword && (!c.user.Password.Changed.Equal(x.changed) || c.user.LDAP != x.ldap):
		return sftpd.Account{}, errPassword
	case !x.layout.within(c.layout):
		return sftpd.Account{}, errNarrowed
	case !x.layout.same(c.layout):
		x.grow(c)
	}
	if err := x.tree.Replace(x.view()); err != nil {
		return sftpd.Account{}, err
	}
	return x.account(c.user), nil
}

// grow takes over a layout that takes nothing away.
func (x *session) grow(c claim) {
	mounts := make([]*mount, len(c.layout.places))
	var gone []*mount
	var fresh []place
	for i, p := range c.layout.places {
		at := slices.IndexFunc(x.layout.places, func(old place) bool { return old.at == p.at })
		if at >= 0 && x.mounts[at].problem == nil && x.layout.places[at].limits == p.limits && x.layout.places[at].homeLimits == p.homeLimits {
			mounts[i] = x.mounts[at]
			continue
		}
		fresh = append(fresh, p)
		if at >= 0 {
			gone = append(gone, x.mounts[at])
		}
	}
	added := x.site.mount(fresh, c.user)
	for i := range mounts {
		if mounts[i] == nil {
			mounts[i], added = added[0], added[1:]
		}
	}
	x.layout, x.mounts = c.layout, mounts
	for _, m := range gone {
		// Files that are open stay so.
		m.close()
	}
}

// release ends the session.
func (x *session) release() {
	x.end()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return
	}
	x.over = true
	for _, m := range x.mounts {
		m.close()
	}
}

// narrowest is the limit for an address: that of the narrowest network around it.
func narrowest(list []model.SpeedLimit, addr netip.Addr) model.SpeedLimit {
	if i := narrowestOf(list, addr); i >= 0 {
		return list[i]
	}
	return model.SpeedLimit{}
}

func narrowestOf(list []model.SpeedLimit, addr netip.Addr) int {
	best, bits := -1, -1
	for i, l := range list {
		width := 0
		if l.From != "" {
			p, err := model.Network(l.From)
			if err != nil || !p.Contains(addr.Unmap().WithZone("")) {
				continue
			}
			width = p.Bits()
		}
		if width > bits {
			best, bits = i, width
		}
	}
	return best
}

// speeds are the limits of a site, each shared by all sessions that it is for.
type speeds struct {
	list     []model.SpeedLimit
	up, down []*speed.Limiter
}

func newSpeeds(list []model.SpeedLimit) speeds {
	s := speeds{list: list}
	for _, l := range list {
		s.up, s.down = append(s.up, limiter(l.Up)), append(s.down, limiter(l.Down))
	}
	return s
}

func limiter(rate int64) *speed.Limiter {
	if rate <= 0 {
		return nil
	}
	return speed.New(rate)
}

// at are the limiters for an address; nil is no limit.
func (s speeds) at(addr netip.Addr) (up, down *speed.Limiter) {
	if i := narrowestOf(s.list, addr); i >= 0 {
		return s.up[i], s.down[i]
	}
	return nil, nil
}
