package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/store"
	"ss-setup/runtime/tlscert"
	"ss-setup/runtime/vfs/keyring"
)

// by is who restored objects are written by, where the backup does not say it.
const by = "restore"

// perCommit is how many objects go into one transaction of the new store.
const perCommit = 2000

// Built is a new store that a backup was read into. It is in force only when it is put
// there.
type Built struct {
	// Name is that of its folder in the folder of the store.
	Name string
	// Summary is what it holds.
	Summary backup.Summary

	place Place
	stop  context.CancelFunc // ends what keeps the folder young
}

// abandonedAfter is how old the folder of a new store is that nobody is about to use.
const abandonedAfter = time.Minute

// newBuilt keeps the folder young until Discard: whoever is asked about a new store may
// think for as long as he likes.
func newBuilt(b Built) *Built {
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	go func() {
		tick := time.NewTicker(abandonedAfter / 4)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				now := b.place.Now()
				_ = os.Chtimes(b.dir(), now, now) // it is gone once it is in force
			}
		}
	}()
	return &b
}

// builtPattern names the folders that new stores are built in.
const builtPattern = "restore-*.part"

// Build reads a whole backup into a new store beside the one in force, of which nothing
// is touched. tell hears what is being done.
func (p Place) Build(ctx context.Context, a *backup.Archive, tell func(string)) (*Built, error) {
	p.clean()
	tell("reading the backup")
	b := &builder{place: p, tell: tell, by: by}
	s, err := a.Restore(ctx, b)
	if err != nil {
		return nil, err
	}
	return newBuilt(Built{Name: filepath.Base(b.dir), Summary: s, place: p}), nil
}

// clean takes away what a restore that was killed has left. One that is under way holds
// the lock of its store.
func (p Place) clean() {
	left, _ := filepath.Glob(filepath.Join(p.Data, builtPattern))
	for _, dir := range left {
		info, err := os.Stat(dir)
		if err != nil || p.Now().Sub(info.ModTime()) < abandonedAfter {
			continue // it may be about to lock it, or waits for an answer
		}
		schema := p.Schema
		schema.LockWait = time.Millisecond
		st, err := schema.OpenReadOnly(dir)
		if errors.Is(err, store.ErrInUse) {
			continue
		}
		if err == nil {
			_ = st.Close()
		}
		_ = os.RemoveAll(dir) // the next one tries again
	}
}

// builder is a backup.Sink that makes a store.
type builder struct {
	place Place
	tell  func(string)
	dir   string
	// by is who the objects are written by, where they do not say it.
	by string
	// checked tells that objects come normalised and valid.
	checked bool

	ring   *keyring.Ring
	store  *store.Store
	engine *engine.Engine
	batch  []model.Object
	done   int
}

// Begin implements backup.Sink.
func (b *builder) Begin(backup.Header) error {
	err := b.begin()
	if err != nil {
		err = errors.Join(err, b.Abort())
	}
	return err
}

func (b *builder) begin() (err error) {
	if b.dir, err = os.MkdirTemp(b.place.Data, builtPattern); err != nil {
		return fmt.Errorf("make a folder beside the store: %w", err)
	}
	// A server that runs is to put it in force.
	if err := store.Adopt(b.place.Data, b.dir); err != nil {
		return err
	}
	if b.ring, err = keyring.Open(b.keys()); err != nil {
		return err
	}
	if err := os.Mkdir(b.certificates(), 0o700); err != nil {
		return err
	}
	if _, err := b.place.Schema.Migrate(b.dir, true, func(int64, int64, string) {}); err != nil {
		return err
	}
	if b.store, err = b.place.Schema.OpenFresh(b.dir); err != nil {
		return err
	}
	// Numbers of changes that anybody knows are smaller: no store has had a change every
	// millisecond since 1970.
	err = b.store.Update(func(tx *bbolt.Tx) error { return engine.BeginAfter(tx, uint64(b.place.Now().UnixMilli())) })
	if err != nil {
		return err
	}
	b.engine, err = engine.Open(engine.Options{Store: b.store, Sealer: seal.New(b.ring), Now: b.place.Now, Log: slog.New(slog.DiscardHandler), Filling: true, Checked: b.checked})
	return err
}

func (b *builder) keys() string         { return filepath.Join(b.dir, "keyring") }
func (b *builder) certificates() string { return filepath.Join(b.dir, "acme") }

