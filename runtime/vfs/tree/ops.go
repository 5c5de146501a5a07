package tree

import (
	"errors"
	"io"
	"io/fs"
	"time"

	"ss-setup/runtime/vfs"
)

// Open is Open of vfs.FS.
func (t *Tree) Open(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (vfs.File, error) {
	s, err := t.at("open", name, 0)
	if err != nil {
		return nil, err
	}
	var need Right
	if flag.Has(vfs.Read) {
		need |= Read
	}
	if !flag.Has(vfs.Write) {
		return t.openToRead(s, need|Read)
	}
	info, err := s.mount.FS.Stat(s.inner)
	exists := err == nil
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, s.back(err)
	case !exists && !flag.Has(vfs.Create):
		return nil, s.back(err)
	case !exists && s.point:
		return nil, vfs.Error("open", name, vfs.ErrIsDir)
	case !exists:
		// Who makes a file may read what is in it.
		need = Upload
	case flag.Has(vfs.Create | vfs.Exclusive):
		return nil, vfs.Error("open", name, fs.ErrExist)
	case flag.Has(vfs.Truncate):
		need |= Overwrite
	case !s.allowed.Has(Overwrite):
		need |= Append
	}
	if !s.allowed.Has(need) {
		return nil, vfs.Error("open", name, fs.ErrPermission)
	}
	return t.openToWrite(s, flag, mode, info, exists)
}

func (t *Tree) openToRead(s spot, need Right) (vfs.File, error) {
	if !s.allowed.Has(need) {
		return nil, vfs.Error("open", s.path, fs.ErrPermission)
	}
	inner, err := s.mount.FS.Open(s.inner, vfs.Read, 0)
	if err != nil {
		return nil, s.back(err)
	}
	return &file{File: inner, tree: t, spot: s}, nil
}

func (t *Tree) openToWrite(s spot, flag vfs.Flag, mode fs.FileMode, info vfs.Info, exists bool) (vfs.File, error) {
	f := &file{tree: t, spot: s, writing: true}
	if (!exists || flag.Has(vfs.Truncate)) && s.mount.full() {
		return nil, vfs.Error("open", s.path, vfs.ErrQuota)
	}
	switch {
	case !exists:
		if err := s.mount.count(0, 1); err != nil {
			return nil, vfs.Error("open", s.path, err)
		}
		if !s.allowed.Has(Overwrite) {
			// Nor may it replace what somebody else puts there meanwhile.
			flag |= vfs.Exclusive
		}
	case !flag.Has(vfs.Truncate) && !s.allowed.Has(Overwrite):
		f.fixed = info.Size
	}
	inner, err := s.mount.FS.Open(s.inner, flag, mode)
	if err != nil {
		if !exists {
			s.mount.uncount(0, 1)
		}
		return nil, s.back(err)
	}
	f.File = inner
	return f, nil
}

// Stat is Stat of vfs.FS.
func (t *Tree) Stat(name vfs.Path) (vfs.Info, error) {
	return t.stat(name, func(s spot) (vfs.Info, error) { return s.mount.FS.Stat(s.inner) })
}

// Lstat is Lstat of vfs.FS.
func (t *Tree) Lstat(name vfs.Path) (vfs.Info, error) {
	return t.stat(name, func(s spot) (vfs.Info, error) { return s.mount.FS.Lstat(s.inner) })
}

func (t *Tree) stat(name vfs.Path, look func(spot) (vfs.Info, error)) (vfs.Info, error) {
	s, err := t.at("stat", name, 0)
	if err != nil {
		return vfs.Info{}, err
	}
	info, err := look(s)
	if err != nil {
		if s.point {
			// A virtual folder is there although its VFS is not: the user may go home.
			return pointInfo(name), nil
		}
		return info, s.back(err)
	}
	info.Name = name.Base()
	return info, nil
}

