package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestUnpackWritesWhatTheManifestStates(t *testing.T) {
	for _, only := range []bool{false, true} {
		b := makeBundle(t, release())
		b.PayloadDigestOnly = only
		dst := newMemory()
		var last, total int64
		err := b.Unpack(t.Context(), dst, func(done, of int64) {
			if done < last {
				t.Errorf("progress went back from %d to %d", last, done)
			}
			last, total = done, of
		})
		if err != nil {
			t.Fatal(err)
		}
		wantContents(t, dst, release())
		if want := b.Manifest.UnpackedSize(); last != want || total != want {
			t.Errorf("last progress is %d of %d, want %d", last, total, want)
		}
	}
}

func wantContents(t *testing.T, got *memory, want []content) {
	t.Helper()
	if len(got.files) != len(want) {
		t.Errorf("%d files were made, want %d", len(got.files), len(want))
	}
	for _, c := range want {
		f := got.files[c.path]
		if f == nil {
			t.Errorf("%s was not made", c.path)
			continue
		}
		if !bytes.Equal(f.data.Bytes(), c.data) || f.size != int64(len(c.data)) {
			t.Errorf("%s has other bytes", c.path)
		}
		if f.mode != (File{Mode: c.mode}).Perm() {
			t.Errorf("%s has mode %v, want %s", c.path, f.mode, c.mode)
		}
		if f.closed != 1 {
			t.Errorf("%s was closed %d times", c.path, f.closed)
		}
	}
	for dir, mode := range got.dirs {
		if mode != dirMode {
			t.Errorf("folder %s has mode %v", dir, mode)
		}
	}
}

func TestUnpackMakesTheSameCallsEveryTime(t *testing.T) {
	b := makeBundle(t, release())
	var first []string
	for range 5 {
		dst := newMemory()
		if err := b.Unpack(t.Context(), dst, nil); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = dst.calls
		}
		if got := strings.Join(dst.calls, "\n"); got != strings.Join(first, "\n") {
			t.Fatalf("calls differ:\n%s\nfirst:\n%s", got, strings.Join(first, "\n"))
		}
	}
}

func TestUnpackTakesEntriesForFoldersOfItsFiles(t *testing.T) {
	archive := pack(t, release(), func(w *tar.Writer) {
		put(t, w, &tar.Header{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755}, nil)
	})
	dst := newMemory()
	if err := unpackTar(t.Context(), bytes.NewReader(archive), filesOf(release()), true, dst, nil, nil); err != nil {
		t.Fatal(err)
	}
	wantContents(t, dst, release())
}

