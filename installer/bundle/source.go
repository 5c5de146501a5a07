package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// chunkSize is what is read, hashed and written at once: large enough that
// handing it from one goroutine to the next costs nothing, small enough that all
// of them stay in the cache.
const chunkSize = 64 << 10

// source reads a blob and keeps the digest of what went through. It tells a
// medium that cannot be read from bytes that are wrong, which a decompressor
// behind it could not.
type source struct {
	ctx  context.Context
	from io.Reader
	want Blob
	path string

	read  int64
	fault error // the first error that was not the end of the blob
	hash  *hasher
	keep  *keeper // gets what was read; nil for nobody
}

// newSource starts a goroutine; stop ends it.
func newSource(ctx context.Context, from io.Reader, want Blob, path string) *source {
	return &source{ctx: ctx, from: from, want: want, path: path, hash: newHasher()}
}

func (s *source) Read(p []byte) (int, error) {
	if s.fault != nil {
		return 0, s.fault
	}
	if err := s.ctx.Err(); err != nil {
		return 0, s.fail(fmt.Errorf("stopped reading %s: %w", s.path, err))
	}
	left := s.want.Size - s.read
	if left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := s.from.Read(p)
	s.read += int64(n)
	s.hash.write(p[:n])
	if s.keep != nil {
		if err := s.keep.add(p[:n]); err != nil {
			return n, s.fail(err)
		}
	}
	switch {
	case errors.Is(err, io.EOF) && s.read < s.want.Size:
		return n, s.fail(damagedf("%s ends after %d of %d bytes", s.path, s.read, s.want.Size))
	case err != nil && !errors.Is(err, io.EOF):
		return n, s.fail(fmt.Errorf("cannot read %s: %w", s.path, err))
	}
	return n, nil
}

func (s *source) fail(err error) error {
	s.fault = err
	return err
}

// check reads what is left and compares the digest of all of it.
func (s *source) check() error {
	if _, err := io.Copy(io.Discard, s); err != nil {
		return err
	}
	if got := s.hash.sum(); got != s.want.SHA256 {
		return damagedf("the SHA-256 of %s is %s, its manifest says %s", s.path, got, s.want.SHA256)
	}
	return nil
}

func (s *source) stop() { s.hash.stop() }

// hasher is SHA-256 on a core of its own: on machines without instructions for
// it, hashing takes longer than decompressing.
type hasher struct {
	full   chan []byte
	empty  chan []byte
	result chan [sha256.Size]byte
	buf    []byte
	closed bool
}

func newHasher() *hasher {
	const buffers = 8
	h := &hasher{
		full:   make(chan []byte, buffers),
		empty:  make(chan []byte, buffers),
		result: make(chan [sha256.Size]byte, 1),
	}
	for range buffers {
		h.empty <- make([]byte, 0, chunkSize)
	}
	go h.run()
	return h
}

func (h *hasher) run() {
	hash := sha256.New()
	for p := range h.full {
		hash.Write(p)
		h.empty <- p[:0]
	}
	h.result <- [sha256.Size]byte(hash.Sum(nil))
}

// write takes a copy of p.
func (h *hasher) write(p []byte) {
	for len(p) > 0 {
		if h.buf == nil {
			h.buf = <-h.empty
		}
		n := min(len(p), cap(h.buf)-len(h.buf))
		h.buf = append(h.buf, p[:n]...)
		p = p[n:]
		if len(h.buf) == cap(h.buf) {
			h.full <- h.buf
			h.buf = nil
		}
	}
}

// sum ends the hasher and returns its digest in hexadecimal.
func (h *hasher) sum() string {
	if h.buf != nil {
		h.full <- h.buf
		h.buf = nil
	}
	h.stop()
	digest := <-h.result
	return hex.EncodeToString(digest[:])
}

func (h *hasher) stop() {
	if !h.closed {
		h.closed = true
		close(h.full)
	}
}
