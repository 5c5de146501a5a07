package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/model"
)

// Fill makes a new store beside the one in force, of which nothing is touched, out of
// files as a backup has them and the objects that fill puts, normalised and valid: what
// others refer to before those, none twice. What fill put is kept as a whole or, if it returns an error, not at
// all. put may keep an object; its error is that of an earlier one. tell hears what is
// being done.
func (p Place) Fill(ctx context.Context, by string, files []backup.File, tell func(string), fill func(put func(model.Object) error) error) (built *Built, err error) {
	p.clean()
	b := &builder{place: p, tell: tell, by: by, checked: true}
	w := &writer{builder: b, ctx: ctx, batches: make(chan []model.Object, 1), done: make(chan struct{})}
	defer func() {
		w.stop()
		if err != nil {
			err = errors.Join(err, b.Abort())
		}
	}()
	if err := b.Begin(backup.Header{}); err != nil {
		return nil, fmt.Errorf("begin a new store: %w", err)
	}
	for _, f := range files {
		if err := b.PutFile(f); err != nil {
			return nil, err
		}
	}
	w.counts = map[string]int{}
	go w.run()
	w.running = true
	if err := fill(w.put); err != nil {
		return nil, err
	}
	_ = w.hand() // what failed is told below
	w.stop()
	if w.failed != nil {
		return nil, w.failed
	}
	if err := b.Commit(); err != nil {
		return nil, err
	}
	header := backup.Header{Format: backup.Format, Product: "ss-server", Version: p.Version, Schema: p.Schema.Version(), Made: p.Now()}
	return newBuilt(Built{Name: filepath.Base(b.dir), Summary: backup.Summary{Header: header, Objects: w.counts, Files: len(files)}, place: p}), nil
}

// writer writes one batch while the next is gathered.
type writer struct {
	*builder
	ctx     context.Context
	batches chan []model.Object
	done    chan struct{}
	running bool
	failed  error // valid when done is closed
	gather  []model.Object
	counts  map[string]int // by kind; valid when done is closed
}

func (w *writer) run() {
	defer close(w.done)
	for batch := range w.batches {
		for _, k := range sortUsers(batch) {
			w.counts[string(k.key.Kind)]++
		}
		w.builder.batch = batch
		if w.failed = w.ctx.Err(); w.failed == nil {
			w.failed = w.flush()
		}
		if w.failed != nil {
			return
		}
	}
}

func (w *writer) put(o model.Object) error {
	if w.gather = append(w.gather, o); len(w.gather) < perCommit {
		return nil
	}
	return w.hand()
}

// hand gives a batch to the writer.
func (w *writer) hand() error {
	batch := w.gather
	w.gather = make([]model.Object, 0, perCommit)
	select {
	case w.batches <- batch:
		return nil
	case <-w.done:
		return w.failed
	}
}

// stop waits until everything that was handed over is written.
func (w *writer) stop() {
	if !w.running {
		return
	}
	w.running = false
	close(w.batches)
	<-w.done
}

// sortUsers puts users that follow each other, and come in any order, into that of their
// keys: so each page of the store is written once. All else stays behind what it refers to. It
// returns what is in batch then, with the keys.
func sortUsers(batch []model.Object) []keyed {
	// A key is made anew each time that it is asked for, and that takes longer than a swap.
	byKey := make([]keyed, len(batch))
	for i, o := range batch {
		byKey[i] = keyed{o.Key(), o}
	}
	for rest := byKey; len(rest) > 0; {
		n := 0
		for n < len(rest) && rest[n].key.Kind == model.KindUser {
			n++
		}
		slices.SortFunc(rest[:n], func(a, b keyed) int {
			return cmp.Or(strings.Compare(a.key.Site, b.key.Site), strings.Compare(a.key.ID, b.key.ID))
		})
		rest = rest[max(n, 1):]
	}
	for i, k := range byKey {
		batch[i] = k.object
	}
	return byKey
}

// keyed is an object with its key.
type keyed struct {
	key    model.Key
	object model.Object
}
