package backup

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	fastflate "github.com/klauspost/compress/flate"
)

// MinPassphrase is the shortest passphrase that a backup is encrypted with, in bytes.
const MinPassphrase = 10

// workFactor is scrypt's, as a power of two: 128 MiB and about half a second for each
// guess.
const workFactor = 17

// WriteOptions say how a backup is written.
type WriteOptions struct {
	// Passphrase, unless empty, encrypts the backup.
	Passphrase string

	work int // 0 for workFactor
}

// Write writes a backup of src to w. Of the header, what the caller knows: Version,
// Schema, Made and Node. After an error what was written is no backup, and reading it
// says so.
func Write(ctx context.Context, w io.Writer, header Header, src Source, opt WriteOptions) (Summary, error) {
	header.Format, header.Product, header.Made = Format, product, header.Made.UTC()
	closeOuter := func() error { return nil }
	if opt.Passphrase != "" {
		outer, err := encrypt(w, opt.Passphrase, cmp.Or(opt.work, workFactor))
		if err != nil {
			return Summary{}, err
		}
		w, closeOuter = outer, outer.Close
	}
	buffered := bufio.NewWriterSize(w, 256<<10)
	seal := &sealer{to: buffered, sum: sha256.New()}
	b := &writer{ctx: ctx, zip: zip.NewWriter(seal), summary: Summary{Header: header, Objects: map[string]int{}, Encrypted: opt.Passphrase != ""}}
	b.zip.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return fastflate.NewWriter(w, flate.BestSpeed+2)
	})
	if err := b.all(src); err != nil {
		return Summary{}, fmt.Errorf("write the backup: %w", err)
	}
	sum, err := seal.finish(b.zip)
	if err := errors.Join(err, buffered.Flush(), closeOuter()); err != nil {
		return Summary{}, fmt.Errorf("write the backup: %w", err)
	}
	b.summary.SHA256 = sum
	return b.summary, nil
}

// Encrypt is for a backup that is written elsewhere without a passphrase: what is
// written to it goes to w under one. It must be closed, or the backup is cut.
func Encrypt(w io.Writer, passphrase string) (io.WriteCloser, error) {
	return encrypt(w, passphrase, workFactor)
}

func encrypt(w io.Writer, passphrase string, work int) (io.WriteCloser, error) {
	if len(passphrase) < MinPassphrase {
		return nil, fmt.Errorf("%w: a backup needs one of at least %d characters", ErrPassphrase, MinPassphrase)
	}
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("take the passphrase: %w", err)
	}
	recipient.SetWorkFactor(work)
	out, err := age.Encrypt(w, recipient)
	if err != nil {
		return nil, fmt.Errorf("encrypt the backup: %w", err)
	}
	return out, nil
}

// writer writes the parts.
type writer struct {
	ctx      context.Context
	zip      *zip.Writer
	manifest manifest
	summary  Summary
	open     *openPart
}

// openPart is the part that is written at the moment.
type openPart struct {
	part
	to  io.Writer
	sum hash.Hash
}

func (b *writer) all(src Source) error {
	if err := b.json(headerPart, b.summary.Header); err != nil {
		return err
	}
	for file, err := range src.Files(b.ctx) {
		if err = errors.Join(err, b.ctx.Err()); err != nil {
			return err
		}
		if err := b.file(file); err != nil {
			return err
		}
	}
	for object, err := range src.Objects(b.ctx) {
		if err = errors.Join(err, b.ctx.Err()); err != nil {
			return err
		}
		if err := b.object(object); err != nil {
			return err
		}
	}
	b.finish()
	return b.json(manifestPart, b.manifest)
}

func (b *writer) file(f File) error {
	if err := checkFileName(f.Name); err != nil {
		return err
	}
	if len(f.Content) > maxFile {
		return fmt.Errorf("file %s has %d bytes; a backup takes %d", f.Name, len(f.Content), maxFile)
	}
	if err := b.begin(filesFolder + f.Name); err != nil {
		return err
	}
	b.summary.Files++
	return b.write(f.Content)
}

func (b *writer) object(o Object) error {
	if err := checkKind(o.Kind); err != nil {
		return err
	}
	if len(o.JSON) > maxObject {
		return fmt.Errorf("an object of kind %s has %d bytes; a backup takes %d", o.Kind, len(o.JSON), maxObject)
	}
	if name := objectsFolder + o.Kind + objectsSuffix; b.open == nil || b.open.Name != name {
		if b.summary.Objects[o.Kind] > 0 {
			return fmt.Errorf("objects of kind %s do not come one after the other", o.Kind)
		}
		if err := b.begin(name); err != nil {
			return err
		}
	}
	if bytes.ContainsAny(o.JSON, "\r\n") {
		var line bytes.Buffer
		if err := json.Compact(&line, o.JSON); err != nil {
			return fmt.Errorf("an object of kind %s: %w", o.Kind, err)
		}
		o.JSON = line.Bytes()
	}
	if err := isObject(o.JSON); err != nil {
		return fmt.Errorf("an object of kind %s: %w", o.Kind, err)
	}
	b.open.Objects++
	b.summary.Objects[o.Kind]++
	if err := b.write(o.JSON); err != nil {
		return err
	}
	return b.write([]byte{'\n'})
}

// json writes a part that is one JSON text.
func (b *writer) json(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := b.begin(name); err != nil {
		return err
	}
	if err := b.write(append(text, '\n')); err != nil {
		return err
	}
	b.finish()
	return nil
}

func (b *writer) begin(name string) error {
	b.finish()
	if len(b.manifest.Parts) >= maxParts {
		return fmt.Errorf("more than %d parts", maxParts)
	}
	to, err := b.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: b.summary.Header.Made})
	if err != nil {
		return err
	}
	b.open = &openPart{part: part{Name: name}, to: to, sum: sha256.New()}
	return nil
}

func (b *writer) write(p []byte) error {
	b.open.sum.Write(p)
	b.open.Size += int64(len(p))
	b.summary.Bytes += int64(len(p))
	_, err := b.open.to.Write(p)
	return err
}

func (b *writer) finish() {
	if b.open == nil {
		return
	}
	b.open.SHA256 = hex.EncodeToString(b.open.sum.Sum(nil))
	b.manifest.Parts = append(b.manifest.Parts, b.open.part)
	b.open = nil
}

// isObject says whether text is one JSON object.
func isObject(text []byte) error {
	if trimmed := bytes.TrimLeft(text, " \t"); len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(text) {
		return errors.New("it is not a JSON object")
	}
	return nil
}
