package archive

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzRead: whatever the bytes are, opening and reading them ends, in bounds, with names
// that lead nowhere.
func FuzzRead(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("testdata", "*.zip.seed"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range seeds {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Add([]byte(`[{"id":"a"}]`))
	f.Add([]byte("PK\x03\x04\x14\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Read(bytes.NewReader(text), int64(len(text)), "x.zip")
		if err != nil {
			return
		}
		for _, e := range file.Entries {
			if file.Zip && (strings.Contains(e.Name, "..") && strings.Contains("/"+e.Name+"/", "/../") || strings.HasPrefix(e.Name, "/") || strings.Contains(e.Name, `\`)) {
				t.Errorf("the name %q", e.Name)
			}
			r, err := e.Open()
			if err != nil {
				continue
			}
			n, _ := io.Copy(io.Discard, r)
			if n > e.Size {
				t.Errorf("%s has %d bytes, not %d", e.Name, n, e.Size)
			}
			_ = r.Close()
		}
	})
}
