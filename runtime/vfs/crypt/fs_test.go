package crypt_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/crypt"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/vfstest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) crypt.Key {
	t.Helper()
	k, err := crypt.NewKey()
	must(t, err)
	return k
}

func open(t testing.TB, dir string, keys ...crypt.Key) *crypt.FS {
	t.Helper()
	root, err := disk.Open(dir, disk.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, root.Close()) })
	v, err := crypt.NewVolume(root, slog.New(slog.DiscardHandler), keys...)
	must(t, err)
	return v.Tree(root, vfs.Root)
}

func TestRandomWorkGivesWhatAModelGives(t *testing.T) {
	for seed := range uint64(2) {
		vfstest.Random(t, open(t, t.TempDir(), newKey(t)), seed, 400)
	}
}

func TestNothingOfTheContentIsOnTheDiskAndSizesArePlain(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, newKey(t))
	for _, size := range []int{0, 1, 1000, 65535, 65536, 65537, 131072, 500_000} {
		content := bytes.Repeat([]byte("attack at dawn. "), size/16+1)[:size]
		vfstest.Put(t, f, "/file", content)
		if got := vfstest.Get(t, f, "/file"); !bytes.Equal(got, content) {
			t.Errorf("%d bytes read back as %d others", size, len(got))
		}
		raw, err := os.ReadFile(filepath.Join(dir, "file"))
		must(t, err)
		if bytes.Contains(raw, []byte("dawn")) {
			t.Error("content lies on the disk in plain")
		}
		for how, info := range map[string]vfs.Info{"stat": stat(t, f), "listing": vfstest.Names(t, f, "/")["file"]} {
			if info.Size != int64(size) {
				t.Errorf("%s of %d bytes says %d", how, size, info.Size)
			}
		}
	}
}

func stat(t *testing.T, f vfs.FS) vfs.Info {
	t.Helper()
	info, err := f.Stat(vfstest.Path(t, "/file"))
	must(t, err)
	return info
}

func TestChangesPastTheServerAreNoticedAndNamed(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 3*65536/16)
	content = append(content, "the end"...)
	const sealed = 65536 + 28
	for name, c := range map[string]struct {
		change func(raw []byte) []byte
		want   error
	}{
		"a bit of the content":         {flip(128 + 50), vfs.ErrDamaged},
		"a bit of the header":          {flip(40), vfs.ErrDamaged},
		"a bit of the wrapped key":     {flip(100), vfs.ErrDamaged},
		"cut at a segment's border":    {cut(128 + 2*sealed), vfs.ErrIncomplete},
		"cut in the middle":            {cut(128 + 2*sealed + 1000), vfs.ErrIncomplete},
		"cut by one byte":              {func(raw []byte) []byte { return raw[:len(raw)-1] }, vfs.ErrIncomplete},
		"cut in the header":            {cut(60), vfs.ErrIncomplete},
		"cut behind the header":        {cut(128), vfs.ErrIncomplete},
		"cut to nothing":               {cut(0), vfs.ErrIncomplete},
		"two segments exchanged":       {swap(128, 128+sealed, sealed), vfs.ErrDamaged},
		"something appended":           {func(raw []byte) []byte { return append(raw, 1, 2, 3) }, vfs.ErrIncomplete},
		"replaced by a plain file":     {func([]byte) []byte { return []byte("plain text") }, vfs.ErrPlainFile},
		"replaced by a long plain one": {func([]byte) []byte { return bytes.Repeat([]byte{0}, 1<<20) }, vfs.ErrPlainFile},
		"another key's name":           {flip(17), vfs.ErrWrongKey},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := open(t, dir, newKey(t))
			vfstest.Put(t, f, "/file", content)
			onDisk := filepath.Join(dir, "file")
			raw, err := os.ReadFile(onDisk)
			must(t, err)
			must(t, os.WriteFile(onDisk, c.change(raw), 0o600))
			file, err := f.Open(vfstest.Path(t, "/file"), vfs.Read, 0)
			if err == nil {
				_, err = file.ReadAt(make([]byte, len(content)), 0)
				must(t, file.Close())
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%v; want %v", err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), "/file") {
				t.Errorf("the message does not name the file: %v", err)
			}
			vfstest.Put(t, f, "/file", []byte("replaced"))
			if got := vfstest.Get(t, f, "/file"); string(got) != "replaced" {
				t.Errorf("the file cannot be replaced: %q", got)
			}
		})
	}
}

func flip(at int) func([]byte) []byte {
	return func(raw []byte) []byte {
		raw[at] ^= 4
		return raw
	}
}

func cut(at int) func([]byte) []byte {
	return func(raw []byte) []byte { return raw[:at] }
}

func swap(a, b, length int) func([]byte) []byte {
	return func(raw []byte) []byte {
		one := bytes.Clone(raw[a : a+length])
		copy(raw[a:], raw[b:b+length])
		copy(raw[b:], one)
		return raw
	}
}

func TestASegmentOfAnotherFileIsNoticed(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, newKey(t))
	content := bytes.Repeat([]byte("x"), 100_000)
	vfstest.Put(t, f, "/a", content)
	vfstest.Put(t, f, "/b", content)
	a, err := os.ReadFile(filepath.Join(dir, "a"))
	must(t, err)
	b, err := os.ReadFile(filepath.Join(dir, "b"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "a"), append(a[:128:128], b[128:]...), 0o600))
	if _, err := f.Open(vfstest.Path(t, "/a"), vfs.Read, 0); err == nil {
		t.Error("content of another file was taken")
	}
}

