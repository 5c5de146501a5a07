package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"ss-setup/migrate/vfsdecrypt"
	"ss-setup/runtime/verbs"
)

// The ways to tell of a run.
const (
	outputAuto  = "auto"
	outputBar   = "bar"
	outputPlain = "plain"
	outputJSON  = "json"
)

// show tells of a run.
type show interface {
	vfsdecrypt.Reporter
	// end says how it went; err is of the run as a whole.
	end(total vfsdecrypt.Total, took time.Duration, err error)
}

func newShow(w io.Writer, output string, p vfsdecrypt.Profile) (show, error) {
	terminal := term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb"
	switch {
	case output == outputJSON:
		return newLines(w, p), nil
	case output == outputBar, output == outputAuto && terminal:
		return &bar{people: people{w: w, profile: p}}, nil
	case output == outputPlain, output == outputAuto:
		return &plain{people: people{w: w, profile: p}}, nil
	}
	return nil, fmt.Errorf("%w: --output is %q; choose auto, bar, plain or json", verbs.ErrUsage, output)
}

// both tells two.
type both [2]show

func (b both) Begin(t vfsdecrypt.Total) {
	b[0].Begin(t)
	b[1].Begin(t)
}

func (b both) Done(o vfsdecrypt.Outcome, t vfsdecrypt.Total) {
	b[0].Done(o, t)
	b[1].Done(o, t)
}

func (b both) Moved(n int64) {
	b[0].Moved(n)
	b[1].Moved(n)
}

func (b both) end(t vfsdecrypt.Total, took time.Duration, err error) {
	b[0].end(t, took, err)
	b[1].end(t, took, err)
}

// event is a line of JSON.
type event struct {
	Time    time.Time         `json:"time"`
	Event   string            `json:"event"`
	Profile string            `json:"profile,omitempty"`
	Total   *vfsdecrypt.Total `json:"total,omitempty"`
	Path    string            `json:"path,omitempty"`
	Status  vfsdecrypt.Status `json:"status,omitempty"`
	Bytes   *int64            `json:"bytes,omitempty"`
	Kind    string            `json:"kind,omitempty"`
	Error   string            `json:"error,omitempty"`
	Seconds float64           `json:"seconds,omitempty"`
	OK      *bool             `json:"ok,omitempty"`
}

// progressEvery thins progress out.
const progressEvery = time.Second

// lines are events as JSON lines.
type lines struct {
	out     *json.Encoder
	profile string
	moved   time.Time
}

func newLines(w io.Writer, p vfsdecrypt.Profile) *lines {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return &lines{out: out, profile: p.String()}
}

// emit does not fail: who reads the lines may go away.
func (l *lines) emit(e event) {
	e.Time = now().UTC()
	_ = l.out.Encode(e)
}

func (l *lines) Begin(t vfsdecrypt.Total) {
	l.emit(event{Event: "start", Profile: l.profile, Total: &t})
}

func (l *lines) Done(o vfsdecrypt.Outcome, _ vfsdecrypt.Total) {
	l.emit(event{Event: "file", Path: o.Path, Status: o.Status, Bytes: &o.Bytes, Kind: o.Kind, Error: errorText(o.Err)})
}

func (l *lines) Moved(n int64) {
	if at := now(); at.Sub(l.moved) >= progressEvery {
		l.moved = at
		l.emit(event{Event: "progress", Bytes: &n})
	}
}

