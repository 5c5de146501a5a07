package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/durable"
)

// Report hears what Migrate is at. total is 0 while the amount is not known.
type Report func(done, total int64, message string)

// Migrate brings the store in dir to the program's schema: each migration in one
// transaction, an integrity check before the first and after the last. With create
// a folder without a store gets an empty one; without it that is ErrNoStore.
// It returns the schema found (0 for a new store).
func (s Schema) Migrate(dir string, create bool, report Report) (from int, err error) {
	if _, err := os.Stat(s.Path(dir)); create && errors.Is(err, fs.ErrNotExist) {
		return 0, s.create(dir, report)
	}
	db, err := s.open(dir, false)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	from, err = s.schemaOf(db)
	if err != nil {
		return 0, err
	}
	if from > s.Version() {
		return from, s.accept(db.Path(), from)
	}
	report(0, 0, "checking the store")
	if err := checkAll(db); err != nil {
		return from, err
	}
	if from == s.Version() {
		report(1, 1, fmt.Sprintf("the store has schema %d already", from))
		return from, nil
	}
	if err := s.apply(db, from, report); err != nil {
		return from, err
	}
	report(0, 0, "checking the migrated store")
	if err := checkAll(db); err != nil {
		return from, err
	}
	report(1, 1, fmt.Sprintf("the store has schema %d", s.Version()))
	return from, nil
}

// create makes an empty store under another name and renames it when it is whole:
// a power cut in the middle of bbolt's first writes leaves a file nobody can open.
func (s Schema) create(dir string, report Report) error {
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("create a store: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("create a store: %s is not a folder", dir)
	}
	path, part := s.Path(dir), s.Path(dir)+".new"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what an earlier attempt left: %w", err)
	}
	report(0, 0, "making an empty store")
	db, err := s.openFile(part, false)
	if err != nil {
		return err
	}
	err = s.apply(db, 0, report)
	if err == nil {
		err = checkAll(db)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := Adopt(dir, part); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("put the new store in place: %w", err)
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	report(1, 1, fmt.Sprintf("the store has schema %d", s.Version()))
	return nil
}

// apply runs the migrations after schema from, each with its number in one
// transaction.
func (s Schema) apply(db *bbolt.DB, from int, report Report) error {
	for at := from; at < s.Version(); at++ {
		next := s.Migrations[at]
		message := fmt.Sprintf("schema %d: %s", at+1, next.Name)
		report(0, 0, message)
		err := db.Update(func(tx *bbolt.Tx) error {
			if err := next.Apply(tx, func(done, total int64) { report(done, total, message) }); err != nil {
				return err
			}
			return s.stamp(tx, at+1)
		})
		if err != nil {
			return fmt.Errorf("migrate %s to schema %d (%s): %w", db.Path(), at+1, next.Name, err)
		}
	}
	return nil
}

func (s Schema) stamp(tx *bbolt.Tx, version int) error {
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	if err := meta.Put(keyProduct, []byte(s.Product)); err != nil {
		return err
	}
	return meta.Put(keySchema, []byte(strconv.Itoa(version)))
}
