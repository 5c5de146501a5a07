package sftp3

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"strings"

	"ss-setup/runtime/vfs"
)

// hashes are the sums that check-file makes. MD5, SHA-1 and CRC-32 are here because
// clients ask for them to find a broken transfer, not a forged one.
var hashes = map[string]func() hash.Hash{
	"sha256": sha256.New,
	"sha512": sha512.New,
	"sha384": sha512.New384,
	"sha224": sha256.New224,
	"sha1":   sha1.New,
	"md5":    md5.New,
	"crc32":  func() hash.Hash { return crc32.NewIEEE() },
}

const (
	// minHashBlock is the smallest block that may be asked for.
	minHashBlock = 256
	// maxSums bounds the sums of one answer, in bytes.
	maxSums = 64 << 10
)

// sumRequest is what is asked of a file.
type sumRequest struct {
	algorithms     string // names in order of preference, commas between
	offset, length uint64 // length 0 is to the end
	block          uint32 // 0 is one sum of all
}

func readSumRequest(f *fields) sumRequest {
	return sumRequest{f.string(), f.uint64(), f.uint64(), f.uint32()}
}

func (s *Session) checkHandle(id uint32, f *fields) error {
	wire := f.bytes()
	want := readSumRequest(f)
	if f.err != nil {
		return f.err
	}
	h, err := s.findFile(wire)
	if err != nil {
		return err
	}
	if !h.flag.Has(vfs.Read) {
		return clientError("the file is not open for reading")
	}
	return s.failed("check-file", h.name, s.sums(id, h.file, want))
}

func (s *Session) checkName(id uint32, f *fields) error {
	name, nameErr := f.name()
	want := readSumRequest(f)
	if err := errors.Join(f.err, nameErr); err != nil {
		return err
	}
	file, err := s.fs.Open(name, vfs.Read, 0)
	if err != nil {
		return s.failed("check-file", name, err)
	}
	err = s.sums(id, file, want)
	if closing := file.Close(); closing != nil && err == errAnswered {
		err = closing
	}
	return s.failed("check-file", name, err)
}

func (s *Session) sums(id uint32, file vfs.File, want sumRequest) error {
	algorithm, h := chooseHash(want.algorithms)
	if h == nil {
		return clientError("none of these hash algorithms is known; there are sha256, sha512, sha384, sha224, sha1, md5 and crc32")
	}
	if want.block != 0 && want.block < minHashBlock {
		return clientError("a block has 256 bytes at least")
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := uint64(max(info.Size, 0))
	if want.offset > size || want.offset > math.MaxInt64 {
		return clientError("the file ends before that")
	}
	left := size - want.offset
	if want.length != 0 && want.length < left {
		left = want.length
	}
	block := uint64(want.block)
	if block == 0 {
		block = max(left, 1)
	}
	if left/block >= uint64(maxSums/h.Size()) {
		return clientError("these are too many blocks for one answer; ask for a part of the file or for larger ones")
	}
	return s.sumReply(id, file, algorithm, h, want.offset, left, block)
}

func (s *Session) sumReply(id uint32, file vfs.File, algorithm string, h hash.Hash, offset, left, block uint64) error {
	buffer := s.options.Buffers.chunk()
	defer s.options.Buffers.putChunk(buffer)
	var sums []byte
	for first := true; left > 0 || first; first = false {
		h.Reset()
		part := min(left, block)
		left -= part
		for part > 0 {
			if err := s.ctx.Err(); err != nil {
				return err
			}
			n, err := file.ReadAt(buffer[:min(part, chunk)], int64(offset))
			if n == 0 {
				if err == nil || err == io.EOF {
					return clientError("the file became shorter meanwhile")
				}
				return err
			}
			h.Write(buffer[:n])
			offset, part = offset+uint64(n), part-uint64(n)
		}
		sums = h.Sum(sums)
	}
	s.reply.start(typeExtendedReply, id)
	s.reply.string("check-file")
	s.reply.string(algorithm)
	s.reply.b = append(s.reply.b, sums...)
	return errAnswered
}

func chooseHash(list string) (name string, h hash.Hash) {
	for name := range strings.SplitSeq(list, ",") {
		if make := hashes[strings.ToLower(strings.TrimSpace(name))]; make != nil {
			return name, make()
		}
	}
	return "", nil
}
