package convert

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
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
	// Doubtful tells that it is not marked as encrypted, and that something says it may be.
	Doubtful   bool
	Root       string
	Soft, Hard int64
	Raw        string
	// Recover says how the files of an encrypted one are brought out of it.
	Recover string
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
	if first, twice := s.vfs[old.ID]; twice {
		item.Drop(report.Duplicates, fmt.Sprintf("another VFS has the ID %.80q, and nothing tells which one its users have", old.ID), "make it anew, and give it to its users")
		if first.fate != encrypted {
			first.fate, first.why = lost, "which is there twice"
			s.vfs[old.ID] = first
		}
		return nil
	}
	if old.Encrypted {
		s.vfs[old.ID] = storage{name: name, fate: encrypted}
		item.Drop(report.EncryptedVFS, fmt.Sprintf("it is encrypted in the old way; its files in %.200q stay as they are", shownRoot(old.Root)),
			cmp.Or(old.Recover, "bring the files out of the old server")+", make a new encrypted VFS, and upload them again")
		return nil
	}
	root, path, odd := parametric(strings.TrimSpace(old.Root))
	v := &model.VFS{
		Head: model.Head{Name: name}, Site: s.Name, Type: model.VFSDisk, Root: root,
		Description: textOf(item, "description", old.Description), Quota: quota(item, old.Soft, old.Hard),
	}
	why := ""
	switch {
	case old.Doubtful:
		why = "it is not marked as encrypted, and has a passphrase: its files may be"
	case !old.Disk:
		why = fmt.Sprintf("storage of the kind %.40q is not served here", old.Type)
	case odd != "":
		why = fmt.Sprintf("nothing is known here that %.60q in its folder %.200q stands for", odd, shownRoot(old.Root))
	case !s.rootFits(v) || path != "" && !model.IsPath(path), s.c.opt.Windows() && strings.HasPrefix(root, "/"):
		why = fmt.Sprintf("%.200q is not a folder of this machine", shownRoot(old.Root))
	case s.c.opt.Own != nil && s.c.opt.Own(v.Root) != nil:
		why = s.c.opt.Own(v.Root).Error()
	}
	if why != "" {
		s.vfs[old.ID] = storage{name: name, fate: inert, why: why}
		item.Lose(report.Kept, report.VFSType, why, "make a VFS with a folder of this machine, and change its users to it")
		return s.c.keep(s.Name, "vfs", name, old.Raw)
	}
	v.Name = s.c.unique(item, model.KindVFS, s.Name, name)
	root = v.Root
	became := storage{name: v.Name, path: path}
	s.folder(item, &became, root)
	if err := s.c.give(item, v, nil); err != nil {
		return err
	}
	if path != "" {
		item.Change(report.VFSType, fmt.Sprintf("each user has the own folder %.200q in %.200q", path, root), "")
	}
	if item.Dropped() {
		became = storage{name: name, fate: lost, why: "which could not be taken over"}
	}
	if s.vfs[old.ID] = became; became.fate == usable {
		s.c.reaches(root)
	}
	return nil
}

// folder compares a VFS's folder with the machine. One of Windows cannot be on another
// system: the VFS is there, lets nobody in, and needs no more than another folder.
func (s *Site) folder(item *report.Item, became *storage, root string) {
	switch {
	case !s.c.opt.Windows() && !strings.HasPrefix(root, "/"):
		became.fate, became.why = foreign, fmt.Sprintf("whose folder %.200q is one of Windows", root)
		item.Lose(report.Action, report.VFSType, fmt.Sprintf("its folder %.200q is one of Windows, and this machine has another system; until it has another folder nobody can use it", root),
			"copy the files, and change the folder of the VFS")
	case s.c.opt.Folder != nil && !s.c.opt.Folder(root):
		item.Action(report.VFSType, fmt.Sprintf("its folder %.200q is not there on this machine", root), "make it and copy the files, or change the folder of the VFS")
	default:
		s.c.within(root, func(why, cure string) { item.Lose(report.Action, report.VFSType, why, cure) },
			func(why, cure string) { item.Action(report.VFSType, why, cure) })
	}
}

// within looks into a folder of this machine as the server will.
func (c *Conversion) within(root string, lose, tell func(why, cure string)) {
	if c.opt.Access != nil {
		if why, cure := c.opt.Access(root); why != "" {
			lose(why, cure)
			return
		}
	}
	if c.opt.Empty != nil {
		if why, cure := c.opt.Empty(root); why != "" {
			tell(why, cure)
		}
	}
}

// userMarks are how a folder is written that has the user's name, otherMarks what else may
// stand for something in it.
var (
	userMarks  = regexp.MustCompile(`(?i)%(user|username)%|\$?\{(user|username)\}|\[(user|username)\]|<(user|username)>`)
	otherMarks = regexp.MustCompile(`%[A-Za-z_]+%|\$?\{[A-Za-z_.]+\}|<[A-Za-z_ .]+>|\$\([A-Za-z_.]+\)`)
)

