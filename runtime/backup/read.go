package backup

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"

	"filippo.io/age"
)

// ageIntro is what an encrypted backup begins with.
const ageIntro = "age-encryption.org/v1\n"

// maxWork bounds what an encrypted backup may make the reader compute: 2^18 is 256 MiB,
// which is also what the age program uses.
const maxWork = 18

// ReadOptions say how a backup is read.
type ReadOptions struct {
	// Passphrase opens an encrypted backup.
	Passphrase string
	// Schema is the newest schema that the caller can take; 0 for any.
	Schema int
}

// Archive is an open backup. Its seal, header and list of parts have been checked, the
// parts themselves not yet.
type Archive struct {
	header    Header
	parts     []checkedPart
	sum       string
	encrypted bool
}

// checkedPart is a part of the manifest and its place in the zip.
type checkedPart struct {
	part
	file *zip.File
}

// Open opens a backup of size bytes: it checks the seal over the whole file, whether this
// release can read it, and that its parts are those that the manifest names.
func Open(r io.ReaderAt, size int64, opt ReadOptions) (*Archive, error) {
	a := &Archive{}
	r, size, err := a.decrypt(r, size, opt.Passphrase)
	if err != nil {
		return nil, err
	}
	if a.sum, err = checkSeal(r, size); err != nil {
		return nil, err
	}
	directory := &limitedReaderAt{r: r, left: maxDirectory}
	z, err := zip.NewReader(directory, size)
	if err != nil {
		return nil, fmt.Errorf("%w: its directory cannot be read: %w", ErrDamaged, err)
	}
	directory.left = -1
	files, err := byName(z)
	if err != nil {
		return nil, err
	}
	if err := a.readHeader(files, opt.Schema); err != nil {
		return nil, err
	}
	return a, a.readManifest(files)
}

// Encrypted says whether a file that begins with intro needs a passphrase; 22 bytes are
// enough.
func Encrypted(intro []byte) bool { return bytes.HasPrefix(intro, []byte(ageIntro)) }

func (a *Archive) decrypt(r io.ReaderAt, size int64, passphrase string) (io.ReaderAt, int64, error) {
	intro := make([]byte, len(ageIntro))
	if _, err := r.ReadAt(intro, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("read the backup: %w", err)
	}
	if !Encrypted(intro) {
		return r, size, nil
	}
	a.encrypted = true
	if passphrase == "" {
		return nil, 0, fmt.Errorf("%w: the backup is encrypted; give the one it was made with, by --passphrase-file", ErrPassphrase)
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, 0, fmt.Errorf("take the passphrase: %w", err)
	}
	identity.SetMaxWorkFactor(maxWork)
	plain, n, err := age.DecryptReaderAt(r, size, identity)
	var wrong *age.NoIdentityMatchError
	switch {
	case errors.As(err, &wrong):
		return nil, 0, fmt.Errorf("%w: it is not the one that the backup was made with", ErrPassphrase)
	case err != nil:
		return nil, 0, fmt.Errorf("%w: it cannot be decrypted: %w", ErrDamaged, err)
	}
	return plain, n, nil
}

// byName refuses a directory that no release of ours writes.
func byName(z *zip.Reader) (map[string]*zip.File, error) {
	if len(z.File) > maxParts+1 {
		return nil, fmt.Errorf("%w: it has %d parts, at most %d are allowed", ErrHostile, len(z.File), maxParts)
	}
	files := make(map[string]*zip.File, len(z.File))
	folded := make(map[string]bool, len(z.File))
	for _, f := range z.File {
		known := f.Name == headerPart || f.Name == manifestPart || kindOf(f.Name) != "" || fileOf(f.Name) != ""
		switch lower := strings.ToLower(f.Name); {
		case !known:
			return nil, fmt.Errorf("%w: a part is named %q", ErrHostile, f.Name)
		case folded[lower]:
			return nil, fmt.Errorf("%w: the part %s is there twice", ErrHostile, f.Name)
		case f.Method != zip.Deflate && f.Method != zip.Store, f.Flags&1 != 0, f.Mode()&fs.ModeType != 0:
			return nil, fmt.Errorf("%w: the part %s is not a plain file", ErrHostile, f.Name)
		default:
			folded[lower] = true
			files[f.Name] = f
		}
	}
	return files, nil
}

