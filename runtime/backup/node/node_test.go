package node_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/store"
)

func TestABackupMovesANodeToAFreshMachine(t *testing.T) {
	old, fresh := newMachine(t, 1), newMachine(t, 1)
	old.furnish(t, "romantic-lovelace", 5000)
	acme := filepath.Join(old.KeyRing(), "acme")
	must(t, errors.Join(os.Mkdir(acme, 0o700), os.WriteFile(filepath.Join(acme, "cert-1-2-3.pem"), []byte("PEM"), 0o600),
		os.WriteFile(filepath.Join(acme, "cert-1-2-3.pem.new"), []byte("half"), 0o600)))
	want := old.content(t)
	r, err := fresh.restore(t, old.backup(t, backup.WriteOptions{}), backup.ReadOptions{})
	if err != nil || r.Snapshot == nil || r.SetAside != "" {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := fresh.content(t); !slices.Equal(got, want) {
		t.Errorf("%d entries of %d came back, or not all as they were", len(got), len(want))
	}
	if text, err := os.ReadFile(filepath.Join(fresh.KeyRing(), "acme", "cert-1-2-3.pem")); err != nil || string(text) != "PEM" {
		t.Errorf("the certificate: %q, %v", text, err)
	}
	if faults, err := fresh.Schema.Check(fresh.Data); err != nil || len(faults) > 0 {
		t.Errorf("%q, %v", faults, err)
	}
	fresh.alone(t)
}

// alone fails if something of a restore lies about.
func (m *machine) alone(t testing.TB) {
	t.Helper()
	err := filepath.WalkDir(m.State, func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(path, ".part") || strings.HasSuffix(path, ".new") {
			t.Errorf("%s is left", path)
		}
		return err
	})
	must(t, err)
}

// TestABackupComesInForceOnAMachineThatHadANodeOfItsOwn: both had a master key of number
// 1, and what the machine's own opened must still open, after the next restore as well.
func TestABackupComesInForceOnAMachineThatHadANodeOfItsOwn(t *testing.T) {
	a, b := newMachine(t, 1), newMachine(t, 1)
	a.furnish(t, "romantic-lovelace", 3)
	b.furnish(t, "stern-hopper", 5)
	ofA, ofB := a.content(t), b.content(t)
	backupOfB := b.backup(t, backup.WriteOptions{})
	if _, err := b.restore(t, a.backup(t, backup.WriteOptions{}), backup.ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := b.content(t); !slices.Equal(got, ofA) {
		t.Errorf("got %q", got)
	}
	keys, err := os.ReadDir(b.KeyRing())
	if err != nil || len(keys) != 2 {
		t.Errorf("the key ring has %d keys, %v", len(keys), err)
	}
	if _, err := b.restore(t, backupOfB, backup.ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := b.content(t); !slices.Equal(got, ofB) {
		t.Errorf("and back: %q", got)
	}
}

func TestTheStoreOfBeforeStaysAsASnapshot(t *testing.T) {
	m := newMachine(t, 1)
	m.furnish(t, "romantic-lovelace", 3)
	file := m.backup(t, backup.WriteOptions{})
	m.open(t)
	m.write(t, func(tx *engine.Tx) error { return tx.Create(sampleUser(77)) })
	before := m.Seq()
	m.close(t)
	r, err := m.restore(t, file, backup.ReadOptions{})
	if err != nil || r.Snapshot == nil || r.Snapshot.Reason != store.SnapshotRestore {
		t.Fatalf("%+v, %v", r, err)
	}
	if has(m.content(t), "user000077") {
		t.Error("a user who is not in the backup is there")
	}
	m.open(t)
	if m.Seq() <= before {
		t.Errorf("the changes begin with %d, those of before ended with %d", m.Seq(), before)
	}
	m.close(t)
	// The way back that docs/administrator.md tells: damage, then repair.
	must(t, os.WriteFile(m.Schema.Path(m.Data), []byte("no store at all"), 0o600))
	if _, err := m.Schema.Repair(m.Data, store.Snapshots{Dir: filepath.Join(m.State, "snapshots"), Schema: m.Schema, Now: m.Now}); err != nil {
		t.Fatal(err)
	}
	if !has(m.content(t), "user000077") {
		t.Error("the snapshot does not have the user")
	}
}

func has(list []string, text string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, text) })
}

func TestABackupIsOfOneMomentWhileTheServerWrites(t *testing.T) {
	m, fresh := newMachine(t, 1), newMachine(t, 1)
	m.furnish(t, "romantic-lovelace", 50)
	m.open(t)
	var out bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 50 {
			_, err := m.Engine.Write(t.Context(), "x", func(tx *engine.Tx) error {
				// Whoever sees the one sees the other.
				return errors.Join(tx.Delete(model.UserKey("main", sampleUser(i).Name), 0), tx.Create(sampleUser(1000+i)))
			})
			if err != nil {
				t.Error(err)
			}
		}
	}()
	_, err := m.Backup(t.Context(), &out, m.Engine, backup.WriteOptions{})
	must(t, err)
	<-done
	m.close(t)
	if _, err := fresh.restore(t, out.Bytes(), backup.ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	users := 0
	for _, line := range fresh.content(t) {
		if strings.Contains(line, "department") {
			users++
		}
	}
	if users != 50 {
		t.Errorf("%d users in the backup; there were 50 at every moment", users)
	}
}

