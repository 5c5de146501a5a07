package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ss-setup/runtime/model"
)

// Restorer reads files that somebody uploaded, and puts what they hold in force. The main
// program hands it in, which alone knows the importers of other products.
//
// What is wrong with a file is a *FileError; other errors are the server's.
type Restorer interface {
	// Products are what a file can be said to be of where its content does not tell.
	Products() []string
	// Look tells what a file holds and what would become of it. Nothing is changed.
	Look(ctx context.Context, f Incoming) (*Outlook, error)
	// PutInForce puts it in the place of the configuration, as a whole or not at all. No more
	// may be lost than seen tells: if more would be, it is a *FileError of LossesField. by is
	// who wants it, from the address he asks from. If it returns nil the server is about to
	// start anew with it, and end is called with what was done, or with why the configuration
	// of before is in force as it was.
	PutInForce(ctx context.Context, f Incoming, seen *Outlook, by, from string, tell func(string), end func(Ending, error)) error
}

// LossesField is that of a file of which more would be lost than was agreed to.
const LossesField = "losses"

// Ending is what became of a file that was put in force.
type Ending struct {
	// Kept is where the configuration of before lies.
	Kept string
	// Report tells what was imported; nil for a backup of version 7.
	Report Report
}

// Incoming is a file that was uploaded, and what was said about it.
type Incoming struct {
	// Path is where it lies; Name is what it was called where it came from.
	Path, Name string
	// Size is in bytes.
	Size int64
	// From is one of Products; empty where the content is to tell.
	From string
	// Node is which of several in the file this machine takes the place of; empty where that is
	// to be told by names.
	Node string
	// Passphrase is that of a backup of version 7, Passwords those of certificates and keys.
	Passphrase string
	Passwords  []string
	// TakeSuperAdmins lets the file's SuperAdmins replace those of the same name here.
	TakeSuperAdmins bool
}

// FileError is why a file is refused. Field is the input to look at, empty for the file.
type FileError struct {
	Field string
	Err   error
}

// Error implements error.
func (e *FileError) Error() string { return e.Err.Error() }

// Unwrap implements the interface of package errors.
func (e *FileError) Unwrap() error { return e.Err }

// Outlook is what a file holds, and what would become of it.
type Outlook struct {
	// Product is whose file it is, with its version if it says one.
	Product, Version string
	// Node and Made are those of a backup of version 7.
	Node   string
	Made   time.Time
	Counts []KindCount
	// Report tells what became of everything that another product had; nil for a backup of
	// version 7, of which nothing is lost.
	Report Report
	// Losses are what nobody may meet unasked, such as "2 users and one site"; empty if
	// nothing is lost.
	Losses string
}

// KindCount is how many objects of a kind a backup has.
type KindCount struct {
	Kind  model.Kind
	Count int
}

// Report is that of an import: package migrate/report has it.
type Report interface {
	json.Marshaler
	Summary() string
	// WriteContent is what a page shows of it: of each list the first most.
	WriteContent(w io.Writer, most int) error
	WriteHTML(io.Writer) error
	WriteText(io.Writer) error
}

// Bounds of what is uploaded.
const (
	// maxUpload is the largest file in bytes: a dump of a million users is far below it.
	maxUpload = 2 << 30
	// maxIncoming is how many files lie here at once, those on their way included.
	maxIncoming = 4
	// What an upload leaves of the disk, in bytes, where the store lies, too: it grows with the
	// file, of which a new store is made beside the one in force.
	leastFree, leftFree, freeForEach = 64 << 20, 1 << 30, 16
	// incomingLife is how long a file waits for somebody who decides, reportLife how long
	// the report of what was done is kept.
	incomingLife = 2 * time.Hour
	reportLife   = 24 * time.Hour
)

// The states of a file: it is looked at; it is refused, or waits for somebody who decides;
// it is put in force; it is, or that failed.
const (
	stateLooking = "looking"
	stateRefused = "refused"
	stateReady   = "ready"
	statePutting = "putting"
	stateDone    = "done"
	stateFailed  = "failed"
)

