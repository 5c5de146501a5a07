package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/migrate"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/backup"
	"ss-setup/runtime/backup/node"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs/keyring"
)

// machine is a node with a store.
type machine struct{ node.Place }

func newMachine(t testing.TB) *machine {
	t.Helper()
	root := t.TempDir()
	m := &machine{node.Place{
		Schema: store.Schema{
			Product: "ss-server", File: "store.db", LockWait: time.Second,
			Migrations: []store.Migration{{Name: "make room", Apply: func(tx *bbolt.Tx, _ store.Progress) error { return engine.Prepare(tx) }}},
			Verify:     engine.Verify, Rebuild: engine.Rebuild,
		},
		Data: filepath.Join(root, "1"), State: root, Version: "7.0.0", Now: time.Now,
	}}
	must(t, errors.Join(os.Mkdir(m.Data, 0o700), os.Mkdir(filepath.Join(root, "snapshots"), 0o700)))
	_, err := m.Schema.Migrate(m.Data, true, func(int64, int64, string) {})
	must(t, err)
	return m
}

// in runs fn with the machine's objects.
func (m *machine) in(t testing.TB, fn func(*engine.Engine)) {
	t.Helper()
	st, err := m.Schema.Open(m.Data)
	must(t, err)
	ring, err := keyring.Open(m.KeyRing())
	must(t, err)
	e, err := engine.Open(engine.Options{Store: st, Sealer: seal.New(ring), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	fn(e)
	must(t, errors.Join(e.Close(), st.Close()))
}

// setUp is what the first set-up leaves.
func (m *machine) setUp(t testing.TB) {
	t.Helper()
	m.in(t, func(e *engine.Engine) {
		_, err := e.Write(context.Background(), "setup", func(tx *engine.Tx) error {
			for _, o := range []model.Object{
				&model.Node{Head: model.Head{Name: "mine"}},
				&model.SuperAdmin{Head: model.Head{Name: "sa"}, Contact: model.Contact{Email: "sa@example.com", Password: model.Password{Hash: "$argon2id$here"}}},
				&model.SuperAdmin{Head: model.Head{Name: "extra"}, Contact: model.Contact{Email: "e@example.com", TOTP: model.TOTP{Secret: model.Secret{Clear: "ABCDEFGHIJKLMNOP"}}}},
				&model.Site{Head: model.Head{Name: "main"}},
				&model.Binding{Head: model.Head{Name: "sftp"}, Site: "main", Node: "mine", Port: 22},
				&model.VFS{Head: model.Head{Name: "files"}, Site: "main", Root: "/srv/x"},
				&model.User{Head: model.Head{Name: "wizard"}, Site: "main"},
				&model.Token{Head: model.Head{Name: "robot"}, Hash: strings.Repeat("ab", 32), Super: true},
				&model.Token{Head: model.Head{Name: "of-main"}, Hash: strings.Repeat("cd", 32), Sites: []string{"main"}},
				&model.Settings{Mail: model.MailSettings{Host: "old.example.com", From: "a@example.com"}, ACME: model.ACMESettings{Email: "acme@example.com"}},
			} {
				if err := tx.Create(o); err != nil {
					return err
				}
			}
			return nil
		})
		must(t, err)
	})
}

func (m *machine) backup(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	m.in(t, func(e *engine.Engine) {
		_, err := m.Backup(context.Background(), &out, e, backup.WriteOptions{})
		must(t, err)
	})
	return out.Bytes()
}

func (m *machine) present(t testing.TB) *migrate.Present {
	t.Helper()
	text := m.backup(t)
	a, err := backup.Open(bytes.NewReader(text), int64(len(text)), backup.ReadOptions{})
	must(t, err)
	p, err := migrate.ReadPresent(context.Background(), a)
	must(t, err)
	return p
}

// imports puts a backup in force.
func (m *machine) imports(t testing.TB, path string) *report.Report {
	t.Helper()
	return m.importsWith(t, path, importer.Options{})
}

func (m *machine) importsWith(t testing.TB, path string, o importer.Options) *report.Report {
	t.Helper()
	o.NewNode = "new"
	s, err := migrate.Open(context.Background(), path)
	must(t, err)
	defer s.Close()
	built, r, err := migrate.Build(context.Background(), s, m.Place, m.present(t), o, func(string) {})
	must(t, err)
	defer func() { must(t, built.Discard()) }()
	must(t, built.AddKeys())
	_, err = m.Replace(built.Name, func(string) {})
	must(t, err)
	return r
}

// content is all objects as text, with their secrets, without revisions and times.
func (m *machine) content(t testing.TB) (out []string) {
	t.Helper()
	m.in(t, func(e *engine.Engine) {
		must(t, e.Read(func(r *engine.Reader) error {
			for _, kind := range model.Kinds() {
				for o, err := range r.All(kind) {
					if err != nil {
						return err
					}
					for _, s := range o.Secrets() {
						text, err := e.Reveal(o.Key(), s.Field, *s.Secret)
						if err != nil {
							return err
						}
						out = append(out, fmt.Sprintf("%s %s %d bytes", o.Key(), s.Field, len(text)))
						*s.Secret = model.Secret{}
					}
					*o.Header() = model.Head{Name: o.Header().Name}
					out = append(out, fmt.Sprintf("%s %+v", o.Key(), o))
				}
			}
			return nil
		}))
	})
	return out
}

func has(list []string, prefix string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, prefix) })
}

