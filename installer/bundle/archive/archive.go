// Package archive unpacks the outer archive of a package, .tar.gz or .zip, into a
// private folder. Nothing in it is trusted: only files with the names of a package
// come out, none through a link, none larger than a manifest could allow. Whether
// they are the right ones is for packages bundle and trust to say.
package archive

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
)

// maxFiles bounds the entries of an archive: three files and the metadata.
const maxFiles = 2000

// Is tells whether a name is that of an archive.
func Is(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".zip")
}

// maxMetadata bounds all files of the metadata folder together. Each of many roots
// could be as long as the list of targets else, and fill the disk unverified.
const maxMetadata = 32 << 20

// metadataName are the files of the metadata folder.
var metadataName = regexp.MustCompile(`^[0-9]{0,9}\.?(root|timestamp|snapshot|targets)\.json$`)

// Belongs tells whether a file of a package has this name, which is relative to the
// package's folder and has slashes.
func Belongs(name string) bool {
	inner, _, err := new(unpacking).place(name)
	return err == nil && inner == name
}

// Unpack writes the files of a package into dir, which is private. Its errors match
// bundle.ErrDamaged when the archive is to blame.
func Unpack(ctx context.Context, file, dir string) error {
	u := &unpacking{ctx: ctx, dir: dir, seen: map[string]bool{}}
	var err error
	if strings.HasSuffix(strings.ToLower(file), ".zip") {
		err = u.zip(file)
	} else {
		err = u.tar(file)
	}
	if err == nil && !u.seen[bundle.ManifestName] {
		err = damaged("there is no %s in it", bundle.ManifestName)
	}
	return err
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w; get it again from where it was released", bundle.ErrDamaged, fmt.Errorf(format, args...))
}

type unpacking struct {
	ctx  context.Context
	dir  string
	seen map[string]bool
	top  string
	// metadata is how much the files of the metadata folder have so far.
	metadata int64
}

func (u *unpacking) tar(file string) error {
	f, err := open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return damaged("%w", err)
	}
	r := tar.NewReader(z)
	for n := 0; ; n++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return toTheEnd(z)
		}
		if err != nil {
			return damaged("%w", err)
		}
		if n > maxFiles {
			return damaged("it has more than %d files", maxFiles)
		}
		switch h.Typeflag {
		case tar.TypeDir:
		case tar.TypeReg:
			if err := u.take(h.Name, r); err != nil {
				return err
			}
		default:
			return damaged("%q is no regular file", h.Name)
		}
	}
}

// maxTrailer bounds what may follow the end of an archive: zeros, in practice.
const maxTrailer = 1 << 20

// toTheEnd reads what follows, so that the checksum at the very end is compared.
func toTheEnd(r io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(r, maxTrailer+1))
	if err != nil {
		return damaged("%w", err)
	}
	if n > maxTrailer {
		return damaged("it goes on after its end")
	}
	return nil
}

// maxList bounds what is read of a zip file to know what is in it: its list of files,
// which the library keeps in memory before anybody can count them.
const maxList = 1 << 20

func (u *unpacking) zip(file string) error {
	f, err := open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	content := &limited{from: f, left: maxList}
	z, err := zip.NewReader(content, info.Size())
	if content.left < 0 {
		return damaged("its list of files is longer than that of a package")
	}
	if err != nil {
		return damaged("%w", err)
	}
	content.left = math.MaxInt64
	if len(z.File) > maxFiles {
		return damaged("it has more than %d files", maxFiles)
	}
	for _, e := range z.File {
		if e.Mode().IsDir() {
			continue
		}
		if !e.Mode().IsRegular() {
			return damaged("%q is no regular file", e.Name)
		}
		r, err := e.Open()
		if err != nil {
			return damaged("%w", err)
		}
		if err := errors.Join(u.take(e.Name, r), r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// limited reads no more than so many bytes.
type limited struct {
	from io.ReaderAt
	left int64 // negative: more was asked for
}

func (l *limited) ReadAt(p []byte, at int64) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return l.from.ReadAt(p, at)
}

// open opens the archive; what is no file is to blame for it.
func open(file string) (*os.File, error) {
	f, err := bundle.OpenRegular(file)
	if errors.Is(err, bundle.ErrIrregular) {
		return nil, damaged("%w", err)
	}
	return f, err
}

// take writes one file, if it is one of a package.
func (u *unpacking) take(name string, from io.Reader) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	inner, limit, err := u.place(name)
	if err != nil {
		return err
	}
	if u.seen[inner] {
		return damaged("%q is there twice", name)
	}
	u.seen[inner] = true
	target := filepath.Join(u.dir, filepath.FromSlash(inner))
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	mode := os.FileMode(0o600)
	if strings.HasPrefix(inner, bundle.SetupName) {
		mode = 0o700
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, &source{io.LimitReader(from, limit+1)})
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if n > limit {
		return damaged("%q is larger than %d bytes", name, limit)
	}
	if strings.HasPrefix(inner, trust.MetadataDir+"/") {
		u.metadata += n
	}
	return nil
}

// source marks errors of reading as damage: those of writing are the machine's.
type source struct{ io.Reader }

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = damaged("%w", err)
	}
	return n, err
}

// place is where a file of the archive belongs, below the one folder that all of
// them may lie in, and how large it may be.
func (u *unpacking) place(name string) (string, int64, error) {
	name = strings.TrimPrefix(name, "./")
	if path.IsAbs(name) || path.Clean(name) != name || strings.Contains(name, `\`) || strings.HasPrefix(name, "..") {
		return "", 0, damaged("%q leads out of it", name)
	}
	inner := name
	if first, rest, nested := strings.Cut(name, "/"); nested && first != trust.MetadataDir {
		if u.top != "" && u.top != first {
			return "", 0, damaged("it holds more than one folder: %q and %q", u.top, first)
		}
		u.top, inner = first, rest
	}
	switch dir, base := path.Split(inner); {
	case inner == bundle.ManifestName:
		return inner, bundle.MaxManifestSize, nil
	case inner == bundle.PayloadName, inner == bundle.SetupName, inner == bundle.SetupName+".exe":
		return inner, bundle.MaxFileSize, nil
	case dir == trust.MetadataDir+"/" && metadataName.MatchString(base):
		return inner, min(bundle.MaxManifestSize*2, maxMetadata-u.metadata), nil
	}
	return "", 0, damaged("%q is no file of a package", name)
}
