package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/step"
	"ss-setup/migrate/report"
)

// oldServer answers as a version 6, whose backups have these users one after the other, and
// then none. refuses is asked about each path.
func oldServer(t *testing.T, refuses func(path string) int, backups ...string) *httptest.Server {
	t.Helper()
	next := 0
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/api/v1")
		if refuses != nil {
			if status := refuses(path); status != 0 {
				w.WriteHeader(status)
				return
			}
		}
		switch path {
		case "/version":
			fmt.Fprint(w, `{"version":"6.2.60"}`)
		case "/sa/login":
			if _, password, _ := r.BasicAuth(); password != "right" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, `{"token":"t"}`)
		case "/sa/backup":
			w.Header().Set("Content-Type", "application/zip")
			users := ""
			if next < len(backups) {
				users = backups[next]
			}
			next++
			_, _ = w.Write(oldArchive(t, "6.2.60", users))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// oldArchive is a backup of a version; users are those of its site.
func oldArchive(t *testing.T, version, users string) []byte {
	t.Helper()
	files := fstest.MapFS{"version.json": {Data: fmt.Appendf(nil, `{"version":%q}`, version)}, "vsites.json": {Data: []byte(`[{"id":"default"}]`)}}
	if users != "" {
		files["sites/default/users.json"] = &fstest.MapFile{Data: []byte(users)}
	}
	return packed(t, files)
}

func packed(t *testing.T, files fs.FS) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	if err := errors.Join(z.AddFS(files), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// oldSession is one that is about to upgrade a version 6 whose programs are those in a
// folder: with the folder of this test, this test. typed is what somebody types; nobody is
// there if it is empty.
func oldSession(t *testing.T, where, url, typed string) (*session, *plan.Situation) {
	t.Helper()
	root := t.TempDir()
	for name, text := range imageFiles {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	st := Streams{Out: io.Discard, Err: io.Discard}
	if typed != "" {
		st.Ask = &terminal{in: strings.NewReader(typed), out: io.Discard}
	}
	s := newSession(settings{verb: "install", args: []string{"install"}, root: root, output: outputPlain}, st)
	s.imports.server.URL = url
	files := &machine.FS{Root: root}
	services, err := machine.FileServices(files)
	if err != nil {
		t.Fatal(err)
	}
	s.m = &step.Machine{FS: files, Services: services, Prober: step.NewProber(&machine.FS{})}
	return s, &plan.Situation{OldVersions: []plan.OldVersion{{
		Major: 6, Where: where, Services: []machine.Startup{{Service: "ss6-webrest", Active: true}},
	}}}
}

// hereAs6 takes this test for version 6.
func hereAs6(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(path)
}

// TestOnlyVersion6ItselfIsToldThePasswordOfItsSuperAdmin: its port is anybody's while it is
// down.
func TestOnlyVersion6ItselfIsToldThePasswordOfItsSuperAdmin(t *testing.T) {
	asked := 0
	thief := oldServer(t, func(string) int { asked++; return http.StatusNotFound })
	s, sit := oldSession(t, t.TempDir(), thief.URL, "")
	s.imports.server.Password = "right"
	_, err := s.stageBackup(t.Context(), sit)
	if f := failureOf(err, PutBack); f.Exit != CheckFailed || !strings.Contains(f.Error(), "another program") || asked != 0 {
		t.Errorf("asked %d times; %v", asked, err)
	}
	sit.OldVersions[0].Services[0].Active = false
	_, err = s.stageBackup(t.Context(), sit)
	if f := failureOf(err, PutBack); f.Exit != CheckFailed || !strings.Contains(f.Error(), "does not run") || !strings.Contains(f.Cure, "ss6-webrest") || asked != 0 {
		t.Errorf("asked %d times; %v", asked, err)
	}
	s, sit = oldSession(t, hereAs6(t), oldServer(t, nil).URL, "")
	s.imports.server.Password = "right"
	if file, err := s.stageBackup(t.Context(), sit); err != nil || file == "" {
		t.Errorf("%q, %v", file, err)
	}
}

// writeArchive puts a backup of a version where it is found, into the working folder.
func writeArchive(t *testing.T, name, version string) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, oldArchive(t, version, ""), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mute answers as a version 6 that gives no backup.
func mute(path string) int {
	if path == "/sa/backup" {
		return http.StatusInternalServerError
	}
	return 0
}

func TestABackupThatSomebodySaysYesToIsTakenInsteadOfAnExport(t *testing.T) {
	found := writeArchive(t, "kept.zip", "6.2.60")
	s, sit := oldSession(t, hereAs6(t), oldServer(t, mute).URL, "\nright\n\nyes\n")
	file, err := s.stageBackup(t.Context(), sit)
	if err != nil || s.options.Import != found {
		t.Fatalf("%s is taken: %v", s.options.Import, err)
	}
	got, err := os.ReadFile(file)
	if want, _ := os.ReadFile(found); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the copy differs: %v", err)
	}
}

func TestABackupThatNobodySaysYesToIsOnlyNamed(t *testing.T) {
	found := writeArchive(t, "kept.zip", "6.2.60")
	url := oldServer(t, mute).URL
	for name, typed := range map[string]string{"no": "\nright\n\nno\n", "nobody": ""} {
		s, sit := oldSession(t, hereAs6(t), url, typed)
		if typed == "" {
			s.imports.server.Password = "right"
		}
		_, err := s.stageBackup(t.Context(), sit)
		f := failureOf(err, PutBack)
		if f.Exit != CheckFailed || s.options.Import != "" || !strings.Contains(f.Cure, found) || !strings.Contains(f.Cure, "minutes old") || !strings.Contains(f.Cure, "-F") {
			t.Errorf("%s: %q takes %q: %v; %s", name, typed, s.options.Import, err, f.Cure)
		}
	}
}

func TestCredentialsOfVersion6AreAskedFor(t *testing.T) {
	for typed, want := range map[string]string{"\nright\n\n": "sa right ", "root\nright\n123456\n": "root right 123456"} {
		s, _ := oldSession(t, "", "", typed)
		server := s.imports.server
		server.User = superAdmin6
		err := s.askCredentials(t.Context(), &server)
		if got := server.User + " " + server.Password + " " + server.Code; err != nil || got != want {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
	for typed, want := range map[string]Exit{"": CheckFailed, "\n": Cancelled, "\n\n\n": CheckFailed} {
		s, sit := oldSession(t, hereAs6(t), oldServer(t, nil).URL, typed)
		if _, err := s.stageBackup(t.Context(), sit); failureOf(err, PutBack).Exit != want {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

// upgrading proposes what has an import in it.
func upgrading() *plan.Proposal {
	p := &plan.Proposal{Action: plan.ActionUpgrade}
	p.Plan.Steps = append(p.Plan.Steps, &step.ImportBackup{})
	return p
}

func TestAnUpgradeIsPreparedFromWhatVersion6Gives(t *testing.T) {
	s, sit := oldSession(t, hereAs6(t), oldServer(t, nil).URL, "\nright\n\nyes\n")
	if err := s.prepareImport(t.Context(), sit, upgrading()); err != nil {
		t.Fatal(err)
	}
	if i := s.m.Import; i == nil || i.Own || len(i.Losses) != 64 {
		t.Fatalf("%+v", i)
	}
	if _, err := os.Stat(s.m.Import.File); err != nil {
		t.Error(err)
	}
	s.close()
	if _, err := os.Stat(s.m.Import.File); err == nil {
		t.Error("what was staged outlives the run")
	}
}

func TestAMistypedPasswordIsAskedForAgainAndNoBackupOffered(t *testing.T) {
	writeArchive(t, "kept.zip", "6.2.60")
	url := oldServer(t, nil).URL
	s, sit := oldSession(t, hereAs6(t), url, "\nwrong\n\n\nwrong\n\n\nright\n\n")
	if _, err := s.stageBackup(t.Context(), sit); err != nil || s.options.Import != "" {
		t.Errorf("the third time right: takes %q, %v", s.options.Import, err)
	}
	s, sit = oldSession(t, hereAs6(t), url, strings.Repeat("\nwrong\n\n", logIns)+"yes\nyes\nyes\n")
	if _, err := s.stageBackup(t.Context(), sit); failureOf(err, PutBack).Exit != CheckFailed || s.options.Import != "" {
		t.Errorf("never right: takes %q, %v", s.options.Import, err)
	}
}

// TestOnlyABackupOfVersion6TakesThePlaceOfIt: whatever is named would stop version 6.
func TestOnlyABackupOfVersion6TakesThePlaceOfIt(t *testing.T) {
	const others = "../../migrate/testdata/import/"
	filezilla, err := os.ReadFile(others + "filezilla-1/backup/users.xml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file    string
		content []byte
		told    string
	}{
		"of version 6":   {"b.zip", oldArchive(t, "6.2.60", ""), ""},
		"of version 4":   {"b.zip", packed(t, os.DirFS(others+"v4-minimum/backup")), "Syncplify.me Server!"},
		"of FileZilla":   {"users.xml", filezilla, "FileZilla"},
		"of version 7":   {"b.zip", packed(t, fstest.MapFS{"backup.json": {Data: []byte("{}")}, "manifest.json": {Data: []byte("{}")}}), "version 7"},
		"of nobody here": {"b.zip", []byte("Dear Sir or Madam"), "cannot be imported"},
	} {
		path := filepath.Join(t.TempDir(), c.file)
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, sit := oldSession(t, hereAs6(t), "", "")
		s.options.Import, s.imports.acceptDrops = path, true
		err := s.prepareImport(t.Context(), sit, upgrading())
		if c.told == "" && err == nil {
			continue
		}
		f := failureOf(err, PutBack)
		if c.told == "" || err == nil || f.Exit != CheckFailed || !strings.Contains(f.Error(), c.told) || s.m.Import != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			continue
		}
		if refused := strings.Contains(f.Cure, "-F"); refused != (c.told != "cannot be imported") {
			t.Errorf("%s: the cure is %q", name, f.Cure)
		}
	}
}

// TestASiteThatSomebodyStartedIsNotStoppedUnasked: nothing starts it again by itself.
func TestASiteThatSomebodyStartedIsNotStoppedUnasked(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_, _ = c.Write([]byte("SSH-2.0-Old\r\n"))
			_ = c.Close()
		}
	}()
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	for start, told := range map[bool]bool{false: true, true: false} {
		path := filepath.Join(t.TempDir(), "b.zip")
		backup := packed(t, fstest.MapFS{
			"version.json":             {Data: []byte(`{"version":"6.2.60"}`)},
			"vsites.json":              {Data: fmt.Appendf(nil, `[{"id":"default","autoStart":%t,"nodeBindings":[{"bindings":[{"service":"SSH","port":%s}]}]}]`, start, port)},
			"sites/default/users.json": {Data: []byte(`[{"id":"anna","password":{"version":"V6","payload":"$2a$04$0123456789012345678901uEb1kxiZJXDTjMu4rXmIQBKeTHnBnGy"}}]`)},
		})
		if err := os.WriteFile(path, backup, 0o600); err != nil {
			t.Fatal(err)
		}
		s, sit := oldSession(t, hereAs6(t), "", "")
		s.options.Import = path
		err := s.prepareImport(t.Context(), sit, upgrading())
		if f := failureOf(err, PutBack); told && (err == nil || f.Exit != CheckFailed || !strings.Contains(f.Error(), address)) {
			t.Errorf("nobody has agreed: %v", err)
		}
		if !told && err != nil && strings.Contains(err.Error(), address) {
			t.Errorf("it starts by itself: %v", err)
		}
		s.close()
		s, sit = oldSession(t, hereAs6(t), "", "")
		s.options.Import, s.imports.acceptDrops = path, true
		if err := s.prepareImport(t.Context(), sit, upgrading()); err != nil || (len(s.m.Import.ByHand) == 1) != told {
			t.Errorf("%+v, %v", s.m.Import, err)
		}
		s.close()
	}
}

// TestWhatIsChangedInVersion6WhileSomebodyThinksComesAlong: who was locked out of it must
// not get in to version 7.
func TestWhatIsChangedInVersion6WhileSomebodyThinksComesAlong(t *testing.T) {
	const (
		anna   = `[{"id":"anna","status":"Enabled","password":{"version":"V6","payload":"$2a$04$0123456789012345678901uEb1kxiZJXDTjMu4rXmIQBKeTHnBnGy"}}]`
		locked = `[{"id":"anna","status":"Disabled","password":{"version":"V6","payload":"$2a$04$0123456789012345678901uEb1kxiZJXDTjMu4rXmIQBKeTHnBnGy"}}]`
		homely = `[{"id":"anna","status":"Enabled","home":{"vfsId":"gone"},"password":{"version":"V6","payload":"$2a$04$0123456789012345678901uEb1kxiZJXDTjMu4rXmIQBKeTHnBnGy"}}]`
	)
	for name, c := range map[string]struct {
		then    string
		changed bool
		exit    Exit
	}{
		"nothing was changed":     {anna, false, Done},
		"she was disabled":        {locked, true, Done},
		"more would be lost, now": {homely, false, CheckFailed},
	} {
		s, sit := oldSession(t, hereAs6(t), oldServer(t, nil, anna, c.then, c.then).URL, "")
		s.imports.server.Password, s.imports.acceptDrops = "right", true
		if err := s.prepareImport(t.Context(), sit, upgrading()); err != nil {
			t.Fatal(err)
		}
		changed, err := s.m.Import.Again(t.Context())
		if changed != c.changed || (err != nil) != (c.exit != Done) || err != nil && failureOf(err, PutBack).Exit != c.exit {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
		if _, err := os.Stat(s.m.Import.File); err != nil {
			t.Error(err)
		}
		if changed, err := s.m.Import.Again(t.Context()); c.exit == Done && (changed || err != nil) {
			t.Errorf("%s, and then no more: %v, %v", name, changed, err)
		}
		s.close()
	}
}

func TestAFileWithPasswordsThatOthersCanReadIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has files that nobody else can read")
	}
	path := filepath.Join(t.TempDir(), "password")
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o640: true, 0o604: true} {
		if err := errors.Join(os.WriteFile(path, []byte("secret\n"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		if err := onlyPrivileged(path); (err != nil) != refused {
			t.Errorf("%o: %v", mode, err)
		}
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	if err := onlyPrivileged(fmt.Sprintf("/proc/self/fd/%d", read.Fd())); err != nil {
		t.Errorf("a pipe: %v", err)
	}
}

// TestWhoEndsADryRunHasCancelledIt: it is no failed check.
func TestWhoEndsADryRunHasCancelledIt(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCancelled)
	s, sit := oldSession(t, hereAs6(t), "", "")
	s.options.Import = filepath.Join(t.TempDir(), "b.zip")
	if err := os.WriteFile(s.options.Import, oldArchive(t, "6.2.60", ""), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.prepareImport(ctx, sit, upgrading()); failureOf(err, PutBack).Exit != Cancelled {
		t.Errorf("%v", err)
	}
	s.options.Import += ".gone"
	if err := s.prepareImport(t.Context(), sit, upgrading()); failureOf(err, PutBack).Exit != CheckFailed {
		t.Errorf("%v", err)
	}
}

// TestTheReportOfAnImportThatWasPutBackDoesNotSayThatItWasDone: nor does a support bundle
// name users.
func TestTheReportOfAnImportThatWasPutBackDoesNotSayThatItWasDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "import-1.txt")
	if err := os.WriteFile(path, []byte("What was imported"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := oldSession(t, "", "", "")
	s.judged = report.New(report.Source{Product: "old"})
	s.judged.DryRun = true
	s.m.Import = &step.Import{Reports: []string{path}}
	s.notImported()
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "What an import would do") {
		t.Errorf("%s, %v", text, err)
	}
	logs := s.m.FS.Real(machine.SetupLogDir)
	for _, name := range []string{"import-1.txt", "setup.log"} {
		if err := errors.Join(os.MkdirAll(logs, 0o755), os.WriteFile(filepath.Join(logs, name), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c := &collection{s: s, files: s.m.FS}
	c.newest("logs/ss-setup", machine.SetupLogDir, 20)
	if len(c.list) != 1 || c.list[0].Name != "logs/ss-setup/setup.log" {
		t.Errorf("the bundle has %+v", c.list)
	}
}

func TestVersion6IsFoundWhereverItsPagesAre(t *testing.T) {
	oldServer(t, nil)
	s, sit := oldSession(t, hereAs6(t), "", "")
	s.imports.server.Password = "right"
	if _, err := s.stageBackup(t.Context(), sit); err != nil {
		t.Error(err)
	}
}

// TestASessionThatEndsWhileSomebodyThinksIsBegunAnew: sessions are shorter than some
// reports.
func TestASessionThatEndsWhileSomebodyThinksIsBegunAnew(t *testing.T) {
	over, logIns := false, 0
	url := oldServer(t, func(path string) int {
		switch {
		case path == "/sa/login":
			over = false
			logIns++
		case path == "/sa/backup" && over:
			return http.StatusUnauthorized
		}
		return 0
	}).URL
	s, sit := oldSession(t, hereAs6(t), url, "")
	s.imports.server.Password, s.imports.acceptDrops = "right", true
	if err := s.prepareImport(t.Context(), sit, upgrading()); err != nil {
		t.Fatal(err)
	}
	over = true
	if changed, err := s.m.Import.Again(t.Context()); changed || err != nil || logIns != 2 {
		t.Errorf("%v, %v after %d log-ins", changed, err, logIns)
	}
}