// Intake keeps the files that were uploaded and what became of them. It outlives the pages:
// the server starts anew with what was restored, and whoever did it finds the end here.
type Intake struct {
	now func() time.Time
	log *slog.Logger
	// turn has one file looked at or put in force at a time.
	turn sync.Mutex
	// Room tells how many bytes are free where a folder lies; nil if nobody knows.
	Room func(dir string) (int64, error)

	mu  sync.Mutex
	dir string
	all map[string]*arrival
	// restorer is that of the server that runs now, nil while it starts anew; served counts them,
	// and changed tells of another.
	restorer Restorer
	served   int
	changed  *sync.Cond
	// coming is how many files are on their way, each of which has its place already.
	coming int
}

// arrival is a file and what became of it. What changes is guarded by the intake.
type arrival struct {
	ID string
	Incoming
	By   string
	Came time.Time

	State    string
	Progress string
	// Wrong is why it was refused or not put in force, Field what to look at.
	Wrong, Field string
	Outlook      *Outlook
	// Seen is the number of the look that Outlook comes of: who agrees, agrees to that one.
	Seen string
	// Kept is where the configuration of before lies.
	Kept string
	gone context.CancelFunc
}

// NewIntake makes an empty one.
func NewIntake(now func() time.Time, log *slog.Logger) *Intake {
	i := &Intake{now: now, log: log, all: map[string]*arrival{}}
	i.changed = sync.NewCond(&i.mu)
	return i
}

// Use has files looked at and put in force by another server from now on. With nil they wait for
// one.
func (i *Intake) Use(r Restorer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.restorer = r
	i.served++
	i.changed.Broadcast()
}

// begin waits for the turn of a file, and for a server that can work with it: the one that was
// there when somebody asked may be gone. done ends the turn; it says whether that server is about
// to end.
func (i *Intake) begin() (r Restorer, done func(ends bool)) {
	i.turn.Lock()
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.restorer == nil {
		i.changed.Wait()
	}
	served := i.served
	return i.restorer, func(ends bool) {
		i.mu.Lock()
		if ends && i.served == served {
			i.restorer = nil
		}
		i.mu.Unlock()
		i.turn.Unlock()
	}
}

const uploadPattern = "upload-*.part"

// Open sets the folder that files come into. At the first time it takes away what a server
// that was killed has left there.
func (i *Intake) Open(dir string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dir == "" {
		left, _ := filepath.Glob(filepath.Join(dir, uploadPattern))
		for _, old := range left {
			_ = os.RemoveAll(old) // the next start tries again
		}
	}
	i.dir = dir
}

var (
	errIntakeFull = fmt.Errorf("%d files wait here already; remove one of them below, then send this one again", maxIncoming)
	errTooLarge   = errors.New("the file is too large")
	errEmpty      = errors.New("no file came, or an empty one; choose one")
	errNoRoom     = errors.New("there is too little room for it on the server's disk")
)

