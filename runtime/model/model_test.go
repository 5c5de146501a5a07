package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	keyLine  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eULB+Kh7jt2WKAFIDuy3RaZA0yn3jkvUpgWP0SKNk"
	keyPrint = "SHA256:I/gTs73Ns9AoPtRkuFRZLTLBZrZ2gQM1yb1I8vPTv8U"
)

// full is one object of each kind with every field filled.
func full() []Object {
	day := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	head := func(name string) Head {
		return Head{Name: name, Rev: 7, Created: day, Modified: day, By: "superadmin/sa"}
	}
	contact := Contact{
		Email: "sa@example.com", Password: Password{Hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", Changed: day},
		TOTP:      TOTP{Secret: Secret{Sealed: "c2VhbGVk"}, Recovery: []string{"abc"}},
		AllowFrom: []string{"192.0.2.0/24"}, Account: Account{Disabled: true, Reason: "on leave", EnableFrom: day, DisableFrom: day.AddDate(1, 0, 0)},
	}
	rights := Rights{View: []Kind{KindUser}, Edit: []Kind{KindGroup}}
	profile := Profile{
		Home:      Folder{VFS: "Files", Path: "/home/{user}", Permissions: UsualPermissions()},
		Folders:   []VirtualFolder{{Mount: "/in", Folder: Folder{VFS: "Files", Path: "/in", Permissions: Permissions{PermList}}, Hidden: true}},
		Overrides: []PathPermissions{{Path: "/in/old", Permissions: Permissions{PermList, PermDownload}}},
		Quota:     Quota{Soft: 10, Hard: 20}, Speed: []SpeedLimit{{From: "10.0.0.0/8", Up: 1, Down: 2}},
		AllowFrom: []string{"2001:db8::/32"}, Auth: []AuthChain{"publickey", "password,totp"}, MaxSessions: 3,
	}
	sealed := Secret{Sealed: "c2VhbGVk"}
	return []Object{
		&Node{Head: head("romantic-lovelace"), Description: "first", Address: "sftp.example.com:6443"},
		&SuperAdmin{head("sa"), contact},
		&Admin{head("Ada"), contact, []string{"main"}, rights},
		&Token{head("deploy"), "for the pipeline", strings.Repeat("0a", 32), true, []string{"main"}, rights, []string{"192.0.2.7"}, day, true},
		&Site{
			Head: head("main"), Title: "Main site", Manual: true,
			SSH: SSH{
				SoftwareID: "SS", Banner: "Hello", Auth: []AuthChain{"publickey"}, KeyExchanges: []string{"curve25519-sha256"},
				Ciphers: []string{"aes128-gcm@openssh.com"}, MACs: []string{"hmac-sha2-256"}, UserKeys: []string{"ssh-rsa"}, HostKeys: []string{"ssh-ed25519"},
			},
			Limits:    Limits{100, 10, 5, 600, 30},
			Protector: Protector{LevelNormal, 10, 5, 30, 50}, PasswordRule: PasswordRule{12, true, true, true, true},
			Speed: []SpeedLimit{{Up: 5, Down: 6}},
		},
		&Binding{head("sftp"), "main", "romantic-lovelace", ProtocolSFTP, "192.0.2.1", 22, []string{"192.0.2.9"}, true},
		&Group{head("Staff"), "main", "all of us", profile, contact.Account},
		&User{
			Head: head("Anna"), Site: "main", Email: "anna@example.com", Description: "accounts", Groups: []string{"Staff"},
			Password: Password{Hash: "$2b$10$abc", MustChange: true, MustSet: true, Legacy: true, Changed: day},
			Keys:     []PublicKey{{Name: "laptop", Key: keyLine, Fingerprint: keyPrint, Added: day, Expires: day}},
			TOTP:     TOTP{Secret: sealed}, LDAP: "corp", LDAPGroups: true, Profile: profile, Account: contact.Account,
		},
		&VFS{head("Files"), "main", "for all", VFSEncrypted, "/srv/ss-server/files", Quota{1, 2}, "k-1", sealed, true, true, true, true},
		&LDAPProfile{
			Head: head("corp"), Site: "main", URLs: []string{"ldap://ldap.example.com"}, StartTLS: true, CA: "PEM", BindDN: "cn=ss", BindPassword: sealed,
			BaseDN: "dc=example,dc=com", Filter: "(uid={user})", Domains: []string{"example.com"}, Groups: []LDAPGroup{{"cn=staff,dc=example", "Staff"}},
			GroupAttribute: "memberOf", TimeoutSeconds: 5, Autocreate: true, Disabled: true, Reason: "import",
		},
		&HostKey{head("ed25519"), "main", "ssh-ed25519", keyLine, keyPrint, sealed, true},
		&Certificate{head("web"), "main", CertPEM, []string{"sftp.example.com"}, "-----BEGIN CERTIFICATE-----\n", sealed, day, day, "aa"},
		&Entry{head("block:192.0.2.66"), "main", ListBlock, "192.0.2.66", day, ReasonAuth, 2, "seen often"},
		&Legacy{head("OnLogin"), "main", "v6", "script", json.RawMessage(`{"code":"x"}`), sealed},
		&Settings{
			head(SettingsName),
			WebSettings{30, "web", []string{"192.0.2.3"}, 600},
			MailSettings{"mail.example.com", 587, MailStartTLS, "ss", sealed, "ss@example.com"},
			LogSettings{"info", 10, 5, 90},
			SnapshotSettings{3},
			ACMESettings{"https://acme.example.com/dir", "a@example.com", sealed},
			Protector{LevelStrict, 5, 10, 60, 20},
			PasswordRule{MinLength: 12},
		},
	}
}

// TestTheJSONFormsNeverChange: backups and REST clients read these for ever. A field may
// be added; run with -update then, and look at the difference.
func TestTheJSONFormsNeverChange(t *testing.T) {
	var got bytes.Buffer
	out := json.NewEncoder(&got)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	for _, o := range full() {
		if err := out.Encode(map[Kind]Object{o.Key().Kind: o}); err != nil {
			t.Fatal(err)
		}
	}
	const golden = "testdata/objects.json"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the JSON of the objects is not that of %s:\n%s", golden, got.String())
	}
}

