package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"ss-setup/migrate"
	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// generated is a configuration made by chance, and what is to be found again.
type generated struct {
	files files
	// fields are those that nobody knows, strange the files that belong to no collection.
	fields, strange []string
}

// dice makes configurations.
type dice struct {
	*rand.Rand
	g generated
}

func (d *dice) pick(words ...string) string { return words[d.IntN(len(words))] }

// value is anything that JSON has.
func (d *dice) value(depth int) any {
	switch n := d.IntN(9); {
	case n == 0:
		return nil
	case n == 1:
		return d.IntN(2) == 0
	case n == 2:
		return d.IntN(1000) - 500
	case n == 3:
		return d.Float64() * 1e6
	case n == 4 && depth < 3:
		return []any{d.value(depth + 1), d.value(depth + 1)}
	case n == 5 && depth < 3:
		return map[string]any{d.text(): d.value(depth + 1)}
	}
	return d.text()
}

func (d *dice) text() string {
	return d.pick("", "a", "Ünïcode", "192.0.2.7", "10.0.0.0/8", "true", "-5", "2030-01-01T00:00:00Z", "x/y\\z", "con", " ", "\u0001", "$2a$10$", "anna@example.com", "{user}", strings.Repeat("long ", 60), "../..", "C:\\x", "/srv/x")
}

// spoil changes some fields of a document to something else, and adds one that nobody
// knows.
func (d *dice) spoil(collection string, doc map[string]any, spare ...string) map[string]any {
	for name := range doc {
		if d.IntN(12) == 0 && !slices.Contains(spare, name) {
			doc[name] = d.value(0)
		}
	}
	if d.IntN(3) == 0 {
		field := fmt.Sprintf("unknown%d", d.IntN(50))
		doc[field] = d.value(2)
		if path := collection + "." + field; !slices.Contains(d.g.fields, path) {
			d.g.fields = append(d.g.fields, path)
		}
	}
	return doc
}

// put makes a file of documents; now and then one is no object.
func (d *dice) put(name string, docs []map[string]any) {
	var b strings.Builder
	for _, doc := range docs {
		text, err := json.Marshal(doc)
		if err != nil {
			panic(err)
		}
		b.Write(text)
		b.WriteByte('\n')
		if d.IntN(40) == 0 {
			b.WriteString(d.pick(`7`, `"user3"`, `["user3"]`, `null`) + "\n")
		}
	}
	d.g.files[name] = b.String()
}

func (d *dice) many(n int, make func(i int) map[string]any) []map[string]any {
	var out []map[string]any
	for i := range d.IntN(n) {
		out = append(out, make(i))
	}
	return out
}

// name is one of an account: sound, double, in other case, or one that is not allowed.
func (d *dice) name() string {
	if d.IntN(3) > 0 {
		return fmt.Sprintf("user%d", d.IntN(8))
	}
	return d.pick("USER1", "User2", "a/b", "a-b", "a:b", "anna", "ａｎｎａ", "ÄNNE", "änne", "a\u0308nne", "con", "con-", " x ", "x", "x.", `CORP\joe`, "joe", `OTHER\joe`, "straße", "STRASSE", strings.Repeat("n", 80), "\u0007", "..", "cn=staff,dc=example", `cn=a\,b,dc=x`)
}

// when is a date, or what may stand in its place.
func (d *dice) when() any {
	switch d.IntN(4) {
	case 0:
		return d.Float64() * 50000
	case 1:
		return d.IntN(2_000_000_000)
	case 2:
		return 1_700_000_000_000 + d.IntN(1<<40)
	}
	return d.pick("2030-01-01T00:00:00Z", "31/12/2023", "1899-12-31", "0001-01-01T00:00:00Z", "", "soon", "2019-05-06")
}

// on is a switch, or what may stand in its place.
func (d *dice) on() any {
	if d.IntN(3) == 0 {
		return d.pick("Y", "true", "-1", "perhaps", "", "False")
	}
	return d.IntN(2) == 0
}

// scatter puts documents of a site where nothing or little tells whose they are.
func (d *dice) scatter(user func() map[string]any) {
	if d.IntN(4) == 0 {
		d.put("users.jsonl", d.many(4, func(int) map[string]any { return user() }))
	}
	if d.IntN(4) == 0 {
		d.g.files["accounts.jsonl"] = `{"id":"lost"}`
		d.g.strange = append(d.g.strange, "accounts.jsonl")
	}
}

