// Package tree is what one user sees: the home folder with virtual folders in it, and of
// each path only what the user's rights allow, within quotas and speed limits. It is the
// one vfs.FS that a protocol needs.
//
// Rights hang on paths of this tree: the rule of the nearest folder counts, alone. They
// are asked for by the path that the user names and, where a link lies on it, by the one
// that it leads to.
package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/quota"
	"ss-setup/runtime/vfs/speed"
)

// Right is what a user may do at a path; several are added by |.
type Right uint16

// The rights.
const (
	List      Right = 1 << iota // see what is in a folder
	Read                        // read files
	Upload                      // create files
	Append                      // add to files, which is how uploads are resumed
	Overwrite                   // change and replace files that are there
	Delete                      // remove files and links
	Rmdir                       // remove empty folders
	Rename                      // move away from here, and to here
	Mkdir                       // make folders
	SetTimes                    // set times of files
	SetMode                     // set modes of files
	Link                        // make symbolic links

	All = List | Read | Upload | Append | Overwrite | Delete | Rmdir | Rename | Mkdir | SetTimes | SetMode | Link
)

// Has says whether all of need is there.
func (r Right) Has(need Right) bool { return r&need == need }

// Rule gives rights at a path and below it, up to where another rule begins.
type Rule struct {
	At    vfs.Path
	Allow Right
}

// Mount is a folder of a VFS at its place in the tree. The one at the root is the home.
type Mount struct {
	At vfs.Path
	FS vfs.FS
	// Folds says that the VFS takes upper and lower case for one.
	Folds bool
	// Quotas are all that what is stored here counts for.
	Quotas []*quota.Account
	// Deny are rights that no rule gives here.
	Deny Right
	// Hidden leaves the mount out of listings; who knows its path gets in.
	Hidden bool
}

// View is what a user sees. Rules without one for the root give nothing there.
type View struct {
	Mounts []Mount
	Rules  []Rule
	// Up and Down limit the speed of what is written and read; nil is no limit.
	Up, Down *speed.Limiter
}

// Tree is the vfs.FS of one session.
type Tree struct {
	ctx  context.Context
	view atomic.Pointer[View]
}

var _ vfs.FS = (*Tree)(nil)

// New makes the tree of a session; ctx ends with the session, and with it whoever waits
// for a speed limit.
func New(ctx context.Context, v View) (*Tree, error) {
	t := &Tree{ctx: ctx}
	return t, t.Replace(v)
}

// Replace changes what the user sees and may. Files that are open stay open; whoever
// wants them closed ends the session.
func (t *Tree) Replace(v View) error {
	v = v.ordered()
	for i, m := range v.Mounts {
		if m.FS == nil {
			return fmt.Errorf("virtual folder %s has no VFS", m.At)
		}
		if i > 0 && v.Mounts[i-1].At == m.At {
			return fmt.Errorf("two virtual folders at %s", m.At)
		}
	}
	if len(v.Mounts) == 0 || !v.Mounts[len(v.Mounts)-1].At.IsRoot() {
		return errors.New("user has no home folder")
	}
	t.view.Store(&v)
	for i := range v.Mounts {
		if f, ok := v.Mounts[i].FS.(vfs.Freer); ok {
			f.OnFreed(v.Mounts[i].uncount)
		}
	}
	return nil
}

// ordered has the deepest first: the first that fits is the nearest.
func (v View) ordered() View {
	v.Mounts, v.Rules = slices.Clone(v.Mounts), slices.Clone(v.Rules)
	slices.SortStableFunc(v.Mounts, func(a, b Mount) int { return deeper(a.At, b.At) })
	slices.SortStableFunc(v.Rules, func(a, b Rule) int { return deeper(a.At, b.At) })
	return v
}

// Place is where a path lies, and what may be done there.
type Place struct {
	Mount vfs.Path
	Inner vfs.Path // in the mount
	Rule  vfs.Path // the rights of which path hold
	// Given is what the rule allows, Allowed what is left of it by the mount.
	Given, Allowed Right
}

// Where tells of a path what a tree would, but for links that lie on it: the mounts need no
// VFS. The view has a mount at the root.
func (v View) Where(path vfs.Path) Place {
	v = v.ordered()
	s := v.find(path)
	p := Place{Mount: s.mount.At, Inner: s.inner, Given: v.rights(s.mount, path), Allowed: s.allowed}
	for _, r := range v.Rules {
		if _, ok := within(path, r.At, s.mount.Folds); ok {
			p.Rule = r.At
			break
		}
	}
	return p
}

func deeper(a, b vfs.Path) int {
	return cmp.Or(cmp.Compare(len(b.Components()), len(a.Components())), cmp.Compare(a.String(), b.String()))
}

// spot is a path, where it lies, and what the user may there.
type spot struct {
	path    vfs.Path // in the tree
	inner   vfs.Path // in the mount
	mount   *Mount
	allowed Right
	// above says that something the user may see lies below.
	above bool
	// point says that it is where a mount begins, or a folder that is there only because
	// a mount lies below it.
	point bool
}

