package bundle

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// folder is a Target in a folder of this machine. With durable it syncs files as
// the installer does; tar never does, so the comparison is without.
type folder struct {
	root    string
	durable bool
}

func (t folder) Mkdir(path string, mode fs.FileMode) error {
	return os.Mkdir(filepath.Join(t.root, filepath.FromSlash(path)), mode)
}

func (t folder) Create(path string, mode fs.FileMode, _ int64) (io.WriteCloser, error) {
	f, err := os.OpenFile(filepath.Join(t.root, filepath.FromSlash(path)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if t.durable {
		return syncedFile{f}, nil
	}
	return f, nil
}

type syncedFile struct{ *os.File }

func (f syncedFile) Close() error { return errors.Join(f.Sync(), f.File.Close()) }

// benchBundle is the bundle in SS_BENCH_BUNDLE, or one made of the go tool's own
// program: a payload of about the size and kind of a release.
func benchBundle(b *testing.B) *Bundle {
	b.Helper()
	if dir := os.Getenv("SS_BENCH_BUNDLE"); dir != "" {
		opened, err := Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		return opened
	}
	program, err := os.ReadFile(goTool(b))
	if err != nil {
		b.Fatal(err)
	}
	return makeBundle(b, []content{
		{"bin/ss-server", "0755", program},
		{"services/systemd/ss-server.service", "0644", []byte("[Unit]\n")},
	})
}

func goTool(b *testing.B) string {
	b.Helper()
	path, err := exec.LookPath("go")
	if err != nil {
		b.Skip("needs the go tool as material")
	}
	return path
}

func BenchmarkUnpack(b *testing.B) {
	for _, c := range []struct {
		name    string
		durable bool
	}{{"as tar writes", false}, {"synced", true}} {
		b.Run(c.name, func(b *testing.B) {
			opened := benchBundle(b)
			b.SetBytes(opened.Manifest.UnpackedSize())
			for b.Loop() {
				if err := opened.Unpack(b.Context(), folder{b.TempDir(), c.durable}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUnpackAgainstTar reports verify + unpack as a multiple of
// `tar --zstd -x`, runs interleaved, medians compared.
func BenchmarkUnpackAgainstTar(b *testing.B) {
	b.Run("every digest", func(b *testing.B) { againstTar(b, false) })
	b.Run("payload digest", func(b *testing.B) { againstTar(b, true) })
}

func againstTar(b *testing.B, payloadDigestOnly bool) {
	b.Helper()
	tarPath, err := exec.LookPath("tar")
	if err != nil {
		b.Skip("needs tar")
	}
	opened := benchBundle(b)
	opened.PayloadDigestOnly = payloadDigestOnly
	var ours, theirs []time.Duration
	for b.Loop() {
		theirs = append(theirs, timed(b, func(dir string) error {
			return exec.CommandContext(b.Context(), tarPath, "--zstd", "-xf", opened.PayloadPath(), "-C", dir).Run()
		}))
		ours = append(ours, timed(b, func(dir string) error {
			return opened.Unpack(context.Background(), folder{root: dir}, nil)
		}))
	}
	b.ReportMetric(float64(median(ours))/float64(median(theirs)), "x-tar")
	b.ReportMetric(float64(median(ours).Microseconds())/1000, "ms-ours")
	b.ReportMetric(float64(median(theirs).Microseconds())/1000, "ms-tar")
}

func timed(b *testing.B, unpack func(dir string) error) time.Duration {
	b.Helper()
	dir, err := os.MkdirTemp(b.TempDir(), "out")
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	if err := unpack(dir); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
	return took
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
