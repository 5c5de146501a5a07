package answers

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ss-setup/installer/machine"
	setup "ss-setup/runtime/setup/answers"
)

const whole = `# a comment
from: /srv/bundle
version: 7.0
channel: beta
web_port: 7443
license_port: 2999
license_mode: client
license_server: tiger:5555
service_user: "files"
open_firewall: true
health_timeout: 2m
log: /var/log/x.log
mirror: https://other.example/ss-server
proxy: none
ca_file: /etc/ca.pem
import: /root/v6.zip
import_password_file: /root/pfx
accept_drops: true
v6_url: https://127.0.0.1:7443
v6_superadmin: boss
v6_password: sesame
v6_password_file: /root/v6.password
`

func values(t *testing.T, list []Answer) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, a := range list {
		out[a.Key.Name] = a.Value
	}
	return out
}

func TestAnAnswersFileIsReadWhole(t *testing.T) {
	list, _, err := Parse("a.yaml", []byte(whole), true)
	if err != nil {
		t.Fatal(err)
	}
	got := values(t, list)
	for name, want := range map[string]string{
		"from": "/srv/bundle", "version": "7.0", "channel": "beta", "web_port": "7443", "license_server": "tiger:5555",
		"service_user": "files", "open_firewall": "true", "health_timeout": "2m",
		"mirror": "https://other.example/ss-server", "proxy": "none", "ca_file": "/etc/ca.pem",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if len(got) != len(Keys) || list[3].Line != 5 {
		t.Errorf("%d of %d keys; web_port in line %d", len(got), len(Keys), list[3].Line)
	}
	for _, empty := range []string{"", "\n", "# nothing\n", "---\n"} {
		if list, _, err := Parse("a.yaml", []byte(empty), false); err != nil || len(list) != 0 {
			t.Errorf("%q: %v, %v", empty, list, err)
		}
	}
}

func TestWrongAnswersAreToldWithFileLineAndWhatIsAllowed(t *testing.T) {
	for content, want := range map[string]string{
		"web_port: 7443\nwep_port: 1\n":             `a.yaml:2: there is no key "wep_port"; there are accept_drops, ca_file, channel, description, first_site, from,`,
		"web_port: 70000\n":                         "a.yaml:1: web_port is 70000; it can be a number from 1 to 65535",
		"web_port: \"7443\"\n":                      `a.yaml:1: web_port is "7443"; it can be a number from 1 to 65535`,
		"\n\nweb_port: no\n":                        `a.yaml:3: web_port is "no"; it can be`,
		"web_port:\n":                               "a.yaml:1: web_port has no value; it can be",
		"web_port: [1]\n":                           "a.yaml:1: web_port is not one plain value; it can be",
		"open_firewall: yes\n":                      `a.yaml:1: open_firewall is "yes"; it can be true or false`,
		"channel: nightly\n":                        `a.yaml:1: channel is "nightly"; it can be stable or beta`,
		"license_mode: server\n":                    `a.yaml:1: license_mode is "server", which is not in this version; it can be local or client`,
		"license_server: 'a b'\n":                   `a.yaml:1: license_server is "a b"; it can be NAME or NAME:PORT`,
		"health_timeout: 30\n":                      `a.yaml:1: health_timeout is "30"; it can be a time, such as 30s or 2m`,
		"service_user: true\n":                      "a.yaml:1: service_user is true, which is no text; it can be",
		"from: |\n  a\n  b\n":                       "a.yaml:1: from is empty or has more than one line",
		"from: ''\n":                                "a.yaml:1: from is empty or has more than one line",
		"node_id: [a]\n":                            "a.yaml:1: node_id is not one plain value; it can be small letters",
		"sftp_port: 99999\n":                        "a.yaml:1: sftp_port is 99999; it can be a number from 1 to 65535",
		"license_code: S7AB\n":                      "a.yaml:1: license_code is not in this version",
		"web_port: 1\nsuperadmin:\n  nam: sa\n":     `a.yaml:3: there is no key "superadmin.nam"; there are name, password, password_file`,
		"cluster: {join: a}\n":                      "a.yaml:1: cluster is not in this version",
		"cluster: x\n":                              "a.yaml:1: cluster is not in this version",
		"v6_password: sesame\n":                     "a.yaml:1: a password in clear text",
		"- web_port\n":                              "a.yaml:1: a list of keys is wanted",
		"web_port\n":                                "a.yaml:1: a list of keys is wanted",
		"web_port: 1\n---\nweb_port: 2\n":           "a.yaml:3: the file has a second document",
		"web_port: 1\n---":                          "a.yaml:2: the file has a second document",
		"web_port: 1\nweb_port: 2\n":                "a.yaml:2: ",
		"web_port: 1\n  license_port: 2\n":          "a.yaml:",
		"from: \"x\n":                               "a.yaml:1: this is no YAML",
		"web_port: &a 1\n":                          "a.yaml:1: web_port is not one plain value",
		"web_port: !!int 1\n":                       "a.yaml:1: web_port is not one plain value",
		"from: /a\nservice_user: *from\n":           "a.yaml:2: ",
		"from: https://u:secret@example.com/\n":     "a.yaml:1: an address with its password: a password in clear text",
		"proxy: http://u:secret@proxy.example/\n":   "or give the address in the environment",
		"superadmin:\n  password: sesame\n":         "a.yaml:2: a password in clear text is taken only from a file that is root's alone",
		"wrong: 1\nx:\n  - {smtp_passwd: sesame}\n": "a.yaml:3: a password in clear text",
	} {
		_, _, err := Parse("a.yaml", []byte(content), false)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", content, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: the password is in the error", content)
		}
	}
}

