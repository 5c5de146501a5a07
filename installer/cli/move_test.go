package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/installer/move"
)

func TestTheServicesListenWhereTheConfigurationThatComesAlongSays(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"server.toml": "[web]\nlisten = \":7443\"\n", "licensed.toml": "listen = \"127.0.0.1:2381\"\n"} {
		path := move.File{Name: name}.In(dir)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := move.List{Host: "old", Config: []move.File{{Name: "server.toml"}, {Name: "licensed.toml"}, {Name: "known-keys/list"}}}
	s := newSession(settings{verb: moveInVerb, folder: dir}, Streams{})
	if err := s.takeMove(l); err != nil {
		t.Fatal(err)
	}
	if o := s.options; o.WebPort != 7443 || o.LicensePort != 2381 || o.Import != filepath.Join(dir, move.BackupName) || len(o.Moving.Files) != 3 {
		t.Errorf("%+v", o)
	}
	s = newSession(settings{verb: moveInVerb, folder: dir}, Streams{})
	s.options.WebPort = 8443
	if err := s.takeMove(l); err == nil || !strings.Contains(err.Error(), "7443") {
		t.Errorf("another port than that of the configuration: %v", err)
	}
}

func TestAnAddressOfThisMachineIsNotThatOfTheOldOne(t *testing.T) {
	if got := foreign([]string{"192.0.2.77:6443", "no address"}); len(got) != 1 || got[0] != "192.0.2.77:6443" {
		t.Errorf("%q", got)
	}
}
