package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs/keyring"
)

// badSync is a store whose disk tells of a failure after the change has reached it: the
// change shows in every transaction from then on.
type badSync struct {
	*store.Store
	failing bool
}

var errSync = errors.New("input/output error")

func (b *badSync) Update(fn func(*bbolt.Tx) error) error {
	err := b.Store.Update(fn)
	if err == nil && b.failing {
		return errSync
	}
	return err
}

func TestAChangeThatShowsAlthoughItsCommitFailedHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	w.close(t)
	st, err := schema().Open(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(w.ring)
	if err != nil {
		t.Fatal(err)
	}
	bad := &badSync{Store: st}
	e, err := engine.Open(engine.Options{Store: bad, Sealer: seal.New(ring), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	w.Engine, w.store = e, st
	heard := 0
	e.Listen(func(context.Context, []engine.Change) { heard++ })
	site := &model.Site{}
	site.Name = "office"
	bad.failing = true
	if _, err := e.Write(t.Context(), "sa", func(tx *engine.Tx) error { return tx.Create(site) }); !errors.Is(err, errSync) {
		t.Errorf("the write: %v", err)
	}
	bad.failing = false
	done := make(chan error, 1)
	go func() {
		done <- e.Read(func(r *engine.Reader) error {
			_, err := engine.Sites.Get(r, "", "office")
			return err
		})
	}()
	select {
	case err := <-done:
		if err != nil || heard != 1 {
			t.Errorf("what shows: %v; heard of %d commits", err, heard)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("reading does not come to an end")
	}
}
