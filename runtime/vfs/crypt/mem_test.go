package crypt

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"

	"ss-setup/runtime/vfs"
)

// memDisk is a disk in memory that loses its power, or its server, at a chosen change.
// It knows what was synced: a power cut keeps any part of the rest, in pieces of 512
// bytes; a kill keeps all that was done, and a piece of the change that was going on.
type memDisk struct {
	names   map[vfs.Path]*memFile // as a program sees them
	durable map[vfs.Path]*memFile // as a folder that was synced has them
	left    int                   // changes until the crash; negative: none
	crashed bool
	rnd     *rand.Rand
}

type memFile struct {
	data    []byte
	synced  []byte
	pending []change
}

type change struct {
	off      int64
	data     []byte
	truncate bool
}

var errCrash = errors.New("the power is gone")

func newMemDisk(rnd *rand.Rand) *memDisk {
	return &memDisk{names: map[vfs.Path]*memFile{}, durable: map[vfs.Path]*memFile{}, left: -1, rnd: rnd}
}

// step counts a change. before is false where it must not happen any more.
func (d *memDisk) step() (alive bool) {
	if d.crashed {
		return false
	}
	if d.left == 0 {
		d.crashed = true
		return false
	}
	d.left--
	return true
}

func (c change) apply(data []byte) []byte {
	if c.truncate {
		if c.off <= int64(len(data)) {
			return data[:c.off]
		}
		return append(data, make([]byte, c.off-int64(len(data)))...)
	}
	if end := int(c.off) + len(c.data); end > len(data) {
		data = append(data, make([]byte, end-len(data))...)
	}
	copy(data[c.off:], c.data)
	return data
}

// restart is the disk after the crash.
func (d *memDisk) restart(powerCut bool) *memDisk {
	after := newMemDisk(d.rnd)
	names := d.names
	if powerCut {
		names = map[vfs.Path]*memFile{}
		for _, set := range []map[vfs.Path]*memFile{d.names, d.durable} {
			for name, file := range set {
				if d.names[name] == d.durable[name] || d.rnd.IntN(2) == 0 {
					names[name] = file
				}
			}
		}
	}
	for name, file := range names {
		data := slices.Clone(file.data)
		if powerCut {
			data = slices.Clone(file.synced)
			for _, c := range file.pending {
				data = d.someOf(c, data)
			}
		}
		f := &memFile{data: data, synced: slices.Clone(data)}
		after.names[name], after.durable[name] = f, f
	}
	return after
}

// someOf applies any sectors of a change.
func (d *memDisk) someOf(c change, data []byte) []byte {
	if c.truncate {
		if d.rnd.IntN(2) == 0 {
			return data
		}
		return c.apply(data)
	}
	mode := d.rnd.IntN(3) // none, all, some
	for at := 0; at < len(c.data); at += 512 {
		if mode == 1 || mode == 2 && d.rnd.IntN(2) == 0 {
			data = change{off: c.off + int64(at), data: c.data[at:min(at+512, len(c.data))]}.apply(data)
		}
	}
	return data
}

func (d *memDisk) open(name vfs.Path, flag vfs.Flag) (storage, error) {
	file, ok := d.names[name]
	if !ok {
		if !flag.Has(vfs.Create) {
			return nil, fs.ErrNotExist
		}
		if !d.step() {
			return nil, errCrash
		}
		file = &memFile{}
		d.names[name] = file
	}
	return &memHandle{d, file}, nil
}

func (d *memDisk) remove(name vfs.Path) error {
	if !d.step() {
		return errCrash
	}
	delete(d.names, name)
	return nil
}

func (d *memDisk) mkdir(vfs.Path) error { return nil }

func (d *memDisk) list(dir vfs.Path) (names []string, err error) {
	for name := range d.names {
		if name.Parent() == dir {
			names = append(names, name.Base())
		}
	}
	return names, nil
}

func (d *memDisk) syncDir(dir vfs.Path) error {
	if !d.step() {
		return errCrash
	}
	for _, set := range []map[vfs.Path]*memFile{d.names, d.durable} {
		for name := range set {
			if name.Parent() != dir {
				continue
			}
			if file, ok := d.names[name]; ok {
				d.durable[name] = file
			} else {
				delete(d.durable, name)
			}
		}
	}
	return nil
}

func (d *memDisk) same(a, b storage) bool {
	one, okOne := a.(*memHandle)
	two, okTwo := b.(*memHandle)
	return okOne && okTwo && one.file == two.file
}

// settle makes all of the disk durable, as it is before a test begins.
func (d *memDisk) settle() *memDisk { return d.restart(false) }

type memHandle struct {
	disk *memDisk
	file *memFile
}

func (h *memHandle) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(h.file.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.file.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *memHandle) change(c change) error {
	wasAlive := !h.disk.crashed
	if h.disk.step() {
		h.file.data = c.apply(h.file.data)
		h.file.pending = append(h.file.pending, c)
		return nil
	}
	if wasAlive && !c.truncate && len(c.data) > 0 {
		// What was going on is done in part.
		c.data = c.data[:h.disk.rnd.IntN(len(c.data))]
		h.file.data = c.apply(h.file.data)
		h.file.pending = append(h.file.pending, c)
	}
	return errCrash
}

func (h *memHandle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.change(change{off: off, data: slices.Clone(p)}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *memHandle) Truncate(size int64) error {
	return h.change(change{off: size, truncate: true})
}

func (h *memHandle) Size() (int64, error) { return int64(len(h.file.data)), nil }

func (h *memHandle) Sync() error {
	if !h.disk.step() {
		return errCrash
	}
	h.file.synced, h.file.pending = slices.Clone(h.file.data), nil
	return nil
}

func (h *memHandle) Close() error { return nil }
