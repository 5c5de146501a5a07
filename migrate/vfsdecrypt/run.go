package vfsdecrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// Target is where decrypted files go. It is used by several goroutines.
type Target interface {
	// Has tells whether the file is there from an earlier run, whole.
	Has(ctx context.Context, f File, want Expected) (bool, error)
	// MakeFolder makes a folder; one that is there is fine.
	MakeFolder(ctx context.Context, f File) error
	// Put writes a file so that it appears when it is whole, with the time of its source.
	// It may call open again to begin anew.
	Put(ctx context.Context, f File, open func() (io.ReadCloser, error)) error
	// Settle makes what was put last; Run calls it at its end, whatever the end is.
	Settle() error
}

// Expected is what the content of a file must be like.
type Expected struct {
	// Least and Most bound its length.
	Least, Most int64
	// Head is its beginning, at most n bytes: what is as long may be another file, or this
	// one as it was, encrypted.
	Head func(n int) ([]byte, error)
}

// stop is an error that ends a run, as the file that met it is not its cause.
type stop struct{ error }

func (s stop) Unwrap() error { return s.error }

// Stop marks an error of a Target that every other file would meet as well, as a disk that
// is full.
func Stop(err error) error { return stop{err} }

// Status is what became of an entry.
type Status string

// The statuses.
const (
	Decrypted Status = "decrypted"
	// Present: it was there from an earlier run.
	Present Status = "present"
	// Copied: it was not encrypted, and came along as it was.
	Copied Status = "copied"
	// Odd: it was decrypted, and its content is not what its name promises.
	Odd Status = "odd"
	// Unproved: it was decrypted, and neither its content nor its end tells whether rightly.
	Unproved Status = "unproved"
	// Passed: links, devices; not taken.
	Passed Status = "passed"
	// Failed: it is not in the target.
	Failed Status = "failed"
)

// Outcome is what became of one file, and why.
type Outcome struct {
	File
	Status Status
	// Bytes is the length of its content.
	Bytes int64
	// Kind is what the content is, if it was recognised.
	Kind string
	// Zeros is how many zero bytes at its end were taken for padding.
	Zeros int
	Err   error
	// told is how much of it Moved was told of.
	told int64
}

// Total is what a run has to do or has done.
type Total struct {
	Files   int64            `json:"files"`
	Folders int64            `json:"folders"`
	Bytes   int64            `json:"bytes"` // of encrypted files
	Of      map[Status]int64 `json:"of,omitempty"`
	// Zeros is how many files ended in zero bytes that were taken for padding: a tar or a
	// picture may have had some of its own.
	Zeros int64 `json:"zeros,omitempty"`
}

// Wrong is how many files somebody should look at.
func (t Total) Wrong() int64 { return t.Of[Failed] + t.Of[Odd] + t.Of[Unproved] }

// Reporter hears of a run; its calls come one at a time.
type Reporter interface {
	// Begin says what there is to do.
	Begin(Total)
	// Done says what became of a file, and what has become of all so far.
	Done(Outcome, Total)
	// Moved says how many encrypted bytes are done, of files under way as well.
	Moved(bytes int64)
}

// Job is a folder to decrypt.
type Job struct {
	Source fs.FS
	Target Target
	Keys   *Keys
	// Jobs is how many files are worked on at once; 1 if 0.
	Jobs     int
	Reporter Reporter
}

// Run decrypts the folder. What fails of single files is reported and counted; the error
// is of the run as a whole. After an error, or when ctx ends, the same run goes on where it
// was.
func (j *Job) Run(ctx context.Context) (Total, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &running{Job: j, total: Total{Of: map[Status]int64{}}}
	plan, err := Measure(ctx, j.Source)
	if err != nil {
		return plan, err
	}
	j.Reporter.Begin(plan)
	work := make(chan File)
	var group sync.WaitGroup
	for range max(1, j.Jobs) {
		group.Go(func() {
			for f := range work {
				if err := r.file(ctx, f); err != nil {
					cancel(err)
				}
			}
		})
	}
	err = walk(ctx, j.Source, func(f File) error { return r.hand(ctx, f, work) })
	close(work)
	group.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return r.total, errors.Join(err, j.Target.Settle())
}

