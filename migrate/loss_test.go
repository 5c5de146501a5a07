package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/migrate"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

const (
	goodHash = `"$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`
	fullHome = `"home":{"vfsId":"V1","permissions":["List","Get","Put"]}`
	goodKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICsT+gnD7wmWUM4RQwoQ3mxHEazqMUBhJzfqTF+HV20w"
)

// soundV6 is a backup of version 6 in which nothing is lost.
func soundV6(change ...string) files {
	f := files{
		"version.json":                  `{"version":"6.2.60"}`,
		"vsites.json":                   `[{"id":"main","name":"Files","nodeBindings":[{"nodeId":"n","bindings":[{"service":"SSH","port":22}]}]}]`,
		"nodes.json":                    `[{"id":"n"}]`,
		"sites/main/vfs.json":           `[{"id":"V1","name":"Files","type":"Disk","target":"/srv/files"}]`,
		"sites/main/users.json":         `[{"id":"anna","type":"Normal","password":{"payload":` + goodHash + `},` + fullHome + `}]`,
		"sites/main/sshhostkeys.json":   `[]`,
		"sites/main/ldapconfig.json":    `[]`,
		"sites/main/srvconfig.json":     `{"maxConn":10}`,
		"globalconfig.json":             `{"jwtLifeSpan":20}`,
		"sites/main/notifications.json": `[{"id":"x"}]`,
	}
	for i := 0; i+1 < len(change); i += 2 {
		if f[change[i]] = change[i+1]; change[i+1] == "" {
			delete(f, change[i])
		}
	}
	return f
}

// soundV45 is the same of version 5.
func soundV45(change ...string) files {
	f := files{
		"version.json":              `{"Version":"5.1.30"}`,
		"vservers/main/conf.json":   `{"MaxConn":10,"Bindings":[{"Protocol":"SFTP","Port":22}]}`,
		"vservers/main/vfs.json":    `[{"_id":"V1","VFSName":"Files","TargetType":"Disk","Target":"D:\\Files"}]`,
		"vservers/main/users.json":  `[` + userV45("anna", "SMS") + `]`,
		"vservers/main/admins.json": `[]`,
	}
	for i := 0; i+1 < len(change); i += 2 {
		if f[change[i]] = change[i+1]; change[i+1] == "" {
			delete(f, change[i])
		}
	}
	return f
}

func userV45(name, kind string, more ...string) string {
	return fmt.Sprintf(`{"Username":%q,"UserType":%q,"PHType":"V4Plus","Salt":"00FC6F12","Password":%q,"AllowSFTP":true,
		"Home":{"VFSItemID":"V1","Permissions":{"canListDir":true,"canGetFile":true}}%s}`, name, kind, strings.Repeat("cd", 64), strings.Join(more, ""))
}

func users(list ...string) string { return "[" + strings.Join(list, ",") + "]" }

// userV6 is a sound user with what more says.
func userV6(name string, more ...string) string {
	return fmt.Sprintf(`{"id":%q,"password":{"payload":%s}%s}`, name, goodHash, strings.Join(more, ""))
}

func homeV6(name string, more ...string) string {
	return userV6(name, append([]string{"," + fullHome}, more...)...)
}

var fixed = importer.Options{HostKeys: func(string) []*model.HostKey { return fixedKeys }}

func onWindows() importer.Options { o := fixed; o.OS = "windows"; return o }

// told tells whether a line says something of an object.
func (i imported) told(name, what string) bool {
	return slices.ContainsFunc(i.report.Lines, func(l report.Line) bool { return l.Name == name && strings.Contains(l.What, what) })
}

func TestASoundBackupHasNoLosses(t *testing.T) {
	for _, f := range []files{soundV6(), soundV45()} {
		got := importPath(t, f.zip(t), onWindowsIf(f))
		if lost := got.report.Losses(); len(lost) > 0 || got.report.LossSummary() != "" {
			t.Errorf("got %+v", lost)
		}
	}
}

// onWindowsIf gives versions 4 and 5 the system that they ran on.
func onWindowsIf(f files) importer.Options {
	if f["vsites.json"] == "" {
		return onWindows()
	}
	return fixed
}

