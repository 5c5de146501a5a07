// Package guide turns what ss-setup tells of a run, the events of docs/events.md, into
// what the wizard for Windows shows: how far the bar is, what is being done, and how it
// ended. It knows events only, and decides nothing that ss-setup decides.
package guide

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Full is where the bar is when all is done. NSIS has given the bar this range.
const Full = 30000

// lineLimit is the longest line that is read: a plan is one line.
const lineLimit = 16 << 20

// Screen is where a run is shown.
type Screen interface {
	// Progress moves the bar, which ends at Full, and says what is being done.
	Progress(bar int, text string)
	// GoingBack tells that what was done is put back from now on.
	GoingBack()
	// Detail adds a line to the list of what has happened.
	Detail(line string)
}

// event is a line of ss-setup; fields that are not shown are left out.
type event struct {
	Event      string   `json:"event"`
	Level      string   `json:"level"`
	Index      int      `json:"index"`
	Total      int      `json:"total"`
	Bytes      int64    `json:"bytes"`
	BytesTotal int64    `json:"bytes_total"`
	Percent    int      `json:"percent"`
	Message    string   `json:"message"`
	Error      string   `json:"error"`
	Action     string   `json:"action"`
	Notes      []string `json:"notes"`
	Questions  []string `json:"questions"`
}

// Ending is how a run ended.
type Ending struct {
	// Action is what the plan is: fresh, update, repair, …; empty when there was none.
	Action string `json:"-"`
	// Notes and Questions are those of the plan, Warnings came during the run.
	Notes     []string `json:"-"`
	Questions []string `json:"-"`
	Warnings  []string `json:"-"`

	Message       string     `json:"message"`
	ExitCode      int        `json:"exit_code"`
	Outcome       string     `json:"outcome"`
	Left          []string   `json:"left"`
	Cure          string     `json:"cure"`
	Version       string     `json:"version"`
	Previous      string     `json:"previous_version"`
	Seconds       float64    `json:"seconds"`
	Downtime      *float64   `json:"downtime_seconds"`
	URLs          []string   `json:"urls"`
	Fingerprint   string     `json:"fingerprint"`
	SetupCode     string     `json:"setup_code"`
	CodeExpires   *time.Time `json:"setup_code_expires"`
	NewCode       string     `json:"new_code_command"`
	Firewall      string     `json:"firewall"`
	OpenWith      []string   `json:"firewall_commands"`
	LicenseServer string     `json:"license_server"`
	LicenseState  string     `json:"license_server_state"`
	GoBack        string     `json:"go_back"`
	Kept          []string   `json:"kept"`
	Log           string     `json:"log"`
}

// ErrNoResult means that ss-setup ended without saying how.
var ErrNoResult = errors.New("ss-setup has ended without a result")

// Follow reads events until they end and shows them. Lines that are none are shown as
// they are. It returns the last result.
func Follow(r io.Reader, s Screen) (*Ending, error) {
	f := &follower{screen: s}
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(lines)
		if text := bytes.TrimSpace(line); len(text) > 0 {
			f.line(text)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read what ss-setup tells: %w", err)
		}
	}
	if f.ending == nil {
		return nil, ErrNoResult
	}
	f.ending.Action, f.ending.Notes, f.ending.Questions = f.plan.Action, f.plan.Notes, f.plan.Questions
	f.ending.Warnings = f.warnings
	return f.ending, nil
}

// readLine reads a line of any length; what is beyond lineLimit is left out.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if room := lineLimit - len(line); room > 0 {
			line = append(line, part[:min(len(part), room)]...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// follower is what is known of a run so far.
type follower struct {
	screen   Screen
	plan     event
	warnings []string
	back     bool
	ending   *Ending
}

func (f *follower) line(text []byte) {
	var e event
	if err := json.Unmarshal(text, &e); err != nil || e.Event == "" {
		f.screen.Detail(string(text))
		return
	}
	switch e.Event {
	case "plan":
		f.plan = e
		f.screen.Detail(sentence(e.Message))
	case "step_start":
		f.screen.Detail(numbered(e, e.Message))
		f.screen.Progress(e.bar(), capital(e.Message))
	case "step_progress":
		f.screen.Progress(e.bar(), capital(e.Message)+e.amount())
	case "step_done":
		f.screen.Progress(e.bar(), capital(e.Message))
	case "step_undone":
		f.undone(e)
	case "warning":
		f.warnings = append(f.warnings, e.Message)
		f.screen.Detail("Warning: " + e.Message)
	case "result":
		f.result(text)
	}
}

func (f *follower) undone(e event) {
	if !f.back {
		f.back = true
		f.screen.GoingBack()
	}
	text := "put back: " + e.Message
	if e.Error != "" {
		text = "could not " + text + ": " + e.Error
	}
	f.screen.Detail(numbered(e, text))
	f.screen.Progress(e.bar(), capital(text))
}

func (f *follower) result(text []byte) {
	var end Ending
	if err := json.Unmarshal(text, &end); err != nil {
		f.screen.Detail(string(text))
		return
	}
	f.ending = &end
	f.screen.Detail(sentence(end.Message))
	if end.Outcome == "committed" {
		f.screen.Progress(Full, sentence(end.Message))
	}
}

// bar is where the bar is at an event of a step. A step that is put back is one that
// has not been done.
func (e event) bar() int {
	if e.Total < 1 || e.Index < 1 || e.Index > e.Total {
		return 0
	}
	percent := min(max(e.Percent, 0), 100)
	if e.Event == "step_done" {
		percent = 100
	}
	return int((int64(e.Index-1)*100 + int64(percent)) * Full / (int64(e.Total) * 100))
}

// amount is how many bytes of a step are done; empty where it counts none.
func (e event) amount() string {
	if e.BytesTotal < 1 {
		return ""
	}
	const mebibyte = 1 << 20
	return fmt.Sprintf(" (%.1f of %.1f MiB)", float64(e.Bytes)/mebibyte, float64(e.BytesTotal)/mebibyte)
}

func numbered(e event, text string) string {
	return fmt.Sprintf("[%*d/%d] %s", len(fmt.Sprint(e.Total)), e.Index, e.Total, text)
}
