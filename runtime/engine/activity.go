package engine

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/model"
)

// Activity is what an account did last. It is no part of the configuration: it has no
// revision, no number, no place in backups, and nobody hears of it.
type Activity struct {
	LastLogin time.Time `cbor:"1,keyasint,omitzero" json:"lastLogin,omitzero"`
	LastFrom  string    `cbor:"2,keyasint,omitempty" json:"lastFrom,omitempty"`
	// Failures are the failed logins since the last one that worked.
	Failures int `cbor:"3,keyasint,omitempty" json:"failures,omitempty"`
	// Step is that of the last one-time code taken: none up to it is taken again.
	Step int64 `cbor:"4,keyasint,omitempty" json:"-"`
}

func activityRow(key model.Key) []byte {
	return append([]byte(string(key.Kind)+"/"), rowKey(key)...)
}

// Activity is what the account did last; the zero value if nothing.
func (r *Reader) Activity(key model.Key) (Activity, error) { return activityIn(r.tx, key) }

func activityIn(tx *bbolt.Tx, key model.Key) (a Activity, err error) {
	row := activityRow(key)
	if record := tx.Bucket(activityBucket).Get(row); record != nil {
		err = decode(row, record, &a)
	}
	return a, err
}

// NoteActivity changes what is kept of accounts, all in one transaction: logins are
// gathered for a moment and noted together. Accounts that are gone are left out.
func (e *Engine) NoteActivity(notes map[model.Key]func(*Activity)) error {
	err := e.store.Update(func(tx *bbolt.Tx) error {
		for key, note := range notes {
			objects, err := bucket(tx, objectsBucket, key.Kind)
			if err != nil {
				return err
			}
			if objects.Get(rowKey(key)) == nil {
				continue
			}
			a, err := activityIn(tx, key)
			if err != nil {
				return err
			}
			note(&a)
			row := activityRow(key)
			record, err := encode(row, a)
			if err != nil {
				return err
			}
			if err := tx.Bucket(activityBucket).Put(row, record); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what accounts did: %w", err)
	}
	return nil
}

// TakeStep remembers the step of a one-time code. It is false if that or a later one was
// taken already; a step taken is on disk.
func (e *Engine) TakeStep(key model.Key, step int64) (taken bool, err error) {
	err = e.NoteActivity(map[model.Key]func(*Activity){key: func(a *Activity) {
		if taken = step > a.Step; taken {
			a.Step = step
		}
	}})
	return taken && err == nil, err
}
