package web

import (
	"net/http"
	"net/url"
	"strings"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

func usersResource() resource {
	return resource{
		kind: model.KindUser, path: "users", title: "Users",
		lead:  "People and programs that transfer files with this site.",
		empty: "This site has no users yet. Nobody can log in.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "State", cell: userState},
			{Title: "Home", Quiet: true, cell: func(o model.Object) cell {
				home := o.(*model.User).Home
				if home.VFS == "" {
					return cell{Text: "-"}
				}
				return cell{Text: home.VFS + ":" + home.Path, Mono: true}
			}},
			{Title: "E-mail", Quiet: true, cell: func(o model.Object) cell { return cell{Text: o.(*model.User).Email} }},
			{Title: "Groups", Quiet: true, cell: func(o model.Object) cell { return cell{Text: strings.Join(o.(*model.User).Groups, ", ")} }},
		},
		sections: userSections,
		filter: func(v *visit, site string) (*filter, error) {
			f := &filter{Label: "Group or storage", Options: []option{{Text: "All users"}}, narrow: referring}
			groups, err := v.referredTo(model.KindGroup, site, "Group ")
			if err != nil {
				return nil, err
			}
			storage, err := v.referredTo(model.KindVFS, site, "Storage ")
			f.Options = append(append(f.Options, groups...), storage...)
			return f, err
		},
		start: values{"home.permissions": permissionNames(model.UsualPermissions()), "home.path": {"/" + model.UserMark}},
		above: func(v *visit, key model.Key) (string, any, error) {
			data, err := v.userAbove(key)
			return "user", data, err
		},
		loss: func(v *visit, o model.Object) string {
			if status, err := v.who.UserStatus(o.Key()); err == nil && status.Sessions > 0 {
				return "It ends " + many(status.Sessions, "session") + " of the user. The files stay where they are."
			}
			return "The files stay where they are."
		},
	}
}

func userState(o model.Object) cell {
	u := o.(*model.User)
	switch {
	case u.Disabled:
		return cell{Text: "Disabled", State: "off"}
	case u.Password.MustSet:
		return cell{Text: "Password to set", State: "warn"}
	}
	return cell{Text: "Enabled", State: "good"}
}

func userSections(v *visit, site string, tree map[string]any) ([]section, error) {
	vfs, err := v.names(model.KindVFS, site, "None, or the groups'")
	if err != nil {
		return nil, err
	}
	identity := section{Title: "Identity", Fields: []field{
		{Name: "name", Label: "Name", Type: textInput, Required: true, Fixed: true, Focus: true, Help: "What the user logs in with. It cannot change."},
		{Name: "email", Label: "E-mail", Type: textInput},
		{Name: "description", Label: "Description", Type: areaInput},
		{Name: "groups", Label: "Groups", Type: linesInput, Help: "One a line. They give what the user has not of his own; the first that has it counts."},
	}}
	sections := []section{identity, signIn(), {Title: "Home", Help: "The folder that the user sees as /.", Fields: []field{
		{Name: "home.vfs", Label: "Storage", Type: choiceInput, Options: vfs, Lone: true},
		{Name: "home.path", Label: "Folder in it", Type: monoInput, Placeholder: "/", Help: "{user} stands for the user's name. The folder is made at the first log-in."},
		{Name: "home.permissions", Label: "What the user may do there", Type: choicesInput, Options: permissions},
	}}}
	return append(sections, append(profileSections(vfs), accountSection("The user"))...), nil
}

func signIn() section {
	return section{Title: "Sign-in", Fields: []field{
		{Name: "password.clear", Label: "Password", Type: secretInput, Help: "As the rule of the site for passwords says."},
		{Name: "password.mustChange", Label: "Must be changed at the next log-in", Type: flagInput},
		{Name: "keys", Label: "Public keys", Type: keysInput, Placeholder: "ssh-ed25519 AAAAC3Nza… anna@laptop", Help: `One a line, as in a .pub file. With expiry-time="202712311800Z" and a space before it, a key ends then (UTC).`},
		{Name: "totp", Label: "Authenticator app", Type: dropInput, Help: "Tick it to let the user log in without a code, when the phone is lost."},
		{Name: "auth", Label: "Ways to log in", Type: linesInput, Placeholder: "as the site says", Help: "One a line, any of which is enough: publickey, password, keyboard-interactive, and each with ,totp behind it."},
		{Name: "ldap", Label: "Directory", Type: textInput, Help: "The LDAP profile that checks the password instead."},
		{Name: "ldapGroups", Label: "Take groups from the directory", Type: flagInput, Help: "Each log-in sets the groups that the profile maps; others stay, and count first."},
		{Name: "allowFrom", Label: "Allowed addresses", Type: linesInput, Placeholder: "everywhere", Help: "Addresses and networks to log in from, one a line; all if empty."},
	}}
}

