// Package vfstest tries what every VFS must do: random work on files, compared with a
// model in memory, byte for byte. Tests of each kind of VFS hand in theirs.
package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"ss-setup/runtime/vfs"
)

// Path is Parse for names in tests.
func Path(t testing.TB, s string) vfs.Path {
	t.Helper()
	p, err := vfs.Parse(s, vfs.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Put writes a file.
func Put(t testing.TB, f vfs.FS, name string, content []byte) {
	t.Helper()
	file, err := f.Open(Path(t, name), vfs.Write|vfs.Create|vfs.Truncate, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// Get reads a file.
func Get(t testing.TB, f vfs.FS, name string) []byte {
	t.Helper()
	file, err := f.Open(Path(t, name), vfs.Read, 0)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<40))
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return content
}

// Names lists a folder, sorted by nothing.
func Names(t testing.TB, f vfs.FS, dir string) map[string]vfs.Info {
	t.Helper()
	d, err := f.ReadDir(Path(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	all := map[string]vfs.Info{}
	for {
		infos, err := d.Next(50)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range infos {
			if _, twice := all[info.Name]; twice {
				t.Errorf("%s is listed twice", info.Name)
			}
			all[info.Name] = info
		}
	}
}

// maxFile is the longest file of Random: a few segments, whatever a segment is.
const maxFile = 400_000

// Random does random work on a few files of f, as fsx does: reads, writes, truncation,
// sync, several handles at a time, closing, renaming - and compares each answer with a
// model.
func Random(t *testing.T, f vfs.FS, seed uint64, operations int) {
	t.Helper()
	w := &worker{t: t, fs: f, rnd: rand.New(rand.NewPCG(seed, 1)), seed: seed}
	for i := range 2 {
		w.files = append(w.files, &modelled{name: fmt.Sprintf("/random-%d", i)})
	}
	for w.step = range operations {
		w.one(w.files[w.rnd.IntN(len(w.files))])
	}
	for _, m := range w.files {
		w.closeAll(m)
		if m.exists && !bytes.Equal(Get(t, f, m.name), m.content) {
			w.fatal(m, "content at the end differs")
		}
	}
}

type modelled struct {
	name    string
	exists  bool
	content []byte
	handles []vfs.File
	renames int
}

type worker struct {
	t     *testing.T
	fs    vfs.FS
	rnd   *rand.Rand
	seed  uint64
	step  int
	files []*modelled
}

func (w *worker) fatal(m *modelled, format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, operation %d, %s: %s", w.seed, w.step, m.name, fmt.Sprintf(format, args...))
}

func (w *worker) check(m *modelled, what string, err error) {
	w.t.Helper()
	if err != nil {
		w.fatal(m, "%s: %v", what, err)
	}
}

func (w *worker) one(m *modelled) {
	if len(m.handles) == 0 {
		w.open(m)
		return
	}
	h := m.handles[w.rnd.IntN(len(m.handles))]
	switch n := w.rnd.IntN(100); {
	case n < 40:
		w.write(m, h)
	case n < 75:
		w.read(m, h)
	case n < 82:
		w.truncate(m, h)
	case n < 84:
		w.check(m, "sync", h.Sync())
	case n < 90:
		w.open(m)
	case n < 95:
		w.closeAll(m)
	case n < 97:
		w.rename(m)
	default:
		w.stat(m, h)
	}
}

func (w *worker) open(m *modelled) {
	if len(m.handles) > 3 {
		return
	}
	flag := vfs.Read | vfs.Write | vfs.Create
	if len(m.handles) == 0 && w.rnd.IntN(5) == 0 {
		flag |= vfs.Truncate
		m.content = nil
	}
	h, err := w.fs.Open(Path(w.t, m.name), flag, 0)
	w.check(m, "open", err)
	m.handles, m.exists = append(m.handles, h), true
}

func (w *worker) closeAll(m *modelled) {
	for _, h := range m.handles {
		w.check(m, "close", h.Close())
	}
	m.handles = nil
}

// place is an offset: anywhere, or close to a border of segments.
func (w *worker) place(limit int) int {
	if w.rnd.IntN(3) == 0 {
		return min(limit, max(0, w.rnd.IntN(limit/65536+1)*65536+w.rnd.IntN(5)-2))
	}
	return w.rnd.IntN(limit + 1)
}

func (w *worker) write(m *modelled, h vfs.File) {
	off := w.place(min(maxFile, len(m.content)+70_000))
	data := make([]byte, 1+w.rnd.IntN([]int{100, 40_000, 200_000}[w.rnd.IntN(3)]))
	for i := range data {
		data[i] = byte(w.step + i*7)
	}
	n, err := h.WriteAt(data, int64(off))
	w.check(m, "write", err)
	if n != len(data) {
		w.fatal(m, "%d of %d bytes written", n, len(data))
	}
	m.grow(off + len(data))
	copy(m.content[off:], data)
}

func (m *modelled) grow(size int) {
	if size > len(m.content) {
		m.content = append(m.content, make([]byte, size-len(m.content))...)
	}
}

func (w *worker) read(m *modelled, h vfs.File) {
	off := w.place(len(m.content) + 10)
	buf := make([]byte, 1+w.rnd.IntN([]int{100, 40_000, 300_000}[w.rnd.IntN(3)]))
	n, err := h.ReadAt(buf, int64(off))
	want := m.content[min(off, len(m.content)):min(off+len(buf), len(m.content))]
	if len(want) < len(buf) && !errors.Is(err, io.EOF) || len(want) == len(buf) && err != nil {
		w.fatal(m, "read %d at %d of %d: error %v", len(buf), off, len(m.content), err)
	}
	if !bytes.Equal(buf[:n], want) {
		w.fatal(m, "read %d at %d of %d: content differs, %d bytes came", len(buf), off, len(m.content), n)
	}
}

func (w *worker) truncate(m *modelled, h vfs.File) {
	size := w.place(min(maxFile, len(m.content)+100_000))
	long := int64(size)
	w.check(m, "truncate", h.SetStat(vfs.Change{Size: &long}))
	m.grow(size)
	m.content = m.content[:size:size]
}

func (w *worker) rename(m *modelled) {
	m.renames++
	to := fmt.Sprintf("%.9s-%d", m.name, m.renames)
	w.check(m, "rename", w.fs.Rename(Path(w.t, m.name), Path(w.t, to), false))
	m.name = to
}

func (w *worker) stat(m *modelled, h vfs.File) {
	byHandle, err := h.Stat()
	w.check(m, "fstat", err)
	byName, err := w.fs.Stat(Path(w.t, m.name))
	w.check(m, "stat", err)
	listed := Names(w.t, w.fs, "/")[byName.Name]
	for how, info := range map[string]vfs.Info{"handle": byHandle, "name": byName, "listing": listed} {
		if info.Size != int64(len(m.content)) {
			w.fatal(m, "size by %s is %d, not %d", how, info.Size, len(m.content))
		}
	}
}
