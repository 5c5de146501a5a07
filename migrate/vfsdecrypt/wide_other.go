//go:build !amd64

package vfsdecrypt

import "crypto/cipher"

// wide decrypts blocks that do not depend on each other.
type wide struct{ block cipher.Block }

func newWide(block cipher.Block, _ []byte) *wide { return &wide{block} }

// decrypt decrypts whole blocks in place.
func (w *wide) decrypt(piece []byte) {
	for ; len(piece) > 0; piece = piece[blockSize:] {
		w.block.Decrypt(piece, piece)
	}
}

// padder makes what OFB joins with the content.
type padder struct{ block cipher.Block }

func newPadder(block cipher.Block, _ []byte) *padder { return &padder{block} }

// fill makes each block of pads the encrypted one before it; the first is given.
func (p *padder) fill(pads []byte) { fillPads(p.block, pads) }
