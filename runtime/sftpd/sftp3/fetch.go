package sftp3

import "encoding/binary"

// fetched are the data of a READ, in the buffer of the answer.
type fetched struct {
	handle  *handle
	offset  int64
	buffer  []byte
	release func()
	ready   chan struct{} // closed when what was begun ahead is done; nil if nothing was
	n       int
	err     error
	wrong   any // what a read ahead panicked with
}

func (f *fetched) read() {
	f.n, f.err = f.handle.file.ReadAt(f.buffer[dataHead:], f.offset)
}

// wait reads, or waits for what was begun ahead.
func (f *fetched) wait() {
	if f.ready == nil {
		f.read()
		return
	}
	<-f.ready
	if f.wrong != nil {
		panic(f.wrong) // ends this session alone, as it would have without reading ahead
	}
}

// answer is the packet: the data are in their place already.
func (f *fetched) answer(id uint32) []byte {
	binary.BigEndian.PutUint32(f.buffer, uint32(dataHead-4+f.n))
	f.buffer[4] = typeData
	binary.BigEndian.PutUint32(f.buffer[5:], id)
	binary.BigEndian.PutUint32(f.buffer[9:], uint32(f.n))
	return f.buffer[:dataHead+f.n]
}

// fetch is where the data of a READ come to; what was begun ahead was begun for this one.
// The caller waits for them and releases it.
func (s *Session) fetch(h *handle, offset int64, length uint32) *fetched {
	if a := s.ahead; a != nil {
		s.ahead = nil
		return a
	}
	f := &fetched{handle: h, offset: offset}
	f.buffer, f.release = s.options.Buffers.forData(int(min(length, maxData)))
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
	h, offset, length, err := s.wanted(&fields{rest: next[9 : 4+readLength]})
	if err != nil {
		return // told when it is its turn
	}
	buffer, release, ok := s.options.Buffers.spare(int(min(length, maxData)))
	if !ok {
		return
	}
	a := &fetched{handle: h, offset: offset, buffer: buffer, release: release, ready: make(chan struct{})}
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
