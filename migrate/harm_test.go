package migrate_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"ss-setup/migrate"
	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// TestAVFSNeverLiesOnTheServersOwnFolders: a backup from anywhere would have its user read
// the keys of the machine.
func TestAVFSNeverLiesOnTheServersOwnFolders(t *testing.T) {
	own := func(path string) error {
		if path == "/var/lib/ss-server/keyring" {
			return errors.New("it is the server's own folder")
		}
		return nil
	}
	for _, root := range []string{"/var/lib/ss-server/keyring", "/var/lib//ss-server/./keyring/", "/", "/.", "//", "/srv/.."} {
		got := importPath(t, files{
			"vsites.json":              someSite,
			"sites/default/vfs.json":   fmt.Sprintf(`[{"id":"V1","name":"Files","type":"Disk","target":%q}]`, root),
			"sites/default/users.json": someUsers,
		}.zip(t), importer.Options{Own: own})
		if got.get("vfs/default/files") != nil {
			t.Errorf("%s is a VFS now", root)
		}
		if u := got.user(t, "user/default/anna"); !u.Disabled || u.Home.VFS != "" {
			t.Errorf("%s: its user is %+v", root, u)
		}
	}
	got := importPath(t, files{
		"vsites.json":              someSite,
		"sites/default/vfs.json":   `[{"id":"V1","name":"Files","type":"Disk","target":"/etc"},{"id":"V2","name":"Usual","type":"Disk","target":"/srv/ss-server/default"}]`,
		"sites/default/users.json": someUsers,
	}.zip(t), importer.Options{Own: own, Files: "/srv/ss-server"})
	if text := got.text(t); !strings.Contains(text, "users reach these folders of this machine: /etc;") {
		t.Errorf("the report does not tell which folders users reach: %s", text)
	}
}

const secretOfOld = "Xy7-secret"

// secretiveBackup has secrets in everything that is only kept.
func secretiveBackup() files {
	return files{
		"version.json":      `{"version":"6.2.60"}`,
		"vsites.json":       someSite,
		"nodes.json":        `[{"id":"one"},{"id":"two","privateKey":"-----BEGIN PRIVATE KEY-----` + secretOfOld + `"}]`,
		"globalconfig.json": `[{"id":"g","logConf":{"cfgToDb":{"dbUri":"mysql://root:` + secretOfOld + `@db/x","user":"log","pass":{"status":"Plain","payload":"` + secretOfOld + `"}}}}]`,
		"sites/default/vfs.json": `[{"id":"V2","name":"Cloud","type":"S3","target":"bucket-seven","targetPayload":"{\"secretKey\":\"` + secretOfOld + `\"}","passPhrase":{"payload":"` + secretOfOld + `"}},
			{"id":"V3","name":"Far","type":"SFTP","target":"sftp://u:` + secretOfOld + `@far.example.com/x"}]`,
		"sites/default/srvconfig.json":  `[{"httpConf":{"jwtSecretWc":{"status":"Plain","payload":"` + secretOfOld + `"},"maxZipFiles":7},"smtpConf":{"host":"mail","pass":{"payload":"` + secretOfOld + `"}}}]`,
		"sites/default/users.json":      `[{"id":"anna","home":{"vfsId":"V2"}}]`,
		"sites/default/ldapconfig.json": `[{"id":"ldap://cn=x:` + secretOfOld + `@dc","ldapProto":"LDAP"}]`,
	}
}

