package backup

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const secretWords = "correct horse battery"

func TestWhatWasWrittenIsRestored(t *testing.T) {
	for name, opt := range map[string]WriteOptions{"plain": {}, "with a passphrase": {Passphrase: secretWords, work: 8}} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			wrote, err := Write(t.Context(), &out, header(), small(), opt)
			if err != nil {
				t.Fatal(err)
			}
			got, read, err := restore(t, out.Bytes(), ReadOptions{Passphrase: opt.Passphrase, Schema: 3})
			if err != nil || !got.equal(small()) {
				t.Fatalf("%v: %v", err, got)
			}
			want := []string{"begin romantic-lovelace", "file keyring/master-1.key", "file keyring/empty.key", "object node", "object user", "object user", "commit"}
			if !slices.Equal(got.calls, want) {
				t.Errorf("calls %q", got.calls)
			}
			if fmt.Sprint(wrote.Objects, wrote.Files, wrote.SHA256, wrote.Encrypted, wrote.Header) != fmt.Sprint(read.Objects, read.Files, read.SHA256, read.Encrypted, read.Header) || read.Total() != 3 {
				t.Errorf("wrote %+v, read %+v", wrote, read)
			}
			if Encrypted(out.Bytes()) != (opt.Passphrase != "") || bytes.Contains(out.Bytes(), []byte("backup.json")) == (opt.Passphrase != "") {
				t.Error("encrypted or not?")
			}
		})
	}
	t.Run("an empty server too", func(t *testing.T) {
		if _, s, err := restore(t, write(t, &memory{}, WriteOptions{}), ReadOptions{}); err != nil || s.Total() != 0 {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("objects of many lines become one line", func(t *testing.T) {
		got, _, err := restore(t, write(t, &memory{objects: []Object{{"node", []byte("{\n \"a\": 1\n}")}}}, WriteOptions{}), ReadOptions{})
		if err != nil || string(got.objects[0].JSON) != `{"a":1}` {
			t.Errorf("%q, %v", got.objects, err)
		}
	})
	t.Run("any program that knows zip can read it", func(t *testing.T) {
		file := write(t, small(), WriteOptions{})
		z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil || len(z.File) != 6 || !strings.HasPrefix(z.Comment, sealPrefix) {
			t.Errorf("%v, %q", err, z.Comment)
		}
	})
}

func TestEveryChangedByteIsNoticedAndRestoresNothing(t *testing.T) {
	for name, opt := range map[string]WriteOptions{"plain": {}, "with a passphrase": {Passphrase: secretWords, work: 1}} {
		file := write(t, small(), opt)
		for i := range file {
			bad := bytes.Clone(file)
			bad[i] ^= 1 << (i % 8)
			m, _, err := restore(t, bad, ReadOptions{Passphrase: secretWords})
			if err == nil || len(m.calls) != 0 {
				t.Fatalf("%s: byte %d of %d: %v, calls %q", name, i, len(file), err, m.calls)
			}
		}
	}
}

func TestEveryCutIsNoticedAndRestoresNothing(t *testing.T) {
	file := write(t, small(), WriteOptions{})
	for n := range file {
		m, _, err := restore(t, file[:n], ReadOptions{})
		if !errors.Is(err, ErrNotBackup) || len(m.calls) != 0 {
			t.Fatalf("%d of %d bytes: %v", n, len(file), err)
		}
	}
	for _, tail := range []string{"\n", "more"} {
		if _, _, err := restore(t, append(bytes.Clone(file), tail...), ReadOptions{}); !errors.Is(err, ErrNotBackup) {
			t.Errorf("with %q at the end: %v", tail, err)
		}
	}
	if _, _, err := restore(t, append([]byte("#!/bin/sh\n"), file...), ReadOptions{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("with something before it: %v", err)
	}
}

func TestPassphrases(t *testing.T) {
	file := write(t, small(), WriteOptions{Passphrase: secretWords, work: 8})
	for given, want := range map[string]string{
		"":            "the backup is encrypted; give the one it was made with, by --passphrase-file",
		"wrong words": "it is not the one that the backup was made with",
	} {
		if m, _, err := restore(t, file, ReadOptions{Passphrase: given}); !errors.Is(err, ErrPassphrase) || !strings.Contains(err.Error(), want) || len(m.calls) != 0 {
			t.Errorf("%q: %v", given, err)
		}
	}
	if _, err := Write(t.Context(), &bytes.Buffer{}, header(), small(), WriteOptions{Passphrase: "short"}); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a short one: %v", err)
	}
	t.Run("that cost too much to try are refused", func(t *testing.T) {
		costly := bytes.Replace(file, []byte(" 8\n"), []byte(" 30\n"), 1)
		if _, _, err := restore(t, costly, ReadOptions{Passphrase: secretWords}); err == nil {
			t.Error("taken")
		}
	})
}

// seal makes a whole backup of parts as a hostile program could; a manifest is made
// unless there is one.
func sealed(t testing.TB, parts ...[2]string) []byte {
	t.Helper()
	var out bytes.Buffer
	s := &sealer{to: &out, sum: sha256.New()}
	z := zip.NewWriter(s)
	m := manifest{}
	add := func(name, content string) {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		m.Parts = append(m.Parts, part{Name: name, Size: int64(len(content)), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(content))), Objects: strings.Count(content, "\n")})
	}
	own := false
	for _, p := range parts {
		own = own || p[0] == manifestPart
		add(p[0], p[1])
	}
	if !own {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		add(manifestPart, string(text))
	}
	if _, err := s.finish(z); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const goodHeader = `{"format":1,"product":"ss-server","version":"7.0.0","schema":3}`

func TestAHostileBackupIsRefusedAndRestoresNothing(t *testing.T) {
	head := [2]string{headerPart, goodHeader}
	sum := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	named := func(name, content string, size int) [2]string {
		return [2]string{manifestPart, fmt.Sprintf(`{"parts":[{"name":"backup.json","size":%d,"sha256":%q},{"name":%q,"size":%d,"sha256":%q,"objects":1}]}`,
			len(goodHeader), sum(goodHeader), name, size, sum(content))}
	}
	for name, tt := range map[string]struct {
		file []byte
		want error
		text string
	}{
		"no header":                 {sealed(t, [2]string{"objects/user.jsonl", "{}\n"}), ErrHostile, "backup.json is missing"},
		"a climbing name":           {sealed(t, head, [2]string{"files/../../etc/passwd", "x"}), ErrHostile, "a part is named"},
		"an absolute name":          {sealed(t, head, [2]string{"/etc/passwd", "x"}), ErrHostile, "a part is named"},
		"a deep name":               {sealed(t, head, [2]string{"files/a/b/c", "x"}), ErrHostile, "a part is named"},
		"a name with a backslash":   {sealed(t, head, [2]string{`files/keyring\..\x/y`, "x"}), ErrHostile, "a part is named"},
		"a hidden name":             {sealed(t, head, [2]string{"files/keyring/.x", "x"}), ErrHostile, "a part is named"},
		"a name with a stream":      {sealed(t, head, [2]string{"files/keyring/x:y", "x"}), ErrHostile, "a part is named"},
		"a folder":                  {sealed(t, head, [2]string{"files/keyring/", ""}), ErrHostile, "a part is named"},
		"a name twice":              {sealed(t, head, [2]string{"files/a/b", "x"}, [2]string{"files/a/b", "y"}), ErrHostile, "is there twice"},
		"a name twice but for case": {sealed(t, head, [2]string{"files/a/b", "x"}, [2]string{"files/a/B", "y"}), ErrHostile, "is there twice"},
		"an unknown part":           {sealed(t, head, [2]string{"readme.txt", "x"}), ErrHostile, "a part is named"},
		"a kind of odd letters":     {sealed(t, head, [2]string{"objects/Us er.jsonl", "{}\n"}), ErrHostile, "a part is named"},
		"a part not in the manifest": {
			sealed(t, head, [2]string{"files/a/b", "x"}, [2]string{manifestPart, fmt.Sprintf(`{"parts":[{"name":"backup.json","size":%d,"sha256":%q}]}`, len(goodHeader), sum(goodHeader))}),
			ErrHostile, "does not name the part files/a/b",
		},
		"a manifest of what is not there": {sealed(t, head, named("files/a/b", "x", 1)), ErrHostile, "is missing"},
		"a manifest that is no JSON":      {sealed(t, head, [2]string{manifestPart, "parts"}), ErrHostile, "manifest.json"},
		"another size in the manifest":    {sealed(t, head, [2]string{"objects/user.jsonl", "{}\n"}, named("objects/user.jsonl", "{}\n", 2)), ErrHostile, "two sizes"},
		"another hash in the manifest":    {sealed(t, head, [2]string{"objects/user.jsonl", "{}\n"}, named("objects/user.jsonl", "{ }\n", 3)), ErrDamaged, "does not fit its hash"},
		"another number of objects":       {sealed(t, head, [2]string{"objects/user.jsonl", "{}\n{}\n"}, named("objects/user.jsonl", "{}\n{}\n", 6)), ErrHostile, "it has 2 objects, the manifest says 1"},
		"a large file":                    {sealed(t, head, [2]string{"files/a/b", strings.Repeat("x", maxFile+1)}), ErrHostile, "is to have"},
		"a line without end":              {sealed(t, head, [2]string{"objects/user.jsonl", "{}"}), ErrHostile, "it has no end"},
		"a line that is too long":         {sealed(t, head, [2]string{"objects/user.jsonl", "{" + strings.Repeat(" ", maxObject) + "}\n"}), ErrHostile, "it has more than"},
		"a line that is no object":        {sealed(t, head, [2]string{"objects/user.jsonl", "{}\n[]\n"}), nil, "object 2: it is not a JSON object"},
		"a header of another product":     {sealed(t, [2]string{headerPart, `{"format":1,"product":"ss-licensed"}`}), ErrNotBackup, `"ss-licensed"`},
		"a header of format 0":            {sealed(t, [2]string{headerPart, `{"product":"ss-server"}`}), ErrHostile, "format 0"},
		"a newer format":                  {sealed(t, [2]string{headerPart, `{"format":2,"product":"ss-server","version":"8.1.0"}`}), ErrNewer, "version 8.1.0 wrote it in format 2"},
		"a newer schema":                  {sealed(t, [2]string{headerPart, `{"format":1,"product":"ss-server","version":"7.9.0","schema":9}`}), ErrNewer, "version 7.9.0 wrote it with schema 9"},
		"a zip of somebody else":          {foreignZip(t), ErrNotBackup, "of version 4, 5 or 6"},
		"an empty file":                   {nil, ErrNotBackup, "only 0 bytes"},
		"a huge directory":                {hugeDirectory(t), ErrHostile, "directory"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, err := restore(t, tt.file, ReadOptions{Schema: 3})
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || len(m.calls) != 0 {
				t.Errorf("%v, calls %q", err, m.calls)
			}
		})
	}
}

