package engine

import (
	"fmt"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/model"
	"ss-setup/runtime/store"
)

// Verify reads everything that the engine keeps. damage is what cannot be read or
// contradicts itself (store.ErrCorrupt), or an index that does not fit the objects
// (store.ErrInconsistent), which Rebuild puts right. faults are objects that this
// release would refuse to write: they were right for the release that wrote them, or
// refer to what is missing.
func Verify(tx *bbolt.Tx) (faults []string, damage error) {
	v := verifier{tx: tx, seq: seqOf(tx), revs: map[uint64]bool{}, there: map[model.Key]bool{}}
	for _, kind := range model.Kinds() {
		if err := v.kind(kind); err != nil {
			return v.faults, err
		}
	}
	if err := v.changes(); err != nil {
		return v.faults, err
	}
	return v.faults, v.stale
}

// Rebuild makes the index anew.
func Rebuild(tx *bbolt.Tx) error { return rebuildIndex(tx) }

// maxFaults bounds what is told of a store full of faults.
const maxFaults = 1000

type verifier struct {
	tx  *bbolt.Tx
	seq uint64
	// there are objects that others refer to, which often are the same few.
	there  map[model.Key]bool
	revs   map[uint64]bool // revisions of objects that the log has not told of yet
	faults []string
	stale  error
}

func (v *verifier) fault(format string, args ...any) {
	if len(v.faults) < maxFaults {
		v.faults = append(v.faults, fmt.Sprintf(format, args...))
	}
}

func (v *verifier) outdated(format string, args ...any) {
	if v.stale == nil {
		v.stale = fmt.Errorf("%w: %s; run ss-setup install --repair", store.ErrInconsistent, fmt.Sprintf(format, args...))
	}
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s; restore a backup", store.ErrCorrupt, fmt.Sprintf(format, args...))
}

func (v *verifier) kind(kind model.Kind) error {
	objects, err := bucket(v.tx, objectsBucket, kind)
	if err != nil {
		return err
	}
	entries, err := bucket(v.tx, indexBucket, kind)
	if err != nil {
		return err
	}
	n, err := v.objects(kind, objects, entries)
	if err != nil {
		return err
	}
	if count := counter(v.tx, countCounter(kind)); count != n {
		v.outdated("%d objects of kind %s are counted as %d", n, kind, count)
	}
	return entries.ForEach(func(row, _ []byte) error {
		if objects.Get(row) == nil {
			v.outdated("the index has %s, which is gone", keyOfRow(kind, row))
		}
		return nil
	})
}

// objects looks at all objects of a kind: each for itself on all processors, and in their
// order at what they have to do with each other.
func (v *verifier) objects(kind model.Kind, objects, entries *bbolt.Bucket) (n uint64, err error) {
	j := newJudges(kind)
	defer j.end()
	lot := j.lot()
	err = objects.ForEach(func(row, record []byte) error {
		n++
		if lot.add(row, record, entries.Get(row)); !lot.full() {
			return nil
		}
		j.hand(lot)
		if j.waiting() {
			if err := v.merge(j.next()); err != nil {
				return err
			}
		}
		lot = j.lot()
		return nil
	})
	if err != nil {
		return n, err
	}
	for j.hand(lot); len(j.handed) > 0; {
		if err := v.merge(j.next()); err != nil {
			return n, err
		}
	}
	return n, nil
}

// merge takes over what was found of some objects.
func (v *verifier) merge(l *lot) error {
	if l.fault != nil {
		panic(l.fault)
	}
	for i := range l.found {
		f := &l.found[i]
		if f.damage != nil {
			return f.damage
		}
		if f.rev == 0 || f.rev > v.seq || v.revs[f.rev] {
			return corrupt("%s has the revision %d, which is not its own", f.key, f.rev)
		}
		v.revs[f.rev] = true
		if f.stale {
			v.outdated("the index of %s is not that of the object", f.key)
		}
		if f.invalid != nil {
			v.fault("%v", f.invalid)
		}
		for _, r := range f.refs {
			if !v.has(r.To) {
				v.fault("%s: %s: there is no %s; make it, or choose another", model.Describe(f.key), r.Field, model.Describe(r.To))
			}
		}
	}
	return nil
}

func (v *verifier) has(key model.Key) bool {
	there, known := v.there[key]
	if !known {
		b, err := bucket(v.tx, objectsBucket, key.Kind)
		there = err == nil && b.Get(rowKey(key)) != nil
		v.there[key] = there
	}
	return there
}

// changes checks that the log has the last change of every object.
func (v *verifier) changes() error {
	log, deleted := v.tx.Bucket(changesBucket), v.tx.Bucket(deletedBucket)
	if log == nil || deleted == nil || v.tx.Bucket(activityBucket) == nil {
		return corrupt("the store has no log of changes")
	}
	err := log.ForEach(func(row, record []byte) error {
		c, err := changeOf(row, record)
		switch {
		case err != nil:
			return err
		case c.Seq > v.seq:
			return corrupt("the log has change %d, the last one is %d", c.Seq, v.seq)
		case c.Op == OpDelete && deleted.Get(row) == nil:
			return corrupt("the deletion %d is not among the deletions", c.Seq)
		case c.Op != OpDelete && !v.revs[c.Seq]:
			return corrupt("the log tells of change %d of %s, which the object does not have", c.Seq, c.Key)
		}
		delete(v.revs, c.Seq)
		return nil
	})
	if err != nil {
		return err
	}
	for rev := range v.revs {
		return corrupt("the log does not have change %d", rev)
	}
	return v.tx.Bucket(activityBucket).ForEach(func(row, record []byte) error {
		var a Activity
		return decode(row, record, &a)
	})
}