// TestSecretsOfKeptObjectsAreNotShown: an Admin may see kept objects, and a backup may lie
// anywhere.
func TestSecretsOfKeptObjectsAreNotShown(t *testing.T) {
	got := importPath(t, secretiveBackup().zip(t), importer.Options{})
	kept, whole := 0, 0
	for _, o := range got.objects {
		l, ok := o.(*model.Legacy)
		if !ok {
			continue
		}
		kept++
		if strings.Contains(l.Whole.Clear, secretOfOld) {
			whole++
		}
		shown := model.Clone(l)
		model.Redact(shown)
		raw, err := json.Marshal(shown)
		must(t, err)
		if bytes.Contains(raw, []byte(secretOfOld)) {
			t.Errorf("%s shows %s", l.Key(), raw)
		}
		if l.Type == "node" && l.Whole.Clear != "" {
			t.Errorf("the key of a node is kept: %s", l.Whole.Clear)
		}
		if l.Name == "Cloud" && !bytes.Contains(raw, []byte("bucket-seven")) {
			t.Errorf("nobody can see what it was: %s", raw)
		}
	}
	if kept < 6 || whole < 5 {
		t.Errorf("%d are kept, %d with their secret", kept, whole)
	}
	if text := got.text(t); strings.Contains(reportOf(text), secretOfOld) {
		t.Errorf("the report tells it: %s", text)
	}
	m := newMachine(t)
	m.imports(t, secretiveBackup().zip(t))
	store, err := os.ReadFile(m.Schema.Path(m.Data))
	must(t, err)
	for what, content := range map[string][]byte{"the store": store, "a backup": m.backup(t)} {
		if bytes.Contains(content, []byte(secretOfOld)) {
			t.Errorf("%s has it in clear", what)
		}
	}
	m.in(t, func(e *engine.Engine) {
		must(t, e.Read(func(r *engine.Reader) error {
			l, err := engine.LegacyItems.Get(r, "default", "vfs:cloud")
			if err != nil {
				return err
			}
			text, err := e.Reveal(l.Key(), "whole", l.Whole)
			if err == nil && !strings.Contains(text, secretOfOld) {
				t.Errorf("it is lost: %s", text)
			}
			return err
		}))
	})
}

// reportOf is the report within the text of an import.
func reportOf(text string) string {
	_, out, _ := strings.Cut(text, "\n\n")
	return out
}

// TestAReportCannotBeForged: names come from the backup, and the report goes to the
// terminal of root.
func TestAReportCannotBeForged(t *testing.T) {
	forged := "x\n  - imported: all users\u001b[2J\u202e\u0085"
	quoted, err := json.Marshal(forged)
	must(t, err)
	name := string(quoted)
	got := importPath(t, files{
		"vsites.json":                `[{"id":` + name + `}]`,
		"sites/default/users.json":   `[{"id":` + name + `,` + name + `:1,"type":"Windows"},{"id":"[` + name[1:len(name)-1] + `]","type":"Windows"},{"id":"u","permissions":1,"home":{"vfsId":"V9","permissions":[` + name + `]}}]`,
		"sites/default/vfs.json":     `[{"id":"V1","name":` + name + `,"encrypt":true,"target":` + name + `}]`,
		"sites/default/scripts.json": `[{"name":` + name + `}]`,
	}.zip(t), importer.Options{})
	var text, page bytes.Buffer
	must(t, errors.Join(got.report.WriteText(&text), got.report.WriteHTML(&page)))
	for what, out := range map[string]string{"text": text.String(), "page": page.String()} {
		for at, r := range out {
			if r != '\n' && !unicode.IsGraphic(r) {
				t.Fatalf("the %s has %U: %q", what, r, out[max(0, at-60):at+10])
			}
		}
	}
	if strings.Contains(text.String(), "\n  - imported") {
		t.Errorf("a line was forged:\n%s", text.String())
	}
	if !strings.Contains(text.String(), `x\x0a  - imported: all users\x1b[2J\u202e\u0085`) {
		t.Errorf("the name is not told:\n%s", text.String())
	}
	err = tryImport(files{"version.json": `{"version":"3.1\u001b[2J"}`}.zip(t), &keeper{})
	if err == nil || strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Errorf("%q", err)
	}
}

// lines is a zip with one file of the same line n times.
func lines(t testing.TB, name, line string, n int) string {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	w, err := z.Create("vsites.json")
	must(t, err)
	_, err = w.Write([]byte(someSite))
	must(t, err)
	w, err = z.Create(name)
	must(t, err)
	for range n {
		// Not so like each other that it is taken for a bomb.
		_, err = fmt.Fprintf(w, line+"\n", time.Now().UnixNano())
		must(t, err)
	}
	must(t, z.Close())
	return write(t, "many.zip", out.Bytes())
}

