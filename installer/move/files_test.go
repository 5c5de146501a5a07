package move

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheFilesBehindALinkAreCounted(t *testing.T) {
	m := newMachine(t)
	real := m.files + " elsewhere"
	must(t, os.Rename(m.files, real))
	must(t, os.Symlink(real, m.files))
	l := m.pack()
	if f := l.Folders[0]; f.Files != 2 || f.Bytes != 8 || f.Path != m.files || f.Leads == "" {
		t.Errorf("%+v", f)
	}
	must(t, os.RemoveAll(real))
	lacking, err := l.Lacking(t.Context())
	if err != nil || len(lacking) != 1 || !strings.Contains(lacking[0], m.files+" is not here") {
		t.Errorf("the link leads to nothing: %q, %v", lacking, err)
	}
	must(t, os.MkdirAll(real, 0o755))
	if lacking, err = l.Lacking(t.Context()); err != nil || len(lacking) != 1 {
		t.Errorf("it leads to an empty folder: %q, %v", lacking, err)
	}
}

func TestAFileThatGoesAwayWhileFilesAreCountedIsNotThere(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "fetched"), []byte("x"), 0o600))
	entries, err := os.ReadDir(dir)
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, "fetched")))
	f := Folder{}
	f.add(entries[0])
	if f != (Folder{}) {
		t.Errorf("%+v", f)
	}
}

func TestAFolderForWhatMovesLiesApartFromOthers(t *testing.T) {
	users, other := t.TempDir(), t.TempDir()
	link := filepath.Join(other, "link")
	must(t, os.Symlink(users, link))
	for folder, refused := range map[string]bool{
		filepath.Join(users, "move"): true, filepath.Join(link, "move"): true, filepath.Join(link, "a/b/../move"): true, users: true,
		filepath.Dir(users): true, filepath.Join(other, "move"): false, users + "-move": false,
	} {
		if err := Apart(folder, filepath.Join(users, "none"), users); (err != nil) != refused {
			t.Errorf("%s: %v", folder, err)
		}
	}
	if err := Apart(filepath.Join(users, "move"), filepath.Join(link, "move/files")); err == nil {
		t.Error("a folder above one that is not there yet is taken")
	}
}

func TestAFolderThatUsersReachIsNotPacked(t *testing.T) {
	m := newMachine(t)
	must(t, os.Rename(m.dir, filepath.Join(m.files, "move")))
	m.dir = filepath.Join(m.files, "move")
	if _, err := Pack(t.Context(), m.dir, m.old()); err == nil || !strings.Contains(err.Error(), "one in the other") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(m.dir, ListName)); err == nil {
		t.Error("there is a list")
	}
}
