package web

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// site and admin read an object.
func (w *world) site(name string) (s *model.Site) {
	w.t.Helper()
	check(w.t, w.engine.Read(func(r *engine.Reader) (err error) {
		s, err = engine.Sites.Get(r, "", name)
		return err
	}))
	return s
}

func (w *world) admin(name string) (a *model.Admin) {
	w.t.Helper()
	check(w.t, w.engine.Read(func(r *engine.Reader) (err error) {
		a, err = engine.Admins.Get(r, "", name)
		return err
	}))
	return a
}

func TestAListKeepsTheOrderOfItsPreferences(t *testing.T) {
	w := furnished(t)
	reversed := []string{model.Ciphers[1].Name, model.Ciphers[0].Name}
	w.write(&model.Site{Head: model.Head{Name: "third"}, SSH: model.SSH{Ciphers: reversed}})
	b := w.as("sa").get("/sites/third").send(url.Values{"title": {"x"}}).says(http.StatusOK, "Saved")
	if got := w.site("third").SSH.Ciphers; !slices.Equal(got, reversed) {
		t.Errorf("%v", got)
	}
	other := []string{reversed[1], reversed[0]}
	b.send(url.Values{"ssh.ciphers": {other[0] + "\r\n" + other[1]}}).says(http.StatusOK, "Saved")
	if got := w.site("third").SSH.Ciphers; !slices.Equal(got, other) {
		t.Errorf("%v", got)
	}
}

func TestWhatAFormHasNoBoxForStaysWhenSomethingElseChanges(t *testing.T) {
	w := furnished(t)
	var all []model.Object
	for i := range mostChoices {
		all = append(all, &model.Site{Head: model.Head{Name: fmt.Sprintf("a%03d", i)}})
	}
	w.write(all...)
	b := w.as("sa").get("/admins/otto").says(http.StatusOK, `value="main" checked`)
	b.send(url.Values{"email": {"otto@example.com"}}).says(http.StatusOK, "Saved")
	if got := w.admin("otto"); !slices.Equal(got.Sites, []string{"main"}) || got.Email != "otto@example.com" {
		t.Errorf("%+v", got)
	}
	// It can be taken away like the others.
	b.send(url.Values{"sites": {"a001"}}).says(http.StatusOK, "Saved")
	if got := w.admin("otto").Sites; !slices.Equal(got, []string{"a001"}) {
		t.Error(got)
	}
}

func TestRightsInAnotherOrderAreNoChangeAndNoConflict(t *testing.T) {
	w := furnished(t)
	vera := w.admin("vera")
	vera.Rights.View = []model.Kind{model.KindVFS, model.KindUser, model.KindSite}
	first := w.as("sa").get("/admins/vera")
	before := w.admin("vera").Rev
	first.send(nil).says(http.StatusOK, "Nothing was changed")
	if got := w.admin("vera").Rev; got != before {
		t.Errorf("revision %d after %d", got, before)
	}
	w.write(vera)
	first.get("/admins/vera").send(url.Values{"email": {"vera@example.com"}}).says(http.StatusOK, "Saved")
	if got := w.admin("vera").Rights.View; len(got) != 3 {
		t.Error(got)
	}
}

// privateKey is a new key, encrypted if there is a passphrase.
func privateKey(t *testing.T, passphrase string) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	check(t, err)
	return string(pem.EncodeToMemory(block))
}

func TestAPrivateHostKeyGoesInAndNeverComesOut(t *testing.T) {
	w := furnished(t)
	key := privateKey(t, "of the key")
	line := strings.Split(key, "\n")[2]
	typed := url.Values{"name": {"old"}, "algorithm": {""}, "private.clear": {key}, "passphrase.clear": {"not that one"}}
	b := w.as("otto").get("/sites/main/new/hostkeys").send(typed)
	b.says(http.StatusUnprocessableEntity, `id="f-private-clear-wrong"`).keepsQuiet(line, "not that one")
	w.pass(time.Hour)
	b.send(typed).says(http.StatusUnauthorized, "what you typed waits here").keepsQuiet("OPENSSH", url.QueryEscape(line), "not that one", "not+that")
	b.send(url.Values{"name": {"otto"}, "password": {goodPassword}}).says(http.StatusOK, `value="old"`).keepsQuiet(line, "not that one")
	typed.Set("passphrase.clear", "of the key")
	b.send(typed).says(http.StatusOK, "Made.").keepsQuiet(line)
}

