// Package engine keeps the server's objects: it is the one way to write them, and the
// one place that sees every change.
//
// A write is a function over a transaction. Before it is kept every object in it is
// normalised and validated, what the objects refer to must exist, and what others refer
// to must stay. Each change gets the next number, in the same transaction, so that who
// was away asks for everything since the last number he saw. After the commit listeners
// hear of it, one after another, in the order of the commits.
//
// Who changes an object hands in the revision that he read; if somebody was quicker he
// gets a ConflictError that tells what differs. Reading is from a snapshot: nothing
// written meanwhile shows.
//
// Lists and searches are answered from an index in memory that is loaded from the store
// at the start; objects themselves stay on disk.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/model"
)

// Store is what the engine needs of the server's store.
type Store interface {
	View(func(*bbolt.Tx) error) error
	Update(func(*bbolt.Tx) error) error
	Path() string
}

// Sealer encrypts secrets for the place that they are kept in.
type Sealer interface {
	Seal(text, place string) (string, error)
	Open(sealed, place string) (string, error)
}

// Options are what an engine works with.
type Options struct {
	Store  Store
	Sealer Sealer
	Now    func() time.Time
	Log    *slog.Logger
	// Filling is for a store that is made at once, with objects nearly in the order of
	// their keys: its pages are filled, without room for more, and what is written shows in
	// no list and no search until it is opened again.
	Filling bool
	// Checked tells that whoever writes normalises and validates objects before, so that
	// it is not done again.
	Checked bool
}

// Engine is the server's objects. Its methods may be called at once.
type Engine struct {
	store  Store
	sealer Sealer
	now    func() time.Time
	log    *slog.Logger
	// fill is how full pages of objects are made; 0 is the usual.
	fill    float64
	checked bool

	writing sync.Mutex
	index   atomic.Pointer[index]
	feed    *feed
}

// Open reads the index. An index that does not fit the objects is made anew from them;
// the store's own lock must be held, as it is while it is open.
func Open(o Options) (*Engine, error) {
	e := &Engine{store: o.Store, sealer: o.Sealer, now: o.Now, log: o.Log, checked: o.Checked}
	if o.Filling {
		e.fill = 0.9
	}
	idx, err := e.loadIndex()
	if errors.Is(err, errStaleIndex) {
		e.log.Warn("the index does not fit the objects and is made anew", "why", err)
		if err = e.store.Update(rebuildIndex); err == nil {
			idx, err = e.loadIndex()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the objects of %s: %w", o.Store.Path(), err)
	}
	e.index.Store(idx)
	e.feed = newFeed(o.Log)
	return e, nil
}

// Close waits until listeners have heard of everything. The store stays open.
func (e *Engine) Close() error {
	e.writing.Lock()
	e.feed.end()
	e.writing.Unlock()
	// Not under the lock: a listener may be about to write, and is then refused.
	<-e.feed.done
	return nil
}

// Seq is the number of the last change.
func (e *Engine) Seq() uint64 { return e.index.Load().seq }

// insideListener marks the context of listeners.
type insideListener struct{}

// Write runs fn in a transaction: all of it is kept, or nothing. by is who does it, as
// in "superadmin/sa" or "protector". When it returns without an error the changes are on
// disk, have the numbers up to seq, and listeners have heard of them. A listener that
// writes hands its own context on, and is not waited for.
//
// What it refuses with: *model.InvalidError, *ConflictError, *ReferencedError,
// *NotFoundError, *ExistsError, whatever fn returned, or an error of the disk.
func (e *Engine) Write(ctx context.Context, by string, fn func(*Tx) error) (seq uint64, err error) {
	told, seq, err := e.write(ctx, by, fn)
	if told != nil && ctx.Value(insideListener{}) == nil {
		<-told
	}
	return seq, err
}

func (e *Engine) write(ctx context.Context, by string, fn func(*Tx) error) (told <-chan struct{}, seq uint64, err error) {
	e.writing.Lock()
	defer e.writing.Unlock()
	if e.feed.closed() {
		return nil, 0, errors.New("the server is stopping")
	}
	idx := e.index.Load()
	var tx *Tx
	var next *index
	err = e.store.Update(func(btx *bbolt.Tx) error {
		tx = newTx(e, btx, idx, by)
		if err := fn(tx); err != nil {
			return err
		}
		if err := tx.finish(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		next = e.after(idx, tx)
		return nil
	})
	if err != nil {
		return e.afterFailure(idx, next, tx, err)
	}
	if len(tx.changes) == 0 {
		return nil, idx.seq, nil
	}
	e.index.Store(next)
	return e.feed.push(tx.changes), tx.seq, nil
}

// after is the index after a transaction. Whoever fills a store looks nothing up in it.
func (e *Engine) after(idx *index, tx *Tx) *index {
	if e.fill > 0 {
		return &index{seq: tx.seq, lists: idx.lists, names: idx.names}
	}
	return idx.apply(tx.seq, tx.latest)
}

// afterFailure looks at what a write that failed has left. Where the disk fails at the
// very end of a commit, the change shows nevertheless: then it is followed, lest what is
// read and the index stay apart, and the writer gets the disk's error.
func (e *Engine) afterFailure(idx, next *index, tx *Tx, failed error) (told <-chan struct{}, seq uint64, err error) {
	if next == nil || next.seq == idx.seq {
		return nil, 0, failed
	}
	var shows uint64
	err = e.store.View(func(btx *bbolt.Tx) error {
		shows = seqOf(btx)
		return nil
	})
	if err != nil || shows != next.seq {
		return nil, 0, errors.Join(failed, err)
	}
	e.log.Error("the disk failed at a change that shows nevertheless; it may be gone after a restart", "error", failed)
	e.index.Store(next)
	return e.feed.push(tx.changes), 0, failed
}

// Read runs fn over a snapshot: the objects and the index of one moment.
func (e *Engine) Read(fn func(*Reader) error) error {
	for {
		idx := e.index.Load()
		again := false
		err := e.store.View(func(btx *bbolt.Tx) error {
			// A commit between the two loads is on disk before it is in the index.
			if seqOf(btx) != idx.seq {
				again = true
				return nil
			}
			return fn(&Reader{tx: btx, index: idx, engine: e})
		})
		if !again || err != nil {
			return err
		}
	}
}

// Reveal opens a secret of an object for its use; the empty string if there is none.
func (e *Engine) Reveal(key model.Key, field string, s model.Secret) (string, error) {
	if s.Clear != "" || s.Sealed == "" {
		return s.Clear, nil
	}
	text, err := e.sealer.Open(s.Sealed, place(key, field))
	if err != nil {
		return "", fmt.Errorf("open %s of %s: %w", field, model.Describe(key), err)
	}
	return text, nil
}

// place binds a sealed text to its object and field.
func place(key model.Key, field string) string { return key.String() + " " + field }