func (a *Archive) readHeader(files map[string]*zip.File, schema int) error {
	if err := readJSON(files[headerPart], headerPart, maxHeader, &a.header); err != nil {
		return err
	}
	h := a.header
	switch {
	case h.Product != product:
		return fmt.Errorf("%w: it belongs to %q", ErrNotBackup, h.Product)
	case h.Format < 1 || h.Schema < 0:
		return fmt.Errorf("%w: format %d, schema %d", ErrHostile, h.Format, h.Schema)
	case h.Format > Format:
		return fmt.Errorf("%w: version %s wrote it in format %d, this release reads up to %d; install that version first", ErrNewer, h.Version, h.Format, Format)
	case schema > 0 && h.Schema > schema:
		return fmt.Errorf("%w: version %s wrote it with schema %d, this release has %d; install that version first", ErrNewer, h.Version, h.Schema, schema)
	}
	return nil
}

func (a *Archive) readManifest(files map[string]*zip.File) error {
	var m manifest
	if err := readJSON(files[manifestPart], manifestPart, maxManifest, &m); err != nil {
		return err
	}
	total := int64(0)
	for _, p := range m.Parts {
		f := files[p.Name]
		switch {
		case f == nil || p.Name == manifestPart:
			return fmt.Errorf("%w: the part %q is missing, or named twice", ErrHostile, p.Name)
		case p.Size < 0 || p.Size > maxTotal || fileOf(p.Name) != "" && p.Size > maxFile:
			return fmt.Errorf("%w: the part %s is to have %d bytes", ErrHostile, p.Name, p.Size)
		case f.UncompressedSize64 != uint64(p.Size):
			return fmt.Errorf("%w: the part %s has two sizes", ErrHostile, p.Name)
		}
		if total += p.Size; total > maxTotal {
			return fmt.Errorf("%w: it unfolds to more than %d bytes", ErrHostile, int64(maxTotal))
		}
		delete(files, p.Name)
		a.parts = append(a.parts, checkedPart{p, f})
	}
	delete(files, manifestPart)
	for name := range files {
		return fmt.Errorf("%w: the manifest does not name the part %s", ErrHostile, name)
	}
	return nil
}

// Header tells whose backup it is.
func (a *Archive) Header() Header { return a.header }

// Verify reads every part, compares it with the manifest, and tells what there is.
func (a *Archive) Verify(ctx context.Context) (Summary, error) { return a.walk(ctx, nothing{}) }

// Restore verifies the whole archive and only then hands it to the sink. After an error
// the sink has been told to take everything back.
func (a *Archive) Restore(ctx context.Context, sink Sink) (s Summary, err error) {
	if s, err = a.Verify(ctx); err != nil {
		return Summary{}, err
	}
	if err := sink.Begin(a.header); err != nil {
		return Summary{}, fmt.Errorf("begin to restore: %w", err)
	}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, sink.Abort())
		}
	}()
	// The file may have changed since it was verified: whatever is read is compared again.
	if s, err = a.walk(ctx, sink); err != nil {
		return Summary{}, err
	}
	if err := sink.Commit(); err != nil {
		return Summary{}, fmt.Errorf("put the restored objects in force: %w", err)
	}
	done = true
	return s, nil
}

// taker is the part of a Sink that takes content.
type taker interface {
	PutFile(File) error
	Put(Object) error
}

// nothing takes everything and keeps nothing.
type nothing struct{}

func (nothing) PutFile(File) error { return nil }
func (nothing) Put(Object) error   { return nil }

func (a *Archive) walk(ctx context.Context, to taker) (Summary, error) {
	s := Summary{Header: a.header, Objects: map[string]int{}, SHA256: a.sum, Encrypted: a.encrypted}
	for _, p := range a.parts {
		s.Bytes += p.Size
		if fileOf(p.Name) != "" {
			s.Files++
		} else if kind := kindOf(p.Name); kind != "" {
			s.Objects[kind] = p.Objects
		}
		if err := a.part(ctx, p, to); err != nil {
			return Summary{}, fmt.Errorf("part %s: %w", p.Name, err)
		}
	}
	return s, nil
}

