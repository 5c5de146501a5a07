package daemon

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// newHome is an installed tree: generation n with its data folder, and `current`.
func newHome(t testing.TB, n string) (current, data string) {
	t.Helper()
	root := t.TempDir()
	generation := filepath.Join(root, "generations", n)
	data = filepath.Join(root, "var", n)
	for _, dir := range []string{generation, data} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	current = filepath.Join(root, "current")
	for link, target := range map[string]string{
		filepath.Join(generation, "data"): data,
		current:                           filepath.Join("generations", n),
	} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	return current, data
}

func TestFind(t *testing.T) {
	t.Run("stays with its generation when current is switched", func(t *testing.T) {
		current, _ := newHome(t, "3")
		home, err := Find(current, "data")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(current); err != nil {
			t.Fatal(err)
		}
		if home.Generation != 3 || filepath.Base(home.Dir) != "3" || !strings.HasSuffix(home.OpenFile(), "/generations/3/open") {
			t.Errorf("%+v", home)
		}
		if _, err := os.Stat(home.Data); err != nil {
			t.Error(err)
		}
	})
	t.Run("takes a generation's own folder too", func(t *testing.T) {
		current, _ := newHome(t, "12")
		if home, err := Find(filepath.Join(filepath.Dir(current), "generations", "12"), "data"); err != nil || home.Generation != 12 {
			t.Errorf("%+v, %v", home, err)
		}
	})
	t.Run("names the command that helps", func(t *testing.T) {
		current, data := newHome(t, "3")
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		if _, err := Find(current, "data"); err == nil || !strings.Contains(err.Error(), "data of generation 3") || !strings.Contains(err.Error(), "ss-setup install --repair") {
			t.Errorf("no data folder: %v", err)
		}
		if err := os.WriteFile(data, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Find(current, "data"); err == nil || !strings.Contains(err.Error(), "is not a folder") {
			t.Errorf("a file in its place: %v", err)
		}
		if _, err := Find("/nowhere/current", "data"); err == nil || !strings.Contains(err.Error(), "ss-setup status") {
			t.Errorf("no current: %v", err)
		}
	})
	t.Run("refuses a folder that is no generation", func(t *testing.T) {
		current, _ := newHome(t, "x3")
		if _, err := Find(current, "data"); err == nil || !strings.Contains(err.Error(), `"x3" is not the number of a generation`) {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzGenerationOf(f *testing.F) {
	for _, seed := range []string{"1", "42", "0", "-1", "+1", "01", "1 ", "１", "99999999999999999999", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n, err := generationOf(name)
		if err == nil && (n < 1 || strconv.Itoa(n) != name) {
			t.Errorf("%q is generation %d", name, n)
		}
	})
}
