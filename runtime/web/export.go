package web

import (
	"encoding/csv"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ss-setup/runtime/model"
)

// exportHead are the columns of the file of users. Passwords and keys are not in it; what else a
// user has that no column is for is named in one.
var exportHead = []string{
	"name", "email", "description", "groups", "storage", "folder", "permissions", "quota bytes", "soft quota bytes", "sessions",
	"ways to log in", "directory", "allow from", "enabled from", "disabled from", "disabled", "reason", "keys", leftColumn, "created", "modified",
}

// exportPage is how many objects are read at once. A list in the order of a time has no more, so
// it goes out in one piece: it has no next page where the last object of this one is gone.
const exportPage = 2000

// exportUsers sends the users of a site that a search finds as a table of CSV.
func (p *Pages) exportUsers(v *visit) error {
	q, found, err := v.toExport(usersResource())
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", `attachment; filename="users-of-`+v.site()+`.csv"`)
	out := csv.NewWriter(v.w)
	if err := out.Write(exportHead); err != nil {
		return nil // nobody reads any more
	}
	for {
		for _, o := range found.Items {
			if err := out.Write(exported(o.(*model.User))); err != nil {
				return nil
			}
		}
		if !found.More {
			break
		}
		q.After = found.Next
		if found, err = v.who.List(model.KindUser, v.site(), q); err != nil {
			// The answer has begun: a file that ends too early must not look whole.
			v.Log.Error("an export of users was cut off", "site", v.site(), "error", err)
			panic(http.ErrAbortHandler)
		}
	}
	out.Flush()
	return nil
}

func exported(u *model.User) []string {
	row := []string{
		u.Name, u.Email, u.Description, groupList(u.Groups), u.Home.VFS, u.Home.Path, strings.Join(permissionNames(u.Home.Permissions), ", "),
		strconv.FormatInt(u.Quota.Hard, 10), strconv.FormatInt(u.Quota.Soft, 10), strconv.Itoa(u.MaxSessions),
		listed(u.Auth, "; "), u.LDAP, listed(u.AllowFrom, ", "), moments(u.EnableFrom), moments(u.DisableFrom),
		strconv.FormatBool(u.Disabled), u.Reason, strconv.Itoa(len(u.Keys)), strings.Join(leftOut(u), ", "), iso(u.Created), iso(u.Modified),
	}
	for i, text := range row {
		row[i] = harmless(text)
	}
	return row
}

// groupsBetween separates groups: no name may have it, and many have commas.
const groupsBetween = "/"

// groupList writes groups so that an import finds the very names again. A lone one that has a
// comma would be two in a file that somebody wrote by hand, so it ends with the separator.
func groupList(names []string) string {
	text := strings.Join(names, " "+groupsBetween+" ")
	if len(names) == 1 && strings.Contains(text, ",") {
		text += " " + groupsBetween
	}
	return text
}

// leftOut is what a user has that no column is for.
func leftOut(u *model.User) (out []string) {
	for what, has := range map[string]bool{
		"folders": len(u.Folders) > 0, "other rights for paths within": len(u.Overrides) > 0, "speed limits": len(u.Speed) > 0,
		"groups of the directory": u.LDAPGroups, "authenticator app": u.TOTP.On(),
	} {
		if has {
			out = append(out, what)
		}
	}
	slices.Sort(out)
	return out
}

func listed[T ~string](list []T, between string) string {
	var out []string
	for _, one := range list {
		out = append(out, string(one))
	}
	return strings.Join(out, between)
}

// moments is a time, empty if there is none.
func moments(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return iso(t)
}

// formula is where a program for tables would find one: at the beginning of a text, and behind
// whatever separates cells or lines somewhere, as programs in many countries do not separate by
// commas alone. Quotes that stand in the middle of such a cell vanish.
var formula = regexp.MustCompile(`(^|[;,\t\r\n])([\s"]*)('*[=+\-@＝＋－＠])`)

// harmless keeps programs for tables from taking a text, or a part of it, for a formula: ' goes
// before.
func harmless(text string) string { return formula.ReplaceAllString(text, "$1$2'$3") }

// original is the text that harmless was given.
func original(text string) string {
	return formula.ReplaceAllStringFunc(text, func(found string) string { return strings.Replace(found, "'", "", 1) })
}
