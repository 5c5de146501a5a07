package reproducible

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEveryFileOfEitherBuildIsComparedOrExcludedByName(t *testing.T) {
	one := tree(t, map[string]string{"same": "1", "sub/time.json": "1", "sub/other": "1", "gone": "1"})
	other := tree(t, map[string]string{"same": "1", "sub/time.json": "2", "sub/other": "2", "new": "1"})
	var out strings.Builder
	differs, err := Compare(&out, one, other, []Exclusion{{"sub/*.json", "holds a time"}, {"*.xyz", "nothing"}})
	want := []string{
		"gone is in one of them only", "new is in one of them only", "sub/other differs",
		"nothing is called *.xyz, which is excluded",
	}
	if err != nil || !slices.Equal(differs, want) {
		t.Errorf("differs: %q, %v; want %q", differs, err, want)
	}
	for _, line := range []string{"the same  same ", "excluded  sub/time.json (holds a time)\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("it does not say %q:\n%s", line, out.String())
		}
	}
}

func TestTwoEmptyBuildsAreNoProof(t *testing.T) {
	if differs, err := Compare(&strings.Builder{}, t.TempDir(), t.TempDir(), nil); err != nil || len(differs) != 1 {
		t.Errorf("%q, %v", differs, err)
	}
}

func TestALinkInABuildIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	if _, err := Compare(&strings.Builder{}, dir, dir, nil); err == nil {
		t.Error("it was taken")
	}
}

func TestAWrongPatternIsTold(t *testing.T) {
	dir := tree(t, map[string]string{"same": "1"})
	if _, err := Compare(&strings.Builder{}, dir, dir, []Exclusion{{"[", ""}}); err == nil {
		t.Error("it was taken")
	}
}
