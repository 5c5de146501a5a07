package migrate_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/migrate"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// day is the present of the tests.
var day = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files are those of a backup, in the order of their names.
type files map[string]string

// pack makes a zip of files.
func (f files) pack(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w, err := z.Create(name)
		must(t, err)
		_, err = w.Write([]byte(f[name]))
		must(t, err)
	}
	must(t, z.Close())
	return out.Bytes()
}

// write puts a file into a folder of its own.
func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, content, 0o600))
	return path
}

func (f files) zip(t testing.TB) string { return write(t, "backup.zip", f.pack(t)) }

// folder reads the files below a folder.
func folder(t testing.TB, dir string) files {
	t.Helper()
	out := files{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, rel := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(text)
		return errors.Join(err, rel)
	}))
	return out
}

// keeper takes what is valid and keeps it.
type keeper struct{ objects []model.Object }

func (k *keeper) Take(o model.Object) error {
	o.Normalize()
	if err := o.Validate(); err != nil {
		return err
	}
	k.objects = append(k.objects, model.Clone(o))
	return nil
}

// imported is what became of a backup.
type imported struct {
	objects []model.Object
	report  *report.Report
}

// importPath imports a backup without a store.
func importPath(t testing.TB, path string, o importer.Options) imported {
	t.Helper()
	s, err := migrate.Open(context.Background(), path)
	must(t, err)
	defer s.Close()
	if o.Now == nil {
		o.Now = func() time.Time { return day }
	}
	if o.NewNode == "" {
		o.NewNode = "here"
	}
	if o.OS == "" {
		o.OS = "linux"
	}
	var k keeper
	about := s.About()
	about.File = filepath.Base(about.File)
	r := report.New(about)
	must(t, s.Import(context.Background(), o, &k, r))
	must(t, r.Balanced())
	return imported{k.objects, r}
}

// get is an object of its key's text, nil if there is none.
func (i imported) get(key string) model.Object {
	for _, o := range i.objects {
		if o.Key().String() == key {
			return o
		}
	}
	return nil
}

func (i imported) user(t testing.TB, key string) *model.User {
	t.Helper()
	u, ok := i.get(key).(*model.User)
	if !ok {
		t.Fatalf("there is no %s", key)
	}
	return u
}

// text is everything as text, with what is new each time taken out.
func (i imported) text(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	var fresh []string
	for _, o := range i.objects {
		if k, ok := o.(*model.HostKey); ok {
			if slices.ContainsFunc(i.report.Lines, func(l report.Line) bool { return l.Outcome == report.Made && strings.Contains(l.What, k.Fingerprint) }) {
				fresh = append(fresh, k.Fingerprint, "SHA256:(new)", k.Public, "(new)")
			}
			k.Private.Clear = "(private)"
		}
		if x, ok := o.(*model.Certificate); ok {
			x.Private.Clear = "(private)"
		}
		raw, err := json.Marshal(o)
		must(t, err)
		out.WriteString(o.Key().String() + " " + string(raw) + "\n")
	}
	out.WriteString("\n")
	must(t, i.report.WriteText(&out))
	return strings.NewReplacer(fresh...).Replace(out.String())
}
