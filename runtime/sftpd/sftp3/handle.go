package sftp3

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"ss-setup/runtime/vfs"
)

// handleSize is the length of a handle on the wire.
const handleSize = 4

// handle is an open file or an open folder.
type handle struct {
	name   vfs.Path
	flag   vfs.Flag
	file   vfs.File
	dir    vfs.Dir
	opened time.Time
	// These are read by others while the session runs.
	read, written atomic.Int64
	used          atomic.Int64 // Unix time in nanoseconds of the last transfer
}

// Transfer is a file that is open.
type Transfer struct {
	Name          string
	Opened        time.Time
	Used          time.Time // when data moved last; zero if none did
	Write         bool
	Read, Written int64
}

// Transfers lists the open files.
func (s *Session) Transfers() []Transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Transfer
	for _, h := range s.handles {
		if h.file == nil {
			continue
		}
		t := Transfer{Name: h.name.String(), Opened: h.opened, Write: h.flag.Has(vfs.Write), Read: h.read.Load(), Written: h.written.Load()}
		if used := h.used.Load(); used != 0 {
			t.Used = time.Unix(0, used)
		}
		list = append(list, t)
	}
	return list
}

// errHandles is too many open files.
const errHandles = clientError("too many open files in this session")

func (s *Session) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.handles) >= s.options.MaxHandles
}

func (s *Session) keep(h *handle) uint32 {
	h.opened = s.options.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		s.last++
		if _, taken := s.handles[s.last]; !taken {
			s.handles[s.last] = h
			return s.last
		}
	}
}

// find is the handle that a client wrote; nil if there is none.
func (s *Session) find(wire []byte) *handle {
	if len(wire) != handleSize {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handles[binary.BigEndian.Uint32(wire)]
}

// findFile is the open file that a client means.
func (s *Session) findFile(wire []byte) (*handle, error) {
	h := s.find(wire)
	if h == nil || h.file == nil {
		return nil, errHandle
	}
	return h, nil
}

func (s *Session) closeHandle(wire []byte) error {
	h := s.find(wire)
	if h == nil {
		return errHandle
	}
	s.forget(binary.BigEndian.Uint32(wire))
	if h.dir != nil {
		return h.dir.Close()
	}
	err := h.file.Close()
	s.observeTransfer(h, false, err)
	return err
}

func (s *Session) forget(number uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.handles, number)
}

func (s *Session) interruptAll() {
	s.mu.Lock()
	left := s.handles
	s.handles = map[uint32]*handle{}
	s.mu.Unlock()
	for _, h := range left {
		if h.dir != nil {
			_ = h.dir.Close()
			continue
		}
		s.observeTransfer(h, true, h.file.Abort())
	}
}

func (s *Session) observeTransfer(h *handle, interrupted bool, err error) {
	e := Event{
		Op: "download", Name: h.name.String(), Read: h.read.Load(), Written: h.written.Load(),
		Took: s.options.Now().Sub(h.opened), Interrupted: interrupted, Err: err,
	}
	switch {
	case h.flag.Has(vfs.Write) && e.Read > 0:
		e.Op = "update"
	case h.flag.Has(vfs.Write):
		e.Op = "upload"
	}
	s.options.Observe(e)
}

// moved counts data.
func (s *Session) moved(h *handle, read, written int) {
	h.read.Add(int64(read))
	h.written.Add(int64(written))
	h.used.Store(s.options.Now().UnixNano())
}
