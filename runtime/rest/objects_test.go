package rest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/model"
	"ss-setup/runtime/tlscert"
)

func TestAnObjectIsMadeReadChangedAndDeleted(t *testing.T) {
	w := furnished(t)
	c := w.super()
	made := c.post("/sites/main/users", map[string]any{"name": "Bert", "email": "bert@example.com"}).must(http.StatusCreated)
	if at := made.Header.Get("Location"); at != Prefix+"/sites/main/users/bert" {
		t.Errorf("it is at %q", at)
	}
	var u model.User
	got := c.get("/sites/main/users/BERT").must(http.StatusOK).into(&u)
	if u.Name != "Bert" || u.Site != "main" || u.By != "token/all" || got.tag() != made.tag() || u.Rev == 0 {
		t.Errorf("it is %+v, %s", u, got.tag())
	}
	if r := c.with("If-None-Match", got.tag()).get("/sites/main/users/bert"); r.StatusCode != http.StatusNotModified || len(r.text) > 0 {
		t.Errorf("an object that has not changed: %s %s", r.Status, r.text)
	}
	changed := c.ifMatch(got.tag()).patch("/sites/main/users/bert", map[string]any{"description": "Porter"}).must(http.StatusOK).into(&u)
	if u.Description != "Porter" || u.Email != "bert@example.com" || changed.tag() == got.tag() {
		t.Errorf("it became %+v", u)
	}
	c.ifMatch(changed.tag()).put("/sites/main/users/bert", map[string]any{"email": "b@example.com"}).must(http.StatusOK)
	u = model.User{}
	last := c.get("/sites/main/users/bert").into(&u)
	if u.Email != "b@example.com" || u.Description != "" || u.Name != "Bert" {
		t.Errorf("it became %+v", u)
	}
	c.ifMatch(got.tag()).delete("/sites/main/users/bert").problem(conflict)
	c.ifMatch(last.tag()).delete("/sites/main/users/bert").must(http.StatusNoContent)
	c.get("/sites/main/users/bert").problem(notFound)
}

func TestWhoWasSlowerIsToldWhatDiffers(t *testing.T) {
	w := furnished(t)
	c := w.super()
	tag := c.get("/sites/main/users/anna").tag()
	c.ifMatch(tag).patch("/sites/main/users/anna", map[string]any{"description": "first"}).must(http.StatusOK)
	p := c.ifMatch(tag).patch("/sites/main/users/anna", map[string]any{"description": "second"}).problem(conflict)
	if p.Conflict == nil || p.Conflict.By != "token/all" || len(p.Conflict.Differences) != 1 || p.Conflict.Differences[0].Field != "description" {
		t.Errorf("told %+v", p.Conflict)
	}
	c.patch("/sites/main/users/anna", map[string]any{"description": "third"}).problem(noRevision)
	c.ifMatch("*").patch("/sites/main/users/anna", map[string]any{"description": "fourth"}).must(http.StatusOK)
	for _, wrong := range []string{"7", `"x"`, `"`, `""`, `"18446744073709551615"`, `W/"`} {
		c.ifMatch(wrong).delete("/sites/main/users/anna").problem(badRequest)
	}
}