// hostile are entries that follow a good release.
var hostile = []struct {
	name   string
	header tar.Header
	reason string
}{
	{"an absolute path", tar.Header{Name: "/etc/passwd"}, "is absolute"},
	{"an absolute Windows path", tar.Header{Name: `\Windows\x`}, "is absolute"},
	{"a climbing path", tar.Header{Name: "../x"}, "climbs out"},
	{"a path that climbs inside", tar.Header{Name: "bin/../../x"}, "climbs out"},
	{"a path that climbs with backslashes", tar.Header{Name: `bin\..\x`}, "climbs out"},
	{"a climbing folder", tar.Header{Typeflag: tar.TypeDir, Name: "../"}, "climbs out"},
	{"an absolute folder", tar.Header{Typeflag: tar.TypeDir, Name: "/tmp/"}, "is absolute"},
	{"an unknown folder", tar.Header{Typeflag: tar.TypeDir, Name: "lib/"}, "not in the manifest"},
	{"a symbolic link", tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/x", Linkname: "lmu"}, "a symbolic link"},
	{"a symbolic link in place of a file", tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/lmu", Linkname: "/etc"}, "a symbolic link"},
	{"a hard link", tar.Header{Typeflag: tar.TypeLink, Name: "bin/x", Linkname: "bin/lmu"}, "a hard link"},
	{"a character device", tar.Header{Typeflag: tar.TypeChar, Name: "bin/x", Devmajor: 1, Devminor: 3}, "a device"},
	{"a block device", tar.Header{Typeflag: tar.TypeBlock, Name: "bin/x", Devmajor: 8}, "a device"},
	{"a named pipe", tar.Header{Typeflag: tar.TypeFifo, Name: "bin/x"}, "a named pipe"},
	{"an extra file", tar.Header{Name: "bin/extra", Mode: 0o755}, "not in the manifest"},
	{"a name in other case", tar.Header{Name: "BIN/lmu", Mode: 0o755}, "not in the manifest"},
	{"a name with a dot before", tar.Header{Name: "./bin/lmu", Mode: 0o755}, "not in the manifest"},
	{"an empty name", tar.Header{Name: "", Mode: 0o755}, "not in the manifest"},
	{"a file twice", tar.Header{Name: "EMPTY", Mode: 0o644}, "twice"},
}

func TestUnpackRefusesHostileEntries(t *testing.T) {
	for _, c := range hostile {
		t.Run("refuses "+c.name, func(t *testing.T) {
			archive := pack(t, release(), func(w *tar.Writer) {
				header := c.header
				if header.Typeflag == 0 {
					header.Typeflag = tar.TypeReg
				}
				put(t, w, &header, nil)
			})
			refused(t, release(), archive, c.reason)
		})
	}
}

// refused unpacks a tar stream, compressed and with the right digest, so that
// nothing but the entries themselves can give it away.
func refused(t *testing.T, stated []content, archive []byte, reason string) {
	t.Helper()
	payload := compress(t, archive)
	b := openWritten(t, manifestOf(stated, payload), payload)
	dst := newMemory()
	err := b.Unpack(t.Context(), dst, nil)
	if !errors.Is(err, ErrDamaged) {
		t.Fatalf("error is %v, want ErrDamaged", err)
	}
	if !strings.Contains(err.Error(), reason) {
		t.Errorf("error is %q, want %q in it", err, reason)
	}
	if dst.written > b.Manifest.UnpackedSize() {
		t.Errorf("%d bytes were written, the manifest allows %d", dst.written, b.Manifest.UnpackedSize())
	}
	for name, f := range dst.files {
		if f.closed != 1 {
			t.Errorf("%s was closed %d times", name, f.closed)
		}
	}
}

func TestUnpackRefusesFilesThatDifferFromTheManifest(t *testing.T) {
	other := func(change func(c []content) []content) []byte {
		return pack(t, change(release()), nil)
	}
	for _, c := range []struct {
		name    string
		archive []byte
		reason  string
	}{
		{"a missing file", other(func(c []content) []content { return c[1:] }), `"bin/ss-server" of the manifest is missing`},
		{"no entries at all", other(func([]content) []content { return nil }), "is missing"},
		{"a longer file", other(func(c []content) []content { c[1].data = []byte("#!lmuu"); return c }), "has 6 bytes, the manifest says 5"},
		{"a shorter file", other(func(c []content) []content { c[1].data = nil; return c }), "has 0 bytes"},
		{"other bytes", other(func(c []content) []content { c[1].data = []byte("#!lmx"); return c }), "SHA-256 of bin/lmu"},
		{"another mode", other(func(c []content) []content { c[1].mode = "0777"; return c }), "has mode 0777"},
		{"a set-uid file", other(func(c []content) []content { c[1].mode = "4755"; return c }), "has mode 4755"},
		{"bytes after the end", append(other(func(c []content) []content { return c }), "more"...), "bytes follow"},
		{"too many zeros after the end", append(other(func(c []content) []content { return c }), make([]byte, 1<<20)...), "larger than its manifest"},
		{"an endless comment", commentBomb(t), "larger than its manifest"},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) { refused(t, release(), c.archive, c.reason) })
	}
}

// commentBomb is a good release behind many extended headers: entries that no
// reader ever shows.
func commentBomb(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for range 100 {
		put(t, w, &tar.Header{
			Typeflag:   tar.TypeXGlobalHeader,
			PAXRecords: map[string]string{"comment": strings.Repeat("x", 10_000)},
		}, nil)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return append(buf.Bytes(), pack(t, release(), nil)...)
}

func TestUnpackRefusesSparseFiles(t *testing.T) {
	// archive/tar writes none; the records make a reader take the file for one.
	header := tar.Header{Typeflag: tar.TypeReg, PAXRecords: map[string]string{"GNU.sparse.major": "1"}}
	if got := kind(&header); got != tar.TypeGNUSparse {
		t.Fatalf("kind is %q", got)
	}
	c := newContents(filesOf(release()), nil)
	err := c.take(entry{name: "bin/lmu", kind: tar.TypeGNUSparse, mode: 0o755, size: 5}, nil)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "a sparse file") {
		t.Fatal(err)
	}
}

func TestUnpackStopsABombEarly(t *testing.T) {
	stated := []content{{"bin/ss-server", "0755", []byte("small")}}
	bomb := []content{{"bin/ss-server", "0755", make([]byte, 64<<20)}}
	refused(t, stated, pack(t, bomb, nil), "has 67108864 bytes")

	// The same without a header that tells.
	var read countingReader
	read.from = io.MultiReader(bytes.NewReader(pack(t, stated, nil)), io.LimitReader(zeros{}, 1<<40))
	err := unpackTar(t.Context(), &read, filesOf(stated), true, newMemory(), nil, nil)
	if !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	if limit := streamLimit(filesOf(stated), []string{"bin"}); read.n > limit {
		t.Errorf("%d bytes were read, want at most %d", read.n, limit)
	}
}