// at finds path. op and need are what is tried: fs.ErrPermission where the user may see
// the path but not that, fs.ErrNotExist where it is none of the user's.
func (t *Tree) at(op string, path vfs.Path, need Right) (spot, error) {
	v := t.view.Load()
	s := v.find(path)
	if len(v.Rules) > 1 {
		real, err := resolve(s)
		if err != nil {
			return s, vfs.Error(op, path, err)
		}
		if real != s.inner {
			s.allowed &= v.rights(s.mount, real.Under(s.mount.At))
		}
	}
	switch {
	case s.allowed == 0 && !s.above:
		return s, vfs.Error(op, path, fs.ErrNotExist)
	case !s.allowed.Has(need):
		return s, vfs.Error(op, path, fs.ErrPermission)
	}
	return s, nil
}

func (v *View) find(path vfs.Path) spot {
	s := spot{path: path}
	for i := range v.Mounts {
		m := &v.Mounts[i]
		if rest, ok := within(path, m.At, v.home().Folds); ok && s.mount == nil {
			s.mount, s.inner = m, rest
		}
		if _, ok := within(m.At, path, v.home().Folds); ok {
			s.point = true
		}
	}
	s.allowed = v.rights(s.mount, path) &^ s.mount.Deny
	for _, r := range v.Rules {
		if _, ok := within(r.At, path, s.mount.Folds); ok && r.Allow != 0 {
			s.above = true
		}
	}
	return s
}

func (v *View) home() *Mount { return &v.Mounts[len(v.Mounts)-1] }

// rights are those of the nearest rule.
func (v *View) rights(m *Mount, path vfs.Path) Right {
	for _, r := range v.Rules {
		if _, ok := within(path, r.At, m.Folds); ok {
			return r.Allow
		}
	}
	return 0
}

// within says whether path is dir or below it, and where, compared as the VFS does.
func within(path, dir vfs.Path, folds bool) (rest vfs.Path, ok bool) {
	if rest, ok := path.In(dir); ok || !folds {
		return rest, ok
	}
	if _, ok := path.Fold().In(dir.Fold()); !ok {
		return vfs.Root, false
	}
	rest = vfs.Root
	for _, name := range path.Components()[len(dir.Components()):] {
		rest = rest.Reserved(name)
	}
	return rest, true
}

// ruleBelow says whether other rights begin somewhere below path.
func (v *View) ruleBelow(m *Mount, path vfs.Path) bool {
	return slices.ContainsFunc(v.Rules, func(r Rule) bool {
		rest, ok := within(r.At, path, m.Folds)
		return ok && !rest.IsRoot()
	})
}

// maxLinks bounds the links on the way to a file, as systems do.
const maxLinks = 40

// resolve is where a path leads in its mount, if links lie on it. It is for rights alone:
// that nothing leads out of the VFS is the VFS's own care.
func resolve(s spot) (vfs.Path, error) {
	todo := s.inner.Components()
	var done []string
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			done = done[:max(0, len(done)-1)]
			continue
		}
		next := vfs.Root.Reserved(append(slices.Clone(done), name)...)
		info, err := s.mount.FS.Lstat(next)
		if err != nil || info.Mode&fs.ModeSymlink == 0 {
			// What is not there is no link; why it is not is the operation's to say.
			done = append(done, name)
			continue
		}
		if links++; links > maxLinks {
			return vfs.Root, fmt.Errorf("%w: too many links", vfs.ErrBadPath)
		}
		target, err := s.mount.FS.Readlink(next)
		if err != nil {
			return vfs.Root, err
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return vfs.Root.Reserved(done...), nil
}

// back gives errors of a mount the names of the tree.
func (s spot) back(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return vfs.Error(pathErr.Op, s.path, pathErr.Err)
	}
	return err
}

// full tells that no upload may begin.
func (m *Mount) full() bool {
	return slices.ContainsFunc(m.Quotas, (*quota.Account).Full)
}

// count adds to all quotas of the mount, or to none.
func (m *Mount) count(bytes, files int64) error {
	for i, q := range m.Quotas {
		if err := q.Add(bytes, files); err != nil {
			for _, earlier := range m.Quotas[:i] {
				// Less is always taken.
				_ = earlier.Add(-bytes, -files)
			}
			return err
		}
	}
	return nil
}

// uncount takes away what is gone. Where that cannot be noted the count is not relied on
// after a restart either.
func (m *Mount) uncount(bytes, files int64) {
	for _, q := range m.Quotas {
		_ = q.Add(-bytes, -files)
	}
}

// StatFS is StatFS of vfs.FS: the room is that of the tightest quota, or the disk's.
func (t *Tree) StatFS(name vfs.Path) (vfs.Space, error) {
	s, err := t.at("statvfs", name, 0)
	if err != nil {
		return vfs.Space{}, err
	}
	space, err := s.mount.FS.StatFS(s.inner)
	if err != nil {
		return space, s.back(err)
	}
	for _, q := range s.mount.Quotas {
		total, left := q.Left()
		space.Total, space.Free = min(space.Total, total.Bytes), min(space.Free, left.Bytes)
		space.Files, space.FreeFiles = min(space.Files, total.Files), min(space.FreeFiles, left.Files)
	}
	return space, nil
}