func TestRefusalsNameFieldAndCure(t *testing.T) {
	w := furnished(t)
	c := w.super()
	for _, test := range []struct {
		path  string
		body  any
		field string
		says  string
	}{
		{"/sites/main/users", map[string]any{"name": "x", "surprise": 1}, "surprise", "not known"},
		{"/sites/main/users", map[string]any{"name": 7}, "name", "string"},
		{"/sites/main/users", map[string]any{}, "name", "missing"},
		{"/sites/main/users", map[string]any{"name": "x", "email": "nowhere"}, "email", "e-mail"},
		{"/sites/main/users", map[string]any{"name": "x", "home": map[string]any{"vfs": "none"}}, "home.vfs", "there is no"},
		{"/sites/main/users", map[string]any{"name": "x", "folders": []any{map[string]any{"vfs": "files"}}}, "folders[0].mount", "missing"},
		{"/sites/main/users", map[string]any{"name": "x", "home": map[string]any{"vfs": "files", "permissions": []string{"fly"}}}, "home.permissions[0]", "one of"},
		{"/sites/main/users", map[string]any{"name": "x", "password": map[string]any{"clear": "short"}}, "password.clear", "not good enough"},
		{"/sites/main/users", map[string]any{"name": "x", "password": map[string]any{"hash": "$argon2id$x"}}, "password.hash", "not known"},
		{"/sites/main/users", map[string]any{"name": "x", "totp": map[string]any{"recovery": []string{"x"}}}, "totp.recovery", "not known"},
		{"/sites/main/ldap", map[string]any{"name": "x", "bindPassword": map[string]any{"sealed": "x"}}, "bindPassword.sealed", "not known"},
		{"/sites/main/ldap", map[string]any{"name": "x"}, "urls", "no server"},
		{"/tokens", map[string]any{"name": "x", "hash": strings.Repeat("0", 64)}, "hash", "not known"},
		{"/sites", map[string]any{"name": "Not A Slug"}, "name", "short name"},
		{"/sites/main/hostkeys", map[string]any{"name": "k", "algorithm": "ssh-dss"}, "algorithm", "no host key of the kind"},
		{"/sites/main/hostkeys", map[string]any{"name": "k", "private": "rubbish"}, "private", "no key"},
		{"/sites/main/vfs", map[string]any{"name": "v", "root": "/forbidden"}, "root", "setfacl"},
		{"/sites/main/vfs", map[string]any{"name": "v", "root": "/srv/v", "type": "encrypted", "passphrase": map[string]any{"clear": "short"}}, "passphrase", "fewer"},
		{"/entries", map[string]any{"list": "block", "network": "nowhere"}, "network", "not an address"},
		{"/certificates", map[string]any{"name": "c", "type": "pem", "chain": "-----BEGIN CERTIFICATE-----", "private": map[string]any{"clear": "x"}}, "chain", "do not go together"},
	} {
		e := c.post(test.path, test.body).field(test.field)
		if !strings.Contains(e.Problem, test.says) || e.Cure == "" {
			t.Errorf("%s %v: %+v", test.path, test.body, e)
		}
	}
}

func TestBodiesThatCannotBeReadAreRefused(t *testing.T) {
	w := furnished(t)
	c := w.super()
	for _, body := range []string{"{", "[]]", `{"name":"x"} {}`, "\x00", `"`} {
		c.post("/sites/main/users", body).problem(badRequest)
	}
	for _, body := range []string{"[]", "7", "null", `"x"`} {
		c.post("/sites/main/users", body).problem(invalid)
		c.ifMatch("*").patch("/sites/main/users/anna", body).problem(badRequest)
	}
	c.post("/sites/main/users", "").problem(badRequest)
	c.post("/sites/main/users", `{"description":"`+strings.Repeat("x", maxBody)+`"}`).problem(tooLarge)
	c.with("Content-Type", "text/plain").post("/sites/main/users", `{"name":"x"}`).problem(badMedia)
	c.with("Content-Type", "application/x-www-form-urlencoded").post("/login", "name=sa").problem(badMedia)
	c.get("/sites/main/users?colour=red").problem(invalid)
	c.get("/sites/main/users?limit=100000").problem(invalid)
	c.get("/sites/main/users?sort=email").problem(invalid)
	if got := c.get("/sites/main/users").names(); !slices.Equal(got, []string{"anna"}) {
		t.Errorf("there are %v now", got)
	}
}