// v6 makes a configuration of version 6.
func (d *dice) v6() generated {
	d.g = generated{files: files{}}
	d.g.files["version.json"] = `{"version":"6.2.60"}`
	var list []map[string]any
	for i := range 1 + d.IntN(3) {
		id := fmt.Sprintf("site%d", i)
		bindings := d.many(4, func(int) map[string]any {
			return d.spoil("x", map[string]any{"service": d.pick("SSH", "FTP", "SFTP"), "ip": d.pick("", "192.0.2.1", "junk"), "ipVersion": d.pick("", "IPv4", "IPv6"), "port": d.IntN(4) + 20, "behindHaProxy": d.IntN(4) == 0})
		})
		list = append(list, map[string]any{"id": id, "name": d.text(), "nodeBindings": []any{map[string]any{"nodeId": "n", "bindings": bindings}}})
		d.siteV6("sites/" + id + "/")
	}
	d.put("vsites.jsonl", list)
	d.g.fields = slices.DeleteFunc(d.g.fields, func(f string) bool { return strings.HasPrefix(f, "x.") })
	d.scatter(func() map[string]any { return map[string]any{"id": d.name()} })
	return d.g
}

func (d *dice) siteV6(at string) {
	d.put(at+"vfs.jsonl", d.many(5, func(i int) map[string]any {
		return d.spoil("vfs", map[string]any{"id": fmt.Sprint("V", max(0, i-d.IntN(2))), "name": d.pick("Files", "files", d.text()), "type": d.pick("Disk", "S3"), "target": d.pick("/srv/a", `D:\x\%USERNAME%`, "/srv/%USERNAME%/in", "/srv/%DEPT%", d.text()), "encrypt": d.on(), "quota": map[string]any{"soft": d.IntN(9), "hard": d.IntN(9)}})
	}))
	d.put(at+"users.jsonl", d.many(12, func(int) map[string]any { return d.userV6() }))
	d.put(at+"ldapconfig.jsonl", d.many(3, func(int) map[string]any {
		return d.spoil("ldapconfig", map[string]any{"id": d.pick("L0", "dc.example.com", d.text()), "port": d.IntN(1000), "ldapProto": d.pick("LDAPS", "LDAP"), "username": d.text(), "domains": []any{d.text()}})
	}))
	d.put(at+"blocklist.jsonl", d.many(5, func(int) map[string]any {
		return d.spoil("blocklist", map[string]any{"ipOrNetwork": d.text(), "persistence": d.pick("Permanent", "Temporary"), "expirationUTC": d.when()})
	}))
	d.put(at+"scripts.jsonl", d.many(3, func(int) map[string]any { return map[string]any{"name": d.text(), "code": "x"} }))
	d.put(at+"admins.jsonl", d.many(4, func(int) map[string]any {
		return d.spoil("admins", map[string]any{"id": d.name(), "email": d.text(), "permissions": map[string]any{"view": []any{d.pick("Users", "Moon")}}, "autoDisable": d.on(), "autoDisableDate": d.when()})
	}))
}

func (d *dice) userV6() map[string]any {
	id := d.name()
	if d.IntN(4) == 0 {
		id = "[" + id + "]"
	}
	return d.spoil("users", map[string]any{
		"id": id, "email": d.text(), "type": d.pick("Normal", "LDAP", "ldap", "Windows", "AD", "OIDC", d.text()), "ldapServerId": d.pick("", "L0", "L9"), "authTypes": []any{d.pick("Password", "PKI", d.text())}, "authMultiOnSsh": d.on(),
		"password":           map[string]any{"version": d.pick("V6", "Legacy"), "salt": "00FC6F12", "payload": d.pick(strings.Repeat("ab", 64), "$argon2id$x", "", "junk")},
		"home":               map[string]any{"vfsId": fmt.Sprint("V", d.IntN(6)), "permissions": []any{d.pick("List", "Get", "Put", "Fly", d.text())}},
		"virtualFolders":     map[string]any{d.text(): map[string]any{"vfsId": fmt.Sprint("V", d.IntN(6))}, "/m//n": map[string]any{"vfsId": "V0"}, "/m/n/": map[string]any{"vfsId": "V0"}},
		"permissionOverride": map[string]any{"/a/b": map[string]any{"permissions": []any{"List"}}, "/a//b": nil, d.text(): nil},
		"sshPubKeys":         []any{map[string]any{"key": d.pick(goodKey, "from=\"10.0.0.1\" "+goodKey, "@revoked x "+goodKey, "ssh-rsa AAAA", d.text())}},
		"status":             d.pick("Enabled", "Disabled", d.text()), "allowList": []any{map[string]any{"ipOrNetwork": d.text()}}, "description": d.text(),
		"autoEnable": d.on(), "autoEnableDate": d.when(), "autoDisable": d.on(), "autoDisableDate": d.when(), "subsystems": []any{d.pick("SSH2_SFTP", "FTP")},
		"speedLimits": []any{map[string]any{"source": d.text(), "upKbps": d.IntN(9) - 1}}, "authenticatorSecret": map[string]any{"status": d.pick("Encrypted", "Plain"), "payload": d.pick("", "ABCDEFGHIJKLMNOP", "x")},
	}, "id")
}