// TestABackupWithMoreThanAnybodyHasIsRefused: it would fill the memory of the machine.
func TestABackupWithMoreThanAnybodyHasIsRefused(t *testing.T) {
	many := func(n int, form string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = fmt.Sprintf(form, i)
		}
		return strings.Join(parts, ",")
	}
	for what, f := range map[string]files{
		"sites":           {"vsites.json": "[" + many(1001, `{"id":"s%d"}`) + "]"},
		"sites in a tree": {"all.json": `{"vsites":[],"sites":{` + many(1001, `"s%d":{"users":[]}`) + `}}`},
		"bindings":        {"vsites.json": `[{"id":"a","nodeBindings":[{"bindings":[` + many(2001, `{"service":"SSH","port":%d}`) + `]}]}]`},
		"host keys":       {"vsites.json": someSite, "sites/default/sshhostkeys.json": "[" + many(101, `{"id":"%d"}`) + "]"},
		"certificates":    {"vsites.json": someSite, "sites/default/certs.json": "[" + many(2001, `{"id":"%d"}`) + "]"},
		"Admins":          {"vsites.json": someSite, "sites/default/admins.json": "[" + many(10_001, `{"id":"%d"}`) + "]"},
		"parts of a tree": {"all.json": `{"vsites":[],` + many(10_001, `"x%d":1`) + `}`},
		"virtual servers": {"vservers.json": "[" + many(1001, `{"Name":"s%d"}`) + "]"},
	} {
		if err := tryImport(f.zip(t), importer.Discard{}); !errors.Is(err, archive.ErrHostile) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestAnAccountWithoutEndIsDropped: its parts are compared each with each.
func TestAnAccountWithoutEndIsDropped(t *testing.T) {
	keys := strings.Repeat(`{"key":"ssh-ed25519 AAAA"},`, 1000) + `{"key":"x"}`
	got := importPath(t, files{"vsites.json": someSite, "sites/default/users.json": `[{"id":"anna","sshPubKeys":[` + keys + `]},{"id":"otto"}]`}.zip(t), importer.Options{})
	got.user(t, "user/default/otto")
	if losses := got.report.Losses(); len(losses) == 0 || losses[0].Name != "anna" || got.get("user/default/anna") != nil {
		t.Errorf("got %v", got.report.Losses())
	}
}

// TestManyEqualNamesTakeNoLonger: each gets a number, and none tries all before it.
func TestManyEqualNamesTakeNoLonger(t *testing.T) {
	began := time.Now()
	got := importPath(t, lines(t, "sites/default/scripts.jsonl", `{"name":"a","code":"%d"}`, 50_000), importer.Options{})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("50,000 scripts took %v", took)
	}
	if got.get("legacy/default/script:a 50000") == nil {
		t.Error("they do not have numbers")
	}
}

// TestSessionsOfTheOldServerAreCountedAndNotListed: there may be millions.
func TestSessionsOfTheOldServerAreCountedAndNotListed(t *testing.T) {
	got := importPath(t, lines(t, "sites/default/sessions.jsonl", `{"id":%d}`, 500), importer.Options{})
	n := 0
	for _, l := range got.report.Lines {
		if strings.HasPrefix(l.Name, "notices and counts") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d lines", n)
	}
	for _, c := range got.report.Counts() {
		if c.Kind == report.Other && (c.In != 500 || c.Dropped != 500) {
			t.Errorf("counted %+v", c)
		}
	}
}

// TestSeveralTreesInAFileAreAllRead: as documents may stand one after another.
func TestSeveralTreesInAFileAreAllRead(t *testing.T) {
	text := `{"vsites":[{"id":"a"}],"sites":{"a":{"users":[{"id":"anna"}]}}} {"sites":{"a":{"users":[{"id":"otto"},{"id":"kim"}]}}}`
	for _, path := range []string{write(t, "all.json", []byte(text)), files{"all.json": text}.zip(t)} {
		got := importPath(t, path, importer.Options{})
		for _, name := range []string{"anna", "otto", "kim"} {
			got.user(t, "user/a/"+name)
		}
	}
}

