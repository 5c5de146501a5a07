package engine

import (
	"runtime"

	"ss-setup/runtime/model"
)

// judges look at objects, each for itself, on all processors. Lots are handed to them, and
// taken back in the same order.
type judges struct {
	kind   model.Kind
	work   chan *lot
	handed []*lot
	free   []*lot
}

// perLot is how many objects go from hand to hand at once.
const perLot = 128

// lot is some rows of one kind and, when it is done, what was found of them.
type lot struct {
	// text has all of them: the pages of a store are only for who reads it.
	text  []byte
	rows  []rowEnds
	found []finding
	// fault is what a judge died of.
	fault any
	done  chan struct{}
}

// rowEnds says where the parts of a row end in the text of its lot.
type rowEnds struct{ row, record, entry int }

// finding is what an object says of itself.
type finding struct {
	key model.Key
	rev uint64
	// damage says why it cannot be read, or is not what its row says.
	damage error
	// stale: its entry in the index is not its own.
	stale   bool
	invalid error
	refs    []model.Reference
}

func newJudges(kind model.Kind) *judges {
	j := &judges{kind: kind, work: make(chan *lot)}
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for l := range j.work {
				l.judge(kind)
			}
		}()
	}
	return j
}

// lot is an empty one.
func (j *judges) lot() *lot {
	n := len(j.free)
	if n == 0 {
		return &lot{done: make(chan struct{}, 1)}
	}
	l := j.free[n-1]
	j.free = j.free[:n-1]
	l.text, l.rows = l.text[:0], l.rows[:0]
	return l
}

// hand has a lot judged.
func (j *judges) hand(l *lot) {
	j.work <- l
	j.handed = append(j.handed, l)
}

// waiting tells that enough lots are out for everybody to have work.
func (j *judges) waiting() bool { return len(j.handed) > 2*runtime.GOMAXPROCS(0) }

// next waits for the lot that was handed out first. It is valid until the next one is made.
func (j *judges) next() *lot {
	l := j.handed[0]
	j.handed = j.handed[1:]
	<-l.done
	j.free = append(j.free, l)
	return l
}

// end waits for what is still out.
func (j *judges) end() {
	close(j.work)
	for _, l := range j.handed {
		<-l.done
	}
}

func (l *lot) add(row, record, entry []byte) {
	var r rowEnds
	l.text = append(l.text, row...)
	r.row = len(l.text)
	l.text = append(l.text, record...)
	r.record = len(l.text)
	l.text = append(l.text, entry...)
	r.entry = len(l.text)
	l.rows = append(l.rows, r)
}

func (l *lot) full() bool { return len(l.rows) == perLot }

func (l *lot) judge(kind model.Kind) {
	defer func() {
		l.fault = recover()
		l.done <- struct{}{}
	}()
	clear(l.found)
	l.found = l.found[:0]
	begin := 0
	for _, r := range l.rows {
		l.found = append(l.found, judge(kind, l.text[begin:r.row], l.text[r.row:r.record], l.text[r.record:r.entry]))
		begin = r.entry
	}
}

// judge looks at one object.
func judge(kind model.Kind, row, record, indexed []byte) (f finding) {
	o := kind.New()
	if f.damage = decode(row, record, o); f.damage != nil {
		return f
	}
	f.key = keyOfRow(kind, row)
	if own := o.Key(); own != f.key {
		f.damage = corrupt("the object %s lies where %s belongs", own, f.key)
		return f
	}
	f.rev = o.Header().Rev
	f.refs = o.References()
	e := entryOf(f.key, o, f.refs)
	f.stale = string(packEntry(row, &e)) != string(indexed)
	f.invalid = o.Validate()
	return f
}
