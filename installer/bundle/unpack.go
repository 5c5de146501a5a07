package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Target is where a payload is unpacked to. Paths are relative, with slashes,
// already checked, and come in the order in which they must be made: a folder
// before what lies in it. Target is called from the goroutine that called
// Unpack, one call at a time, always in the same order for the same payload.
type Target interface {
	// Mkdir makes one folder; its parent is there.
	Mkdir(path string, mode fs.FileMode) error
	// Create makes one file with exactly mode; size bytes will be written, fewer
	// only when unpacking fails. Close makes the content durable.
	Create(path string, mode fs.FileMode, size int64) (io.WriteCloser, error)
}

// dirMode is the mode of every folder of a release: everybody may read programs.
const dirMode fs.FileMode = 0o755

// Unpack writes the files of the payload to dst and proves, while it does, that
// they are what the manifest states: names, sizes, modes, digests, nothing
// missing and nothing else. What dst holds after an error is worthless, and
// proves nothing even where it looks complete.
//
// Errors match ErrDamaged when the payload is to blame; those of dst come back
// as they are, wrapped. progress, which may be nil, gets bytes of files.
func (b *Bundle) Unpack(ctx context.Context, dst Target, progress func(done, total int64)) error {
	return b.UnpackKeeping(ctx, dst, nil, progress)
}

// UnpackKeeping is Unpack that also writes the payload as it is to keep, unless
// that is nil: the copy that a release folder keeps costs no second reading. keep
// is called as dst is.
func (b *Bundle) UnpackKeeping(ctx context.Context, dst Target, keep io.Writer, progress func(done, total int64)) error {
	f, err := openBlob(b.PayloadPath(), b.Manifest.Payload.Size)
	if err != nil {
		return err
	}
	defer f.Close()
	payload := newSource(ctx, f, b.Manifest.Payload, b.PayloadPath())
	defer payload.stop()
	if keep != nil {
		payload.keep = &keeper{to: keep}
	}

	stream, err := decompress(payload)
	if err != nil {
		return damagedf("cannot decompress %s: %w", b.PayloadPath(), err)
	}
	defer stream.Close()
	err = unpackTar(ctx, stream, b.Manifest.Files, !b.PayloadDigestOnly, dst, payload.keep, progress)
	if errors.Is(err, ErrDamaged) && payload.fault != nil {
		// The archive ended early because its medium failed.
		err = payload.fault
	}
	if err != nil {
		return fmt.Errorf("cannot unpack %s: %w", b.PayloadPath(), err)
	}
	if err := payload.check(); err != nil || payload.keep == nil {
		return err
	}
	return payload.keep.flush()
}

