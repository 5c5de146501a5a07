package step

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/installer/machine"
	"ss-setup/installer/move"
)

// numbered are accounts with numbers of their own.
type numbered struct{ fakeAccounts }

// Lookup implements machine.Accounts.
func (*numbered) Lookup(string) (uid, gid int, err error) { return 4711, 4712, nil }

// listOf reads what move-out has written.
func listOf(k *kit, folder string) move.List {
	k.t.Helper()
	l, err := move.Read(k.FS.Real(folder))
	must(k.t, err)
	return l
}

func TestWhatMovesSaysWhoseEachFileWas(t *testing.T) {
	k := newKit(t)
	k.Accounts = &numbered{fakeAccounts{k.FS}}
	for name, ids := range map[string][2]int{"a": {0, 0}, "b": {0, 4712}, "c": {4711, 4712}, "d": {0, 99}} {
		path := machine.ConfigDir + "/" + name
		k.fileMode(path, name, 0o640)
		must(t, os.Chown(k.FS.Real(path), ids[0], ids[1]))
	}
	k.link(machine.ConfigDir+"/e", "/nowhere/at/all")
	s := &PackMove{Folder: "/srv/move", Release: oldRelease, Generation: 1, Version: "7.0.0", Account: "ss-server"}
	must(t, s.Do(t.Context(), k.Machine))
	var got []string
	for _, f := range listOf(k, "/srv/move").Config {
		got = append(got, f.Name+" "+f.Owner+" "+f.Group)
	}
	if want := "a root root, b root server, c server server, d root other"; strings.Join(got, ", ") != want {
		t.Errorf("it says %q", got)
	}
	if len(k.warnings) != 1 || !strings.Contains(k.warnings[0], "e is a link that leads to nothing") {
		t.Errorf("warnings %q", k.warnings)
	}
	if info, err := os.Stat(k.FS.Real("/srv/move")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A file that only root could read, or that the server could not change, stays so.
func TestAFileThatMovesInGetsTheOwnerAndTheGroupThatItHad(t *testing.T) {
	for name, c := range map[string]struct {
		owner, group string
		uid, gid     int
	}{"of root": {"root", "root", 0, 0}, "for the server to read": {"root", "ss-server", 0, 4712}, "of the server": {"ss-server", "ss-server", 4711, 4712}} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.Accounts = &numbered{fakeAccounts{k.FS}}
			withMove(k)
			path := machine.ConfigDir + "/server.toml"
			s := NewPlaceFile(path, moved.Name, digest([]byte("of the old machine\n")), c.owner, c.group, 0o640)
			undo, err := s.Prepare(t.Context(), k.Machine)
			must(t, err)
			must(t, s.Do(t.Context(), k.Machine))
			info, err := os.Stat(k.FS.Real(path))
			must(t, err)
			if uid, gid := machine.Owner(info); uid != c.uid || gid != c.gid || info.Mode().Perm() != 0o640 {
				t.Errorf("it belongs to %d:%d, with mode %v", uid, gid, info.Mode())
			}
			text, err := json.Marshal(undo)
			must(t, err)
			must(t, s.Undo(context.Background(), k.Machine, text))
			if k.FS.Exists(path) || k.FS.Exists(filepath.Dir(path)) {
				t.Error("it is left")
			}
		})
	}
}
