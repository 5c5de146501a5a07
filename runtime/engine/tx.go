package engine

import (
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/model"
)

// Tx changes objects. What is written shows to its own Get at once, to everybody after
// the commit. It keeps nothing of the objects handed in, but sets their heads.
type Tx struct {
	*Reader
	by  string
	now time.Time
	seq uint64
	// restoring keeps in new objects who changed them last, and when.
	restoring bool

	changes []Change
	// latest is what the index knows of each object touched; without a text it is gone.
	latest map[model.Key]entry
	// claims are the references of each object written.
	claims map[model.Key][]model.Reference
	counts map[model.Kind]int
}

func newTx(e *Engine, btx *bbolt.Tx, idx *index, by string) *Tx {
	return &Tx{
		Reader: &Reader{tx: btx, index: idx, engine: e}, by: by, now: e.now().UTC(), seq: seqOf(btx),
		latest: map[model.Key]entry{}, claims: map[model.Key][]model.Reference{}, counts: map[model.Kind]int{},
	}
}

// Create keeps a new object: *ExistsError if there is one of its name.
func (tx *Tx) Create(o model.Object) error {
	return tx.put(o, func(old model.Object) error {
		if old != nil {
			return &ExistsError{old.Key()}
		}
		return nil
	})
}

// Update replaces an object whose Rev the caller has read: *ConflictError if somebody
// was quicker, *NotFoundError if it is gone. An update that changes nothing is none.
func (tx *Tx) Update(o model.Object) error {
	return tx.put(o, func(old model.Object) error {
		if old == nil {
			return &NotFoundError{o.Key()}
		}
		return conflict(old, o, o.Header().Rev)
	})
}

// Put keeps an object, whether there is one of its name or not. It is for imports and
// for what the server decides by itself.
func (tx *Tx) Put(o model.Object) error { return tx.put(o, func(model.Object) error { return nil }) }

// Restore keeps an object of a backup, whose name nobody may have yet. Who changed it
// last, and when, stays; its revision is a new one.
func (tx *Tx) Restore(o model.Object) error {
	tx.restoring = true
	defer func() { tx.restoring = false }()
	return tx.Create(o)
}

// conflict tells that old is not the revision that the change is made to.
func conflict(old, wanted model.Object, rev uint64) error {
	head := old.Header()
	if head.Rev == rev {
		return nil
	}
	c := &ConflictError{Key: old.Key(), Rev: head.Rev, By: head.By, Modified: head.Modified}
	if wanted != nil {
		c.Differences = model.Diff(old, wanted)
	}
	return c
}

func (tx *Tx) put(o model.Object, allow func(old model.Object) error) error {
	if !tx.engine.checked {
		o.Normalize()
		if err := o.Validate(); err != nil {
			return err
		}
	}
	key := o.Key()
	old, err := tx.get(key)
	if err != nil {
		return err
	}
	if err := allow(old); err != nil {
		return err
	}
	if err := tx.settle(key, old, o); err != nil {
		return err
	}
	same, err := tx.stamp(old, o)
	if err != nil || same {
		return err
	}
	refs := o.References()
	if err := tx.keep(key, o, refs); err != nil {
		return err
	}
	op := OpUpdate
	if old == nil {
		op = OpCreate
		tx.counts[key.Kind]++
	}
	tx.claims[key] = refs
	var young model.Object
	if tx.engine.feed.heard() {
		young = model.Clone(o)
	}
	return tx.note(Change{Key: key, Op: op, Old: old, New: young})
}

// settle seals secrets handed in, and brings those back that the caller left as they
// were.
func (tx *Tx) settle(key model.Key, old, o model.Object) error {
	before := map[string]model.Secret{}
	if old != nil {
		for _, f := range old.Secrets() {
			before[f.Field] = *f.Secret
		}
	}
	for _, f := range o.Secrets() {
		if err := tx.settleSecret(key, f, before[f.Field]); err != nil {
			return err
		}
	}
	for i, f := range o.Passwords() {
		if f.Password.Set && f.Password.Hash == "" && old != nil {
			f.Password.Hash = old.Passwords()[i].Password.Hash
		}
		f.Password.Set = false
	}
	return nil
}