// unpackTar is Unpack for a tar stream that is not compressed any more.
func unpackTar(ctx context.Context, r io.Reader, files []File, digests bool, dst Target,
	keep *keeper, progress func(done, total int64),
) error {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	dirs := folders(files)
	for _, dir := range dirs {
		if err := dst.Mkdir(dir, dirMode); err != nil {
			return fmt.Errorf("cannot make the folder %s: %w", dir, err)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	line := newPipeline(ctx, cancel)
	keep.join(line)
	defer keep.join(nil)
	defer line.stop()
	c := newContents(files, dirs)
	go line.read(func() error {
		limited := &limited{from: r, left: streamLimit(files, dirs)}
		if err := walk(ctx, limited, func(e entry) error { return c.take(e, line) }); err != nil {
			return err
		}
		if err := onlyZeros(limited); err != nil {
			return err
		}
		return c.missing()
	})
	go line.hash(digests)
	if err := line.write(dst, progress, Manifest{Files: files}.UnpackedSize()); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// contents compares the entries of an archive with what a manifest promised.
type contents struct {
	files map[string]File
	dirs  map[string]bool // true once seen
	order []string
	seen  map[string]bool
}

func newContents(files []File, dirs []string) *contents {
	c := &contents{
		files: make(map[string]File, len(files)),
		dirs:  make(map[string]bool, len(dirs)),
		seen:  make(map[string]bool, len(files)),
	}
	for _, f := range files {
		c.files[f.Path] = f
		c.order = append(c.order, f.Path)
	}
	for _, dir := range dirs {
		c.dirs[dir] = false
	}
	return c
}

// take checks one entry and sends its bytes down the line.
func (c *contents) take(e entry, line *pipeline) error {
	if e.kind == tar.TypeDir {
		return c.takeDir(e)
	}
	if err := checkEntryName(e.name); err != nil {
		return err
	}
	if e.kind != tar.TypeReg {
		return damagedf("the entry %q is %s", e.name, kindName(e.kind))
	}
	f, known := c.files[e.name]
	if !known {
		return damagedf("the entry %q is not in the manifest", e.name)
	}
	if c.seen[e.name] {
		return damagedf("the entry %q is there twice", e.name)
	}
	c.seen[e.name] = true
	if e.size != f.Size {
		return damagedf("the entry %q has %d bytes, the manifest says %d", e.name, e.size, f.Size)
	}
	if e.mode != int64(f.Perm()) {
		return damagedf("the entry %q has mode %04o, the manifest says %s", e.name, e.mode, f.Mode)
	}
	return line.send(f, e.body)
}

// takeDir accepts an entry for a folder that some file of the manifest lies in.
// The folder itself has been made already.
func (c *contents) takeDir(e entry) error {
	name := strings.TrimSuffix(e.name, "/")
	if err := checkEntryName(name); err != nil {
		return err
	}
	seen, known := c.dirs[name]
	if !known {
		return damagedf("the folder %q is not in the manifest", e.name)
	}
	if seen {
		return damagedf("the entry %q is there twice", e.name)
	}
	c.dirs[name] = true
	return nil
}

func (c *contents) missing() error {
	for _, name := range c.order {
		if !c.seen[name] {
			return damagedf("the file %q of the manifest is missing", name)
		}
	}
	return nil
}

// checkEntryName gives the reason in words for what would not be found in the
// manifest anyway.
func checkEntryName(name string) error {
	switch {
	case strings.HasPrefix(name, "/") || strings.HasPrefix(name, `\`):
		return damagedf("the entry %q is absolute", name)
	case slices.Contains(strings.FieldsFunc(name, isSeparator), ".."):
		return damagedf("the entry %q climbs out of the release", name)
	}
	return nil
}

func isSeparator(r rune) bool { return r == '/' || r == '\\' }

func kindName(kind byte) string {
	switch kind {
	case tar.TypeLink:
		return "a hard link"
	case tar.TypeSymlink:
		return "a symbolic link"
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeFifo:
		return "a named pipe"
	case tar.TypeGNUSparse:
		return "a sparse file"
	}
	return fmt.Sprintf("of the unknown type %q", kind)
}

// folders are all folders that files lie in, parents first.
func folders(files []File) []string {
	var dirs []string
	known := map[string]bool{".": true}
	for _, f := range files {
		for dir := path.Dir(f.Path); !known[dir]; dir = path.Dir(dir) {
			known[dir] = true
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return dirs
}

const (
	tarBlock = 512
	// An entry has its header and, for a long name, three blocks and the records
	// of an extended one.
	entryOverhead = 8 * tarBlock
	// tar fills its last record, of 10 KiB unless told otherwise, with zeros.
	trailerLimit = 128 * tarBlock
)

// streamLimit is the most bytes that the archive of files can have.
func streamLimit(files []File, dirs []string) int64 {
	limit := int64(trailerLimit)
	limit += int64(len(files)+len(dirs)) * entryOverhead
	for _, f := range files {
		limit += (f.Size + tarBlock - 1) / tarBlock * tarBlock
	}
	return limit
}

// limited ends a stream that goes on for longer than its manifest allows: a few
// bytes of zstd can stand for gigabytes.
type limited struct {
	from io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, damagedf("the archive is larger than its manifest allows")
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.from.Read(p)
	l.left -= int64(n)
	return n, err
}

// onlyZeros reads what follows the end of a tar archive.
func onlyZeros(r *limited) error {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return damagedf("bytes follow the end of the archive")
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
