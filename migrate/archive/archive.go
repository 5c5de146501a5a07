// Package archive opens the backups of older products: files from anywhere, which may be
// damaged, something else, or made to do harm. It refuses with words that say what is
// wrong and what to do, and it never unpacks anything to a disk.
package archive

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The ways a file is refused. Messages carry what and the cure; test with errors.Is.
var (
	// ErrNotBackup: the file is something else.
	ErrNotBackup = errors.New("not a backup that can be imported")
	// ErrDamaged: the file is cut, or was changed.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrHostile: the archive does what no backup would.
	ErrHostile = errors.New("the backup breaks a rule that protects this machine")
	// ErrEncrypted: the archive needs a password.
	ErrEncrypted = errors.New("the backup is encrypted")
	// ErrOwn: it is a backup of this product, to be restored and not imported.
	ErrOwn = errors.New("it is a backup of SS Server 7")
	// ErrTooOld, ErrTooNew: the product that made it is not one that is imported.
	ErrTooOld = errors.New("the backup is of a version that is too old")
	ErrTooNew = errors.New("the backup is of a newer version")
)

// Bounds of an archive: far above what a product has, and low enough that a hostile file
// is refused before it costs much.
const (
	maxEntries = 50_000
	maxName    = 512
	// MaxUnfolded is what all entries may unfold to, and the largest plain file.
	MaxUnfolded = 4 << 30
	// An entry of more than bombSize, and all of them together, may not be more than
	// bombRatio times as large as what is stored of them. Text of the same form again and again shrinks to a fiftieth.
	bombSize  = 8 << 20
	bombRatio = 300
	// maxDirectory bounds the directory of a zip, which the library reads whole.
	maxDirectory = 32 << 20
)

// Entry is one file of a backup.
type Entry struct {
	// Name has "/" between its parts, none of which climbs.
	Name string
	// Size is that of the content in bytes.
	Size int64
	// Mode is that of a file of a folder, 0 in archives.
	Mode     fs.FileMode
	open     func() (io.ReadCloser, error)
	seekable bool
}

// Open gives the content. What is more or other than the archive says of it is ErrDamaged
// or ErrHostile, while it is read.
func (e *Entry) Open() (io.ReadCloser, error) { return e.open() }

// ReadAll is the content of a small entry.
func (e *Entry) ReadAll(limit int64) ([]byte, error) {
	if e.Size > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d are read", ErrHostile, e.Name, e.Size, limit)
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	return text, errors.Join(err, r.Close())
}

