package filezilla

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
)

// FuzzImport: whatever the file says, reading it ends without a crash, and the report's
// numbers add up.
func FuzzImport(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("..", "testdata", "import", "filezilla*", "backup", "*.xml"))
	if err != nil || len(seeds) == 0 {
		f.Fatal("there are no seeds", err)
	}
	for _, path := range seeds {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := archive.Read(bytes.NewReader(text), int64(len(text)), "x")
		if err != nil {
			return
		}
		s, err := Open(context.Background(), file)
		if err != nil {
			return
		}
		r := report.New(s.About())
		o := importer.Options{NewNode: "here", Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
		if err := s.Import(context.Background(), o, importer.Discard{}, r); err == nil && r.Balanced() != nil {
			t.Error(r.Balanced())
		}
	})
}
