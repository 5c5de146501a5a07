package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

var sendMessageTimeout = windows.NewLazySystemDLL("user32.dll").NewProc("SendMessageTimeoutW")

// Messages of Windows, as its documentation numbers them.
const (
	wmSetText     = 0x000c
	pbmSetPos     = 0x0402
	pbmSetState   = 0x0410
	pbsError      = 2
	abortIfHung   = 0x0002
	answerWithin  = 2000 // milliseconds
	drawnPerFrame = 50 * time.Millisecond
)

// screen shows a run in windows of the wizard; zero for none. Details are lines of
// output, which the wizard lists.
type screen struct {
	out       io.Writer
	bar, step windows.Handle

	drawn time.Time
	last  string
}

// Progress implements guide.Screen.
func (s *screen) Progress(bar int, text string) {
	// What follows at once would not be seen, and a new text is always shown.
	if text == s.last && time.Since(s.drawn) < drawnPerFrame {
		return
	}
	s.drawn = time.Now()
	send(s.bar, pbmSetPos, uintptr(bar))
	if text == s.last {
		return
	}
	s.last = text
	// An ampersand would be taken for the mark of a key.
	letters, err := windows.UTF16PtrFromString(strings.ReplaceAll(text, "&", "&&"))
	if err != nil || s.step == 0 {
		return
	}
	// Only in the call itself a pointer may become a number.
	_, _, _ = sendMessageTimeout.Call(uintptr(s.step), wmSetText, 0, uintptr(unsafe.Pointer(letters)), abortIfHung, answerWithin, 0)
}

// GoingBack implements guide.Screen: the bar becomes red.
func (s *screen) GoingBack() { send(s.bar, pbmSetState, pbsError) }

// Detail implements guide.Screen. Letters that the list cannot show become question
// marks: its lines are bytes.
func (s *screen) Detail(line string) {
	fmt.Fprintln(s.out, strings.Map(func(r rune) rune {
		switch {
		case r == '…':
			return '.'
		case r > '~':
			return '?'
		}
		return r
	}, line))
}

// send waits for the wizard to draw, but for ever for nothing: the run goes on.
func send(to windows.Handle, message, wparam uintptr) {
	if to != 0 {
		_, _, _ = sendMessageTimeout.Call(uintptr(to), message, wparam, 0, abortIfHung, answerWithin, 0)
	}
}

// window is a flag that names a window by its number.
func window(handle *windows.Handle) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseUint(text, 0, 64)
		*handle = windows.Handle(n)
		return err
	}
}
