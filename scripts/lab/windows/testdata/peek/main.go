// Command peek prints what windows are on the screen and what is in them, one JSON
// object each, so that a test can wait for a page and click where a control is. With
// arguments it runs them and prints the whole exit code, of which wine shows one byte.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	user32           = windows.NewLazySystemDLL("user32.dll")
	enumChildWindows = user32.NewProc("EnumChildWindows")
	getWindowRect    = user32.NewProc("GetWindowRect")
	isWindowEnabled  = user32.NewProc("IsWindowEnabled")
	sendMessage      = user32.NewProc("SendMessageTimeoutW")
)

// Messages of Windows, as its documentation numbers them.
const (
	wmGetText   = 0x000d
	bmGetCheck  = 0x00f0
	pbmGetPos   = 0x0408
	abortIfHung = 2
	patience    = 2000 // milliseconds
)

// control is a window or something in one.
type control struct {
	Window  string // the title of the window that it is in
	Class   string
	Text    string
	Enabled bool
	Checked bool
	// Value is how far a progress bar is.
	Value         int
	Left, Top     int
	Width, Height int
}

func main() {
	if len(os.Args) > 1 {
		cmd := exec.Command(os.Args[1], os.Args[2:]...)
		if err := cmd.Run(); cmd.ProcessState == nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(cmd.ProcessState.ExitCode())
		return
	}
	out := json.NewEncoder(os.Stdout)
	each := func(enum func(callback uintptr), found func(windows.HWND)) {
		enum(syscall.NewCallback(func(w windows.HWND, _ uintptr) uintptr {
			found(w)
			return 1
		}))
	}
	each(func(callback uintptr) { _ = windows.EnumWindows(callback, nil) }, func(top windows.HWND) {
		window := describe(top)
		if window.Class != "#32770" || !windows.IsWindowVisible(top) {
			return
		}
		window.Window = window.Text
		_ = out.Encode(window)
		each(func(callback uintptr) { _, _, _ = enumChildWindows.Call(uintptr(top), callback, 0) }, func(child windows.HWND) {
			if windows.IsWindowVisible(child) {
				c := describe(child)
				c.Window = window.Text
				_ = out.Encode(c)
			}
		})
	})
}

func describe(w windows.HWND) control {
	name := make([]uint16, 256)
	n, _ := windows.GetClassName(w, &name[0], int32(len(name)))
	var rect struct{ left, top, right, bottom int32 }
	_, _, _ = getWindowRect.Call(uintptr(w), uintptr(unsafe.Pointer(&rect)))
	enabled, _, _ := isWindowEnabled.Call(uintptr(w))
	c := control{
		Class: windows.UTF16ToString(name[:n]), Enabled: enabled != 0,
		Left: int(rect.left), Top: int(rect.top), Width: int(rect.right - rect.left), Height: int(rect.bottom - rect.top),
	}
	text := make([]uint16, 1<<15)
	var length uintptr
	_, _, _ = sendMessage.Call(uintptr(w), wmGetText, uintptr(len(text)), uintptr(unsafe.Pointer(&text[0])), abortIfHung, patience, uintptr(unsafe.Pointer(&length)))
	c.Text = windows.UTF16ToString(text)
	switch c.Class {
	case "Button":
		c.Checked = ask(w, bmGetCheck) == 1
	case "msctls_progress32":
		c.Value = int(ask(w, pbmGetPos))
	}
	return c
}

// ask sends a message and waits for the answer, but not for ever.
func ask(w windows.HWND, message uintptr) uintptr {
	var answer uintptr
	_, _, _ = sendMessage.Call(uintptr(w), message, 0, 0, abortIfHung, patience, uintptr(unsafe.Pointer(&answer)))
	return answer
}