func (tx *Tx) settleSecret(key model.Key, f model.SecretField, old model.Secret) error {
	s := f.Secret
	switch {
	case s.Clear != "":
		sealed, err := tx.engine.sealer.Seal(s.Clear, place(key, f.Field))
		if err != nil {
			return fmt.Errorf("seal %s of %s: %w", f.Field, model.Describe(key), err)
		}
		*s = model.Secret{Sealed: sealed}
	case s.Sealed == "" && s.Set:
		*s = old
	case s.Sealed == "":
	case s.Sealed != old.Sealed:
		// It comes from a backup, or from somebody who moves secrets about.
		if _, err := tx.engine.sealer.Open(s.Sealed, place(key, f.Field)); err != nil {
			return &model.InvalidError{Key: key, Errors: []model.FieldError{{
				Field: f.Field, Problem: "it cannot be opened here: " + err.Error(), Cure: "bring back the key ring that belongs to it, or set it again",
			}}}
		}
		*s = model.Secret{Sealed: s.Sealed}
	default:
		*s = model.Secret{Sealed: s.Sealed}
	}
	return nil
}

// stamp sets the head; same tells that the object is the old one.
func (tx *Tx) stamp(old, o model.Object) (same bool, err error) {
	head := o.Header()
	if old == nil {
		if head.Created.IsZero() {
			head.Created = tx.now
		}
		head.Rev = tx.seq + 1
		if !tx.restoring || head.Modified.IsZero() {
			head.Modified, head.By = tx.now, tx.by
		}
		return false, nil
	}
	was := *old.Header()
	head.Rev, head.Created, head.Modified, head.By = was.Rev, was.Created, was.Modified, was.By
	a, err := encoder.Marshal(old)
	if err != nil {
		return false, err
	}
	b, err := encoder.Marshal(o)
	if err != nil {
		return false, err
	}
	if string(a) == string(b) {
		return true, nil
	}
	head.Rev, head.Modified, head.By = tx.seq+1, tx.now, tx.by
	return false, nil
}

// keep writes object and index entry.
func (tx *Tx) keep(key model.Key, o model.Object, refs []model.Reference) error {
	row := rowKey(key)
	record, err := encode(row, o)
	if err != nil {
		return err
	}
	objects, err := bucket(tx.tx, objectsBucket, key.Kind)
	if err != nil {
		return err
	}
	tx.fillPages(objects)
	if err := objects.Put(row, record); err != nil {
		return fmt.Errorf("keep %s: %w", model.Describe(key), err)
	}
	entries, err := bucket(tx.tx, indexBucket, key.Kind)
	if err != nil {
		return err
	}
	tx.fillPages(entries)
	e := entryOf(key, o, refs)
	tx.latest[key] = e
	return entries.Put(row, packEntry(row, &e))
}

// fillPages has the pages of a store that is made at once filled.
func (tx *Tx) fillPages(b *bbolt.Bucket) {
	if tx.engine.fill > 0 {
		b.FillPercent = tx.engine.fill
	}
}

// Delete takes an object away. rev is the revision that the caller has read, 0 for
// whichever there is.
func (tx *Tx) Delete(key model.Key, rev uint64) error {
	old, err := tx.get(key)
	if err != nil {
		return err
	}
	if old == nil {
		return &NotFoundError{key}
	}
	if rev != 0 {
		if err := conflict(old, nil, rev); err != nil {
			return err
		}
	}
	row := rowKey(key)
	for _, name := range [][]byte{objectsBucket, indexBucket} {
		b, err := bucket(tx.tx, name, key.Kind)
		if err != nil {
			return err
		}
		if err := b.Delete(row); err != nil {
			return fmt.Errorf("delete %s: %w", model.Describe(key), err)
		}
	}
	if err := tx.tx.Bucket(activityBucket).Delete(activityRow(key)); err != nil {
		return err
	}
	tx.counts[key.Kind]--
	tx.latest[key] = entry{key: key}
	delete(tx.claims, key)
	return tx.note(Change{Key: key, Op: OpDelete, Old: old})
}