// Measure counts what is in a folder.
func Measure(ctx context.Context, source fs.FS) (Total, error) {
	var t Total
	err := walk(ctx, source, func(f File) error {
		if f.Folder && f.Passed == "" {
			t.Folders++
			return nil
		}
		t.Files++
		t.Bytes += f.Size
		return nil
	})
	if err != nil {
		return t, fmt.Errorf("look through the source: %w", err)
	}
	return t, nil
}

// running is a Job under way.
type running struct {
	*Job
	mu    sync.Mutex
	total Total
	bytes int64 // done, of files under way as well
}

// hand gives a file to whoever is free, and makes folders itself: before what is in them.
func (r *running) hand(ctx context.Context, f File, work chan<- File) error {
	switch {
	case f.Passed != "" && f.Folder:
		r.done(Outcome{File: f, Status: Failed, Err: errors.New(f.Passed)})
		return nil
	case f.Passed != "":
		r.done(Outcome{File: f, Status: Passed, Err: errors.New(f.Passed)})
		return nil
	case f.Folder:
		if err := r.Target.MakeFolder(ctx, f); err != nil {
			return fmt.Errorf("make the folder %s: %w", f.Path, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.total.Folders++
		return nil
	}
	select {
	case work <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *running) done(o Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.Files++
	r.total.Bytes += o.Size
	r.total.Of[o.Status]++
	if o.Zeros > 0 {
		r.total.Zeros++
	}
	r.bytes += o.Size - o.told
	r.Reporter.Done(o, r.total)
	r.Reporter.Moved(r.bytes)
}

func (r *running) moved(more int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += more
	r.Reporter.Moved(r.bytes)
}

// file decrypts one file. Its error ends the run.
func (r *running) file(ctx context.Context, f File) error {
	if ctx.Err() != nil {
		return nil
	}
	o := Outcome{File: f}
	least, most := r.Keys.Sizes(f.Size)
	// What was not encrypted came along as it was.
	there, err := r.Target.Has(ctx, f, Expected{least, max(most, f.Size), func(n int) ([]byte, error) { return r.head(ctx, f, n) }})
	if there {
		o.Status = Present
		r.doubt(ctx, &o)
		r.done(o)
		return nil
	}
	if err == nil {
		err = r.Target.Put(ctx, f, func() (io.ReadCloser, error) { return r.open(ctx, &o) })
	}
	if all := (stop{}); err != nil && (errors.As(err, &all) || ctx.Err() != nil) {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	if err != nil {
		o.Status, o.Err = Failed, err
	}
	r.done(o)
	return nil
}

// doubt looks again at a file that an earlier run made: what was odd or unproved then is it
// still, whoever saw the end of that run.
func (r *running) doubt(ctx context.Context, o *Outcome) {
	again := Outcome{File: o.File}
	m, err := r.begin(ctx, &again)
	if err != nil {
		return
	}
	defer m.Close()
	if _, err := io.CopyN(io.Discard, m, headSize); err != nil && !errors.Is(err, io.EOF) {
		return
	}
	m.judge()
	if again.Status == Odd || again.Status == Unproved {
		o.Status, o.Err = again.Status, again.Err
	}
}

// head is the beginning of what a file becomes.
func (r *running) head(ctx context.Context, f File, n int) ([]byte, error) {
	content, err := r.open(ctx, &Outcome{File: f})
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(io.LimitReader(content, int64(n)))
}

// open begins to read a file, and says in o what it looks like.
func (r *running) open(ctx context.Context, o *Outcome) (io.ReadCloser, error) {
	return r.begin(ctx, o)
}

func (r *running) begin(ctx context.Context, o *Outcome) (*meter, error) {
	file, err := r.Source.Open(o.Path)
	if err != nil {
		return nil, err
	}
	m := &meter{ctx: ctx, file: file, run: r, outcome: o}
	if err := m.begin(); err != nil {
		file.Close()
		return nil, err
	}
	return m, nil
}

const (
	// moveEvery is how many bytes of a file go by between two reports.
	moveEvery = 8 << 20
	// headSize is how much of a file is looked at.
	headSize = 4 << 10
)

// meter reads the content of a file, and looks at its beginning as it comes.
type meter struct {
	ctx     context.Context
	file    fs.File
	run     *running
	outcome *Outcome
	content *Content
	head    []byte
}

// begin looks whether the file is encrypted at all.
func (m *meter) begin() (err error) {
	raw := make([]byte, min(headSize, m.outcome.Size))
	if _, err := io.ReadFull(m.file, raw); err != nil {
		return fmt.Errorf("read its beginning: %w", err)
	}
	m.outcome.Bytes, m.outcome.Kind, m.outcome.Err = 0, "", nil
	whole := io.MultiReader(bytes.NewReader(raw), m.file)
	if m.clear(raw) {
		m.outcome.Status = Copied
		m.content = newContent(whole, m.outcome.Size, asIs{})
		return nil
	}
	m.outcome.Status = Decrypted
	m.content, err = m.run.Keys.Open(whole, m.outcome.Size)
	return err
}

// clear tells whether the file is what its name promises, and would not be if it was
// decrypted.
func (m *meter) clear(raw []byte) bool {
	if !isClear(m.outcome.Path, raw) {
		return false
	}
	decrypted, err := m.run.Keys.openHead(raw)
	return err != nil || !isClear(m.outcome.Path, decrypted)
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.content.Read(p)
	m.see(p[:n])
	if errors.Is(err, io.EOF) {
		m.judge()
	}
	return n, err
}

// WriteTo implements io.WriterTo: pieces go on without being copied.
func (m *meter) WriteTo(w io.Writer) (int64, error) {
	n, err := m.content.WriteTo(writerFunc(func(p []byte) (int, error) {
		if err := m.ctx.Err(); err != nil {
			return 0, err
		}
		m.see(p)
		return w.Write(p)
	}))
	if err == nil {
		m.judge()
	}
	return n, err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (m *meter) see(p []byte) {
	if room := headSize - len(m.head); room > 0 {
		m.head = append(m.head, p[:min(room, len(p))]...)
	}
	m.outcome.Bytes += int64(len(p))
	if more := m.outcome.Bytes - m.outcome.told; more >= moveEvery {
		m.outcome.told = m.outcome.Bytes
		m.run.moved(more)
	}
}

// judge says what the content is, when all of it has been read.
func (m *meter) judge() {
	if kind, bits := look(m.head, false); bits >= sure {
		m.outcome.Kind = kind
	}
	m.outcome.Zeros = m.content.zeros
	if m.outcome.Status != Decrypted {
		return
	}
	switch {
	case !fits(m.outcome.Path, m.head):
		m.outcome.Status = Odd
		m.outcome.Err = fmt.Errorf("its content is not that of a file of the kind %s", kindOfName(m.outcome.Path))
	case !m.proved():
		m.outcome.Status = Unproved
		m.outcome.Err = errors.New("neither its content nor its end tells whether passphrase and profile are its own; look at it")
	}
}

// proved tells whether something speaks for the key: a kind that was recognised, be it
// weakly if the name promises it, or an end that only the right key gives.
func (m *meter) proved() bool {
	p := m.run.Keys.Profile
	if m.outcome.Bytes == 0 || m.outcome.Kind != "" || p.Mode.whole() && p.Pad == PKCS7 || m.run.Keys.hasLength() {
		return true
	}
	kind, bits := look(m.head, false)
	return bits > 0 && kind == kindOfName(m.outcome.Path)
}

// Close implements io.Closer.
func (m *meter) Close() error { return m.file.Close() }
