package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// One bar stands for the whole run: a hundred marks a step, so that a long step
// moves it as well.
const (
	stepMarks = 100
	barWidth  = 24
	// barNoise is what a line has besides the bar and its text.
	barNoise = 12
	// barRefresh is as often as an eye can follow.
	barRefresh = 65 * time.Millisecond
)

// bar shows one line that moves.
type bar struct {
	out, err io.Writer
	bar      *progressbar.ProgressBar
	total    int
	columns  int
}

func newBar(st Streams) *bar {
	columns, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || columns < barWidth+2*barNoise {
		columns = 80
	}
	return &bar{out: st.Out, err: st.Err, columns: columns}
}

func (b *bar) show(e Event) {
	switch e.Event {
	case eventStart, eventProgress, eventDone:
		b.move(e, e.Message+bytesOf(e))
	case eventUndone:
		b.move(Event{Index: e.Index, Total: e.Total}, "put back: "+e.Message)
		if e.Error != "" {
			b.clear()
			printUndone(b.err, e)
		}
	case eventPrompt:
		b.clear()
	default:
		b.clear()
		showText(b.out, b.err, e)
		if e.Event == eventResult {
			b.bar = nil
		}
	}
}

func (b *bar) move(e Event, text string) {
	if b.bar == nil || b.total != e.Total {
		b.total = e.Total
		b.bar = progressbar.NewOptions(
			e.Total*stepMarks,
			progressbar.OptionSetWriter(b.out),
			progressbar.OptionSetWidth(barWidth),
			progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionThrottle(barRefresh),
			progressbar.OptionUseANSICodes(true),
			progressbar.OptionClearOnFinish(),
		)
	}
	marks := (e.Index-1)*stepMarks + e.Percent
	if e.Event == eventDone {
		marks = e.Index * stepMarks
	}
	b.bar.Describe(cut(text, b.columns-barWidth-barNoise))
	// The last mark would end the bar, and with it the line.
	_ = b.bar.Set(min(marks, e.Total*stepMarks-1))
}

func (b *bar) clear() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}

func bytesOf(e Event) string {
	if e.BytesTotal == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s of %s)", size(e.Bytes), size(e.BytesTotal))
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

// cut shortens a text to so many characters.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "…"
}
