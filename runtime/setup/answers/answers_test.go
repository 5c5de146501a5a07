package answers

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const whole = `# all of them
node_id: romantic-lovelace
description: the first one
recovery_email: admin@example.com
sftp_port: 2022
superadmin:
  name: ada
  password: correct horse
first_site:
  name: files
  title: Files
  address: 127.0.0.1
  folder: /srv/other
  encrypted: true
  host_keys: [ed25519]
  user:
    name: anna
    email: anna@example.com
    password: battery staple
    public_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eULB+Kh7jt2WKAFIDuy3RaZA0yn3jkvUpgWP0SKNk anna@laptop
`

func wholeAnswers() *Answers {
	return &Answers{
		NodeID: "romantic-lovelace", Description: "the first one", RecoveryEmail: "admin@example.com", SFTPPort: 2022,
		SuperAdmin: &SuperAdmin{Name: "ada", Password: "correct horse"},
		FirstSite: &Site{
			Name: "files", Title: "Files", Address: "127.0.0.1", Folder: "/srv/other", Encrypted: true, HostKeys: []string{"ed25519"},
			User: &User{Name: "anna", Email: "anna@example.com", Password: "battery staple", PublicKeys: []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eULB+Kh7jt2WKAFIDuy3RaZA0yn3jkvUpgWP0SKNk anna@laptop"}},
		},
	}
}

func TestAnswersAreReadWholeFromYAMLAndJSON(t *testing.T) {
	want := wholeAnswers()
	asJSON, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{whole, string(asJSON), "web_port: 7443\n" + whole} {
		f, err := Parse("a.yaml", []byte(text), true)
		if err != nil || !reflect.DeepEqual(f.Answers, want) {
			t.Errorf("%s\ngave %+v, %v", text, f, err)
			continue
		}
		if err := f.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryKeyOfTheListIsRead(t *testing.T) {
	f, err := Parse("a.yaml", []byte(whole), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys {
		if f.lines[k.Name] == 0 && !strings.HasSuffix(k.Name, "password_file") {
			t.Errorf("%s is in no test", k.Name)
		}
	}
}

func TestWrittenAnswersAreReadAsTheyWere(t *testing.T) {
	want := wholeAnswers()
	if err := want.Hash(t.Context()); err != nil {
		t.Fatal(err)
	}
	want.Description = `#1: "the first" \ 'one', über`
	for name, a := range map[string]*Answers{
		"all":            want,
		"no site":        {NodeID: "n1", RecoveryEmail: "a@example.com", SuperAdmin: &SuperAdmin{Name: "yes", PasswordFile: "/root/123"}},
		"a site and key": {FirstSite: &Site{User: &User{Name: "0", PublicKeys: wholeAnswers().FirstSite.User.PublicKeys}}},
		"nothing":        nil,
	} {
		text, leftOut, err := Marshal(a)
		if err != nil || len(leftOut) > 0 {
			t.Errorf("%s: %q, %v", name, leftOut, err)
		}
		f, err := Parse("a.yaml", text, false)
		if err != nil || !reflect.DeepEqual(f.Answers, a) {
			t.Errorf("%s: %+v, %v\n%s", name, f, err, text)
		}
	}
}

func TestNoPasswordIsWrittenThatIsNoHash(t *testing.T) {
	a := wholeAnswers()
	text, leftOut, err := Marshal(a)
	if err != nil || strings.Contains(string(text), "correct horse") || strings.Contains(string(text), "battery") {
		t.Errorf("%v\n%s", err, text)
	}
	if strings.Join(leftOut, " ") != "superadmin.password first_site.user.password" {
		t.Errorf("left out: %q", leftOut)
	}
	b := a.Clone()
	if err := b.Hash(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.FirstSite.HostKeys[0], b.FirstSite.User.PublicKeys[0] = "x", "y"
	if !reflect.DeepEqual(a, wholeAnswers()) {
		t.Error("a copy shares something with its original")
	}
}

func TestWhatIsNotSaidHasItsStandard(t *testing.T) {
	f, err := Parse("a.yaml", []byte("recovery_email: a@example.com\nsuperadmin: {password: correct horse}\nfirst_site: {user: {name: anna, password: battery staple}}\n"), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	a := f.Answers
	if a.SuperAdmin.Name != "sa" || a.FirstSite.Name != "main" || a.FirstSite.Folder != defaultFolder("main") || len(a.FirstSite.HostKeys) != 2 || a.SFTPPort != 0 {
		t.Errorf("%+v, %+v", a, a.FirstSite)
	}
}

// TestWrongAnswersAreToldAllAtOnceWithLineFieldAndCure: whoever writes a file wants to
// mend it once.
func TestWrongAnswersAreToldAllAtOnceWithLineFieldAndCure(t *testing.T) {
	for text, wants := range map[string][]string{
		"node_id: Main Node\n": {
			"a.yaml:1: node_id: it is not a short name; use 1 to 63 small letters",
			"superadmin: it is missing; give the section",
		},
		"superadmin:\n  name: sa\n": {
			"a.yaml:1: superadmin.password: it is missing; give password, or password_file",
			"recovery_email: it is missing; give the address",
		},
		"recovery_email: nobody\nsuperadmin:\n  password: short\nsftp_port: 22\n": {
			`a.yaml:1: recovery_email: "nobody" is not an e-mail address; write it as`,
			"a.yaml:3: superadmin.password: it must have 10 characters at least; choose another",
			"a.yaml:4: sftp_port: there is no site to listen there; give the section first_site",
		},
		"recovery_email: a@example.com\nsuperadmin: {password: correct horse}\nfirst_site:\n  name: Main\n  address: here\n  folder: files\n  host_keys: [rsa, ed25519, ed25519]\n  user:\n    name: a/b\n    public_keys: [ssh-dss AAAA]\n": {
			"a.yaml:4: first_site.name: it is not a short name",
			"a.yaml:5: first_site.address: ",
			"a.yaml:6: first_site.folder: ",
			`a.yaml:7: first_site.host_keys[0]: "rsa" is not made here; use ecdsa or ed25519`,
			"a.yaml:7: first_site.host_keys[2]: it is there twice",
			"a.yaml:9: first_site.user.name: it contains one of",
			"a.yaml:10: first_site.user.public_keys[0]: it is not a public key; write one line as in a .pub file",
		},
		"first_site:\n  user:\n    name: anna\n":                                      {"a.yaml:2: first_site.user: nobody could log in; give password, password_file or public_keys"},
		"recovery_email: a@example.com\nsuperadmin: {password: $2b$10$abcdefghijk}\n": {"superadmin.password: it looks like a hash, and is none of argon2id"},
		"recovery_email: a@example.com\nsuperadmin: {password: $argon2id$v=19$x}\n":   {"superadmin.password: it begins like a hash of argon2id and is none"},
		"superadmin: {name: anna, password: xannax-xannax}\nrecovery_email: a@b.c\n":  {"superadmin.password: it must not contain the user's name"},
		"superadmin: {name: sa, password: sesame, password_file: /nowhere}\n":         {"superadmin has both password and password_file"},
		"superadmin: {password_file: /nowhere/x}\n":                                   {"superadmin.password_file: stat /nowhere/x"},
	} {
		f, err := Parse("a.yaml", []byte(text), true)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		err = f.Check()
		for _, want := range wants {
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("%q:\n got %v\nwant %s", text, err, want)
			}
		}
		if err != nil && (strings.Contains(err.Error(), "xannax") || strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "short;") || strings.Contains(err.Error(), "abcdefghijk")) {
			t.Errorf("%q: the password is in the error: %v", text, err)
		}
	}
}

func TestWhatIsNoAnswersFileIsRefusedWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"node: x\n":                             `a.yaml:1: there is no key "node"; there are description, first_site, node_id`,
		"superadmin: sa\n":                      "a.yaml:1: superadmin has no keys below it; there are name, password, password_file",
		"superadmin:\n":                         "a.yaml:1: superadmin has no keys below it",
		"first_site:\n  user:\n    nam: x\n":    `a.yaml:3: there is no key "first_site.user.nam"; there are email, name, password, password_file, public_keys`,
		"first_site:\n  host_keys: ed25519\n":   "a.yaml:2: first_site.host_keys is not a list; it can be a list of ed25519 and ecdsa",
		"first_site:\n  host_keys: [[a]]\n":     "a.yaml:2: first_site.host_keys has an entry that is not one plain value",
		"first_site:\n  encrypted: yes\n":       `a.yaml:2: first_site.encrypted is "yes"; it can be true or false`,
		"sftp_port: 0\n":                        "a.yaml:1: sftp_port is 0; it can be a number from 1 to 65535",
		"superadmin: {password: true}\n":        "a.yaml:1: superadmin.password is no text; put it between quotes",
		"- node_id\n":                           "a.yaml:1: a list of keys is wanted",
		"node_id: a\n---\nnode_id: b\n":         "a.yaml:3: the file has a second document",
		"node_id: \"a\n":                        "a.yaml:1: this is no YAML",
		"superadmin: {password: {a: b}}\n":      "a.yaml:1: superadmin.password is not one plain value",
		"superadmin: {password: [sesame, b]}\n": "a.yaml:1: superadmin.password is not one plain value",
	} {
		_, err := Parse("a.yaml", []byte(text), true)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	if _, err := Parse("a.yaml", []byte("superadmin: {password: sesame}"), false); err == nil || !strings.Contains(err.Error(), "in clear text") || strings.Contains(err.Error(), "sesame") {
		t.Errorf("a password that all may read: %v", err)
	}
}

func TestAFileThatOthersMayReadHoldsNoPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(path, []byte(whole), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "clear text") {
		t.Errorf("readable for all: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := Load(path); err != nil || f.Answers.SuperAdmin.Name != "ada" {
		t.Errorf("private: %v", err)
	}
	for _, bad := range []string{t.TempDir(), path + "x"} {
		if _, err := Load(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestPasswordsBecomeHashesAndHashesStay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("correct horse\r\nanything\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &Answers{SuperAdmin: &SuperAdmin{PasswordFile: file}, FirstSite: &Site{User: &User{Password: "battery staple"}}}
	if err := a.ReadPasswords(); err != nil || a.SuperAdmin.Password != "correct horse" || a.SuperAdmin.PasswordFile != "" {
		t.Fatalf("%+v, %v", a.SuperAdmin, err)
	}
	if err := a.Hash(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := []string{a.SuperAdmin.Password, a.FirstSite.User.Password}
	if err := a.Hash(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, now := range []string{a.SuperAdmin.Password, a.FirstSite.User.Password} {
		if !strings.HasPrefix(now, "$argon2id$") || now != first[i] {
			t.Errorf("%q became %q", first[i], now)
		}
	}
}

func TestANodeGetsANameThatItMayHave(t *testing.T) {
	for range 50 {
		name, err := NewNodeID(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		a := wholeAnswers()
		if a.NodeID = name; len(a.Check()) > 0 {
			t.Errorf("%s: %v", name, a.Check())
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole), true)
	f.Add([]byte("superadmin: {password: x}"), false)
	f.Add([]byte("first_site: {user: {public_keys: [a, b]}}"), true)
	f.Add([]byte("node_id: &x [*x]\n? [b]\n: c\n<<: *x"), true)
	f.Fuzz(func(t *testing.T, content []byte, private bool) {
		if len(content) > MaxSize {
			return
		}
		file, err := Parse("f", content, private)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v", content, err)
			}
			return
		}
		if a := file.Answers; a != nil {
			a.Complete()
			a.Check()
		}
	})
}