// typeAt is the type of a place in the JSON form of a type; nil if it has none.
func typeAt(t reflect.Type, place string) (found reflect.Type, writeOnly bool) {
	for _, part := range strings.Split(place, ".") {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		f, ok := jsonField(t, part)
		if !ok {
			return nil, false
		}
		t, writeOnly = f.Type, f.Tag.Get("writeOnly") == "true"
	}
	return t, writeOnly
}

func jsonField(t reflect.Type, name string) (reflect.StructField, bool) {
	if t.Kind() != reflect.Struct {
		return reflect.StructField{}, false
	}
	for _, f := range reflect.VisibleFields(t) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func TestEverySecretHasAnInputThatKeepsIt(t *testing.T) {
	w := furnished(t)
	var v *visit
	w.pages.page("GET /test/{site}", func(now *visit) error { v = now; return nil })
	w.as("sa").get("/test/main")
	for _, res := range resources() {
		for _, tree := range []map[string]any{nil, {}} {
			sections, err := res.sections(v, "main", tree)
			check(t, err)
			made := reflect.TypeOf(res.kind.New())
			if res.kind == model.KindHostKey && tree == nil {
				made = reflect.TypeFor[rest.NewHostKey]()
			}
			for _, field := range fieldsOf(sections) {
				found, writeOnly := typeAt(made, field.place())
				if found == nil {
					t.Errorf("%s: there is no %s", res.kind, field.Name)
					continue
				}
				secret := writeOnly || found == reflect.TypeFor[model.Secret]() || found == reflect.TypeFor[model.Password]()
				if clear := strings.HasSuffix(field.Name, ".clear"); secret != field.secret() || secret != clear {
					t.Errorf("%s: %s is a secret: %v; its input keeps it: %v, its name says so: %v", res.kind, field.Name, secret, field.secret(), clear)
				}
			}
		}
	}
}

func TestAPasswordThatIsNotKeptIsAskedForAgain(t *testing.T) {
	w := furnished(t)
	b := w.as("otto").get("/sites/main/new/users")
	for _, typo := range []url.Values{{"email": {"no address"}}, {"quota.hard": {"many"}, "email": {"carl@example.com"}}} {
		typo.Set("name", "carl")
		typo.Set("password.clear", goodPassword)
		b.send(typo).says(http.StatusUnprocessableEntity, `id="f-password-clear-wrong"`, "Type it again: it is not kept here", `href="#f-password-clear"`).keepsQuiet(goodPassword)
	}
	b.send(url.Values{"quota.hard": {""}, "password.clear": {goodPassword}}).says(http.StatusOK, "Made.")
	if w.user("carl").Password.Hash == "" {
		t.Error("a user without the password that was typed")
	}
	b.send(url.Values{"quota.hard": {"many"}, "password.clear": {"another battery"}}).says(http.StatusUnprocessableEntity, "Type it again")
	b.send(url.Values{"quota.hard": {"many"}}).says(http.StatusUnprocessableEntity).keepsQuiet("Type it again")
}

func TestOnlyASecretThatIsThereCanBeKept(t *testing.T) {
	b := furnished(t).as("sa")
	b.get("/new/admins").says(http.StatusOK, "Password").keepsQuiet("keep what there is")
	b.get("/admins/otto").says(http.StatusOK, "Leave it empty to keep what there is.")
}

func TestASiteShowsTheLimitsThatItHasWithoutSayingSo(t *testing.T) {
	furnished(t).as("sa").get("/sites/main").says(http.StatusOK, `placeholder="1800"`, `placeholder="no limit"`)
}

// TestAFormThatHoldsWhatIsNotSavedSaysSo: the script keeps the page for it, when the session is over
// or somebody leaves by accident.
func TestAFormThatHoldsWhatIsNotSavedSaysSo(t *testing.T) {
	const unsaved, path = " data-unsaved>", "/sites/main"
	w := furnished(t)
	b := w.as("sa").get(path).says(http.StatusOK).keepsQuiet(unsaved)
	b.send(url.Values{"ssh.banner": {"typed"}, "limits.connections": {"many"}}).says(http.StatusUnprocessableEntity, unsaved)
	b.send(url.Values{"limits.connections": {"7"}}).says(http.StatusOK, "Saved").keepsQuiet(unsaved)
	w.pass(time.Hour)
	b.send(url.Values{"ssh.banner": {"typed later"}}).says(http.StatusUnauthorized)
	b.send(url.Values{"name": {"sa"}, "password": {goodPassword}}).says(http.StatusOK, "typed later", "You are signed in again", unsaved)
	w.pass(16 * time.Minute)
	b.get(b.path).says(http.StatusOK, "not here any more").keepsQuiet("typed later", "You are signed in again", unsaved)
	if action, _ := b.get("/new/sites").form(); action != "/new/sites" || strings.Contains(b.page, unsaved) {
		t.Errorf("%s says that it is not saved", action)
	}
	b.send(url.Values{"name": {"///"}}).says(http.StatusUnprocessableEntity, unsaved)
}

// directory is an LDAP profile with so many groups.
func directory(groups int) *model.LDAPProfile {
	l := &model.LDAPProfile{Head: model.Head{Name: "ad"}, Site: "main", URLs: []string{"ldaps://ldap.example.com"}, BaseDN: "dc=example,dc=com", Filter: "(uid={user})"}
	for i := range groups {
		l.Groups = append(l.Groups, model.LDAPGroup{DN: fmt.Sprintf("cn=group-%d,dc=example,dc=com", i), Group: "staff"})
	}
	return l
}

// mapped are the groups of the LDAP profile ad.
func (w *world) mapped() (groups []model.LDAPGroup) {
	w.t.Helper()
	check(w.t, w.engine.Read(func(r *engine.Reader) error {
		l, err := engine.LDAPProfiles.Get(r, "main", "ad")
		if err == nil {
			groups = l.Groups
		}
		return err
	}))
	return groups
}

func TestAListLongerThanAFormLosesNothingWhenSomethingElseIsSaved(t *testing.T) {
	w := furnished(t)
	w.write(&model.Group{Head: model.Head{Name: "staff"}, Site: "main"}, directory(maxRows+1))
	b := w.as("sa").get("/sites/main/ldap/ad").says(http.StatusOK, "It has 501 lines").keepsQuiet(`name="groups.0.dn"`)
	b.send(url.Values{"timeoutSeconds": {"7"}}).says(http.StatusOK, "Saved")
	// Nor does a form that has rows nevertheless take the place of them.
	b.send(url.Values{"timeoutSeconds": {"8"}, "groups.0.dn": {"cn=other,dc=example,dc=com"}, "groups.0.group": {"staff"}}).says(http.StatusOK, "Saved")
	if got := w.mapped(); len(got) != maxRows+1 || got[0].DN != "cn=group-0,dc=example,dc=com" {
		t.Errorf("%d groups are left, the first of them %+v", len(got), got[0])
	}
}

func TestAFormTakesAsManyRowsAsItShows(t *testing.T) {
	w := furnished(t)
	w.write(&model.Group{Head: model.Head{Name: "staff"}, Site: "main"}, directory(maxRows-1))
	b := w.as("sa").get("/sites/main/ldap/ad").says(http.StatusOK, "there is another empty one")
	b.send(url.Values{"groups.499.dn": {"cn=last,dc=example,dc=com"}, "groups.499.group": {"staff"}}).says(http.StatusOK, "Saved", "No more lines fit here").keepsQuiet(`name="groups.500.dn"`)
	b.send(url.Values{"groups.0.dn": {"cn=first,dc=example,dc=com"}}).says(http.StatusOK, "Saved")
	if got := w.mapped(); len(got) != maxRows || got[0].DN != "cn=first,dc=example,dc=com" || got[maxRows-1].DN != "cn=last,dc=example,dc=com" {
		t.Errorf("%d groups", len(got))
	}
}

func TestAListThatGrewTooLongMeanwhileIsLeftToWhoMadeItGrow(t *testing.T) {
	w := furnished(t)
	w.write(&model.Group{Head: model.Head{Name: "staff"}, Site: "main"}, directory(2))
	b := w.as("sa").get("/sites/main/ldap/ad")
	long := directory(maxRows + 1)
	w.write(long)
	b.send(url.Values{"groups.0.dn": {"cn=typed,dc=example,dc=com"}, "timeoutSeconds": {"7"}})
	b.says(http.StatusConflict, "Give up after", "Type again after saving, as it is not kept here: Groups of the directory").keepsQuiet("take-groups")
	b.send(nil).says(http.StatusOK, "Saved")
	if got := w.mapped(); len(got) != maxRows+1 {
		t.Errorf("%d groups", len(got))
	}
}

func TestWhatBrowsersDoToATextIsNoChangeOfIt(t *testing.T) {
	w := furnished(t)
	const two = "the first line\r\nand the second\rand a third"
	anna := w.user("anna")
	anna.Description = two
	main := w.site("main")
	main.SSH.Banner = "\n\nWelcome\r\n"
	l := directory(0)
	l.CA, l.BindDN, l.BindPassword = "first\r\nsecond\r\n", "cn=reader,dc=example,dc=com", model.Secret{Clear: "hush"}
	w.write(anna, main, l,
		&model.Group{Head: model.Head{Name: "team"}, Site: "main", Description: two},
		&model.VFS{Head: model.Head{Name: "more"}, Site: "main", Root: "/srv/ss-server/main/more", Description: two})
	b := w.as("sa")
	for _, path := range []string{"/sites/main", "/sites/main/users/anna", "/sites/main/groups/team", "/sites/main/vfs/more", "/sites/main/ldap/ad"} {
		b.get(path).send(nil).says(http.StatusOK, "Nothing was changed")
	}
	// Who changes something else changes that only; a directory asks for no password then.
	b.get("/sites/main/users/anna").send(url.Values{"email": {"anna@example.org"}}).says(http.StatusOK, "Saved")
	b.get("/sites/main").send(url.Values{"title": {"Files"}}).says(http.StatusOK, "Saved")
	b.get("/sites/main/ldap/ad").send(url.Values{"timeoutSeconds": {"7"}}).says(http.StatusOK, "Saved")
	if got := w.user("anna").Description; got != two {
		t.Errorf("the description is %q", got)
	}
	if got := w.site("main").SSH.Banner; got != main.SSH.Banner {
		t.Errorf("the banner is %q", got)
	}
	// What is typed is kept with its lines.
	b.get("/sites/main/users/anna").send(url.Values{"description": {"\r\none\r\ntwo"}}).says(http.StatusOK, "Saved")
	if got := w.user("anna").Description; got != "\none\ntwo" {
		t.Errorf("the description is %q", got)
	}
}

func TestANewRowThatIsOnlyChosenOrTickedIsAskedForWhatItLacks(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/sites/main/users/anna")
	for name, row := range map[string]url.Values{
		"f-folders-0-mount": {"folders.0.vfs": {"files"}, "folders.0.permissions": {"list"}}, "f-overrides-0-path": {"overrides.0.permissions": {"list"}},
	} {
		b.get("/sites/main/users/anna").send(row).says(http.StatusUnprocessableEntity, `id="`+name+`-wrong"`)
	}
	b.get("/sites/main/users/anna")
	b.send(url.Values{"folders.0.hidden": {"on"}, "folders.0.vfs": {"files"}}).says(http.StatusUnprocessableEntity, `id="f-folders-0-mount-wrong"`, `<option value="files" selected>`)
	b.send(url.Values{"folders.0.mount": {"/in"}}).says(http.StatusOK, "Saved")
	if u := w.user("anna"); len(u.Folders) != 1 || !u.Folders[0].Hidden {
		t.Errorf("%+v", u.Folders)
	}
	// A row that was there goes when its texts are emptied, though its boxes stay ticked.
	b.send(url.Values{"folders.0.mount": {""}, "folders.0.path": {""}}).says(http.StatusOK, "Saved")
	if u := w.user("anna"); len(u.Folders) != 0 {
		t.Errorf("%+v", u.Folders)
	}
}
