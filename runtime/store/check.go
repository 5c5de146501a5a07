package store

import (
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// checkAll reads every page of db and reports the first fault as ErrCorrupt.
//
// bbolt's own Check runs in a goroutine of its own, where reading outside the file
// (a truncated file, a page number gone wild) would end the process. So the tree is
// walked here first, where such a fault can be caught; what Check then touches has
// been touched before.
func checkAll(db *bbolt.DB) error {
	return guard(db.Path(), func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if err := tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return touch(b) }); err != nil {
				return err
			}
			var first error
			for err := range tx.Check() {
				if first == nil {
					first = fmt.Errorf("%w: %s: %w; restore a backup", ErrCorrupt, db.Path(), err)
				}
			}
			return first
		})
	})
}

// touch visits every key of a bucket and of the buckets inside it.
func touch(b *bbolt.Bucket) error {
	var sum byte
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			if inner := b.Bucket(k); inner != nil {
				return touch(inner)
			}
		}
		for _, c := range k {
			sum ^= c
		}
		return nil
	})
}

// guard turns a panic of bbolt, and a fault in the mapped file, into ErrCorrupt.
func guard(path string, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %s: %v; restore a backup", ErrCorrupt, path, fault)
		}
	}()
	return fn()
}
