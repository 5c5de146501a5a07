package release

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/archive"
)

// Archive packs a bundle's folder into one file, .tar.gz or .zip as its name says,
// in which everything lies in a folder of the bundle's name. The same files give the
// same bytes: entries are sorted, owned by 0 without a name, dated when, and their
// modes follow from what they are.
func Archive(dir, out string, when time.Time) error {
	var names []string
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is no regular file", file)
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		if !archive.Belongs(filepath.ToSlash(rel)) {
			return fmt.Errorf("%s is no file of a bundle, perhaps one of a build that was cut; remove it", file)
		}
		names = append(names, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	slices.Sort(names)
	pack := tarGz
	if strings.HasSuffix(out, ".zip") {
		pack = zipped
	}
	_, _, err = writeFile(out, 0o644, func(w io.Writer) error {
		return pack(w, dir, filepath.Base(dir), names, when.UTC())
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	return nil
}

func modeOf(name string) fs.FileMode {
	if strings.HasPrefix(path.Base(name), bundle.SetupName) {
		return 0o755
	}
	return 0o644
}

func tarGz(w io.Writer, dir, top string, names []string, when time.Time) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, name := range names {
		err := withFile(filepath.Join(dir, name), func(f *os.File, size int64) error {
			h := &tar.Header{
				Typeflag: tar.TypeReg, Name: path.Join(top, name), Mode: int64(modeOf(name)), Size: size,
				ModTime: when, Format: tar.FormatUSTAR,
			}
			if err := t.WriteHeader(h); err != nil {
				return err
			}
			_, err := io.Copy(t, f)
			return err
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func zipped(w io.Writer, dir, top string, names []string, when time.Time) error {
	z := zip.NewWriter(w)
	for _, name := range names {
		err := withFile(filepath.Join(dir, name), func(f *os.File, _ int64) error {
			h := &zip.FileHeader{Name: path.Join(top, name), Method: zip.Deflate, Modified: when}
			if strings.HasSuffix(name, ".zst") {
				h.Method = zip.Store // it is compressed already
			}
			h.SetMode(modeOf(name))
			out, err := z.CreateHeader(h)
			if err != nil {
				return err
			}
			_, err = io.Copy(out, f)
			return err
		})
		if err != nil {
			return err
		}
	}
	return z.Close()
}

func withFile(name string, do func(*os.File, int64) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return do(f, info.Size())
}

// Sums writes a file, such as SHA256SUMS, of the named files in a folder, sorted, in the form
// that sha256sum -c reads. Whatever else lies in the folder is nobody's release.
func Sums(dir, into string, names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	_, _, err := writeFile(filepath.Join(dir, into), 0o644, func(w io.Writer) error {
		for _, name := range names {
			sum, err := FileSum(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "%s  %s\n", sum, name); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
