package sites

import (
	"errors"
	"fmt"
	"slices"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/quota"
	"ss-setup/runtime/vfs/tree"
)

// layout is what a user sees and may, before anything is opened.
type layout struct {
	places []place
	rules  []tree.Rule
}

// place is a folder of a VFS in the user's tree.
type place struct {
	at     vfs.Path
	volume volumeConfig
	inner  vfs.Path
	deny   tree.Right
	hidden bool
	// limits are those of the VFS and, for the home, of the user.
	limits, homeLimits quota.Limits
}

// errHome is a user with nowhere to go.
var errHome = errors.New("the user has no home folder; give one, or a group that has one")

// layoutOf reads what a user sees. u has what the groups give.
func layoutOf(r *engine.Reader, u *model.User) (layout, error) {
	var l layout
	if u.Home.VFS == "" {
		return l, errHome
	}
	home, err := l.add(r, u, vfs.Root, u.Home)
	if err != nil {
		return l, err
	}
	home.homeLimits = quotaLimits(u.Quota)
	for _, f := range u.Folders {
		at, err := vfs.Parse(f.Mount, vfs.HostRules())
		if err != nil {
			return l, fmt.Errorf("virtual folder %s: %w", f.Mount, err)
		}
		p, err := l.add(r, u, at, f.Folder)
		if err != nil {
			return l, err
		}
		p.hidden = f.Hidden
	}
	for _, o := range u.Overrides {
		at, err := vfs.Parse(o.Path, vfs.HostRules())
		if err != nil {
			return l, fmt.Errorf("permissions for %s: %w", o.Path, err)
		}
		l.rules = slices.DeleteFunc(l.rules, func(rule tree.Rule) bool { return rule.At == at })
		l.rules = append(l.rules, tree.Rule{At: at, Allow: rights(o.Permissions)})
	}
	return l, nil
}

func (l *layout) add(r *engine.Reader, u *model.User, at vfs.Path, f model.Folder) (*place, error) {
	v, err := engine.VFSs.Get(r, u.Site, f.VFS)
	if err != nil {
		return nil, err
	}
	inner, err := vfs.Parse(f.At(u.Name), vfs.HostRules())
	if err != nil {
		return nil, fmt.Errorf("folder %s of VFS %s: %w", f.At(u.Name), f.VFS, err)
	}
	l.places = append(l.places, place{at: at, volume: configOf(v), inner: inner, deny: denied(v), limits: quotaLimits(v.Quota)})
	l.rules = append(l.rules, tree.Rule{At: at, Allow: rights(f.Permissions)})
	return &l.places[len(l.places)-1], nil
}

// denied are the rights that a VFS gives nobody.
func denied(v *model.VFS) (deny tree.Right) {
	if !v.Links {
		deny |= tree.Link
	}
	if v.KeepTimes {
		deny |= tree.SetTimes
	}
	if v.KeepModes {
		deny |= tree.SetMode
	}
	return deny
}

func quotaLimits(q model.Quota) quota.Limits {
	return quota.Limits{SoftBytes: q.Soft, HardBytes: q.Hard}
}

// rightsOf are what permissions of the model allow in a tree.
var rightsOf = map[model.Permission]tree.Right{
	model.PermList: tree.List, model.PermDownload: tree.Read, model.PermUpload: tree.Upload,
	model.PermOverwrite: tree.Overwrite, model.PermResume: tree.Append, model.PermDelete: tree.Delete,
	model.PermRename: tree.Rename, model.PermMkdir: tree.Mkdir, model.PermRmdir: tree.Rmdir,
	model.PermAttr: tree.SetTimes | tree.SetMode, model.PermLink: tree.Link,
}

func rights(list model.Permissions) (all tree.Right) {
	for _, p := range list {
		all |= rightsOf[p]
	}
	return all
}

// same tells that nothing has changed for whoever sees a layout.
func (l layout) same(other layout) bool {
	return slices.Equal(l.places, other.places) && slices.Equal(l.rules, other.rules)
}

// within tells that a layout gives nothing that the other does not: what was opened by it
// may stay open.
func (l layout) within(other layout) bool {
	for _, p := range l.places {
		i := slices.IndexFunc(other.places, func(o place) bool { return o.at == p.at })
		if i < 0 || other.places[i].volume != p.volume || other.places[i].inner != p.inner || other.places[i].deny&^p.deny != 0 {
			return false
		}
	}
	for _, at := range slices.Concat(l.points(), other.points()) {
		if l.rightsAt(at)&^other.rightsAt(at) != 0 {
			return false
		}
	}
	return true
}

// points are where rights begin.
func (l layout) points() []vfs.Path {
	out := make([]vfs.Path, len(l.rules))
	for i, r := range l.rules {
		out[i] = r.At
	}
	return out
}

// rightsAt are those of the nearest rule.
func (l layout) rightsAt(path vfs.Path) tree.Right {
	best, found := -1, tree.Right(0)
	for _, r := range l.rules {
		if _, ok := path.In(r.At); ok && len(r.At.Components()) > best {
			best, found = len(r.At.Components()), r.Allow
		}
	}
	return found
}
