package legacy

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/migrate/archive"
)

// backupAt writes a small backup of version 6.
func backupAt(t *testing.T, path string, made time.Time, parts ...[2]string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	parts = append(parts, [2]string{"version.json", `{"version":"6.2.60"}`})
	if !slices.ContainsFunc(parts, func(p [2]string) bool { return p[0] == "vsites.json" }) {
		parts = append(parts, [2]string{"vsites.json", `[{"id":"default"}]`})
	}
	for _, part := range parts {
		w, err := z.Create(part[0])
		if err == nil {
			_, err = w.Write([]byte(part[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close(), os.Chtimes(path, made, made)); err != nil {
		t.Fatal(err)
	}
}

func TestBackupsThatLieAboutAreFoundTheNewestFirst(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	backupAt(t, at("old.zip"), day)
	backupAt(t, at("a/b/new.ZIP"), day.AddDate(0, 0, 1))
	backupAt(t, at("a/b/c/d/too-deep.zip"), day)
	for name, text := range map[string]string{"letter.zip": "Dear Sir or Madam", "notes.txt": "x"} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found := Find(t.Context(), dir, at("a"), at("gone"))
	if len(found) < 2 || found[0].Path != at("a/b/new.ZIP") || found[len(found)-1].Path != at("old.zip") || found[0].Version != "6.2.60" {
		t.Errorf("%+v", found)
	}
	for _, b := range found {
		if filepath.Base(b.Path) == "letter.zip" {
			t.Error("a letter is no backup")
		}
	}
}

func TestAJudgementTellsLossesAndWhatIsNoBackup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup.zip")
	backupAt(t, path, time.Now(),
		[2]string{"sites/default/vfs.json", `[{"id":"V1","name":"Sealed","type":"Disk","target":"/srv/x","encrypt":true}]`},
		[2]string{"sites/default/users.json", `[{"id":"anna","home":{"vfsId":"V1"}}]`})
	j, err := Judge(t.Context(), path, Machine{})
	if err != nil || j.Own || len(j.Report.Losses()) == 0 || !j.Report.DryRun {
		t.Errorf("%+v, %v", j, err)
	}
	if err := os.WriteFile(path, []byte("Dear Sir or Madam"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Judge(t.Context(), path, Machine{}); !errors.Is(err, archive.ErrNotBackup) {
		t.Errorf("%v", err)
	}
}

// TestAJudgementKnowsTheServersOwnFolders: the import refuses VFSs in and above them, so the
// dry run that is agreed to must say so.
func TestAJudgementKnowsTheServersOwnFolders(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	m := Machine{State: at("lib/ss-server"), Config: at("etc/server.toml"), Generations: at("opt/ss-server/generations")}
	for _, target := range []string{dir, at("lib"), at("lib/ss-server/keyring"), at("etc"), at("opt"), filepath.VolumeName(dir) + string(filepath.Separator)} {
		vfs, err := json.Marshal([]map[string]string{{"id": "V1", "name": "Files", "type": "Disk", "target": target}})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "backup.zip")
		backupAt(t, path, time.Now(),
			[2]string{"sites/default/vfs.json", string(vfs)}, [2]string{"sites/default/users.json", `[{"id":"anna","home":{"vfsId":"V1"}}]`})
		j, err := Judge(t.Context(), path, m)
		if err != nil {
			t.Fatal(err)
		}
		if told := j.Report.LossSummary(); !strings.Contains(told, "one user") || !strings.Contains(told, "one VFS") {
			t.Errorf("a VFS in %s: the losses are %q", target, told)
		}
	}
}

// TestTheAgeOfACopiedBackupIsThatOfItsContent: a copy of last year's is not from today.
func TestAJudgementTellsWhichSitesAreStartedByHand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup.zip")
	site := func(id string, start bool, port int) string {
		return fmt.Sprintf(`{"id":%q,"autoStart":%t,"nodeBindings":[{"bindings":[{"service":"SSH","ipVersion":"Any","port":%d}]}]}`, id, start, port)
	}
	backupAt(t, path, time.Now(), [2]string{"vsites.json", "[" + site("a", true, 22) + "," + site("b", false, 2222) + "]"})
	j, err := Judge(t.Context(), path, Machine{})
	if err != nil || strings.Join(j.ByHand, " ") != ":2222" || strings.Join(j.AtStart, " ") != ":22" {
		t.Errorf("%+v, %v", j, err)
	}
}

func TestTheAgeOfACopiedBackupIsThatOfItsContent(t *testing.T) {
	dir := t.TempDir()
	made := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(dir, "copy.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "version.json", Modified: made})
	if err == nil {
		_, err = w.Write([]byte(`{"version":"6.2.60"}`))
	}
	if err == nil {
		w, err = z.CreateHeader(&zip.FileHeader{Name: "vsites.json", Modified: made.Add(-time.Hour)})
	}
	if err == nil {
		_, err = w.Write([]byte(`[{"id":"default"}]`))
	}
	if err := errors.Join(err, z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if found := Find(t.Context(), dir); len(found) != 1 || !found[0].Made.Equal(made) {
		t.Errorf("%+v", found)
	}
}

// TestAJudgementKnowsWhatTheServersAccountMayNotUse: version 6 ran as root.
func TestAJudgementKnowsWhatTheServersAccountMayNotUse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("access lists of Windows are not judged")
	}
	dir := t.TempDir()
	vfs, err := json.Marshal([]map[string]string{{"id": "V1", "name": "Files", "type": "Disk", "target": dir}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "backup.zip")
	backupAt(t, path, time.Now(),
		[2]string{"sites/default/vfs.json", string(vfs)}, [2]string{"sites/default/users.json", `[{"id":"anna","home":{"vfsId":"V1"}}]`})
	for account, lost := range map[string]bool{"no-such-account-here": true, "root": false} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		j, err := Judge(t.Context(), path, Machine{Account: account})
		if err != nil {
			t.Fatal(err)
		}
		told := false
		for _, l := range j.Report.Losses() {
			told = told || strings.Contains(l.Cure, "setfacl") && l.Name == "Files"
		}
		if told != lost {
			t.Errorf("as %s: %+v", account, j.Report.Losses())
		}
	}
}
