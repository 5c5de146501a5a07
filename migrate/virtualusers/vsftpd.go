package virtualusers

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// usual is what a user of an FTP server may do with what is his.
func usual() []model.Permission { return model.UsualPermissions() }

// settings are those of a vsftpd.conf, in small letters.
type settings map[string]string

// over is s laid over the others.
func (s settings) over(others settings) settings {
	out := settings{}
	for _, from := range []settings{others, s} {
		for key, value := range from {
			out[key] = value
		}
	}
	return out
}

// yes is a switch, or what it is when nobody sets it.
func (s settings) yes(name string, otherwise bool) bool {
	switch strings.ToUpper(s[name]) {
	case "YES", "TRUE", "1":
		return true
	case "NO", "FALSE", "0":
		return false
	}
	return otherwise
}

// readSettings reads a vsftpd.conf.
func readSettings(ctx context.Context, e *archive.Entry) (settings, error) {
	out := settings{}
	err := eachLine(ctx, e, func(_ int, line string) error {
		if key, value, ok := strings.Cut(line, "="); ok && len(out) < 1000 {
			out[strings.ToLower(strings.TrimSpace(key))] = value
		}
		return nil
	})
	return out, err
}

// vsftpd is an opened configuration.
type vsftpd struct {
	config    *archive.Entry
	passwords []*archive.Entry
	file      *archive.File
	// logins are names and passwords by turns, in the clear.
	logins bool
	// unlisted tells that the list of who may log in, or may not, is not there.
	unlisted bool
}

// OpenVsftpd recognises the password file of pam_pwdfile, by itself or beside vsftpd.conf.
// archive.ErrNotBackup says that there is none.
func OpenVsftpd(_ context.Context, f *archive.File) (importer.Source, error) {
	if !f.Zip && !f.Text {
		return nil, fmt.Errorf("%w: it is no text", archive.ErrNotBackup)
	}
	v := &vsftpd{file: f}
	for _, e := range f.Entries {
		if path.Base(e.Name) == "vsftpd.conf" {
			v.config = e
			continue
		}
		ok, err := looksLike(e, func(fields []string) bool { return len(fields) >= 2 && len(fields) <= 4 && fields[0] != "" })
		if err != nil {
			return nil, err
		}
		if ok {
			v.passwords = append(v.passwords, e)
		}
	}
	if len(v.passwords) == 0 {
		return nil, fmt.Errorf("%w: it has no password file of vsftpd: lines NAME:HASH", archive.ErrNotBackup)
	}
	return v.source("vsftpd-pwdfile"), nil
}

// OpenLogins reads the text that vsftpd's database of users is made of: a name, and the
// password on the next line. Nothing tells such a file from another text.
func OpenLogins(_ context.Context, f *archive.File) (importer.Source, error) {
	v := &vsftpd{file: f, logins: true}
	for _, e := range f.Entries {
		if path.Base(e.Name) == "vsftpd.conf" {
			v.config = e
		} else if !f.Zip || e.Ext() == ".txt" {
			v.passwords = append(v.passwords, e)
		}
	}
	if len(v.passwords) == 0 {
		return nil, fmt.Errorf("%w: it has no text with names and passwords", archive.ErrNotBackup)
	}
	return v.source("vsftpd-logins"), nil
}

func (v *vsftpd) source(container string) importer.Source {
	return &source{product: "vsftpd", container: container, file: v.file, run: v.run}
}

