package engine

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/model"
)

// Undone is an object that a return to an older store changes back.
type Undone struct {
	Key model.Key `json:"key"`
	// Object names it for a person.
	Object string `json:"object"`
	// Op is what happened to it since: create, update or delete.
	Op Op `json:"op"`
	// By and At are who changed it last, and when; of what was deleted long ago nobody
	// knows.
	By string    `json:"by,omitempty"`
	At time.Time `json:"at,omitzero"`
	// Fields are those that differ.
	Fields []model.Difference `json:"fields,omitempty"`
}

// CompareStores tells fn of every object that differs between an older store and a newer
// one that came from it, in the order of the changes. Neither is written to.
func CompareStores(older, newer Store, fn func(Undone) error) error {
	return older.View(func(before *bbolt.Tx) error {
		return newer.View(func(after *bbolt.Tx) error {
			c := comparison{before: &Reader{tx: before}, after: &Reader{tx: after}, tell: fn}
			err := c.byLog()
			if errors.Is(err, ErrTooOld) {
				err = c.whole()
			}
			return err
		})
	})
}

type comparison struct {
	before, after *Reader
	tell          func(Undone) error
}

// byLog looks at what changed since the older store's last change.
func (c comparison) byLog() error {
	for change, err := range c.after.Changes(c.before.Seq()) {
		if err != nil {
			return err
		}
		if err := c.object(change.Key, change.By, change.At); err != nil {
			return err
		}
	}
	return nil
}

// whole looks at every object: the log does not reach back to the older store.
func (c comparison) whole() error {
	for _, kind := range model.Kinds() {
		for o, err := range c.after.All(kind) {
			if err != nil {
				return err
			}
			h := o.Header()
			if err := c.object(o.Key(), h.By, h.Modified); err != nil {
				return err
			}
		}
		for o, err := range c.before.All(kind) {
			if err != nil {
				return err
			}
			if key := o.Key(); !c.after.Has(key) {
				if err := c.object(key, "", time.Time{}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c comparison) object(key model.Key, by string, at time.Time) error {
	before, err := c.before.get(key)
	if err != nil {
		return err
	}
	after, err := c.after.get(key)
	if err != nil {
		return err
	}
	u := Undone{Key: key, Object: model.Describe(key), By: by, At: at}
	switch {
	case before == nil && after == nil:
		return nil // it came and went
	case before == nil:
		u.Op = OpCreate
	case after == nil:
		u.Op = OpDelete
	default:
		u.Op, u.Fields = OpUpdate, model.Diff(before, after)
		if len(u.Fields) == 0 {
			return nil
		}
	}
	return c.tell(u)
}