// OpenAt is Open, from the byte offset on. In a zip everything before it is unpacked and
// thrown away, through read.
func (e *Entry) OpenAt(offset int64, read func(io.Reader) io.Reader) (io.ReadCloser, error) {
	r, err := e.Open()
	if err != nil || offset == 0 {
		return r, err
	}
	if s, ok := r.(io.Seeker); ok {
		_, err = s.Seek(offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, read(r), offset)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Seekable tells whether OpenAt costs nothing.
func (e *Entry) Seekable() bool { return e.seekable }

// section is a plain file.
type section struct{ *io.SectionReader }

// Close implements io.Closer: the file is closed with the backup.
func (section) Close() error { return nil }

// Base is the name without folders and extension, in small letters.
func (e *Entry) Base() string {
	return strings.ToLower(strings.TrimSuffix(path.Base(e.Name), path.Ext(e.Name)))
}

// Ext is the extension in small letters, with its dot.
func (e *Entry) Ext() string { return strings.ToLower(path.Ext(e.Name)) }

// File is an opened backup.
type File struct {
	Name string
	// Zip tells an archive from a plain file, which has one entry.
	Zip bool
	// Text tells a plain file that is not JSON.
	Text    bool
	Entries []*Entry
	root    *os.Root // of a folder
	closer  io.Closer
}

// Close closes the file.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// Open opens the backup of a path, which may be a folder.
func Open(name string) (*File, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return openFolder(name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	info, err := file.Stat()
	var f *File
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%w: %s is not a file", ErrNotBackup, name)
	default:
		f, err = Read(file, info.Size(), name)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	f.closer = file
	return f, nil
}

// Read opens a backup of size bytes.
func Read(r io.ReaderAt, size int64, name string) (*File, error) {
	intro := make([]byte, 512)
	n, err := r.ReadAt(intro, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	intro = intro[:n]
	if err := foreign(intro, size); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(intro, []byte("PK\x03\x04")) || bytes.HasPrefix(intro, []byte("PK\x05\x06")) {
		return readZip(r, size, name)
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(intro, []byte("\xef\xbb\xbf")), " \t\r\n")
	notJSON := len(text) > 0 && !utf16Like(intro) && text[0] != '{' && text[0] != '['
	if notJSON && bytes.IndexByte(intro, 0) >= 0 {
		return nil, fmt.Errorf("%w: it is neither a zip archive nor JSON", ErrNotBackup)
	}
	if size > MaxUnfolded {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrHostile, size, int64(MaxUnfolded))
	}
	e := &Entry{Name: path.Base(strings.ReplaceAll(name, `\`, "/")), Size: size, seekable: true}
	e.open = func() (io.ReadCloser, error) { return section{io.NewSectionReader(r, 0, size)}, nil }
	return &File{Name: name, Text: notJSON, Entries: []*Entry{e}}, nil
}

// utf16Like tells text that is refused with better words when it is read.
func utf16Like(intro []byte) bool {
	return len(intro) >= 2 && (intro[0] == 0xff && intro[1] == 0xfe || intro[0] == 0xfe && intro[1] == 0xff || intro[0] == 0 || intro[1] == 0)
}

// foreigners are files that people take for backups.
var foreigners = []struct{ magic, what string }{
	{"7z\xbc\xaf\x27\x1c", "it is an archive of 7-Zip; unpack it and give the file within"},
	{"Rar!", "it is a RAR archive; unpack it and give the file within"},
	{"\x1f\x8b", "it is compressed with gzip; unpack it and give the file within"},
	{"\x28\xb5\x2f\xfd", "it is compressed with zstd; unpack it and give the file within"},
	{"BZh", "it is compressed with bzip2; unpack it and give the file within"},
	{"\xfd7zXZ", "it is compressed with xz; unpack it and give the file within"},
	{"SQLite format 3\x00", "it is a database; make a backup in the user interface of the old server"},
	{"MZ", "it is a program"},
	{"\x7fELF", "it is a program"},
	{"%PDF", "it is a document"},
	{"\x89PNG", "it is a picture"},
	{"PK\x07\x08", "it is one part of a zip archive that was split; put the parts together again"},
}

func foreign(intro []byte, size int64) error {
	switch {
	case size == 0:
		return fmt.Errorf("%w: it is empty", ErrDamaged)
	case bytes.HasPrefix(intro, []byte("age-encryption.org/v1\n")):
		return fmt.Errorf("%w, with a passphrase; restore it with: ss-server restore FILE", ErrOwn)
	case len(bytes.Trim(intro, "\x00")) == 0:
		return fmt.Errorf("%w: it begins with zeros only", ErrDamaged)
	case len(intro) > 262 && string(intro[257:262]) == "ustar":
		return fmt.Errorf("%w: it is a tar archive; unpack it and give the file within", ErrNotBackup)
	}
	for _, f := range foreigners {
		if bytes.HasPrefix(intro, []byte(f.magic)) {
			return fmt.Errorf("%w: %s", ErrNotBackup, f.what)
		}
	}
	return nil
}

func readZip(r io.ReaderAt, size int64, name string) (*File, error) {
	directory := &boundedReaderAt{r: r, left: maxDirectory}
	z, err := zip.NewReader(directory, size)
	switch {
	case errors.Is(err, ErrHostile):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: its directory cannot be read: %w; copy or download it again", ErrDamaged, err)
	}
	directory.left = -1
	f := &File{Name: name, Zip: true}
	if err := f.add(z, size); err != nil {
		return nil, err
	}
	if isOwn(f) {
		return nil, fmt.Errorf("%w; restore it with: ss-server restore FILE", ErrOwn)
	}
	return f, nil
}

// boundedReaderAt ends the reading of a directory that has no end.
type boundedReaderAt struct {
	r    io.ReaderAt
	left int64 // below zero: no bound
}

// ReadAt implements io.ReaderAt.
func (b *boundedReaderAt) ReadAt(p []byte, at int64) (int, error) {
	if b.left >= 0 {
		if b.left -= int64(len(p)); b.left < 0 {
			return 0, fmt.Errorf("%w: its directory is larger than %d bytes", ErrHostile, maxDirectory)
		}
	}
	return b.r.ReadAt(p, at)
}

func isOwn(f *File) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(f.Entries, func(e *Entry) bool { return e.Name == name })
	}
	return has("backup.json") && has("manifest.json") || has("backup.json") && slices.ContainsFunc(f.Entries, func(e *Entry) bool {
		return strings.HasPrefix(e.Name, "objects/") && strings.HasSuffix(e.Name, ".jsonl")
	})
}

// add takes the files of a zip that are in order; folders are passed over.
func (f *File) add(z *zip.Reader, size int64) error {
	if len(z.File) > maxEntries {
		return fmt.Errorf("%w: it has %d entries, at most %d are allowed", ErrHostile, len(z.File), maxEntries)
	}
	seen := make(map[string]bool, len(z.File))
	var unfolded, stored uint64
	for _, file := range z.File {
		name, err := cleanName(file)
		if err != nil {
			return err
		}
		if folded := strings.ToLower(name); seen[folded] {
			return fmt.Errorf("%w: the entry %.80q is there twice", ErrHostile, name)
		} else if seen[folded] = true; file.Mode().IsDir() || strings.HasSuffix(name, "/") {
			continue
		}
		if err := plain(file); err != nil {
			return err
		}
		if unfolded += file.UncompressedSize64; unfolded > MaxUnfolded || file.UncompressedSize64 > MaxUnfolded {
			return fmt.Errorf("%w: it unfolds to more than %d bytes", ErrHostile, int64(MaxUnfolded))
		}
		// Entries that share their bytes would let a small file unfold to a large one.
		if stored += file.CompressedSize64; stored > uint64(size) || file.CompressedSize64 > uint64(size) {
			return fmt.Errorf("%w: its entries are larger than the file itself", ErrHostile)
		}
		f.Entries = append(f.Entries, &Entry{
			Name: name, Size: int64(file.UncompressedSize64),
			open: func() (io.ReadCloser, error) { return openPart(file) },
		})
	}
	if len(f.Entries) == 0 {
		return fmt.Errorf("%w: there is no file in it", ErrNotBackup)
	}
	if unfolded > bombSize && unfolded/bombRatio > stored {
		return fmt.Errorf("%w: its entries unfold from %d bytes to %d", ErrHostile, stored, unfolded)
	}
	return nil
}

func cleanName(file *zip.File) (string, error) {
	name := strings.ReplaceAll(file.Name, `\`, "/") // as old Windows programs write it
	switch {
	case !utf8.ValidString(name):
		return "", fmt.Errorf("%w: the name %.80q of an entry is not text in UTF-8", ErrHostile, name)
	case name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return "", fmt.Errorf("%w: an entry is named %.80q", ErrHostile, name)
	case strings.HasPrefix(name, "/") || strings.Contains(name, ":"):
		return "", fmt.Errorf("%w: the entry %.80q names a place on a disk", ErrHostile, name)
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(name, "/"), "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: the entry %.80q leads out of the archive", ErrHostile, name)
		}
		if part == "" || part == "." {
			return "", fmt.Errorf("%w: an entry is named %.80q", ErrHostile, name)
		}
	}
	return name, nil
}

func plain(file *zip.File) error {
	size, stored := file.UncompressedSize64, file.CompressedSize64
	switch {
	case file.Flags&1 != 0:
		return fmt.Errorf("%w: the entry %.80q needs a password; pack it again without one", ErrEncrypted, file.Name)
	case file.Mode()&fs.ModeType != 0:
		return fmt.Errorf("%w: the entry %.80q is not a plain file", ErrHostile, file.Name)
	case file.Method != zip.Deflate && file.Method != zip.Store:
		return fmt.Errorf("%w: the entry %.80q is packed by method %d; pack it again with Deflate", ErrNotBackup, file.Name, file.Method)
	case file.Method == zip.Store && size != stored:
		return fmt.Errorf("%w: the entry %.80q has two sizes", ErrHostile, file.Name)
	case size > bombSize && size/bombRatio > stored:
		return fmt.Errorf("%w: the entry %.80q unfolds from %d bytes to %d", ErrHostile, file.Name, stored, size)
	}
	return nil
}

func openPart(file *zip.File) (io.ReadCloser, error) {
	r, err := file.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: the entry %.80q cannot be opened: %w", ErrDamaged, file.Name, err)
	}
	return &part{file: file, r: r, left: file.UncompressedSize64}, nil
}

// part reads an entry, and not a byte more than it is to have.
type part struct {
	file *zip.File
	r    io.ReadCloser
	left uint64
}

// Read implements io.Reader.
func (p *part) Read(buf []byte) (int, error) {
	n, err := p.r.Read(buf)
	if uint64(n) > p.left {
		return 0, fmt.Errorf("%w: the entry %.80q is longer than it says", ErrHostile, p.file.Name)
	}
	p.left -= uint64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: the entry %.80q: %w; copy or download it again", ErrDamaged, p.file.Name, err)
	}
	return n, err
}

// Close implements io.Closer.
func (p *part) Close() error { return p.r.Close() }

// VersionError is a backup of a version that the importer asked is not for. It is an
// ErrNotBackup.
type VersionError struct{ Version string }

func (e *VersionError) Error() string { return fmt.Sprintf("it is of version %.40q", e.Version) }

// Is tells that it is an ErrNotBackup.
func (e *VersionError) Is(target error) bool { return target == ErrNotBackup }

// Major is the first number of a version.
func Major(version string) (n int, ok bool) {
	text := strings.TrimLeft(version, "vV ")
	digits := 0
	for digits < len(text) && digits < 4 && text[digits] >= '0' && text[digits] <= '9' {
		n = n*10 + int(text[digits]-'0')
		digits++
	}
	return n, digits > 0
}