func v6Zip(t testing.TB) string { return folder(t, "testdata/import/v6-everything/backup").zip(t) }

func TestAnImportTakesThePlaceOfSitesAndKeepsTheMachine(t *testing.T) {
	m := newMachine(t)
	m.setUp(t)
	m.imports(t, v6Zip(t))
	got := m.content(t)
	for _, want := range []string{
		"node/mine ", "superadmin/sa ", "superadmin/extra ", "superadmin/second ", "token/robot ", "site/default ",
		"user/default/anna ", "hostkey/default/good private 3", "settings/global acme.account", "superadmin/extra totp.secret 16 bytes",
	} {
		if !has(got, want) {
			t.Errorf("%s is not there", want)
		}
	}
	for _, gone := range []string{"node/romantic-lovelace ", "site/main ", "user/main/wizard ", "token/of-main ", "binding/main/sftp "} {
		if has(got, gone) {
			t.Errorf("%s is there", gone)
		}
	}
	for _, line := range got {
		if strings.HasPrefix(line, "binding/default/sftp ") && !strings.Contains(line, "Node:mine") {
			t.Errorf("the binding belongs to another node: %s", line)
		}
		if strings.HasPrefix(line, "settings/global &{") && (!strings.Contains(line, "mail.example.com") || !strings.Contains(line, "acme@example.com")) {
			t.Errorf("the settings are not both: %s", line)
		}
	}
	m.in(t, func(e *engine.Engine) {}) // it opens again
	if faults, err := m.Schema.Check(m.Data); err != nil || len(faults) > 0 {
		t.Errorf("%q, %v", faults, err)
	}
}

func TestASuperAdminWhoCouldNotLogInKeepsThePasswordOfHere(t *testing.T) {
	m := newMachine(t)
	m.setUp(t)
	path := files{"vsites.json": someSite, "superadmins.json": `[{"id":"sa","email":"old@example.com","password":{"version":"V6","payload":"xxxx"}}]`}.zip(t)
	m.importsWith(t, path, importer.Options{TakeSuperAdmins: true})
	m.in(t, func(e *engine.Engine) {
		must(t, e.Read(func(r *engine.Reader) error {
			sa, err := engine.SuperAdmins.Get(r, "", "sa")
			if err == nil && (sa.Password.Hash != "$argon2id$here" || sa.Email != "old@example.com") {
				t.Errorf("got %+v", sa)
			}
			return err
		}))
	})
}

func TestImportingTwiceGivesTheSame(t *testing.T) {
	for _, name := range []string{"v6-everything", "v5-everything", "v6-tree", "v4-minimum"} {
		m := newMachine(t)
		m.setUp(t)
		path := folder(t, "testdata/import/"+name+"/backup").zip(t)
		m.imports(t, path)
		first := m.content(t)
		m.imports(t, path)
		if second := m.content(t); !slices.Equal(first, second) {
			for i := range first {
				if i >= len(second) || first[i] != second[i] {
					t.Errorf("%s: first %.300s\nthen %.300s", name, first[i], second[min(i, len(second)-1)])
					break
				}
			}
		}
	}
}

