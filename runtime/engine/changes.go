package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/model"
	"ss-setup/runtime/store"
)

// Op is what happened to an object.
type Op string

// The operations.
const (
	OpCreate Op = "create"
	OpUpdate Op = "update"
	OpDelete Op = "delete"
)

// Change is one change. Old and New are nil where there is none, and in what the log
// gives; they are shared, so nobody changes them.
type Change struct {
	Seq uint64
	Key model.Key
	Op  Op
	By  string
	At  time.Time
	Old model.Object
	New model.Object
}

// keptDeletions bounds the log: of each object that is there it has the last change, of
// those that are gone the last so many.
const keptDeletions = 50_000

// note gives a change its number and puts it into the log. The object's change before is
// taken out: who asks what happened since then wants to know the object, not its past.
func (tx *Tx) note(c Change) error {
	tx.seq++
	c.Seq, c.By, c.At = tx.seq, tx.by, tx.now
	changes := tx.tx.Bucket(changesBucket)
	if c.Old != nil {
		if err := changes.Delete(number(c.Old.Header().Rev)); err != nil {
			return err
		}
	}
	row := number(c.Seq)
	record, err := encode(row, changeRecord{Key: c.Key.String(), Op: c.Op, By: c.By, At: c.At.UnixMilli()})
	if err != nil {
		return err
	}
	// Numbers only grow, so pages are filled in order and need no room for more.
	changes.FillPercent = 0.95
	if err := changes.Put(row, record); err != nil {
		return fmt.Errorf("log the change of %s: %w", model.Describe(c.Key), err)
	}
	tx.changes = append(tx.changes, c)
	if c.Op == OpDelete {
		return noteDeletion(tx.tx, c.Seq)
	}
	return nil
}

// noteDeletion forgets the oldest deletion when there are too many.
func noteDeletion(tx *bbolt.Tx, seq uint64) error {
	deleted := tx.Bucket(deletedBucket)
	if err := deleted.Put(number(seq), nil); err != nil {
		return err
	}
	n := counter(tx, deletedCounter) + 1
	if n > keptDeletions {
		oldest, _ := deleted.Cursor().First()
		oldest = append([]byte(nil), oldest...)
		if err := deleted.Delete(oldest); err != nil {
			return err
		}
		if err := tx.Bucket(changesBucket).Delete(oldest); err != nil {
			return err
		}
		if err := setCounter(tx, horizonCounter, binary.BigEndian.Uint64(oldest)); err != nil {
			return err
		}
		n--
	}
	return setCounter(tx, deletedCounter, n)
}

func changeOf(row, record []byte) (Change, error) {
	var r changeRecord
	if err := decode(row, record, &r); err != nil {
		return Change{}, err
	}
	key, err := model.ParseKey(r.Key)
	if err != nil || len(row) != 8 {
		return Change{}, fmt.Errorf("%w: the change %x names %q; restore a backup", store.ErrCorrupt, row, r.Key)
	}
	return Change{Seq: binary.BigEndian.Uint64(row), Key: key, Op: r.Op, By: r.By, At: time.UnixMilli(r.At).UTC()}, nil
}

// BeginAfter has the numbers of changes in an empty store go on after seq. Whoever asks
// for the changes since seq or before is told to read everything anew.
func BeginAfter(tx *bbolt.Tx, seq uint64) error {
	if at := seqOf(tx); at != 0 {
		return fmt.Errorf("begin the numbers of changes after %d: the store has %d already", seq, at)
	}
	if err := setCounter(tx, horizonCounter, seq+1); err != nil {
		return err
	}
	return setCounter(tx, seqCounter, seq+1)
}

// Listener hears of the changes of one commit. Its context marks it, for writes of its
// own. It should be quick: the next commit's listeners wait, and so does the writer.
type Listener func(ctx context.Context, changes []Change)

// Listen has fn hear of every commit from now on, one after another in their order.
// Listeners hear in the order in which they came. stop ends it; when it returns fn has
// heard of what was committed before. A listener must not stop itself.
func (e *Engine) Listen(fn Listener) (stop func()) {
	e.writing.Lock()
	defer e.writing.Unlock()
	return e.feed.listen(fn)
}

// feed tells listeners of commits.
type feed struct {
	log  *slog.Logger
	wake chan struct{}
	done chan struct{}

	mu        sync.Mutex
	queue     []told
	listeners []*Listener
	ended     bool
	hearing   atomic.Int32
}

// told is a commit and who waits until it is told.
type told struct {
	changes []Change
	done    chan struct{}
}

func newFeed(log *slog.Logger) *feed {
	f := &feed{log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go f.run()
	return f
}

func (f *feed) heard() bool { return f.hearing.Load() > 0 }

func (f *feed) closed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}

func (f *feed) listen(fn Listener) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &fn
	f.listeners = append(f.listeners[:len(f.listeners):len(f.listeners)], l)
	f.hearing.Add(1)
	return sync.OnceFunc(func() {
		if last := f.push(nil); last != nil {
			<-last
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		var left []*Listener
		for _, other := range f.listeners {
			if other != l {
				left = append(left, other)
			}
		}
		f.listeners = left
		f.hearing.Add(-1)
	})
}

// push puts a commit into the queue; the channel is closed when it is told. It is nil
// when nobody is there to tell.
func (f *feed) push(changes []Change) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || len(f.listeners) == 0 {
		return nil
	}
	t := told{changes, make(chan struct{})}
	f.queue = append(f.queue, t)
	f.signal()
	return t.done
}

func (f *feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// end lets nothing more in; done is closed when the queue is told.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.signal()
}

func (f *feed) run() {
	defer close(f.done)
	ctx := context.WithValue(context.Background(), insideListener{}, true)
	for range f.wake {
		for {
			f.mu.Lock()
			queue, listeners, ended := f.queue, f.listeners, f.ended
			f.queue = nil
			f.mu.Unlock()
			if len(queue) == 0 {
				if ended {
					return
				}
				break
			}
			for _, t := range queue {
				f.tell(ctx, listeners, t)
			}
		}
	}
}

func (f *feed) tell(ctx context.Context, listeners []*Listener, t told) {
	defer close(t.done)
	if len(t.changes) == 0 {
		return
	}
	for _, l := range listeners {
		f.call(ctx, *l, t.changes)
	}
}

// call keeps a listener's fault from the others, and from the server.
func (f *feed) call(ctx context.Context, fn Listener, changes []Change) {
	defer func() {
		if fault := recover(); fault != nil {
			f.log.Error("a listener failed over a change", "first", changes[0].Seq, "fault", fault)
		}
	}()
	fn(ctx, changes)
}
