package vfsdecrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// heard is what a run told.
type heard struct {
	plan  Total
	of    map[string]Outcome
	moved int64
	each  func(Outcome)
}

func (h *heard) Begin(t Total) { h.plan, h.of = t, map[string]Outcome{} }

func (h *heard) Done(o Outcome, _ Total) {
	h.of[o.Path] = o
	if h.each != nil {
		h.each(o)
	}
}

func (h *heard) Moved(n int64) { h.moved = max(h.moved, n) }

const oldProfile = "aes-256-cbc kdf=sha256 header=iv iv=file pad=pkcs7"

func keysOf(t testing.TB, text string) *Keys {
	t.Helper()
	keys, err := NewKeys(mustParse(t, text), passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func folder(t testing.TB, dir, source string, keys *Keys) *Folder {
	t.Helper()
	f, err := OpenFolder(dir, source, keys, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// decryptInto runs to the end, and returns what is in the target.
func decryptInto(t testing.TB, dir, source string, keys *Keys) (*heard, Total, error) {
	t.Helper()
	to := folder(t, dir, source, keys)
	h := &heard{}
	job := Job{Source: os.DirFS(source), Target: to, Keys: keys, Jobs: 3, Reporter: h}
	total, err := job.Run(t.Context())
	if err == nil && total.Wrong() == 0 {
		err = to.Finish()
	}
	return h, total, errors.Join(err, to.Close())
}

// contents are the files of a folder by name, with their times.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = fmt.Sprintf("%d %x", info.ModTime().Unix(), content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var longAgo = time.Date(2014, 3, 1, 12, 0, 1, 0, time.UTC)

// old makes an old VFS of the files, and what must become of it.
func old(t testing.TB, profile string, files map[string][]byte) (dir string, want map[string]string) {
	t.Helper()
	dir = lay(t, encrypted(t, mustParse(t, profile), passphrase, files))
	want = map[string]string{}
	for name, content := range files {
		if err := os.Chtimes(filepath.Join(dir, filepath.FromSlash(name)), longAgo, longAgo); err != nil {
			t.Fatal(err)
		}
		want[name] = fmt.Sprintf("%d %x", longAgo.Unix(), content)
	}
	return dir, want
}

func TestAFolderIsDecryptedWhole(t *testing.T) {
	files := archive(t)
	files["deep/er/empty.txt"] = nil
	files["large.bin"] = randomBytes(3*pieceSize + 5)
	source, want := old(t, oldProfile, files)
	if err := os.MkdirAll(filepath.Join(source, "nothing", "in it"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := contents(t, source)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	h, total, err := decryptInto(t, dir, source, keysOf(t, oldProfile))
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, dir); !maps.Equal(got, want) {
		t.Errorf("got %d files, want %d: %v", len(got), len(want), slices.Sorted(maps.Keys(got)))
	}
	if total.Of[Decrypted] != int64(len(files)) || total.Files != h.plan.Files || total.Folders != h.plan.Folders ||
		total.Bytes != h.plan.Bytes || h.moved != total.Bytes {
		t.Errorf("plan %+v, done %+v, moved %d", h.plan, total, h.moved)
	}
	if _, err := os.Stat(filepath.Join(dir, "nothing", "in it")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, stateDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the program keeps is still there: %v", err)
	}
	if h.of["scan.pdf"].Kind != "pdf" || h.of["large.bin"].Bytes != int64(len(files["large.bin"])) {
		t.Errorf("%+v", h.of)
	}
	if !maps.Equal(before, contents(t, source)) {
		t.Error("the source was changed")
	}
	if _, err := OpenFolder(dir, source, keysOf(t, oldProfile), time.Now); !errors.Is(err, ErrTaken) {
		t.Errorf("a folder that is done is begun anew: %v", err)
	}
	c := &heard{}
	job := Job{Source: os.DirFS(source), Target: Compare{os.DirFS(dir)}, Keys: keysOf(t, oldProfile), Reporter: c}
	if total, err := job.Run(t.Context()); err != nil || total.Wrong() > 0 {
		t.Errorf("it does not compare: %+v, %v", total, err)
	}
}

func TestVerifyingFindsEveryDifference(t *testing.T) {
	files := map[string][]byte{"same.txt": []byte("the same, the same"), "byte.txt": []byte("one letter"), "short.txt": []byte("cut off"), "long.txt": []byte("goes on"), "gone.txt": []byte("lost")}
	source, _ := old(t, oldProfile, files)
	files["byte.txt"][3] ^= 1
	files["short.txt"] = files["short.txt"][:3]
	files["long.txt"] = append(files["long.txt"], '!')
	delete(files, "gone.txt")
	h := &heard{}
	job := Job{Source: os.DirFS(source), Target: Compare{os.DirFS(lay(t, files))}, Keys: keysOf(t, oldProfile), Jobs: 2, Reporter: h}
	total, err := job.Run(t.Context())
	if err != nil || total.Of[Failed] != 4 {
		t.Fatalf("%+v, %v", total, err)
	}
	for name, want := range map[string]error{"byte.txt": ErrDiffers, "short.txt": ErrDiffers, "long.txt": ErrDiffers, "gone.txt": fs.ErrNotExist, "same.txt": nil} {
		if got := h.of[name].Err; !errors.Is(got, want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestWhatCannotBeDecryptedKeepsNothingElseFromIt: each is named with its reason.
func TestWhatCannotBeDecryptedKeepsNothingElseFromIt(t *testing.T) {
	files := archive(t)
	source, want := old(t, oldProfile, files)
	put := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(source, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("cut.bin", randomBytes(50))
	put("tiny.bin", []byte("x"))
	put("clear.txt", []byte("somebody put this here when nobody looked\n"))
	put("other.pdf", encrypt(t, mustParse(t, oldProfile), passphrase, randomBytes(9000)))
	if err := os.Symlink("/etc/passwd", filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	h, total, err := decryptInto(t, dir, source, keysOf(t, oldProfile))
	if err != nil {
		t.Fatal(err)
	}
	for name, status := range map[string]Status{
		"cut.bin": Failed, "tiny.bin": Failed, "clear.txt": Copied, "other.pdf": Odd, "link": Passed, "scan.pdf": Decrypted, "raw.bin": Decrypted,
	} {
		if got := h.of[name]; got.Status != status || (got.Err == nil) == (status == Failed || status == Odd || status == Passed) {
			t.Errorf("%s: %s, %v", name, got.Status, got.Err)
		}
	}
	if total.Wrong() != 3 || total.Files != int64(len(files)+5) {
		t.Errorf("%+v", total)
	}
	got := contents(t, dir)
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is another one", name)
		}
	}
	for _, name := range []string{"cut.bin", "tiny.bin", "link"} {
		if _, there := got[name]; there {
			t.Errorf("%s is there", name)
		}
	}
	if !strings.HasSuffix(got["clear.txt"], fmt.Sprintf("%x", "somebody put this here when nobody looked\n")) || got["other.pdf"] == "" {
		t.Error("what is clear or odd is not there")
	}
	// Mended, the same run takes what is left.
	put("cut.bin", encrypt(t, mustParse(t, oldProfile), passphrase, []byte("mended")))
	if err := os.Remove(filepath.Join(source, "tiny.bin")); err != nil {
		t.Fatal(err)
	}
	h, total, err = decryptInto(t, dir, source, keysOf(t, oldProfile))
	if err != nil || h.of["cut.bin"].Status != Decrypted || h.of["scan.pdf"].Status != Present || h.of["clear.txt"].Status != Present {
		t.Errorf("%+v, %v", total, err)
	}
	if odd := h.of["other.pdf"]; odd.Status != Odd || odd.Err == nil || total.Wrong() != 1 {
		t.Errorf("what was odd is %s, %v: %+v", odd.Status, odd.Err, total)
	}
}

// TestARunThatWasCutOffGoesOn wherever it was cut off.
func TestARunThatWasCutOffGoesOn(t *testing.T) {
	files := map[string][]byte{}
	for i := range 80 {
		files[fmt.Sprintf("%d/%02d.txt", i%3, i)] = []byte(strings.Repeat(fmt.Sprintf("line %d\n", i), 500))
	}
	source, want := old(t, oldProfile, files)
	keys := keysOf(t, oldProfile)
	dir := t.TempDir()
	present := int64(0)
	for cut := range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		to := folder(t, dir, source, keys)
		done := 0
		h := &heard{each: func(o Outcome) {
			if o.Status == Decrypted {
				if done++; done > cut {
					cancel()
				}
			}
		}}
		job := Job{Source: os.DirFS(source), Target: to, Keys: keys, Jobs: 2, Reporter: h}
		total, err := job.Run(ctx)
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cut %d: %v", cut, err)
		}
		if total.Of[Present] < present {
			t.Errorf("cut %d: %d were there, and %d before", cut, total.Of[Present], present)
		}
		present = total.Of[Present]
		// A kill leaves a part behind.
		if err := to.root.WriteFile(partsDir+"/9999", []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
		if p, begun, err := Begun(dir); !begun || err != nil || p.String() != keys.Profile.String() {
			t.Fatalf("it does not know how it was begun: %v", err)
		}
	}
	_, total, err := decryptInto(t, dir, source, keys)
	if err != nil || total.Of[Present] < 10 || total.Files != 80 {
		t.Fatalf("%+v, %v", total, err)
	}
	if got := contents(t, dir); !maps.Equal(got, want) {
		t.Errorf("got %v", slices.Sorted(maps.Keys(got)))
	}
}

func TestAFileOfTheSourceThatChangedIsTakenAnew(t *testing.T) {
	source, _ := old(t, oldProfile, map[string][]byte{"a.txt": []byte("first version"), "cut.bin": []byte("x")})
	if err := os.WriteFile(filepath.Join(source, "cut.bin"), []byte("cut"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, total, err := decryptInto(t, dir, source, keysOf(t, oldProfile)); err != nil || total.Of[Failed] != 1 {
		t.Fatalf("%+v, %v", total, err)
	}
	if err := os.WriteFile(filepath.Join(source, "a.txt"), encrypt(t, mustParse(t, oldProfile), passphrase, []byte("other version")), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := decryptInto(t, dir, source, keysOf(t, oldProfile)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a.txt")); err != nil || string(got) != "other version" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestATargetMustBeApartEmptyOrOfThisRun(t *testing.T) {
	source, _ := old(t, oldProfile, map[string][]byte{"a.txt": []byte("text")})
	p := mustParse(t, oldProfile)
	open := func(dir, from string, p Profile) error {
		f, err := OpenFolder(dir, from, keysOf(t, p.String()), time.Now)
		if err == nil {
			err = f.Close()
		}
		return err
	}
	inside := filepath.Join(source, "new", "folder")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(source, link); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{source, inside, filepath.Dir(source), link, filepath.Join(link, "new")} {
		if err := open(dir, source, p); err == nil || !strings.Contains(err.Error(), "one another") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	taken := lay(t, map[string][]byte{"mine.txt": nil})
	if err := open(taken, source, p); !errors.Is(err, ErrTaken) {
		t.Errorf("a folder of somebody: %v", err)
	}
	dir := t.TempDir()
	f := folder(t, dir, source, keysOf(t, oldProfile))
	if err := open(dir, source, p); !errors.Is(err, ErrBusy) {
		t.Errorf("two at once: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(dir, source, mustParse(t, "aes-256-ecb kdf=md5")); !errors.Is(err, ErrOther) {
		t.Errorf("another profile: %v", err)
	}
	if err := open(dir, t.TempDir(), p); !errors.Is(err, ErrOther) {
		t.Errorf("another source: %v", err)
	}
	if err := open(dir, source, p); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(dir, source, p); err == nil {
		t.Error("a damaged state passed")
	}
	if _, begun, err := Begun(dir); begun || err == nil {
		t.Error("a damaged state passed")
	}
	if _, begun, err := Begun(taken); begun || err != nil {
		t.Errorf("begun %v, %v", begun, err)
	}
}

// failing is a target whose disk is full from the third file on.
type failing struct {
	mu   sync.Mutex
	puts int
}

func (*failing) Has(context.Context, File, Expected) (bool, error) { return false, nil }
func (*failing) MakeFolder(context.Context, File) error            { return nil }
func (*failing) Settle() error                                     { return nil }
func (f *failing) Put(_ context.Context, _ File, open func() (io.ReadCloser, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.puts++; f.puts > 2 {
		return Stop(errors.New("no space left"))
	}
	r, err := open()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

func TestAFullDiskEndsTheRun(t *testing.T) {
	source, _ := old(t, oldProfile, archive(t))
	to := &failing{}
	job := Job{Source: os.DirFS(source), Target: to, Keys: keysOf(t, oldProfile), Reporter: &heard{}}
	total, err := job.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no space left") || total.Of[Decrypted] != 2 || to.puts > 4 {
		t.Errorf("%+v, %v after %d", total, err, to.puts)
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"format":1,"profile":"aes-256-ecb kdf=md5","source":"/srv"}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := parseState(raw); err == nil && s.Format != stateForm {
			t.Errorf("%+v", s)
		}
	})
}

// TestContentsAreReadInPieces: a file of any size takes the memory of a piece.
func TestContentsAreReadInPieces(t *testing.T) {
	keys := keysOf(t, "aes-256-ctr kdf=sha256")
	const size = 1 << 40
	content, err := keys.Open(zeros{}, size)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, content, 8<<20); n != 8<<20 || err != nil || len(content.buf) != pieceSize {
		t.Errorf("%d, %v, %d", n, err, len(content.buf))
	}
	if bytes.Equal(content.buf[:16], make([]byte, 16)) {
		t.Error("nothing was decrypted")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
