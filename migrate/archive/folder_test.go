package archive

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderIsReadAsIfItWerePacked(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a", "b.json"), "content")
	write(t, filepath.Join(dir, "c.txt"), "x")
	if err := os.Symlink(filepath.Join(dir, "c.txt"), filepath.Join(dir, "link.txt")); err != nil {
		t.Skip("no links here:", err)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Entries != nil {
		t.Error("it was looked through before anybody asked")
	}
	if err := f.List(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range f.Entries {
		names = append(names, e.Name)
	}
	if got := strings.Join(names, " "); got != "a/b.json c.txt" {
		t.Errorf("it has %s", got)
	}
	text, err := f.Lookup("a/b.json").ReadAll(100)
	if err != nil || string(text) != "content" {
		t.Errorf("%q, %v", text, err)
	}
	if f.Lookup("a") != nil || f.Lookup("../outside") != nil || f.Lookup("nothing") != nil {
		t.Error("what is no file in it is found")
	}
	if got := strings.Join(f.Names("a"), " "); got != "b.json" {
		t.Errorf("in a lies %s", got)
	}
}

// TestLinksAreFollowedAsOnTheMachineItself: /home may be a link to a place that is named
// from the root on, in a copy of the machine too.
func TestLinksAreFollowedAsOnTheMachineItself(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "data", "home", "anna", "key"), "anna's")
	write(t, filepath.Join(dir, "etc", "conf.d", "a"), "a")
	for link, target := range map[string]string{
		"home": "/data/home", "up": "data/../data/home/anna", "loop": "loop", "out": "../../../../../../etc/hostname", "etc/more": "conf.d", "gone": "/nowhere",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skip("no links here:", err)
		}
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range []string{"home/anna/key", "up/key", "data/home/anna/key"} {
		e := f.Lookup(name)
		if e == nil {
			t.Errorf("%s is not found", name)
			continue
		}
		if text, err := e.ReadAll(100); err != nil || string(text) != "anna's" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for _, name := range []string{"loop", "out", "gone", "home", "home/../../etc/hostname"} {
		if f.Lookup(name) != nil {
			t.Errorf("%s is found", name)
		}
	}
	if got := strings.Join(f.Names("etc/more"), " "); got != "a" {
		t.Errorf("behind a link lies %q", got)
	}
}

func TestAFileThatGrowsIsReadUpToWhatItHad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	write(t, path, "12345")
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e := f.Lookup("a.json")
	r, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "12345 and more")
	text, err := io.ReadAll(r)
	if err != nil || string(text) != "12345" {
		t.Errorf("%q, %v", text, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestAFolderThatIsNoConfigurationIsRefused(t *testing.T) {
	empty := t.TempDir()
	deep := t.TempDir()
	write(t, filepath.Join(deep, strings.Repeat("d/", maxDepth+2), "a.json"), "{}")
	own := t.TempDir()
	write(t, filepath.Join(own, "backup.json"), "{}")
	write(t, filepath.Join(own, "manifest.json"), "{}")
	for dir, want := range map[string]error{empty: ErrNotBackup, deep: ErrHostile, own: ErrOwn} {
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.List(); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
