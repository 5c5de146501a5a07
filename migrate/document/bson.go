package document

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// ErrBSON: the bytes are not BSON as mongodump writes it.
var ErrBSON = errors.New("it is not sound BSON")

// WalkBSON reads documents that follow each other, as in a file of mongodump, and hands
// each to take as JSON: object IDs in hex, moments as RFC 3339, binary data in base64. A
// document is valid until take returns.
func WalkBSON(r io.Reader, take func(document []byte) error) error {
	var size [4]byte
	var raw, text []byte
	for n := 1; ; n++ {
		if _, err := io.ReadFull(r, size[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("%w: document %d is cut", ErrBSON, n)
		}
		length := int64(binary.LittleEndian.Uint32(size[:]))
		if length < 5 || length > MaxDocument {
			return fmt.Errorf("%w: document %d has %d bytes; 5 to %d are read", ErrBSON, n, length, MaxDocument)
		}
		if int64(cap(raw)) < length {
			raw = make([]byte, length)
		}
		raw = raw[:length]
		copy(raw, size[:])
		if _, err := io.ReadFull(r, raw[4:]); err != nil {
			return fmt.Errorf("%w: document %d is cut", ErrBSON, n)
		}
		b := bsonReader{raw: raw}
		var err error
		if text, err = b.compound(text[:0], false, 0); err == nil && b.at != len(raw) {
			err = errors.New("it has two lengths")
		}
		if err != nil {
			return fmt.Errorf("%w: document %d: %w", ErrBSON, n, err)
		}
		if err := take(text); err != nil {
			return err
		}
	}
}

type bsonReader struct {
	raw []byte
	at  int
}

var errBSONCut = errors.New("it ends too early")

func (b *bsonReader) take(n int) ([]byte, error) {
	if n < 0 || n > len(b.raw)-b.at {
		return nil, errBSONCut
	}
	out := b.raw[b.at : b.at+n]
	b.at += n
	return out, nil
}

func (b *bsonReader) int32() (int, error) {
	raw, err := b.take(4)
	if err != nil {
		return 0, err
	}
	return int(int32(binary.LittleEndian.Uint32(raw))), nil
}

func (b *bsonReader) int64() (int64, error) {
	raw, err := b.take(8)
	if err != nil {
		return 0, err
	}
	return int64(binary.LittleEndian.Uint64(raw)), nil
}

// name is a text that a zero byte ends.
func (b *bsonReader) name() (string, error) {
	for i := b.at; i < len(b.raw); i++ {
		if b.raw[i] == 0 {
			s := string(b.raw[b.at:i])
			b.at = i + 1
			return s, nil
		}
	}
	return "", errBSONCut
}

func (b *bsonReader) text() (string, error) {
	n, err := b.int32()
	if err != nil {
		return "", err
	}
	raw, err := b.take(n)
	if err != nil || n < 1 || raw[n-1] != 0 {
		return "", errBSONCut
	}
	return string(raw[:n-1]), nil
}

// compound writes a document, or as a list its values alone.
func (b *bsonReader) compound(out []byte, list bool, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it has more than %d levels", maxDepth)
	}
	begin := b.at
	length, err := b.int32()
	if err != nil {
		return nil, err
	}
	if length < 5 || length > len(b.raw)-begin {
		return nil, errBSONCut
	}
	opening, closing := byte('{'), byte('}')
	if list {
		opening, closing = '[', ']'
	}
	out = append(out, opening)
	for first := true; ; first = false {
		kind, err := b.take(1)
		if err != nil {
			return nil, err
		}
		if kind[0] == 0 {
			if b.at != begin+length {
				return nil, errors.New("it has two lengths")
			}
			return append(out, closing), nil
		}
		name, err := b.name()
		if err != nil {
			return nil, err
		}
		if !first {
			out = append(out, ',')
		}
		if !list {
			out = append(appendQuoted(out, name), ':')
		}
		if out, err = b.value(out, kind[0], depth); err != nil {
			return nil, err
		}
		// Each byte becomes six at most.
		if len(out) > MaxDocument {
			return nil, fmt.Errorf("it has more than %d bytes as JSON", MaxDocument)
		}
	}
}

func (b *bsonReader) value(out []byte, kind byte, depth int) ([]byte, error) {
	switch kind {
	case 0x03:
		return b.compound(out, false, depth+1)
	case 0x04:
		return b.compound(out, true, depth+1)
	case 0x01:
		n, err := b.int64()
		f := math.Float64frombits(uint64(n))
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return append(out, "null"...), err
		}
		return strconv.AppendFloat(out, f, 'g', -1, 64), nil
	case 0x02, 0x0d, 0x0e: // text, code, symbol
		s, err := b.text()
		return appendQuoted(out, s), err
	case 0x05:
		return b.binary(out)
	case 0x07:
		raw, err := b.take(12)
		return appendQuoted(out, hex.EncodeToString(raw)), err
	case 0x08:
		raw, err := b.take(1)
		if err != nil {
			return nil, err
		}
		return strconv.AppendBool(out, raw[0] != 0), nil
	case 0x09:
		ms, err := b.int64()
		if ms < -1<<47 || ms > 1<<47 {
			return strconv.AppendInt(out, ms, 10), err
		}
		return appendQuoted(out, time.UnixMilli(ms).UTC().Format(time.RFC3339Nano)), err
	case 0x06, 0x0a, 0x7f, 0xff: // nothing, and the ends of an order
		return append(out, "null"...), nil
	case 0x0b:
		pattern, err := b.name()
		if err == nil {
			_, err = b.name()
		}
		return appendQuoted(out, pattern), err
	case 0x10:
		n, err := b.int32()
		return strconv.AppendInt(out, int64(n), 10), err
	case 0x11, 0x12:
		n, err := b.int64()
		return strconv.AppendInt(out, n, 10), err
	case 0x13:
		raw, err := b.take(16)
		return appendQuoted(out, hex.EncodeToString(raw)), err
	}
	return nil, fmt.Errorf("a value of the unknown type 0x%02x", kind)
}

func (b *bsonReader) binary(out []byte) ([]byte, error) {
	n, err := b.int32()
	if err != nil {
		return nil, err
	}
	if _, err := b.take(1); err != nil {
		return nil, err
	}
	raw, err := b.take(n)
	return appendQuoted(out, base64.StdEncoding.EncodeToString(raw)), err
}
