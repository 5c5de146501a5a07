package crypt

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"ss-setup/runtime/vfs"
)

// storage is an open file of the layer below.
type storage interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Size() (int64, error)
	Sync() error
	Close() error
}

const (
	// maxDirty is how many segments of a file wait in memory to be completed: the one
	// that is written to, and one more for clients whose writes overtake each other.
	maxDirty = 2
	// maxRun is how many segments are read or written at a time. They are sealed and
	// opened one after the other: the cores have other sessions to serve, and in this
	// one the SSH layer is at work meanwhile.
	maxRun = 8
	// maxGap is how far beyond the end a write may start, or a size be set. What lies
	// between is sealed zeros, which take room and time.
	maxGap = int64(1) << 30
)

// plainBuffers and sealedBuffers keep sessions from holding memory while they wait.
var (
	plainBuffers  = sync.Pool{New: func() any { return new([segmentSize]byte) }}
	sealedBuffers = sync.Pool{New: func() any { return new([maxRun * sealedSize]byte) }}
)

// segment is one whose new content waits in memory.
type segment struct {
	index   int64
	buf     *[segmentSize]byte
	n       int // bytes of content
	written int // bytes that were written into it, to know when it is complete
}

func (d *segment) release() { giveBack(d.buf) }

// maxHeld is how many buffers all open files together may hold while nothing is done
// with them. Beyond it each file writes what waits at once, and keeps nothing that was
// read: a client may have thousands of files open.
const maxHeld = 1024

var held atomic.Int64

func takeBuffer() *[segmentSize]byte {
	held.Add(1)
	return plainBuffers.Get().(*[segmentSize]byte)
}

func giveBack(buf *[segmentSize]byte) {
	held.Add(-1)
	plainBuffers.Put(buf)
}

// node is one open file, shared by everybody who has it open.
//
// On the disk there are diskSegs segments with diskPlain bytes, all but perhaps the last
// of them full. Those in dirty have newer content in memory, or are not on the disk yet.
// While somebody writes, the disk need not have a final segment, or have the wrong one
// marked; settle puts that right.
type node struct {
	vol    *Volume
	number uint64 // an order, for those who lock several
	*sealer

	// Under mu of vol: the name it was opened by or moved to, and who uses it.
	path          vfs.Path
	refs, writers int

	mu sync.RWMutex
	// file changes only while both locks are held.
	file      storage
	writable  bool
	loadErr   error
	size      int64 // of the content, with what waits in memory
	diskSegs  int64
	diskPlain int64
	finalAt   int64 // the segment that is marked as the last on the disk, or -1
	dirty     []*segment
	version   uint64 // counts changes, so that handles know their cached segment is old
	// fresh says that nothing in it was promised to anybody yet: it was created, or cut
	// before its end was written. A crash may take it back to nothing.
	fresh   bool
	journal *journal // open while the disk differs from what was promised
	base    int64    // segments that were promised: overwritten through the journal
}

// segLen is how many bytes of content segment i has on the disk.
func (n *node) segLen(i int64) int { return int(max(0, min(segmentSize, n.diskPlain-i*segmentSize))) }

func (n *node) dirtySegment(i int64) *segment {
	for _, d := range n.dirty {
		if d.index == i {
			return d
		}
	}
	return nil
}

// readSegment reads segment i from the disk into dst, which has room for it.
func (n *node) readSegment(dst *[segmentSize]byte, i int64) (int, error) {
	raw := sealedBuffers.Get().(*[maxRun * sealedSize]byte)
	defer sealedBuffers.Put(raw)
	sealed := raw[:n.segLen(i)+overhead]
	if err := readFull(n.file, sealed, offset(i)); err != nil {
		return 0, err
	}
	plain, err := n.open(dst[:0], sealed, i, i == n.finalAt)
	return len(plain), err
}

// readFull reads all of p; less is damage, since the length was known.
func readFull(file io.ReaderAt, p []byte, off int64) error {
	got, err := file.ReadAt(p, off)
	if got == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it became shorter past the server", vfs.ErrDamaged)
	}
	return err
}

