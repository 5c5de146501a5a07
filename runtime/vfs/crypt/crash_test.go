package crypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"ss-setup/runtime/vfs"
)

var testKey = mustKey("000102030405060708090a0b0c0d0e0f", bytes.Repeat([]byte{7}, keySize))

func mustKey(id string, secret []byte) Key {
	k, err := KeyFrom(id, secret)
	if err != nil {
		panic(err)
	}
	return k
}

var quiet = slog.New(slog.DiscardHandler)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func memPath(t testing.TB, s string) vfs.Path {
	t.Helper()
	p, err := vfs.Parse(s, vfs.Rules{})
	must(t, err)
	return p
}

// openMem opens a file of a volume in memory.
func openMem(v *Volume, d *memDisk, name vfs.Path, flag vfs.Flag) (*File, error) {
	return openMemFor(v, d, name, flag, false)
}

func openMemFor(v *Volume, d *memDisk, name vfs.Path, flag vfs.Flag, salvage bool) (*File, error) {
	if err := v.healFirst(name); err != nil {
		return nil, err
	}
	inner, err := d.open(name, flag)
	if err != nil {
		return nil, err
	}
	writing := flag.Has(vfs.Write)
	n, err := v.attach(name, inner, use{writing: writing, reset: flag.Has(vfs.Truncate), salvage: salvage})
	if err != nil {
		return nil, err
	}
	return &File{node: n, name: name, reading: true, writing: writing}, nil
}

func readAll(f *File) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
}

// pattern is content that differs in every segment and every round.
func pattern(round, length int) []byte {
	out := make([]byte, length)
	r := rand.NewPCG(uint64(round), 99)
	for i := 0; i < length; i += 8 {
		x := r.Uint64()
		for j := i; j < min(i+8, length); j++ {
			out[j] = byte(x)
			x >>= 8
		}
	}
	return out
}

// edit is one thing that a client does to an open file.
type edit struct {
	off, length int
	truncate    bool
	sync        bool
}

func (e edit) String() string {
	switch {
	case e.sync:
		return "sync"
	case e.truncate:
		return fmt.Sprintf("truncate to %d", e.off)
	}
	return fmt.Sprintf("write %d at %d", e.length, e.off)
}

// model applies an edit to content; between is what may be seen on the way.
func (e edit) model(content []byte, round int) (between, after []byte) {
	switch {
	case e.sync:
		return content, content
	case e.truncate:
		after = change{off: int64(e.off), truncate: true}.apply(slices.Clone(content))
		return after, after
	}
	between = slices.Clone(content)
	if e.off > len(between) {
		between = change{off: int64(e.off), truncate: true}.apply(between)
	}
	return between, change{off: int64(e.off), data: pattern(round, e.length)}.apply(slices.Clone(between))
}

func (e edit) do(f *File, round int) error {
	switch {
	case e.sync:
		return f.Sync()
	case e.truncate:
		size := int64(e.off)
		return f.SetStat(vfs.Change{Size: &size})
	}
	_, err := f.WriteAt(pattern(round, e.length), int64(e.off))
	return err
}

const seg = segmentSize

// scripts are edits of a file that starts with three segments and a half.
var scripts = map[string][]edit{
	"one segment in place":    {{off: 10, length: 100}},
	"all in place":            {{off: 0, length: 3*seg + 7}},
	"over a border":           {{off: seg - 5, length: 10}, {off: 2*seg - 100, length: seg + 200}},
	"append":                  {{off: 3*seg + seg/2, length: 2 * seg}},
	"append a little":         {{off: 3*seg + seg/2, length: 10}},
	"append up to a border":   {{off: 3*seg + seg/2, length: seg / 2}},
	"write beyond a gap":      {{off: 6*seg + 100, length: 50}},
	"shorten in a segment":    {{off: 3*seg + 5, truncate: true}},
	"shorten to a border":     {{off: 2 * seg, truncate: true}},
	"shorten to nothing":      {{off: 0, truncate: true}},
	"shorten and grow":        {{off: seg + 9, truncate: true}, {off: 4*seg + 1, truncate: true}},
	"shorten and append":      {{off: seg + 9, truncate: true}, {off: seg + 9, length: 3 * seg}, {off: 5, length: 10}},
	"sync between":            {{off: 7, length: 10}, {sync: true}, {off: 8, length: 10}, {off: 5 * seg, length: 10}, {sync: true}, {off: 3, length: 3 * seg}},
	"the same again":          {{off: 7, length: 10}, {off: 2 * seg, length: 5}, {off: seg, length: 5}, {off: 9, length: 10}, {off: 2 * seg, length: 5}, {off: seg, length: 5}},
	"replace by other length": {{off: 0, truncate: true}, {off: 0, length: seg + 1}, {sync: true}, {off: 0, truncate: true}, {off: 0, length: 9}},
}