func TestEveryKindIsThereReadsItsJSONAndIsValid(t *testing.T) {
	seen := map[Kind]bool{}
	for _, o := range full() {
		key := o.Key()
		seen[key.Kind] = true
		filled(t, string(key.Kind), reflect.ValueOf(o).Elem())
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		again := key.Kind.New()
		if err := json.Unmarshal(text, again); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if !reflect.DeepEqual(o, again) {
			t.Errorf("%s came back as\n%#v", key, again)
		}
		again.Normalize()
		if err := again.Validate(); err != nil {
			t.Error(err)
		}
		if !reflect.DeepEqual(o, again) {
			t.Errorf("%s was not canonical: %v", key, Diff(o, again))
		}
		if parsed, err := ParseKey(key.String()); err != nil || parsed != key {
			t.Errorf("%s reads as %v, %v", key, parsed, err)
		}
	}
	for _, k := range Kinds() {
		if !seen[k] {
			t.Errorf("no object of kind %s was tried", k)
		}
		if k.New().Key().Kind != k || k.Noun() == "" || (k != KindSettings && nouns[k] == "") {
			t.Errorf("kind %s makes a %T", k, k.New())
		}
	}
}

// TestAKindStandsBehindThoseThatItRefersTo: a backup is restored in parts, in this order.
func TestAKindStandsBehindThoseThatItRefersTo(t *testing.T) {
	for _, o := range full() {
		for _, r := range o.References() {
			if slices.Index(Kinds(), r.To.Kind) >= slices.Index(Kinds(), o.Key().Kind) {
				t.Errorf("%s refers to a %s in %s and does not stand behind it", o.Key(), r.To.Kind, r.Field)
			}
		}
	}
}

// filled fails for a field that full leaves empty: it would be in no test.
func filled(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		name := path + "." + v.Type().Field(i).Name
		switch f := v.Field(i); {
		case f.Type() == reflect.TypeFor[Secret](), f.Type() == reflect.TypeFor[Password](), f.Type() == reflect.TypeFor[TOTP]():
			if f.IsZero() {
				t.Errorf("%s is empty", name)
			}
		case f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]():
			if !strings.HasSuffix(path, ".Speed") && f.Type() != reflect.TypeFor[PasswordRule]() {
				filled(t, name, f)
			}
		case f.IsZero():
			t.Errorf("%s is empty", name)
		}
	}
}