// readRun reads count segments from first on into out, where out[i] has room for all
// that segment has.
func (n *node) readRun(first int64, out [][]byte) error {
	raw := sealedBuffers.Get().(*[maxRun * sealedSize]byte)
	defer sealedBuffers.Put(raw)
	last := first + int64(len(out)) - 1
	sealed := raw[:(len(out)-1)*sealedSize+n.segLen(last)+overhead]
	if err := readFull(n.file, sealed, offset(first)); err != nil {
		return err
	}
	for i := range out {
		index := first + int64(i)
		one := sealed[i*sealedSize : min((i+1)*sealedSize, len(sealed))]
		if _, err := n.open(out[i][:0], one, index, index == n.finalAt); err != nil {
			return err
		}
	}
	return nil
}

// writeAt is a write of any place and length.
func (n *node) writeAt(p []byte, off int64) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if off < 0 || off > maxSize-int64(len(p)) || off-n.size > maxGap {
		return 0, vfs.ErrTooLarge
	}
	if err := n.boundJournal(); err != nil {
		return 0, err
	}
	n.version++
	if err := n.extend(off); err != nil {
		return 0, err
	}
	done := 0
	for done < len(p) {
		m, err := n.writeSome(p[done:], off+int64(done))
		done += m
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// boundJournal keeps endless overwriting from filling the disk with its journal.
func (n *node) boundJournal() error {
	if n.journal == nil || n.journal.end < maxJournal {
		return nil
	}
	return n.checkpoint()
}

// writeSome writes as much of p as goes in one step: a run of whole segments, or what
// lies in one.
func (n *node) writeSome(p []byte, off int64) (int, error) {
	i, in := off/segmentSize, int(off%segmentSize)
	if whole := min(len(p)/segmentSize, maxRun); in == 0 && whole > 0 {
		run := p[:whole*segmentSize]
		if err := n.storeRun(i, run); err != nil {
			return 0, err
		}
		n.size = max(n.size, off+int64(len(run)))
		return len(run), nil
	}
	m := min(segmentSize-in, len(p))
	d, err := n.dirtyFor(i, in, m)
	if err != nil {
		return 0, err
	}
	copy(d.buf[in:], p[:m])
	d.n = max(d.n, in+m)
	d.written += m
	n.size = max(n.size, off+int64(m))
	if d.n == segmentSize && d.written >= segmentSize {
		return m, n.flush(d)
	}
	return m, n.evict(d)
}

// dirtyFor gives segment i in memory, ready to be overwritten from in on by m bytes.
func (n *node) dirtyFor(i int64, in, m int) (*segment, error) {
	if d := n.dirtySegment(i); d != nil {
		return d, nil
	}
	d := &segment{index: i, buf: takeBuffer()}
	covered := in == 0 && i*segmentSize+int64(m) >= n.size
	if i < n.diskSegs && !covered {
		got, err := n.readSegment(d.buf, i)
		if err != nil {
			d.release()
			return nil, err
		}
		d.n = got
	}
	n.dirty = append(n.dirty, d)
	return d, nil
}

// evict writes what waits too long: whatever is not keep, and that too where memory is
// short.
func (n *node) evict(keep *segment) error {
	for len(n.dirty) > maxDirty {
		oldest := n.dirty[0]
		if oldest == keep {
			oldest = n.dirty[1]
		}
		if err := n.flush(oldest); err != nil {
			return err
		}
	}
	for len(n.dirty) > 0 && held.Load() > maxHeld {
		if err := n.flush(n.dirty[0]); err != nil {
			return err
		}
	}
	return nil
}

// flush writes d to the disk, and before it what must stand there first.
func (n *node) flush(d *segment) error {
	if err := n.flushBelow(d.index); err != nil {
		return err
	}
	if err := n.store(d.index, d.buf[:d.n], false); err != nil {
		return err
	}
	n.drop(d)
	return nil
}

// flushBelow writes the segments before i that are not on the disk yet, lest there be a
// hole, and the one that is shorter there than it must be by now.
func (n *node) flushBelow(i int64) error {
	for {
		var lowest *segment
		for _, d := range n.dirty {
			missing := d.index >= n.diskSegs || n.segLen(d.index) < d.n
			if d.index < i && missing && (lowest == nil || d.index < lowest.index) {
				lowest = d
			}
		}
		if lowest == nil {
			return nil
		}
		if err := n.store(lowest.index, lowest.buf[:lowest.n], false); err != nil {
			return err
		}
		n.drop(lowest)
	}
}

// drop forgets what waits in d.
func (n *node) drop(d *segment) {
	n.dirty = slices.DeleteFunc(n.dirty, func(x *segment) bool { return x == d })
	d.release()
}

// storeRun writes whole segments from first on straight from the caller's memory.
func (n *node) storeRun(first int64, run []byte) error {
	if err := n.flushBelow(first); err != nil {
		return err
	}
	if err := n.store(first, run, false); err != nil {
		return err
	}
	for i := range int64(len(run) / segmentSize) {
		if d := n.dirtySegment(first + i); d != nil {
			n.drop(d)
		}
	}
	return nil
}

// store seals plain, whose segments but the last are whole, and writes it in its place.
// final marks the last of them as the last of the file.
func (n *node) store(first int64, plain []byte, final bool) error {
	count := max(1, (len(plain)+segmentSize-1)/segmentSize)
	raw := sealedBuffers.Get().(*[maxRun * sealedSize]byte)
	defer sealedBuffers.Put(raw)
	length := len(plain) + count*overhead
	for i := range count {
		one := plain[i*segmentSize : min((i+1)*segmentSize, len(plain))]
		at := i * sealedSize
		if _, err := n.seal(raw[at:at], one, first+int64(i), final && i == count-1); err != nil {
			return err
		}
	}
	if err := n.protect(first, raw[:length]); err != nil {
		return err
	}
	if err := writeFull(n.file, raw[:length], offset(first)); err != nil {
		return err
	}
	n.stored(first, count, len(plain), final)
	return nil
}

// stored keeps account of what is on the disk now.
func (n *node) stored(first int64, count, length int, final bool) {
	last := first + int64(count) - 1
	n.diskSegs = max(n.diskSegs, last+1)
	n.diskPlain = max(n.diskPlain, first*segmentSize+int64(length))
	if n.finalAt >= first && n.finalAt <= last {
		n.finalAt = -1
	}
	if final {
		n.finalAt = last
	}
}

func writeFull(file io.WriterAt, p []byte, off int64) error {
	done, err := file.WriteAt(p, off)
	if err == nil && done < len(p) {
		return io.ErrShortWrite
	}
	return err
}

// extend makes the content at least to bytes long, with zeros.
func (n *node) extend(to int64) error {
	for n.size < to {
		i, in := n.size/segmentSize, int(n.size%segmentSize)
		end := min(to, (i+1)*segmentSize)
		if in == 0 && end == (i+1)*segmentSize {
			if err := n.storeRun(i, zeros[:]); err != nil {
				return err
			}
			n.size = end
			continue
		}
		d, err := n.dirtyFor(i, in, 0)
		if err != nil {
			return err
		}
		clear(d.buf[d.n : end-i*segmentSize])
		d.written += int(end-i*segmentSize) - d.n
		d.n = int(end - i*segmentSize)
		n.size = end
		if err := n.evict(d); err != nil {
			return err
		}
	}
	return nil
}

var zeros [segmentSize]byte

// truncate makes the content exactly size bytes long.
func (n *node) truncate(size int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if size < 0 || size > maxSize || size-n.size > maxGap {
		return vfs.ErrTooLarge
	}
	n.version++
	if size >= n.size {
		return n.extend(size)
	}
	return n.shorten(size)
}

func (n *node) shorten(size int64) error {
	last := segments(size) - 1
	keep := int(size - last*segmentSize)
	for _, d := range slices.Clone(n.dirty) {
		if d.index > last {
			n.drop(d)
		}
	}
	if n.diskPlain <= size {
		// What is cut off was only in memory.
		if d := n.dirtySegment(last); d != nil {
			d.n = min(d.n, keep)
		}
		n.size = size
		return nil
	}
	content, err := n.head(last, keep)
	if err != nil {
		return err
	}
	defer plainBuffers.Put(content)
	if err := n.cut(last, content[:keep]); err != nil {
		return err
	}
	if d := n.dirtySegment(last); d != nil {
		n.drop(d)
	}
	n.size = size
	return nil
}

// head is a copy of the first bytes of segment i. The caller gives it back.
func (n *node) head(i int64, length int) (*[segmentSize]byte, error) {
	buf := plainBuffers.Get().(*[segmentSize]byte)
	if d := n.dirtySegment(i); d != nil {
		copy(buf[:length], d.buf[:length])
		return buf, nil
	}
	if length == 0 {
		return buf, nil
	}
	if _, err := n.readSegment(buf, i); err != nil {
		plainBuffers.Put(buf)
		return nil, err
	}
	return buf, nil
}

// cut makes segment last, with this content, the end of the file on the disk.
func (n *node) cut(last int64, content []byte) error {
	sealed, err := n.seal(nil, content, last, true)
	if err != nil {
		return err
	}
	if err := n.protectCut(last, sealed); err != nil {
		return err
	}
	if err := applyCut(n.file, last, sealed); err != nil {
		return err
	}
	n.diskSegs, n.diskPlain, n.finalAt = last+1, last*segmentSize+int64(len(content)), last
	n.base = min(n.base, last+1)
	return nil
}

// applyCut shortens first: a longer file with the new segment in it would show a wrong
// length to whoever looks between the two.
func applyCut(file storage, last int64, sealed []byte) error {
	if err := file.Truncate(offset(last) + int64(len(sealed))); err != nil {
		return err
	}
	return writeFull(file, sealed, offset(last))
}

// settle writes all that waits and marks the last segment as the last, and no other.
func (n *node) settle() error {
	last := segments(n.size) - 1
	if err := n.flushBelow(last); err != nil {
		return err
	}
	for _, d := range slices.Clone(n.dirty) {
		if d.index != last {
			if err := n.flush(d); err != nil {
				return err
			}
		}
	}
	if n.finalAt >= 0 && n.finalAt != last {
		if err := n.mark(n.finalAt, false); err != nil {
			return err
		}
	}
	if d := n.dirtySegment(last); d != nil {
		if err := n.store(last, d.buf[:d.n], true); err != nil {
			return err
		}
		n.drop(d)
		return nil
	}
	if n.finalAt == last {
		return nil
	}
	return n.mark(last, true)
}

// mark seals segment i again, as the last one or not.
func (n *node) mark(i int64, final bool) error {
	if i >= n.diskSegs {
		// An empty file has one empty segment.
		return n.store(i, nil, final)
	}
	buf := plainBuffers.Get().(*[segmentSize]byte)
	defer plainBuffers.Put(buf)
	length, err := n.readSegment(buf, i)
	if err != nil {
		return err
	}
	return n.store(i, buf[:length], final)
}

// checkpoint makes all that was written stand on the disk for good.
func (n *node) checkpoint() error {
	if err := n.settle(); err != nil {
		return err
	}
	if err := n.file.Sync(); err != nil {
		return err
	}
	if n.journal != nil {
		if err := n.journal.remove(); err != nil {
			return err
		}
		n.journal = nil
	}
	n.fresh = false
	return nil
}

// finish is for when the last writer leaves. What nobody was promised needs no sync.
func (n *node) finish() error {
	switch {
	case n.fresh:
		return n.settle()
	case n.journal == nil && len(n.dirty) == 0:
		return nil
	default:
		return n.checkpoint()
	}
}

// salvage is for when finish fails, on a full disk nearly always: what is on the disk
// becomes the whole file, which takes no further room.
func (n *node) salvage() error {
	for _, d := range slices.Clone(n.dirty) {
		n.drop(d)
	}
	n.version++
	n.size = n.diskPlain
	return n.finish()
}