// finish checks what only the whole transaction can be checked for.
func (tx *Tx) finish() error {
	if len(tx.changes) == 0 {
		return nil
	}
	for _, check := range []func() error{tx.checkClaims, tx.checkDeleted, tx.checkBindings, tx.checkSuperAdmins} {
		if err := check(); err != nil {
			return err
		}
	}
	for kind, n := range tx.counts {
		count := int64(counter(tx.tx, countCounter(kind))) + int64(n)
		if err := setCounter(tx.tx, countCounter(kind), uint64(count)); err != nil {
			return err
		}
	}
	return setCounter(tx.tx, seqCounter, tx.seq)
}

// checkClaims refuses objects that refer to what is not there.
func (tx *Tx) checkClaims() error {
	there := map[model.Key]bool{}
	for key, claims := range tx.claims {
		var missing []model.FieldError
		for _, claim := range claims {
			ok, known := there[claim.To]
			if !known {
				ok = tx.Has(claim.To)
				there[claim.To] = ok
			}
			if !ok {
				missing = append(missing, model.FieldError{
					Field: claim.Field, Problem: "there is no " + model.Describe(claim.To), Cure: "make it first, or choose another",
				})
			}
		}
		if len(missing) > 0 {
			return &model.InvalidError{Key: key, Errors: missing}
		}
	}
	return nil
}

// checkDeleted refuses to leave others without what they refer to.
func (tx *Tx) checkDeleted() error {
	touched := func(key model.Key) bool { _, ok := tx.latest[key]; return ok }
	for key, e := range tx.latest {
		if e.text != "" {
			continue
		}
		if first, count := tx.index.referrers(key, touched); count > 0 {
			return &ReferencedError{Key: key, Count: count, First: first}
		}
	}
	return nil
}

func (tx *Tx) touched(kind model.Kind) bool {
	return slices.ContainsFunc(tx.changes, func(c Change) bool { return c.Key.Kind == kind })
}

// checkBindings refuses two bindings in one place.
func (tx *Tx) checkBindings() error {
	if !tx.touched(model.KindBinding) {
		return nil
	}
	var all []*model.Binding
	for b, err := range Bindings.All(tx.Reader) {
		if err != nil {
			return err
		}
		all = append(all, b)
	}
	for i, b := range all {
		for _, other := range all[:i] {
			if !b.Clashes(other) {
				continue
			}
			if _, mine := tx.latest[b.Key()]; !mine {
				b, other = other, b
			}
			taken := other.Key()
			return &model.InvalidError{Key: b.Key(), Errors: []model.FieldError{{
				Field: "port", Problem: "another binding listens there on node " + other.Node, Cure: "choose another port or address", Other: &taken,
			}}}
		}
	}
	return nil
}

// checkSuperAdmins keeps a SuperAdmin who can log in, if there was one.
func (tx *Tx) checkSuperAdmins() error {
	var lost *Change
	most := 0
	for i, c := range tx.changes {
		if s, ok := c.Old.(*model.SuperAdmin); ok && tx.mayRule(s) > most {
			lost, most = &tx.changes[i], tx.mayRule(s)
		}
	}
	if lost == nil {
		return nil
	}
	for s, err := range SuperAdmins.All(tx.Reader) {
		if err != nil {
			return err
		}
		if tx.mayRule(s) >= most {
			return nil
		}
	}
	field, cure := "disabled", "make or enable another SuperAdmin first"
	left, err := tx.get(lost.Key)
	if err != nil {
		return err
	}
	if s, ok := left.(*model.SuperAdmin); ok && !s.Disabled {
		if field = "disableFrom"; tx.mayRule(s) > 0 {
			field, cure = "password", "set one, or send it as it was read"
		}
	}
	return &model.InvalidError{Key: lost.Key, Errors: []model.FieldError{{
		Field: field, Problem: "nobody could rule the server any more", Cure: cure,
	}}}
}

// mayRule tells how far a SuperAdmin is able to: 0 not at all, 1 but for a password, 2.
func (tx *Tx) mayRule(s *model.SuperAdmin) int {
	switch active, _ := s.Active(tx.now); {
	case !active:
		return 0
	case s.Password.Hash == "":
		return 1
	}
	return 2
}
