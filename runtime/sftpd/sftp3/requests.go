package sftp3

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"ss-setup/runtime/vfs"
)

// requests are the functions behind the packets; WRITE is apart, as its data are not
// read in one piece. Each returns the error that its status tells, or errAnswered if
// it made another answer. None acts unless all fields were there.
var requests map[byte]func(s *Session, id uint32, f *fields) error

func init() {
	requests = map[byte]func(*Session, uint32, *fields) error{
		typeOpen:     (*Session).open,
		typeClose:    (*Session).close,
		typeRead:     (*Session).read,
		typeLstat:    (*Session).lstat,
		typeFstat:    (*Session).fstat,
		typeSetstat:  (*Session).setstat,
		typeFsetstat: (*Session).fsetstat,
		typeOpendir:  (*Session).opendir,
		typeReaddir:  (*Session).readdir,
		typeRemove:   (*Session).remove,
		typeMkdir:    (*Session).mkdir,
		typeRmdir:    (*Session).rmdir,
		typeRealpath: (*Session).realpath,
		typeStat:     (*Session).stat,
		typeRename:   (*Session).rename,
		typeReadlink: (*Session).readlink,
		typeSymlink:  (*Session).symlink,
		typeExtended: (*Session).extended,
	}
}

// name takes a name as a path. Names that start without a slash start at the home,
// which is the root of what a session sees.
func (f *fields) name() (vfs.Path, error) {
	text := f.string()
	if f.err != nil {
		return vfs.Root, f.err
	}
	return vfs.Parse(text, vfs.HostRules())
}

// The flags of an open, as the protocol numbers them.
var openFlags = []vfs.Flag{vfs.Read, vfs.Write, vfs.Append, vfs.Create, vfs.Truncate, vfs.Exclusive}

func openFlag(wire uint32) (flag vfs.Flag) {
	for bit, f := range openFlags {
		if wire&(1<<bit) != 0 {
			flag |= f
		}
	}
	return flag
}

func (s *Session) open(id uint32, f *fields) error {
	name, nameErr := f.name()
	flag := openFlag(f.uint32())
	attrs := readAttrs(f)
	if err := errors.Join(f.err, nameErr); err != nil {
		return err
	}
	if flag&(vfs.Read|vfs.Write) == 0 {
		return clientError("a file is opened for reading, writing or both")
	}
	if s.full() {
		return s.failed("open", name, errHandles)
	}
	var mode fs.FileMode // the VFS's default
	if attrs.Mode != nil {
		mode = *attrs.Mode
	}
	file, err := s.fs.Open(name, flag, mode)
	if err != nil {
		return s.failed("open", name, err)
	}
	return s.handleReply(id, &handle{name: name, flag: flag, file: file})
}

func (s *Session) handleReply(id uint32, h *handle) error {
	s.reply.start(typeHandle, id)
	s.reply.string(string(binary.BigEndian.AppendUint32(nil, s.keep(h))))
	return errAnswered
}

func (s *Session) close(_ uint32, f *fields) error {
	wire := f.bytes()
	if f.err != nil {
		return f.err
	}
	return s.closeHandle(wire)
}

func (s *Session) read(id uint32, f *fields) error {
	h, offset, length, err := s.wanted(f)
	if err != nil {
		return err
	}
	got := s.fetch(h, offset, length)
	defer got.release()
	got.wait()
	if got.n == 0 && length > 0 {
		return s.failed("read", h.name, cmp.Or(got.err, io.EOF))
	}
	s.moved(h, got.n, 0)
	s.fetchAhead()
	if _, err := s.out.Write(got.answer(id)); err != nil {
		return &gone{err}
	}
	return errSent
}

// wanted is what a READ asks for, behind the number of the request.
func (s *Session) wanted(f *fields) (h *handle, offset int64, length uint32, err error) {
	wire, at, length := f.bytes(), f.uint64(), f.uint32()
	if f.err != nil {
		return nil, 0, 0, f.err
	}
	if h, err = s.findFile(wire); err == nil && at > math.MaxInt64 {
		err = io.EOF
	}
	return h, int64(at), length, err
}

// errSent is returned by a request that has sent its answer.
var errSent = errors.New("sent")

// gone is a stream that takes no more answers.
type gone struct{ error }