func (v *vsftpd) run(i *run) error {
	all := settings{}
	if v.config != nil {
		var err error
		if all, err = readSettings(i.ctx, v.config); err != nil {
			return err
		}
	} else {
		i.r.Warn(report.OtherSettings, "vsftpd.conf is not there, so nothing says where the files of the users are and what they may do", "import a folder with vsftpd.conf, the folder of user_config_dir and the password file")
	}
	listed, known, err := v.userList(i, all)
	if err != nil {
		return err
	}
	v.leave(i, all)
	for _, e := range v.passwords {
		err := v.each(i, e, func(name string, p convert.Password, locked bool) error {
			a := &convert.Account{Name: name, Password: p, Disabled: locked}
			own, err := v.own(i, all, name)
			if err != nil {
				return err
			}
			if known && listed[name] == all.yes("userlist_deny", true) {
				a.Disabled = true
			}
			if v.unlisted {
				a.Locks = append(a.Locks, convert.Lock{Rule: report.Lists, Why: "the list of users who may or may not log in is not there", Cure: "enable it if it may"})
			}
			if err := v.account(i, a, own.over(all)); err != nil {
				return err
			}
			return i.accounts.Give(a)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// each reads the names and passwords of a file.
func (v *vsftpd) each(i *run, e *archive.Entry, take func(name string, p convert.Password, locked bool) error) error {
	count, before := 0, ""
	err := eachLine(i.ctx, e, func(n int, line string) error {
		if count++; count > maxUsers {
			return fmt.Errorf("%w: %s has more than %d lines", archive.ErrHostile, e.Name, maxUsers)
		}
		if v.logins {
			if before == "" {
				before = line
				return nil
			}
			name := before
			before = ""
			return take(name, convert.Password{Scheme: convert.Clear, Hash: line}, false)
		}
		name, rest, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			i.site.Drop(report.User, fmt.Sprintf("line %d", n), report.NotUnderstood, "it is no line of a password file", "put it right, or make the user anew")
			return nil
		}
		hash, _, _ := strings.Cut(rest, ":")
		p, locked := password(hash)
		return take(name, p, locked)
	})
	if err == nil && before != "" {
		i.site.Drop(report.User, "the last line", report.NotUnderstood, "it is a name without a password", "make the user anew")
	}
	return err
}

// userList reads the file of users who may, or may not, log in. known is false if there is
// none in force.
func (v *vsftpd) userList(i *run, all settings) (listed map[string]bool, known bool, err error) {
	if !all.yes("userlist_enable", false) {
		return nil, false, nil
	}
	name := path.Base(all["userlist_file"])
	if all["userlist_file"] == "" {
		name = "user_list"
	}
	at := slices.IndexFunc(v.file.Entries, func(e *archive.Entry) bool { return path.Base(e.Name) == name })
	if at < 0 {
		v.unlisted = true
		i.r.Warn(report.Lists, fmt.Sprintf("the list %.80q of users who may or may not log in is not there", name), "look who may log in, or import again with the list")
		return nil, false, nil
	}
	listed = map[string]bool{}
	err = eachLine(i.ctx, v.file.Entries[at], func(_ int, line string) error {
		listed[strings.TrimSpace(line)] = true
		return nil
	})
	return listed, true, err
}

// own are the settings of one user.
func (v *vsftpd) own(i *run, all settings, name string) (settings, error) {
	dir := all["user_config_dir"]
	if dir == "" || strings.ContainsAny(name, `/\`) {
		return nil, nil
	}
	at := slices.IndexFunc(v.file.Entries, func(e *archive.Entry) bool {
		return path.Base(e.Name) == name && path.Base(path.Dir(e.Name)) == path.Base(dir)
	})
	if at < 0 {
		return nil, nil
	}
	return readSettings(i.ctx, v.file.Entries[at])
}

// account is where a user's files are and what may be done with them.
func (v *vsftpd) account(i *run, a *convert.Account, s settings) error {
	root := s["local_root"]
	if token := s["user_sub_token"]; token != "" {
		root = strings.ReplaceAll(root, token, model.UserMark)
	}
	if guest := s["guest_username"]; guest != "" {
		a.ActsAs = guest
	}
	rate := "anon_max_rate"
	if s.yes("virtual_use_local_privs", false) {
		rate = "local_max_rate"
	}
	if n, err := strconv.ParseInt(s[rate], 10, 64); err == nil && n > 0 {
		a.Speed = []convert.Speed{{Up: n, Down: n}}
	}
	for _, name := range []string{"cmds_allowed", "cmds_denied", "deny_file"} {
		if s[name] != "" {
			a.Notes = append(a.Notes, convert.Lock{Rule: report.Rights, Why: name + " kept some commands or files from it, which is not known here", Cure: "take permissions away where it needs that"})
		}
	}
	if root == "" {
		return nil
	}
	home, err := i.site.Place(root)
	home.Permissions = permissions(s)
	a.Home = home
	return err
}

// permissions of a virtual user: those of anonymous users, unless the server was told to
// treat both alike.
func permissions(s settings) (out []model.Permission) {
	give := func(on bool, list ...model.Permission) {
		if on {
			out = append(out, list...)
		}
	}
	give(s.yes("dirlist_enable", true), model.PermList)
	give(s.yes("download_enable", true), model.PermDownload)
	if !s.yes("write_enable", false) {
		return out
	}
	if s.yes("virtual_use_local_privs", false) {
		give(true, model.PermUpload, model.PermOverwrite, model.PermResume, model.PermDelete, model.PermRename, model.PermMkdir, model.PermRmdir)
		give(s.yes("chmod_enable", true), model.PermAttr)
		return out
	}
	give(s.yes("anon_upload_enable", false), model.PermUpload)
	give(s.yes("anon_mkdir_write_enable", false), model.PermMkdir)
	give(s.yes("anon_other_write_enable", false), model.PermOverwrite, model.PermResume, model.PermDelete, model.PermRename, model.PermRmdir)
	return out
}

// used are the settings that say something here.
var used = []string{
	"local_root", "user_sub_token", "guest_username", "virtual_use_local_privs", "anon_max_rate", "local_max_rate", "cmds_allowed", "cmds_denied",
	"deny_file", "dirlist_enable", "download_enable", "write_enable", "chmod_enable", "anon_upload_enable", "anon_mkdir_write_enable",
	"anon_other_write_enable", "userlist_enable", "userlist_deny", "userlist_file", "user_config_dir",
}

// leave counts settings that have no place here.
func (v *vsftpd) leave(i *run, s settings) {
	for key := range s {
		if !slices.Contains(used, key) && len(key) <= 64 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" {
			i.r.LeftOut("vsftpd.conf."+key, "it is a setting of FTP")
		}
	}
}
