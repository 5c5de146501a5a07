package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/daemon"
	"ss-setup/runtime/license"
	"ss-setup/runtime/service"
	"ss-setup/runtime/verbs"
)

// newDaemon is a license daemon, and the configuration file that leads to it.
func newDaemon(t *testing.T) (config string) {
	t.Helper()
	s := httptest.NewTLSServer(license.Handler(license.Options{
		Health:  func(*http.Request) daemon.Health { return daemon.Health{} },
		Open:    func() bool { return true },
		Version: "7.0.0", Role: "local", Started: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
	}))
	t.Cleanup(s.Close)
	config = filepath.Join(t.TempDir(), "licensed.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "listen = %q\n", s.Listener.Addr()), 0o644); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestLmuTellsThatALicenseServerIsInaccessible(t *testing.T) {
	s := httptest.NewTLSServer(license.Handler(license.Options{
		Health: func(*http.Request) daemon.Health { return daemon.Health{} },
		Open:   func() bool { return true }, Version: "7.0.0", Role: "client",
		Server: func() license.Server {
			return license.Server{Address: "tiger:5555", State: license.Inaccessible, Error: "no license daemon answers"}
		},
	}))
	defer s.Close()
	config := filepath.Join(t.TempDir(), "licensed.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "role = \"client\"\nserver = \"tiger:5555\"\nlisten = %q\n", s.Listener.Addr()), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _, code := lmu("--config", config)
	if code != 0 || !strings.Contains(out, "License server  tiger:5555 inaccessible\n                no license daemon answers\n") {
		t.Errorf("code %d\n%s", code, out)
	}
}

func lmu(args ...string) (out, errOut string, code int) {
	var stdout, stderr bytes.Buffer
	a := app()
	a.Writer, a.ErrWriter = &stdout, &stderr
	code = verbs.Main(a, append([]string{name}, args...))
	return stdout.String(), stderr.String(), code
}

func TestLmu(t *testing.T) {
	config := newDaemon(t)
	t.Run("prints a table", func(t *testing.T) {
		for _, args := range [][]string{{"--config", config}, {"status", "--config", config}} {
			out, _, code := lmu(args...)
			lines := strings.Split(out, "\n")
			if code != 0 || len(lines) != 6 || lines[0] != "License daemon  serving" || lines[1] != "Version         7.0.0" || lines[4] != "Licenses        none" {
				t.Errorf("%v: code %d\n%s", args, code, out)
			}
		}
	})
	t.Run("prints JSON", func(t *testing.T) {
		want := `{"state":"serving","version":"7.0.0","role":"local","started":"2026-11-21T08:00:00Z","licenses":[]}` + "\n"
		for _, args := range [][]string{{"--json", "--config", config}, {"status", "--json", "--config", config}, {"--config", config, "--json", "status"}} {
			if out, _, code := lmu(args...); code != 0 || out != want {
				t.Errorf("%v: code %d\n%s", args, code, out)
			}
		}
	})
	t.Run("says what to look at when the daemon does not answer", func(t *testing.T) {
		gone := filepath.Join(t.TempDir(), "licensed.toml")
		if err := os.WriteFile(gone, []byte(`listen = "127.0.0.1:1"`), 0o644); err != nil {
			t.Fatal(err)
		}
		_, said, code := lmu("--config", gone)
		if code != 1 || !strings.Contains(said, service.StartCommand(service.Manager(), "ss-licensed")) {
			t.Errorf("code %d, said %q", code, said)
		}
	})
	t.Run("refuses what it does not know", func(t *testing.T) {
		for _, args := range [][]string{{"dance"}, {"-nb"}, {"status", "now"}} {
			if _, said, code := lmu(args...); code != 2 || !strings.HasPrefix(said, "lmu: wrong usage: ") {
				t.Errorf("%v: code %d, said %q", args, code, said)
			}
		}
	})
	t.Run("tells its version", func(t *testing.T) {
		if out, _, code := lmu("version"); code != 0 || out != "lmu 0.0.0-dev\n" {
			t.Errorf("code %d, %q", code, out)
		}
	})
}