func (l *lines) end(t vfsdecrypt.Total, took time.Duration, err error) {
	ok := err == nil && t.Wrong() == 0
	l.emit(event{Event: "result", Total: &t, Seconds: took.Seconds(), Error: errorText(err), OK: &ok})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// people is what people are told, with and without a bar.
type people struct {
	w       io.Writer
	profile vfsdecrypt.Profile
	plan    vfsdecrypt.Total
}

func (p *people) Begin(t vfsdecrypt.Total) {
	p.plan = t
	fmt.Fprintf(p.w, "%d files in %d folders, %s; %s.\n", t.Files, t.Folders, size(t.Bytes), p.profile)
}

// name tells of a file that somebody may want to know of; ordinary ones go by.
func (p *people) name(o vfsdecrypt.Outcome) {
	switch o.Status {
	case vfsdecrypt.Decrypted, vfsdecrypt.Present:

	case vfsdecrypt.Copied:
		fmt.Fprintf(p.w, "copied: %s: it was not encrypted\n", o.Path)
	default:
		fmt.Fprintf(p.w, "%s: %s: %v\n", o.Status, o.Path, o.Err)
	}
}

func (p *people) end(t vfsdecrypt.Total, took time.Duration, err error) {
	fmt.Fprintf(p.w, "%d of %d files in %s", t.Files, p.plan.Files, took.Round(time.Second/10))
	for _, status := range []vfsdecrypt.Status{
		vfsdecrypt.Decrypted, vfsdecrypt.Present, vfsdecrypt.Copied, vfsdecrypt.Odd, vfsdecrypt.Unproved, vfsdecrypt.Passed, vfsdecrypt.Failed,
	} {
		if n := t.Of[status]; n > 0 {
			fmt.Fprintf(p.w, ", %d %s", n, wording[status])
		}
	}
	fmt.Fprintln(p.w, ".")
	if t.Zeros > 0 {
		fmt.Fprintf(p.w, "%d files ended in zero bytes, which were taken for padding; some may have been their own.\n", t.Zeros)
	}
	if err != nil {
		fmt.Fprintln(p.w, "It is not done: run the same command again to go on.")
	}
}

var wording = map[vfsdecrypt.Status]string{
	vfsdecrypt.Decrypted: "decrypted", vfsdecrypt.Present: "there already", vfsdecrypt.Copied: "copied as they were",
	vfsdecrypt.Odd: "decrypted with a content that does not fit the name", vfsdecrypt.Unproved: "decrypted with nothing to tell whether rightly", vfsdecrypt.Passed: "passed over", vfsdecrypt.Failed: "failed",
}

// plain prints a line now and then.
type plain struct {
	people
	moved time.Time
}

// plainEvery is how often a log is told how far it is.
const plainEvery = 5 * time.Second

func (p *plain) Begin(t vfsdecrypt.Total) {
	p.people.Begin(t)
	p.moved = now()
}

func (p *plain) Done(o vfsdecrypt.Outcome, _ vfsdecrypt.Total) { p.name(o) }

func (p *plain) Moved(n int64) {
	if at := now(); at.Sub(p.moved) >= plainEvery {
		p.moved = at
		fmt.Fprintf(p.w, "%3d %%, %s of %s\n", percent(n, p.plan.Bytes), size(n), size(p.plan.Bytes))
	}
}

func percent(n, of int64) int64 {
	if of == 0 {
		return 100
	}
	return n * 100 / of
}

// bar shows one line that moves.
type bar struct {
	people
	bar *progressbar.ProgressBar
}

const (
	barWidth = 24
	// barRefresh is as often as an eye can follow.
	barRefresh = 65 * time.Millisecond
)

func (b *bar) Begin(t vfsdecrypt.Total) {
	b.people.Begin(t)
	b.bar = progressbar.NewOptions64(
		max(1, t.Bytes),
		progressbar.OptionSetWriter(b.w),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(barRefresh),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionClearOnFinish(),
	)
}

func (b *bar) Done(o vfsdecrypt.Outcome, _ vfsdecrypt.Total) {
	if o.Status != vfsdecrypt.Decrypted && o.Status != vfsdecrypt.Present {
		_ = b.bar.Clear()
	}
	b.name(o)
}

// Moved never reaches the end, which would end the line while the last files are brought
// to the disk.
func (b *bar) Moved(n int64) { _ = b.bar.Set64(min(n, max(1, b.plan.Bytes)-1)) }

func (b *bar) end(t vfsdecrypt.Total, took time.Duration, err error) {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
	b.people.end(t, took, err)
}

// size is a number of bytes for people, in binary units.
func size(n int64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