func TestSecretsGoInAndNeverComeOut(t *testing.T) {
	w := furnished(t)
	c := w.super()
	const hush = "zugeheim-3141-hush"
	totp := "JBSWY3DPEHPK3PXPJBSWY3DP"
	ldap := map[string]any{
		"name": "dir", "urls": []string{"ldaps://ldap.example.com"}, "baseDN": "dc=example", "filter": "(uid={user})",
		"bindDN": "cn=reader", "bindPassword": map[string]any{"clear": hush},
	}
	answers := []*reply{
		c.post("/sites/main/users", map[string]any{"name": "x", "password": map[string]any{"clear": hush}, "totp": map[string]any{"secret": map[string]any{"clear": totp}}}).must(201),
		c.post("/sites/main/ldap", ldap).must(201),
		c.post("/sites/main/hostkeys", map[string]any{"name": "k"}).must(201),
		c.post("/tokens", map[string]any{"name": "robot", "sites": []string{"main"}}).must(201),
		c.ifMatch("*").patch("/settings", map[string]any{"mail": map[string]any{"host": "mail.example.com", "user": "u", "from": "s@example.com", "password": map[string]any{"clear": hush}}}).must(200),
		c.get("/sites/main/users/x"), c.get("/sites/main/users"), c.get("/sites/main/ldap/dir"), c.get("/settings"),
		c.get("/sites/main/hostkeys"), c.get("/tokens"), c.get("/tokens/robot"), c.get("/superadmins/sa"), c.get("/admins/otto"),
		c.get("/sites/main/users/x/status"), c.get("/changes"),
	}
	for _, r := range answers {
		for _, word := range []string{hush, totp, "$argon2id", "PRIVATE KEY", "sealed", `"hash"`, tokenHash(c.token)} {
			if strings.Contains(string(r.text), word) {
				t.Errorf("%s tells %s: %s", r.what, word, r.text)
			}
		}
	}
	// What is sent back as it was read stays.
	before := w.user("main", "x")
	r := c.get("/sites/main/users/x")
	c.ifMatch(r.tag()).put("/sites/main/users/x", strings.Replace(string(r.text), `"name":"x"`, `"name":"x","description":"same"`, 1)).must(200)
	after := w.user("main", "x")
	if after.Description != "same" || after.Password.Hash != before.Password.Hash || after.TOTP.Secret.Sealed != before.TOTP.Secret.Sealed || before.TOTP.Secret.Sealed == "" {
		t.Errorf("from %+v to %+v", before, after)
	}
	// What is left out goes.
	c.ifMatch("*").put("/sites/main/users/x", map[string]any{}).must(200)
	if u := w.user("main", "x"); u.Password.Hash != "" || u.TOTP.On() {
		t.Errorf("left: %+v", u)
	}
}

func TestAPasswordIsNotSentToAnotherServerThanItWasGivenFor(t *testing.T) {
	w := furnished(t)
	c := w.admin("ldap-admin", nil, nil)
	c.post("/sites/main/ldap", map[string]any{
		"name": "dir", "urls": []string{"ldaps://ldap.example.com"}, "baseDN": "dc=example", "filter": "(uid={user})",
		"bindDN": "cn=reader", "bindPassword": map[string]any{"clear": "hush"},
	}).must(201)
	c.ifMatch("*").patch("/sites/main/ldap/dir", map[string]any{"urls": []string{"ldap://evil.example.com"}}).field("bindPassword")
	c.ifMatch("*").patch("/sites/main/ldap/dir", map[string]any{"timeoutSeconds": 5}).must(200)
	c.ifMatch("*").patch("/sites/main/ldap/dir", map[string]any{
		"urls": []string{"ldaps://new.example.com"}, "bindPassword": map[string]any{"clear": "hush2"},
	}).must(200)
}

// TestAGuessedRevisionDoesNotLeadAPasswordAstray: the object that a change was checked
// against is the one that it replaces, whatever If-Match says.
func TestAGuessedRevisionDoesNotLeadAPasswordAstray(t *testing.T) {
	w := furnished(t)
	profile := func(url, password string) *model.LDAPProfile {
		return &model.LDAPProfile{
			Head: model.Head{Name: "dir"}, Site: "main", URLs: []string{url}, BaseDN: "dc=example", Filter: "(uid={user})",
			BindDN: "cn=reader", BindPassword: model.Secret{Clear: password},
		}
	}
	w.write(profile("ldaps://evil.example.com", "bait"))
	evil := &caller{key: model.AdminKey("evil"), sites: []string{"main"}, rights: model.FullRights()}
	key := model.LDAPKey("main", "dir")
	next := etag(w.engine.Seq() + 1)
	out, err := w.api.change(t.Context(), evil, key, next, func(old model.Object) ([]byte, error) {
		w.write(profile("ldaps://ldap.example.com", "hush"))
		return patched(old, []byte(`{"timeoutSeconds":5}`))
	})
	if now := object[*model.LDAPProfile](w, key); err == nil || now.URLs[0] != "ldaps://ldap.example.com" {
		t.Errorf("%+v, %v: the password goes to %q", out, err, now.URLs)
	}
}

