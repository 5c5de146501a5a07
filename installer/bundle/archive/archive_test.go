package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ss-setup/installer/bundle"
)

type entry struct {
	name, text string
	kind       byte
}

var whole = []entry{
	{"p/manifest.json", "{}", tar.TypeReg},
	{"p/payload.tar.zst", "payload", tar.TypeReg},
	{"p/ss-setup", "setup", tar.TypeReg},
	{"p/metadata/1.root.json", "root", tar.TypeReg},
	{"p/metadata/timestamp.json", "time", tar.TypeReg},
}

func tarGz(t testing.TB, entries []entry) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o777}
		if e.kind == tar.TypeReg {
			h.Size = int64(len(e.text))
		} else {
			h.Linkname = e.text
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if e.kind == tar.TypeReg {
			if _, err := w.Write([]byte(e.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(t testing.TB, entries []entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(0o644)
		if e.kind == tar.TypeSymlink {
			h.SetMode(os.ModeSymlink | 0o777)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unpack(t *testing.T, name string, content []byte) (string, error) {
	t.Helper()
	file, dir := filepath.Join(t.TempDir(), name), t.TempDir()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, Unpack(t.Context(), file, dir)
}

func TestAPackageComesOutAsItWas(t *testing.T) {
	flat := slices.Clone(whole)
	for i := range flat {
		flat[i].name = "./" + strings.TrimPrefix(flat[i].name, "p/")
	}
	for name, content := range map[string][]byte{"nested.tar.gz": tarGz(t, whole), "flat.tgz": tarGz(t, flat), "nested.zip": zipped(t, whole)} {
		dir, err := unpack(t, name, content)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, e := range whole {
			got, err := os.ReadFile(filepath.Join(dir, strings.TrimPrefix(e.name, "p/")))
			if err != nil || string(got) != e.text {
				t.Errorf("%s: %s is %q, %v", name, e.name, got, err)
			}
		}
		if info, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: the manifest has mode %v", name, info.Mode())
		}
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	for name, extra := range map[string]entry{
		"absolute":         {"/etc/passwd", "x", tar.TypeReg},
		"climbing":         {"p/../../x", "x", tar.TypeReg},
		"climbing at once": {"../manifest.json", "x", tar.TypeReg},
		"with backslashes": {`p\..\x`, "x", tar.TypeReg},
		"with a stranger":  {"p/run-me.sh", "x", tar.TypeReg},
		"in two folders":   {"q/ss-setup.exe", "x", tar.TypeReg},
		"deep":             {"p/q/ss-setup", "x", tar.TypeReg},
		"twice":            {"p/ss-setup", "y", tar.TypeReg},
		"with a link":      {"p/metadata/2.root.json", "/etc/shadow", tar.TypeSymlink},
		"odd metadata":     {"p/metadata/evil.json", "x", tar.TypeReg},
	} {
		for _, pack := range []struct {
			file    string
			content []byte
		}{{"x.tar.gz", tarGz(t, append(slices.Clone(whole), extra))}, {"x.zip", zipped(t, append(slices.Clone(whole), extra))}} {
			dir, err := unpack(t, pack.file, pack.content)
			if !errors.Is(err, bundle.ErrDamaged) {
				t.Errorf("%s, %s: error is %v", name, pack.file, err)
			}
			for _, p := range []string{"../x", "run-me.sh", "q"} {
				if _, err := os.Lstat(filepath.Join(dir, p)); err == nil {
					t.Errorf("%s, %s: %s was written", name, pack.file, p)
				}
			}
		}
	}
}

func TestACutArchiveIsDamaged(t *testing.T) {
	for name, content := range map[string][]byte{"x.tar.gz": tarGz(t, whole), "x.zip": zipped(t, whole)} {
		for cut := 0; cut < len(content); cut += 7 {
			if _, err := unpack(t, name, content[:cut]); !errors.Is(err, bundle.ErrDamaged) {
				t.Errorf("%s cut at %d: error is %v", name, cut, err)
			}
		}
	}
	if _, err := unpack(t, "x.tgz", tarGz(t, whole[1:])); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("without a manifest: %v", err)
	}
}

func TestABombIsRefused(t *testing.T) {
	bomb := []entry{{"p/manifest.json", strings.Repeat("0", bundle.MaxManifestSize+1), tar.TypeReg}}
	for name, content := range map[string][]byte{"x.tar.gz": tarGz(t, bomb), "x.zip": zipped(t, bomb)} {
		if _, err := unpack(t, name, content); !errors.Is(err, bundle.ErrDamaged) || !strings.Contains(err.Error(), "larger") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestManyFilesOfMetadataFillNoDisk(t *testing.T) {
	bomb := slices.Clone(whole)
	for i := range 6 {
		bomb = append(bomb, entry{fmt.Sprintf("p/metadata/%d.targets.json", i+1), strings.Repeat(" ", 7<<20), tar.TypeReg})
	}
	for name, content := range map[string][]byte{"x.tar.gz": tarGz(t, bomb), "x.zip": zipped(t, bomb)} {
		if _, err := unpack(t, name, content); !errors.Is(err, bundle.ErrDamaged) || !strings.Contains(err.Error(), "larger") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// A list of a million files would take a gigabyte of memory before anybody could count.
func TestAZipWithALongListOfFilesIsRefusedUnread(t *testing.T) {
	var list bytes.Buffer
	entry := make([]byte, 46)
	copy(entry, "PK\x01\x02")
	const files = 1_000_000
	for range files {
		list.Write(entry)
	}
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[8:], files&0xffff)
	binary.LittleEndian.PutUint16(end[10:], files&0xffff)
	binary.LittleEndian.PutUint32(end[12:], uint32(list.Len()))
	list.Write(end)
	file, dir := filepath.Join(t.TempDir(), "x.zip"), t.TempDir()
	if err := os.WriteFile(file, list.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := Unpack(t.Context(), file, dir)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, bundle.ErrDamaged) || !strings.Contains(err.Error(), "list") {
		t.Errorf("error is %v", err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 32<<20 {
		t.Errorf("it took %d bytes of memory", got)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarGz(f, whole), false)
	f.Add(zipped(f, whole), true)
	f.Fuzz(func(t *testing.T, content []byte, isZip bool) {
		name := "x.tar.gz"
		if isZip {
			name = "x.zip"
		}
		top := t.TempDir()
		file, dir := filepath.Join(top, name), filepath.Join(top, "out")
		if err := errors.Join(os.WriteFile(file, content, 0o600), os.Mkdir(dir, 0o700)); err != nil {
			t.Fatal(err)
		}
		_ = Unpack(t.Context(), file, dir)
		entries, err := os.ReadDir(top)
		if err != nil || len(entries) != 2 {
			t.Errorf("something was written outside: %v, %v", entries, err)
		}
	})
}
