// Package crypt is the encrypted disk VFS: a tree of files, each of them in a format of
// our own that can be read, written, resumed and shortened anywhere, and that nobody who
// has only the disk can read, change or cut unnoticed. docs/formats.md has it byte by
// byte, with what it does not protect from.
//
// A file is a header, with a random key of its own wrapped by the VFS's key, and
// segments of 64 KiB, each sealed by AES-256-GCM with its place in the file; the last
// one is marked as the last. Names, folders, modes and times are as on any disk.
//
//	format.go   header and segments as bytes
//	key.go      the VFS's key, wrapped by the node or by a passphrase
//	node.go     one open file: what is on the disk, what waits in memory
//	journal.go  overwriting in place survives a crash
//	volume.go   open files of a VFS, recovery at its start
//	fs.go       the vfs.FS
package crypt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"ss-setup/runtime/vfs"
)

// The format's sizes, in bytes.
const (
	headerSize  = 128
	segmentSize = 64 << 10
	nonceSize   = 12
	tagSize     = 16
	overhead    = nonceSize + tagSize
	sealedSize  = segmentSize + overhead
	keySize     = 32
	idSize      = 16
	// wrappedAt is where the wrapped key starts; what stands before it is authenticated
	// with it.
	wrappedAt = headerSize - keySize - overhead
)

const (
	magic         = "SSEVFS7\n"
	formatVersion = 1
	cipherAES256  = 1
	// groupSegments share one key that is made from the file's: a random nonce bears
	// 2^32 seals of one key, and so counts for 16 MiB of a file instead of the whole.
	groupSegments = 256
	// maxSize is the longest content: 128 TiB, whose every offset in the sealed file
	// still fits.
	maxSize = int64(1) << 47
)

// id names a key or a file.
type id [idSize]byte

func (i id) String() string { return fmt.Sprintf("%x", i[:]) }

// header is the first block of a file.
type header struct {
	keyID   id
	fileID  id
	wrapped [keySize + overhead]byte
}

// newHeader makes the header of a new file and its key.
func newHeader(key Key) (header, []byte, error) {
	h := header{keyID: key.id}
	fileKey := make([]byte, keySize)
	for _, b := range [][]byte{h.fileID[:], fileKey} {
		if _, err := rand.Read(b); err != nil {
			return header{}, nil, err
		}
	}
	wrapper, err := newAEAD(key.secret[:])
	if err != nil {
		return header{}, nil, err
	}
	raw := h.encode()
	copy(h.wrapped[:], wrapper.Seal(nil, nil, fileKey, raw[:wrappedAt]))
	return h, fileKey, nil
}

func (h header) encode() []byte {
	raw := make([]byte, 0, headerSize)
	raw = append(raw, magic...)
	raw = binary.LittleEndian.AppendUint16(raw, formatVersion)
	raw = binary.LittleEndian.AppendUint16(raw, cipherAES256)
	raw = binary.LittleEndian.AppendUint32(raw, segmentSize)
	raw = append(raw, h.keyID[:]...)
	raw = append(raw, h.fileID[:]...)
	raw = append(raw, make([]byte, wrappedAt-len(raw))...)
	return append(raw, h.wrapped[:]...)
}

// parseHeader reads the first bytes of a file. It proves nothing yet: fileKey does.
func parseHeader(raw []byte) (header, error) {
	var h header
	switch {
	case len(raw) == 0 || len(raw) < headerSize && bytes.HasPrefix([]byte(magic), raw[:min(len(raw), len(magic))]):
		// Created, and cut before the header was written.
		return h, vfs.ErrIncomplete
	case !bytes.HasPrefix(raw, []byte(magic)):
		return h, vfs.ErrPlainFile
	case len(raw) < headerSize:
		return h, vfs.ErrIncomplete
	}
	version, suite := binary.LittleEndian.Uint16(raw[8:]), binary.LittleEndian.Uint16(raw[10:])
	if version != formatVersion || suite != cipherAES256 || binary.LittleEndian.Uint32(raw[12:]) != segmentSize {
		return h, fmt.Errorf("%w: its header names version %d and cipher %d, which this release does not read", vfs.ErrDamaged, version, suite)
	}
	copy(h.keyID[:], raw[16:])
	copy(h.fileID[:], raw[32:])
	copy(h.wrapped[:], raw[wrappedAt:])
	return h, nil
}

