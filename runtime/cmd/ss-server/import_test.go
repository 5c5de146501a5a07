package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/runtime/verbs"
)

// importHome is an installed generation with an empty store.
func importHome(t *testing.T) (flags []string, dir string) {
	t.Helper()
	dir = t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"generations/1", "var/1", "var/snapshots"} {
		if err := os.MkdirAll(at(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Symlink(at("var/1"), at("generations/1/data")), os.Symlink("generations/1", at("current")))
	if err != nil {
		t.Skip("links cannot be made here: ", err)
	}
	if code, out := runVerbOf(t, "migrate", "--data", at("var/1"), "--create"); code != 0 {
		t.Fatal(out)
	}
	return []string{"--home", at("current"), "--state", at("var"), "--control", at("none"), "--config", at("server.toml")}, dir
}

// runVerbOf runs a verb as the program does.
func runVerbOf(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var both bytes.Buffer
	a := app()
	a.Writer, a.ErrWriter = &both, &both
	code = verbs.Main(a, append([]string{name}, args...))
	return code, both.String()
}

func oldBackup(t *testing.T, users string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "v6.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, part := range [][2]string{
		{"version.json", `{"version":"6.2.60"}`},
		{"vsites.json", `[{"id":"default"}]`},
		{"sites/default/vfs.json", `[{"id":"V1","name":"Files","type":"Disk","target":"/srv/f"},{"id":"V2","name":"Cloud","type":"S3"}]`},
		{"sites/default/users.json", users},
	} {
		w, err := z.Create(part[0])
		if err == nil {
			_, err = w.Write([]byte(part[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImportAsksBeforeUsersAreLost(t *testing.T) {
	flags, dir := importHome(t)
	lossy := oldBackup(t, `[{"id":"anna","home":{"vfsId":"V1"}},{"id":"cloudy","home":{"vfsId":"V2"}}]`)
	page := filepath.Join(dir, "report.html")

	code, out := runVerbOf(t, append([]string{"import", lossy, "--dry-run", "--report", page}, flags...)...)
	if code != 0 || !strings.Contains(out, "What an import would do") {
		t.Fatalf("%d %s", code, out)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "cloudy") || strings.Contains(string(text), "://") {
		t.Errorf("the page is not as it should be: %v", err)
	}
	code, out = runVerbOf(t, append([]string{"import", lossy, "--yes", "--json"}, flags...)...)
	if code == 0 || !strings.Contains(out, "--accept-drops") {
		t.Errorf("%d %s", code, out)
	}
	if exported := objectsOf(t, flags, dir, "before.zip"); exported != 0 {
		t.Errorf("%d objects are there already", exported)
	}
	code, out = runVerbOf(t, append([]string{"import", lossy, "--yes", "--accept-drops"}, flags...)...)
	if code != 0 || !strings.Contains(out, "objects are in force") {
		t.Fatalf("%d %s", code, out)
	}
	if objectsOf(t, flags, dir, "after.zip") < 5 {
		t.Error("nothing is there")
	}
}

// objectsOf counts what a backup of the generation holds.
func objectsOf(t *testing.T, flags []string, dir, file string) int {
	t.Helper()
	path := filepath.Join(dir, file)
	code, out := runVerbOf(t, append([]string{"backup", path, "--json"}, flags[:6]...)...)
	var s struct {
		Objects map[string]int `json:"objects"`
	}
	if code != 0 || json.Unmarshal([]byte(out), &s) != nil {
		t.Fatalf("%d %s", code, out)
	}
	n := 0
	for _, m := range s.Objects {
		n += m
	}
	return n
}

func TestImportOfSomethingElseChangesNothing(t *testing.T) {
	flags, dir := importHome(t)
	path := filepath.Join(dir, "letter.txt")
	if err := os.WriteFile(path, []byte("Dear Sir or Madam"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := runVerbOf(t, append([]string{"import", path, "--yes"}, flags...)...)
	if code == 0 || !strings.Contains(out, "neither a zip archive nor JSON") {
		t.Errorf("%d %s", code, out)
	}
	if objectsOf(t, flags, dir, "b.zip") != 0 {
		t.Error("something was imported")
	}
}
