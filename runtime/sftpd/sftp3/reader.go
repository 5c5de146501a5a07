package sftp3

import "io"

// coldSize holds the usual request; it is all that a waiting session keeps.
const coldSize = 512

// hotRead is a read that tells of more to come.
const hotRead = 4 << 10

// reader buffers the stream of requests. It waits with a small buffer of its own and
// takes a chunk while much comes in: fewer and larger reads, each of which costs a
// message that moves the window of the SSH channel.
type reader struct {
	src     io.Reader
	buffers *Buffers
	cold    [coldSize]byte
	hot     *[chunk]byte
	buf     []byte // one of the two
	r, w    int    // what was read and not yet taken: buf[r:w]
	wantHot bool
}

// peek returns the next n bytes, at most a chunk, without taking them.
func (r *reader) peek(n int) ([]byte, error) {
	if n > coldSize {
		r.wantHot = true
	}
	for r.w-r.r < n {
		if err := r.fill(); err != nil {
			if err == io.EOF && r.w > r.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return r.buf[r.r : r.r+n], nil
}

// next takes what is there of the next n bytes, at least one.
func (r *reader) next(n int) ([]byte, error) {
	if r.r == r.w {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	n = min(n, r.w-r.r)
	r.r += n
	return r.buf[r.r-n : r.r], nil
}

// waiting is what was read and not yet taken. It is valid until the next read.
func (r *reader) waiting() []byte { return r.buf[r.r:r.w] }

func (r *reader) take(n int) { r.r += n }

// fill reads once, behind what is there.
func (r *reader) fill() error {
	r.arrange()
	n, err := r.src.Read(r.buf[r.w:])
	r.wantHot = n >= hotRead || r.w+n == len(r.buf)
	r.w += n
	if n > 0 {
		return nil
	}
	return err
}

// arrange chooses the buffer and moves what is there to its start.
func (r *reader) arrange() {
	left := r.buf[r.r:r.w]
	switch {
	case r.wantHot && r.hot == nil:
		r.hot = r.buffers.chunk()
		r.buf = r.hot[:]
	case !r.wantHot && len(left) == 0:
		r.release()
	}
	r.r, r.w = 0, copy(r.buf, left)
}

// release gives the chunk back; what it held is gone.
func (r *reader) release() {
	if r.hot != nil {
		r.buffers.putChunk(r.hot)
		r.hot = nil
	}
	r.buf, r.r, r.w = r.cold[:], 0, 0
}