// TestWhoeverCannotLogInAfterwardsIsALoss: an import that nobody watches stops at each.
func TestWhoeverCannotLogInAfterwardsIsALoss(t *testing.T) {
	admins := `[{"id":"otto","password":{"payload":` + goodHash + `},"permissions":{"view":["Users"],"edit":[]}%s}]`
	for name, f := range map[string]files{
		"users of two sites outside of both":         soundV6("sites/other/srvconfig.json", `{}`, "users.json", users(homeV6("lost"))),
		"the same of version 5":                      soundV45("vservers/other/conf.json", `{}`, "users.json", users(userV45("lost", "SMS"))),
		"a collection of an unknown name":            soundV6("sites/main/users.json", "", "sites/main/accounts.json", users(homeV6("anna"))),
		"the same of version 5 ":                     soundV45("vservers/main/users.json", "", "vservers/main/accounts.json", users(userV45("anna", "SMS"))),
		"a user that is no object":                   soundV6("sites/main/users.json", users(homeV6("anna"), `"otto"`)),
		"the same of version 5  ":                    soundV45("vservers/main/users.json", users(userV45("anna", "SMS"), `7`)),
		"no user at all":                             soundV6("sites/main/users.json", `[]`),
		"an LDAP profile that is disabled":           soundV6("sites/main/ldapconfig.json", `[{"id":"dc","port":389,"ldapProto":"LDAP","domains":["example.com"]}]`),
		"a user of Active Directory":                 soundV45("vservers/main/users.json", users(userV45("anna", "SMS"), userV45("maria", "ADUser"))),
		"a group of a directory without a DN":        soundV45("vservers/main/users.json", users(userV45("anna", "SMS"), userV45("Staff", "ADGroup"))),
		"a binding behind a load balancer alone":     soundV6("vsites.json", `[{"id":"main","nodeBindings":[{"nodeId":"n","bindings":[{"service":"SSH","port":22,"behindHaProxy":true}]}]}]`),
		"a binding behind one beside an open one":    soundV6("vsites.json", `[{"id":"main","nodeBindings":[{"nodeId":"n","bindings":[{"service":"SSH","port":22},{"service":"SSH","port":2222,"behindHaProxy":true}]}]}]`),
		"a binding of IPv6 alone beside an open one": soundV6("vsites.json", `[{"id":"main","nodeBindings":[{"nodeId":"n","bindings":[{"service":"SSH","port":22},{"service":"SSH","port":2222,"ipVersion":"IPv6"}]}]}]`),
		"a binding at nowhere beside an open one":    soundV6("vsites.json", `[{"id":"main","nodeBindings":[{"nodeId":"n","bindings":[{"service":"SSH","port":22},{"service":"SSH","port":2222,"ip":"nowhere"}]}]}]`),
		"a binding of version 5 at nowhere":          soundV45("vservers/main/conf.json", `{"MaxConn":10,"Bindings":[{"Protocol":"SFTP","Port":22},{"Protocol":"SFTP","Port":2222,"Address":"nowhere"}]}`),
		"bindings of another node alone":             soundV6("vsites.json", `[{"id":"main","nodeBindings":[{"nodeId":"other","bindings":[{"service":"SSH","port":22}]}]}]`),
		"no binding":                                 soundV6("vsites.json", `[{"id":"main"}]`),
		"a permission of an unknown name":            soundV6("sites/main/users.json", users(userV6("anna", `,"home":{"vfsId":"V1","permissions":["List","CanFly"]}`))),
		"permissions that nobody names":              soundV6("sites/main/users.json", users(userV6("anna", `,"home":{"vfsId":"V1","permissions":null}`))),
		"a second factor that cannot be read":        soundV6("sites/main/users.json", users(homeV6("anna", `,"authenticatorSecret":{"status":"Encrypted","payload":"x"}`))),
		"a password of an unknown scheme":            soundV6("sites/main/users.json", users(`{"id":"anna","password":{"payload":"xxxx"},`+fullHome+`}`)),
		"a user without a password and a key":        soundV6("sites/main/users.json", users(`{"id":"anna",`+fullHome+`}`)),
		"an Admin of an unknown state":               soundV6("sites/main/admins.json", fmt.Sprintf(admins, `,"status":"Sleeping"`)),
		"an Admin of rights that nobody knows":       soundV6("sites/main/admins.json", strings.Replace(fmt.Sprintf(admins, ""), "Users", "Moon", 1)),
		"an Admin whose second factor is lost":       soundV6("sites/main/admins.json", fmt.Sprintf(admins, `,"authenticatorSecret":{"status":"Encrypted","payload":"x"}`)),
		"storage that is not served":                 soundV6("sites/main/vfs.json", `[{"id":"V1","name":"Files","type":"S3","target":"x"}]`),
		"an LDAP profile that searches half of it":   soundV6("sites/main/ldapconfig.json", `[{"id":"dc.example.com","port":636,"ldapProto":"LDAPS","username":"q@example.com","domains":["example.com","example.org"]}]`),
		"a user of an unknown type":                  soundV6("sites/main/users.json", users(homeV6("anna", `,"type":"OIDC"`))),
		"a user of an unknown type of version 5":     soundV45("vservers/main/users.json", users(userV45("anna", "Radius"))),
		"a user whose name is not allowed":           soundV6("sites/main/users.json", users(homeV6("a/b"))),
		"a folder of Windows where Linux is":         soundV6("sites/main/vfs.json", `[{"id":"V1","name":"Files","type":"Disk","target":"D:\\Files"}]`),
		"a user of a domain whose folder has a mark": soundV45("vservers/main/vfs.json", `[{"_id":"V1","VFSName":"Files","TargetType":"Disk","Target":"D:\\%USERNAME%"}]`, "vservers/main/users.json", users(userV45(`CORP\maria`, "ADUser"))),
	} {
		t.Run(name, func(t *testing.T) {
			got := importPath(t, f.zip(t), onWindowsIf(f))
			if len(got.report.Losses()) == 0 || got.report.LossSummary() == "" {
				t.Errorf("there is no loss:\n%s", got.text(t))
			}
		})
	}
}

