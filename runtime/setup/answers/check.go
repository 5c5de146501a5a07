package answers

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/model"
)

// Check tells everything that is wrong with complete answers. What only the machine can
// tell - is the port free, may the folder be written - it does not.
func (a *Answers) Check() (wrong []model.FieldError) {
	add := func(field, problem, cure string) {
		wrong = append(wrong, model.FieldError{Field: field, Problem: problem, Cure: cure})
	}
	if a.SuperAdmin == nil {
		add("superadmin", "it is missing", "give the section, with name and password")
	} else if a.SuperAdmin.Password == "" {
		add("superadmin.password", "it is missing", "give password, or password_file with the name of a file")
	}
	if a.SuperAdmin != nil {
		checkPassword(add, "superadmin.password", a.SuperAdmin.Name, a.SuperAdmin.Password)
	}
	if a.FirstSite == nil && a.SFTPPort != 0 {
		add("sftp_port", "there is no site to listen there", "give the section first_site as well")
	}
	if a.SFTPPort < 0 || a.SFTPPort > 65535 {
		add("sftp_port", fmt.Sprintf("%d is no port", a.SFTPPort), "use 1 to 65535")
	}
	if s := a.FirstSite; s != nil {
		for i, key := range s.HostKeys {
			if HostKeyAlgorithms[key] == "" {
				add(fmt.Sprintf("first_site.host_keys[%d]", i), fmt.Sprintf("%q is not made here", key), "use "+strings.Join(slices.Sorted(maps.Keys(HostKeyAlgorithms)), " or "))
			} else if slices.Contains(s.HostKeys[:i], key) {
				add(fmt.Sprintf("first_site.host_keys[%d]", i), "it is there twice", "take one away")
			}
		}
		if u := s.User; u != nil {
			if u.Password == "" && len(u.PublicKeys) == 0 {
				add("first_site.user", "nobody could log in", "give password, password_file or public_keys")
			}
			checkPassword(add, "first_site.user.password", u.Name, u.Password)
		}
	}
	return append(wrong, a.checkObjects()...)
}

func checkPassword(add func(field, problem, cure string), field, name, password string) {
	if password == "" {
		return
	}
	if hashed(password) {
		h, err := auth.NewHasher(auth.DefaultParams)
		if err == nil && !h.Known(password) {
			add(field, "it begins like a hash of argon2id and is none", "give the whole hash, or the password")
		}
		return
	}
	if hashForm.MatchString(password) {
		add(field, "it looks like a hash, and is none of argon2id", "give one that begins with $argon2id$, or the password")
		return
	}
	if err := auth.DefaultPolicy().Check(name, password); err != nil {
		problem := strings.TrimPrefix(err.Error(), auth.ErrPolicy.Error()+": ")
		add(field, problem, "choose another")
	}
}

// checkObjects has the objects themselves tell what is wrong, and puts the names of
// answers in the place of theirs.
func (a *Answers) checkObjects() (wrong []model.FieldError) {
	trial := *a
	if trial.NodeID == "" {
		trial.NodeID = "not-chosen-yet"
	}
	if trial.SFTPPort == 0 {
		trial.SFTPPort = DefaultPort
	}
	keyID := ""
	if a.FirstSite != nil && a.FirstSite.Encrypted {
		keyID = "not-made-yet"
	}
	for _, o := range trial.Objects(keyID, time.Unix(0, 0)) {
		for _, p := range o.Passwords() {
			*p.Password = model.Password{} // looked at before, and not yet a hash
		}
		o.Normalize()
		var invalid *model.InvalidError
		if !errors.As(o.Validate(), &invalid) {
			continue
		}
		for _, f := range invalid.Errors {
			if field := FieldOf(o.Key().Kind, f.Field); field != "" {
				f.Field = field
				wrong = append(wrong, f)
			}
		}
	}
	return wrong
}

// fields are the answers that fields of objects come from. An empty one is told of
// elsewhere.
var fields = map[model.Kind]map[string]string{
	model.KindNode:       {"name": "node_id", "description": "description"},
	model.KindSuperAdmin: {"name": "superadmin.name", "email": "recovery_email"},
	model.KindSite:       {"name": "first_site.name", "title": "first_site.title"},
	model.KindBinding:    {"address": "first_site.address", "port": "sftp_port", "site": "", "node": ""},
	model.KindVFS:        {"root": "first_site.folder", "site": ""},
	model.KindUser:       {"name": "first_site.user.name", "email": "first_site.user.email", "site": ""},
}

// FieldOf is the answer that a field of an object comes from; empty if what is wrong with
// it is told of elsewhere.
func FieldOf(kind model.Kind, field string) string {
	if rest, ok := strings.CutPrefix(field, "keys["); ok && kind == model.KindUser {
		i, _, _ := strings.Cut(rest, "]")
		return "first_site.user.public_keys[" + i + "]"
	}
	if answer, ok := fields[kind][field]; ok {
		return answer
	}
	return string(kind) + "." + field
}
