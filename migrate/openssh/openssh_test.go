package openssh

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

const someKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJc9YSnhJk2nUCyAdoa5PVnU6Ytwvs8FHGvIYKSNMCjm"

// TestALineThatNarrowsItsKeyNeverBecomesWider goes through every option there is.
func TestALineThatNarrowsItsKeyNeverBecomesWider(t *testing.T) {
	for options, c := range map[string]struct {
		why     string // "" if the key comes along
		from    string
		expires string
	}{
		"":        {},
		"no-pty ": {},
		"restrict,no-port-forwarding,environment=\"A=b\" ":    {},
		`command="internal-sftp" `:                            {},
		`command="internal-sftp -l INFO -u 0022" `:            {},
		`command="/usr/lib/openssh/sftp-server" `:             {},
		`command="internal-sftp -R" `:                         {why: "less over SFTP"},
		`command="internal-sftp -P remove" `:                  {why: "less over SFTP"},
		`command="internal-sftp -Z" `:                         {why: "less over SFTP"},
		`command="rsync --server",no-pty `:                    {why: "one command"},
		`COMMAND="echo \"internal-sftp\"" `:                   {why: "one command"},
		`from="192.0.2.0/24,!192.0.2.9" `:                     {from: "192.0.2.0/24,!192.0.2.9"},
		`from="" `:                                            {why: "from nowhere"},
		`expiry-time="20300101Z" `:                            {expires: "2030-01-01T00:00:00Z"},
		`expiry-time="20300101" `:                             {expires: "2029-12-31T10:00:00Z"},
		`expiry-time="203001011200",expiry-time="20310101Z" `: {expires: "2029-12-31T22:00:00Z"},
		`expiry-time="soon" `:                                 {why: "when it ends"},
		`cert-authority `:                                     {why: "signs certificates"},
		`cert-authority,principals="a" `:                      {why: "signs certificates"},
		`principals="a" `:                                     {why: "for certificates"},
		`verify-required `:                                    {why: "PIN"},
		`some-new-option `:                                    {why: "some-new-option"},
		`some-new-option="x y" `:                              {why: "some-new-option"},
		`from="192.0.2.1" no-pty `:                            {why: "not a line"},
		`from="192.0.2.1 `:                                    {why: "not a line"},
		`@revoked `:                                           {why: "@revoked"},
	} {
		k, ok := parseKey(options + someKey + " anna@laptop")
		if !ok {
			t.Errorf("%q says nothing", options)
			continue
		}
		if (k.why == "") != (c.why == "") || !strings.Contains(k.why, c.why) {
			t.Errorf("%q: left out because %q, want %q", options, k.why, c.why)
		}
		if got := strings.Join(k.from, ","); c.why == "" && got != c.from {
			t.Errorf("%q: from %q", options, got)
		}
		got := ""
		if !k.expires.IsZero() {
			got = k.expires.Format(time.RFC3339)
		}
		if got != c.expires {
			t.Errorf("%q: expires %q, want %q", options, got, c.expires)
		}
		if k.why == "" && (k.text != someKey || k.name != "anna@laptop") {
			t.Errorf("%q: the key %q of %q", options, k.text, k.name)
		}
	}
}

// TestAMatchIsReadAsSshdReadsIt: the first one that holds counts, before what stands
// outside; lists of names add up.
func TestAMatchIsReadAsSshdReadsIt(t *testing.T) {
	c := parseText(t, `
PasswordAuthentication no
PasswordAuthentication yes
AllowGroups staff guests
AllowGroups sftp
Match Group sftp,!staff User *,!bela
  ForceCommand internal-sftp
Match User anna
  ForceCommand /bin/true
  PasswordAuthentication yes
Match User dora Address 192.0.2.0/24
  ForceCommand internal-sftp
Match all
  ChrootDirectory = "/srv/with blank"
`)
	for _, want := range []struct {
		user   person
		sftp   bool
		chains string
		denied bool
	}{
		{person{name: "anna", groups: []string{"sftp"}}, true, "publickey password keyboard-interactive", false},
		{person{name: "anna", groups: []string{"guests"}}, false, "publickey password keyboard-interactive", false},
		{person{name: "bela", groups: []string{"sftp"}}, false, "publickey keyboard-interactive", false},
		{person{name: "cora", groups: []string{"sftp", "staff"}}, false, "publickey keyboard-interactive", false},
		{person{name: "dora", groups: []string{"others"}}, false, "publickey keyboard-interactive", true},
	} {
		r := c.rulesOf(&want.user, nil)
		if r.force.sftp != want.sftp || r.denied != want.denied || chainText(r.chains) != want.chains || r.chroot != "/srv/with blank" {
			t.Errorf("%+v: %+v", want.user, r)
		}
	}
	dora := &person{name: "dora", groups: []string{"sftp"}}
	if _, maybe := c.matches[2].holds(dora); !maybe {
		t.Error("a Match by address is taken for certain")
	}
}