func TestOverwritingInPlaceSurvivesACrashAtAnyPoint(t *testing.T) {
	points := 0
	for name, script := range scripts {
		for _, powerCut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/power cut %v", name, powerCut), func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(1, 2))
				start := newMemDisk(rnd)
				content := pattern(0, 3*seg+seg/2)
				path := memPath(t, "/dir/file")
				v, err := newVolume(start, quiet, testKey)
				must(t, err)
				f, err := openMem(v, start, path, vfs.Write|vfs.Create)
				must(t, err)
				_, err = f.WriteAt(content, 0)
				must(t, errors.Join(err, f.Close()))
				for k := 0; ; k++ {
					points++
					if !crashAt(t, start.settle(), path, script, content, k, powerCut) {
						break
					}
				}
			})
		}
	}
	t.Logf("%d crash points", points)
	if points < 500 {
		t.Errorf("only %d crash points", points)
	}
}

// crashAt runs the script with a crash at change k and says whether there was one.
func crashAt(t *testing.T, d *memDisk, path vfs.Path, script []edit, content []byte, k int, powerCut bool) bool {
	t.Helper()
	v, err := newVolume(d, quiet, testKey)
	must(t, err)
	f, err := openMem(v, d, path, vfs.Read|vfs.Write)
	must(t, err)
	d.left = k
	states := [][]byte{content} // that may be seen after a crash
	for i, e := range script {
		between, after := e.model(content, i+1)
		states = append(states, between, after)
		content = after
		if err := e.do(f, i+1); err != nil {
			if !errors.Is(err, errCrash) {
				t.Fatalf("%v: %v", e, err)
			}
			break
		}
		if e.sync {
			states = [][]byte{after}
		}
	}
	if !d.crashed {
		if err := f.Close(); err == nil {
			states = [][]byte{content}
		}
	}
	after := d.restart(powerCut)
	// The machine may crash once more while it recovers.
	again := after.settle()
	again.left = d.rnd.IntN(8)
	_, _ = newVolume(again, quiet, testKey)
	for _, disk := range []*memDisk{after, again.restart(powerCut)} {
		got := recovered(t, disk, path, k)
		if why := allowed(got, states); why != "" {
			t.Fatalf("crash at change %d: %s", k, why)
		}
	}
	return d.crashed
}

func recovered(t *testing.T, d *memDisk, path vfs.Path, k int) []byte {
	t.Helper()
	v, err := newVolume(d, quiet, testKey)
	must(t, err)
	f, err := openMem(v, d, path, vfs.Read)
	if err != nil {
		t.Fatalf("crash at change %d: the file cannot be opened: %v", k, err)
	}
	got, err := readAll(f)
	if err != nil {
		t.Fatalf("crash at change %d: the file cannot be read: %v", k, err)
	}
	must(t, f.Close())
	if left, _ := d.list(v.journals()); len(left) > 0 {
		t.Fatalf("crash at change %d: a journal is left", k)
	}
	return got
}

// allowed says why content is not what a crash may leave: each segment as one of the
// states has it, and no shorter than all of them.
func allowed(got []byte, states [][]byte) string {
	shortest := len(states[0])
	for _, s := range states {
		shortest = min(shortest, len(s))
	}
	if len(got) < shortest {
		return fmt.Sprintf("%d bytes are left, of at least %d", len(got), shortest)
	}
	for at := 0; at < len(got); at += seg {
		one := got[at:min(at+seg, len(got))]
		fits := slices.ContainsFunc(states, func(s []byte) bool {
			return at < len(s) && bytes.Equal(one, s[at:min(at+seg, len(s))])
		})
		if !fits {
			return fmt.Sprintf("segment %d of %d bytes is as in none of %d states", at/seg, len(got), len(states))
		}
	}
	return ""
}

func TestAnUploadThatACrashCutIsShortenedToWhatCanBeRead(t *testing.T) {
	for _, powerCut := range []bool{false, true} {
		for k := range 40 {
			d := newMemDisk(rand.New(rand.NewPCG(3, uint64(k))))
			path := memPath(t, "/file")
			v, err := newVolume(d, quiet, testKey)
			must(t, err)
			d.left = k
			content := pattern(1, 20*seg+100)
			f, err := openMem(v, d, path, vfs.Write|vfs.Create)
			if err == nil {
				for at := 0; at < len(content) && err == nil; at += 40_000 {
					_, err = f.WriteAt(content[at:min(at+40_000, len(content))], int64(at))
				}
			}
			after := d.restart(powerCut)
			if _, ok := after.names[path]; !ok {
				continue
			}
			v, err = newVolume(after, quiet, testKey)
			must(t, err)
			if _, err := openMem(v, after, path, vfs.Read); !errors.Is(err, vfs.ErrIncomplete) && !powerCut {
				t.Fatalf("reading a cut upload: %v", err)
			}
			f, err = openMemFor(v, after, path, vfs.Read|vfs.Write, powerCut)
			if powerCut && errors.Is(err, vfs.ErrPlainFile) {
				continue // not even the header was written
			}
			must(t, err)
			have := f.node.size
			_, err = f.WriteAt(content[have:], have)
			must(t, errors.Join(err, f.Close()))
			f, err = openMem(v, after, path, vfs.Read)
			must(t, err)
			got, err := readAll(f)
			must(t, errors.Join(err, f.Close()))
			if !bytes.Equal(got, content) {
				t.Fatalf("crash at change %d, resumed at %d: the content differs", k, have)
			}
		}
	}
}