// receive writes a file of at most limit bytes, of which the client has announced some; what
// it has not is -1. What came has its place until it is added.
func (i *Intake) receive(from io.Reader, name string, announced, limit int64) (f Incoming, err error) {
	if !i.reserve() {
		return f, errIntakeFull
	}
	defer func() {
		if err != nil {
			i.release()
		}
	}()
	if err := i.roomFor(0, min(max(announced, 0), limit)); err != nil {
		return f, err
	}
	dir, err := os.MkdirTemp(i.dir, uploadPattern)
	if err != nil {
		return f, fmt.Errorf("make room for the file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	f = Incoming{Path: filepath.Join(dir, plainFileName(name)), Name: name}
	file, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return f, fmt.Errorf("make room for the file: %w", err)
	}
	f.Size, err = i.copy(file, from, limit+1)
	err = errors.Join(err, file.Close())
	switch {
	case err != nil:
	case f.Size > limit:
		err = errTooLarge
	case f.Size == 0:
		err = errEmpty
	}
	return f, err
}

// roomLook is after how many bytes the free room is looked at again: others write there, too.
const roomLook = 32 << 20

// copy writes at most limit bytes, and stops where the disk would be too full.
func (i *Intake) copy(to io.Writer, from io.Reader, limit int64) (n int64, err error) {
	for n < limit {
		part := min(limit-n, roomLook)
		copied, err := io.CopyN(to, from, part)
		n += copied
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err == nil && n < limit {
			err = i.roomFor(n, 0)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// leave is how many bytes a file of n bytes leaves free.
func leave(n int64) int64 { return min(leftFree, leastFree+n*freeForEach) }

// roomFor refuses what would leave too little of the disk: of a file come bytes are there, and
// more are on their way.
func (i *Intake) roomFor(come, more int64) error {
	if i.Room == nil {
		return nil
	}
	free, err := i.Room(i.dir)
	if err != nil {
		return fmt.Errorf("look how much room there is for the file: %w", err)
	}
	if need := more + leave(come+more); free < need {
		return fmt.Errorf("%w: %s are free where %s lies, and it needs %s; make room there, then send it again, or take it in on the machine itself, with ss-server restore FILE for a backup of version 7, else ss-server import FILE",
			errNoRoom, size(free), i.dir, size(need))
	}
	return nil
}

// plainFileName is a name that a file of any system may have: importers look at its end.
func plainFileName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}, name)
	plain = strings.TrimLeft(plain[max(0, len(plain)-100):], ".")
	if strings.TrimRight(plain, ".") == "" {
		return "file"
	}
	return strings.TrimRight(plain, ".")
}

// reserve keeps a place for a file that is about to come; it is false if there is none.
func (i *Intake) reserve() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sweep()
	taken := i.coming
	for _, a := range i.all {
		if a.State != stateDone {
			taken++
		}
	}
	if taken >= maxIncoming {
		return false
	}
	i.coming++
	return true
}

// release gives a place back.
func (i *Intake) release() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.coming--
}

// keptReports is how many reports of what was put in force are kept: each may be as large as
// the file that it is about.
const keptReports = 4

// sweep lets go of what nobody came back for, and of all reports but the latest. The caller
// holds mu.
func (i *Intake) sweep() {
	var done []*arrival
	for _, a := range i.all {
		if a.State == stateDone {
			done = append(done, a)
		}
	}
	slices.SortFunc(done, func(a, b *arrival) int { return b.Came.Compare(a.Came) })
	for _, old := range done[min(len(done), keptReports):] {
		delete(i.all, old.ID)
	}
	for id, a := range i.all {
		life := incomingLife
		if a.State == stateDone {
			life = reportLife
		}
		if a.State != stateLooking && a.State != statePutting && i.now().Sub(a.Came) >= life {
			i.remove(a)
			delete(i.all, id)
		}
	}
}

func (i *Intake) remove(a *arrival) {
	if a.gone != nil {
		a.gone()
	}
	if err := os.RemoveAll(filepath.Dir(a.Path)); err != nil {
		i.log.Warn("an uploaded file could not be removed", "error", err)
	}
}

// add begins to look at a file that was received, in its place, and returns its ID.
func (i *Intake) add(f Incoming, by string) (id string, looked <-chan struct{}) {
	a := &arrival{ID: rand.Text(), Incoming: f, By: by, Came: i.now()}
	i.mu.Lock()
	i.coming--
	i.all[a.ID] = a
	i.mu.Unlock()
	time.AfterFunc(incomingLife+time.Minute, func() { i.list() })
	return a.ID, i.look(a)
}

