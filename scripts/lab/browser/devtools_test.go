//go:build linux && lab

package browser

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ss-setup/scripts/lab"
)

// patience bounds everything that the browser does: lab machines are busy.
const patience = 120 * time.Second

// tab is a page in a browser of its own.
type tab struct {
	t       *testing.T
	out     *os.File
	session string
	// scriptless is set while pages run no scripts: promises are never kept then.
	scriptless bool

	mu      sync.Mutex
	last    int
	waiting map[int]chan message
	// asked are the addresses that the browser asked for, told what it complained of.
	asked, told []string
}

type message struct {
	ID      int             `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// open starts a browser.
func open(t *testing.T) *tab {
	t.Helper()
	lab.InstallPackages(t, "chromium:chromium")
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--remote-debugging-pipe", "--ignore-certificate-errors",
		"--user-data-dir="+t.TempDir(), "--no-first-run", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &tab{t: t, out: ourOut, waiting: map[int]chan message{}}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		for _, f := range []*os.File{theirIn, theirOut, ourIn, ourOut} {
			f.Close()
		}
	})
	go b.read(ourIn)
	var target struct{ TargetID string }
	b.do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Network", "Log", "Runtime"} {
		b.do(domain+".enable", nil, nil)
	}
	return b
}

func (b *tab) read(in *os.File) {
	r := bufio.NewReaderSize(in, 1<<20)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if wait := b.waiting[m.ID]; wait != nil && m.ID != 0 {
			wait <- m
			delete(b.waiting, m.ID)
		}
		b.note(m)
		b.mu.Unlock()
	}
}

// note keeps what the browser tells by itself. b.mu is held.
func (b *tab) note(m message) {
	var p struct {
		Request struct{ URL string }
		Entry   struct{ Level, Text, URL string }
		Issue   json.RawMessage
	}
	switch m.Method {
	case "Network.requestWillBeSent":
		if json.Unmarshal(m.Params, &p) == nil {
			b.asked = append(b.asked, p.Request.URL)
		}
	case "Log.entryAdded":
		if json.Unmarshal(m.Params, &p) == nil && p.Entry.Level == "error" && !strings.Contains(p.Entry.Text, "the server responded with a status of") {
			b.told = append(b.told, p.Entry.Text)
		}
	case "Runtime.exceptionThrown":
		b.told = append(b.told, string(m.Params))
	}
}

func (b *tab) try(method string, params, result any) error {
	text, err := json.Marshal(params)
	if err != nil {
		return err
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.last++
	m := message{ID: b.last, Method: method, Session: b.session, Params: text}
	b.waiting[m.ID] = answer
	b.mu.Unlock()
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := b.out.Write(append(line, 0)); err != nil {
		return err
	}
	select {
	case m = <-answer:
	case <-time.After(patience):
		return fmt.Errorf("%s: no answer", method)
	}
	if m.Error != nil {
		return errors.New(method + ": " + m.Error.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(m.Result, result)
}

func (b *tab) do(method string, params, result any) {
	b.t.Helper()
	if params == nil {
		params = struct{}{}
	}
	if err := b.try(method, params, result); err != nil {
		b.t.Fatal(err)
	}
}

// eval runs a script in the page, and waits for what it promises.
func (b *tab) eval(script string, into any) error {
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	err := b.try("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": !b.scriptless}, &out)
	if err == nil && out.ExceptionDetails != nil {
		err = errors.New(out.ExceptionDetails.Exception.Description)
	}
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(out.Result.Value, into)
}

// until waits until an expression holds; a page that is being left holds nothing.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	end := time.Now().Add(patience)
	for {
		var ok bool
		err := b.eval("Boolean("+expression+")", &ok)
		if err == nil && ok {
			return
		}
		if time.Now().After(end) {
			var text string
			_ = b.eval("location.href + ' ' + document.body.innerText", &text)
			b.t.Fatalf("no %s (%v): %s", what, err, text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// goTo opens an address.
func (b *tab) goTo(url string) {
	b.t.Helper()
	b.do("Page.navigate", map[string]any{"url": url}, nil)
	b.loaded()
}

func (b *tab) loaded() {
	b.t.Helper()
	b.until("page", `document.readyState === "complete" && location.href !== "about:blank" && document.querySelector("main")`)
}

// fill types into the inputs of a page, by their names, and leaves the page by its button.
func (b *tab) fill(typed map[string]string) {
	b.t.Helper()
	for name, value := range typed {
		script := fmt.Sprintf(`(() => { const list = [...document.querySelectorAll('main [name=%q]')].filter(e => e.type !== "hidden");
			for (const e of list) { if (e.type === "checkbox") e.checked = %[2]q === "on"; else if (e.type === "radio") e.checked = e.value === %[2]q; else e.value = %[2]q; }
			return list.length; })()`, name, value)
		var n int
		if err := b.eval(script, &n); err != nil || n == 0 {
			b.t.Fatalf("no input %s: %v", name, err)
		}
	}
}

// press presses the button with a text, and waits for the page behind it.
func (b *tab) press(button string) {
	b.t.Helper()
	if err := b.eval(`window.before = true`, nil); err != nil {
		b.t.Fatal(err)
	}
	b.until("button "+button, fmt.Sprintf(`(() => { const e = [...document.querySelectorAll("main button, main a, .nav button")].find(e => e.innerText.trim() === %q); e?.click(); return e; })()`, button))
	b.until("page behind "+button, `!window.before && document.readyState === "complete" && document.querySelector("main")`)
}

// says waits for a text in the page.
func (b *tab) says(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%q", text), fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}

// shots is where the pictures of pages are kept.
const shots = "../../../dist/screenshots/web"

// look photographs the page in both widths and schemes, after axe-core has looked at it.
func (b *tab) look(name string) {
	b.t.Helper()
	if err := os.MkdirAll(shots, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for _, scheme := range []string{"light", "dark"} {
		b.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
			{"name": "prefers-color-scheme", "value": scheme},
			{"name": "prefers-reduced-motion", "value": "reduce"}, // a colour on its way to another has no contrast
		}}, nil)
		for _, width := range []int{1280, 400} {
			b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 860, "deviceScaleFactor": 1, "mobile": false}, nil)
			var wide bool
			if err := b.eval(`document.documentElement.scrollWidth > innerWidth`, &wide); err != nil || wide {
				b.t.Errorf("%s at %d px is wider than the screen (%v)", name, width, err)
			}
			b.judge(fmt.Sprintf("%s, %s, %d px", name, scheme, width))
			// As tall as the page, so that what sticks to the edge of the window stands at its end.
			clip := b.whole(width)
			b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": clip["height"], "deviceScaleFactor": 1, "mobile": false}, nil)
			var picture struct{ Data string }
			b.do("Page.captureScreenshot", map[string]any{"format": "png", "clip": clip}, &picture)
			png, err := base64.StdEncoding.DecodeString(picture.Data)
			if err == nil {
				err = os.WriteFile(filepath.Join(shots, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), png, 0o644)
			}
			if err != nil {
				b.t.Error(err)
			}
		}
	}
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1280, "height": 860, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// tallest bounds a picture.
const tallest = 2400

func (b *tab) whole(width int) map[string]any {
	var height int
	if err := b.eval(`document.documentElement.scrollHeight`, &height); err != nil {
		b.t.Fatal(err)
	}
	return map[string]any{"x": 0, "y": 0, "width": width, "height": min(max(height, 600), tallest), "scale": 1}
}

// fault is what axe-core finds.
type fault struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML           string
		FailureSummary string
	}
}

// judge has axe-core look at the page: nothing serious may be found.
func (b *tab) judge(where string) {
	b.t.Helper()
	var there bool
	if err := b.eval(`typeof axe !== "undefined"`, &there); err == nil && !there {
		if err := b.eval(axe(b.t)+"; 0", nil); err != nil {
			b.t.Fatal(err)
		}
	}
	var faults []fault
	err := b.eval(`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => ({ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.slice(0, 3).map(n => ({HTML: n.html, FailureSummary: n.failureSummary}))})))`, &faults)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range faults {
		if f.Impact == "serious" || f.Impact == "critical" {
			b.t.Errorf("%s: %s (%s): %s %+v", where, f.ID, f.Impact, f.Help, f.Nodes)
		}
	}
}

// stayed holds what the browser asked for against the server's address, and wants no
// complaint of it, as of a policy that was hurt.
func (b *tab) stayed(base string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.asked {
		// Chromium draws its own picker of times with data that it brings along.
		if !strings.HasPrefix(url, base) && !strings.HasPrefix(url, "data:") && url != "about:blank" {
			b.t.Errorf("the browser asked for %s", url)
		}
	}
	for _, text := range b.told {
		b.t.Errorf("the browser says: %s", text)
	}
}
