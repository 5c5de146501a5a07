package virtualusers

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
)

// FuzzImport: whatever the file says, reading it ends without a crash, and the report's
// numbers add up.
func FuzzImport(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("..", "testdata", "import", "*-users", "backup", "*"))
	if err != nil || len(seeds) == 0 {
		f.Fatal("there are no seeds", err)
	}
	for _, path := range seeds {
		if text, err := os.ReadFile(path); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, open := range []func(context.Context, *archive.File) (importer.Source, error){OpenProFTPD, OpenVsftpd} {
			file, err := archive.Read(bytes.NewReader(text), int64(len(text)), "x")
			if err != nil {
				return
			}
			s, err := open(context.Background(), file)
			if err != nil {
				continue
			}
			r := report.New(s.About())
			if err := s.Import(context.Background(), importer.Options{NewNode: "here"}, importer.Discard{}, r); err == nil && r.Balanced() != nil {
				t.Error(r.Balanced())
			}
		}
	})
}
