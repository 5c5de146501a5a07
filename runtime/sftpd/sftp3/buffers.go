package sftp3

import (
	"sync"
	"sync/atomic"
)

// Sizes that are announced by limits@openssh.com. OpenSSH takes them as they are: a
// quarter of a MiB for a packet, and for the data in it a kibibyte less.
const (
	maxPacket = 256 << 10
	maxData   = maxPacket - 1<<10
)

const (
	// plainData is what clients ask for that never heard of limits. A read of so much
	// is always answered whole: some of them cannot cope with less.
	plainData = 32 << 10
	// chunk is the unit in which data pass through a session.
	chunk = 64 << 10
	// dataHead is what comes before the data of an answer to READ.
	dataHead = 13
)

// Buffers are shared by the sessions of a server: memory is bounded by what is under
// way, not by who is connected.
type Buffers struct {
	chunks, plain, large sync.Pool
	// largeLeft has a token for each large buffer that may be under way.
	largeLeft chan struct{}
	chunksOut atomic.Int64
}

// NewBuffers bounds the buffers of large reads to limit bytes together. When all are
// under way, large reads are answered in parts, which clients that ask for so much
// know how to take.
func NewBuffers(limit int) *Buffers {
	b := &Buffers{largeLeft: make(chan struct{}, max(limit/maxPacket, 1))}
	for range cap(b.largeLeft) {
		b.largeLeft <- struct{}{}
	}
	b.chunks.New = func() any { return new([chunk]byte) }
	b.plain.New = func() any { return new([plainData + dataHead]byte) }
	b.large.New = func() any { return new([maxData + dataHead]byte) }
	return b
}

func (b *Buffers) chunk() *[chunk]byte {
	b.chunksOut.Add(1)
	return b.chunks.Get().(*[chunk]byte)
}

func (b *Buffers) putChunk(c *[chunk]byte) {
	b.chunksOut.Add(-1)
	b.chunks.Put(c)
}

// forData is a buffer for an answer with n bytes of data, or fewer if memory is short,
// and what gives it back.
func (b *Buffers) forData(n int) (buffer []byte, done func()) {
	if n > plainData {
		select {
		case <-b.largeLeft:
			return b.takeLarge(n)
		default:
			n = plainData
		}
	}
	plain := b.plain.Get().(*[plainData + dataHead]byte)
	return plain[:dataHead+n], func() { b.plain.Put(plain) }
}

// spare is a buffer for n bytes of data that a session could do without: there is none
// while others may need what is left. What is small is not worth it.
func (b *Buffers) spare(n int) (buffer []byte, done func(), ok bool) {
	if n <= plainData || len(b.largeLeft) <= cap(b.largeLeft)/2 {
		return nil, nil, false
	}
	select {
	case <-b.largeLeft:
		buffer, done = b.takeLarge(n)
		return buffer, done, true
	default:
		return nil, nil, false
	}
}

func (b *Buffers) takeLarge(n int) (buffer []byte, done func()) {
	large := b.large.Get().(*[maxData + dataHead]byte)
	return large[:dataHead+n], func() {
		b.large.Put(large)
		b.largeLeft <- struct{}{}
	}
}
