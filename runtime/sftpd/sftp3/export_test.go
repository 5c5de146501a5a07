package sftp3

// Held is how many chunks of b sessions hold.
func Held(b *Buffers) int64 { return b.chunksOut.Load() }

// LargeLeft is how many large buffers of b may still be taken, and how many there are.
func LargeLeft(b *Buffers) (left, of int) { return len(b.largeLeft), cap(b.largeLeft) }