func TestAPasswordIsTakenFromAPrivateFileOrAsItsHash(t *testing.T) {
	const hash = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"
	for content, private := range map[string]bool{"sesame": true, hash: false} {
		_, first, err := Parse("a.yaml", []byte("superadmin:\n  password: "+content+"\n"), private)
		if err != nil || first.Answers == nil || first.Answers.SuperAdmin.Password != content {
			t.Errorf("%s: %+v, %v", content, first, err)
		}
	}
	if _, first, err := Parse("a.yaml", []byte("web_port: 1\n"), false); err != nil || first.Answers != nil {
		t.Errorf("a file without a set-up: %+v, %v", first, err)
	}
}

func TestLoadKnowsWhoseTheFileIs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a file of root's")
	}
	path := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(path, []byte("superadmin:\n  password: sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode os.FileMode
		uid  int
		want string
	}{
		{0o600, 0, ""},
		{0o400, 0, ""},
		{0o640, 0, "clear text"},
		{0o604, 0, "clear text"},
		{0o600, 1, "clear text"},
	} {
		if err := errors.Join(os.Chown(path, c.uid, 0), os.Chmod(path, c.mode)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Load(path, machine.OnlyPrivileged); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%o of %d: %v, want %q", c.mode, c.uid, err, c.want)
		}
	}
}

