package vfsdecrypt

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"

	"golang.org/x/sys/cpu"
)

// Go's own AES works on one block at a time, unless it is in CTR or GCM, and a processor
// then waits for each round of each block: a third of what openssl does with ECB and CBC.
// Eight blocks at once keep it busy. In OFB each block waits for the one before anyhow, but
// not for memory and calls in between. All this code sees is data that lies there encrypted;
// nothing is encrypted with it.

// subWord substitutes each byte of a word of the key schedule.
//
//go:noescape
func subWord(word uint32) uint32

// inverseMix makes a key of encryption one of decryption.
//
//go:noescape
func inverseMix(key *[16]byte)

// decryptEights decrypts so many times eight blocks in place; eights is 1 at least.
//
//go:noescape
func decryptEights(keys *[15][16]byte, rounds int, piece *byte, eights int)

// encryptAgain encrypts the first block of pads, that again, and so on; each outcome lies
// behind the one before. blocks is how many, 1 at least.
//
//go:noescape
func encryptAgain(keys *[15][16]byte, rounds int, pads *byte, blocks int)

// wide decrypts blocks that do not depend on each other.
type wide struct {
	block  cipher.Block
	keys   [15][16]byte // in the order of their use
	rounds int          // 0 for processors without AES
}

const eight = 8 * blockSize

func newWide(block cipher.Block, key []byte) *wide {
	w := &wide{block: block}
	if !cpu.X86.HasAES {
		return w
	}
	w.rounds = len(key)/4 + 6
	schedule := expand(key, w.rounds)
	for i := range w.rounds + 1 {
		for j, word := range schedule[4*(w.rounds-i):][:4] {
			binary.LittleEndian.PutUint32(w.keys[i][4*j:], word)
		}
		if i > 0 && i < w.rounds {
			inverseMix(&w.keys[i])
		}
	}
	return w
}

// expand makes the keys of all rounds (FIPS 197, 5.2), in words with the first byte lowest.
func expand(key []byte, rounds int) []uint32 {
	n := len(key) / 4
	out := make([]uint32, 4*(rounds+1))
	for i := range n {
		out[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	constant := uint32(1)
	for i := n; i < len(out); i++ {
		word := out[i-1]
		switch {
		case i%n == 0:
			word = subWord(bits.RotateLeft32(word, -8)) ^ constant
			constant <<= 1
			if constant > 0xff {
				constant ^= 0x11b
			}
		case n == 8 && i%n == 4:
			word = subWord(word)
		}
		out[i] = out[i-n] ^ word
	}
	return out
}

// decrypt decrypts whole blocks in place.
func (w *wide) decrypt(piece []byte) {
	if n := len(piece) / eight; w.rounds > 0 && n > 0 {
		decryptEights(&w.keys, w.rounds, &piece[0], n)
		piece = piece[n*eight:]
	}
	for ; len(piece) > 0; piece = piece[blockSize:] {
		w.block.Decrypt(piece, piece)
	}
}

// padder makes what OFB joins with the content.
type padder struct {
	block  cipher.Block
	keys   [15][16]byte
	rounds int // 0 for processors without AES
}

func newPadder(block cipher.Block, key []byte) *padder {
	p := &padder{block: block}
	if !cpu.X86.HasAES {
		return p
	}
	p.rounds = len(key)/4 + 6
	for i, word := range expand(key, p.rounds) {
		binary.LittleEndian.PutUint32(p.keys[i/4][i%4*4:], word)
	}
	return p
}

// fill makes each block of pads the encrypted one before it; the first is given.
func (p *padder) fill(pads []byte) {
	if n := len(pads)/blockSize - 1; p.rounds > 0 && n > 0 {
		encryptAgain(&p.keys, p.rounds, &pads[0], n)
		return
	}
	fillPads(p.block, pads)
}
