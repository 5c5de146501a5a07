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
	return oldBackupOf(t, `[{"id":"V1","name":"Files","type":"Disk","target":"/srv/f"},{"id":"V2","name":"Cloud","type":"S3"}]`, users)
}

func oldBackupOf(t *testing.T, vfs, users string) string {
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
		{"sites/default/vfs.json", vfs},
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
	code, out = runVerbOf(t, append([]string{"import", lossy, "--yes", "--json", "--report", page}, flags...)...)
	if code != verbs.ExitRefused || !strings.Contains(out, "--accept-drops") || !strings.Contains(out, `"dry_run":true`) {
		t.Errorf("%d %s", code, out)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "What an import would do") {
		t.Errorf("the page says that something was imported: %v", err)
	}
	code, out = runVerbOf(t, append([]string{"import", lossy, "--accept-drops"}, flags...)...)
	if code != verbs.ExitUsage || !strings.Contains(out, "--yes") {
		t.Errorf("without a terminal and --yes: %d %s", code, out)
	}
	if exported := objectsOf(t, flags, dir, "before.zip"); exported != 0 {
		t.Errorf("%d objects are there already", exported)
	}
	code, out = runVerbOf(t, append([]string{"import", lossy, "--yes", "--accept-drops", "--report", page}, flags...)...)
	if code != 0 || !strings.Contains(out, "objects are in force") {
		t.Fatalf("%d %s", code, out)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "What was imported") {
		t.Errorf("the page does not say that it is done: %v", err)
	}
	if objectsOf(t, flags, dir, "after.zip") < 5 {
		t.Error("nothing is there")
	}
}

// TestAnImportIsHeldToTheLossesThatSomebodyAgreedTo: with others nothing comes into force.
func TestAnImportIsHeldToTheLossesThatSomebodyAgreedTo(t *testing.T) {
	flags, dir := importHome(t)
	lossy := oldBackup(t, `[{"id":"anna","home":{"vfsId":"V1"}},{"id":"cloudy","home":{"vfsId":"V2"}}]`)
	lossier := oldBackup(t, `[{"id":"anna","home":{"vfsId":"V2"}},{"id":"cloudy","home":{"vfsId":"V2"}}]`)
	var r struct {
		Losses string `json:"losses_sha256"`
	}
	code, out := runVerbOf(t, append([]string{"import", lossy, "--dry-run", "--json"}, flags...)...)
	if code != 0 || json.Unmarshal([]byte(out), &r) != nil || len(r.Losses) != 64 {
		t.Fatalf("%d %s", code, out)
	}
	code, out = runVerbOf(t, append([]string{"import", lossier, "--yes", "--accept-losses", r.Losses}, flags...)...)
	if code != verbs.ExitRefused || !strings.Contains(out, "not those that were agreed to") || objectsOf(t, flags, dir, "before.zip") != 0 {
		t.Errorf("%d %s", code, out)
	}
	if code, out = runVerbOf(t, append([]string{"import", lossy, "--yes", "--accept-losses", r.Losses}, flags...)...); code != 0 {
		t.Errorf("%d %s", code, out)
	}
}

// TestAnImportHasNoVFSInTheServersOwnFolders: its user would read the keys of the machine.
func TestAnImportHasNoVFSInTheServersOwnFolders(t *testing.T) {
	flags, dir := importHome(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(dir, "var"), link); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, own := range []string{at("var/keyring"), at("var"), at("generations/1"), at("var/1/x"), filepath.Join(link, "keyring")} {
		raw, err := json.Marshal([]map[string]string{{"id": "V1", "name": "Files", "type": "Disk", "target": own}})
		if err != nil {
			t.Fatal(err)
		}
		path := oldBackupOf(t, string(raw), `[{"id":"anna","home":{"vfsId":"V1"}}]`)
		code, out := runVerbOf(t, append([]string{"import", path, "--dry-run"}, flags...)...)
		if code != 0 || !strings.Contains(out, "own folder") || !strings.Contains(out, "disabled: user anna") {
			t.Errorf("%s: %d %s", own, code, out)
		}
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