func TestNoObjectIsDeletedByTheRevisionNought(t *testing.T) {
	w := furnished(t)
	c := w.super()
	c.ifMatch(`"0"`).delete("/sites/main/users/anna").problem(conflict)
	c.get("/sites/main/users/anna").must(200)
}

func TestAnObjectThatIsNeededSaysByWhom(t *testing.T) {
	w := furnished(t)
	p := w.super().ifMatch("*").delete("/sites/main/vfs/files").problem(referenced)
	if p.UsedBy == nil || p.UsedBy.Count != 1 || len(p.UsedBy.First) != 1 || p.UsedBy.First[0].String() != "user/main/anna" {
		t.Errorf("told %+v", p.UsedBy)
	}
	// Who may not see users learns how many, not who.
	p = w.admin("vfs-only", []model.Kind{}, []model.Kind{model.KindVFS}).ifMatch("*").delete("/sites/main/vfs/files").problem(referenced)
	if p.UsedBy.Count != 1 || len(p.UsedBy.First) != 0 || strings.Contains(p.Detail, "anna") {
		t.Errorf("told %+v: %s", p.UsedBy, p.Detail)
	}
}

func TestNamesDoNotChange(t *testing.T) {
	w := furnished(t)
	c := w.super()
	c.ifMatch("*").patch("/sites/main/users/anna", map[string]any{"name": "berta"}).field("name")
	c.ifMatch("*").patch("/sites/main/users/anna", map[string]any{"name": "Anna"}).must(200)
	c.post("/sites/main/users", map[string]any{"name": "ANNA"}).problem(exists)
	c.post("/sites/none/users", map[string]any{"name": "x"}).problem(notFound)
	c.get("/sites/none/users").problem(notFound)
}

func TestListEntriesAreFoundByAnySpellingOfTheirNetwork(t *testing.T) {
	w := furnished(t)
	c := w.super()
	made := c.post("/sites/main/entries", map[string]any{"list": "block", "network": "192.0.2.77/24"}).must(201)
	if at := made.Header.Get("Location"); at != Prefix+"/sites/main/entries/block:192.0.2.0%2F24" {
		t.Errorf("it is at %s", at)
	}
	for _, id := range []string{"block:192.0.2.0%2F24", "block:192.0.2.9%2F24", "block:::ffff:192.0.2.9%2F120"} {
		c.get("/sites/main/entries/" + id).must(200)
	}
	c.ifMatch("*").patch("/sites/main/entries/block:192.0.2.0%2F24", map[string]any{"notes": "scanner"}).must(200)
	c.ifMatch("*").patch("/sites/main/entries/block:192.0.2.0%2F24", map[string]any{"network": "198.51.100.1"}).field("network")
	c.ifMatch("*").delete("/sites/main/entries/block:192.0.2.0%2F24").must(204)
}

func TestHostKeysAreDrawnImportedAndJudged(t *testing.T) {
	w := furnished(t)
	c := w.super()
	var h model.HostKey
	c.post("/sites/main/hostkeys", map[string]any{"name": "first"}).must(201).into(&h)
	if h.Algorithm != "ssh-ed25519" || !strings.HasPrefix(h.Fingerprint, "SHA256:") || !h.Private.Set {
		t.Errorf("made %+v", h)
	}
	c.post("/sites/main/hostkeys", map[string]any{"name": "second", "algorithm": "ecdsa-sha2-nistp384"}).must(201)
	var f struct{ Code, SHA256 string }
	c.get("/sites/main/hostkeys/first/verdict").must(200).into(&f)
	if f.SHA256 != h.Fingerprint {
		t.Errorf("the verdict is %+v", f)
	}
	c.ifMatch("*").patch("/sites/main/hostkeys/first", map[string]any{"disabled": true}).must(200).into(&h)
	if !h.Disabled || h.Fingerprint != f.SHA256 || !h.Private.Set {
		t.Errorf("became %+v", h)
	}
	r := c.post("/hostkeys/audit", map[string]any{"text": "ssh-dss AAAAB3NzaC1kc3MAAACB\n" + h.Public}).must(200)
	var list Findings
	if r.into(&list); len(list.Keys) != 2 || list.Keys[0].OK() || !list.Keys[1].OK() {
		t.Errorf("found %s", r.text)
	}
}