func TestUnpackRefusesAHugeWindow(t *testing.T) {
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf, zstd.WithWindowSize(zstd.MaxWindowSize), zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(pack(t, release(), nil)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Flush(), w.Close()); err != nil {
		t.Fatal(err)
	}
	b := openWritten(t, manifestOf(release(), buf.Bytes()), buf.Bytes())
	if err := b.Unpack(t.Context(), newMemory(), nil); !errors.Is(err, ErrDamaged) {
		t.Fatalf("error is %v, want ErrDamaged", err)
	}
}

func TestUnpackFindsDamageAtAnyByte(t *testing.T) {
	payload := compress(t, pack(t, release(), nil))
	m := manifestOf(release(), payload)
	random := rand.New(rand.NewPCG(7, 0))
	dir := t.TempDir()
	for range 100 {
		at, bit := random.IntN(len(payload)), byte(1)<<random.IntN(8)
		broken := bytes.Clone(payload)
		broken[at] ^= bit
		writeBundle(t, dir, m, broken)
		b, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, b.PayloadDigestOnly = range []bool{false, true} {
			if err := b.Unpack(t.Context(), newMemory(), nil); !errors.Is(err, ErrDamaged) {
				t.Fatalf("bit %08b of byte %d flipped: error is %v, want ErrDamaged", bit, at, err)
			}
		}
		if err := b.Verify(t.Context(), nil); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %08b of byte %d flipped: Verify says %v, want ErrDamaged", bit, at, err)
		}
	}
}

func TestUnpackFindsAnArchiveCutAtAnyBlock(t *testing.T) {
	contents := release()
	contents[0].data = contents[0].data[:20_000] // about fifty blocks are enough
	archive := pack(t, contents, nil)
	// Without the two empty blocks at its end tar still reads a file to its end.
	for cut := 0; cut < len(archive)-2*tarBlock; cut += tarBlock {
		err := unpackTar(t.Context(), bytes.NewReader(archive[:cut]), filesOf(contents), true, newMemory(), nil, nil)
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d of %d: error is %v, want ErrDamaged", cut, len(archive), err)
		}
	}
}

func TestUnpackFindsAPayloadCutAnywhere(t *testing.T) {
	payload := compress(t, pack(t, release(), nil))
	m := manifestOf(release(), payload)
	for cut := 0; cut < len(payload); cut += max(1, len(payload)/100) {
		// As told by its manifest, and as it happens while somebody reads.
		b := openWritten(t, manifestOf(release(), append(payload[:cut:cut], 0)), append(payload[:cut:cut], 0))
		if err := b.Unpack(t.Context(), newMemory(), nil); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: error is %v, want ErrDamaged", cut, err)
		}
		b = openWritten(t, m, payload)
		if err := os.Truncate(b.PayloadPath(), int64(cut)); err != nil {
			t.Fatal(err)
		}
		if err := b.Unpack(t.Context(), newMemory(), nil); !errors.Is(err, ErrDamaged) {
			t.Fatalf("truncated to %d: error is %v, want ErrDamaged", cut, err)
		}
	}
}

func TestUnpackReportsTheTargetsOwnErrors(t *testing.T) {
	for name, dst := range map[string]*memory{
		"of creating": {failCreate: syscall.EROFS},
		"of writing":  {failWrite: syscall.ENOSPC},
		"of closing":  {failClose: syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			fresh := newMemory()
			fresh.failCreate, fresh.failWrite, fresh.failClose = dst.failCreate, dst.failWrite, dst.failClose
			err := makeBundle(t, release()).Unpack(t.Context(), fresh, nil)
			want := errors.Join(dst.failCreate, dst.failWrite, dst.failClose)
			var number syscall.Errno
			if !errors.As(err, &number) || !errors.Is(want, number) {
				t.Errorf("error is %v, want %v in it", err, want)
			}
			if errors.Is(err, ErrDamaged) {
				t.Errorf("error %v blames the package", err)
			}
		})
	}
}

func TestUnpackStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := makeBundle(t, release()).Unpack(ctx, newMemory(), func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrDamaged) {
		t.Fatalf("error is %v, want context.Canceled alone", err)
	}
}

func TestUnpackReportsAMediumThatFails(t *testing.T) {
	broken := errors.New("input/output error")
	s := newSource(t.Context(), io.MultiReader(strings.NewReader("abc"), failing{broken}), Blob{Size: 10}, "payload")
	defer s.stop()
	_, err := io.ReadAll(s)
	if !errors.Is(err, broken) || errors.Is(err, ErrDamaged) {
		t.Fatalf("error is %v, want that of the medium", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type countingReader struct {
	from io.Reader
	n    int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.n += int64(n)
	return n, err
}
