package sftp3

// Held is how many chunks of b sessions hold.
func Held(b *Buffers) int64 { return b.chunksOut.Load() }