// TestALossIsCountedOnceForEachObject: with two reasons as well.
func TestALossIsCountedOnceForEachObject(t *testing.T) {
	got := importPath(t, soundV6("sites/main/users.json", users(homeV6("anna"), homeV6("otto", `,"status":"Sleeping","subsystems":["FTP"]`), homeV6("eva", `,"status":"Sleeping"`))).zip(t), fixed)
	if text := got.report.LossSummary(); text != "2 users" || len(got.report.Losses()) != 3 {
		t.Errorf("got %q, %+v", text, got.report.Losses())
	}
}

func TestUsersThatLieInNoFolderBelongToTheOnlySite(t *testing.T) {
	f := soundV6("sites/main/users.json", "", "users.json", users(homeV6("anna")))
	importPath(t, f.zip(t), fixed).user(t, "user/main/anna")
	v5 := soundV45("vservers/main/users.json", "", "users.json", users(userV45("anna", "SMS")))
	importPath(t, v5.zip(t), onWindows()).user(t, "user/main/anna")
}

// TestNoSettingCostsASite: what cannot be as it was is the default.
func TestNoSettingCostsASite(t *testing.T) {
	for name, c := range map[string]struct{ config, told string }{
		"a hyphen in the software ID":   {`{"sshConf":{"softwareId":"Acme-SFTP_1"}}`, "software ID"},
		"a blank in the software ID":    {`{"sshConf":{"softwareId":"Acme SFTP"}}`, "software ID"},
		"an Ümlaut in the software ID":  {`{"sshConf":{"softwareId":"Äcme"}}`, "software ID"},
		"a banner of signs":             {`{"sshConf":{"greeting":"a\u0000\u202e\ufffeb"}}`, ""},
		"limits beyond all":             {`{"maxConn":99999999999,"idleTimeoutMinutes":99999999}`, "bound"},
		"a number of errors below zero": {`{"protectorErrThreshold":-5,"protectorBehavior":"Weird"}`, "errors"},
	} {
		t.Run(name, func(t *testing.T) {
			f := soundV6("sites/main/srvconfig.json", c.config, "sites/main/admins.json", `[{"id":"otto","password":{"payload":`+goodHash+`},"permissions":{"view":["Users"]}}]`)
			got := importPath(t, f.zip(t), fixed)
			got.user(t, "user/main/anna")
			if got.get("site/main") == nil || got.get("admin/otto") == nil {
				t.Error("the site or its Admin is not there")
			}
			if c.told != "" && !got.told("main", c.told) {
				t.Errorf("nothing is told of %s:\n%s", c.told, got.text(t))
			}
		})
	}
}

func TestALimitThatTheSourceDoesNotHaveIsTheDefault(t *testing.T) {
	got := importPath(t, soundV6("sites/main/srvconfig.json", `{"maxConn":0,"maxConnPerUser":3}`).zip(t), fixed)
	if l := got.get("site/main").(*model.Site).Limits; l.Connections != -1 || l.PerUser != 3 || l.PerAddress != 0 || l.IdleSeconds != 0 {
		t.Errorf("got %+v", l)
	}
}

// TestGroupsAreFoundHoweverTheirTypeIsWritten: sortOf passes over case and signs.
func TestGroupsAreFoundHoweverTheirTypeIsWritten(t *testing.T) {
	for _, kind := range []string{"ADGroup", "ADGROUP", "adgroup.", "AD Group ", "ad-Gr oup", "SMSGroup", "\u0041DGr\u00b7oup"} {
		f := soundV45("vservers/main/users.json", users(userV45("anna", "SMS"), userV45("Staff", kind)))
		got := importPath(t, f.zip(t), onWindows())
		if got.get("group/main/staff") == nil {
			t.Errorf("%q: the group is not there:\n%s", kind, got.text(t))
		}
		for _, c := range got.report.Counts() {
			if c.Kind == report.Group && c.In != 1 {
				t.Errorf("%q: %+v", kind, c)
			}
		}
	}
	escaped := strings.Replace(userV45("Staff", "ADGroup"), "ADGroup", `ADGr\u006fup`, 1)
	if got := importPath(t, soundV45("vservers/main/users.json", users(escaped)).zip(t), onWindows()); got.get("group/main/staff") == nil {
		t.Error("an escape hides a group")
	}
}

