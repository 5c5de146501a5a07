package control

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A stream is a row of frames: the length in 4 bytes, most significant first, then that
// many bytes. A frame of length 0 ends it, so a stream that was cut is not taken for one
// that ended.

// maxFrame bounds a frame, and with it what either side holds in memory.
const maxFrame = 64 << 10

// frameTimeout bounds the wait for the other side to send or take one frame.
const frameTimeout = 30 * time.Second

// errCut: the other side went away in the middle of a stream.
var errCut = errors.New("the stream was cut")

// frameWriter sends what is written to it as frames.
type frameWriter struct {
	conn net.Conn
	err  error
}

// Write implements io.Writer.
func (w *frameWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 && w.err == nil {
		part := p[:min(len(p), maxFrame)]
		if w.err = w.frame(part); w.err == nil {
			n += len(part)
			p = p[len(part):]
		}
	}
	return n, w.err
}

func (w *frameWriter) frame(content []byte) error {
	w.conn.SetWriteDeadline(time.Now().Add(frameTimeout))
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(content)))
	buffers := net.Buffers{length[:]}
	if len(content) > 0 { // an empty write is the end of everything to who reads a pipe of Windows
		buffers = append(buffers, content)
	}
	_, err := buffers.WriteTo(w.conn)
	return err
}

// end tells the other side that the stream is whole.
func (w *frameWriter) end() error {
	if w.err != nil {
		return w.err
	}
	return w.frame(nil)
}

// frameReader reads a stream up to its end.
type frameReader struct {
	from *bufio.Reader
	// conn and stop, if set, bound the wait for a frame.
	conn net.Conn
	stop context.Context
	left uint32
	err  error
}

// Read implements io.Reader.
func (r *frameReader) Read(p []byte) (int, error) {
	if len(p) == 0 || r.err != nil {
		return 0, r.err
	}
	r.wait()
	if r.left == 0 {
		if r.err = r.next(); r.err != nil {
			return 0, r.err
		}
	}
	n, err := r.from.Read(p[:min(len(p), int(r.left))])
	r.left -= uint32(n)
	if err != nil {
		r.err = fmt.Errorf("%w: %w", errCut, err)
	}
	return n, r.err
}

func (r *frameReader) wait() {
	if r.conn == nil || r.stop.Err() != nil {
		return
	}
	r.conn.SetReadDeadline(time.Now().Add(frameTimeout))
	if r.stop.Err() != nil {
		r.conn.SetReadDeadline(time.Now())
	}
}

func (r *frameReader) next() error {
	var length [4]byte
	if _, err := io.ReadFull(r.from, length[:]); err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	switch r.left = binary.BigEndian.Uint32(length[:]); {
	case r.left == 0:
		return io.EOF
	case r.left > maxFrame:
		return fmt.Errorf("the stream has a frame of %d bytes; at most %d are allowed", r.left, maxFrame)
	}
	return nil
}

// discard reads on until the caller is done: who still sends when the connection is
// closed may lose the answer.
func (r *frameReader) discard() {
	if r != nil {
		_, _ = io.Copy(io.Discard, r)
	}
}

// sendStream sends the question's stream. The answer may come before its end, when the
// server refuses what it got.
func sendStream(conn net.Conn, reader *bufio.Reader, in io.Reader, result any) error {
	sent := make(chan error, 1)
	go func() {
		out := &frameWriter{conn: conn}
		_, err := io.Copy(out, in)
		if err != nil {
			// Without its end the stream is cut, and the server takes none of it.
			conn.Close()
		} else {
			err = out.end()
		}
		sent <- err
	}()
	err := readAnswer(reader, result)
	conn.Close()
	if sending := <-sent; err != nil && sending != nil && !errors.Is(sending, net.ErrClosed) {
		return errors.Join(err, fmt.Errorf("send to the running server: %w", sending))
	}
	return err
}

func receiveStream(reader *bufio.Reader, out io.Writer) error {
	if _, err := io.Copy(out, &frameReader{from: reader}); err != nil {
		return fmt.Errorf("receive from the running server: %w", err)
	}
	return nil
}
