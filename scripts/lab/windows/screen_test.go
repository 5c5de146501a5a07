//go:build linux && lab

package windows

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
)

// shots is where the pictures of pages are kept, one folder a test.
const shots = "../../../dist/screenshots"

// display is the screen without a monitor, and frame the file with what is on it.
const (
	display = ":9"
	frame   = "/run/Xvfb_screen0"
)

// peek is the program that tells what is on the screen.
const peek = `C:\peek.exe`

// bootWizards boots a machine with a screen and the wizards of some releases.
func bootWizards(t *testing.T, releases ...string) *box {
	t.Helper()
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skipf("%s boots a machine and needs root", t.Name())
	}
	lab.InstallPackages(t, "makensis:nsis", "osslsigncode:osslsigncode")
	share := map[string]string{}
	for _, r := range releases {
		share[fixtures.WindowsBundle(t, r)] = "/bundles/" + r
		share[filepath.Dir(fixtures.WindowsWizard(t, r))] = "/wizards/" + r
	}
	b := &box{Machine: lab.Boot(t, lab.Options{Root: "trixie-wine", Disk: "3G", Share: share}), t: t, env: []string{"DISPLAY=" + display}}
	b.helper("peek")
	b.Spawn("Xvfb", display, "-screen", "0", "800x600x24", "-fbdir", filepath.Dir(frame), "-nolisten", "tcp", "-extension", "GLX")
	b.waitUntil("a screen", func() bool {
		_, _, code := b.Exec(context.Background(), "test", "-e", "/tmp/.X11-unix/X9")
		return code == 0
	})
	b.startWine()
	// Windows have frames and smooth letters, as on Windows.
	b.set(`HKCU\Software\Wine\X11 Driver`, "Managed", "REG_SZ", "N")
	b.set(`HKCU\Control Panel\Desktop`, "FontSmoothing", "REG_SZ", "2")
	b.set(`HKCU\Control Panel\Desktop`, "FontSmoothingType", "REG_DWORD", "1")
	return b
}

func (b *box) set(key, name, kind, value string) {
	b.t.Helper()
	if out, errs, code := b.run(nil, "reg", "add", key, "/v", name, "/t", kind, "/d", value, "/f"); code != 0 {
		b.t.Fatalf("set %s in %s: %s%s", name, key, out, errs)
	}
}

// pagePatience is how long a page may take to come; a run is behind some of them.
const pagePatience = 120 * time.Second

func (b *box) waitUntil(what string, done func() bool) {
	b.t.Helper()
	for end := time.Now().Add(pagePatience); !done(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s does not come", what)
		}
	}
}