// manySites is a configuration in which everything is compared with what was given before.
func manySites(n int) files {
	f := files{"version.json": `{"version":"6.2.60"}`}
	var list []string
	for i := range n {
		var bindings, users []string
		for j := range 40 {
			bindings = append(bindings, fmt.Sprintf(`{"service":"SSH","ip":"192.0.2.%d","port":%d}`, j%7, 2000+j%5))
		}
		for j := range 40 {
			users = append(users, fmt.Sprintf(`{"id":"user%d","home":{"vfsId":"V%d"}}`, j, j%3))
		}
		at := fmt.Sprintf("sites/s%d/", i)
		list = append(list, fmt.Sprintf(`{"id":"s%d","nodeBindings":[{"nodeId":"n","bindings":[%s]}]}`, i, strings.Join(bindings, ",")))
		f[at+"users.json"] = "[" + strings.Join(users, ",") + "]"
		f[at+"vfs.json"] = `[{"id":"V0","name":"Ä","target":"/srv/a"},{"id":"V1","name":"B","target":"/srv/b/%USERNAME%"},{"id":"V2","name":"C","target":"/srv/c"}]`
	}
	f["vsites.json"] = "[" + strings.Join(list, ",") + "]"
	return f
}

// TestWhatIsWrittenIsNotReadAnyMore: objects are written beside the reading of the next.
// The race detector sees the rest.
func TestWhatIsWrittenIsNotReadAnyMore(t *testing.T) {
	m := newMachine(t)
	m.imports(t, manySites(40).zip(t))
	if got := m.content(t); !has(got, "user/s39/user39 ") {
		t.Error("the last user is not there")
	}
}

// TestAReportIsOneOfADryRunUntilTheImportIsInForce: who says no to it keeps it, perhaps.
func TestAReportIsOneOfADryRunUntilTheImportIsInForce(t *testing.T) {
	m := newMachine(t)
	s, err := migrate.Open(context.Background(), files{"vsites.json": someSite}.zip(t))
	must(t, err)
	built, r, err := migrate.Build(context.Background(), s, m.Place, m.present(t), importer.Options{NewNode: "here"}, func(string) {})
	must(t, err)
	must(t, errors.Join(s.Close(), built.Discard()))
	if !r.DryRun {
		t.Error("it says that something was imported")
	}
}

// TestWhatStaysMustStayTheSame: a password that was set while somebody read the report
// would be undone.
func TestWhatStaysMustStayTheSame(t *testing.T) {
	m := newMachine(t)
	m.setUp(t)
	before := m.present(t)
	if !before.Same(m.present(t)) {
		t.Error("nothing was changed")
	}
	m.in(t, func(e *engine.Engine) {
		_, err := e.Write(context.Background(), "x", func(tx *engine.Tx) error {
			sa, err := engine.SuperAdmins.Get(tx.Reader, "", "sa")
			if err != nil {
				return err
			}
			sa.Password.Hash = "$argon2id$other"
			return tx.Put(sa)
		})
		must(t, err)
	})
	if before.Same(m.present(t)) {
		t.Error("a password was changed")
	}
}

const oldCertificate = `-----BEGIN CERTIFICATE-----
MIIBjDCCATGgAwIBAgIUPF+rx5jsrXgjc0kxi1tezkmD1sUwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPb2xkLmV4YW1wbGUuY29tMCAXDTI2MTEyMjE0NDAzNVoYDzIx
MjYxMDI5MTQ0MDM1WjAaMRgwFgYDVQQDDA9vbGQuZXhhbXBsZS5jb20wWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAS43S0qw5SVwWZ48QNiZtXqGDtwBWHd6emId6iP
T8WRvze2pQ+hGHY/qjc/50zxUOU+/i51YcTDagRQAljr465io1MwUTAdBgNVHQ4E
FgQUAUMVWTeW/Ll4Yry3FidX/NlcJGcwHwYDVR0jBBgwFoAUAUMVWTeW/Ll4Yry3
FidX/NlcJGcwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAwZ5t
NQf/dhNbFo3VWWRoCDcynm0S28QeHfprUBDFu8MCIQC6Ug84t7Hjl9S7+wnis7cd
vl+PvVKzOeVhuzy4aYlTfg==
-----END CERTIFICATE-----`

