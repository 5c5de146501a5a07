package vfsdecrypt

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

var (
	// ErrShort: the file is shorter than what the profile puts in front of each.
	ErrShort = errors.New("it is too short for the profile")
	// ErrForm: lengths, header or padding are not as the profile has them. Passphrase or
	// profile are wrong, or the file is damaged.
	ErrForm = errors.New("it does not fit the profile")
)

// pieceSize is how much of a file is in memory at once.
const pieceSize = 256 << 10

// Keys are a profile and a passphrase. They are safe for use by several goroutines.
type Keys struct {
	Profile    Profile
	passphrase string
	// fixed makes the key that all files have, where no salt is in their headers.
	fixed func() (derived, error)
	// perFile makes the key of a salt that is in a header.
	perFile func(salt []byte) (derived, error)
}

// NewKeys refuses a passphrase that the profile cannot use.
func NewKeys(p Profile, passphrase string) (*Keys, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	k := &Keys{Profile: p, passphrase: passphrase}
	k.perFile = func(salt []byte) (derived, error) { return p.derive(passphrase, salt) }
	k.fixed = sync.OnceValues(func() (derived, error) { return k.perFile(p.Salt) })
	if salts, _, _, _ := p.count(); salts == 0 {
		if _, err := k.fixed(); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// Sizes tells how long the content of an encrypted file of that size can be.
func (k *Keys) Sizes(encrypted int64) (least, most int64) {
	body := max(0, encrypted-k.Profile.headerSize())
	if k.Profile.Mode.whole() && k.Profile.Pad != NoPad || k.hasLength() {
		return max(0, body-blockSize), body
	}
	return body, body
}

func (k *Keys) hasLength() bool {
	_, _, lengths, _ := k.Profile.count()
	return lengths > 0
}

// header is what the header of a file said.
type header struct {
	salt, iv []byte
	length   int64 // -1 if it says none
}

func (p Profile) readHeader(from io.Reader) (header, error) {
	h := header{length: -1}
	raw := make([]byte, p.headerSize())
	if _, err := io.ReadFull(from, raw); err != nil {
		return h, err
	}
	for _, part := range p.Header {
		piece := raw[:part.Len]
		raw = raw[part.Len:]
		switch part.Kind {
		case partSalted:
			if !bytes.HasPrefix(piece, []byte(saltedMagic)) {
				return h, fmt.Errorf("%w: it does not begin with %s", ErrForm, saltedMagic)
			}
			h.salt = piece[len(saltedMagic):]
		case partSalt:
			h.salt = piece
		case partIV:
			h.iv = piece
		case partLength:
			n := binary.LittleEndian.Uint64(piece)
			if n > 1<<62 {
				return h, fmt.Errorf("%w: its header says that it has %d bytes", ErrForm, n)
			}
			h.length = int64(n)
		}
	}
	return h, nil
}

// keyed makes the key and the vector of a file.
func (k *Keys) keyed(h header) (key, iv []byte, err error) {
	make := k.fixed
	if h.salt != nil {
		make = func() (derived, error) { return k.perFile(h.salt) }
	}
	d, err := make()
	if err != nil {
		return nil, nil, err
	}
	iv, err = k.iv(h, d.more)
	return d.key, iv, err
}

func (k *Keys) iv(h header, more []byte) ([]byte, error) {
	switch k.Profile.IV {
	case IVFile:
		return h.iv, nil
	case IVDerived:
		return more, nil
	case IVMD5:
		secret, err := k.Profile.Text.encode(k.passphrase)
		sum := md5.Sum(secret)
		return sum[:], err
	}
	if iv, ok := k.Profile.fixedIV(); ok {
		return iv, nil
	}
	return make([]byte, blockSize), nil
}

// Open begins to read an encrypted file of so many bytes. It refuses with ErrShort and
// ErrForm what cannot be one; the padding is seen at the end. A file of no bytes is one of
// no content.
func (k *Keys) Open(from io.Reader, size int64) (*Content, error) {
	if size == 0 {
		return &Content{}, nil
	}
	body := size - k.Profile.headerSize()
	if body < 0 {
		return nil, fmt.Errorf("%w: it has %d bytes, and %d stand in front of the content", ErrShort, size, size-body)
	}
	h, err := k.Profile.readHeader(from)
	if err != nil {
		return nil, err
	}
	if err := k.Profile.checkSizes(h, body); err != nil {
		return nil, err
	}
	key, iv, err := k.keyed(h)
	if err != nil {
		return nil, err
	}
	d, err := newDecrypter(k.Profile.Mode, key, iv)
	if err != nil {
		return nil, err
	}
	c := newContent(from, body, d)
	c.pad, c.length = k.Profile.Pad, h.length
	return c, nil
}

func newContent(from io.Reader, size int64, d decrypter) *Content {
	return &Content{from: from, left: size, decrypter: d, pad: NoPad, length: -1, buf: make([]byte, min(pieceSize, size))}
}

func (p Profile) checkSizes(h header, body int64) error {
	if p.Mode.whole() && body%blockSize != 0 {
		return fmt.Errorf("%w: %d encrypted bytes are no whole blocks", ErrForm, body)
	}
	if h.length >= 0 && (h.length > body || body-h.length > blockSize || !p.Mode.whole() && body != h.length) {
		return fmt.Errorf("%w: its header says %d bytes, and %d encrypted ones follow", ErrForm, h.length, body)
	}
	return nil
}

// Content is what an encrypted file says, as a stream.
type Content struct {
	from      io.Reader
	left      int64 // encrypted bytes to come
	decrypter decrypter
	pad       Padding
	length    int64 // -1 if unknown
	told      int64 // bytes given out
	zeros     int   // taken off the end as padding
	buf       []byte
	ready     []byte
}

// next makes the next piece ready; io.EOF at the end. A file that ends too early is
// io.ErrUnexpectedEOF: somebody changed it meanwhile.
func (c *Content) next() error {
	if c.left == 0 {
		return io.EOF
	}
	piece := c.buf[:min(int64(len(c.buf)), c.left)]
	if _, err := io.ReadFull(c.from, piece); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	c.left -= int64(len(piece))
	c.decrypter.decrypt(piece)
	if c.left == 0 {
		var err error
		if piece, err = c.unpad(piece); err != nil {
			return err
		}
	}
	c.told += int64(len(piece))
	c.ready = piece
	return nil
}

// unpad takes off the end what is no content.
func (c *Content) unpad(last []byte) ([]byte, error) {
	n := 0
	switch c.pad {
	case PKCS7:
		n = pkcs7(last)
		if n == 0 {
			return nil, fmt.Errorf("%w: its last block is not padded as %s", ErrForm, c.pad)
		}
	case Zeros:
		for n < min(blockSize-1, len(last)) && last[len(last)-1-n] == 0 {
			n++
		}
	}
	if c.pad == Zeros && c.length < 0 {
		c.zeros = n
	}
	if c.length < 0 {
		return last[:len(last)-n], nil
	}
	// A length that is known says more than zeros.
	cut := c.told + int64(len(last)) - c.length
	if c.pad == PKCS7 && cut != int64(n) {
		return nil, fmt.Errorf("%w: padding and header differ about its length", ErrForm)
	}
	return last[:int64(len(last))-cut], nil // checkSizes: it ends in the last block
}

// pkcs7 is the length of a padding, 0 if it is none.
func pkcs7(last []byte) int {
	if len(last) < blockSize {
		return 0
	}
	n := int(last[len(last)-1])
	if n < 1 || n > blockSize || !bytes.Equal(last[len(last)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return 0
	}
	return n
}

// Read implements io.Reader.
func (c *Content) Read(p []byte) (int, error) {
	for len(c.ready) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// WriteTo implements io.WriterTo.
func (c *Content) WriteTo(w io.Writer) (total int64, err error) {
	for {
		n, err := w.Write(c.ready)
		total += int64(n)
		if err != nil {
			return total, err
		}
		if err := c.next(); err != nil {
			c.ready = nil
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return total, err
		}
	}
}
