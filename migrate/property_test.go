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

	"ss-setup/migrate"
	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// generated is a configuration made by chance, and what is to be found again.
type generated struct {
	files files
	// in is how many objects of each kind it has.
	in map[report.Kind]int
	// names are the users and groups, as KIND SITE NAME; fields those that nobody knows.
	names  []string
	fields []string
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

func (d *dice) put(name string, docs []map[string]any) {
	var b strings.Builder
	for _, doc := range docs {
		text, err := json.Marshal(doc)
		if err != nil {
			panic(err)
		}
		b.Write(text)
		b.WriteByte('\n')
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

// v6 makes a configuration of version 6.
func (d *dice) v6() generated {
	d.g = generated{files: files{}, in: map[report.Kind]int{}}
	d.g.files["version.json"] = `{"version":"6.2.60"}`
	sites := 1 + d.IntN(3)
	var list []map[string]any
	for i := range sites {
		id := fmt.Sprintf("site%d", i)
		bindings := d.many(4, func(int) map[string]any {
			d.g.in[report.Binding]++
			return d.spoil("x", map[string]any{"service": d.pick("SSH", "FTP", "SFTP"), "ip": d.pick("", "192.0.2.1", "junk"), "port": d.IntN(4) + 20, "behindHaProxy": d.IntN(4) == 0})
		})
		list = append(list, map[string]any{"id": id, "name": d.text(), "nodeBindings": []any{map[string]any{"nodeId": "n", "bindings": bindings}}})
		d.siteV6("sites/"+id+"/", id)
	}
	d.g.in[report.Site] = sites
	d.put("vsites.jsonl", list)
	d.g.fields = slices.DeleteFunc(d.g.fields, func(f string) bool { return strings.HasPrefix(f, "x.") })
	return d.g
}

func (d *dice) siteV6(at, site string) {
	vfs := d.many(5, func(i int) map[string]any {
		return d.spoil("vfs", map[string]any{"id": fmt.Sprint("V", i), "name": d.pick("Files", "files", d.text()), "type": d.pick("Disk", "S3"), "target": d.pick("/srv/a", `D:\x\%USERNAME%`, d.text()), "encrypt": d.IntN(4) == 0, "quota": map[string]any{"soft": d.IntN(9), "hard": d.IntN(9)}})
	})
	users := d.many(12, func(i int) map[string]any {
		name := fmt.Sprintf("user%d", d.IntN(8))
		kind, id := report.User, name
		if d.IntN(4) == 0 {
			kind, id = report.Group, "["+name+"]"
		}
		d.g.in[kind]++
		d.g.names = append(d.g.names, fmt.Sprint(kind, " ", site, " ", name))
		return d.spoil("users", map[string]any{
			"id": id, "email": d.text(), "type": d.pick("Normal", "LDAP", "Windows", d.text()), "ldapServerId": d.pick("", "L0", "L9"), "authTypes": []any{d.pick("Password", "PKI", d.text())},
			"password":       map[string]any{"version": d.pick("V6", "Legacy"), "salt": "00FC6F12", "payload": d.pick(strings.Repeat("ab", 64), "$argon2id$x", "", "junk")},
			"home":           map[string]any{"vfsId": fmt.Sprint("V", d.IntN(6)), "permissions": []any{d.pick("List", "Get", "Put", d.text())}},
			"virtualFolders": map[string]any{d.text(): map[string]any{"vfsId": fmt.Sprint("V", d.IntN(6))}},
			"sshPubKeys":     []any{map[string]any{"key": d.pick("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eULB+Kh7jt2WKAFIDuy3RaZA0yn3jkvUpgWP0SKNk", "ssh-rsa AAAA", d.text())}},
			"status":         d.pick("Enabled", "Disabled", d.text()), "allowList": []any{map[string]any{"ipOrNetwork": d.text()}}, "description": d.text(),
			"autoEnable": true, "autoEnableDate": d.text(), "autoDisable": d.IntN(2) == 0, "autoDisableDate": d.text(), "subsystems": []any{d.pick("SSH2_SFTP", "FTP")},
			"speedLimits": []any{map[string]any{"source": d.text(), "upKbps": d.IntN(9) - 1}},
		}, "id")
	})
	ldap := d.many(3, func(i int) map[string]any {
		d.g.in[report.LDAP]++
		return d.spoil("ldapconfig", map[string]any{"id": d.pick("L0", "dc.example.com", d.text()), "port": d.IntN(1000), "ldapProto": d.pick("LDAPS", "LDAP"), "username": d.text(), "domains": []any{d.text()}})
	})
	lists := d.many(5, func(int) map[string]any {
		d.g.in[report.ListEntry]++
		return d.spoil("blocklist", map[string]any{"ipOrNetwork": d.text(), "persistence": d.pick("Permanent", "Temporary"), "expirationUTC": d.text()})
	})
	d.g.in[report.VFS] += len(vfs)
	d.put(at+"vfs.jsonl", vfs)
	d.put(at+"users.jsonl", users)
	d.put(at+"ldapconfig.jsonl", ldap)
	d.put(at+"blocklist.jsonl", lists)
}

// v45 makes a configuration of version 4 or 5.
func (d *dice) v45() generated {
	d.g = generated{files: files{}, in: map[report.Kind]int{}}
	d.g.files["version.json"] = fmt.Sprintf(`{"Version":%q}`, d.pick("4.2.1", "5.1.30"))
	for i := range 1 + d.IntN(3) {
		site := fmt.Sprintf("server%d", i)
		d.g.in[report.Site]++
		at := "vservers/" + site + "/"
		d.put(at+"vfs.jsonl", d.many(4, func(i int) map[string]any {
			d.g.in[report.VFS]++
			return d.spoil("vfs", map[string]any{"_id": fmt.Sprint("V", i), "VFSName": d.text(), "TargetType": d.pick("Disk", "DiskAES256", "SFTP"), "Target": d.pick(`C:\a`, d.text()), "SoftQuota": d.IntN(5), "HardQuota": d.IntN(5)})
		}))
		d.put(at+"users.jsonl", append([]map[string]any{{"Username": "first", "UserType": "SMS"}}, d.many(12, func(int) map[string]any {
			name, sort := fmt.Sprintf("user%d", d.IntN(8)), d.pick("SMS", "WinUser", "ADUser", "ADGroup", "WinGroup")
			kind := report.User
			if strings.HasSuffix(sort, "Group") {
				kind = report.Group
			}
			d.g.in[kind]++
			d.g.names = append(d.g.names, fmt.Sprint(kind, " ", site, " ", name))
			return d.spoil("users", map[string]any{
				"_id": d.text(), "Username": name, "UserType": sort, "PHType": d.pick("V4Plus", "Legacy"), "Salt": d.pick("00FC6F12", ""), "Password": d.pick(strings.Repeat("CD", 64), d.text()),
				"Home":      map[string]any{"VFSItemID": fmt.Sprint("V", d.IntN(5)), "Permissions": map[string]any{"canListDir": true, "canRenFile": d.IntN(2) == 0}, "ImpType": d.pick("None", "ByHandle")},
				"AuthTypes": []any{"Password"}, "AllowSFTP": d.IntN(3) > 0, "AccountStatus": d.pick("Enabled", "Disabled", d.text()), "AutoDisable": true, "AutoDisableWhen": d.text(),
				"AllowedIPs": []any{d.text()}, "VirtualFolders": []any{map[string]any{"MountPoint": d.text(), "VFSItemID": "V0"}}, "EventHandlers": []any{map[string]any{"Event": "x"}}, "PubKeys": []any{d.text()},
			}, "Username", "UserType")
		})...))
		d.g.in[report.User]++
		d.g.names = append(d.g.names, fmt.Sprint(report.User, " ", site, " first"))
		d.put(at+"scripts.jsonl", d.many(3, func(int) map[string]any {
			d.g.in[report.Script]++
			return map[string]any{"Name": d.text(), "Code": "begin end."}
		}))
	}
	return d.g
}

// TestNothingOfAConfigurationIsSilentlyLost: every object is counted and every user and
// every field that nobody knows is in the result or in the report; what comes out is valid
// and refers to what is there.
func TestNothingOfAConfigurationIsSilentlyLost(t *testing.T) {
	for seed := range uint64(40) {
		for version, make := range map[string]func(*dice) generated{"6": (*dice).v6, "4/5": (*dice).v45} {
			g := make(&dice{Rand: rand.New(rand.NewPCG(seed, 7))})
			got := importPath(t, g.files.zip(t), importer.Options{HostKeys: func(string) []*model.HostKey { return fixedKeys }})
			if t.Failed() {
				t.Fatalf("version %s, seed %d", version, seed)
			}
			where := fmt.Sprintf("version %s, seed %d", version, seed)
			checkCounts(t, where, g, got)
			checkNames(t, where, g, got)
			checkReferences(t, where, got)
		}
	}
}

func checkCounts(t *testing.T, where string, g generated, got imported) {
	t.Helper()
	counted := map[report.Kind]int{}
	for _, c := range got.report.Counts() {
		counted[c.Kind] = c.In
	}
	for kind, n := range g.in {
		if counted[kind] != n {
			t.Errorf("%s: %d of kind %s went in, the report counts %d", where, n, kind, counted[kind])
		}
	}
	for _, path := range g.fields {
		if !slices.ContainsFunc(got.report.Fields(), func(f report.Field) bool { return f.Path == path && f.Unknown }) {
			t.Errorf("%s: the field %s is not told", where, path)
		}
	}
}

func checkNames(t *testing.T, where string, g generated, got imported) {
	t.Helper()
	for _, name := range g.names {
		words := strings.Fields(name)
		kind := model.KindUser
		if report.Kind(words[0]) == report.Group {
			kind = model.KindGroup
		}
		there := got.get(model.Key{Kind: kind, Site: words[1], ID: words[2]}.String()) != nil
		told := slices.ContainsFunc(got.report.Lines, func(l report.Line) bool {
			return l.Outcome == report.Dropped && string(l.Kind) == words[0] && l.Site == words[1] && l.Name == words[2]
		})
		if !there && !told {
			t.Errorf("%s: %s is neither there nor dropped by name", where, name)
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
