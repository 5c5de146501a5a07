package move

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTheConfigurationComesAlongAlsoFromWhereLinksLead(t *testing.T) {
	m := newMachine(t)
	elsewhere := t.TempDir()
	for name, text := range map[string]string{"keys/list.txt": "weak\n", "keys/more/list.txt": "weaker\n", "cert.pem": "a certificate\n"} {
		path := filepath.Join(elsewhere, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	must(t, os.Symlink(filepath.Join(elsewhere, "keys"), filepath.Join(m.config, "more-keys")))
	must(t, os.Symlink(filepath.Join(elsewhere, "cert.pem"), filepath.Join(m.config, "cert.pem")))
	l := m.pack()
	var names []string
	for _, f := range l.Config {
		names = append(names, f.Name)
	}
	if want := []string{"cert.pem", "known-keys/list", "more-keys/list.txt", "more-keys/more/list.txt", "server.toml"}; !slices.Equal(names, want) {
		t.Errorf("it has %q", names)
	}
	if text, err := os.ReadFile(filepath.Join(m.dir, "config/more-keys/more/list.txt")); err != nil || string(text) != "weaker\n" {
		t.Errorf("%q, %v", text, err)
	}
	if l.LeftOut != nil {
		t.Errorf("left out: %q", l.LeftOut)
	}
	if _, err := Read(m.dir); err != nil {
		t.Error(err)
	}
}

func TestAConfigurationFolderThatIsALinkComesAlong(t *testing.T) {
	m := newMachine(t)
	link := filepath.Join(t.TempDir(), "ss-server")
	must(t, os.Symlink(m.config, link))
	m.config = link
	if l := m.pack(); len(l.Config) != 2 || l.Config[1].Name != "server.toml" {
		t.Errorf("it has %+v", l.Config)
	}
}

func TestWhatOfTheConfigurationDoesNotComeAlongIsNamed(t *testing.T) {
	m := newMachine(t)
	must(t, os.Symlink(filepath.Join(m.config, "none"), filepath.Join(m.config, "dangling")))
	must(t, os.Symlink(m.config, filepath.Join(m.config, "known-keys/loop")))
	must(t, os.Symlink("itself", filepath.Join(m.config, "itself")))
	l := m.pack()
	left := strings.Join(l.LeftOut, "\n")
	if len(l.Config) != 2 || len(l.LeftOut) != 3 {
		t.Errorf("it has %+v without %q", l.Config, l.LeftOut)
	}
	for _, words := range []string{"dangling is a link that leads to nothing", "loop is a link that leads back to ", "itself is a link"} {
		if !strings.Contains(left, words) {
			t.Errorf("%q is not told: %s", words, left)
		}
	}
	gone := filepath.Join(t.TempDir(), "gone")
	must(t, os.Symlink(gone+" too", gone))
	if c, err := FindConfig(gone); err != nil || len(c.LeftOut) != 1 {
		t.Errorf("the folder leads nowhere: %+v, %v", c, err)
	}
	if c, err := FindConfig(gone + " too"); err != nil || c.LeftOut != nil {
		t.Errorf("there is no folder: %+v, %v", c, err)
	}
}

func TestAFolderThatIsNoConfigurationIsRefused(t *testing.T) {
	m := newMachine(t)
	huge, err := os.Create(filepath.Join(m.config, "huge"))
	must(t, err)
	must(t, huge.Truncate(maxConfig))
	must(t, huge.Close())
	if _, err := FindConfig(m.config); err == nil || !strings.Contains(err.Error(), "move what is no configuration elsewhere") {
		t.Errorf("%v", err)
	}
}

func TestWhoseAFileIsComesAlong(t *testing.T) {
	m := newMachine(t)
	old := m.old()
	old.Owner = func(info fs.FileInfo) (owner, group string) { return OwnerRoot, OwnerServer }
	l, err := Pack(t.Context(), m.dir, old)
	must(t, err)
	if f := l.Config[0]; f.Owner != OwnerRoot || f.Group != OwnerServer {
		t.Errorf("%+v", f)
	}
}