// v45 makes a configuration of version 4 or 5.
func (d *dice) v45() generated {
	d.g = generated{files: files{}}
	d.g.files["version.json"] = fmt.Sprintf(`{"Version":%q}`, d.pick("4.2.1", "5.1.30"))
	for i := range 1 + d.IntN(3) {
		at := fmt.Sprintf("vservers/server%d/", i)
		d.put(at+"vfs.jsonl", d.many(4, func(i int) map[string]any {
			return d.spoil("vfs", map[string]any{"_id": fmt.Sprint("V", max(0, i-d.IntN(2))), "VFSName": d.text(), "TargetType": d.pick("Disk", "DiskAES256", "SFTP", ""), "Target": d.pick(`C:\a`, `C:\u\%USERNAME%\x`, d.text()), "EncryptionPass": d.pick("", "", "p"), "SoftQuota": d.IntN(5), "HardQuota": d.IntN(5)})
		}))
		d.put(at+"users.jsonl", append([]map[string]any{{"Username": "first", "UserType": "SMS"}}, d.many(12, func(int) map[string]any { return d.userV45() })...))
		d.put(at+"blacklist.jsonl", d.many(4, func(int) map[string]any {
			return map[string]any{"IPNet": d.text(), "BLPerTemporary": d.on(), "Expiration": d.when()}
		}))
		d.put(at+"scripts.jsonl", d.many(3, func(int) map[string]any { return map[string]any{"Name": d.text(), "Code": "begin end."} }))
	}
	d.scatter(func() map[string]any {
		return map[string]any{"Username": d.name(), "UserType": d.pick("SMS", "ADGROUP")}
	})
	return d.g
}

func (d *dice) userV45() map[string]any {
	return d.spoil("users", map[string]any{
		"_id": d.text(), "Username": d.name(), "UserType": d.pick("SMS", "WinUser", "ADUser", "aduser", "ADGroup", "ADGROUP", "AD Group ", "adgroup.", "WinGroup", "SMSgroup", "Radius", ""), "PHType": d.pick("V4Plus", "Legacy"), "Salt": d.pick("00FC6F12", ""), "Password": d.pick(strings.Repeat("CD", 64), d.text()),
		"Home":      map[string]any{"VFSItemID": fmt.Sprint("V", d.IntN(5)), "Permissions": map[string]any{"canListDir": d.on(), "canRenFile": d.on()}, "ImpType": d.pick("None", "ByHandle")},
		"AuthTypes": []any{"Password"}, "AllowSFTP": d.on(), "AccountStatus": d.pick("Enabled", "Disabled", d.text()), "AutoEnable": d.on(), "AutoEnableWhen": d.when(), "AutoDisable": d.on(), "AutoDisableWhen": d.when(),
		"AllowedIPs": []any{d.text()}, "VirtualFolders": []any{map[string]any{"MountPoint": d.text(), "VFSItemID": "V0"}}, "EventHandlers": []any{map[string]any{"Event": "x"}}, "PubKeys": []any{d.text()},
	}, "Username", "UserType")
}

// TestNothingOfAConfigurationIsSilentlyLost: every document that a reader of its own
// finds is in the result or in the report, and so is every field that nobody knows; what
// comes out is valid and refers to what is there.
func TestNothingOfAConfigurationIsSilentlyLost(t *testing.T) {
	for seed := range uint64(40) {
		for version, make := range map[string]func(*dice) generated{"6": (*dice).v6, "4/5": (*dice).v45} {
			d := &dice{Rand: rand.New(rand.NewPCG(seed, 7))}
			g := make(d)
			got := importPath(t, g.files.zip(t), importer.Options{OS: d.pick("linux", "windows"), HostKeys: func(string) []*model.HostKey { return fixedKeys }})
			where := fmt.Sprintf("version %s, seed %d", version, seed)
			checkFound(t, where, readBack(t, g.files), got)
			checkFields(t, where, g, got)
			checkLocks(t, where, got)
			checkReferences(t, where, got)
			if t.Failed() {
				t.FailNow()
			}
		}
	}
}