// TestAnEncryptedKeyOfACertificateIsOpenedWithItsPassword: in both ways that openssl
// writes one.
func TestAnEncryptedKeyOfACertificateIsOpenedWithItsPassword(t *testing.T) {
	for how, key := range map[string]string{"PKCS #8": encryptedKey8, "PEM": encryptedKey1} {
		raw, err := json.Marshal([]map[string]string{{"id": "web", "cert": oldCertificate, "key": key}})
		must(t, err)
		path := files{"vsites.json": someSite, "sites/default/certs.json": string(raw)}.zip(t)
		passwords := []string{"secret2"}
		for i := range 600 { // one in 256 decrypts to something
			passwords = append([]string{fmt.Sprint("wrong", i)}, passwords...)
		}
		if how == "PKCS #8" {
			passwords = passwords[590:]
		}
		got := importPath(t, path, importer.Options{Passwords: passwords})
		x, ok := got.get("certificate/default/web").(*model.Certificate)
		if !ok || !strings.Contains(x.Private.Clear, "BEGIN PRIVATE KEY") {
			t.Errorf("%s: %s", how, reportOf(got.text(t)))
		}
		if got := importPath(t, path, importer.Options{Passwords: []string{"wrong"}}); got.get("certificate/default/web") != nil {
			t.Errorf("%s: it was opened by a wrong password", how)
		}
	}
}

// TestTheCertificateOfTheWebPagesKeepsItsName: an imported one of the same name gets
// another, and is the same one at the next import.
func TestTheCertificateOfTheWebPagesKeepsItsName(t *testing.T) {
	m := newMachine(t)
	m.setUp(t)
	mine := &model.Certificate{Head: model.Head{Name: "web"}, Type: model.CertSelfSigned, Domains: []string{"mine.example.com"}, Fingerprint: "aa"}
	m.in(t, func(e *engine.Engine) {
		_, err := e.Write(context.Background(), "x", func(tx *engine.Tx) error { return tx.Put(mine) })
		must(t, err)
	})
	raw, err := json.Marshal([]map[string]string{{"id": "web", "cert": oldCertificate, "key": encryptedKey8}})
	must(t, err)
	path := files{"vsites.json": someSite, "nodecerts.json": string(raw)}.zip(t)
	for range 2 {
		m.importsWith(t, path, importer.Options{Passwords: []string{"secret2"}})
		got := m.content(t)
		if !has(got, "certificate//web ") || !has(got, "certificate//web 2 ") || has(got, "certificate//web 3 ") {
			t.Errorf("got %q", got)
		}
		for _, line := range got {
			if strings.HasPrefix(line, "certificate//web &") && !strings.Contains(line, "mine.example.com") {
				t.Errorf("the certificate of the web pages is %s", line)
			}
		}
	}
}

const encryptedKey8 = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHjME4GCSqGSIb3DQEFDTBBMCkGCSqGSIb3DQEFDDAcBAhSGhqN15dcGAICCAAw
DAYIKoZIhvcNAgkFADAUBggqhkiG9w0DBwQIkdqWANjG/DUEgZCVQRdXb+NkKC/E
s59r5Vv8Qp05uTS4nPJHjpRHwTbWBbf0yJNksMFq3o2W75mVw5RJdvYp9JzL9aAF
jcG4F334WSI+/OTzxMtsFx1wfkLl/PFZkZW4mPTngukAzGt38w50usvWE97zVl40
fQJbJtTbVCjtd2TzF37C+9tagl30H0cNtMXS9qf4d/L0Ro26TaE=
-----END ENCRYPTED PRIVATE KEY-----`

const encryptedKey1 = `-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,7C3B3D9FBB61FAF7817743B373E18BA1

jRKn1eZjVq+KT16WQdRBCY6izs4hSsCMKcUzciWnhALelRFS2Qq+fIx9VjukDqGs
ND5KGAYrJ0kgs7vXBPIAVVv+P4+LhAV7mLxwJsiBNOVZrvgxtjOcjI8wWCgldsM4
B1Y9/yIUqfRSBLVhSpMBuSnO2SbGaqB4gzj3RD48LAM=
-----END EC PRIVATE KEY-----`