func (g *gone) Unwrap() error { return g.error }

// writeHead is what comes before the data of a WRITE, behind its type.
const writeHead = 4 + 4 + handleSize + 8 + 4

// write passes the data on while they arrive, so that a session never holds more than
// a chunk of them.
func (s *Session) write(length int) error {
	if length < writeHead {
		return fmt.Errorf("%w: a WRITE of %d bytes", ErrProtocol, length)
	}
	head, err := s.in.peek(writeHead)
	if err != nil {
		return cut(err)
	}
	f := &fields{rest: head}
	id, wire, offset, size := f.uint32(), f.bytes(), f.uint64(), f.uint32()
	if f.err != nil || len(wire) != handleSize {
		// A handle of another length was never given out.
		s.badMessage(id)
		return fmt.Errorf("%w: a WRITE with an impossible handle", ErrProtocol)
	}
	// More than the data may follow: pkg/sftp before 1.13.6, and so rclone, sent its whole
	// buffer after the last piece of a file.
	if int64(size) > int64(length-writeHead) {
		s.badMessage(id)
		return fmt.Errorf("%w: a WRITE of %d bytes that has %d", ErrProtocol, size, length-writeHead)
	}
	h, failure := s.findFile(wire)
	s.in.take(writeHead)
	if failure == nil && offset > math.MaxInt64-maxPacket {
		failure = vfs.ErrTooLarge
	}
	failure, err = s.writeData(h, int64(offset), int(size), failure)
	if err == nil {
		err = s.skip(length - writeHead - int(size))
	}
	if err != nil {
		return cut(err)
	}
	if h != nil {
		_ = s.failed("write", h.name, failure)
	}
	return s.status(id, failure)
}

// writeData passes size bytes on to the file, or nowhere after a failure. err is of the
// stream.
func (s *Session) writeData(h *handle, at int64, size int, before error) (failure, err error) {
	failure = before
	for size > 0 {
		data, err := s.in.next(size)
		if err != nil {
			return failure, err
		}
		size -= len(data)
		if failure != nil {
			continue
		}
		var n int
		n, failure = h.file.WriteAt(data, at)
		at += int64(n)
		s.moved(h, 0, n)
	}
	return failure, nil
}

func (s *Session) skip(n int) error {
	for n > 0 {
		junk, err := s.in.next(n)
		if err != nil {
			return err
		}
		n -= len(junk)
	}
	return nil
}

func (s *Session) lstat(id uint32, f *fields) error { return s.statBy(id, f, "lstat", s.fs.Lstat) }
func (s *Session) stat(id uint32, f *fields) error  { return s.statBy(id, f, "stat", s.fs.Stat) }

func (s *Session) statBy(id uint32, f *fields, op string, by func(vfs.Path) (vfs.Info, error)) error {
	name, err := f.name()
	if err != nil {
		return err
	}
	info, err := by(name)
	if err != nil {
		return s.failed(op, name, err)
	}
	return s.attrsReply(id, info)
}

func (s *Session) attrsReply(id uint32, info vfs.Info) error {
	s.reply.start(typeAttrs, id)
	s.reply.attrs(info)
	return errAnswered
}

func (s *Session) fstat(id uint32, f *fields) error {
	wire := f.bytes()
	if f.err != nil {
		return f.err
	}
	h := s.find(wire)
	if h == nil {
		return errHandle
	}
	stat := func() (vfs.Info, error) { return s.fs.Stat(h.name) }
	if h.file != nil {
		stat = h.file.Stat
	}
	info, err := stat()
	if err != nil {
		return s.failed("fstat", h.name, err)
	}
	return s.attrsReply(id, info)
}

func (s *Session) setstat(_ uint32, f *fields) error { return s.setstatBy(f, "setstat", true) }

func (s *Session) setstatBy(f *fields, op string, follow bool) error {
	name, nameErr := f.name()
	attrs := readAttrs(f)
	if err := errors.Join(f.err, nameErr); err != nil {
		return err
	}
	if err := checkSize(attrs); err != nil || empty(attrs) {
		return err
	}
	if !follow {
		if info, err := s.fs.Lstat(name); err != nil || info.Mode&fs.ModeSymlink != 0 {
			return s.failed(op, name, err) // a link has no attributes worth keeping
		}
	}
	return s.observe(op, name, "", s.fs.SetStat(name, attrs))
}

