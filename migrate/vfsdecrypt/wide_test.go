package vfsdecrypt

import (
	"bytes"
	"crypto/aes"
	"testing"
)

// TestBlocksDecryptedAtOnceAreThoseOfGo for every length of key and number of blocks.
func TestBlocksDecryptedAtOnceAreThoseOfGo(t *testing.T) {
	for _, size := range []int{16, 24, 32} {
		for n := range 35 {
			key := randomBytes(size + n)[n:]
			block, err := aes.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			got := randomBytes(n * blockSize)
			want := bytes.Clone(got)
			for i := 0; i < len(want); i += blockSize {
				block.Decrypt(want[i:], want[i:])
			}
			newWide(block, key).decrypt(got)
			pads := randomBytes((n + 1) * blockSize)
			again := bytes.Clone(pads)
			fillPads(block, again)
			if newPadder(block, key).fill(pads); !bytes.Equal(pads, again) {
				t.Errorf("%d pads with a key of %d bytes differ", n, size)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d blocks with a key of %d bytes differ", n, size)
			}
		}
	}
}
