package move

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/backup"
)

func TestWhatIsPackedIsReadAgainAndTheFilesOfUsersAreCounted(t *testing.T) {
	m := newMachine(t)
	made := m.pack()
	read, err := Read(m.dir)
	must(t, err)
	if read.Objects["vfs"] != 2 || read.Node != "files-1" || len(read.Config) != 2 || len(read.Folders) != 2 {
		t.Errorf("%+v", read)
	}
	if !equal(made, read) {
		t.Errorf("packed %+v, read %+v", made, read)
	}
	if f := read.Folders[0]; f.Files != 2 || f.Bytes != 8 || f.Missing {
		t.Errorf("%+v", f)
	}
	if f := read.Folders[1]; !f.Missing {
		t.Errorf("%+v", f)
	}
	if b := read.Bindings; len(b) != 2 || b[0] != (Binding{"main", "192.0.2.7:22"}) || b[1] != (Binding{"other", "[2001:db8::7]:22"}) {
		t.Errorf("%+v", b)
	}
	lacking, err := read.Lacking(t.Context())
	if err != nil || lacking != nil {
		t.Errorf("on the same machine: %q, %v", lacking, err)
	}
}

func TestAFileOfAUserThatDidNotComeAlongIsTold(t *testing.T) {
	m := newMachine(t)
	l := m.pack()
	must(t, os.Remove(filepath.Join(m.files, "in/b.txt")))
	lacking, err := l.Lacking(t.Context())
	if err != nil || len(lacking) != 1 || !strings.Contains(lacking[0], "1 files, 3 bytes, and had 2 files, 8 bytes") {
		t.Errorf("%q, %v", lacking, err)
	}
	must(t, os.WriteFile(filepath.Join(m.files, "in/b.txt"), []byte("cut"), 0o600))
	if lacking, err = l.Lacking(t.Context()); err != nil || len(lacking) != 1 {
		t.Errorf("a file that is cut: %q, %v", lacking, err)
	}
	must(t, os.RemoveAll(m.files))
	if lacking, err = l.Lacking(t.Context()); err != nil || len(lacking) != 1 || !strings.Contains(lacking[0], "is not here") {
		t.Errorf("without the folder: %q, %v", lacking, err)
	}
}

