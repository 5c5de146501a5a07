package vfsdecrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
)

const blockSize = aes.BlockSize

// decrypter turns what is encrypted into what was, in place, one piece after the other. A
// piece is whole blocks, but for the last one of modes that take any length.
type decrypter interface{ decrypt(piece []byte) }

func newDecrypter(m Mode, key, iv []byte) (decrypter, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make the cipher: %w", err)
	}
	switch m {
	case ECB:
		return newWide(block, key), nil
	case CBC:
		return &cbc{blocks: newWide(block, key), last: [blockSize]byte(iv)}, nil
	case CTR:
		return ctr{cipher.NewCTR(block, iv)}, nil
	case CFB:
		return &cfb{block: block, last: [blockSize]byte(iv)}, nil
	case CFB8:
		return &cfb8{block: block, register: [blockSize]byte(iv)}, nil
	}
	d := &ofb{padder: newPadder(block, key)}
	copy(d.pads[:], iv)
	return d, nil
}

// asIs is for what is not encrypted.
type asIs struct{}

func (asIs) decrypt([]byte) {}

type ctr struct{ cipher.Stream }

func (d ctr) decrypt(piece []byte) { d.XORKeyStream(piece, piece) }

// batch is how much CBC and CFB work on at once: the blocks do not wait for each other, so
// that a processor does several at a time, and one XOR joins all of them.
const batch = 4 << 10

// chain keeps the encrypted bytes of a batch behind the last block of the one before.
type chain [blockSize + batch]byte

type cbc struct {
	blocks *wide
	last   [blockSize]byte
	chain  chain
}

func (d *cbc) decrypt(piece []byte) {
	for len(piece) > 0 {
		now := piece[:min(batch, len(piece))]
		copy(d.chain[:], d.last[:])
		copy(d.chain[blockSize:], now)
		d.blocks.decrypt(now)
		subtle.XORBytes(now, now, d.chain[:])
		copy(d.last[:], d.chain[len(now):])
		piece = piece[len(now):]
	}
}

type cfb struct {
	block cipher.Block
	last  [blockSize]byte
	chain chain
}

func (d *cfb) decrypt(piece []byte) {
	for len(piece) > 0 {
		now := piece[:min(batch, len(piece))]
		copy(d.chain[:], d.last[:])
		copy(d.chain[blockSize:], now)
		copy(d.last[:], d.chain[len(now):])
		for i := 0; i < len(now); i += blockSize {
			d.block.Encrypt(d.chain[i:], d.chain[i:])
		}
		subtle.XORBytes(now, now, d.chain[:])
		piece = piece[len(now):]
	}
}

// cfb8 shifts its register by one byte at a time, and costs a block for each.
type cfb8 struct {
	block    cipher.Block
	register [blockSize]byte
}

func (d *cfb8) decrypt(piece []byte) {
	var out [blockSize]byte
	for i, encrypted := range piece {
		d.block.Encrypt(out[:], d.register[:])
		copy(d.register[:], d.register[1:])
		d.register[blockSize-1] = encrypted
		piece[i] ^= out[0]
	}
}

// ofb keeps the last pad in front of those to come.
type ofb struct {
	padder *padder
	pads   chain
}

func (d *ofb) decrypt(piece []byte) {
	for len(piece) > 0 {
		now := piece[:min(batch, len(piece))]
		whole := (len(now) + blockSize - 1) &^ (blockSize - 1)
		d.padder.fill(d.pads[:blockSize+whole])
		subtle.XORBytes(now, now, d.pads[blockSize:])
		copy(d.pads[:blockSize], d.pads[whole:])
		piece = piece[len(now):]
	}
}

func fillPads(block cipher.Block, pads []byte) {
	for i := blockSize; i < len(pads); i += blockSize {
		block.Encrypt(pads[i:], pads[i-blockSize:])
	}
}
