package filezilla

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"

	"ss-setup/migrate/convert"
	"ss-setup/migrate/report"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/model"
)

// option is a value with a name, as versions 0.9 write nearly everything.
type option struct {
	Name string `xml:"Name,attr"`
	Text string `xml:",chardata"`
}

// oldAccount is a User or Group of versions 0.9.
type oldAccount struct {
	Name       string   `xml:"Name,attr"`
	Options    []option `xml:"Option"`
	Disallowed []string `xml:"IpFilter>Disallowed>IP"`
	Allowed    []string `xml:"IpFilter>Allowed>IP"`
	Dirs       []oldDir `xml:"Permissions>Permission"`
	Speed      struct {
		DownType  string `xml:"DlType,attr"`
		DownLimit string `xml:"DlLimit,attr"`
		UpType    string `xml:"UlType,attr"`
		UpLimit   string `xml:"UlLimit,attr"`
	} `xml:"SpeedLimits"`
	Others []other `xml:",any"`
}

// oldDir is a folder with what may be done there.
type oldDir struct {
	Dir     string   `xml:"Dir,attr"`
	Options []option `xml:"Option"`
	Aliases []string `xml:"Aliases>Alias"`
}

// other is an element that nobody here knows.
type other struct {
	XMLName xml.Name
}

func (a *oldAccount) option(name string) string {
	for _, o := range a.Options {
		if strings.EqualFold(o.Name, name) {
			return strings.TrimSpace(o.Text)
		}
	}
	return ""
}

// known are the options of accounts that are read here; the others are counted.
var known = map[string]string{
	"pass": "", "salt": "", "group": "", "ip limit": "", "enabled": "", "comments": "", "user limit": "",
	"bypass server userlimit": "it concerns FTP", "forcessl": "SFTP is always encrypted", "8plus3": "",
}

func (i *run) oldAccount(old *oldAccount, group bool) error {
	a := &convert.Account{Name: old.Name, Description: old.option("Comments")}
	at := "User"
	if group {
		a.Sort, at = convert.LocalGroup, "Group"
	} else {
		a.Password = oldPassword(old.option("Pass"), old.option("Salt"))
		if old.option("Pass") == "" {
			a.Locks = append(a.Locks, convert.Lock{Rule: report.Passwords, Why: "it could log in without a password", Cure: "give it one and enable it"})
		}
		if g := old.option("Group"); g != "" {
			a.Groups = []string{g}
		}
	}
	for _, o := range old.Options {
		why, ok := known[strings.ToLower(o.Name)]
		switch {
		case !ok:
			i.r.Unknown(at + "." + short(o.Name))
		case why != "" && o.Text != "" && o.Text != "0":
			i.r.LeftOut(at+"."+short(o.Name), why)
		}
	}
	for _, o := range old.Others {
		i.r.Unknown(at + "." + short(o.XMLName.Local))
	}
	// 2 stands for what the group says.
	if enabled := old.option("Enabled"); enabled == "0" {
		a.Disabled = true
	} else if enabled != "" && enabled != "1" && enabled != "2" {
		a.Status = enabled
	}
	a.MaxSessions, _ = strconv.ParseInt(old.option("User Limit"), 10, 64)
	i.addresses(a, old.Allowed, old.Disallowed)
	i.oldSpeed(a, old)
	return i.oldFolders(a, old)
}

// exceptions are the lists in the order of convert: here an address is kept out if it is
// forbidden and not allowed.
func exceptions(allowed, forbidden []string) (allow, deny []string) {
	if len(forbidden) == 0 {
		return nil, nil // then everybody gets in
	}
	all, _, bad := convert.Except(nil, forbidden)
	if len(bad) > 0 {
		return nil, bad
	}
	for _, n := range all {
		allow = append(allow, n.Text)
	}
	allow = append(allow, allowed...)
	if len(allow) == 0 {
		return nil, []string{"*"}
	}
	return allow, nil
}

// addresses bounds where an account may come from: a user as his groups say, too.
func (i *run) addresses(a *convert.Account, allowed, forbidden []string) {
	allow, deny := exceptions(allowed, forbidden)
	if a.Sort == convert.LocalGroup {
		if len(deny) == 0 && len(allow) > 0 {
			i.allowed[a.Name] = allow
		}
		a.Addresses(allow, deny)
		return
	}
	for _, group := range a.Groups {
		if of := i.allowed[group]; len(of) > 0 {
			// Everybody but those whom the group lets in is kept out.
			others, _, _ := convert.Except(nil, of)
			for _, n := range others {
				deny = append(deny, n.Text)
			}
		}
	}
	a.Addresses(allow, deny)
}

// Sorts of speed limits.
const constantSpeed, speedByRules = "2", "3"

func (i *run) oldSpeed(a *convert.Account, old *oldAccount) {
	var s convert.Speed
	if old.Speed.DownType == constantSpeed {
		s.Down = kilobytes(old.Speed.DownLimit)
	}
	if old.Speed.UpType == constantSpeed {
		s.Up = kilobytes(old.Speed.UpLimit)
	}
	if s != (convert.Speed{}) {
		a.Speed = append(a.Speed, s)
	}
	if old.Speed.DownType == speedByRules || old.Speed.UpType == speedByRules {
		a.Notes = append(a.Notes, convert.Lock{Rule: report.OtherSettings, Why: "its limits of speed for certain times are not kept", Cure: "give it one limit if it needs one"})
	}
}