func TestAnErrorNamesObjectFieldAndCure(t *testing.T) {
	u := &User{Head: Head{Name: "Anna"}, Site: "main", Email: "nonsense", Profile: Profile{Home: Folder{VFS: "Files", Path: "/a/../b"}}}
	u.Normalize()
	err := u.Validate()
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Errors) != 2 {
		t.Fatalf("got %v", err)
	}
	want := `user "anna" of site main is not valid: email: "nonsense" is not an e-mail address; write it as anna@example.com. ` +
		`home.path: "/a/../b" is not a path of the server; write it as /folder/in/folder, without .. and \`
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	text, _ := json.Marshal(invalid)
	if !strings.HasPrefix(string(text), `{"object":"user/main/anna","errors":[{"field":"email","problem":`) {
		t.Errorf("for forms: %s", text)
	}
}

// TestALongListOfTheSameIsNotToldInPairs: a body has room for 100,000, and their pairs for
// all of the memory.
func TestALongListOfTheSameIsNotToldInPairs(t *testing.T) {
	const n = 1000
	p := Profile{
		Folders: make([]VirtualFolder, n), Overrides: make([]PathPermissions, n),
		Speed: make([]SpeedLimit, n), Auth: make([]AuthChain, n),
	}
	for _, o := range []Object{
		&User{Head: Head{Name: "anna"}, Site: "main", Groups: make([]string, n), Keys: make([]PublicKey, n), Profile: p},
		&Group{Head: Head{Name: "staff"}, Site: "main", Profile: p},
		&Site{Head: Head{Name: "main"}, Speed: p.Speed, SSH: SSH{Ciphers: make([]string, n), Auth: p.Auth}},
	} {
		o.Normalize()
		var wrong *InvalidError
		if err := o.Validate(); !errors.As(err, &wrong) || len(wrong.Errors) > 2*n {
			t.Errorf("%s: %d errors", o.Key(), len(wrong.Errors))
		}
	}
}

func TestNamesAreComparedWithoutCaseWidthAndComposition(t *testing.T) {
	for _, same := range [][]string{
		{"Anna", "ANNA", "anna", "ａｎｎａ"},
		{"J\u00fcrgen", "Ju\u0308rgen", "J\u00dcRGEN"},
		{"Straße", "STRASSE"},
		{"\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3"},
	} {
		for _, name := range same {
			if Fold(name) != Fold(same[0]) {
				t.Errorf("%q folds to %q, %q to %q", name, Fold(name), same[0], Fold(same[0]))
			}
		}
	}
	for _, other := range [][2]string{{"anna", "anne"}, {"jurgen", "j\u00fcrgen"}} {
		if Fold(other[0]) == Fold(other[1]) {
			t.Errorf("%q and %q are one", other[0], other[1])
		}
	}
}

func TestLatinLettersFoldSideBySideAsTheTablesSay(t *testing.T) {
	for a := range rune(latinEnd) {
		for b := range rune(latinEnd) {
			name := string([]rune{a, b})
			if got, ok := foldLatin(name); ok && got != foldAny(name) {
				t.Fatalf("%q folds to %q, by the tables to %q", name, got, foldAny(name))
			}
		}
	}
	for _, name := range []string{"J\u00fcrgen \u00c5ngstr\u00f6m", "Stra\u00dfe", "\u0141\u00f3d\u017a", "\u017f\u01c6"} {
		if _, ok := foldLatin(name); !ok {
			t.Errorf("%q takes the long way", name)
		}
	}
}

func TestNamesThatFoldersOrLogsCannotHaveAreRefused(t *testing.T) {
	for _, name := range []string{
		"", " anna", "anna ", "anna.", ".", "..", "a/b", `a\b`, "a:b", "a*", "a?", `a"`, "a<b", "a|b", "a\x00b", "a\nb", "a\tb",
		"con", "NUL", "Com1.txt", "lpt9", "a\u200bb", "a\u202eb", "\ufeffanna", "a\u00a0b", "\xff", "\ufffd", "a\uff0fb", "\uff0e\uff0e",
		strings.Repeat("a", 65), strings.Repeat("\u00e4", 65), "\u2025", "aux .x",
	} {
		if problem, cure := nameProblem(name); problem == "" || cure == "" {
			t.Errorf("%q passed", name)
		}
	}
	for _, name := range []string{"anna", "Anna B. Example", "anna@example.com", "o'neil", "[staff]", "müller", "李雷", "a-b_c", "consul", strings.Repeat("ä", 64)} {
		if problem, _ := nameProblem(name); problem != "" {
			t.Errorf("%q: %s", name, problem)
		}
	}
	for slug, ok := range map[string]bool{"main": true, "a": true, "site-2": true, "Main": false, "-a": false, "a-": false, "": false, "a_b": false, "ä": false, strings.Repeat("a", 64): false} {
		if problem, _ := slugProblem(slug); (problem == "") != ok {
			t.Errorf("%q: %q", slug, problem)
		}
	}
}

func TestPlainNamesAreNames(t *testing.T) {
	for _, name := range []string{"otto.smith", "anna1", "com10", "auxiliary.txt", "a-b_c@d.e"} {
		if !IsPlainName(name) {
			t.Errorf("%q takes the long way", name)
		}
	}
	for _, name := range []string{"com1", "con.smith", "COM1.smith", ".anna", "anna.", "conin$", "ann a"} {
		if IsPlainName(name) {
			t.Errorf("%q is not looked at", name)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, name := range []string{"Anna", "\u1e9e", "\u0390", "\ufb03", "\u212b", "a\uff0fb", "\u0345\u03b1", "con.txt", "\u2126\u0301"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name = compose(name)
		if problem, _ := nameProblem(name); problem != "" {
			return
		}
		id := Fold(name)
		if id != foldAny(name) {
			t.Errorf("%q folds to %q, by the tables to %q", name, id, foldAny(name))
		}
		if Fold(id) != id {
			t.Errorf("%q folds to %q and on to %q", name, id, Fold(id))
		}
		if problem, _ := nameProblem(id); problem != "" {
			t.Errorf("%q is a name, its folded form %q is not: %s", name, id, problem)
		}
		key := UserKey("main", name)
		if again, err := ParseKey(key.String()); err != nil || again != key {
			t.Errorf("%v reads as %v, %v", key, again, err)
		}
	})
}

func FuzzNormalizedObjectsAreStable(f *testing.F) {
	for _, o := range full() {
		text, err := json.Marshal(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(o.Key().Kind), text)
	}
	f.Add("user", []byte(`{"name":"A","home":{"path":"//a/./b/"},"allowFrom":["::ffff:10.0.0.1/100"],"auth":["TOTP , password"]}`))
	f.Fuzz(func(t *testing.T, kind string, text []byte) {
		o := Kind(kind).New()
		if o == nil || json.Unmarshal(text, o) != nil {
			return
		}
		o.Normalize()
		once := Clone(o)
		o.Normalize()
		if d := Diff(once, o); len(d) > 0 {
			t.Errorf("normalising twice changes %v", d)
		}
		if err := o.Validate(); err != nil && !errors.As(err, new(*InvalidError)) {
			t.Errorf("got %v", err)
		}
		o.References()
	})
}

func TestASecretIsNeverPrintedAndNeverLeaves(t *testing.T) {
	for _, o := range full() {
		for _, f := range o.Secrets() {
			*f.Secret = Secret{Clear: "geheimnis"}
		}
		for _, f := range o.Passwords() {
			f.Password.Hash = "geheimnis"
		}
		before := Clone(o)
		changed := Clone(o)
		for _, f := range changed.Secrets() {
			*f.Secret = Secret{Clear: "geheimnis2"}
		}
		differences := Diff(o, changed)
		if n := len(o.Secrets()); len(differences) != n {
			t.Errorf("%s: %d secrets changed, told: %v", o.Key(), n, differences)
		}
		for _, d := range differences {
			if strings.Contains(d.Before+d.After, "geheimnis") {
				t.Errorf("%s: a difference tells %v", o.Key(), d)
			}
		}
		for _, f := range o.Passwords() {
			*f.Password = Password{Hash: "geheimnis3", Clear: "geheimnis4"}
		}
		if second := SecondFactor(o); second != nil {
			second.Recovery = []string{"geheimnis5"}
		}
		if token, ok := o.(*Token); ok {
			token.Hash = "geheimnis6"
		}
		Redact(o)
		if text, _ := json.Marshal(o); bytes.Contains(text, []byte("geheimnis")) {
			t.Errorf("%s leaves as %s", o.Key(), text)
		}
		if len(o.Secrets()) > 0 && reflect.DeepEqual(before, o) {
			t.Errorf("%s: redacting a copy's original", o.Key())
		}
	}
	if got := (Secret{Clear: "x"}).String() + (Secret{}).GoString() + (Password{Hash: "x"}).String() + (Password{}).GoString(); got != "setnonesetnone" {
		t.Error(got)
	}
}

func TestBindingsClashWhenTheyWantOnePlace(t *testing.T) {
	place := func(address string, port int) *Binding { return &Binding{Node: "n", Address: address, Port: port} }
	for _, c := range []struct {
		a, b *Binding
		want bool
	}{
		{place("", 22), place("", 22), true},
		{place("", 22), place("", 23), false},
		{place("", 22), place("192.0.2.1", 22), true},
		{place("0.0.0.0", 22), place("192.0.2.1", 22), true},
		{place("0.0.0.0", 22), place("2001:db8::1", 22), false},
		{place("::", 22), place("192.0.2.1", 22), true},
		{place("192.0.2.1", 22), place("192.0.2.2", 22), false},
		{place("192.0.2.1", 22), place("192.0.2.1", 22), true},
		{&Binding{Node: "m", Port: 22}, place("", 22), false},
		{&Binding{Node: "n", Port: 22, Disabled: true}, place("", 22), false},
	} {
		if c.a.Clashes(c.b) != c.want || c.b.Clashes(c.a) != c.want {
			t.Errorf("%s:%d and %s:%d: want %v", c.a.Address, c.a.Port, c.b.Address, c.b.Port, c.want)
		}
	}
}

func TestGroupsGiveWhatTheUserHasNot(t *testing.T) {
	u := &User{Head: Head{Name: "anna"}, Profile: Profile{Quota: Quota{Hard: 5}, Folders: []VirtualFolder{{Mount: "/In", Folder: Folder{VFS: "own"}}}}}
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one := &Group{Head: Head{Name: "one"}, Profile: Profile{
		Home: Folder{VFS: "files", Path: "/{user}"}, Quota: Quota{Hard: 9}, MaxSessions: 2,
		Folders: []VirtualFolder{{Mount: "/in", Folder: Folder{VFS: "theirs"}}, {Mount: "/out", Folder: Folder{VFS: "theirs"}}},
	}, Account: Account{DisableFrom: day}}
	two := &Group{Head: Head{Name: "two"}, Profile: Profile{Home: Folder{VFS: "other"}, AllowFrom: []string{"10.0.0.0/8"}}, Account: Account{Disabled: true}}
	e := u.Effective([]*Group{one, two})
	if e.Home.VFS != "files" || e.Home.At("anna") != "/anna" || e.Quota.Hard != 5 || e.MaxSessions != 2 || len(e.AllowFrom) != 1 {
		t.Errorf("got %+v", e.Profile)
	}
	if len(e.Folders) != 2 || e.Folders[0].VFS != "own" || len(u.Folders) != 1 {
		t.Errorf("folders %+v", e.Folders)
	}
	if ok, why := e.Active(day.AddDate(-1, 0, 0)); ok || why != "the account is disabled: the group two is disabled" {
		t.Errorf("%v %s", ok, why)
	}
	if ok, why := u.Effective([]*Group{one}).Active(day); ok || !strings.Contains(why, "expired") {
		t.Errorf("%v %s", ok, why)
	}
}

func TestReferencesAreWhatAnObjectNames(t *testing.T) {
	var got []string
	for _, o := range full() {
		for _, r := range o.References() {
			if r.To.Kind == KindVFS || r.To.Kind == KindGroup || r.To.Kind == KindLDAP || r.To.Kind == KindNode || r.To.Kind == KindCertificate {
				got = append(got, o.Key().String()+" "+r.Field+" "+r.To.String())
			}
		}
	}
	want := []string{
		"binding/main/sftp node node/romantic-lovelace",
		"group/main/staff home.vfs vfs/main/files", "group/main/staff folders[0].vfs vfs/main/files",
		"user/main/anna groups[0] group/main/staff", "user/main/anna ldap ldap/main/corp",
		"user/main/anna home.vfs vfs/main/files", "user/main/anna folders[0].vfs vfs/main/files",
		"ldap/main/corp groups[0].group group/main/staff",
		"settings/global web.certificate certificate//web",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestTheListsOfAlgorithmsAreThoseOfTheLibrary(t *testing.T) {
	safe, weak := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	for name, c := range map[string]struct {
		ours       []Algorithm
		safe, weak []string
	}{
		"key exchanges": {KeyExchanges, safe.KeyExchanges, weak.KeyExchanges},
		"ciphers":       {Ciphers, safe.Ciphers, weak.Ciphers},
		"MACs":          {MACs, safe.MACs, weak.MACs},
		"signatures":    {Signatures, safe.PublicKeyAuths, weak.PublicKeyAuths},
	} {
		for _, a := range c.ours {
			// What the library still calls safe we may call weak, never the other way.
			if !slices.Contains(c.safe, a.Name) && (a.Weak == "" || !slices.Contains(c.weak, a.Name)) {
				t.Errorf("%s: %s (weak: %q) is not so in the library: %v", name, a.Name, a.Weak, c.safe)
			}
		}
		for _, n := range append(slices.Clone(c.safe), c.weak...) {
			if strings.HasPrefix(n, "diffie-hellman-group-exchange-") {
				continue // the library has it for clients alone
			}
			if !slices.ContainsFunc(c.ours, func(a Algorithm) bool { return a.Name == n }) && !strings.Contains(n, "cert") {
				t.Errorf("%s: the library has %s too", name, n)
			}
		}
	}
}

func TestTheFolderOfAVFSHasOneForm(t *testing.T) {
	for text, want := range map[string]string{
		"/srv/files": "/srv/files", "/srv//files/": "/srv/files", "/srv/./files/.": "/srv/files", "/": "/",
		`D:\Files`: `D:\Files`, `d:/Files//x/`: `D:\Files\x`, `D:\.\Files. \`: `D:\Files`,
		// What is no path stays for Validate to refuse.
		"/srv/../etc": "/srv/../etc", "//srv/files": "//srv/files", "files": "files", "": "",
	} {
		v := &VFS{Root: text}
		v.Normalize()
		if v.Root != want {
			t.Errorf("%q became %q, want %q", text, v.Root, want)
		}
	}
}

// TestAPlainKeyIsReadAsEveryOther: the quick way for what most keys are gives what the
// library gives, and takes nothing that it refuses.
func TestAPlainKeyIsReadAsEveryOther(t *testing.T) {
	lines := []string{
		keyLine, keyLine + " ", keyLine + "\n", keyLine + " laptop", " " + keyLine, strings.ToUpper(keyLine), keyLine[:len(keyLine)-1], keyLine + "A",
		keyLine[:len(keyLine)-1] + "=", keyLine[:len(keyLine)-1] + "\n", strings.Replace(keyLine, "AAAAC3", "AAAAB3", 1), "ssh-rsa " + strings.TrimPrefix(keyLine, ed25519Key),
		ed25519Key + strings.Repeat("A", 68), "",
	}
	for _, line := range lines {
		quick := PublicKey{Key: line}
		quick.normalize()
		slow := PublicKey{Key: line}
		if key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line)); err == nil && len(options) == 0 && len(rest) == 0 {
			slow.Key, slow.Fingerprint = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), ssh.FingerprintSHA256(key)
		}
		if quick.Key != slow.Key || quick.Fingerprint != slow.Fingerprint {
			t.Errorf("%q: %q %s, not %q %s", line, quick.Key, quick.Fingerprint, slow.Key, slow.Fingerprint)
		}
	}
}

// TestAPlainNameIsRightByTheSlowRuleToo: the quick way only saves time.
func TestAPlainNameIsRightByTheSlowRuleToo(t *testing.T) {
	for _, name := range []string{"user000001", "anna.lena@example.com", "A-B_C@D-E", "conout$1", "clock$12", "aux.txt.", "com1.txtxx", "12345678.", "........", "a.......", "abcdefgh.con"} {
		if !IsPlainName(name) {
			continue
		}
		folded := Fold(name)
		stem, _, _ := strings.Cut(folded, ".")
		if reservedNames[stem] || strings.HasSuffix(name, ".") || strings.TrimSpace(name) != name || len(name) > maxName || strings.ContainsAny(folded, `/\:*?"<>|`) {
			t.Errorf("%q is taken for right", name)
		}
	}
}