func TestFilesOfAnOlderKeyAreStillReadAndNewOnesGetTheNew(t *testing.T) {
	dir := t.TempDir()
	older, newer := newKey(t), newKey(t)
	vfstest.Put(t, open(t, dir, older), "/old", []byte("old"))
	f := open(t, dir, newer, older)
	vfstest.Put(t, f, "/new", []byte("new"))
	if got := vfstest.Get(t, f, "/old"); string(got) != "old" {
		t.Errorf("read %q", got)
	}
	if _, err := open(t, dir, older).Open(vfstest.Path(t, "/new"), vfs.Read, 0); !errors.Is(err, vfs.ErrWrongKey) {
		t.Errorf("the old key alone: %v", err)
	}
}

func TestAnUploadThatIsResumedWithoutAppendIsWhole(t *testing.T) {
	f := open(t, t.TempDir(), newKey(t))
	content := bytes.Repeat([]byte("resume me. "), 50_000)
	vfstest.Put(t, f, "/file", content[:123_456])
	file, err := f.Open(vfstest.Path(t, "/file"), vfs.Write, 0)
	must(t, err)
	_, err = file.WriteAt(content[123_456:], 123_456)
	must(t, errors.Join(err, file.Close()))
	if !bytes.Equal(vfstest.Get(t, f, "/file"), content) {
		t.Error("the resumed file differs")
	}
}

func TestTimesSetBeforeCloseAreKept(t *testing.T) {
	f := open(t, t.TempDir(), newKey(t))
	vfstest.Put(t, f, "/file", []byte("old"))
	when := time.Unix(1_234_567_890, 0)
	file, err := f.Open(vfstest.Path(t, "/file"), vfs.Write, 0)
	must(t, err)
	_, err = file.WriteAt(make([]byte, 100_000), 0)
	must(t, err)
	must(t, f.SetStat(vfstest.Path(t, "/file"), vfs.Change{ModTime: &when}))
	must(t, file.Close())
	if info := stat(t, f); !info.ModTime.Equal(when) || info.Size != 100_000 {
		t.Errorf("%v, %d bytes", info.ModTime, info.Size)
	}
}

func TestAnOffsetOfExabytesIsRefused(t *testing.T) {
	f := open(t, t.TempDir(), newKey(t))
	vfstest.Put(t, f, "/file", nil)
	file, err := f.Open(vfstest.Path(t, "/file"), vfs.Write, 0)
	must(t, err)
	defer file.Close()
	for _, off := range []int64{1 << 62, 1<<63 - 1, 2 << 30, -1} {
		if _, err := file.WriteAt([]byte("x"), off); !errors.Is(err, vfs.ErrTooLarge) {
			t.Errorf("write at %d: %v", off, err)
		}
		if err := file.SetStat(vfs.Change{Size: &off}); !errors.Is(err, vfs.ErrTooLarge) {
			t.Errorf("truncate to %d: %v", off, err)
		}
	}
}

func TestManyAtOnceWriteOneFile(t *testing.T) {
	f := open(t, t.TempDir(), newKey(t))
	vfstest.Put(t, f, "/file", nil)
	const writers, piece = 8, 50_000
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			file, err := f.Open(vfstest.Path(t, "/file"), vfs.Read|vfs.Write, 0)
			if err != nil {
				t.Error(err)
				return
			}
			data := bytes.Repeat([]byte{byte(w + 1)}, 10_000)
			for at := 0; at < piece; at += len(data) {
				if _, err := file.WriteAt(data, int64(w*piece+at)); err != nil {
					t.Error(err)
				}
				if _, err := file.ReadAt(make([]byte, 10_000), int64(w*piece+at)); err != nil {
					t.Error(err)
				}
			}
			if err := file.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got := vfstest.Get(t, f, "/file")
	for w := range writers {
		if want := bytes.Repeat([]byte{byte(w + 1)}, piece); !bytes.Equal(got[w*piece:(w+1)*piece], want) {
			t.Errorf("the piece of writer %d differs", w)
		}
	}
}

func TestAFileThatIsOpenMovesWithItsNameAndWithItsFolder(t *testing.T) {
	dir := t.TempDir()
	key := newKey(t)
	f := open(t, dir, key)
	must(t, f.Mkdir(vfstest.Path(t, "/a"), 0))
	vfstest.Put(t, f, "/a/file", bytes.Repeat([]byte("x"), 200_000))
	file, err := f.Open(vfstest.Path(t, "/a/file"), vfs.Write, 0)
	must(t, err)
	_, err = file.WriteAt([]byte("first"), 0)
	must(t, err)
	must(t, f.Rename(vfstest.Path(t, "/a"), vfstest.Path(t, "/b"), false))
	_, err = file.WriteAt([]byte("second"), 70_000)
	must(t, err)
	if info, err := f.Stat(vfstest.Path(t, "/b/file")); err != nil || info.Size != 200_000 {
		t.Errorf("stat of the moved file: %v, %v", info.Size, err)
	}
	must(t, file.Close())
	got := vfstest.Get(t, open(t, dir, key), "/b/file")
	if !bytes.HasPrefix(got, []byte("firstx")) || !bytes.HasPrefix(got[70_000:], []byte("secondx")) {
		t.Error("writes before or after the move are lost")
	}
}
