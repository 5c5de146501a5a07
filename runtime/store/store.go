// Package store is the embedded database that both daemons keep their objects in:
// one bbolt file with a schema number inside.
//
// It promises three things. A daemon opens a store only if its schema is exactly
// the daemon's own, so old code never writes into newer data nor new code into
// older. Only Migrate creates or changes a schema, one transaction a migration, so
// a cut leaves the schema before or the schema after. A damaged file is told as
// ErrCorrupt, not as a crash.
//
// The package knows no objects: each daemon hands in its own list of migrations.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// What can be wrong with a store. Messages carry the path and the cure; test with
// errors.Is.
var (
	// ErrNoStore: the folder holds no store. Only Migrate with create makes one.
	ErrNoStore = errors.New("no store")
	// ErrNewerSchema: a newer release has migrated the store.
	ErrNewerSchema = errors.New("newer schema")
	// ErrOlderSchema: the store waits for a migration.
	ErrOlderSchema = errors.New("older schema")
	// ErrCorrupt: the file is damaged, or is not a store.
	ErrCorrupt = errors.New("damaged store")
	// ErrInconsistent: the content can be read, but what is derived of it does not fit
	// and is to be made anew.
	ErrInconsistent = errors.New("inconsistent store")
	// ErrInUse: another process holds the store's lock.
	ErrInUse = errors.New("store in use")
)

// defaultLockWait is how long opening waits for another process to let go of the
// store: a stopping server needs a moment for its last commit, a running one never
// lets go.
const defaultLockWait = 3 * time.Second

var (
	metaBucket = []byte("meta")
	keyProduct = []byte("product")
	keySchema  = []byte("schema")
)

// Progress tells how far a long migration is, in units of its own choice.
type Progress func(done, total int64)

// Migration takes a store from one schema to the next. Apply runs inside the
// transaction that also writes the new schema number.
type Migration struct {
	Name  string
	Apply func(tx *bbolt.Tx, progress Progress) error
}

// Schema is a program's view of its store: the file's name and the whole way from
// an empty file to the current schema. Migrations are only ever appended.
type Schema struct {
	Product    string
	File       string
	Migrations []Migration
	// Verify, if set, reads the content of a store of the current schema. faults are
	// for people to look at; err is ErrCorrupt, or ErrInconsistent for what Rebuild
	// puts right.
	Verify func(tx *bbolt.Tx) (faults []string, err error)
	// Rebuild, if set, makes anew what is derived of the content.
	Rebuild func(tx *bbolt.Tx) error
	// LockWait bounds the wait for another process's lock; 0 means 3 s.
	LockWait time.Duration
}

// Version is the schema number this program works with.
func (s Schema) Version() int { return len(s.Migrations) }

// Path is the store's file in the data folder dir.
func (s Schema) Path(dir string) string { return filepath.Join(dir, s.File) }

// Store is an open store at exactly the schema of its program.
type Store struct {
	db     *bbolt.DB
	schema int
}

// Open opens the store in dir for work and takes its lock. It creates and migrates
// nothing: ErrNoStore, ErrNewerSchema, ErrOlderSchema, ErrCorrupt and ErrInUse are
// the ways it refuses.
func (s Schema) Open(dir string) (*Store, error) { return s.openStore(dir, false) }

// OpenReadOnly opens the store in dir for reading alone, as Open does. While it is open
// nobody can open it for work.
func (s Schema) OpenReadOnly(dir string) (*Store, error) { return s.openStore(dir, true) }