// TestADateThatCannotBeReadOpensNoAccount: nor does it end one in silence.
func TestADateThatCannotBeReadOpensNoAccount(t *testing.T) {
	for _, when := range []string{`"31/12/2023"`, `45291.5`, `45291`, `1700000000`, `"1899-12-31"`, `0`, `""`, `null`, `{}`, `"soon"`, `"0001-01-01T00:00:00Z"`} {
		for _, on := range []string{`true`, `"Y"`, `"perhaps"`, `{}`} {
			v6 := soundV6("sites/main/users.json", users(homeV6("anna", `,"autoDisable":`+on+`,"autoDisableDate":`+when)))
			v5 := soundV45("vservers/main/users.json", users(userV45("anna", "SMS", `,"AutoDisable":`+on+`,"AutoDisableWhen":`+when)))
			for _, f := range []files{v6, v5} {
				got := importPath(t, f.zip(t), onWindowsIf(f))
				u := got.user(t, "user/main/anna")
				if !u.Disabled || !u.DisableFrom.IsZero() || !got.told("anna", "it was to end on a day that cannot be read") {
					t.Errorf("%s, %s: got %+v\n%+v", when, on, u.Account, got.report.Lines)
				}
			}
		}
	}
	for when, want := range map[string]string{`"2030-05-06T00:00:00Z"`: "2030-05-06", `1904169600000`: "2030-05-05", `{"$date":"2030-05-06T00:00:00Z"}`: "2030-05-06", `"2019-01-01"`: "2019-01-01"} {
		u := importPath(t, soundV6("sites/main/users.json", users(homeV6("anna", `,"autoDisable":true,"autoDisableDate":`+when))).zip(t), fixed).user(t, "user/main/anna")
		if u.Disabled || u.DisableFrom.Format(time.DateOnly) != want {
			t.Errorf("%s: got %+v", when, u.Account)
		}
	}
	off := importPath(t, soundV6("sites/main/users.json", users(homeV6("anna", `,"autoDisable":false,"autoDisableDate":"junk"`))).zip(t), fixed)
	if u := off.user(t, "user/main/anna"); u.Disabled || len(off.report.Losses()) > 0 {
		t.Errorf("a date that does not count: %+v", u.Account)
	}
}

func TestABanWhoseEndCannotBeReadStays(t *testing.T) {
	for _, when := range []string{`"31/12/2029"`, `45291.5`, `null`, `"1899-12-31"`} {
		got := importPath(t, soundV6("sites/main/blocklist.json", `[{"ipOrNetwork":"203.0.113.5","persistence":"Temporary","expirationUTC":`+when+`}]`).zip(t), fixed)
		e, ok := got.get("entry/main/block:203.0.113.5").(*model.Entry)
		if !ok || !e.Expires.IsZero() || !got.told("block 203.0.113.5", "cannot be read") {
			t.Errorf("%s: %+v", when, e)
		}
	}
}

