package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ss-setup/installer/machine"
	"ss-setup/installer/move"
	"ss-setup/installer/plan"
	"ss-setup/installer/step"
	"ss-setup/runtime/backup"
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

// packer is the server's program as far as it makes backups, of these VFSs.
type packer []string

// Run implements step.Programs.
func (p packer) Run(_ context.Context, c step.Command) error {
	return backup.WriteFile(c.Args[1], func(w io.Writer) error {
		_, err := backup.Write(context.Background(), w, backup.Header{Version: "7.0.0", Schema: 1}, p, backup.WriteOptions{})
		return err
	})
}

// Objects implements backup.Source.
func (p packer) Objects(context.Context) iter.Seq2[backup.Object, error] {
	return func(yield func(backup.Object, error) bool) {
		for _, object := range p {
			if !yield(backup.Object{Kind: "vfs", JSON: []byte(object)}, nil) {
				return
			}
		}
	}
}

// Files implements backup.Source.
func (packer) Files(context.Context) iter.Seq2[backup.File, error] {
	return func(func(backup.File, error) bool) {}
}

// mover is a session that moves a server, on a machine below a root.
func mover(t *testing.T, verb, folder string, vfss ...string) (s *session, told *bytes.Buffer) {
	t.Helper()
	root := t.TempDir()
	told = &bytes.Buffer{}
	s = newSession(settings{verb: verb, args: []string{verb, folder}, root: root, folder: folder, output: outputPlain}, Streams{Out: told, Err: told})
	s.m = &step.Machine{FS: &machine.FS{Root: root}, Programs: packer(vfss)}
	if err := os.MkdirAll(s.m.FS.Real(machine.SetupDir), 0o700); err != nil {
		t.Fatal(err)
	}
	return s, told
}

func TestAFolderForWhatMovesInAFolderOfUsersIsRefusedBeforeTheServerStops(t *testing.T) {
	users, other := t.TempDir(), t.TempDir()
	link := filepath.Join(other, "link")
	if err := os.Symlink(users, link); err != nil {
		t.Fatal(err)
	}
	vfs := fmt.Sprintf(`{"name":"files","root":%q}`, users)
	for folder, want := range map[string]Exit{filepath.Join(users, "move"): WrongUsage, filepath.Join(link, "in/move"): WrongUsage, filepath.Join(other, "move"): Done} {
		s, _ := mover(t, moveOutVerb, folder, vfs)
		err := s.checkMoveOut(t.Context(), &plan.Situation{Release: "7.0.0", Current: 1}, &plan.Proposal{Action: plan.ActionMoveOut})
		if err == nil && want != Done || err != nil && failureOf(err, PutBack).Exit != want {
			t.Errorf("%s: %v", folder, err)
		}
		if s.m.FS.Exists(machine.ImportDir) {
			t.Error("the backup that was tried is left")
		}
	}
	if _, err := os.Stat(filepath.Join(other, "move")); err == nil {
		t.Error("the folder is made by a check")
	}
	if err := notInside(filepath.Join(machine.FilesDir, "move"), machine.FilesDir); failureOf(err, PutBack).Exit != WrongUsage {
		t.Errorf("%v", err)
	}
}

func TestABackupThatNobodyKeepsIsCollectedByTheNextRun(t *testing.T) {
	s, _ := mover(t, moveInVerb, "/m")
	file, err := s.stagedBackup(t.Context(), &plan.Situation{Release: "7.0.0", Current: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	next := newSession(settings{verb: "install", root: s.root}, Streams{})
	next.m = s.m
	next.clearImport() // as each run does first
	if _, err := os.Stat(file); err == nil {
		t.Error("it is left")
	}
}

// judged judges a move to a machine without anything, by a package of 7.0.1.
func judged(t *testing.T, l move.List, config map[string]string) (told string, err error) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range config {
		path := move.File{Name: name}.In(folder)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, out := mover(t, moveInVerb, folder)
	l.Host, l.OS = "old", runtime.GOOS
	s.moving = &l
	err = s.judgeMove(t.Context(), &plan.Proposal{Action: plan.ActionFresh, To: "7.0.1"})
	return out.String(), err
}

func TestAServerDoesNotMoveToAnOlderRelease(t *testing.T) {
	for version, refused := range map[string]bool{"7.0.2": true, "7.1.0": true, "7.0.1": false, "7.0.0": false, "": false} {
		_, err := judged(t, move.List{Version: version}, nil)
		if !refused && err != nil || refused && (err == nil || failureOf(err, PutBack).Exit != CheckFailed || !strings.Contains(failureOf(err, PutBack).Cure, version)) {
			t.Errorf("from %q: %v", version, err)
		}
	}
}

func TestAServerWithAnAddressOfItsOwnDoesNotMoveToAMachineWithoutIt(t *testing.T) {
	l := move.List{Version: "7.0.0", Config: []move.File{{Name: "server.toml"}}}
	for listen, refused := range map[string]bool{"192.0.2.77:6443": true, ":6443": false, "127.0.0.1:6443": false, "0.0.0.0:6443": false} {
		_, err := judged(t, l, map[string]string{"server.toml": "[web]\nlisten = \"" + listen + "\"\n"})
		if !refused && err != nil || refused && (err == nil || failureOf(err, PutBack).Exit != CheckFailed || !strings.Contains(err.Error(), listen)) {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestWhatUsersMissAfterAMoveIsToldBefore(t *testing.T) {
	told, err := judged(t, move.List{
		Version: "7.0.0", LeftOut: []string{"x is a link that leads to nothing"},
		Bindings: []move.Binding{{Site: "main", Address: "192.0.2.77:22"}, {Site: "near", Address: "127.0.0.1:2222"}},
		Config:   []move.File{{Name: "own", Owner: "root", Group: "root"}, {Name: "cert.pem", Owner: "root", Group: "other"}},
		Folders:  []move.Folder{{Path: "/srv/x", Missing: true, Unreadable: 3}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"site main is served at 192.0.2.77:22", "cert.pem belonged to", "3 files or folders in /srv/x", "x is a link that leads to nothing"} {
		if !strings.Contains(told, words) {
			t.Errorf("%q is not told: %s", words, told)
		}
	}
	if strings.Contains(told, "site near") || strings.Contains(told, "own belonged") {
		t.Errorf("it tells too much: %s", told)
	}
}
