package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestServerConfig(t *testing.T) {
	for _, tt := range []struct {
		name, text, listen, probe string
	}{
		{"has a default for everything", "", ":6443", "127.0.0.1:6443"},
		{"listens where it says", "[web]\nlisten = \"10.0.0.5:443\"", "10.0.0.5:443", "10.0.0.5:443"},
		{"is probed on the loopback when it listens everywhere", "[web]\nlisten = \"0.0.0.0:7000\"", "0.0.0.0:7000", "127.0.0.1:7000"},
		{"is probed on the IPv6 loopback when it listens on every IPv6 address", "[web]\nlisten = \"[::]:7000\"", "[::]:7000", "[::1]:7000"},
		{"may name a host", "[web]\nlisten = \"localhost:7000\"", "localhost:7000", "localhost:7000"},
		{"may start with a byte order mark", "\ufeff[web]\nlisten = \":1\"", ":1", "127.0.0.1:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, unknown, err := ParseServer([]byte(tt.text))
			if err != nil || len(unknown) != 0 {
				t.Fatal(unknown, err)
			}
			if c.Web.Listen != tt.listen || c.ProbeAddr() != tt.probe {
				t.Errorf("listen %q, probe %q", c.Web.Listen, c.ProbeAddr())
			}
		})
	}
}

func TestConfigTellsUnknownKeysAndGoesOn(t *testing.T) {
	c, unknown, err := ParseServer([]byte("future = 1\n[web]\nlisten = \":7000\"\nhttp3 = true\n[sftp]\nlisten = \":22\"\n"))
	if err != nil || c.Web.Listen != ":7000" {
		t.Fatalf("%+v, %v", c, err)
	}
	slices.Sort(unknown)
	if got := strings.Join(unknown, " "); got != "future sftp sftp.listen web.http3" {
		t.Errorf("unknown keys %q", got)
	}
}

