package sftp3

import (
	"encoding/binary"
	"math"
)

// piece is what a READ asks for.
type piece struct {
	handle *handle
	offset int64
	length uint32
}

// size is how much of it one answer has room for.
func (p piece) size() int { return int(min(p.length, maxData)) }

// fetched are the data of a piece, in the buffer of the answer.
type fetched struct {
	piece
	ready   chan struct{} // closed when n and err are set; nil if they are
	buffer  []byte
	release func()
	n       int
	err     error
	wrong   any // what a read ahead panicked with
}

func (f *fetched) read() {
	f.n, f.err = f.handle.file.ReadAt(f.buffer[dataHead:], f.offset)
}

// answer is the packet: the data are in their place already.
func (f *fetched) answer(id uint32) []byte {
	binary.BigEndian.PutUint32(f.buffer, uint32(dataHead-4+f.n))
	f.buffer[4] = typeData
	binary.BigEndian.PutUint32(f.buffer[5:], id)
	binary.BigEndian.PutUint32(f.buffer[9:], uint32(f.n))
	return f.buffer[:dataHead+f.n]
}

// fetch reads a piece, if it was not read ahead. The caller releases it.
func (s *Session) fetch(p piece) *fetched {
	if a := s.ahead; a != nil {
		s.ahead = nil
		<-a.ready
		if a.wrong != nil {
			panic(a.wrong) // ends this session alone, as it would have without reading ahead
		}
		if a.piece == p {
			return a
		}
		a.release()
	}
	f := &fetched{piece: p}
	f.buffer, f.release = s.options.Buffers.forData(p.size())
	f.read()
	return f
}

// readLength is what follows the length of a READ packet.
const readLength = 1 + 4 + 4 + handleSize + 8 + 4

// fetchAhead begins to read for the request that comes next, if that is a large READ
// which has arrived: storage works while the answer before it is encrypted and sent.
// Nothing else is served in between, so that the data are as if they were read then.
func (s *Session) fetchAhead() {
	next := s.in.waiting()
	if len(next) < 4+readLength || binary.BigEndian.Uint32(next) != readLength || next[4] != typeRead {
		return
	}
	f := &fields{rest: next[9 : 4+readLength]} // behind the number of the request
	wire, offset, length := f.bytes(), f.uint64(), f.uint32()
	if f.err != nil || offset > math.MaxInt64 {
		return
	}
	h, err := s.findFile(wire)
	if err != nil {
		return
	}
	a := &fetched{piece: piece{h, int64(offset), length}, ready: make(chan struct{})}
	var ok bool
	if a.buffer, a.release, ok = s.options.Buffers.spare(a.size()); !ok {
		return
	}
	s.ahead = a
	go func() {
		defer func() {
			a.wrong = recover()
			close(a.ready)
		}()
		a.read()
	}()
}

// dropAhead waits for what is being read, lest its file be closed under it.
func (s *Session) dropAhead() {
	if a := s.ahead; a != nil {
		s.ahead = nil
		<-a.ready
		a.release()
	}
}