// TestAFolderIsOnlyServedIfItIsTheOldOne, with the path that each user has in it.
func TestAFolderIsOnlyServedIfItIsTheOldOne(t *testing.T) {
	for root, want := range map[string]struct{ vfs, path, windows, path2 string }{
		`/srv/files`:                          {"/srv/files", "", "", ""},
		`/srv/%USERNAME%`:                     {"/srv", "/{user}", "", ""},
		`/srv/{user}/in`:                      {"/srv", "/{user}/in", "", ""},
		`/srv/x-${username}`:                  {"/srv", "/x-{user}", "", ""},
		`/%USERNAME%`:                         {"", "", "", ""},
		`/srv/%USERDOMAIN%/%USERNAME%`:        {"", "", "", ""},
		`/srv/%USERDOMAIN%`:                   {"", "", "", ""},
		`/srv/$(home)`:                        {"", "", "", ""},
		`/srv/{B5F8A0C1-0000}`:                {"/srv/{B5F8A0C1-0000}", "", "", ""},
		`D:\Files`:                            {`D:\Files`, "", `D:\Files`, ""},
		`D:\Users\%USERNAME%\files`:           {`D:\Users`, "/{user}/files", `D:\Users`, "/{user}/files"},
		`D:\%USERNAME%`:                       {`D:\`, "/{user}", `D:\`, "/{user}"},
		`D:\Users\%USERDOMAIN%`:               {"", "", "", ""},
		`D:\Users\%USERNAME%\a\%USERNAME%\..`: {"", "", "", ""},
		`relative`:                            {"", "", "", ""},
		`\\server\share`:                      {"", "", "", ""},
	} {
		quoted, err := json.Marshal(root)
		must(t, err)
		f := soundV6("sites/main/vfs.json", `[{"id":"V1","name":"Files","type":"Disk","target":`+string(quoted)+`}]`)
		for system, want := range map[string][2]string{"linux": {want.vfs, want.path}, "windows": {want.windows, want.path2}} {
			o := fixed
			o.OS = system
			got := importPath(t, f.zip(t), o)
			u, v := got.user(t, "user/main/anna"), got.get("vfs/main/files")
			lost := got.report.LossSummary()
			switch {
			case want[0] == "" && (v != nil || !u.Disabled || lost != "one user and one VFS"):
				t.Errorf("%s on %s: it is served: %+v, %s", root, system, u.Account, lost)
			case want[0] == "":
			case v == nil || v.(*model.VFS).Root != want[0] || u.Home.Path != want[1] || u.Disabled:
				t.Errorf("%s on %s: got %+v, home %+v", root, system, v, u.Home)
			case system == "linux" && !strings.HasPrefix(root, "/") && (lost != "one user and one VFS" || !got.told("anna", "one of Windows")):
				t.Errorf("%s on %s: nothing is told: %s", root, system, lost)
			case (system == "windows") != strings.HasPrefix(root, "/") && lost != "":
				t.Errorf("%s on %s: %s", root, system, lost)
			}
		}
	}
}

func TestAFolderThatIsNotThereIsTold(t *testing.T) {
	o := fixed
	o.Folder = func(path string) bool { return path != "/srv/files" }
	if got := importPath(t, soundV6().zip(t), o); !got.told("Files", "is not there") {
		t.Error("it is not told")
	}
}

func TestAFolderOfAUserWhoIsRenamedIsTold(t *testing.T) {
	f := soundV6("sites/main/vfs.json", `[{"id":"V1","name":"Files","type":"Disk","target":"/srv/{user}"}]`, "sites/main/users.json", users(homeV6("a/b")))
	if got := importPath(t, f.zip(t), fixed); !got.told("a/b", `was the one of "a/b"`) {
		t.Errorf("got %s", got.text(t))
	}
}

// TestNobodyGetsTheNameOfAnother, in whichever order they come.
func TestNobodyGetsTheNameOfAnother(t *testing.T) {
	home := func(desc string) string { return `,"description":"` + desc + `"` }
	for thief, right := range map[string]string{"a/b": "a-b", "ａｎｎａ": "anna", "x:y": "X-Y"} {
		for _, list := range [][]string{{homeV6(thief, home("thief")), homeV6(right, home("right"))}, {homeV6(right, home("right")), homeV6(thief, home("thief"))}} {
			got := importPath(t, soundV6("sites/main/users.json", users(list...)).zip(t), fixed)
			if u := got.user(t, "user/main/"+model.Fold(right)); u.Description != "right" {
				t.Errorf("%s has the name of %s", thief, right)
			}
			if n := len(slices.DeleteFunc(slices.Clone(got.objects), func(o model.Object) bool { return o.Key().Kind != model.KindUser })); n != 2 {
				t.Errorf("%d users are there", n)
			}
		}
	}
	for _, list := range [][]string{{userV45(`CORP\joe`, "ADUser"), userV45("joe", "SMS")}, {userV45("joe", "SMS"), userV45(`CORP\joe`, "ADUser")}} {
		got := importPath(t, soundV45("vservers/main/users.json", users(list...)).zip(t), onWindows())
		if u := got.user(t, "user/main/joe"); u.LDAP != "" {
			t.Error("a user of the directory has the name of another")
		}
		if !got.told(`CORP\joe`, "without its domain") {
			t.Errorf("the reason is not told: %s", got.text(t))
		}
	}
}

func TestNoAdminGetsTheNameOfAnother(t *testing.T) {
	admin := func(id, mail string) string {
		return fmt.Sprintf(`{"id":%q,"email":%q,"password":{"payload":%s},"permissions":{"view":["Users"]}}`, id, mail, goodHash)
	}
	for _, list := range [][]string{{admin("o/t", "thief@example.com"), admin("o-t", "right@example.com")}, {admin("o-t", "right@example.com"), admin("o/t", "thief@example.com")}} {
		got := importPath(t, soundV6("superadmins.json", users(list...), "sites/main/admins.json", users(list...)).zip(t), fixed)
		if s, ok := got.get("superadmin/o-t").(*model.SuperAdmin); !ok || s.Email != "right@example.com" {
			t.Errorf("got %+v", s)
		}
		if a, ok := got.get("admin/o-t").(*model.Admin); !ok || a.Email != "right@example.com" {
			t.Errorf("got %+v", a)
		}
	}
}

// TestWordsThatNobodyKnowsAreTold and do not make people powerless in silence.
func TestWordsThatNobodyKnowsAreTold(t *testing.T) {
	f := soundV6("sites/main/users.json", users(userV6("anna", `,"home":{"vfsId":"V1","permissions":["CanList","CanGet"]}`), userV6("otto", `,"home":{"vfsId":"V1","permissions":["List","CanGet"]}`),
		homeV6("eva", `,"subsystems":null`), homeV6("ida", `,"subsystems":[]`), `{"id":"oidc","type":"OIDC",`+fullHome+`}`, homeV6("own", `,"type":"Native7"`)))
	got := importPath(t, f.zip(t), fixed)
	if u := got.user(t, "user/main/anna"); !u.Disabled || !got.told("anna", "CanList") {
		t.Errorf("anna: %+v", u.Account)
	}
	if u := got.user(t, "user/main/otto"); u.Disabled || !got.told("otto", "CanGet") {
		t.Errorf("otto: %+v", u.Account)
	}
	for _, name := range []string{"eva", "ida"} {
		if u := got.user(t, "user/main/"+name); u.Disabled {
			t.Errorf("%s: %+v", name, u.Account)
		}
	}
	if u := got.user(t, "user/main/oidc"); !u.Disabled {
		t.Errorf("oidc: %+v", u.Account)
	}
	if u := got.user(t, "user/main/own"); u.Disabled || !got.told("own", `"Native7"`) {
		t.Errorf("own: %+v", u.Account)
	}
}

// TestPathsThatAreOneAreMadeOne: nobody is dropped for writing one twice.
func TestPathsThatAreOneAreMadeOne(t *testing.T) {
	paths := `,"permissionOverride":{"/a/b":{"permissions":["List"]},"/a//b":{"permissions":["Get"]},"/caf\u00e9":{"permissions":["List"]},"/cafe\u0301/":{"permissions":["Get"]},"/x\u0001":{"permissions":["Get"]}},
		"virtualFolders":{"/m/n":{"vfsId":"V1"},"/m//n/":{"vfsId":"V1"},"/m/\u0007":{"vfsId":"V1"}}`
	got := importPath(t, soundV6("sites/main/users.json", users(homeV6("anna", paths), homeV6("[staff]", paths))).zip(t), fixed)
	u := got.user(t, "user/main/anna")
	if len(u.Overrides) != 2 || len(u.Folders) != 1 || u.Disabled {
		t.Errorf("got %+v, %+v", u.Profile, u.Account)
	}
	if got.get("group/main/staff") == nil {
		t.Errorf("the group is dropped: %s", got.text(t))
	}
}

// TestWhoNeededTwoStepsDoesNotGetInWithOne.
func TestWhoNeededTwoStepsDoesNotGetInWithOne(t *testing.T) {
	for words, want := range map[string]struct {
		chains   []model.AuthChain
		disabled bool
	}{
		`["PKI","RadiusOTP"],"authMultiOnSsh":true`:       {nil, true},
		`["TOTP","Password"],"authMultiOnSsh":true`:       {[]model.AuthChain{"password,totp"}, false},
		`["PKI","Password","TOTP"],"authMultiOnSsh":true`: {[]model.AuthChain{"publickey,password,totp"}, false},
		`["Smoke","Mirrors"],"authMultiOnSsh":true`:       {nil, true},
		`["Smoke"]`:            {nil, true},
		`["Smoke","Password"]`: {[]model.AuthChain{"password"}, false},
		`["TOTP"]`:             {nil, true},
		`[]`:                   {nil, false},
	} {
		got := importPath(t, soundV6("sites/main/users.json", users(homeV6("anna", `,"authTypes":`+words))).zip(t), fixed)
		if u := got.user(t, "user/main/anna"); u.Disabled != want.disabled || !slices.Equal(u.Auth, want.chains) {
			t.Errorf("%s: got %q, %+v", words, u.Auth, u.Account)
		}
	}
}

func TestWhoHadASecondFactorIsLockedWithoutIt(t *testing.T) {
	sealed := `,"authenticatorSecret":{"status":"Encrypted","payload":"x"},"authenticatorType":"Google"`
	got := importPath(t, soundV6("sites/main/users.json", users(homeV6("anna", sealed)), "superadmins.json", users(userV6("sa", sealed))).zip(t), fixed)
	if u := got.user(t, "user/main/anna"); !u.Disabled || u.Reason == "" {
		t.Errorf("got %+v", u.Account)
	}
	if s := got.get("superadmin/sa").(*model.SuperAdmin); !s.Disabled {
		t.Errorf("got %+v", s)
	}
}

// TestAVFSThatMayBeEncryptedIsNotServedAsAPlainOne.
func TestAVFSThatMayBeEncryptedIsNotServedAsAPlainOne(t *testing.T) {
	for fields, dropped := range map[string]bool{
		`"encrypt":true`: true, `"encrypt":"AES256"`: true, `"encrypt":"always"`: true, `"encrypt":{}`: true, `"encrypt":[]`: true,
		`"encrypt":false,"passPhrase":{"status":"Encrypted","payload":"x"}`: false, `"passPhrase":"x"`: false,
	} {
		got := importPath(t, soundV6("sites/main/vfs.json", `[{"id":"V1","name":"Files","type":"Disk","target":"/srv/files",`+fields+`}]`).zip(t), fixed)
		u, there := got.get("user/main/anna").(*model.User)
		if got.get("vfs/main/files") != nil || there == dropped || there && !u.Disabled {
			t.Errorf("%s: it is served, or its user is there: %v", fields, there)
		}
	}
	plain := importPath(t, soundV6("sites/main/vfs.json", `[{"id":"V1","name":"Files","type":"Disk","target":"/srv/files","encrypt":false,"passPhrase":{"status":"","payload":""}}]`).zip(t), fixed)
	if plain.get("vfs/main/files") == nil {
		t.Error("a plain one is not served")
	}
	five := importPath(t, soundV45("vservers/main/vfs.json", `[{"_id":"V1","VFSName":"Files","TargetType":"Disk","Target":"D:\\Files","EncryptionPass":"p"}]`).zip(t), onWindows())
	if u := five.user(t, "user/main/anna"); five.get("vfs/main/files") != nil || !u.Disabled {
		t.Error("one of version 5 is served")
	}
	double := importPath(t, soundV6("sites/main/vfs.json", `[{"id":"V1","name":"A","type":"Disk","target":"/srv/a"},{"id":"V1","name":"B","type":"Disk","target":"/srv/b","encrypt":true}]`).zip(t), fixed)
	if u := double.user(t, "user/main/anna"); !u.Disabled {
		t.Error("nobody knows which VFS it has")
	}
}

// TestAKeyNeverOpensMoreThanItDid.
func TestAKeyNeverOpensMoreThanItDid(t *testing.T) {
	for text, want := range map[string]int{
		goodKey: 1, goodKey + " laptop": 1, "restrict,no-pty " + goodKey: 1,
		`from=\"10.0.0.0/8\",command=\"x\" ` + goodKey: 0, "@revoked host " + goodKey: 0, "@cert-authority * " + goodKey: 0, "host.example.com " + goodKey: 0,
		`expiry-time=\"20200101\" ` + goodKey: 0, "cert-authority " + goodKey: 0, goodKey + `\n` + goodKey: 0, "junk": 0,
		"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICsT+gnD7wmWUM4RQwoQ3mxHEazqMUBhJzfqTF+HV20wAAAABHNzaDo=": 1,
	} {
		got := importPath(t, soundV6("sites/main/users.json", users(homeV6("anna", `,"sshPubKeys":[{"name":"k","key":"`+text+`"}]`))).zip(t), fixed)
		if u := got.user(t, "user/main/anna"); len(u.Keys) != want || want == 0 && !got.told("anna", "is left out") {
			t.Errorf("%s: got %+v", text, u.Keys)
		}
	}
}

// TestAFolderMayBeCalledAfterItsSitesName, and two sites do not become of one.
func TestAFolderMayBeCalledAfterItsSitesName(t *testing.T) {
	for _, folder := range []string{"Files", "files", "FILES", "main"} {
		f := soundV6("sites/main/users.json", "", "sites/"+folder+"/users.json", users(homeV6("anna")))
		if folder != "main" {
			f["sites/"+folder+"/vfs.json"] = f["sites/main/vfs.json"]
			for _, name := range []string{"vfs", "srvconfig", "sshhostkeys", "ldapconfig", "notifications"} {
				delete(f, "sites/main/"+name+".json")
			}
		}
		got := importPath(t, f.zip(t), fixed)
		got.user(t, "user/main/anna")
		if lost := got.report.Losses(); len(lost) > 0 {
			t.Errorf("%s: %+v", folder, lost)
		}
	}
}

func TestABackupOfVersion6MayHaveTheIDsOfItsDatabase(t *testing.T) {
	got := importPath(t, files{
		"dump/main/vsites.bson":    string(bson(t, map[string]any{"_id": "main", "name": "Files"})),
		"dump/main/srvconfig.bson": string(bson(t, map[string]any{"_id": "main", "maxConn": 3})),
		"dump/main/vfs.bson":       string(bson(t, map[string]any{"_id": "V1", "name": "Files", "type": "Disk", "target": "/srv/f"})),
		"dump/main/users.bson": string(append(bson(t, map[string]any{"_id": "anna", "home": map[string]any{"vfsId": "V1", "permissions": []any{"List"}}}),
			bson(t, map[string]any{"_id": "otto"})...)),
	}.zip(t), fixed)
	if u := got.user(t, "user/main/anna"); u.Home.VFS != "Files" {
		t.Errorf("got %+v", u)
	}
	got.user(t, "user/main/otto")
	for _, f := range got.report.Fields() {
		if f.Unknown {
			t.Errorf("%s is told", f.Path)
		}
	}
}

// TestBindingsOfBothFamiliesAreOne: who has all addresses of IPv4 and all of IPv6 loses none.
func TestBindingsOfBothFamiliesAreOne(t *testing.T) {
	four, six := `{"service":"SSH","port":22,"ipVersion":"IPv4","ip":%q}`, `{"service":"SSH","port":22,"ipVersion":"IPv6","ip":%q}`
	for name, list := range map[string]string{
		"without addresses": fmt.Sprintf(four+","+six, "", ""),
		"with addresses":    fmt.Sprintf(four+","+six, "0.0.0.0", "::"),
		"IPv6 first":        fmt.Sprintf(six+","+four, "", ""),
		"and one of all":    fmt.Sprintf(four+","+six, "", "") + `,{"service":"SSH","port":22,"ipVersion":"Any"}`,
	} {
		got := importPath(t, soundV6("vsites.json", `[{"id":"main","name":"Files","nodeBindings":[{"nodeId":"n","bindings":[`+list+`]}]}]`).zip(t), fixed)
		if b := got.get("binding/main/sftp").(*model.Binding); b.Disabled || b.Address != "" || got.get("binding/main/sftp-2") != nil {
			t.Errorf("%s: got %+v", name, b)
		}
		if lost := got.report.Losses(); len(lost) > 0 || !got.told("SSH *:22", "it is one with the site's binding sftp") {
			t.Errorf("%s: the losses are %+v", name, lost)
		}
		must(t, got.report.Balanced())
	}
	// A load balancer's is not everybody's.
	list := fmt.Sprintf(four, "") + `,{"service":"SSH","port":22,"ipVersion":"IPv6","behindHaProxy":true}`
	got := importPath(t, soundV6("vsites.json", `[{"id":"main","name":"Files","nodeBindings":[{"nodeId":"n","bindings":[`+list+`]}]}]`).zip(t), fixed)
	if b := got.get("binding/main/sftp").(*model.Binding); b.Address != "0.0.0.0" || len(got.report.Losses()) == 0 {
		t.Errorf("got %+v", b)
	}
}

// TestASiteThatIsStartedByHandIsTold: somebody has to.
func TestASiteThatIsStartedByHandIsTold(t *testing.T) {
	got := importPath(t, soundV6("vsites.json", `[{"id":"main","name":"Files","autoStart":false,"nodeBindings":[{"nodeId":"n","bindings":[{"service":"SSH","port":22}]}]}]`).zip(t), fixed)
	if !got.told("main", "it is started by hand") || len(got.report.Losses()) > 0 {
		t.Errorf("got %s", got.text(t))
	}
}

func TestABindingIsNotOpenedWiderThanItWas(t *testing.T) {
	f := soundV6("vsites.json", `[{"id":"main","nodeBindings":[{"nodeId":"n","bindings":[{"service":"SSH","port":22,"ipVersion":"IPv6","hostName":"x.example.com"},{"service":"SSH","port":23,"ip":"192.0.2.7"}]}]}]`)
	o := fixed
	o.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.8")}
	got := importPath(t, f.zip(t), o)
	if b := got.get("binding/main/sftp").(*model.Binding); !b.Disabled || b.Address != "::" {
		t.Errorf("got %+v", b)
	}
	if b := got.get("binding/main/sftp-2").(*model.Binding); b.Disabled || !got.told("SSH 192.0.2.7:23", "does not have the address") {
		t.Errorf("got %+v", b)
	}
	if !slices.ContainsFunc(got.report.Fields(), func(f report.Field) bool { return f.Path == "vsites.bindings.hostName" }) {
		t.Error("the host's name is not told")
	}
}

// TestTheSuperAdminOfAServerIsNotReplacedByABackup, unless somebody says so.
func TestTheSuperAdminOfAServerIsNotReplacedByABackup(t *testing.T) {
	m := newMachine(t)
	m.setUp(t)
	path := soundV6("superadmins.json", users(userV6("SA", `,"email":"evil@example.com"`), userV6("new"))).zip(t)
	r := m.imports(t, path)
	check := func(mail string) {
		m.in(t, func(e *engine.Engine) {
			must(t, e.Read(func(r *engine.Reader) error {
				sa, err := engine.SuperAdmins.Get(r, "", "sa")
				if err == nil && sa.Email != mail {
					t.Errorf("got %+v", sa)
				}
				return err
			}))
		})
	}
	check("sa@example.com")
	if !slices.ContainsFunc(r.Losses(), func(l report.Line) bool { return l.Kind == report.SuperAdmin && l.Name == "new" }) {
		t.Errorf("nobody is asked: %+v", r.Losses())
	}
	r = m.importsWith(t, path, importer.Options{TakeSuperAdmins: true})
	check("evil@example.com")
	if !slices.ContainsFunc(r.Losses(), func(l report.Line) bool { return l.Kind == report.SuperAdmin && l.Name == "SA" }) {
		t.Errorf("nobody is asked: %+v", r.Losses())
	}
}

func TestAMachineThatNobodyCouldRuleIsALoss(t *testing.T) {
	for text, lost := range map[string]bool{`{"id":"sa","password":{"payload":"xxxx"}}`: true, userV6("sa", `,"status":"Disabled"`): true, userV6("sa"): false} {
		m := newMachine(t)
		r := m.imports(t, soundV6("superadmins.json", users(text)).zip(t))
		if got := slices.ContainsFunc(r.Losses(), func(l report.Line) bool { return strings.Contains(l.What, "no SuperAdmin can log in") }); got != lost {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestADryRunFindsWhatTheImportWouldFailAt: what refers to things that were dropped, and
// settings that name a certificate of the machine, however many objects come before it.
func TestADryRunFindsWhatTheImportWouldFailAt(t *testing.T) {
	m := newMachine(t)
	m.setUp(t)
	m.imports(t, v6Zip(t)) // with a certificate of the whole server
	m.in(t, func(e *engine.Engine) {
		_, err := e.Write(context.Background(), "certificate", func(tx *engine.Tx) error {
			s, err := engine.AllSettings.Get(tx.Reader, "", model.SettingsName)
			if err != nil {
				return err
			}
			s.Web.Certificate = "node.example.com"
			return tx.Update(s)
		})
		must(t, err)
	})
	var list []string
	for i := range 2500 {
		list = append(list, homeV6(fmt.Sprintf("user%04d", i)))
	}
	list = append(list, homeV6("[Staff]", `,"type":"LDAPGroup","ldapServerId":"dc","permissionOverride":{"/a/b":{},"/a//b":{}}`))
	path := soundV6("sites/main/users.json", users(list...)).zip(t)
	s, err := migrate.Open(context.Background(), path)
	must(t, err)
	dry, err := migrate.DryRun(context.Background(), s, m.present(t), importer.Options{})
	must(t, errors.Join(err, s.Close()))
	if real := m.imports(t, path); len(real.Lines) != len(dry.Lines) {
		t.Errorf("the dry run has %d lines, the import %d", len(dry.Lines), len(real.Lines))
	}
}

func TestATextThatIsCutIsTold(t *testing.T) {
	long := strings.Repeat("x", 5000)
	got := importPath(t, soundV6("sites/main/users.json", users(homeV6("anna", `,"description":"`+long+`"`)), "sites/main/srvconfig.json", `{"sshConf":{"greeting":"`+long+`"}}`).zip(t), fixed)
	if !got.told("anna", "its description is cut") || !got.told("main", "its banner is cut") {
		t.Errorf("it is not told: %+v", got.report.Lines)
	}
}