func TestConfigErrorsNameTheCure(t *testing.T) {
	for text, want := range map[string]string{
		"[web]\nlisten = \"6443\"":                         `[web] listen: "6443" is not an address with a port, such as ":6443" or "127.0.0.1:6443"`,
		"[web]\nlisten = \":0\"":                           `[web] listen: ":0" has no port between 1 and 65535`,
		"[web]\nlisten = \":https\"":                       `[web] listen: ":https" has no port between 1 and 65535`,
		"[web]\nlisten = \"/tmp/sock:1\"":                  `[web] listen: "/tmp/sock" is not a host name or address`,
		"[web]\n\nlisten = 6443":                           `line 3 (last key "web.listen"): incompatible types: TOML value has type int64; destination has type string`,
		"[web]\nmetrics_from = [\"all\"]":                  `[web] metrics_from: "all" is not an address or network, such as "192.0.2.7" or "10.0.0.0/8"`,
		"[log]\nlevel = \"loud\"":                          `[log] level: "loud" is none of ["debug" "info" "warn" "error"]`,
		"[tls]\ncert = \"/c\"":                             `[tls] cert and key: write both, they may be the same file`,
		"[tls]\ncert = \"/c\"\nkey = \"/k\"\n[tls.acme]\n": `[tls] cert and [tls.acme]: a certificate comes from files or from an authority; take one of them out`,
		"[web\nlisten = \":6443\"":                         "line 2: expected '.' or ']' to end table name, but got '\\n' instead",
	} {
		if _, _, err := ParseServer([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`listen = ":2380"`:                    `listen: role "local" serves this machine only, "" is not a loopback address; use "127.0.0.1:2380"`,
		`listen = "192.0.2.1:2380"`:           `listen: role "local" serves this machine only, "192.0.2.1" is not a loopback address; use "127.0.0.1:2380"`,
		`role = "server"`:                     `role: "server" is not known to this release; use "local" or "client"`,
		`role = "client"`:                     `server: role "client" needs the name of its license server, such as "licenses.example.com"`,
		"role = \"client\"\nserver = \"a b\"": `server: "a b" is not NAME or NAME:PORT, such as "licenses.example.com" or "[2001:db8::5]:2380"`,
	} {
		if _, _, err := ParseLicensed([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestRenderedConfigIsReadAsMeant(t *testing.T) {
	c, unknown, err := ParseServer(RenderServer(8443))
	if err != nil || len(unknown) != 0 || c.Web.Listen != ":8443" {
		t.Errorf("server.toml: %+v, %v, %v", c, unknown, err)
	}
	l, unknown, err := ParseLicensed(RenderLicensed(2999))
	if err != nil || len(unknown) != 0 || l.Listen != "127.0.0.1:2999" || l.Role != RoleLocal {
		t.Errorf("licensed.toml: %+v, %v, %v", l, unknown, err)
	}
}

func TestLicenseServer(t *testing.T) {
	for text, want := range map[string]string{
		"Tiger":                "Tiger:2380",
		"lic_1.example.com":    "lic_1.example.com:2380",
		"lic.example.com:5555": "lic.example.com:5555",
		"192.0.2.1":            "192.0.2.1:2380",
		"[2001:db8::5]":        "[2001:db8::5]:2380",
		"[2001:db8::5]:5":      "[2001:db8::5]:5",
	} {
		if got, err := LicenseServer(text); got != want || err != nil {
			t.Errorf("%q is %q, %v, want %q", text, got, err, want)
		}
		c, _, err := ParseLicensed(RenderLicenseClient(2999, want))
		if err != nil || c.Role != RoleClient || c.Server != want || c.Listen != "127.0.0.1:2999" {
			t.Errorf("%q is read as %+v, %v", want, c, err)
		}
	}
	for _, text := range []string{"", ":", ":2380", "a b", "a/b", "https://a", "a:0", "a:65536", "a:b", "-a", "a..b", "2001:db8::5", "a:1:2", "é"} {
		if got, err := LicenseServer(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func FuzzLicenseServer(f *testing.F) {
	for _, text := range []string{"Tiger:5555", "[::1]", "a.b", "192.0.2.1:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		address, err := LicenseServer(text)
		if err != nil {
			return
		}
		if again, err := LicenseServer(address); err != nil || again != address {
			t.Errorf("%q is %q, and that is %q, %v", text, address, again, err)
		}
	})
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.toml")
	t.Run("takes the defaults when there is no file, and says so", func(t *testing.T) {
		c, _, found, err := LoadServer(path)
		if err != nil || found || c.Web.Listen != ":6443" {
			t.Errorf("%+v, found %v, %v", c, found, err)
		}
	})
	t.Run("names the file in its errors", func(t *testing.T) {
		if err := os.WriteFile(path, []byte("[web]\nlisten = \"x\""), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := LoadServer(path); err == nil || !strings.HasPrefix(err.Error(), "configuration "+path+": [web] listen:") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a folder and a file that is far too large", func(t *testing.T) {
		if _, _, _, err := LoadServer(filepath.Dir(path)); err == nil {
			t.Error("read a folder")
		}
		if err := os.WriteFile(path, make([]byte, maxSize+1), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := LoadServer(path); err == nil || !strings.Contains(err.Error(), "is not a text file of at most") {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzParseServer(f *testing.F) {
	f.Add(RenderServer(6443))
	f.Add([]byte("[web]\nlisten = \"[::1]:1\"\nx = { y = 1 }"))
	f.Add([]byte("\ufeff[web"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, _, err := ParseServer(text)
		if err != nil {
			return
		}
		if _, _, err := splitListen(c.ProbeAddr()); err != nil {
			t.Errorf("accepted %q, which cannot be probed: %v", c.Web.Listen, err)
		}
	})
}

func FuzzParseLicensed(f *testing.F) {
	f.Add(RenderLicensed(2380))
	f.Add([]byte("listen = \"[::ffff:127.0.0.1]:1\""))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, _, err := ParseLicensed(text)
		if err != nil {
			return
		}
		host, _, err := splitListen(c.ProbeAddr())
		if err != nil || !isLoopback(host) {
			t.Errorf("accepted %q, which is not on this machine: %v", c.Listen, err)
		}
	})
}

func TestChangesTellWhatNeedsARestart(t *testing.T) {
	parse := func(text string) Server {
		t.Helper()
		c, unknown, err := ParseServer([]byte(text))
		if err != nil || len(unknown) != 0 {
			t.Fatal(unknown, err)
		}
		return c
	}
	old := parse("")
	if live, restart := old.Changes(parse("[log]\nlevel = \"info\"")); len(live)+len(restart) != 0 {
		t.Errorf("nothing changed: %q, %q", live, restart)
	}
	live, restart := old.Changes(parse(`
[web]
listen = ":7000"
metrics_from = ["10.1.2.3"]
[log]
level = "debug"
[tls]
names = ["files.example.org"]
[tls.acme]
accept_terms = true
`))
	if got := strings.Join(live, ", ") + "; " + strings.Join(restart, ", "); got != "[web] metrics_from, [tls], [log] level; [web] listen" {
		t.Error(got)
	}
	// Every setting is told of: one that is added to the file is added there too.
	if n := reflect.TypeFor[Web]().NumField() + reflect.TypeFor[Log]().NumField(); n != 3 || reflect.TypeFor[Server]().NumField() != 3 {
		t.Error("add the new setting to Changes and to this test")
	}
}
