package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// TestNoUpdateIsLost has many writers count up one number, each in what he read: as many
// as were told that they were kept are in it at the end.
func TestNoUpdateIsLost(t *testing.T) {
	w := furnished(t)
	var kept atomic.Int64
	var writers sync.WaitGroup
	for range 6 {
		writers.Go(func() {
			for range 15 {
				u := w.user(t, "anna")
				count, _ := strconv.Atoi(u.Description)
				u.Description = strconv.Itoa(count + 1)
				_, err := w.Write(context.Background(), "w", func(tx *engine.Tx) error { return tx.Update(u) })
				if err == nil {
					kept.Add(1)
				} else if !errors.As(err, new(*engine.ConflictError)) {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if got := w.user(t, "anna").Description; got != fmt.Sprint(kept.Load()) {
		t.Errorf("%d updates were kept, the number is %s", kept.Load(), got)
	}
	w.sound(t)
}

// replica is what somebody makes of the log of changes, who comes by now and then.
type replica struct {
	since uint64
	seen  map[model.Key]uint64
}

func (p *replica) catchUp(t *testing.T, w *world) {
	t.Helper()
	w.read(t, func(r *engine.Reader) error {
		for c, err := range r.Changes(p.since) {
			if err != nil {
				return err
			}
			if c.Seq <= p.since {
				t.Errorf("change %d after %d", c.Seq, p.since)
			}
			p.since = c.Seq
			if c.Op == engine.OpDelete {
				delete(p.seen, c.Key)
			} else {
				p.seen[c.Key] = c.Seq
			}
		}
		return nil
	})
}

// FuzzAnySequenceOfWrites does what the bytes say to a few users and groups, and keeps
// beside the engine a plain map of what must be there. Listeners, the log and the index
// must all tell the same.
func FuzzAnySequenceOfWrites(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Add([]byte("create, change, delete and create again: \x00\x10\x20\x30\x08\x18\x28\x38\x00\x10"))
	f.Add([]byte{0x80, 0x81, 0x00, 0xc0, 0x41, 0x80, 0x00, 0xff, 0x12, 0x92, 0x52, 0xd2, 0x12, 0x00})
	for seed := range byte(6) {
		ops := make([]byte, 120)
		for i, x := 0, uint32(seed)*7919+1; i < len(ops); i++ {
			x = x*1664525 + 1013904223
			ops[i] = byte(x >> 24)
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		w := newWorld(t)
		w.write(t, create(site("main"), vfs("Files")))
		want, heard := map[model.Key]uint64{}, map[model.Key]uint64{}
		last := w.Seq()
		w.Listen(func(_ context.Context, changes []engine.Change) {
			for _, c := range changes {
				if c.Seq != last+1 {
					t.Errorf("heard of change %d after %d", c.Seq, last)
				}
				last = c.Seq
				if c.Op == engine.OpDelete {
					delete(heard, c.Key)
				} else {
					heard[c.Key] = c.New.Header().Rev
				}
			}
		})
		away := &replica{since: w.Seq(), seen: map[model.Key]uint64{}}
		for i, op := range ops[:min(len(ops), 150)] {
			before := maps.Clone(want)
			_, err := w.Write(context.Background(), "fuzz", func(tx *engine.Tx) error { return randomStep(tx, op, i, want) })
			if err != nil {
				want = before
			}
			if i%13 == 0 {
				away.catchUp(t, w)
			}
		}
		away.catchUp(t, w)
		compare(t, "listeners", heard, want)
		compare(t, "the log", away.seen, want)
		compareIndex(t, w, want)
		w.sound(t)
	})
}

// randomStep does one thing to one of eight objects; it keeps want in step.
func randomStep(tx *engine.Tx, op byte, i int, want map[model.Key]uint64) error {
	name := fmt.Sprintf("n%d", op&7)
	var o model.Object = user(name)
	if op&8 != 0 {
		o = group(name)
	}
	o.Normalize()
	key := o.Key()
	rev, there := want[key]
	switch op >> 6 {
	case 0: // make it, with a group that may not be there
		if u, ok := o.(*model.User); ok {
			u.Home.VFS = "Files"
			if op&16 != 0 {
				u.Groups = []string{fmt.Sprintf("n%d", op>>4&7)}
			}
		}
		return kept(tx.Create(o), o, want)
	case 1: // change it
		old, err := tx.Get(key)
		if err != nil {
			return err
		}
		switch old := old.(type) {
		case *model.User:
			old.Description = fmt.Sprint("changed ", i)
		case *model.Group:
			old.Description = fmt.Sprint("changed ", i)
		}
		return kept(tx.Update(old), old, want)
	case 2: // change what was read long ago
		o.Header().Rev = rev / 2
		err := tx.Update(o)
		if err == nil && there && rev/2 != rev {
			return errors.New("an old revision was changed")
		}
		return kept(err, o, want)
	}
	if err := tx.Delete(key, rev); err != nil {
		return err
	}
	delete(want, key)
	return nil
}

func kept(err error, o model.Object, want map[model.Key]uint64) error {
	if err == nil {
		want[o.Key()] = o.Header().Rev
	}
	return err
}

func compare(t *testing.T, who string, got, want map[model.Key]uint64) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s tell of\n%v, there are\n%v", who, got, want)
	}
}

func compareIndex(t *testing.T, w *world, want map[model.Key]uint64) {
	t.Helper()
	var keys []string
	for key := range want {
		keys = append(keys, key.String())
	}
	slices.Sort(keys)
	var found []string
	w.read(t, func(r *engine.Reader) error {
		for _, kind := range []model.Kind{model.KindGroup, model.KindUser} {
			for _, key := range r.Find(engine.Query{Kind: kind, Site: "main", Limit: 1000}).Keys {
				found = append(found, key.String())
				o, err := r.Get(key)
				if err != nil {
					return err
				}
				if o.Header().Rev != want[key] {
					t.Errorf("%s has revision %d, want %d", key, o.Header().Rev, want[key])
				}
			}
		}
		return nil
	})
	if !slices.Equal(found, keys) {
		t.Errorf("the index has %v, there are %v", found, keys)
	}
}