// place is where objects of a kind lie. site is empty for what lies in no site's folder.
type place struct {
	kind report.Kind
	site string
}

// found are the documents of a place by their names, "" for what is no object.
type found map[place][]string

// readBack reads the files of a configuration as simply as can be, without anything of
// what imports it.
func readBack(t *testing.T, f files) found {
	t.Helper()
	out := found{}
	for name, text := range f {
		parts := strings.Split(strings.TrimSuffix(name, ".jsonl"), "/")
		site := ""
		if len(parts) == 3 {
			site = parts[1]
		}
		for line := range strings.Lines(text) {
			var doc map[string]any
			if err := json.Unmarshal([]byte(line), &doc); err != nil {
				doc = nil
			}
			kind, label := kindAndName(parts[len(parts)-1], doc)
			if kind == "" {
				continue
			}
			text, _ := label.(string)
			out[place{kind, site}] = append(out[place{kind, site}], text)
		}
	}
	return out
}

func kindAndName(collection string, doc map[string]any) (kind report.Kind, name any) {
	switch collection {
	case "users":
		if id, ok := doc["id"].(string); ok {
			if len(id) > 2 && id[0] == '[' && id[len(id)-1] == ']' {
				return report.Group, id[1 : len(id)-1]
			}
			return report.User, id
		}
		kind, _ := doc["UserType"].(string)
		letters := strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) {
				return unicode.ToLower(r)
			}
			return -1
		}, kind)
		if strings.HasSuffix(letters, "group") {
			return report.Group, doc["Username"]
		}
		return report.User, doc["Username"]
	case "vfs":
		return report.VFS, nil
	case "ldapconfig":
		return report.LDAP, nil
	case "blocklist", "blacklist":
		return report.ListEntry, nil
	case "scripts":
		return report.Script, nil
	case "admins":
		return report.Admin, doc["id"]
	}
	return "", nil
}

// checkFound compares what a reader finds with the result and the report: of each place
// as many documents as there are objects and dropped ones, and every name in one of both.
func checkFound(t *testing.T, where string, in found, got imported) {
	t.Helper()
	only := "" // where what lies in no folder belongs if there is one site
	sites := 0
	for _, o := range got.objects {
		if o.Key().Kind == model.KindSite {
			only = o.Key().ID
			sites++
		}
	}
	if sites > 1 {
		only = ""
	}
	byPlace := found{}
	for p, names := range in {
		if p.site == "" {
			p.site = only
		}
		byPlace[p] = append(byPlace[p], names...)
	}
	total := map[report.Kind]int{}
	for p, names := range byPlace {
		total[p.kind] += len(names)
		if n := objects(got, p) + dropped(got, p); p.kind != report.Admin && n != len(names) {
			t.Errorf("%s: a reader finds %d of kind %s of site %q, %d are there or dropped", where, len(names), p.kind, p.site, n)
		}
		for _, name := range names {
			if name != "" && !accounted(got, p, name) {
				t.Errorf("%s: the %s %q of site %q is neither there nor in the report", where, p.kind, name, p.site)
			}
		}
	}
	for _, c := range got.report.Counts() {
		if n, ok := total[c.Kind]; ok && c.In != n {
			t.Errorf("%s: a reader finds %d of kind %s, the report %d", where, n, c.Kind, c.In)
		}
	}
}

// objects counts what is there of a place: objects of the kind, and kept ones.
func objects(got imported, p place) (n int) {
	kinds := map[report.Kind]model.Kind{report.User: model.KindUser, report.Group: model.KindGroup, report.VFS: model.KindVFS, report.LDAP: model.KindLDAP, report.ListEntry: model.KindEntry}
	for _, o := range got.objects {
		key := o.Key()
		kept, isKept := o.(*model.Legacy)
		if key.Site == p.site && (key.Kind == kinds[p.kind] || isKept && (p.kind == report.VFS && kept.Type == "vfs" || p.kind == report.Script && kept.Type == "script")) {
			n++
		}
	}
	for _, l := range got.report.Lines {
		if l.Outcome == report.Made && l.Kind == p.kind && l.Site == p.site {
			n--
		}
	}
	return n
}

func dropped(got imported, p place) (n int) {
	for _, l := range got.report.Lines {
		if l.Outcome == report.Dropped && l.Kind == p.kind && l.Site == p.site {
			n++
		}
	}
	return n
}