func chainText(chains []model.AuthChain) string {
	words := make([]string, len(chains))
	for i, chain := range chains {
		words[i] = string(chain)
	}
	return strings.Join(words, " ")
}

func TestWhatTheForcedServerRefusesIsNotPermitted(t *testing.T) {
	for command, want := range map[string]string{
		"internal-sftp":    "list download upload overwrite resume delete rename mkdir rmdir attributes link",
		"internal-sftp -R": "list download",
		"/usr/lib/openssh/sftp-server -P remove,link": "list download upload overwrite resume rename mkdir rmdir attributes link",
		"internal-sftp -Prename":                      "list download upload overwrite resume delete mkdir rmdir attributes link",
		"internal-sftp -p opendir,readdir,open,read":  "list download",
		"internal-sftp -d /in -u 0022 -P write":       "list download delete rename mkdir rmdir attributes link",
	} {
		var words []string
		for _, p := range parseForce(command).permissions() {
			words = append(words, string(p))
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%s: %s", command, got)
		}
	}
}

func parseText(t testing.TB, text string) *config {
	t.Helper()
	file, err := archive.Read(strings.NewReader(text), int64(len(text)), "sshd_config")
	if err != nil {
		t.Fatal(err)
	}
	s := &Source{file: file, flat: true, config: file.Entries[0]}
	c, err := s.parse(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// FuzzParseKey: a line is read without a crash, and one with from="..." never gives a key
// without it.
func FuzzParseKey(f *testing.F) {
	for _, line := range []string{
		someKey, `from="192.0.2.0/24" ` + someKey, `command="internal-sftp",no-pty ` + someKey + " me", `expiry-time="20300101Z" ` + someKey,
		`cert-authority,principals="a,b" ` + someKey, `environment="A=\"b\"" ` + someKey, "# nothing", "ssh-rsa", `from="`, `a=,b="c" ssh-`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		k, ok := parseKey(line)
		if !ok || k.why != "" {
			return
		}
		if !isKeyType(k.text) {
			t.Errorf("%q gives the key %q", line, k.text)
		}
		if strings.HasPrefix(line, `from="`) && len(k.from) == 0 {
			t.Errorf("%q lost where it is good from", line)
		}
	})
}

// FuzzImport: whatever sshd_config says, reading it ends without a crash.
func FuzzImport(f *testing.F) {
	for _, text := range []string{
		"Port 22\nMatch User a\nForceCommand internal-sftp\n", "Include x*\nMatch Group \"a b\",!c Address *\nChrootDirectory %h\n", "ListenAddress [::1]:22\nHostKey x\n",
		"Ciphers +aes128-cbc\nMACs a,b\nBanner none\n", "Match\n", "Match all\nAuthenticationMethods publickey,publickey any\n", "AllowUsers *@192.0.2.0/24 !b\n", `Banner "no end`,
	} {
		f.Add([]byte(text), "anna:x:1000:1000:A:/home/anna:/bin/sh\n")
	}
	f.Fuzz(func(t *testing.T, text []byte, passwd string) {
		file, err := archive.Read(bytes.NewReader(text), int64(len(text)), "sshd_config")
		if err != nil {
			return
		}
		more, err := archive.Read(strings.NewReader(passwd), int64(len(passwd)), "passwd")
		if err == nil && !more.Zip && !file.Zip {
			file.Entries = append(file.Entries, more.Entries...)
		}
		s := &Source{file: file, flat: true, config: file.Entries[0]}
		r := report.New(s.About())
		if err := s.Import(context.Background(), importer.Options{NewNode: "here"}, importer.Discard{}, r); err == nil && r.Balanced() != nil {
			t.Error(r.Balanced())
		}
	})
}