// PutFile implements backup.Sink.
func (b *builder) PutFile(f backup.File) error {
	if name, ok := strings.CutPrefix(f.Name, keyFolder); ok {
		return b.ring.Import(keyring.File{Name: name, Content: f.Content})
	}
	if name, ok := strings.CutPrefix(f.Name, acmeFolder); ok && isCertificate(name) {
		return os.WriteFile(filepath.Join(b.certificates(), name), f.Content, 0o600)
	}
	return fmt.Errorf("this release knows no file %s", f.Name)
}

// Put implements backup.Sink.
func (b *builder) Put(o backup.Object) error {
	object := model.Kind(o.Kind).New()
	if object == nil {
		return fmt.Errorf("this release knows no objects of kind %s", o.Kind)
	}
	if err := json.Unmarshal(o.JSON, object); err != nil {
		return fmt.Errorf("an object of kind %s: %w", o.Kind, err)
	}
	if b.batch = append(b.batch, object); len(b.batch) < perCommit {
		return nil
	}
	return b.flush()
}

func (b *builder) flush() error {
	if b.done += len(b.batch); len(b.batch) > 0 {
		b.tell(fmt.Sprintf("%d objects", b.done))
	}
	_, err := b.engine.Write(context.Background(), b.by, func(tx *engine.Tx) error {
		for _, o := range b.batch {
			if err := tx.Restore(o); err != nil {
				return err
			}
		}
		return nil
	})
	clear(b.batch)
	b.batch = b.batch[:0]
	return err
}

// Commit implements backup.Sink.
func (b *builder) Commit() error {
	if err := b.flush(); err != nil {
		return err
	}
	if err := b.close(); err != nil {
		return fmt.Errorf("close the new store: %w", err)
	}
	return nil
}

func (b *builder) close() (err error) {
	if b.engine != nil {
		err = b.engine.Close()
	}
	if b.store != nil {
		err = errors.Join(err, b.store.Close())
	}
	b.engine, b.store = nil, nil
	return err
}

// Abort implements backup.Sink.
func (b *builder) Abort() error {
	err := b.close()
	if b.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// Discard takes the new store away, in force or not: what was put in force is not in it
// any more.
func (b *Built) Discard() error {
	b.stop()
	return os.RemoveAll(b.dir())
}

func (b *Built) dir() string { return filepath.Join(b.place.Data, b.Name) }

// AddKeys adds the keys of the backup to the node's, and the certificates. It comes
// before the store that needs them, and alone it changes nothing.
func (b *Built) AddKeys() error {
	if err := makeFolder(b.place.KeyRing()); err != nil {
		return err
	}
	ring, err := keyring.Open(b.place.KeyRing())
	if err != nil {
		return err
	}
	added, err := keyring.Open(filepath.Join(b.dir(), "keyring"))
	if err != nil {
		return err
	}
	if _, err := ring.Absorb(added); err != nil {
		return fmt.Errorf("add the keys of the backup: %w", err)
	}
	return b.addCertificates()
}

func (b *Built) addCertificates() error {
	from := filepath.Join(b.dir(), "acme")
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	if err := makeFolder(b.place.acme()); err != nil {
		return err
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err == nil {
			err = tlscert.WriteNew(b.place.acme(), e.Name(), content)
		}
		if err == nil {
			err = store.Adopt(b.place.acme(), filepath.Join(b.place.acme(), e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("add the certificates of the backup: %w", err)
		}
	}
	return nil
}

// makeFolder makes a folder for the owner of the one that it lies in.
func makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return store.Adopt(filepath.Dir(dir), dir)
}

// Replace puts the new store of the folder name, as Built tells it, in the place of the
// one in force. No server may run: store.ErrInUse.
func (p Place) Replace(name string, tell func(string)) (store.Replaced, error) {
	if ok, err := filepath.Match(builtPattern, name); err != nil || !ok || filepath.Base(name) != name {
		return store.Replaced{}, fmt.Errorf("%q is not a store that was built for a restore", name)
	}
	if err := makeFolder(p.snapshots().Dir); err != nil {
		return store.Replaced{}, err
	}
	return p.Schema.Replace(p.Data, p.Schema.Path(filepath.Join(p.Data, name)), p.snapshots(), tell)
}