// profileSections are what users can have of their own or get from groups, but for the home.
func profileSections(vfs []option) []section {
	return []section{
		{Title: "Folders", Folded: true, Help: "Folders that are seen under other paths.", Fields: []field{
			{Name: "folders", Label: "Folders", Type: rowsInput, Fields: []field{
				{Name: "mount", Label: "Seen as", Type: monoInput, Placeholder: "/invoices"},
				{Name: "vfs", Label: "Storage", Type: choiceInput, Options: vfs},
				{Name: "path", Label: "Folder in it", Type: monoInput, Placeholder: "/"},
				{Name: "permissions", Label: "Rights", Type: choicesInput, Options: permissions},
				{Name: "hidden", Label: "Left out of listings", Type: flagInput},
			}},
			{Name: "overrides", Label: "Other rights for paths within", Type: rowsInput, Help: "The longest path counts.", Fields: []field{
				{Name: "path", Label: "Path as the user sees it", Type: monoInput, Placeholder: "/in/done"},
				{Name: "permissions", Label: "Rights", Type: choicesInput, Options: permissions},
			}},
		}},
		{Title: "Limits", Fields: []field{
			{Name: "quota.hard", Label: "The home may hold at most", Type: sizeInput, Placeholder: "no bound", Help: "As 500 MiB or 10 GiB. An upload beyond it is cut."},
			{Name: "quota.soft", Label: "No upload begins above", Type: sizeInput, Placeholder: "no bound"},
			{Name: "maxSessions", Label: "Sessions at once", Type: numberInput, Placeholder: "as the site says"},
			speedField,
		}},
	}
}

func accountSection(who string) section {
	return section{Title: "Account", Fields: []field{
		{Name: "disabled", Label: "Disabled", Type: flagInput, Help: who + " may not log in, and sessions end."},
		{Name: "reason", Label: "Reason", Type: textInput, Help: "Why it is disabled, for the administrators."},
		{Name: "enableFrom", Label: "Enabled from", Unit: "UTC", Type: momentInput},
		{Name: "disableFrom", Label: "Disabled from", Unit: "UTC", Type: momentInput},
	}}
}

var permissions = permissionOptions()

var permissionWords = map[model.Permission]string{
	model.PermList: "List folders", model.PermDownload: "Download", model.PermUpload: "Upload", model.PermOverwrite: "Overwrite files",
	model.PermResume: "Resume and change files", model.PermDelete: "Delete files", model.PermRename: "Rename", model.PermMkdir: "Make folders",
	model.PermRmdir: "Delete folders", model.PermAttr: "Set times and modes", model.PermLink: "Make symbolic links",
}

func permissionOptions() (out []option) {
	for _, p := range model.AllPermissions() {
		out = append(out, option{Value: string(p), Text: permissionWords[p]})
	}
	return out
}

func permissionNames(list model.Permissions) (out []string) {
	for _, p := range list {
		out = append(out, string(p))
	}
	return out
}

// mostChoices is how many objects a form offers to choose from.
const mostChoices = 200

// names are the objects of a kind to choose from; none is what stands for none of them.
func (v *visit) names(k model.Kind, site, none string) ([]option, error) {
	out := []option{{Text: none}}
	if !v.who.MayList(k, site) {
		return out, nil
	}
	found, err := v.who.List(k, site, &rest.ListQuery{Limit: mostChoices})
	if err != nil {
		return nil, err
	}
	for _, o := range found.Items {
		out = append(out, option{Value: o.Header().Name, Text: o.Header().Name})
	}
	return out, nil
}

// otherSites lead to the same list of other sites. tail is what follows the site's page.
func (v *visit) otherSites(tail string) (out []link) {
	names, err := v.siteNames(mostChoices)
	if err != nil || len(names) < 2 {
		return nil
	}
	for _, name := range names {
		out = append(out, link{Text: name, Href: sitePath(name) + tail, Here: name == v.site()})
	}
	return out
}

// usersOfSomeSite leads to the users of the first site whose users may be seen.
func (p *Pages) usersOfSomeSite(v *visit) error { return v.someSite("/users") }

func (v *visit) someSite(tail string) error {
	names, err := v.siteNames(1)
	if err != nil {
		return err
	}
	if len(names) == 0 && !v.who.Super() {
		return v.show(http.StatusOK, "message", view{Title: "Your account has no site", Data: "Users belong to a site, and your account is for none. A SuperAdmin can change that."})
	}
	if len(names) == 0 {
		return v.show(http.StatusOK, "message", view{Title: "There is no site yet", Data: "Users belong to a site. Make one first.", Primary: &link{Text: "New site", Href: "/new/sites"}})
	}
	return v.redirect(sitePath(names[0])+tail, "")
}

// userPath is the page of a user.
func userPath(site, user string) string {
	return sitePath(site) + "/users/" + url.PathEscape(model.Fold(user))
}