// parametric takes the user's name, and what is below, from a folder: it belongs into the
// path. odd is what else stands for something that is not known here.
func parametric(root string) (folder, path, odd string) {
	folder = root
	if at := userMarks.FindStringIndex(root); at != nil {
		cut := strings.LastIndexAny(root[:at[0]], `/\`) + 1
		folder = root[:cut]
		path = model.CanonicalPath(strings.ReplaceAll(userMarks.ReplaceAllLiteralString(root[cut:], model.UserMark), `\`, "/"))
		if plain := strings.TrimRight(folder, `/\`); plain != "" && !strings.HasSuffix(plain, ":") {
			folder = plain
		}
	}
	return folder, path, otherMarks.FindString(folder + strings.ReplaceAll(path, model.UserMark, ""))
}

// rootFits tries whether the model takes the folder, and gives it its one form.
func (s *Site) rootFits(v *model.VFS) bool {
	try := &model.VFS{Head: model.Head{Name: "x"}, Site: s.Name, Root: v.Root}
	try.Normalize()
	v.Root = try.Root
	return try.Validate() == nil
}

// shownRoot is where a VFS lies, without the password that an address of another server
// may have.
func shownRoot(root string) string {
	if scheme, rest, ok := strings.Cut(root, "://"); ok {
		return scheme + "://" + withoutUser(rest)
	}
	return root
}

// withoutUser is HOST of USER:PASSWORD@HOST.
func withoutUser(host string) string {
	end := strings.IndexAny(host, `/\?#`)
	if end < 0 {
		end = len(host)
	}
	return host[strings.LastIndexByte(host[:end], '@')+1:]
}

// maxReached is how many folders of the machine are told by name.
const maxReached = 200

// reaches notes a folder of this machine that users reach, unless VFSs usually lie there.
func (c *Conversion) reaches(root string) {
	if c.opt.Files != "" && (root == c.opt.Files || strings.HasPrefix(root, strings.TrimRight(c.opt.Files, `/\`)+string(filepath.Separator))) {
		return
	}
	c.reached[root] = true
}

// tellReached names the folders that users reach from now on: whoever made the backup
// chose them.
func (c *Conversion) tellReached() {
	if len(c.reached) == 0 {
		return
	}
	all := slices.Sorted(maps.Keys(c.reached))
	more := ""
	if n := len(all) - maxReached; n > 0 {
		all, more = all[:maxReached], fmt.Sprintf(", and %d more", n)
	}
	c.report.Warn(report.VFSType, "users reach these folders of this machine: "+strings.Join(all, ", ")+more, "look whether each of them is meant")
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
			l.noHome = fmt.Sprintf("its home is in the VFS %.80q, %s", v.name, v.why)
		default:
			l.home = model.Folder{VFS: v.name, Path: v.path + home.Path, Permissions: home.Permissions}
		}
		if v.fate == foreign {
			item.Lose(report.Action, report.VFSType, fmt.Sprintf("its home is in the VFS %.80q, %s", v.name, v.why), "change the folder of the VFS")
		}
	}
	for _, f := range folders {
		s.virtual(item, &l, f)
	}
	return l
}

func (s *Site) virtual(item *report.Item, l *layout, f Folder) {
	v, ok := s.vfs[f.VFS]
	mount := model.CanonicalPath(strings.ReplaceAll(f.Mount, `\`, "/"))
	drop := func(rule report.Rule, why string) {
		item.Lose(report.Changed, rule, fmt.Sprintf("it has no folder %.80q any more: %s", f.Mount, why), "give it a folder of another VFS")
	}
	switch {
	case !ok:
		drop(report.References, "the source does not have its VFS")
	case v.fate == lost:
		drop(report.References, fmt.Sprintf("it is in the VFS %.80q, %s", v.name, v.why))
	case v.fate == inert:
		l.partly = true
		drop(report.VFSType, fmt.Sprintf("the VFS %.80q is not served here", v.name))
	case mount == "/" || !model.IsPath(mount):
		drop(report.NotValid, "that is no path for a folder")
	case slices.ContainsFunc(l.folders, func(o model.VirtualFolder) bool { return model.Fold(o.Mount) == model.Fold(mount) }):
		drop(report.Duplicates, "another folder has that path")
	default:
		if v.fate == foreign {
			item.Lose(report.Action, report.VFSType, fmt.Sprintf("its folder %.80q is in the VFS %.80q, %s", mount, v.name, v.why), "change the folder of the VFS")
		}
		l.folders = append(l.folders, model.VirtualFolder{
			Mount: mount, Hidden: f.Hidden,
			Folder: model.Folder{VFS: v.name, Path: v.path + f.Path, Permissions: f.Permissions},
		})
	}
}
