package vfsdecrypt

import "testing"

// BenchmarkDecrypt is the work on a piece alone, without files.
func BenchmarkDecrypt(b *testing.B) {
	for _, mode := range Modes {
		b.Run(string(mode), func(b *testing.B) {
			d, err := newDecrypter(mode, make([]byte, 32), make([]byte, blockSize))
			if err != nil {
				b.Fatal(err)
			}
			piece := randomBytes(pieceSize)
			b.SetBytes(pieceSize)
			for b.Loop() {
				d.decrypt(piece)
			}
		})
	}
}
