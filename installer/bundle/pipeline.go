package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// inFlight is how many chunks are on their way between reading and writing. Two
// megabytes let decompression go on while a file is being synced.
const inFlight = 32

// chunk is a piece of one file, or one of the payload itself when keep is set.
type chunk struct {
	file        File
	data        []byte
	first, last bool
	keep        io.Writer
}

// pipeline moves files through three goroutines - read, hash, write - so that a
// release is unpacked as fast as the slowest of them alone. The first that fails
// cancels the context, with its error as the cause.
type pipeline struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	empty  chan []byte
	filled chan chunk
	hashed chan chunk
	made   int // buffers, by the goroutine that reads
}

func newPipeline(ctx context.Context, cancel context.CancelCauseFunc) *pipeline {
	return &pipeline{
		ctx:    ctx,
		cancel: cancel,
		empty:  make(chan []byte, inFlight),
		filled: make(chan chunk, inFlight),
		hashed: make(chan chunk, inFlight),
	}
}

// read runs walkArchive, which calls send for every file.
func (p *pipeline) read(walkArchive func() error) {
	defer close(p.filled)
	err := walkArchive()
	switch {
	case err == nil || p.ctx.Err() != nil:
	case errors.Is(err, ErrDamaged):
		p.cancel(err)
	default:
		p.cancel(damagedf("cannot read the archive: %w", err))
	}
}

// send reads one file from body and passes it on.
func (p *pipeline) send(f File, body io.Reader) error {
	left := f.Size
	for first := true; first || left > 0; first = false {
		buf, err := p.buffer()
		if err != nil {
			return err
		}
		buf = buf[:min(left, chunkSize)]
		if _, err := io.ReadFull(body, buf); err != nil {
			return fmt.Errorf("%s ends early: %w", f.Path, err)
		}
		left -= int64(len(buf))
		if err := pass(p.ctx, p.filled, chunk{file: f, data: buf, first: first, last: left == 0}); err != nil {
			return err
		}
	}
	return nil
}

// buffer gives one that was used before, if there is one: it is in the cache.
func (p *pipeline) buffer() ([]byte, error) {
	select {
	case buf := <-p.empty:
		return buf[:chunkSize], nil
	default:
	}
	if p.made < inFlight {
		p.made++
		return make([]byte, chunkSize), nil
	}
	select {
	case buf := <-p.empty:
		return buf[:chunkSize], nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

// hash passes every chunk on. With digests it passes the last of a file only when
// the digest of the whole is the promised one.
func (p *pipeline) hash(digests bool) {
	defer close(p.hashed)
	// Whoever sees hashed closed may rely on read having ended, too.
	defer func() {
		for range p.filled {
		}
	}()
	hash := sha256.New() // of the file that is passing
	for c := range p.filled {
		if digests && c.keep == nil {
			if err := c.addTo(hash); err != nil {
				p.cancel(err)
				return
			}
		}
		if pass(p.ctx, p.hashed, c) != nil {
			return
		}
	}
}

// addTo hashes c and, at the end of its file, compares.
func (c chunk) addTo(h hash.Hash) error {
	if c.first {
		h.Reset()
	}
	h.Write(c.data)
	if !c.last {
		return nil
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != c.file.SHA256 {
		return damagedf("the SHA-256 of %s is %s, the manifest says %s", c.file.Path, got, c.file.SHA256)
	}
	return nil
}

// write makes the files in dst. It returns only errors of dst; whether all chunks
// came is for the cause of the context to tell.
func (p *pipeline) write(dst Target, progress func(done, total int64), total int64) error {
	var done int64
	var out io.WriteCloser
	for c := range p.hashed {
		var err error
		if c.keep != nil {
			if _, err = c.keep.Write(c.data); err != nil {
				return errors.Join(fmt.Errorf("cannot keep the payload: %w", err), closed(out))
			}
			p.empty <- c.data
			continue
		}
		if c.first {
			if out, err = dst.Create(c.file.Path, c.file.Perm(), c.file.Size); err != nil {
				return fmt.Errorf("cannot create %s: %w", c.file.Path, err)
			}
		}
		if len(c.data) > 0 {
			if _, err = out.Write(c.data); err != nil {
				err = errors.Join(err, out.Close())
				return fmt.Errorf("cannot write %s: %w", c.file.Path, err)
			}
		}
		done += int64(len(c.data))
		p.empty <- c.data
		if c.last {
			if err = out.Close(); err != nil {
				return fmt.Errorf("cannot finish %s: %w", c.file.Path, err)
			}
			out = nil
		}
		progress(done, total)
	}
	if out == nil {
		return nil
	}
	// The file was cut short; the reason is the cause already.
	if err := out.Close(); err != nil && context.Cause(p.ctx) == nil {
		return fmt.Errorf("cannot finish a file: %w", err)
	}
	return nil
}

// closed closes a file that was being written when something else failed.
func closed(out io.Closer) error {
	if out == nil {
		return nil
	}
	return out.Close()
}

// stop ends the other goroutines and waits for them, so that nobody reads from
// the archive after the caller has closed it.
func (p *pipeline) stop() {
	p.cancel(context.Canceled)
	for range p.hashed {
	}
}

func pass(ctx context.Context, to chan<- chunk, c chunk) error {
	select {
	case to <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keeper gathers the payload as it is read, for the copy that a release keeps. Its
// chunks of one size go the way of the files, so that the same payload is always
// the same calls in the same order.
type keeper struct {
	to   io.Writer
	line *pipeline // while files are being unpacked
	buf  []byte
}

// join makes chunks go through line, or with nil straight to their end again. It
// is nothing for a keeper that is nil.
func (k *keeper) join(line *pipeline) {
	if k != nil {
		k.line = line
	}
}

func (k *keeper) add(p []byte) error {
	for len(p) > 0 {
		if err := k.ready(); err != nil {
			return err
		}
		n := min(len(p), chunkSize-len(k.buf))
		k.buf = append(k.buf, p[:n]...)
		p = p[n:]
		if len(k.buf) < chunkSize {
			return nil
		}
		if err := k.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) ready() (err error) {
	switch {
	case k.buf != nil:
	case k.line == nil:
		k.buf = make([]byte, 0, chunkSize)
	default:
		if k.buf, err = k.line.buffer(); err == nil {
			k.buf = k.buf[:0]
		}
	}
	return err
}

func (k *keeper) flush() error {
	if len(k.buf) == 0 {
		return nil
	}
	buf := k.buf
	k.buf = nil
	if k.line != nil {
		return pass(k.line.ctx, k.line.filled, chunk{data: buf, keep: k.to})
	}
	if _, err := k.to.Write(buf); err != nil {
		return fmt.Errorf("cannot keep the payload: %w", err)
	}
	return nil
}