func (s *Session) fsetstat(_ uint32, f *fields) error {
	wire := f.bytes()
	attrs := readAttrs(f)
	if f.err != nil {
		return f.err
	}
	h := s.find(wire)
	if h == nil {
		return errHandle
	}
	if err := checkSize(attrs); err != nil || empty(attrs) {
		return err
	}
	if h.file == nil {
		return s.observe("fsetstat", h.name, "", s.fs.SetStat(h.name, attrs))
	}
	return s.observe("fsetstat", h.name, "", h.file.SetStat(attrs))
}

func (s *Session) opendir(id uint32, f *fields) error {
	name, err := f.name()
	if err != nil {
		return err
	}
	if s.full() {
		return s.failed("opendir", name, errHandles)
	}
	dir, err := s.fs.ReadDir(name)
	if err != nil {
		return s.failed("opendir", name, err)
	}
	return s.handleReply(id, &handle{name: name, dir: dir})
}

// dirBatch is how many entries an answer has: long lists in few answers, and none near
// the size that a client could refuse.
const dirBatch = 100

func (s *Session) readdir(id uint32, f *fields) error {
	wire := f.bytes()
	if f.err != nil {
		return f.err
	}
	h := s.find(wire)
	if h == nil || h.dir == nil {
		return errHandle
	}
	list, err := h.dir.Next(dirBatch)
	if len(list) == 0 {
		if err == nil {
			err = io.EOF
		}
		return s.failed("readdir", h.name, err)
	}
	now := s.options.Now()
	s.reply.start(typeName, id)
	s.reply.uint32(uint32(len(list)))
	for _, info := range list {
		s.reply.string(info.Name)
		s.reply.string(longName(info, s.options.Owner, now))
		s.reply.attrs(info)
	}
	return errAnswered
}

func (s *Session) remove(_ uint32, f *fields) error { return s.change(f, "remove", s.fs.Remove) }
func (s *Session) rmdir(_ uint32, f *fields) error  { return s.change(f, "rmdir", s.fs.Rmdir) }

func (s *Session) change(f *fields, op string, by func(vfs.Path) error) error {
	name, err := f.name()
	if err != nil {
		return err
	}
	return s.observe(op, name, "", by(name))
}

func (s *Session) mkdir(_ uint32, f *fields) error {
	name, nameErr := f.name()
	attrs := readAttrs(f)
	if err := errors.Join(f.err, nameErr); err != nil {
		return err
	}
	var mode fs.FileMode // the VFS's default
	if attrs.Mode != nil {
		mode = *attrs.Mode
	}
	return s.observe("mkdir", name, "", s.fs.Mkdir(name, mode))
}

// realpath is everybody's first request; it says where the session stands, whether
// anything is there or not.
func (s *Session) realpath(id uint32, f *fields) error {
	name, err := f.name()
	if err != nil {
		return err
	}
	return s.nameReply(id, name.String())
}

func (s *Session) nameReply(id uint32, name string) error {
	s.reply.start(typeName, id)
	s.reply.uint32(1)
	s.reply.string(name)
	s.reply.string(name)
	s.reply.uint32(0) // no attributes
	return errAnswered
}

func (s *Session) rename(_ uint32, f *fields) error { return s.renameBy(f, "rename", false) }

func (s *Session) renameBy(f *fields, op string, replace bool) error {
	from, fromErr := f.name()
	to, toErr := f.name()
	if err := errors.Join(f.err, fromErr, toErr); err != nil {
		return err
	}
	return s.observe(op, from, to.String(), s.fs.Rename(from, to, replace))
}

func (s *Session) readlink(id uint32, f *fields) error {
	name, err := f.name()
	if err != nil {
		return err
	}
	target, err := s.fs.Readlink(name)
	if err != nil {
		return s.failed("readlink", name, err)
	}
	return s.nameReply(id, target)
}

// symlink takes target and name in the order in which OpenSSH sends them, which is not
// that of the draft and is what all others follow.
func (s *Session) symlink(_ uint32, f *fields) error {
	target := f.string()
	name, nameErr := f.name()
	if err := errors.Join(f.err, nameErr); err != nil {
		return err
	}
	return s.observe("symlink", name, target, s.fs.Symlink(target, name))
}
