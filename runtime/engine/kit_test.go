package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs/keyring"
)

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func schema() store.Schema {
	return store.Schema{
		Product: "ss-server", File: "store.db", LockWait: 5 * time.Second,
		Migrations: []store.Migration{{Name: "make room", Apply: func(tx *bbolt.Tx, _ store.Progress) error { return engine.Prepare(tx) }}},
	}
}

// world is an engine on a store in a folder.
type world struct {
	*engine.Engine
	store *store.Store
	dir   string
	ring  string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), ring: t.TempDir()}
	if _, err := schema().Migrate(w.dir, true, func(int64, int64, string) {}); err != nil {
		t.Fatal(err)
	}
	w.open(t)
	t.Cleanup(func() { w.close(t) })
	return w
}

func (w *world) open(t testing.TB) {
	t.Helper()
	st, err := schema().Open(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(w.ring)
	if err != nil {
		t.Fatal(err)
	}
	now := start
	w.store = st
	w.Engine, err = engine.Open(engine.Options{
		Store: st, Sealer: seal.New(ring), Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { now = now.Add(time.Second); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) close(t testing.TB) {
	t.Helper()
	if err := errors.Join(w.Engine.Close(), w.store.Close()); err != nil {
		t.Error(err)
	}
}

// reopen is a restart of the server.
func (w *world) reopen(t testing.TB) {
	t.Helper()
	w.close(t)
	w.open(t)
}

func (w *world) write(t testing.TB, fn func(*engine.Tx) error) uint64 {
	t.Helper()
	seq, err := w.Write(context.Background(), "superadmin/sa", fn)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func (w *world) refused(t testing.TB, fn func(*engine.Tx) error) error {
	t.Helper()
	_, err := w.Write(context.Background(), "superadmin/sa", fn)
	if err == nil {
		t.Fatal("it was not refused")
	}
	return err
}

func (w *world) read(t testing.TB, fn func(*engine.Reader) error) {
	t.Helper()
	if err := w.Read(fn); err != nil {
		t.Fatal(err)
	}
}

func (w *world) user(t testing.TB, name string) (u *model.User) {
	t.Helper()
	w.read(t, func(r *engine.Reader) (err error) {
		u, err = engine.Users.Get(r, "main", name)
		return err
	})
	return u
}

func (w *world) ids(t testing.TB, q engine.Query) (ids []string, page engine.Page) {
	t.Helper()
	w.read(t, func(r *engine.Reader) error {
		page = r.Find(q)
		return nil
	})
	for _, k := range page.Keys {
		ids = append(ids, k.ID)
	}
	return ids, page
}

// sound fails if the store is not in order.
func (w *world) sound(t testing.TB) {
	t.Helper()
	err := w.store.View(func(tx *bbolt.Tx) error {
		faults, err := engine.Verify(tx)
		if len(faults) > 0 {
			t.Errorf("faults: %q", faults)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func site(name string) *model.Site { return &model.Site{Head: model.Head{Name: name}} }

func vfs(name string) *model.VFS {
	return &model.VFS{Head: model.Head{Name: name}, Site: "main", Root: "/srv/" + model.Fold(name)}
}

func group(name string) *model.Group {
	return &model.Group{Head: model.Head{Name: name}, Site: "main"}
}

func user(name string) *model.User {
	return &model.User{Head: model.Head{Name: name}, Site: "main", Email: model.Fold(name) + "@example.com"}
}

func superAdmin(name string) *model.SuperAdmin {
	return &model.SuperAdmin{Head: model.Head{Name: name}, Contact: model.Contact{Email: "sa@example.com"}}
}

// create makes objects in one transaction.
func create(objects ...model.Object) func(*engine.Tx) error {
	return func(tx *engine.Tx) error {
		for _, o := range objects {
			if err := tx.Create(o); err != nil {
				return err
			}
		}
		return nil
	}
}

// furnished is a world with a site, a VFS and a user.
func furnished(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	anna := user("Anna")
	anna.Home.VFS = "Files"
	w.write(t, create(site("main"), vfs("Files"), group("Staff"), anna))
	return w
}

// sample is user number i of a big site, about as large as real ones.
func sample(i int) *model.User {
	u := user(fmt.Sprintf("%s.%s%05d", firstNames[i%len(firstNames)], lastNames[i/7%len(lastNames)], i))
	u.Description = fmt.Sprintf("Department %d, building %d", i%40, i%9)
	u.Home = model.Folder{VFS: "Files", Path: "/home/{user}", Permissions: model.UsualPermissions()}
	u.Groups = []string{"Staff"}
	u.Password = model.Password{Hash: fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$%022d$%043d", i, i*7), Changed: start}
	u.Keys = []model.PublicKey{{Name: "laptop", Key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eULB+Kh7jt2WKAFIDuy3RaZA0yn3jkvUpgWP0SKNk", Added: start}}
	u.AllowFrom = []string{"192.0.2.0/24", "2001:db8::/32"}
	u.Quota = model.Quota{Soft: 1 << 30, Hard: 2 << 30}
	return u
}

var (
	firstNames = []string{"Anna", "Otto", "Jürgen", "María", "Li", "Olga", "Ahmed", "Chloé", "Sven", "Ewa"}
	lastNames  = []string{"Schmidt", "García", "Müller", "Kowalska", "Wang", "Ivanova", "Haddad", "Dubois", "Larsson", "Rossi", "Smith"}
)