func TestASelfSignedCertificateIsMadeForItsNames(t *testing.T) {
	w := furnished(t)
	c := w.super()
	var made, then model.Certificate
	read := func(r *reply, into *model.Certificate) {
		t.Helper()
		*into = model.Certificate{}
		r.into(into)
		block, _ := pem.Decode([]byte(into.Chain))
		if block == nil {
			t.Fatalf("no chain: %s", r.text)
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !leaf.NotAfter.Equal(into.NotAfter) || tlscert.Fingerprint(leaf.Raw) != into.Fingerprint {
			t.Fatalf("%v: %s", err, r.text)
		}
		for _, name := range into.Domains {
			if err := leaf.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
		kept := object[*model.Certificate](w, into.Key())
		key, err := w.engine.Reveal(kept.Key(), "private", kept.Private)
		if err == nil {
			_, err = tlscert.Parse([]byte(into.Chain), []byte(key))
		}
		if err != nil {
			t.Errorf("the key: %v", err)
		}
	}
	read(c.post("/certificates", map[string]any{"name": "web", "type": "self-signed", "domains": []string{"Files.example.com"}}).must(http.StatusCreated), &made)
	path := "/certificates/web"
	read(c.ifMatch("*").put(path, map[string]any{"name": "web", "type": "self-signed", "domains": []string{"files.example.com"}}).must(200), &then)
	if then.Fingerprint != made.Fingerprint {
		t.Error("another certificate for the same names")
	}
	read(c.ifMatch("*").patch(path, map[string]any{"domains": []string{"other.example.com", "192.0.2.7"}}).must(200), &then)
	if then.Fingerprint == made.Fingerprint {
		t.Error("the same certificate for other names")
	}
	made = then
	w.pass(11 * 365 * 24 * time.Hour)
	read(c.ifMatch("*").patch(path, map[string]any{}).must(200), &then)
	if then.Fingerprint == made.Fingerprint {
		t.Error("one that has ended is kept")
	}
}

func TestANewSiteHasHostKeys(t *testing.T) {
	w := furnished(t)
	c := w.super()
	c.post("/sites", map[string]any{"name": "fresh"}).must(201)
	if got := c.get("/sites/fresh/hostkeys").names(); !slices.Equal(got, []string{"ecdsa", "ed25519"}) {
		t.Errorf("it has %v", got)
	}
}

func TestAnAdminsStorageLiesInTheFolderOfItsSite(t *testing.T) {
	w := furnished(t)
	c := w.admin("storage", nil, nil)
	for _, root := range []string{"/etc", "/srv/ss-server", "/srv/ss-server/main", "/srv/ss-server/other/files", "/srv/ss-server/mainly", "/srv/ss-server/main/../other"} {
		c.post("/sites/main/vfs", map[string]any{"name": "mine", "root": root}).field("root")
	}
	if len(w.sites.made) > 0 {
		t.Errorf("made %v", w.sites.made)
	}
	c.post("/sites/main/vfs", map[string]any{"name": "mine", "root": "/srv/ss-server/main/mine"}).must(201)
	var v model.VFS
	c.post("/sites/main/vfs", map[string]any{"name": "locked", "type": "encrypted", "root": "/srv/ss-server/main/locked"}).must(201).into(&v)
	if v.KeyID != "key-1" {
		t.Errorf("made %+v", v)
	}
	c.ifMatch("*").patch("/sites/main/vfs/mine", map[string]any{"root": "/etc"}).field("root")
	c.ifMatch("*").patch("/sites/main/vfs/mine", map[string]any{"links": true}).must(200)
	super := w.super()
	super.post("/sites/main/vfs", map[string]any{"name": "elsewhere", "root": "/data"}).must(201)
	// A folder that is another site's VFS is told of without its name.
	super.post("/sites/other/vfs", map[string]any{"name": "hidden-vfs", "type": "encrypted", "root": "/srv/ss-server/main/odd"}).must(201)
	r := c.post("/sites/main/vfs", map[string]any{"name": "odd", "type": "encrypted", "root": "/srv/ss-server/main/odd"})
	if e := r.field("root"); e.Other != nil || strings.Contains(string(r.text), "hidden-vfs") {
		t.Errorf("told %s", r.text)
	}
}

// TestAnEncryptedFolderIsOneVFSHoweverItIsWritten: what is opened twice overwrites itself.
func TestAnEncryptedFolderIsOneVFSHoweverItIsWritten(t *testing.T) {
	w := furnished(t)
	c := w.super()
	vfs := func(name, root string) *reply {
		return c.post("/sites/main/vfs", map[string]any{"name": name, "type": "encrypted", "root": root})
	}
	vfs("one", "/srv/ss-server/main/vault").must(201)
	for _, other := range []string{"/srv/ss-server/main//vault", "/srv/ss-server/./main/vault", "/srv/ss-server/main/vault/", "/srv/ss-server/main/vault/."} {
		vfs("two", other).field("root")
	}
}

func TestTheSettingsAreThereBeforeTheyWereEverKept(t *testing.T) {
	w := newWorld(t)
	c := w.super()
	r := c.get("/settings").must(200)
	if r.tag() != `"0"` {
		t.Errorf("the revision is %s", r.tag())
	}
	c.ifMatch(r.tag()).put("/settings", map[string]any{"web": map[string]any{"sessionMinutes": 5}}).must(200)
	c.ifMatch(r.tag()).put("/settings", map[string]any{}).problem(conflict)
	c.ifMatch("*").patch("/settings", map[string]any{"log": map[string]any{"level": "debug"}}).must(200)
}

func (w *world) user(site, name string) *model.User {
	w.t.Helper()
	return object[*model.User](w, model.UserKey(site, name))
}

func TestAHostKeyThatIsRightIsImported(t *testing.T) {
	w := furnished(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("of the key"))
	if err != nil {
		t.Fatal(err)
	}
	key := map[string]any{"name": "old", "private": string(pem.EncodeToMemory(block))}
	c := w.super()
	c.post("/sites/main/hostkeys", key).field("private")
	key["passphrase"] = "of the key"
	c.post("/sites/main/hostkeys", key).must(201)
}

func TestAPasswordToChangeHasToBeThere(t *testing.T) {
	w := furnished(t)
	c := w.super()
	must := map[string]any{"password": map[string]any{"mustChange": true}}
	c.ifMatch("*").patch("/sites/main/users/anna", must).field("password.mustChange")
	c.post("/sites/main/users", map[string]any{"name": "bea", "password": map[string]any{"mustChange": true}}).field("password.mustChange")
	c.ifMatch("*").patch("/sites/main/users/anna", map[string]any{"password": map[string]any{"clear": goodPassword, "mustChange": true}}).must(200)
	c.ifMatch("*").patch("/sites/main/users/anna", map[string]any{"email": "anna@example.org"}).must(200)
	c.ifMatch("*").patch("/admins/otto", must).must(200)
	if !object[*model.User](w, model.UserKey("main", "anna")).Password.MustChange {
		t.Error("it was dropped")
	}
}

func TestAnImportedPasswordToSetIsMarkedUntilOneIsSet(t *testing.T) {
	w := furnished(t)
	w.write(&model.User{Head: model.Head{Name: "old"}, Site: "main", Password: model.Password{MustSet: true, MustChange: true}})
	c := w.super()
	c.ifMatch("*").patch("/sites/main/users/old", map[string]any{"email": "old@example.com"}).must(200)
	kept := func() model.Password { return object[*model.User](w, model.UserKey("main", "old")).Password }
	if got := kept(); !got.MustSet || !got.MustChange {
		t.Errorf("%+v", got)
	}
	c.ifMatch("*").patch("/sites/main/users/old", map[string]any{"password": map[string]any{"clear": goodPassword}}).must(200)
	if got := kept(); got.MustSet || got.Hash == "" {
		t.Errorf("%+v", got)
	}
	c.ifMatch("*").patch("/sites/main/users/anna", map[string]any{"password": map[string]any{"mustSet": true}}).must(200)
	if object[*model.User](w, model.UserKey("main", "anna")).Password.MustSet {
		t.Error("somebody marked a password himself")
	}
}