// setupProgram is the wizard of a release.
func setupProgram(release string) string { return `Z:\wizards\` + release + `\ss-server-setup.exe` }

// exitCode runs a program to its end and returns its whole exit code.
func (b *box) exitCode(env []string, program string, args ...string) int {
	b.t.Helper()
	out, errs, code := b.run(env, peek, append([]string{program}, args...)...)
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || code != 0 {
		b.t.Fatalf("run %s: %d %s%s", program, code, out, errs)
	}
	return n
}

// wizard is one that is on the screen.
type wizard struct {
	*box
	proc *lab.Proc
	dir  string
	n    int
}

// open starts the wizard of a release.
func (b *box) open(release string, env ...string) *wizard {
	b.t.Helper()
	name := strings.ReplaceAll(b.t.Name(), "/", "_")
	w := &wizard{box: b, dir: filepath.Join(shots, name)}
	made, err := filepath.Glob(filepath.Join(w.dir, "*.png"))
	if err != nil {
		b.t.Fatal(err)
	}
	w.n = len(made)
	args := slices.Concat([]string{"env"}, b.env, env, []string{"wine", peek, setupProgram(release)})
	w.proc = b.Spawn(args...)
	return w
}

// control is what peek tells of a window or of something in one.
type control struct {
	Window, Class, Text      string
	Enabled, Checked         bool
	Value                    int
	Left, Top, Width, Height int
}

// label is the text of a control without the mark of its key.
func (c control) label() string { return strings.ReplaceAll(c.Text, "&", "") }

// controls are all that is on the screen.
func (w *wizard) controls() []control {
	w.t.Helper()
	out, errs, code := w.run(nil, peek)
	if code != 0 {
		w.t.Fatalf("look at the screen: %d %s%s", code, out, errs)
	}
	var all []control
	for line := range strings.Lines(out) {
		var c control
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			w.t.Fatalf("peek says %q: %v", line, err)
		}
		all = append(all, c)
	}
	return all
}

// find waits for a control.
func (w *wizard) find(what string, fits func(control) bool) control {
	w.t.Helper()
	var all []control
	for end := time.Now().Add(pagePatience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		all = w.controls()
		if i := slices.IndexFunc(all, fits); i >= 0 {
			return all[i]
		}
	}
	w.shot("missing")
	w.t.Fatalf("there is no %s on the screen: %+v\n%s", what, all, w.logs())
	return control{}
}

// says waits for a text in any control, and returns all of that control's.
func (w *wizard) says(part string) string {
	w.t.Helper()
	return w.find(fmt.Sprintf("text %q", part), func(c control) bool { return strings.Contains(c.label(), part) }).Text
}

// click clicks on a button as soon as it can be clicked.
func (w *wizard) click(label string) {
	w.t.Helper()
	w.press(w.find("button "+label, func(c control) bool { return c.Class == "Button" && c.Enabled && c.label() == label }))
}

// press clicks into the middle of a control; of one that is wide, at its left.
func (w *wizard) press(c control) {
	w.t.Helper()
	w.xdotool("mousemove", fmt.Sprint(c.Left+min(c.Width/2, 30)), fmt.Sprint(c.Top+c.Height/2), "click", "1")
}

// fill types into a field; they are counted from 0 on.
func (w *wizard) fill(field int, text string) {
	w.t.Helper()
	var fields []control
	for _, c := range w.controls() {
		if c.Class == "Edit" {
			fields = append(fields, c)
		}
	}
	if len(fields) <= field {
		w.t.Fatalf("there are %d fields", len(fields))
	}
	w.press(fields[field])
	w.xdotool("key", "ctrl+a")
	w.xdotool("type", "--delay", "20", text)
	w.find("field with "+text, func(c control) bool { return c.Class == "Edit" && c.Text == text })
}

func (w *wizard) xdotool(args ...string) {
	w.t.Helper()
	w.MustExec(slices.Concat([]string{"env"}, w.env, []string{"xdotool"}, args)...)
}

// ends waits for the end of the wizard and wants it to have that exit code.
func (w *wizard) ends(code int) {
	w.t.Helper()
	out, errs, _ := w.proc.Wait()
	if got := strings.TrimSpace(out); got != strconv.Itoa(code) {
		w.t.Errorf("the wizard ended with %s%s, want %d\n%s", got, errs, code, w.logs())
	}
	if w.exists("Program Files/SS Server Setup") {
		w.t.Errorf("left behind: %s", w.MustExec("find", drive+"/Program Files/SS Server Setup"))
	}
}

// shot keeps a picture of the window.
func (w *wizard) shot(name string) {
	w.t.Helper()
	// Away with the mouse pointer, which is in the picture otherwise.
	w.xdotool("mousemove", "799", "599")
	area := image.Rect(0, 0, 800, 600)
	for _, c := range w.controls() {
		if c.Class == "#32770" && c.Window != "" && c.Text == c.Window {
			area = image.Rect(c.Left, c.Top, c.Left+c.Width, c.Top+c.Height)
		}
	}
	time.Sleep(300 * time.Millisecond) // until it is drawn
	raw, err := w.ReadFile(frame)
	if err != nil {
		w.t.Fatal(err)
	}
	picture, err := readXWD(raw)
	if err != nil {
		w.t.Fatal(err)
	}
	var out bytes.Buffer
	err = errors.Join((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, picture.SubImage(area)), os.MkdirAll(w.dir, 0o755))
	w.n++
	if err := errors.Join(err, os.WriteFile(filepath.Join(w.dir, fmt.Sprintf("%02d-%s.png", w.n, name)), out.Bytes(), 0o644)); err != nil {
		w.t.Fatal(err)
	}
}

// readXWD reads what an X server without a monitor shows, in its own format: a header of
// 25 numbers at least, colours of 12 bytes each, lines of 4 bytes a pixel.
func readXWD(raw []byte) (*image.NRGBA, error) {
	const numbers = 25
	if len(raw) < 4*numbers {
		return nil, fmt.Errorf("a picture of %d bytes", len(raw))
	}
	number := func(i int) int { return int(binary.BigEndian.Uint32(raw[4*i:])) }
	header, width, height, bits, line, colours := number(0), number(4), number(5), number(11), number(12), number(19)
	at := header + 12*colours
	if bits != 32 || at+line*height > len(raw) || 4*width > line {
		return nil, fmt.Errorf("a picture of %d by %d, %d bits a pixel, in %d bytes", width, height, bits, len(raw))
	}
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			pixel := raw[at+y*line+4*x:]
			img.SetNRGBA(x, y, color.NRGBA{pixel[2], pixel[1], pixel[0], 0xff})
		}
	}
	return img, nil
}