// part hands the content of one part on and compares it with the manifest. The last
// object is handed on before the hash of all is known: a sink is told to take it back.
func (a *Archive) part(ctx context.Context, p checkedPart, to taker) error {
	content, err := open(p)
	if err != nil {
		return err
	}
	defer content.Close()
	if kind := kindOf(p.Name); kind != "" {
		err = objects(ctx, content, kind, p.Objects, to)
	} else {
		err = file(content, fileOf(p.Name), to)
	}
	if err != nil {
		return err
	}
	return content.check()
}

func objects(ctx context.Context, content io.Reader, kind string, want int, to taker) error {
	lines := &lineReader{from: bufio.NewReaderSize(content, 64<<10)}
	n := 0
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = errors.Join(ctx.Err(), isObject(line))
		}
		if err != nil {
			return fmt.Errorf("object %d: %w", n+1, err)
		}
		if err := to.Put(Object{Kind: kind, JSON: line}); err != nil {
			return fmt.Errorf("object %d: %w", n+1, err)
		}
		n++
	}
	if n != want {
		return fmt.Errorf("%w: it has %d objects, the manifest says %d", ErrHostile, n, want)
	}
	return nil
}

func file(content io.Reader, name string, to taker) error {
	if name == "" {
		_, err := io.Copy(io.Discard, content)
		return err
	}
	text, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	return to.PutFile(File{Name: name, Content: text})
}

// lineReader reads lines of at most maxObject bytes, each with its end.
type lineReader struct {
	from *bufio.Reader
	line []byte
}

func (l *lineReader) next() ([]byte, error) {
	l.line = l.line[:0]
	for {
		chunk, err := l.from.ReadSlice('\n')
		if l.line = append(l.line, chunk...); len(l.line) > maxObject+1 {
			return nil, fmt.Errorf("%w: it has more than %d bytes", ErrHostile, maxObject)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.line) > 0:
			return nil, fmt.Errorf("%w: it has no end", ErrHostile)
		case err != nil:
			return nil, err
		default:
			return l.line[:len(l.line)-1], nil
		}
	}
}

// content is a part as it is read: never more than the manifest says.
type content struct {
	part
	from io.ReadCloser
	sum  hash.Hash
	left int64
}

func open(p checkedPart) (*content, error) {
	from, err := p.file.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &content{part: p.part, from: from, sum: sha256.New(), left: p.Size}, nil
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.from.Read(p)
	c.sum.Write(p[:n])
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("%w: it unfolds to more than the %d bytes that the manifest says", ErrHostile, c.Size)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = readError(err)
	}
	return n, err
}

// check compares what was read, which must be all, with the manifest.
func (c *content) check() error {
	if c.left != 0 || hex.EncodeToString(c.sum.Sum(nil)) != c.SHA256 {
		return fmt.Errorf("%w: its content does not fit its hash", ErrDamaged)
	}
	return nil
}

// Close implements io.Closer.
func (c *content) Close() error { return c.from.Close() }

// readError tells a fault of the archive from one of the disk.
func readError(err error) error {
	var disk *fs.PathError
	if errors.As(err, &disk) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func readJSON(f *zip.File, name string, limit int64, into any) error {
	if f == nil {
		return fmt.Errorf("%w: the part %s is missing", ErrHostile, name)
	}
	if f.UncompressedSize64 > uint64(limit) {
		return fmt.Errorf("%w: the part %s has %d bytes, at most %d are allowed", ErrHostile, name, f.UncompressedSize64, limit)
	}
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("%w: the part %s: %w", ErrDamaged, name, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return fmt.Errorf("the part %s: %w", name, readError(err))
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%w: the part %s: %w", ErrHostile, name, err)
	}
	return nil
}

// limitedReaderAt fails once left bytes were read; a negative left is no limit.
type limitedReaderAt struct {
	r    io.ReaderAt
	left int64
}

// ReadAt implements io.ReaderAt.
func (l *limitedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if l.left >= 0 {
		if l.left -= int64(len(p)); l.left < 0 {
			return 0, fmt.Errorf("%w: its directory has more than %d bytes", ErrHostile, maxDirectory)
		}
	}
	return l.r.ReadAt(p, off)
}
