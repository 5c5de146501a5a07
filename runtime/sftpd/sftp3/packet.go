package sftp3

import (
	"encoding/binary"
	"errors"
)

// Packet types of the protocol.
const (
	typeInit          = 1
	typeVersion       = 2
	typeOpen          = 3
	typeClose         = 4
	typeRead          = 5
	typeWrite         = 6
	typeLstat         = 7
	typeFstat         = 8
	typeSetstat       = 9
	typeFsetstat      = 10
	typeOpendir       = 11
	typeReaddir       = 12
	typeRemove        = 13
	typeMkdir         = 14
	typeRmdir         = 15
	typeRealpath      = 16
	typeStat          = 17
	typeRename        = 18
	typeReadlink      = 19
	typeSymlink       = 20
	typeStatus        = 101
	typeHandle        = 102
	typeData          = 103
	typeName          = 104
	typeAttrs         = 105
	typeExtended      = 200
	typeExtendedReply = 201
)

// protocolVersion is the only one spoken; every client knows it.
const protocolVersion = 3

// errShort is a packet that ends before its fields do.
var errShort = errors.New("the packet ends before its fields do")

// fields reads the fields of a packet, one after the other. After the first that is
// not there all others are zero and err is set, so that a caller asks once.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) take(n int) []byte {
	if f.err != nil || n < 0 || n > len(f.rest) {
		f.err = errShort
		return nil
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) uint64() uint64 {
	if b := f.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bytes is a string of the protocol; it points into the packet.
func (f *fields) bytes() []byte {
	n := f.uint32()
	if uint64(n) > uint64(len(f.rest)) {
		f.err = errShort
		return nil
	}
	return f.take(int(n))
}

func (f *fields) string() string { return string(f.bytes()) }

// reply is a packet under construction: four bytes for its length come first.
type reply struct {
	b []byte
}

func (r *reply) start(kind byte, id uint32) {
	r.b = append(r.b[:0], 0, 0, 0, 0, kind)
	r.uint32(id)
}

func (r *reply) uint32(v uint32) { r.b = binary.BigEndian.AppendUint32(r.b, v) }
func (r *reply) uint64(v uint64) { r.b = binary.BigEndian.AppendUint64(r.b, v) }

func (r *reply) string(s string) {
	r.uint32(uint32(len(s)))
	r.b = append(r.b, s...)
}

// finish writes the length and returns the packet.
func (r *reply) finish() []byte {
	binary.BigEndian.PutUint32(r.b, uint32(len(r.b)-4))
	return r.b
}