// TestAMachineWithoutANodeGetsOne: nobody has set it up yet.
func TestAMachineWithoutANodeGetsOne(t *testing.T) {
	m := newMachine(t)
	m.imports(t, folder(t, "testdata/import/v4-minimum/backup").zip(t))
	if got := m.content(t); !has(got, "node/new ") || !has(got, "user/default/anna ") {
		t.Errorf("got %q", got)
	}
}

// TestNothingIsImportedInPart: whatever fails, and wherever, the store is as it was and
// nothing lies about.
func TestNothingIsImportedInPart(t *testing.T) {
	m := newMachine(t)
	m.setUp(t)
	before := m.content(t)
	var users strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&users, `{"id":"user%04d","status":"Enabled"}`+"\n", i)
	}
	cases := map[string]files{
		"a syntax error at the end": {"vsites.json": someSite, "sites/default/users.jsonl": users.String() + `{"id":`},
		"a double field":            {"vsites.json": someSite, "sites/default/users.jsonl": users.String() + `{"id":"x","id":"y"}`},
		"an unreadable list":        {"vsites.json": someSite, "sites/default/users.jsonl": users.String(), "sites/default/blocklist.json": `[{]`},
	}
	for name, f := range cases {
		s, err := migrate.Open(context.Background(), f.zip(t))
		must(t, err)
		if _, _, err := migrate.Build(context.Background(), s, m.Place, m.present(t), importer.Options{}, func(string) {}); err == nil {
			t.Errorf("%s: it was imported", name)
		}
		must(t, s.Close())
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		s, err = migrate.Open(context.Background(), files{"vsites.json": someSite, "sites/default/users.jsonl": strings.Repeat(users.String(), 20)}.zip(t))
		must(t, err)
		if _, _, err := migrate.Build(ctx, s, m.Place, m.present(t), importer.Options{}, func(string) {}); err == nil {
			t.Errorf("%s: it was not cancelled", name)
		}
		cancel()
		must(t, s.Close())
		if got := m.content(t); !slices.Equal(got, before) {
			t.Errorf("%s: the store has changed", name)
		}
		if left, _ := filepath.Glob(filepath.Join(m.Data, "restore-*")); len(left) > 0 {
			t.Errorf("%s: %q is left", name, left)
		}
	}
}

// TestWhatASourceHasIsToldFromWhatItHadBefore: keys that are made anew each time are no
// difference.
func TestWhatASourceHasIsToldFromWhatItHadBefore(t *testing.T) {
	sum := func(f files) string {
		t.Helper()
		s, err := migrate.Open(context.Background(), f.zip(t))
		must(t, err)
		none, err := migrate.ReadPresent(context.Background(), nil)
		must(t, err)
		_, sum, _, err := migrate.DryRunSum(context.Background(), s, none, importer.Options{})
		must(t, errors.Join(err, s.Close()))
		return sum
	}
	f := folder(t, "testdata/import/v6-everything/backup")
	before := sum(f)
	if again := sum(f); again != before {
		t.Error("the same is taken for something else")
	}
	for name, text := range f {
		if !strings.HasSuffix(name, "/users.json") {
			continue
		}
		changed := maps.Clone(f)
		changed[name] = strings.Replace(text, `"Enabled"`, `"Disabled"`, 1)
		if changed[name] != text && sum(changed) == before {
			t.Errorf("a user of %s was disabled, and nobody sees it", name)
		}
	}
}

func TestADryRunTellsWhatTheImportTells(t *testing.T) {
	for _, name := range []string{"v6-everything", "v5-everything"} {
		m := newMachine(t)
		m.setUp(t)
		path := folder(t, "testdata/import/"+name+"/backup").zip(t)
		s, err := migrate.Open(context.Background(), path)
		must(t, err)
		before := m.content(t)
		dry, err := migrate.DryRun(context.Background(), s, m.present(t), importer.Options{})
		must(t, errors.Join(err, s.Close()))
		if got := m.content(t); !slices.Equal(got, before) {
			t.Error("a dry run changed the store")
		}
		real := m.imports(t, path)
		for i, l := range real.Lines {
			if l.Rule != report.HostKeys && (i >= len(dry.Lines) || dry.Lines[i] != l) {
				t.Errorf("%s: the dry run says otherwise than %+v", name, l)
			}
		}
		if dry.LossDigest() != real.LossDigest() || len(real.Losses()) == 0 {
			t.Errorf("%s: %d and %d losses", name, len(dry.Losses()), len(real.Losses()))
		}
	}
}