func (s Schema) openStore(dir string, readOnly bool) (*Store, error) {
	db, err := s.openInPlace(dir, readOnly)
	if err != nil {
		return nil, err
	}
	at, err := s.schemaOf(db)
	if err == nil {
		err = s.accept(db.Path(), at)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Store{db: db, schema: at}, nil
}

// Check reads the whole store in dir and reports the first fault as ErrCorrupt or
// ErrInconsistent. Any schema up to the program's own is accepted, the content of the
// own one is read as well; nothing is written. faults are what of the content is for
// people to look at.
func (s Schema) Check(dir string) (faults []string, err error) {
	db, err := s.open(dir, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return s.checkDB(db)
}

func (s Schema) checkDB(db *bbolt.DB) (faults []string, err error) {
	at, err := s.schemaOf(db)
	if err != nil {
		return nil, err
	}
	if at > s.Version() {
		return nil, s.accept(db.Path(), at)
	}
	if err := checkAll(db); err != nil || at < s.Version() || s.Verify == nil {
		return nil, err
	}
	err = guard(db.Path(), func() error {
		return db.View(func(tx *bbolt.Tx) error {
			faults, err = s.Verify(tx)
			return err
		})
	})
	return faults, err
}

// Schema is the schema number the store is at.
func (s *Store) Schema() int { return s.schema }

// Path is the store's file.
func (s *Store) Path() string { return s.db.Path() }

// View runs fn in a reading transaction. What fn reads is valid only inside it.
func (s *Store) View(fn func(*bbolt.Tx) error) error { return s.db.View(fn) }

// Update runs fn in a writing transaction: all of it is kept, or nothing.
func (s *Store) Update(fn func(*bbolt.Tx) error) error { return s.db.Update(fn) }

// Close gives the store and its lock back.
func (s *Store) Close() error { return s.db.Close() }

// openInPlace opens the file that has the store's name when its lock is held: while it
// waited for the lock another store may have taken the place (Replace).
func (s Schema) openInPlace(dir string, readOnly bool) (*bbolt.DB, error) {
	for {
		before, beforeErr := os.Stat(s.Path(dir))
		db, err := s.open(dir, readOnly)
		if err != nil {
			return nil, err
		}
		after, err := os.Stat(s.Path(dir))
		if beforeErr == nil && err == nil && os.SameFile(before, after) {
			return db, nil
		}
		if err := db.Close(); err != nil {
			return nil, err
		}
	}
}

// open opens the file that must be there. bbolt itself would create a missing file
// and initialise an empty one; both would hide a lost store.
func (s Schema) open(dir string, readOnly bool) (*bbolt.DB, error) {
	path := s.Path(dir)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w in %s; run ss-setup install --repair", ErrNoStore, dir)
	case err != nil:
		return nil, fmt.Errorf("look at the store: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a file but %s", ErrCorrupt, path, info.Mode().Type())
	case info.Size() == 0:
		return nil, fmt.Errorf("%w: %s is empty; restore a backup", ErrCorrupt, path)
	}
	return s.openFile(path, readOnly)
}

func (s Schema) openFile(path string, readOnly bool) (db *bbolt.DB, err error) {
	err = guard(path, func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         cmp.Or(s.LockWait, defaultLockWait),
			ReadOnly:        readOnly,
			PreLoadFreelist: true,
			FreelistType:    bbolt.FreelistMapType,
		})
		return err
	})
	var system *fs.PathError
	var number syscall.Errno
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: another process holds %s; stop it first", ErrInUse, path)
	case errors.Is(err, ErrCorrupt), errors.As(err, &system), errors.As(err, &number):
		return nil, fmt.Errorf("open the store: %w", err)
	}
	// What bbolt says of its own accord is about the content.
	return nil, fmt.Errorf("%w: %s: %w; restore a backup", ErrCorrupt, path, err)
}

// schemaOf reads whose store it is and at which schema. A file without either was
// never a finished store.
func (s Schema) schemaOf(db *bbolt.DB) (at int, err error) {
	err = guard(db.Path(), func() error {
		return db.View(func(tx *bbolt.Tx) error {
			meta := tx.Bucket(metaBucket)
			if meta == nil {
				return fmt.Errorf("%w: %s has no schema number; restore a backup", ErrCorrupt, db.Path())
			}
			if product := string(meta.Get(keyProduct)); product != s.Product {
				return fmt.Errorf("%w: %s belongs to %q, not to %s", ErrCorrupt, db.Path(), product, s.Product)
			}
			at, err = strconv.Atoi(string(meta.Get(keySchema)))
			if err != nil || at < 1 {
				return fmt.Errorf("%w: %s has the schema number %q; restore a backup", ErrCorrupt, db.Path(), meta.Get(keySchema))
			}
			return nil
		})
	})
	return at, err
}

// accept refuses every schema but the program's own.
func (s Schema) accept(path string, at int) error {
	switch {
	case at > s.Version():
		return fmt.Errorf("%w: %s has schema %d, this %s knows schemas up to %d; install the release that wrote it",
			ErrNewerSchema, path, at, s.Product, s.Version())
	case at < s.Version():
		return fmt.Errorf("%w: %s has schema %d, this %s works with schema %d; run ss-setup recover",
			ErrOlderSchema, path, at, s.Product, s.Version())
	}
	return nil
}
