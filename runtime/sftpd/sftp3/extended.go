package sftp3

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"

	"ss-setup/runtime/vfs"
)

// extensions are announced to the client.
var extensions []extension

type extension struct {
	name, version string
	serve         func(s *Session, id uint32, f *fields) error
}

// checkFileByHandle and checkFileByName are the two requests of "check-file", which is
// what is announced; paramiko sends the announced name and means a handle.
const (
	checkFileByHandle = "check-file-handle"
	checkFileByName   = "check-file-name"
)

func init() {
	extensions = []extension{
		{"limits@openssh.com", "1", (*Session).limits},
		{"posix-rename@openssh.com", "1", func(s *Session, _ uint32, f *fields) error { return s.renameBy(f, "posix-rename", true) }},
		{"statvfs@openssh.com", "2", (*Session).statvfs},
		{"fstatvfs@openssh.com", "2", (*Session).fstatvfs},
		{"fsync@openssh.com", "1", (*Session).fsync},
		{"lsetstat@openssh.com", "1", func(s *Session, _ uint32, f *fields) error { return s.setstatBy(f, "lsetstat", false) }},
		{"expand-path@openssh.com", "1", (*Session).expandPath},
		{"home-directory", "1", (*Session).homeDirectory},
		{"users-groups-by-id@openssh.com", "1", (*Session).usersGroups},
		{"copy-data", "1", (*Session).copyData},
		{"check-file", "1", (*Session).checkHandle},
	}
}

// extended serves a request that has a name for a type.
func (s *Session) extended(id uint32, f *fields) error {
	name := f.string()
	if f.err != nil {
		return f.err
	}
	switch name {
	case checkFileByHandle:
		return s.checkHandle(id, f)
	case checkFileByName:
		return s.checkName(id, f)
	}
	for _, e := range extensions {
		if e.name == name {
			return e.serve(s, id, f)
		}
	}
	return errors.ErrUnsupported
}

func (s *Session) limits(id uint32, _ *fields) error {
	s.reply.start(typeExtendedReply, id)
	s.reply.uint64(maxPacket)
	s.reply.uint64(maxData)
	s.reply.uint64(maxData)
	s.reply.uint64(uint64(s.options.MaxHandles))
	return errAnswered
}

func (s *Session) statvfs(id uint32, f *fields) error {
	name, err := f.name()
	if err != nil {
		return err
	}
	return s.space(id, name)
}

func (s *Session) fstatvfs(id uint32, f *fields) error {
	wire := f.bytes()
	if f.err != nil {
		return f.err
	}
	h := s.find(wire)
	if h == nil {
		return errHandle
	}
	return s.space(id, h.name)
}

const (
	// readOnly and noSetuid are flags of a file system.
	readOnly = 1
	noSetuid = 2
	// usualBlock is the unit of one that does not say.
	usualBlock = 4096
)

func (s *Session) space(id uint32, name vfs.Path) error {
	room, err := s.fs.StatFS(name)
	if err != nil {
		return s.failed("statvfs", name, err)
	}
	block, flags, longest := room.BlockSize, uint64(noSetuid), room.MaxName
	if block <= 0 {
		block = usualBlock
	}
	if longest <= 0 {
		longest = vfs.MaxName
	}
	if room.ReadOnly {
		flags |= readOnly
	}
	r := &s.reply
	r.start(typeExtendedReply, id)
	for _, v := range []int64{block, block, room.Total / block, room.Free / block, room.Free / block, room.Files, room.FreeFiles, room.FreeFiles, 0} {
		r.uint64(uint64(max(v, 0)))
	}
	r.uint64(flags)
	r.uint64(uint64(longest))
	return errAnswered
}

func (s *Session) fsync(_ uint32, f *fields) error {
	wire := f.bytes()
	if f.err != nil {
		return f.err
	}
	h, err := s.findFile(wire)
	if err != nil {
		return err
	}
	return s.failed("fsync", h.name, h.file.Sync())
}

// expandPath knows one home, that of the session.
func (s *Session) expandPath(id uint32, f *fields) error {
	text := f.string()
	if f.err != nil {
		return f.err
	}
	if rest, home := strings.CutPrefix(text, "~"); home {
		user, below, _ := strings.Cut(rest, "/")
		if user != "" && user != s.options.Owner {
			return clientError("there is no home but your own")
		}
		text = below
	}
	name, err := vfs.Parse(text, vfs.HostRules())
	if err != nil {
		return err
	}
	return s.nameReply(id, name.String())
}

func (s *Session) homeDirectory(id uint32, f *fields) error {
	user := f.string()
	if f.err != nil {
		return f.err
	}
	if user != "" && user != s.options.Owner {
		return clientError("there is no home but your own")
	}
	return s.nameReply(id, "/")
}

// usersGroups names the one owner there is, number 0, and leaves all others without.
func (s *Session) usersGroups(id uint32, f *fields) error {
	users, groups := f.bytes(), f.bytes()
	if f.err != nil {
		return f.err
	}
	s.reply.start(typeExtendedReply, id)
	for _, ids := range [][]byte{users, groups} {
		var names reply
		for len(ids) >= 4 && len(names.b) < maxRequest {
			name := ""
			if binary.BigEndian.Uint32(ids) == 0 {
				name = s.options.Owner
			}
			names.string(name)
			ids = ids[4:]
		}
		s.reply.string(string(names.b))
	}
	return errAnswered
}

// copyData copies from one open file to another without the client's network between.
func (s *Session) copyData(_ uint32, f *fields) error {
	fromWire, fromAt, length := f.bytes(), f.uint64(), f.uint64()
	toWire, toAt := f.bytes(), f.uint64()
	if f.err != nil {
		return f.err
	}
	from, err := s.findFile(fromWire)
	if err != nil {
		return err
	}
	to, err := s.findFile(toWire)
	if err != nil {
		return err
	}
	return s.failed("copy-data", to.name, s.copyBetween(from, to, fromAt, toAt, length))
}

func (s *Session) copyBetween(from, to *handle, fromAt, toAt, length uint64) error {
	if from == to {
		return clientError("copying inside of one open file is not supported")
	}
	info, err := from.file.Stat()
	if err != nil {
		return err
	}
	// What is there now bounds the copy: a file copied behind itself would never end.
	size := uint64(max(info.Size, 0))
	if fromAt >= size {
		return nil
	}
	if left := size - fromAt; length == 0 || length > left {
		length = left
	}
	if toAt > math.MaxInt64-length {
		return vfs.ErrTooLarge
	}
	buffer := s.options.Buffers.chunk()
	defer s.options.Buffers.putChunk(buffer)
	for length > 0 {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		n, err := from.file.ReadAt(buffer[:min(length, chunk)], int64(fromAt))
		if n == 0 {
			if err == io.EOF || err == nil {
				return nil // it became shorter
			}
			return err
		}
		if _, err := to.file.WriteAt(buffer[:n], int64(toAt)); err != nil {
			return err
		}
		s.moved(from, n, 0)
		s.moved(to, 0, n)
		fromAt, toAt, length = fromAt+uint64(n), toAt+uint64(n), length-uint64(n)
	}
	return nil
}
