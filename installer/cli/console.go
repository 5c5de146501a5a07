package cli

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"ss-setup/installer/txn"
)

// Streams are what a program talks through.
type Streams struct {
	Out, Err io.Writer
	// Terminal tells whether Out is one.
	Terminal bool
	// Ask is who answers questions; nil when nobody does.
	Ask *terminal
	// Front is where a front end asks for the end of a run; nil without one.
	Front io.Reader
}

// OSStreams are those of this process. A reader that goes away never ends a run.
func OSStreams() Streams {
	var front io.Reader
	if frontEnd() != "" {
		front = os.Stdin
	}
	return Streams{
		Front: front,
		Out:   deaf{os.Stdout}, Err: deaf{os.Stderr},
		Terminal: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb",
		Ask:      openTerminal(),
	}
}

// deaf is a writer that nobody needs to listen to: it never fails.
type deaf struct{ w io.Writer }

func (d deaf) Write(p []byte) (int, error) {
	_, _ = d.w.Write(p)
	return len(p), nil
}

// output says how events are shown.
type output string

// The outputs.
const (
	outputAuto  output = "auto"
	outputBar   output = "bar"
	outputPlain output = "plain"
	outputJSON  output = "json"
)

func checkOutput(_ *cli.Context, v string) error {
	switch output(v) {
	case outputAuto, outputBar, outputPlain, outputJSON:
		return nil
	}
	return usagef("", "--output is %q; choose auto, bar, plain or json", v)
}

// console turns what happens into events. It is safe for use by several goroutines.
type console struct {
	mu   sync.Mutex
	show renderer
	now  func() time.Time

	step     txn.Event // under way
	progress time.Time // of the last progress shown
	begun    time.Time
	// downSince is when users lost the service, downtime how long they had none.
	downSince time.Time
	downtime  *float64
}

func newConsole(st Streams, o output, quiet bool, now func() time.Time) *console {
	c := &console{now: now, begun: now()}
	switch {
	case o == outputJSON:
		c.show = jsonLines{st.Out}
	case quiet:
		c.show = &quietLines{st.Err}
	case o == outputBar || o == outputAuto && st.Terminal:
		c.show = newBar(st)
	default:
		c.show = &plainLines{out: st.Out, err: st.Err}
	}
	return c
}

func (c *console) emit(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.Time = c.now().UTC()
	if e.Level == "" {
		e.Level = levelInfo
	}
	c.show.show(e)
}

// engine shows what the engine tells.
func (c *console) engine(e txn.Event) {
	out := Event{Event: e.Type, Step: e.Kind, Index: e.Index + 1, Total: e.Total, Message: e.Text}
	if e.Err != nil {
		out.Level, out.Error = levelError, e.Err.Error()
	}
	c.mu.Lock()
	c.step, c.progress = e, time.Time{}
	if e.Type == eventUndone && e.Kind == stopKind && e.Err == nil && !c.downSince.IsZero() {
		c.measure()
	}
	c.mu.Unlock()
	c.emit(out)
}

// progressPause is the shortest time between two events of progress.
const progressPause = 100 * time.Millisecond

// inBytes are the kinds of steps whose progress counts bytes.
var inBytes = map[string]bool{"unpack_release": true, "copy_store": true, "equalise_store": true, downloadKind: true}

// stopKind is the kind of the steps whose undo gives users the service back.
const stopKind = "stop_service"

// advance shows how far the running step is.
func (c *console) advance(done, total int64) {
	now := c.now()
	c.mu.Lock()
	step := c.step
	due := total > 0 && done > 0 && (done == total || now.Sub(c.progress) >= progressPause)
	if due {
		c.progress = now
	}
	c.mu.Unlock()
	if !due {
		return
	}
	e := Event{Event: eventProgress, Step: step.Kind, Index: step.Index + 1, Total: step.Total, Message: step.Text}
	e.Percent = int(min(done, total) * 100 / total)
	if inBytes[step.Kind] {
		e.Bytes, e.BytesTotal = done, total
	}
	c.emit(e)
}

func (c *console) warn(message string) {
	c.emit(Event{Event: eventWarning, Level: levelWarn, Message: message})
}

func (c *console) stopped() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.downSince.IsZero() {
		c.downSince = time.Now()
	}
}

func (c *console) healthy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.downSince.IsZero() {
		c.measure()
	}
}

func (c *console) measure() {
	d := seconds(time.Since(c.downSince))
	c.downtime = &d
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.ContainsAny(s[len(s)-1:], ".?:") {
		s += "."
	}
	return s
}