// look looks at a file, which is done when the channel is closed.
func (i *Intake) look(a *arrival) <-chan struct{} {
	ctx, cancel := context.WithCancel(context.Background())
	i.change(a, func() {
		a.State, a.Progress, a.Wrong, a.Field, a.gone = stateLooking, "", "", "", cancel
		a.Seen = rand.Text()
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		r, end := i.begin()
		defer end(false)
		outlook, err := r.Look(ctx, a.Incoming)
		i.change(a, func() {
			if err == nil {
				a.State, a.Outlook = stateReady, outlook
				return
			}
			// They are asked for again with the next look.
			a.State, a.Passphrase, a.Passwords = stateRefused, "", nil
			a.Wrong, a.Field = i.tell(a, err)
		})
	}()
	return done
}

// tell is an error in words for the page, without where the file lies.
func (i *Intake) tell(a *arrival, err error) (text, field string) {
	var wrong *FileError
	if !errors.As(err, &wrong) {
		i.log.Error("an uploaded file could not be worked with", "file", a.Name, "error", err)
	} else {
		field = wrong.Field
	}
	text = strings.ReplaceAll(err.Error(), a.Path+": ", "")
	return strings.ReplaceAll(text, filepath.Dir(a.Path)+string(filepath.Separator), ""), field
}

// Why a file is not put in force.
var (
	errNotReady = errors.New("the file is not there any more, or was looked at anew")
	errOtherPut = errors.New("another file is being put in force right now; wait until that is done, and look whether you still want this one")
)

// put puts a file in force that somebody has agreed to, as the look seen showed it.
func (i *Intake) put(id, seen, by, from string) error {
	a, err := i.take(id, seen)
	if err != nil {
		return err
	}
	end := func(done Ending, err error) {
		i.change(a, func() {
			if err != nil {
				a.State = stateFailed
				a.Wrong, a.Field = i.tell(a, err)
				return
			}
			a.State, a.Kept, a.Came, a.Passphrase, a.Passwords = stateDone, done.Kept, i.now(), "", nil
			// Who looks at a page right now has the outlook of before.
			told := *a.Outlook
			told.Report = done.Report
			a.Outlook = &told
			i.remove(a)
		})
	}
	go func() {
		r, done := i.begin()
		tell := func(what string) { i.change(a, func() { a.Progress = what }) }
		err := r.PutInForce(context.Background(), a.Incoming, a.Outlook, by, from, tell, end)
		if err != nil {
			end(Ending{}, err)
		}
		done(err == nil)
	}()
	return nil
}

// take marks a file as being put in force. One is at a time: what comes behind it would be made
// for a configuration that is gone by then.
func (i *Intake) take(id, seen string) (*arrival, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	a := i.all[id]
	if a == nil || a.Seen != seen || a.State != stateReady && a.State != stateFailed || a.Outlook == nil {
		return nil, errNotReady
	}
	for _, other := range i.all {
		if other.State == statePutting {
			return nil, errOtherPut
		}
	}
	a.State, a.Progress, a.Wrong = statePutting, "", ""
	return a, nil
}

func (i *Intake) change(a *arrival, fn func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	fn()
}

// get is a file as it stands now.
func (i *Intake) get(id string) (arrival, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sweep()
	a, ok := i.all[id]
	if !ok {
		return arrival{}, false
	}
	return *a, true
}

// again looks at a file once more, with something else said about it.
func (i *Intake) again(id string, say func(*Incoming)) (looked <-chan struct{}, ok bool) {
	i.mu.Lock()
	a := i.all[id]
	ok = a != nil && (a.State == stateRefused || a.State == stateReady || a.State == stateFailed)
	if ok {
		say(&a.Incoming)
		a.State = stateLooking
	}
	i.mu.Unlock()
	if !ok {
		return nil, false
	}
	return i.look(a), true
}

// discard removes a file, unless it is being put in force.
func (i *Intake) discard(id string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	a := i.all[id]
	if a == nil || a.State == statePutting {
		return false
	}
	i.remove(a)
	delete(i.all, id)
	return true
}

// list are all files, the latest first.
func (i *Intake) list() (out []arrival) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sweep()
	for _, a := range i.all {
		out = append(out, *a)
	}
	slices.SortFunc(out, func(a, b arrival) int { return cmp.Or(b.Came.Compare(a.Came), cmp.Compare(a.ID, b.ID)) })
	return out
}