func TestAFolderThatWasNotCopiedWholeIsRefused(t *testing.T) {
	for what, harm := range map[string]func(m *oldMachine) error{
		"no list":              func(m *oldMachine) error { return os.Remove(filepath.Join(m.dir, ListName)) },
		"no backup":            func(m *oldMachine) error { return os.Remove(filepath.Join(m.dir, BackupName)) },
		"backup cut":           func(m *oldMachine) error { return os.Truncate(filepath.Join(m.dir, BackupName), 100) },
		"configuration cut":    func(m *oldMachine) error { return os.Truncate(filepath.Join(m.dir, "config/server.toml"), 1) },
		"configuration gone":   func(m *oldMachine) error { return os.RemoveAll(filepath.Join(m.dir, "config")) },
		"list cut":             func(m *oldMachine) error { return os.Truncate(filepath.Join(m.dir, ListName), 30) },
		"a name that climbs":   func(m *oldMachine) error { return m.relist(func(l *List) { l.Config[0].Name = "../../etc/passwd" }) },
		"of a later release":   func(m *oldMachine) error { return m.relist(func(l *List) { l.Format = Format + 1 }) },
		"of nothing":           func(m *oldMachine) error { return m.relist(func(l *List) { l.Backup = "" }) },
		"a list without sense": func(m *oldMachine) error { return os.WriteFile(filepath.Join(m.dir, ListName), []byte("[]"), 0o600) },
	} {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t)
			m.pack()
			must(t, harm(m))
			if _, err := Read(m.dir); !errors.Is(err, ErrNotWhole) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestABackupThatIsNoneIsFoundOutOnTheOldMachine(t *testing.T) {
	m := newMachine(t)
	must(t, os.Truncate(filepath.Join(m.dir, BackupName), 200))
	if _, err := Pack(t.Context(), m.dir, m.old()); err == nil {
		t.Error("packed")
	}
	if _, err := os.Stat(filepath.Join(m.dir, ListName)); err == nil {
		t.Error("there is a list")
	}
}

func TestObjectsThatAreMissingAreNamedByKind(t *testing.T) {
	l := List{Objects: map[string]int{"user": 3, "site": 1}}
	if d := l.Differing(map[string]int{"user": 2, "site": 1, "token": 4}); len(d) != 1 || d[0] != "2 of 3 objects of kind user" {
		t.Errorf("%q", d)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"format":1,"host":"old","backup_sha256":"00","config":[{"name":"server.toml","sha256":"00","mode":420}],"folders":[{"path":"/srv","files":1}]}`))
	f.Add([]byte(`{"format":99}`))
	f.Add([]byte(`{"format":1,"backup_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","config":[{"name":"../x"},{"name":"/etc/passwd"},{"name":""}]}`))
	f.Fuzz(func(t *testing.T, list []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, ListName), list, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, BackupName), nil, 0o600))
		l, err := Read(dir)
		if err != nil {
			return
		}
		for _, c := range l.Config {
			if in := c.In(dir); !strings.HasPrefix(in, dir) {
				t.Errorf("%q lies in %s", c.Name, in)
			}
		}
	})
}

// oldMachine is one with files of users in a folder, and a folder dir for what moves.
type oldMachine struct {
	t                  *testing.T
	dir, files, config string
}

func newMachine(t *testing.T) *oldMachine {
	t.Helper()
	m := &oldMachine{t: t, dir: t.TempDir(), files: filepath.Join(t.TempDir(), "a files"), config: t.TempDir()}
	must(t, os.MkdirAll(filepath.Join(m.files, "in"), 0o755))
	must(t, os.WriteFile(filepath.Join(m.files, "a.txt"), []byte("abc"), 0o600))
	must(t, os.WriteFile(filepath.Join(m.files, "in/b.txt"), []byte("12345"), 0o600))
	must(t, os.WriteFile(filepath.Join(m.config, "server.toml"), []byte("[web]\nlisten = \":7443\"\n"), 0o644))
	must(t, os.Mkdir(filepath.Join(m.config, "known-keys"), 0o755))
	must(t, os.WriteFile(filepath.Join(m.config, "known-keys/list"), []byte("none\n"), 0o640))
	must(t, backup.WriteFile(filepath.Join(m.dir, BackupName), func(w io.Writer) error {
		_, err := backup.Write(t.Context(), w, backup.Header{Version: "7.0.0", Schema: 1, Made: time.Now(), Node: "files-1"}, m, backup.WriteOptions{})
		return err
	}))
	return m
}

// Objects implements backup.Source.
func (m *oldMachine) Objects(context.Context) iter.Seq2[backup.Object, error] {
	return func(yield func(backup.Object, error) bool) {
		for _, root := range []string{m.files, m.files + " gone"} {
			text, err := json.Marshal(map[string]string{"name": "x", "root": root})
			if !yield(backup.Object{Kind: "vfs", JSON: text}, err) {
				return
			}
		}
		for _, text := range []string{
			`{"name":"a","site":"main","address":"192.0.2.7","port":22}`, `{"name":"b","site":"main","port":2222}`,
			`{"name":"c","site":"main","address":"2001:db8::7","port":22,"disabled":true}`, `{"name":"d","site":"other","address":"2001:db8::7","port":22}`,
		} {
			if !yield(backup.Object{Kind: "binding", JSON: []byte(text)}, nil) {
				return
			}
		}
	}
}

// Files implements backup.Source.
func (m *oldMachine) Files(context.Context) iter.Seq2[backup.File, error] {
	return func(func(backup.File, error) bool) {}
}

func (m *oldMachine) old() Old {
	return Old{Host: "old", Version: "7.0.0", Config: m.config, Now: time.Now()}
}

func (m *oldMachine) pack() List {
	m.t.Helper()
	l, err := Pack(context.Background(), m.dir, m.old())
	must(m.t, err)
	return l
}

func (m *oldMachine) relist(change func(*List)) error {
	text, err := os.ReadFile(filepath.Join(m.dir, ListName))
	must(m.t, err)
	var l List
	must(m.t, json.Unmarshal(text, &l))
	change(&l)
	text, err = json.Marshal(l)
	must(m.t, err)
	return os.WriteFile(filepath.Join(m.dir, ListName), text, 0o600)
}

func equal(a, b List) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
