package logfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var day = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// clock moves on when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t *testing.T, path string, limits Limits, c *clock) *File {
	t.Helper()
	f, err := Open(path, limits, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func put(t *testing.T, f *File, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if _, err := f.Write([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
	}
}

// all is the whole log, from the oldest file to the newest.
func all(t *testing.T, path string) string {
	t.Helper()
	set, err := Set(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, name := range set {
		r, err := Reader(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&out, r); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	return out.String()
}

func TestALogRotatesBySizeAndLosesNoLine(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "a.jsonl"), &clock{now: day}
	f := open(t, path, Limits{Size: 100}, c)
	var want strings.Builder
	for i := range 50 {
		line := fmt.Sprintf("line %d", i)
		put(t, f, line)
		want.WriteString(line + "\n")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	set, err := Set(path)
	if err != nil || len(set) < 4 {
		t.Fatalf("%q, %v", set, err)
	}
	for _, name := range set[:len(set)-1] {
		if !strings.HasSuffix(name, ".jsonl.gz") {
			t.Errorf("%s is not compressed", name)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 100 {
		t.Errorf("%v, %v", info.Size(), err)
	}
	if got := all(t, path); got != want.String() {
		t.Errorf("got %q", got)
	}
}

func TestALogRotatesByAge(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "a.log"), &clock{now: day}
	f := open(t, path, Limits{Age: time.Hour}, c)
	put(t, f, "one")
	c.add(59 * time.Minute)
	put(t, f, "two")
	c.add(time.Minute)
	put(t, f, "three")
	f.Close()
	if set, _ := Set(path); len(set) != 2 || all(t, path) != "one\ntwo\nthree\n" {
		t.Errorf("%q: %q", set, all(t, path))
	}
}

func TestTheOldestFilesGo(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "a.log"), &clock{now: day}
	f := open(t, path, Limits{Files: 2}, c)
	for i := range 6 {
		put(t, f, fmt.Sprint(i))
		if err := f.Rotate(); err != nil {
			t.Fatal(err)
		}
		c.add(time.Minute)
	}
	put(t, f, "6")
	f.Close()
	if got := all(t, path); got != "4\n5\n6\n" {
		t.Errorf("by number: %q", got)
	}
	old := time.Now().Add(-48 * time.Hour)
	set, _ := Set(path)
	if err := os.Chtimes(set[0], old, old); err != nil {
		t.Fatal(err)
	}
	c.now = time.Now()
	open(t, path, Limits{KeepFor: 24 * time.Hour}, c).Close()
	if got := all(t, path); got != "5\n6\n" {
		t.Errorf("by age: %q", got)
	}
}

func TestALogThatWasMovedAwayIsBegunAgain(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "a.log"), &clock{now: day}
	f := open(t, path, Limits{}, c)
	put(t, f, "one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	c.add(2 * time.Second)
	put(t, f, "two")
	if got := all(t, path); got != "two\n" {
		t.Errorf("found by itself: %q", got)
	}
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	put(t, f, "three")
	if got := all(t, path); got != "three\n" {
		t.Errorf("told: %q", got)
	}
}

func TestAStartFinishesWhatACrashLeft(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "a.log"), &clock{now: day}
	f := open(t, path, Limits{}, c)
	put(t, f, "one")
	if err := f.Rotate(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	set, _ := Set(path)
	plain := strings.TrimSuffix(set[0], ".gz")
	for name, text := range map[string]string{
		plain:              "one\n",       // cut before the plain one was removed
		plain + ".gz.part": "half",        // cut while compressing
		path:               "two\nand ha", // cut while writing
	} {
		if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	f = open(t, path, Limits{}, c)
	put(t, f, "three")
	f.Close()
	if got := all(t, path); got != "one\ntwo\nand ha\nthree\n" {
		t.Errorf("got %q", got)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 2 {
		t.Errorf("left %v", left)
	}
}

func TestARotationThatFailsLosesNoLine(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "a.log"), &clock{now: day}
	f := open(t, path, Limits{Size: 4}, c)
	put(t, f, "one")
	f.tidy.Wait()
	f.path = filepath.Join(filepath.Dir(path), "gone", "a.log")
	if err := f.Rotate(); err == nil {
		t.Error("rotated into nowhere")
	}
	f.path = path
	put(t, f, "two")
	if got := all(t, path); got != "one\ntwo\n" {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	if _, err := Open(t.TempDir(), Limits{}, time.Now); err == nil {
		t.Error("a folder")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "gone", "a.log"), Limits{}, time.Now); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
