//go:build fixture && fixture_schema2

package main

import (
	"bytes"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/store"
)

// fixtureMigrations makes this build a release of schema 2, which rewrites every note.
func fixtureMigrations() []store.Migration {
	return []store.Migration{{Name: "mark every note", Apply: markNotes}}
}

// noteMark stands in front of each record after the migration.
var noteMark = []byte("schema2:")

func markNotes(tx *bbolt.Tx, progress store.Progress) error {
	notes, err := tx.CreateBucketIfNotExists(notesBucket)
	if err != nil {
		return err
	}
	// bbolt must not be changed under a running cursor, so the keys are gathered first.
	var keys [][]byte
	if err := notes.ForEach(func(k, _ []byte) error {
		keys = append(keys, bytes.Clone(k))
		return nil
	}); err != nil {
		return err
	}
	for i, k := range keys {
		if err := notes.Put(k, append(bytes.Clone(noteMark), notes.Get(k)...)); err != nil {
			return err
		}
		progress(int64(i+1), int64(len(keys)))
	}
	return nil
}
