package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ss-setup/runtime/config"
)

// TestACertificateThatCouldNotBeHadIsTriedAgainAtEveryReload: the administrator mends what
// was in the way and changes no setting.
func TestACertificateThatCouldNotBeHadIsTriedAgainAtEveryReload(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, atStart := range []bool{false, true} {
		must(os.WriteFile(at("server.toml"), nil, 0o600))
		asked := []byte(`[tls]
names = ["sftp.example.com"]
[tls.acme]
accept_terms = true
directory = "https://127.0.0.1:1/directory"
http_listen = "127.0.0.1:0"
roots = "` + filepath.ToSlash(at("roots.pem")) + `"
`)
		if atStart {
			must(os.WriteFile(at("server.toml"), asked, 0o600))
		}
		c, _, _, err := config.LoadServer(at("server.toml"))
		must(err)
		o := newOperations(slog.New(slog.DiscardHandler), new(slog.LevelVar), paths{config: at("server.toml"), state: dir, logs: dir}, c)
		keeper, err := o.open(at("tls"))
		must(err)
		must(os.WriteFile(at("server.toml"), asked, 0o600))
		for range 2 {
			r, err := o.reload()
			must(err)
			if len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "roots.pem") || slices.Contains(r.Live, "[tls]") {
				t.Errorf("at the start %v: %+v", atStart, r)
			}
		}
		root, err := os.ReadFile(filepath.Join(at("tls"), "cert.pem"))
		must(err)
		must(os.WriteFile(at("roots.pem"), root, 0o600))
		r, err := o.reload()
		must(err)
		if len(r.Problems) > 0 || !slices.Contains(r.Live, "[tls]") || o.issuer == nil {
			t.Errorf("mended, at the start %v: %+v", atStart, r)
		}
		must(keeper.Close())
		must(o.Close())
		must(os.Remove(at("roots.pem")))
	}
}