func foreignZip(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	w, err := z.Create("settings.json")
	if err == nil {
		_, err = fmt.Fprint(w, strings.Repeat("{}", 100))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// hugeDirectory has so many parts that reading their list would cost more than the rest.
func hugeDirectory(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	s := &sealer{to: &out, sum: sha256.New()}
	z := zip.NewWriter(s)
	for i := range 50_000 {
		if _, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("files/keyring/%0150d", i), Method: zip.Store}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.finish(z); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestABombCostsNoMemory(t *testing.T) {
	// 128 MiB of blanks in an eighth of a megabyte, in a manifest that says so.
	var out bytes.Buffer
	const size = 128 << 20
	s := &sealer{to: &out, sum: sha256.New()}
	z := zip.NewWriter(s)
	put := func(name string, fill func(func([]byte))) part {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		p, sum := part{Name: name}, sha256.New()
		fill(func(b []byte) {
			p.Size += int64(len(b))
			sum.Write(b)
			if _, err := w.Write(b); err != nil {
				t.Fatal(err)
			}
		})
		p.SHA256 = fmt.Sprintf("%x", sum.Sum(nil))
		return p
	}
	m := manifest{Parts: []part{
		put(headerPart, func(w func([]byte)) { w([]byte(goodHeader)) }),
		put("objects/user.jsonl", func(w func([]byte)) {
			blank := bytes.Repeat([]byte(" "), 1<<20)
			for range size >> 20 {
				w(blank)
			}
		}),
	}}
	put(manifestPart, func(w func([]byte)) {
		text, _ := json.Marshal(m)
		w(text)
	})
	if _, err := s.finish(z); err != nil {
		t.Fatal(err)
	}
	got := &memory{}
	peak := peakOf(func() {
		a, err := Open(bytes.NewReader(out.Bytes()), int64(out.Len()), ReadOptions{})
		if err == nil {
			_, err = a.Restore(t.Context(), got)
		}
		if !errors.Is(err, ErrHostile) {
			t.Errorf("got %v", err)
		}
	})
	if len(got.calls) != 0 || peak > 48<<20 {
		t.Errorf("calls %q, %d MiB", got.calls, peak>>20)
	}
}

// peakOf is by how much the heap grew at most while fn ran.
func peakOf(fn func()) uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapInuse
	var peak atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	fn()
	close(stop)
	<-done
	return max(peak.Load(), before) - before
}

// counting is a sink that keeps nothing.
type counting struct {
	nothing
	n int
}

func (c *counting) Begin(Header) error { return nil }
func (c *counting) Put(Object) error   { c.n++; return nil }
func (c *counting) Commit() error      { return nil }
func (c *counting) Abort() error       { return nil }

func TestAHundredThousandUsersTakeNoMoreMemoryThanTen(t *testing.T) {
	const users = 100_000
	path := filepath.Join(t.TempDir(), "big.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	began := time.Now()
	peak := peakOf(func() {
		if _, err := Write(t.Context(), f, header(), many{users}, WriteOptions{Passphrase: secretWords, work: 8}); err != nil {
			t.Error(err)
		}
	})
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("written in %v, %d MiB of heap, %d MiB on disk", time.Since(began), peak>>20, info.Size()>>20)
	if peak > 32<<20 {
		t.Errorf("writing took %d MiB", peak>>20)
	}
	began = time.Now()
	sink := &counting{}
	peak = peakOf(func() {
		a, err := Open(f, info.Size(), ReadOptions{Passphrase: secretWords})
		if err == nil {
			_, err = a.Restore(t.Context(), sink)
		}
		if err != nil {
			t.Error(err)
		}
	})
	t.Logf("verified and restored in %v, %d MiB of heap", time.Since(began), peak>>20)
	if sink.n != users || peak > 32<<20 {
		t.Errorf("%d users, %d MiB", sink.n, peak>>20)
	}
}

func TestASinkThatFailsIsToldToTakeEverythingBack(t *testing.T) {
	file := write(t, small(), WriteOptions{})
	for _, at := range []string{"begin romantic-lovelace", "file keyring/master-1.key", "object user", "commit"} {
		a, err := Open(bytes.NewReader(file), int64(len(file)), ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		m := &memory{failAt: at}
		if _, err := a.Restore(t.Context(), m); err == nil || !strings.Contains(err.Error(), "the sink is full") {
			t.Errorf("%s: %v", at, err)
		}
		if last := m.calls[len(m.calls)-1]; strings.HasPrefix(at, "begin") == (last == "abort") {
			t.Errorf("%s: calls %q", at, m.calls)
		}
	}
}

func TestAFileThatChangesAfterTheVerificationIsTakenBack(t *testing.T) {
	file := write(t, &memory{objects: slices.Repeat([]Object{{"user", []byte(`{"name":"anna"}`)}}, 1000)}, WriteOptions{})
	a, err := Open(bytes.NewReader(file), int64(len(file)), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m := &changing{file: file}
	if _, err := a.Restore(t.Context(), m); err == nil || m.calls[len(m.calls)-1] != "abort" {
		t.Errorf("%v, calls %q", err, m.calls[len(m.calls)-1])
	}
}

// changing damages the file when it is asked to begin.
type changing struct {
	memory
	file []byte
}

func (c *changing) Begin(h Header) error {
	at := bytes.Index(c.file, []byte("objects/user.jsonl")) + 60
	for i := range 20 {
		c.file[at+i] ^= 0xff
	}
	return c.memory.Begin(h)
}

func TestWritingFailsWithTheReason(t *testing.T) {
	for want, src := range map[string]Source{
		"the store is gone":       &memory{fail: errors.New("the store is gone")},
		"do not come one after":   &memory{objects: []Object{{"a", []byte("{}")}, {"b", []byte("{}")}, {"a", []byte("{}")}}},
		"it is not a JSON object": &memory{objects: []Object{{"a", []byte("[]")}}},
		"is no kind":              &memory{objects: []Object{{"A/..", []byte("{}")}}},
		"is no name of a file":    &memory{files: []File{{"keyring/../x", nil}}},
		"a backup takes 1048576":  &memory{files: []File{{"keyring/x", make([]byte, maxFile+1)}}},
		"a backup takes 4194304":  &memory{objects: []Object{{"a", make([]byte, maxObject+1)}}},
		"the disk is full":        small(),
		"unexpected end of JSON":  &memory{objects: []Object{{"a", []byte("{\n")}}},
	} {
		out := &fullDisk{left: 1 << 20}
		if want == "the disk is full" {
			out.left = 100
		}
		if _, err := Write(t.Context(), out, header(), src, WriteOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, _, err := restore(t, out.Bytes(), ReadOptions{}); err == nil {
			t.Errorf("%s: what was written is a backup", want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, &bytes.Buffer{}, header(), small(), WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type fullDisk struct {
	bytes.Buffer
	left int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errors.New("the disk is full")
	}
	return d.Buffer.Write(p)
}

var update = flag.Bool("update-golden", false, "write the golden backups anew: only for a new format")

// The golden backups were made by version 7.0.0. They must be read for ever.
func TestBackupsOfEarlierReleasesAreRead(t *testing.T) {
	for name, pass := range map[string]string{"format-1": "", "format-1-encrypted": secretWords} {
		path := filepath.Join("testdata", name+".base64")
		if *update {
			file := write(t, small(), WriteOptions{Passphrase: pass, work: 10})
			if err := os.WriteFile(path, []byte(wrap(base64.StdEncoding.EncodeToString(file))), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file := golden(t, path)
		got, s, err := restore(t, file, ReadOptions{Passphrase: pass})
		if err != nil || !got.equal(small()) || s.Header.Version != "7.0.0" || !s.Header.Made.Equal(made) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func wrap(s string) string {
	var out strings.Builder
	for chunk := range slices.Chunk([]byte(s), 76) {
		out.Write(append(chunk, '\n'))
	}
	return out.String()
}

func golden(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// FuzzOpen seals whatever it gets, so that the fuzzer reaches what lies behind the seal.
func FuzzOpen(f *testing.F) {
	file := golden(f, filepath.Join("testdata", "format-1.base64"))
	f.Add(file[:len(file)-sealLen])
	f.Add(golden(f, filepath.Join("testdata", "format-1-encrypted.base64")))
	hostile := sealed(f, [2]string{headerPart, goodHeader}, [2]string{"files/../x", "x"})
	f.Add(hostile[:len(hostile)-sealLen])
	f.Fuzz(func(t *testing.T, body []byte) {
		file := append(bytes.Clone(body), fmt.Sprintf("%s%x", sealPrefix, sha256.Sum256(body))...)
		for _, text := range [][]byte{body, file} {
			m, s, err := restore(t, text, ReadOptions{})
			if err != nil {
				if len(m.calls) > 0 && m.calls[len(m.calls)-1] != "abort" {
					t.Errorf("%v, calls %q", err, m.calls)
				}
				continue
			}
			if len(m.objects) != s.Total() || len(m.files) != s.Files {
				t.Errorf("%d objects, %d files, told %+v", len(m.objects), len(m.files), s)
			}
			for _, f := range m.files {
				if checkFileName(f.Name) != nil {
					t.Errorf("file %q", f.Name)
				}
			}
		}
	})
}
