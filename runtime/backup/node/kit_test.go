package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/backup/node"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs/keyring"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet(string) {}

// schema is a store with n migrations.
func schema(n int) store.Schema {
	s := store.Schema{
		Product: "ss-server", File: "store.db", LockWait: 100 * time.Millisecond,
		Migrations: []store.Migration{{Name: "make room", Apply: func(tx *bbolt.Tx, _ store.Progress) error { return engine.Prepare(tx) }}},
		Verify:     engine.Verify, Rebuild: engine.Rebuild,
	}
	for range n - 1 {
		s.Migrations = append(s.Migrations, store.Migration{Name: "more", Apply: func(*bbolt.Tx, store.Progress) error { return nil }})
	}
	return s
}

// machine is a node: a store and the folder outside the generations.
type machine struct {
	node.Place
	store *store.Store
	*engine.Engine
}

// newMachine has an empty store of schema n.
func newMachine(t testing.TB, n int) *machine {
	t.Helper()
	root := t.TempDir()
	m := &machine{Place: placeIn(root, n)}
	must(t, errors.Join(os.Mkdir(m.Data, 0o700), os.Mkdir(filepath.Join(root, "snapshots"), 0o700)))
	_, err := m.Schema.Migrate(m.Data, true, func(int64, int64, string) {})
	must(t, err)
	return m
}

// placeIn is the place of a machine whose store has schema n.
func placeIn(root string, n int) node.Place {
	return node.Place{Schema: schema(n), Data: filepath.Join(root, "1"), State: root, Version: "7.0.0", Now: time.Now}
}

// open is a start of the server, close its stop.
func (m *machine) open(t testing.TB) {
	t.Helper()
	var err error
	m.store, err = m.Schema.Open(m.Data)
	must(t, err)
	ring, err := keyring.Open(m.KeyRing())
	must(t, err)
	m.Engine, err = engine.Open(engine.Options{Store: m.store, Sealer: seal.New(ring), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
}

func (m *machine) close(t testing.TB) {
	t.Helper()
	must(t, errors.Join(m.Engine.Close(), m.store.Close()))
}

func (m *machine) write(t testing.TB, fn func(tx *engine.Tx) error) {
	t.Helper()
	_, err := m.Engine.Write(t.Context(), "superadmin/sa", fn)
	must(t, err)
}

const hostKeyLine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eULB+Kh7jt2WKAFIDuy3RaZA0yn3jkvUpgWP0SKNk"

// furnish puts a site with users into a machine; its secrets tell its name.
func (m *machine) furnish(t testing.TB, name string, users int) {
	t.Helper()
	m.open(t)
	defer m.close(t)
	m.write(t, func(tx *engine.Tx) error {
		objects := []model.Object{
			&model.Node{Head: model.Head{Name: name}},
			&model.SuperAdmin{Head: model.Head{Name: "sa"}, Contact: model.Contact{Email: "sa@example.com", Password: model.Password{Hash: "$argon2id$" + name}}},
			&model.Site{Head: model.Head{Name: "main"}, Title: name},
			&model.HostKey{Head: model.Head{Name: "ed25519"}, Site: "main", Public: hostKeyLine, Private: model.Secret{Clear: "host key of " + name}},
			&model.Binding{Head: model.Head{Name: "sftp"}, Site: "main", Node: name, Port: 2222},
			&model.VFS{Head: model.Head{Name: "Files"}, Site: "main", Root: "/srv/files"},
			&model.Group{Head: model.Head{Name: "Staff"}, Site: "main"},
			&model.LDAPProfile{Head: model.Head{Name: "corp"}, Site: "main", URLs: []string{"ldaps://ldap.example.com"}, BaseDN: "dc=x", Filter: "(uid={user})", Groups: []model.LDAPGroup{{DN: "cn=staff", Group: "Staff"}}},
			&model.Settings{Mail: model.MailSettings{Host: "mail.example.com", From: "a@example.com", Password: model.Secret{Clear: "mail of " + name}}},
		}
		for _, o := range objects {
			if err := tx.Create(o); err != nil {
				return err
			}
		}
		return nil
	})
	for first := 0; first < users; first += 5000 {
		m.write(t, func(tx *engine.Tx) error {
			for i := first; i < min(users, first+5000); i++ {
				if err := tx.Create(sampleUser(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func sampleUser(i int) *model.User {
	u := &model.User{
		Head: model.Head{Name: fmt.Sprintf("user%06d", i)}, Site: "main", Email: fmt.Sprintf("user%06d@example.com", i),
		Description: fmt.Sprintf("department %d, building %d", i%17, i%5), Groups: []string{"Staff"},
		Password: model.Password{Hash: fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$%016x$%064x", i*7919, i*104729)},
	}
	u.Home = model.Folder{VFS: "Files", Path: "/home/{user}", Permissions: model.UsualPermissions()}
	return u
}

// backup is one of a stopped machine.
func (m *machine) backup(t testing.TB, opt backup.WriteOptions) []byte {
	t.Helper()
	m.open(t)
	defer m.close(t)
	var out bytes.Buffer
	_, err := m.Backup(t.Context(), &out, m.Engine, opt)
	must(t, err)
	return out.Bytes()
}

// restore puts a backup in force.
func (m *machine) restore(t testing.TB, file []byte, opt backup.ReadOptions) (store.Replaced, error) {
	t.Helper()
	opt.Schema = m.Schema.Version()
	a, err := backup.Open(bytes.NewReader(file), int64(len(file)), opt)
	if err != nil {
		return store.Replaced{}, err
	}
	b, err := m.Build(t.Context(), a, quiet)
	if err != nil {
		return store.Replaced{}, err
	}
	defer func() { must(t, b.Discard()) }()
	if err := b.AddKeys(); err != nil {
		return store.Replaced{}, err
	}
	return m.Replace(b.Name, quiet)
}

// content is all objects of a machine as text, without their revisions, with secrets
// opened.
func (m *machine) content(t testing.TB) (out []string) {
	t.Helper()
	m.open(t)
	defer m.close(t)
	must(t, m.Read(func(r *engine.Reader) error {
		for _, kind := range model.Kinds() {
			for o, err := range r.All(kind) {
				if err != nil {
					return err
				}
				for _, s := range o.Secrets() {
					text, err := m.Reveal(o.Key(), s.Field, *s.Secret)
					if err != nil {
						return err
					}
					*s.Secret = model.Secret{}
					out = append(out, fmt.Sprintf("%s %s: %s", o.Key(), s.Field, text))
				}
				o.Header().Rev = 0
				out = append(out, fmt.Sprintf("%+v", o))
			}
		}
		return nil
	}))
	return out
}

// lines are a backup's source that was written by hand.
type lines []backup.Object

func (l lines) Files(context.Context) iter.Seq2[backup.File, error] {
	return func(func(backup.File, error) bool) {}
}

func (l lines) Objects(context.Context) iter.Seq2[backup.Object, error] {
	return func(yield func(backup.Object, error) bool) {
		for _, o := range l {
			if !yield(o, nil) {
				return
			}
		}
	}
}