func TestLoadRefusesWhatIsNoSmallFile(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, large, filepath.Join(dir, "none"), os.DevNull} {
		if _, _, err := Load(path, machine.OnlyPrivileged); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSavedAnswersAreReadAsTheyWereUsed(t *testing.T) {
	used := map[string]string{
		"from": `/srv/a "b" \c`, "web_port": "7443", "open_firewall": "false", "service_user": "yes", "license_mode": "client",
		"license_server": "[2001:db8::5]:2380", "health_timeout": "1m30s",
	}
	path := filepath.Join(t.TempDir(), "a.yaml")
	if _, err := Save(path, used, nil); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	list, _, err := Load(path, machine.OnlyPrivileged)
	if err != nil {
		t.Fatal(err)
	}
	got := values(t, list)
	for _, k := range Keys {
		if got[k.Name] != used[k.Name] {
			t.Errorf("%s: saved %q, read %q", k.Name, used[k.Name], got[k.Name])
		}
	}
	if _, err := Save(filepath.Join(path, "b"), used, nil); err == nil {
		t.Error("saved into a file")
	}
}

func TestAPasswordIsNeverSaved(t *testing.T) {
	for given, want := range map[string]string{
		"https://sa:sesame@example.com/r":        "https://sa@example.com/r",
		"https://:sesame@example.com/r":          "https://@example.com/r",
		"https://sa:ses@me:sesame@example.com/r": "https://sa@example.com/r",
		"https://example.com/a:b@c":              "https://example.com/a:b@c",
		"https://example.com:8443/":              "https://example.com:8443/",
		"/srv/a:b@c":                             "/srv/a:b@c",
	} {
		saved, _, err := Marshal(map[string]string{"from": given}, nil)
		if err != nil {
			t.Fatal(err)
		}
		list, _, err := Parse("a.yaml", saved, false)
		if err != nil || len(list) != 1 || list[0].Value != want || strings.Contains(string(saved), "sesame") {
			t.Errorf("%s: %v, %v\n%s", given, list, err, saved)
		}
	}
}

func TestWhatTheServerIsSetUpWithIsSavedToo(t *testing.T) {
	first := &setup.Answers{
		RecoveryEmail: "admin@example.com", SuperAdmin: &setup.SuperAdmin{Name: "ada", Password: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"},
		FirstSite: &setup.Site{Name: "main", User: &setup.User{Name: "anna", Password: "sesame sesame"}},
	}
	path := filepath.Join(t.TempDir(), "a.yaml")
	leftOut, err := Save(path, map[string]string{"web_port": "7443"}, first)
	if err != nil || !slices.Equal(leftOut, []string{"first_site.user.password"}) {
		t.Fatalf("%q, %v", leftOut, err)
	}
	list, file, err := Load(path, machine.OnlyPrivileged)
	if err != nil || values(t, list)["web_port"] != "7443" {
		t.Fatalf("%v, %v", list, err)
	}
	first.FirstSite.User.Password = ""
	if !reflect.DeepEqual(file.Answers, first) {
		t.Errorf("read %+v", file.Answers)
	}
}

func TestNoKeyIsBothNowAndLater(t *testing.T) {
	for _, k := range Keys {
		if slices.Contains(Later, k.Name) {
			t.Errorf("%s is in both lists", k.Name)
		}
	}
	if !slices.IsSorted(Later) {
		t.Error("the keys of later are not sorted")
	}
}

func TestTheDocumentListsTheKeys(t *testing.T) {
	content, err := os.ReadFile("../../docs/unattended.md")
	if err != nil {
		t.Fatal(err)
	}
	var table, later []string
	for _, k := range Keys {
		table = append(table, "| `"+k.Name+"` | "+k.Allowed+" | "+k.Standard+" | "+k.Text+" |\n")
	}
	var first []string
	for _, k := range setup.Keys {
		first = append(first, "| `"+k.Name+"` | "+k.Allowed+" | "+k.Standard+" | "+k.Text+" |\n")
	}
	if want := strings.Join(first, ""); !strings.Contains(string(content), want) {
		t.Errorf("the document has not:\n%s", want)
	}
	for _, name := range Later {
		later = append(later, "`"+name+"`")
	}
	if want := strings.Join(table, ""); !strings.Contains(string(content), want) {
		t.Errorf("the document has not:\n%s", want)
	}
	if want := strings.Join(later, ", "); !strings.Contains(strings.ReplaceAll(string(content), "\n", " "), want) {
		t.Errorf("the document has not: %s", want)
	}
}

// TestTheServerKnowsWhichKeysAreOfTheInstaller: both read one file, and neither takes a
// key for a slip that the other has.
func TestTheServerKnowsWhichKeysAreOfTheInstaller(t *testing.T) {
	var own []string
	for _, k := range Keys {
		if own = append(own, k.Name); setup.Mine(k.Name) {
			t.Errorf("%s is of both", k.Name)
		}
	}
	if !slices.Equal(own, setup.Foreign) {
		t.Errorf("the server passes over %q, ss-setup has %q", setup.Foreign, own)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole), false)
	f.Add([]byte("superadmin: {password: x}"), false)
	f.Add([]byte("a: &x [*x]\n? [b]\n: c\n<<: *x"), true)
	f.Add([]byte("--- |\n x\n...\n%TAG"), true)
	f.Add([]byte("0\n---"), true)
	f.Fuzz(func(t *testing.T, content []byte, private bool) {
		if len(content) > maxSize {
			return
		}
		list, _, err := Parse("f", content, private)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v", content, err)
			}
			return
		}
		used := values(t, list)
		written, _, err := Marshal(used, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := Parse("f", written, private)
		if err != nil {
			t.Fatalf("%q: written as\n%s: %v", content, written, err)
		}
		for name, value := range values(t, again) {
			if WithoutPassword(used[name]) != value {
				t.Errorf("%s: %q became %q", name, used[name], value)
			}
		}
	})
}
