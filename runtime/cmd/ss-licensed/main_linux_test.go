package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/runtime/license"
)

// newHome lays out generation 1 as ss-setup does, with a store and a free port.
func newHome(t *testing.T) (current, config, addr string) {
	t.Helper()
	root := t.TempDir()
	generation, data := filepath.Join(root, "1"), filepath.Join(root, "data")
	for _, dir := range []string{generation, data} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(data, filepath.Join(generation, dataLink)); err != nil {
		t.Fatal(err)
	}
	if _, err := schema().Migrate(data, true, func(int64, int64, string) {}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	config = filepath.Join(root, "licensed.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "listen = %q\nfuture = 1\n", addr), 0o644); err != nil {
		t.Fatal(err)
	}
	return generation, config, addr
}

func TestDaemonAnswersWhatLmuAsks(t *testing.T) {
	generation, config, addr := newHome(t)
	var log strings.Builder
	i, err := start(slog.New(slog.NewJSONHandler(&log, nil)), generation, config, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := license.Ask(t.Context(), addr)
	if err != nil || s.State != "updating" || s.Role != "local" {
		t.Errorf("%+v, %v", s, err)
	}
	if err := i.Stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), `"setting":"future"`) {
		t.Errorf("the unknown setting is not in the log:\n%s", log.String())
	}
}

func TestAClientTellsThatItsLicenseServerIsInaccessible(t *testing.T) {
	generation, config, addr := newHome(t)
	settings := fmt.Sprintf("role = \"client\"\nserver = \"127.0.0.1:1\"\nlisten = %q\n", addr)
	if err := os.WriteFile(config, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	i, err := start(slog.New(slog.DiscardHandler), generation, config, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Stop() })
	s, err := license.Ask(t.Context(), addr)
	if err != nil || s.Role != "client" || s.Server == nil || s.Server.Address != "127.0.0.1:1" || s.Server.State != license.Inaccessible {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestDaemonRefusesToListenForOtherMachines(t *testing.T) {
	generation, config, _ := newHome(t)
	if err := os.WriteFile(config, []byte(`listen = ":2380"`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := start(slog.New(slog.DiscardHandler), generation, config, t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a loopback address") {
		t.Errorf("got %v", err)
	}
}

func TestVerbsAreThoseOfEveryStore(t *testing.T) {
	var names []string
	for _, c := range app().Commands {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "run migrate check selftest version" {
		t.Errorf("verbs %s", got)
	}
	var out strings.Builder
	a := app()
	a.Writer = &out
	if err := a.Run([]string{name, "version", "--json"}); err != nil {
		t.Fatal(err)
	}
	var v struct {
		Program string
		Schema  int
	}
	if err := json.Unmarshal([]byte(out.String()), &v); err != nil || v.Program != "ss-licensed" || v.Schema != 1 {
		t.Errorf("%s, %v", out.String(), err)
	}
}
