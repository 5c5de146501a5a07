package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/klauspost/compress/zstd"
)

type content struct {
	path, mode string
	data       []byte
}

// release is a small one with a folder in a folder, an empty file and one that
// needs several chunks.
func release() []content {
	big := make([]byte, chunkSize+77)
	for i := range big {
		big[i] = byte(i*i>>3 + i)
	}
	return []content{
		{"bin/ss-server", "0755", big},
		{"bin/lmu", "0755", []byte("#!lmu")},
		{"services/systemd/ss-server.service", "0644", []byte("[Unit]\n")},
		{"EMPTY", "0644", nil},
	}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func filesOf(contents []content) []File {
	var files []File
	for _, c := range contents {
		files = append(files, File{Path: c.path, Size: int64(len(c.data)), Mode: c.mode, SHA256: digest(c.data)})
	}
	return files
}

func manifestOf(contents []content, payload []byte) Manifest {
	return Manifest{
		Schema: Schema, Product: Product, Version: "7.0.0", OS: "linux", Arch: "amd64",
		Files:   filesOf(contents),
		Payload: Blob{Name: PayloadName, Size: int64(len(payload)), SHA256: digest(payload)},
		Setup:   Blob{Size: 5, SHA256: digest([]byte("setup"))},
	}
}

func regular(tb testing.TB, c content) tar.Header {
	tb.Helper()
	mode, err := strconv.ParseInt(c.mode, 8, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return tar.Header{Typeflag: tar.TypeReg, Name: c.path, Mode: mode, Size: int64(len(c.data))}
}

// pack makes a tar archive of contents; extra may write more entries.
func pack(tb testing.TB, contents []content, extra func(*tar.Writer)) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, c := range contents {
		header := regular(tb, c)
		put(tb, w, &header, c.data)
	}
	if extra != nil {
		extra(w)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func put(tb testing.TB, w *tar.Writer, header *tar.Header, data []byte) {
	tb.Helper()
	if err := w.WriteHeader(header); err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
}

func compress(tb testing.TB, data []byte) []byte {
	tb.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		tb.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// makeBundle writes a bundle into a folder of the test and opens it.
func makeBundle(tb testing.TB, contents []content) *Bundle {
	tb.Helper()
	payload := compress(tb, pack(tb, contents, nil))
	return openWritten(tb, manifestOf(contents, payload), payload)
}

func openWritten(tb testing.TB, m Manifest, payload []byte) *Bundle {
	tb.Helper()
	dir := tb.TempDir()
	writeBundle(tb, dir, m, payload)
	b, err := Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func writeBundle(tb testing.TB, dir string, m Manifest, payload []byte) {
	tb.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	writeFile(tb, filepath.Join(dir, ManifestName), raw)
	writeFile(tb, filepath.Join(dir, PayloadName), payload)
	writeFile(tb, filepath.Join(dir, SetupName), []byte("setup"))
}

func writeFile(tb testing.TB, path string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// memory is a Target that keeps everything and complains about any call that the
// contract of Target excludes.
type memory struct {
	dirs    map[string]fs.FileMode
	files   map[string]*memoryFile
	written int64
	calls   []string

	failCreate, failWrite, failClose error
}

func newMemory() *memory {
	return &memory{dirs: map[string]fs.FileMode{}, files: map[string]*memoryFile{}}
}

func (m *memory) Mkdir(name string, mode fs.FileMode) error {
	m.calls = append(m.calls, "mkdir "+name)
	if err := m.free(name); err != nil {
		return err
	}
	m.dirs[name] = mode
	return nil
}

func (m *memory) Create(name string, mode fs.FileMode, size int64) (io.WriteCloser, error) {
	m.calls = append(m.calls, "create "+name)
	if m.failCreate != nil {
		return nil, m.failCreate
	}
	if err := m.free(name); err != nil {
		return nil, err
	}
	f := &memoryFile{in: m, mode: mode, size: size}
	m.files[name] = f
	return f, nil
}

func (m *memory) free(name string) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("target was handed the path %q", name)
	}
	if _, there := m.dirs[name]; there || m.files[name] != nil {
		return fmt.Errorf("target was handed %q twice", name)
	}
	if parent := path.Dir(name); parent != "." {
		if _, there := m.dirs[parent]; !there {
			return fmt.Errorf("target was handed %q before its folder", name)
		}
	}
	return nil
}

type memoryFile struct {
	in     *memory
	data   bytes.Buffer
	mode   fs.FileMode
	size   int64
	closed int
}

func (f *memoryFile) Write(p []byte) (int, error) {
	if f.in.failWrite != nil {
		return 0, f.in.failWrite
	}
	f.in.written += int64(len(p))
	return f.data.Write(p)
}

func (f *memoryFile) Close() error {
	f.closed++
	return f.in.failClose
}
