// Package delta makes a file of a new release out of the same file of an old one and
// a patch. A patch is a zstd frame that was compressed with the old file as its
// dictionary, so applying it costs little more than decompressing.
//
// A payload is patched as the archive in it, and compressed again as the vendor
// compressed it: what comes out is the very payload that was signed, byte for byte,
// or it is thrown away and the whole is downloaded. So nothing behind this package
// knows how a file came, and nothing here needs to be trusted.
package delta

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// MaxSize is the largest file that is patched: old and new are held in memory.
const MaxSize = 256 << 20

const (
	// dictionary is the number by which a frame names its dictionary.
	dictionary = 1
	// window is the most that spanning gives.
	window = 512 << 20
)

// ErrUnfit is found in the error of a patch that does not fit the old file, or of a
// file that is too large.
var ErrUnfit = errors.New("the patch does not fit")

// Make makes the patch that turns old into new.
func Make(old, new []byte) ([]byte, error) {
	if len(old) > MaxSize || len(new) > MaxSize || len(old) == 0 {
		return nil, fmt.Errorf("%w: files of %d and %d bytes", ErrUnfit, len(old), len(new))
	}
	e, err := zstd.NewWriter(
		nil, zstd.WithEncoderDictRaw(dictionary, old), zstd.WithWindowSize(spanning(len(old)+len(new))),
		zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1),
	)
	if err != nil {
		return nil, err
	}
	return e.EncodeAll(new, nil), nil
}

// spanning is a window over the old file and the new one, so that every byte of this
// can refer to the whole of that.
func spanning(size int) int {
	w := 1 << 20
	for w < size {
		w <<= 1
	}
	return w
}

// Apply makes a file of at most size bytes. What it returns proves nothing: the
// caller compares its digest.
func Apply(old, patch []byte, size int64) ([]byte, error) {
	if len(old) > MaxSize || size > MaxSize || len(old) == 0 {
		return nil, fmt.Errorf("%w: files of %d and %d bytes", ErrUnfit, len(old), size)
	}
	d, err := zstd.NewReader(
		nil, zstd.WithDecoderDictRaw(dictionary, old), zstd.WithDecoderMaxWindow(window),
		zstd.WithDecoderMaxMemory(uint64(max(size, 1))), zstd.WithDecoderConcurrency(1),
	)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	out, err := d.DecodeAll(patch, make([]byte, 0, min(size, int64(len(old))+1<<20)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	if int64(len(out)) > size {
		return nil, fmt.Errorf("%w: it makes %d bytes, not %d", ErrUnfit, len(out), size)
	}
	return out, nil
}

// Levels of compression that payloads are made with, weakest first.
var Levels = []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression, zstd.SpeedBestCompression}

// NewPayloadWriter compresses a payload: the same bytes at the same level give the
// same payload. It must be closed.
func NewPayloadWriter(w io.Writer, level zstd.EncoderLevel) (*zstd.Encoder, error) {
	// One core: more would make the bytes depend on who finishes first.
	return zstd.NewWriter(w, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1))
}

// OpenPayload decompresses a payload.
func OpenPayload(payload io.Reader) ([]byte, error) {
	d, err := zstd.NewReader(payload, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	out, err := io.ReadAll(io.LimitReader(d, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(out) > MaxSize {
		return nil, fmt.Errorf("%w: the payload unpacks to more than %d bytes", ErrUnfit, MaxSize)
	}
	return out, nil
}

// ClosePayload compresses an archive.
func ClosePayload(archive []byte, level zstd.EncoderLevel) ([]byte, error) {
	var out bytes.Buffer
	w, err := NewPayloadWriter(&out, level)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(archive)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// Payload is a patch of a payload with what is needed to make the payload again.
type Payload struct {
	Patch []byte
	// Size of the archive, Level it is compressed with.
	Size  int64
	Level zstd.EncoderLevel
}

// MakePayload makes the patch between two payloads. It fails with ErrUnfit when the
// new one cannot be made again byte for byte.
func MakePayload(old, new []byte) (*Payload, error) {
	before, err := OpenPayload(bytes.NewReader(old))
	if err != nil {
		return nil, err
	}
	after, err := OpenPayload(bytes.NewReader(new))
	if err != nil {
		return nil, err
	}
	for _, level := range Levels {
		again, err := ClosePayload(after, level)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(again, new) {
			continue
		}
		patch, err := Make(before, after)
		return &Payload{Patch: patch, Size: int64(len(after)), Level: level}, err
	}
	return nil, fmt.Errorf("%w: this program does not compress as the one that made the payload", ErrUnfit)
}

// Apply makes the new payload out of the old one.
func (p *Payload) Apply(old io.Reader) ([]byte, error) {
	if p.Size < 0 || p.Size > MaxSize || p.Level < zstd.SpeedFastest || p.Level > zstd.SpeedBestCompression {
		return nil, fmt.Errorf("%w: %d bytes at level %d", ErrUnfit, p.Size, p.Level)
	}
	before, err := OpenPayload(old)
	if err != nil {
		return nil, err
	}
	after, err := Apply(before, p.Patch, p.Size)
	if err != nil {
		return nil, err
	}
	return ClosePayload(after, p.Level)
}