func accounted(got imported, p place, name string) bool {
	for _, o := range got.objects {
		if key := o.Key(); key.Site == p.site && o.Header().Name == name && (key.Kind == model.KindUser || key.Kind == model.KindGroup || key.Kind == model.KindAdmin) {
			return true
		}
		if a, ok := o.(*model.Admin); ok && a.Name == name {
			return true
		}
	}
	return slices.ContainsFunc(got.report.Lines, func(l report.Line) bool { return l.Kind == p.kind && l.Site == p.site && l.Name == report.Shown(name) })
}

func checkFields(t *testing.T, where string, g generated, got imported) {
	t.Helper()
	for _, path := range g.fields {
		if !slices.ContainsFunc(got.report.Fields(), func(f report.Field) bool { return f.Path == path && f.Unknown }) {
			t.Errorf("%s: the field %s is not told", where, path)
		}
	}
	for _, name := range g.strange {
		if !slices.ContainsFunc(got.report.Losses(), func(l report.Line) bool { return l.Name == name }) {
			t.Errorf("%s: the file %s is no loss", where, name)
		}
	}
}

// checkLocks: whoever the import has disabled is a loss by name.
func checkLocks(t *testing.T, where string, got imported) {
	t.Helper()
	reasons := map[string]bool{}
	for _, l := range got.report.Losses() {
		reasons[l.Site+"/"+l.What] = true
	}
	for _, o := range got.objects {
		if u, ok := o.(*model.User); ok && u.Reason != "" && !reasons[u.Site+"/"+strings.TrimPrefix(u.Reason, "import: ")] {
			t.Errorf("%s: nobody is told why %s is disabled: %s", where, u.Key(), u.Reason)
		}
	}
}

func checkReferences(t *testing.T, where string, got imported) {
	t.Helper()
	there := map[model.Key]bool{}
	for _, o := range got.objects {
		if there[o.Key()] {
			t.Errorf("%s: %s is there twice", where, o.Key())
		}
		for _, r := range o.References() {
			if !there[r.To] {
				t.Errorf("%s: %s refers to %s, which is not there before it", where, o.Key(), r.To)
			}
		}
		there[o.Key()] = true
	}
}

// FuzzImport: whatever a tree says, importing ends, and the report adds up.
func FuzzImport(f *testing.F) {
	for _, seed := range []string{
		`{"version":{"version":"6.2.60"},"vsites":[{"id":"a"}],"sites":{"a":{"users":[{"id":"x"},{"id":"[g]"}],"vfs":[{"id":"V"}]}}}`,
		`{"version":{"Version":"5.1.30"},"vservers":{"default":{"conf":{"MaxConn":"7"},"users":[{"Username":"anna","UserType":"ADGroup"}]}}}`,
		`{"globalconfig":{"smtpConf":{"host":"a b"}},"superadmins":[{}],"vsites":[{}]}`,
		`{"sites":{"a":{"certs":[{"cert":"AAAA"}],"sshhostkeys":[{"key":"x"}],"ldapconfig":[{}],"blocklist":[{}],"admins":[{}],"scripts":[1,null,"x"]}},"vsites":[]}`,
		`{"vservers":{"a":{"blacklist":[{"IPNet":"1"}],"nodes":[{"Bindings":[{"Port":1e9}]}],"certificates":[{"Cert":"MIIB"}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := archive.Read(bytes.NewReader(text), int64(len(text)), "x.json")
		if err != nil {
			return
		}
		s, err := migrate.Recognise(context.Background(), file)
		if err != nil {
			return
		}
		r := report.New(s.About())
		err = s.Import(context.Background(), importer.Options{NewNode: "n", Now: func() time.Time { return day }, HostKeys: func(string) []*model.HostKey { return fixedKeys }}, importer.Discard{}, r)
		if err != nil && !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%v", err)
		}
		if err := errors.Join(r.WriteText(&bytes.Buffer{}), r.WriteHTML(&bytes.Buffer{})); err != nil {
			t.Error(err)
		}
		if raw, err := json.Marshal(r); err != nil || !json.Valid(raw) {
			t.Error(err)
		}
	})
}

// fixedKeys save a test the making of keys.
var fixedKeys = []*model.HostKey{
	{Head: model.Head{Name: "e"}, Site: "x", Algorithm: "ssh-ed25519", Public: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eULB+Kh7jt2WKAFIDuy3RaZA0yn3jkvUpgWP0SKNk", Private: model.Secret{Clear: "x"}},
}