// TestABackupThatCannotBeUsedRestoresNothing: whatever is wrong with it, the machine is as
// it was.
func TestABackupThatCannotBeUsedRestoresNothing(t *testing.T) {
	const words = "correct horse battery"
	other := newMachine(t, 1)
	other.furnish(t, "stern-hopper", 20)
	whole, sealed := other.backup(t, backup.WriteOptions{}), other.backup(t, backup.WriteOptions{Passphrase: words})
	newer := newMachine(t, 2)
	newer.furnish(t, "stern-hopper", 1)
	changed := bytes.Clone(whole)
	changed[len(changed)/2] ^= 1
	for name, c := range map[string]struct {
		file []byte
		opt  backup.ReadOptions
		want error
	}{
		"cut":                  {file: whole[:len(whole)-100], want: backup.ErrNotBackup},
		"changed":              {file: changed, want: backup.ErrDamaged},
		"encrypted and cut":    {file: sealed[:len(sealed)-100], opt: backup.ReadOptions{Passphrase: words}, want: backup.ErrDamaged},
		"no passphrase":        {file: sealed, want: backup.ErrPassphrase},
		"another passphrase":   {file: sealed, opt: backup.ReadOptions{Passphrase: "another"}, want: backup.ErrPassphrase},
		"of a newer schema":    {file: newer.backup(t, backup.WriteOptions{}), want: backup.ErrNewer},
		"a user without group": {file: made(t, `{"name":"anna","site":"main","groups":["Nobody"]}`), want: errAny},
		"an invalid user":      {file: made(t, `{"name":"a/b","site":"main"}`), want: errAny},
		"another's secret":     {file: made(t, `{"name":"anna","site":"main","totp":{"secret":{"sealed":"00:AAAA"}}}`), want: errAny},
		"an unknown kind":      {file: madeOf(t, "robot", `{"name":"r"}`), want: errAny},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, 1)
			m.furnish(t, "romantic-lovelace", 3)
			want, keys := m.content(t), list(t, m.State)
			_, err := m.restore(t, c.file, c.opt)
			if err == nil || c.want != errAny && !errors.Is(err, c.want) {
				t.Errorf("restored: %v, want %v", err, c.want)
			}
			if got := m.content(t); !slices.Equal(got, want) {
				t.Errorf("the machine has changed: %q", got)
			}
			if now := list(t, m.State); !slices.Equal(now, keys) {
				t.Errorf("files were %q, are %q", keys, now)
			}
		})
	}
}

var errAny = errors.New("any")

func list(t testing.TB, root string) (out []string) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		out = append(out, path)
		return err
	}))
	return out
}

// made is a backup with a site and one user.
func made(t testing.TB, user string) []byte { return madeOf(t, "user", user) }

func madeOf(t testing.TB, kind, object string) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := backup.Write(t.Context(), &out, backup.Header{Version: "7.0.0", Schema: 1, Node: "x"}, lines{{Kind: "site", JSON: []byte(`{"name":"main"}`)}, {Kind: kind, JSON: []byte(object)}}, backup.WriteOptions{})
	must(t, err)
	return out.Bytes()
}

func TestAServerThatRunsIsNotReplacedUnderIt(t *testing.T) {
	m := newMachine(t, 1)
	m.furnish(t, "romantic-lovelace", 3)
	file := m.backup(t, backup.WriteOptions{})
	m.open(t)
	if _, err := m.restore(t, file, backup.ReadOptions{}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("%v", err)
	}
	m.close(t)
	m.alone(t)
	for _, name := range []string{"", "..", "../1", "store.db", "restore-x.part/../..", "restore-/x.part"} {
		if _, err := m.Replace(name, quiet); err == nil {
			t.Errorf("%q was put in force", name)
		}
	}
}

func TestANewStoreThatCannotBeMadeLeavesNothing(t *testing.T) {
	a, b := newMachine(t, 1), newMachine(t, 1)
	a.furnish(t, "romantic-lovelace", 1)
	file := a.backup(t, backup.WriteOptions{})
	full := store.Migration{Name: "more", Apply: func(*bbolt.Tx, store.Progress) error { return errors.New("the disk is full") }}
	b.Schema.Migrations = append(b.Schema.Migrations, full)
	archive, err := backup.Open(bytes.NewReader(file), int64(len(file)), backup.ReadOptions{})
	must(t, err)
	if _, err := b.Build(t.Context(), archive, quiet); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("built: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(b.Data, "restore-*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
