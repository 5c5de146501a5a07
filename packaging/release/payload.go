package release

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

	"github.com/klauspost/compress/zstd"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/delta"
)

// source is one file on its way into the payload.
type source struct {
	path string // in the payload, with slashes
	file string // on this machine
	mode fs.FileMode
}

// sources lists the payload's files in the order they are written.
func (o *Options) sources() ([]source, error) {
	var all []source
	for _, name := range Programs {
		name += exeSuffix(o.OS)
		all = append(all, source{"bin/" + name, filepath.Join(o.Bin, name), 0o755})
	}
	if o.OS == "windows" {
		// Services are entries of the service manager there, which ss-setup makes.
		return all, nil
	}
	err := filepath.WalkDir(o.Services, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		// Go sources may lie beside the definitions, which a package of ours embeds for its tests.
		if strings.HasSuffix(d.Name(), ".go") || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("service definition %s is no regular file", file)
		}
		rel, err := filepath.Rel(o.Services, file)
		if err != nil {
			return err
		}
		// Definitions are templates: ss-setup gives what it renders from them its own mode.
		all = append(all, source{path.Join("services", filepath.ToSlash(rel)), file, 0o644})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list service definitions: %w", err)
	}
	slices.SortFunc(all, func(a, b source) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

// writePayload packs the sources and tells what went in and what came out.
func writePayload(name string, sources []source, level int) ([]bundle.File, bundle.Blob, error) {
	var files []bundle.File
	size, sum, err := writeFile(name, 0o644, func(w io.Writer) error {
		z, err := delta.NewPayloadWriter(w, zstd.EncoderLevelFromZstd(level))
		if err != nil {
			return err
		}
		t := tar.NewWriter(z)
		for _, s := range sources {
			entry, err := pack(t, s)
			if err != nil {
				return fmt.Errorf("pack %s: %w", s.path, err)
			}
			files = append(files, entry)
		}
		return errors.Join(t.Close(), z.Close())
	})
	if err != nil {
		return nil, bundle.Blob{}, fmt.Errorf("write %s: %w", name, err)
	}
	return files, bundle.Blob{Name: bundle.PayloadName, Size: size, SHA256: sum}, nil
}

func pack(t *tar.Writer, s source) (bundle.File, error) {
	f, err := os.Open(s.file)
	if err != nil {
		return bundle.File{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return bundle.File{}, err
	}
	if !info.Mode().IsRegular() {
		return bundle.File{}, fmt.Errorf("%s is no regular file", s.file)
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     s.path,
		Mode:     int64(s.mode),
		Size:     info.Size(),
		ModTime:  time.Unix(0, 0),
		Format:   tar.FormatUSTAR,
	}
	if err := t.WriteHeader(header); err != nil {
		return bundle.File{}, err
	}
	h := sha256.New()
	// A file that changes its size meanwhile makes tar complain: the manifest cannot lie.
	if _, err := io.Copy(io.MultiWriter(t, h), f); err != nil {
		return bundle.File{}, err
	}
	return bundle.File{
		Path:   s.path,
		Size:   info.Size(),
		Mode:   fmt.Sprintf("%04o", s.mode),
		SHA256: hex.EncodeToString(h.Sum(nil)),
	}, t.Flush()
}

func copySetup(from, to string) (bundle.Blob, error) {
	f, err := os.Open(from)
	if err != nil {
		return bundle.Blob{}, fmt.Errorf("open ss-setup: %w", err)
	}
	defer f.Close()
	size, sum, err := writeFile(to, 0o755, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
	if err != nil {
		return bundle.Blob{}, fmt.Errorf("copy ss-setup to %s: %w", to, err)
	}
	return bundle.Blob{Size: size, SHA256: sum}, nil
}

func writeManifest(name string, m *bundle.Manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	// What ss-setup would refuse is told here, not on a customer's machine.
	if _, err := bundle.Parse(text); err != nil {
		return fmt.Errorf("check the manifest: %w", err)
	}
	_, _, err = writeFile(name, 0o644, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// writeFile makes name whole or not at all: a program that runs from the old file
// keeps it. It returns the size and the SHA-256 of what was written.
func writeFile(name string, mode fs.FileMode, write func(io.Writer) error) (int64, string, error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return 0, "", err
	}
	defer os.Remove(f.Name())
	h := sha256.New()
	err = write(io.MultiWriter(f, h))
	size, seekErr := f.Seek(0, io.SeekCurrent)
	if err := errors.Join(err, seekErr, f.Chmod(mode), f.Close()); err != nil {
		return 0, "", err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}
