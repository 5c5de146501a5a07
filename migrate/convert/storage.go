package convert

import (
	"fmt"
	"slices"
	"strings"

	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// Storage is a VFS.
type Storage struct {
	ID, Name, Description string
	// Type is as the old product calls it.
	Type string
	// Disk tells a folder of the machine, Encrypted one whose files are.
	Disk, Encrypted bool
	Root            string
	Soft, Hard      int64
	Raw             string
}

// VFS takes over a place for files. All of a site come before its groups and users.
func (s *Site) VFS(old Storage) error {
	name := old.Name
	if name == "" {
		name = old.ID
	}
	item, ok := s.item(report.VFS, name)
	if !ok {
		return nil
	}
	defer item.Done()
	if old.ID == "" {
		old.ID = name
	}
	if _, twice := s.vfs[old.ID]; twice {
		item.Drop(report.Duplicates, fmt.Sprintf("another VFS has the ID %.80q", old.ID), "")
		return nil
	}
	if old.Encrypted {
		s.vfs[old.ID] = storage{name: name, fate: encrypted}
		item.Drop(report.EncryptedVFS, fmt.Sprintf("it is encrypted in the old way; its files in %.200q stay as they are", old.Root),
			"recover the files with ss-vfsdecrypt, make a new encrypted VFS, and upload them again")
		return nil
	}
	root, path := parametric(strings.TrimSpace(old.Root))
	v := &model.VFS{
		Head: model.Head{Name: name}, Site: s.Name, Type: model.VFSDisk, Root: root,
		Description: plainText(old.Description), Quota: quota(item, old.Soft, old.Hard),
	}
	why := ""
	if !old.Disk {
		why = fmt.Sprintf("storage of the kind %.40q is not served here", old.Type)
	} else if v.Root == "/" || !s.rootFits(v) {
		why = fmt.Sprintf("%.200q is not a folder of this machine", old.Root)
	}
	if why != "" {
		s.vfs[old.ID] = storage{name: name, fate: inert}
		item.Keep(report.VFSType, why, "make a VFS with a folder of this machine, and change its users to it")
		return s.c.keep(s.Name, "vfs", name, old.Raw)
	}
	v.Name = s.c.unique(item, model.KindVFS, s.Name, name)
	if err := s.c.give(item, v, nil); err != nil {
		return err
	}
	if path != "" {
		item.Change(report.VFSType, fmt.Sprintf("each user has a folder of the own name in %.200q", root), "")
	}
	s.vfs[old.ID] = storage{v.Name, usable, path}
	if item.Dropped() {
		s.vfs[old.ID] = storage{name: name, fate: lost}
	}
	return nil
}

// userMarks are how a folder is written that has the user's name, in small letters.
var userMarks = []string{"%username%", "%user%", "{username}", "{user}", "[username]", "[user]", "<username>", "<user>"}

// parametric takes the user's name from the end of a folder: it belongs into the path.
func parametric(root string) (folder, path string) {
	at := strings.LastIndexAny(root, `/\`)
	if at < 1 {
		return root, ""
	}
	for _, mark := range userMarks {
		if strings.EqualFold(root[at+1:], mark) {
			return root[:at], "/" + model.UserMark
		}
	}
	return root, ""
}

// rootFits tries whether the model takes the folder.
func (s *Site) rootFits(v *model.VFS) bool {
	try := &model.VFS{Head: model.Head{Name: "x"}, Site: s.Name, Root: v.Root}
	try.Normalize()
	return try.Validate() == nil
}

func quota(item *report.Item, soft, hard int64) model.Quota {
	if soft < 0 || hard < 0 {
		item.Change(report.Quotas, "a quota below zero is no quota", "")
		soft, hard = max(soft, 0), max(hard, 0)
	}
	if hard > 0 && soft > hard {
		item.Change(report.Quotas, fmt.Sprintf("its soft quota of %d bytes is above the hard one, and is %d now", soft, hard), "")
		soft = hard
	}
	return model.Quota{Soft: soft, Hard: hard}
}

// Folder is a place that an account sees.
type Folder struct {
	// Mount is where; the home if it is empty or "/".
	Mount string
	// VFS is the ID of the VFS, "" for none.
	VFS         string
	Path        string
	Permissions []model.Permission
	Hidden      bool
}

// layout is what became of the folders of an account.
type layout struct {
	home    model.Folder
	folders []model.VirtualFolder
	// secret names a VFS of the account that is encrypted, which is the end of the
	// account; noHome says why the home cannot be used.
	secret, noHome string
	// partly tells that something of it is only kept.
	partly bool
}

// layout resolves the folders of an account.
func (s *Site) layout(item *report.Item, home Folder, folders []Folder) layout {
	var l layout
	for _, f := range append([]Folder{home}, folders...) {
		if v, ok := s.vfs[f.VFS]; ok && v.fate == encrypted && l.secret == "" {
			l.secret = v.name
		}
	}
	if l.secret != "" {
		return l
	}
	if home.VFS != "" {
		v, ok := s.vfs[home.VFS]
		switch {
		case !ok:
			l.noHome = fmt.Sprintf("its home is in the VFS %.80q, which the source does not have", home.VFS)
		case v.fate == inert:
			l.noHome, l.partly = fmt.Sprintf("its home is in the VFS %.80q, which is not served here", v.name), true
		case v.fate == lost:
			l.noHome = fmt.Sprintf("its home is in the VFS %.80q, which could not be taken over", v.name)
		default:
			l.home = model.Folder{VFS: v.name, Path: v.path + home.Path, Permissions: home.Permissions}
		}
	}
	for _, f := range folders {
		s.virtual(item, &l, f)
	}
	return l
}

func (s *Site) virtual(item *report.Item, l *layout, f Folder) {
	v, ok := s.vfs[f.VFS]
	mount := "/" + strings.Trim(strings.ReplaceAll(f.Mount, `\`, "/"), "/")
	drop := func(rule report.Rule, why string) {
		item.Change(rule, fmt.Sprintf("it has no folder %.80q any more: %s", f.Mount, why), "give it a folder of another VFS")
	}
	switch {
	case !ok:
		drop(report.References, "the source does not have its VFS")
	case v.fate != usable:
		l.partly = true
		drop(report.VFSType, fmt.Sprintf("the VFS %.80q is not served here", v.name))
	case mount == "/" || slices.Contains(strings.Split(mount, "/"), ".."):
		drop(report.NotValid, "that is no path for a folder")
	case slices.ContainsFunc(l.folders, func(o model.VirtualFolder) bool { return model.Fold(o.Mount) == model.Fold(mount) }):
		drop(report.Duplicates, "another folder has that path")
	default:
		l.folders = append(l.folders, model.VirtualFolder{
			Mount: mount, Hidden: f.Hidden,
			Folder: model.Folder{VFS: v.name, Path: v.path + f.Path, Permissions: f.Permissions},
		})
	}
}