// pointInfo describes a folder that no disk has.
func pointInfo(name vfs.Path) vfs.Info {
	return vfs.Info{Name: name.Base(), Mode: fs.ModeDir | 0o755, ModTime: time.Unix(0, 0), AccessTime: time.Unix(0, 0)}
}

// ReadDir is ReadDir of vfs.FS.
func (t *Tree) ReadDir(name vfs.Path) (vfs.Dir, error) {
	s, err := t.at("list", name, 0)
	if err != nil {
		return nil, err
	}
	if !s.allowed.Has(List) && (s.allowed != 0 || !s.above) {
		return nil, vfs.Error("list", name, fs.ErrPermission)
	}
	d := &folder{tree: t, spot: s, points: t.view.Load().points(name)}
	if d.Dir, err = s.mount.FS.ReadDir(s.inner); err != nil {
		if !errors.Is(err, fs.ErrNotExist) || !s.point {
			return nil, s.back(err)
		}
		d.Dir = nil
	}
	return d, nil
}

// points are the names in dir that lead to virtual folders.
func (v *View) points(dir vfs.Path) map[string]bool {
	names := make(map[string]bool)
	for _, m := range v.Mounts {
		if rest, ok := within(m.At, dir, v.home().Folds); ok && !rest.IsRoot() && !m.Hidden {
			names[rest.Components()[0]] = true
		}
	}
	return names
}

// folder shows the virtual folders first, and of the rest what the user may see.
type folder struct {
	vfs.Dir
	tree   *Tree
	spot   spot
	points map[string]bool
	shown  bool
}

func (d *folder) Next(n int) ([]vfs.Info, error) {
	if !d.shown {
		d.shown = true
		var infos []vfs.Info
		for name := range d.points {
			if info, err := d.tree.Lstat(d.spot.path.Reserved(name)); err == nil {
				infos = append(infos, info)
			}
		}
		if len(infos) > 0 {
			return infos, nil
		}
	}
	for d.Dir != nil {
		infos, err := d.Dir.Next(n)
		if err != nil {
			return nil, d.spot.back(err)
		}
		if infos = d.visible(infos); len(infos) > 0 {
			return infos, nil
		}
	}
	return nil, io.EOF
}

func (d *folder) visible(infos []vfs.Info) []vfs.Info {
	v := d.tree.view.Load()
	out := infos[:0]
	for _, info := range infos {
		s := v.find(d.spot.path.Reserved(info.Name))
		// Without the right to list, the folders on the way to what is allowed are seen.
		seen := s.above || d.spot.allowed.Has(List) && s.allowed != 0
		if seen && !s.point {
			out = append(out, info)
		}
	}
	return out
}

func (d *folder) Close() error {
	if d.Dir == nil {
		return nil
	}
	return d.Dir.Close()
}

// Mkdir is Mkdir of vfs.FS.
func (t *Tree) Mkdir(name vfs.Path, mode fs.FileMode) error {
	s, err := t.at("mkdir", name, Mkdir)
	switch {
	case err != nil:
		return err
	case s.point:
		return vfs.Error("mkdir", name, fs.ErrExist)
	}
	return s.back(s.mount.FS.Mkdir(s.inner, mode))
}

// Rmdir is Rmdir of vfs.FS.
func (t *Tree) Rmdir(name vfs.Path) error {
	s, err := t.at("rmdir", name, Rmdir)
	switch {
	case err != nil:
		return err
	case s.point:
		return vfs.Error("rmdir", name, fs.ErrPermission)
	}
	return s.back(s.mount.FS.Rmdir(s.inner))
}

// Remove is Remove of vfs.FS.
func (t *Tree) Remove(name vfs.Path) error {
	s, err := t.at("remove", name, Delete)
	if err != nil {
		return err
	}
	info, err := s.mount.FS.Lstat(s.inner)
	if err == nil {
		err = s.mount.FS.Remove(s.inner)
	}
	if err != nil {
		return s.back(err)
	}
	s.mount.uncountFile(info)
	return nil
}