// kilobytes are bytes; what is no number is no limit.
func kilobytes(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return 0
	}
	return n << 10
}

// oldPassword is the MD5 of the password, or the SHA-512 of it and the salt.
func oldPassword(sum, salt string) convert.Password {
	if sum == "" {
		return convert.Password{}
	}
	d := auth.DigestMD5
	if salt != "" {
		d = auth.DigestSHA512
	}
	hash, ok := auth.DigestHash(d, []byte(salt), strings.ToLower(sum))
	if !ok {
		return convert.Password{Scheme: convert.Foreign, Hash: "?"}
	}
	return convert.Password{Hash: hash}
}

// yes tells whether an option of a folder is on.
func (d *oldDir) yes(name string) bool {
	for _, o := range d.Options {
		if strings.EqualFold(o.Name, name) {
			return strings.TrimSpace(o.Text) == "1"
		}
	}
	return false
}

// permissions of a folder. Replacing and renaming a file took the right to delete.
func (d *oldDir) permissions() (out []model.Permission) {
	for _, p := range []struct {
		on   bool
		perm []model.Permission
	}{
		{d.yes("DirList"), []model.Permission{model.PermList}},
		{d.yes("FileRead"), []model.Permission{model.PermDownload}},
		{d.yes("FileWrite"), []model.Permission{model.PermUpload, model.PermAttr}},
		{d.yes("FileAppend"), []model.Permission{model.PermResume}},
		{d.yes("FileDelete"), []model.Permission{model.PermDelete}},
		{d.yes("FileWrite") && d.yes("FileDelete"), []model.Permission{model.PermOverwrite}},
		{d.yes("FileWrite") && d.yes("FileDelete") && d.yes("DirCreate") && d.yes("DirDelete"), []model.Permission{model.PermRename}},
		{d.yes("DirCreate"), []model.Permission{model.PermMkdir}},
		{d.yes("DirDelete"), []model.Permission{model.PermRmdir}},
	} {
		if p.on {
			out = append(out, p.perm...)
		}
	}
	return out
}

// oldFolders: one folder is the home. One below it has permissions of its own; one
// elsewhere is seen under its aliases.
func (i *run) oldFolders(a *convert.Account, old *oldAccount) error {
	home := ""
	for n := range old.Dirs {
		d := &old.Dirs[n]
		if !d.yes("IsHome") {
			continue
		}
		if home != "" {
			a.Notes = append(a.Notes, convert.Lock{Rule: report.Duplicates, Why: "it has two homes; the first one counts", Cure: "look at its folders"})
			break
		}
		home = d.Dir
		place, err := i.site.Place(nativeOld(d.Dir))
		if err != nil {
			return err
		}
		place.Permissions = d.permissions()
		a.Home = place
	}
	for n := range old.Dirs {
		d := &old.Dirs[n]
		if !d.yes("DirSubdirs") {
			a.Locks = append(a.Locks, convert.Lock{Rule: report.Rights, Why: fmt.Sprintf("its rights in %.120q were for that folder and none below, which is not known here", d.Dir), Cure: "look at its folders and enable it"})
		}
		if err := i.oldFolder(a, d, home); err != nil {
			return err
		}
	}
	return i.accounts.Give(a)
}

func (i *run) oldFolder(a *convert.Account, d *oldDir, home string) error {
	if !d.yes("IsHome") && home != "" {
		if below, ok := cutFolder(d.Dir, home); ok {
			a.Overrides = append(a.Overrides, convert.Override{Path: below, Permissions: d.permissions()})
			return nil
		}
	}
	if d.yes("IsHome") && len(d.Aliases) == 0 {
		return nil
	}
	if len(d.Aliases) == 0 {
		a.Notes = append(a.Notes, convert.Lock{Rule: report.References, Why: fmt.Sprintf("its folder %.120q has no name that it could be seen under", d.Dir), Cure: "give it a folder for it if it needs one"})
		return nil
	}
	for _, alias := range d.Aliases {
		place, err := i.site.Place(nativeOld(d.Dir))
		if err != nil {
			return err
		}
		place.Mount, place.Permissions = strings.ReplaceAll(strings.TrimSpace(alias), ":u", a.Name), d.permissions()
		a.Folders = append(a.Folders, place)
	}
	return nil
}

// cutFolder is the path of a folder below another; Windows does not look at case.
func cutFolder(dir, home string) (below string, ok bool) {
	slashes := func(p string) string { return strings.TrimRight(strings.ReplaceAll(p, `\`, "/"), "/") }
	dir, home = slashes(dir), slashes(home)
	if len(dir) <= len(home)+1 || dir[len(home)] != '/' || !strings.EqualFold(dir[:len(home)], home) {
		return "", false
	}
	return dir[len(home):], true
}

// nativeOld writes the user's name in a folder as it is here; nothing stands for that of
// the group.
func nativeOld(dir string) string {
	return strings.NewReplacer(":u", model.UserMark, ":U", model.UserMark, ":g", "<group>", ":G", "<group>").Replace(dir)
}