// fileKey unwraps the key of the file whose header is raw.
func (h header) fileKey(key Key, raw []byte) ([]byte, error) {
	wrapper, err := newAEAD(key.secret[:])
	if err != nil {
		return nil, err
	}
	fileKey, err := wrapper.Open(nil, nil, h.wrapped[:], raw[:wrappedAt])
	if err != nil {
		return nil, fmt.Errorf("%w: its header does not check out", vfs.ErrDamaged)
	}
	return fileKey, nil
}

// newAEAD is AES-256-GCM that makes a random nonce itself and puts it in front.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// derive makes a key for one purpose from a file's key.
func derive(fileKey []byte, purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, fileKey, nil, purpose, keySize)
	if err != nil {
		return nil, err
	}
	return newAEAD(key)
}

// sealer seals and opens the segments of one file. Several goroutines may use it.
type sealer struct {
	fileID  id
	fileKey []byte

	mu     sync.Mutex
	groups map[int64]cipher.AEAD
}

// keptGroups bounds the keys that a sealer remembers.
const keptGroups = 64

func (s *sealer) aead(index int64) (cipher.AEAD, error) {
	group := index / groupSegments
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.groups[group]; ok {
		return a, nil
	}
	a, err := derive(s.fileKey, fmt.Sprintf("segments %d", group))
	if err != nil {
		return nil, err
	}
	if s.groups == nil || len(s.groups) >= keptGroups {
		s.groups = make(map[int64]cipher.AEAD)
	}
	s.groups[group] = a
	return a, nil
}

// place is what a segment is bound to: its file, its number, whether it is the last.
func (s *sealer) place(index int64, final bool) []byte {
	ad := make([]byte, 0, idSize+9)
	ad = append(ad, s.fileID[:]...)
	ad = binary.LittleEndian.AppendUint64(ad, uint64(index))
	if final {
		return append(ad, 1)
	}
	return append(ad, 0)
}

// seal appends the sealed segment to dst, which must not overlap plain.
func (s *sealer) seal(dst, plain []byte, index int64, final bool) ([]byte, error) {
	a, err := s.aead(index)
	if err != nil {
		return nil, err
	}
	return a.Seal(dst, nil, plain, s.place(index, final)), nil
}

// open appends a segment's content to dst, which must not overlap sealed.
func (s *sealer) open(dst, sealed []byte, index int64, final bool) ([]byte, error) {
	if len(sealed) < overhead {
		return nil, fmt.Errorf("%w: segment %d is cut", vfs.ErrDamaged, index)
	}
	a, err := s.aead(index)
	if err != nil {
		return nil, err
	}
	plain, err := a.Open(dst, nil, sealed, s.place(index, final))
	if err != nil {
		return nil, fmt.Errorf("%w: segment %d does not check out", vfs.ErrDamaged, index)
	}
	return plain, nil
}

// segments is how many segments a content of size bytes has; even an empty one has one.
func segments(size int64) int64 { return max(1, (size+segmentSize-1)/segmentSize) }

// diskSize is how long the file with a content of size bytes is.
func diskSize(size int64) int64 { return headerSize + size + segments(size)*overhead }

// offset is where a segment starts in the file.
func offset(index int64) int64 { return headerSize + index*sealedSize }

// plainSize is how long the content of a file is, by the file's own length. Of a file
// that no server left so it is the most there can be.
func plainSize(onDisk int64) int64 {
	if onDisk <= headerSize {
		return 0
	}
	body := onDisk - headerSize
	return body/sealedSize*segmentSize + max(0, body%sealedSize-overhead)
}
