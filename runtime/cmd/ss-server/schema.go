package main

import (
	"go.etcd.io/bbolt"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/setup"
	"ss-setup/runtime/store"
)

// schema is the way of store.db from an empty file to what this release works with.
// A migration that was once released never changes; new ones go to the end.
func schema() store.Schema {
	return store.Schema{
		Product: name,
		File:    "store.db",
		Migrations: append([]store.Migration{
			{Name: "make room for setup codes and objects", Apply: makeRoom},
		}, fixtureMigrations()...),
		Verify:  engine.Verify,
		Rebuild: engine.Rebuild,
	}
}

func makeRoom(tx *bbolt.Tx, _ store.Progress) error {
	if _, err := tx.CreateBucketIfNotExists([]byte(setup.Bucket)); err != nil {
		return err
	}
	return engine.Prepare(tx)
}