func (m *Mount) uncountFile(info vfs.Info) {
	if info.Mode.IsRegular() {
		m.uncount(info.Size, 1)
	}
}

// Rename is Rename of vfs.FS. It needs the right at both ends, at the target also that of
// making what is moved. A folder within which other rights begin stays where it is.
func (t *Tree) Rename(from, to vfs.Path, replace bool) error {
	a, err := t.at("rename", from, Rename)
	if err != nil {
		return err
	}
	b, err := t.at("rename", to, Rename)
	if err != nil {
		return err
	}
	v := t.view.Load()
	if a.point || b.point || v.ruleBelow(a.mount, from) || v.ruleBelow(b.mount, to) {
		return vfs.Error("rename", from, fs.ErrPermission)
	}
	if a.mount != b.mount {
		return vfs.Error("rename", from, vfs.ErrCrossDevice)
	}
	moved, err := a.mount.FS.Lstat(a.inner)
	if err != nil {
		return a.back(err)
	}
	target, targetErr := b.mount.FS.Lstat(b.inner)
	need := Upload
	if moved.IsDir() {
		need = Mkdir
	}
	if targetErr == nil && replace && a.inner != b.inner {
		need |= Overwrite
	}
	if !b.allowed.Has(need) {
		return vfs.Error("rename", to, fs.ErrPermission)
	}
	if err := a.mount.FS.Rename(a.inner, b.inner, replace); err != nil {
		return a.back(err)
	}
	if targetErr == nil && a.inner != b.inner {
		b.mount.uncountFile(target)
	}
	return nil
}

// SetStat is SetStat of vfs.FS. Times and modes that the user may not set are left alone
// without a word: clients send them after each upload, and take a refusal for a failed
// transfer.
func (t *Tree) SetStat(name vfs.Path, c vfs.Change) error {
	s, err := t.at("setstat", name, 0)
	if err != nil {
		return err
	}
	if c.Size != nil {
		if err := s.resize(*c.Size); err != nil {
			return err
		}
		c.Size = nil
	}
	if c = s.may(c); c == (vfs.Change{}) {
		return nil
	}
	return s.back(s.mount.FS.SetStat(s.inner, c))
}

// resize sets the size by name: opening and closing would say that an upload is done.
func (s spot) resize(size int64) error {
	info, err := s.mount.FS.Stat(s.inner)
	if err != nil {
		return s.back(err)
	}
	may := s.allowed.Has(Overwrite) || size >= info.Size && s.allowed.Has(Append)
	if !may {
		return vfs.Error("truncate", s.path, fs.ErrPermission)
	}
	if err := s.mount.count(max(0, size-info.Size), 0); err != nil {
		return vfs.Error("truncate", s.path, err)
	}
	if err := s.mount.FS.SetStat(s.inner, vfs.Change{Size: &size}); err != nil {
		s.mount.uncount(max(0, size-info.Size), 0)
		return s.back(err)
	}
	s.mount.uncount(max(0, info.Size-size), 0)
	return nil
}

// may leaves of c what the user may set.
func (s spot) may(c vfs.Change) vfs.Change {
	if !s.allowed.Has(SetMode) {
		c.Mode = nil
	}
	if !s.allowed.Has(SetTimes) {
		c.AccessTime, c.ModTime = nil, nil
	}
	return c
}

// Symlink is Symlink of vfs.FS.
func (t *Tree) Symlink(target string, name vfs.Path) error {
	s, err := t.at("symlink", name, Link)
	switch {
	case err != nil:
		return err
	case s.point:
		return vfs.Error("symlink", name, fs.ErrExist)
	}
	return s.back(s.mount.FS.Symlink(target, s.inner))
}

// Readlink is Readlink of vfs.FS.
func (t *Tree) Readlink(name vfs.Path) (string, error) {
	s, err := t.at("readlink", name, 0)
	if err != nil {
		return "", err
	}
	target, err := s.mount.FS.Readlink(s.inner)
	return target, s.back(err)
}
