package crypt

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
)

// FS is a tree of a Volume: the whole, or a folder of it. It implements vfs.FS. Names,
// folders, links, modes and times are those of the disk below.
type FS struct {
	*disk.FS
	vol  *Volume
	base vfs.Path
}

var (
	_ vfs.FS       = (*FS)(nil)
	_ vfs.Salvager = (*FS)(nil)
)

// Tree shows what lies below base in the VFS; sub is that folder, as a tree of its own.
func (v *Volume) Tree(sub *disk.FS, base vfs.Path) *FS { return &FS{sub, v, base} }

// Open is Open of vfs.FS. ErrPlainFile, ErrIncomplete, ErrDamaged and ErrWrongKey say
// what is wrong with a file that cannot be read.
func (f *FS) Open(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (vfs.File, error) {
	writing := flag.Has(vfs.Write)
	h, err := f.open(name, flag, mode, use{writing: writing, reset: writing && flag.Has(vfs.Truncate)})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Salvage is Salvage of vfs.Salvager.
func (f *FS) Salvage(name vfs.Path) error {
	h, err := f.open(name, vfs.Read|vfs.Write, 0, use{writing: true, salvage: true})
	if err != nil {
		return err
	}
	return h.Close()
}

func (f *FS) open(name vfs.Path, flag vfs.Flag, mode fs.FileMode, u use) (*File, error) {
	full := name.Under(f.base)
	unlock := f.vol.lock(full)
	defer unlock()
	if err := f.vol.healFirst(full); err != nil {
		return nil, vfs.Error("open", name, err)
	}
	inner, err := f.openInner(name, flag, mode)
	if err != nil {
		return nil, err
	}
	n, err := f.vol.attach(full, inner, u)
	if err != nil {
		f.tell(full, err)
		return nil, vfs.Error("open", name, err)
	}
	h := &File{node: n, name: name, writing: u.writing, reading: flag.Has(vfs.Read) || !u.writing}
	if u.reset {
		if err := n.truncate(0); err != nil {
			return nil, errors.Join(vfs.Error("open", name, err), h.Abort())
		}
	}
	return h, nil
}

// tell logs what an administrator must look at.
func (f *FS) tell(full vfs.Path, err error) {
	if isFormat(err) {
		f.vol.log.Warn("a file of an encrypted VFS cannot be read", "file", full.String(), "folder", f.Dir(), "error", err)
	}
}

// openInner opens the file below. One that is created is created by one caller alone, who
// then writes its header.
func (f *FS) openInner(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (*disk.File, error) {
	below := vfs.Read
	if flag.Has(vfs.Write) {
		// A part of a segment is written by reading the rest.
		below |= vfs.Write
	}
	for tries := 0; ; tries++ {
		if !flag.Has(vfs.Create | vfs.Exclusive) {
			inner, err := f.OpenFile(name, below, mode)
			if !errors.Is(err, fs.ErrNotExist) || !flag.Has(vfs.Write|vfs.Create) {
				return inner, err
			}
		}
		inner, err := f.OpenFile(name, below|vfs.Create|vfs.Exclusive, mode)
		if !errors.Is(err, fs.ErrExist) || flag.Has(vfs.Exclusive) || tries > 2 {
			return inner, err
		}
	}
}

// Stat is Stat of vfs.FS, with the size of the content.
func (f *FS) Stat(name vfs.Path) (vfs.Info, error) {
	info, err := f.FS.Stat(name)
	return f.vol.plain(info, name.Under(f.base)), err
}

// Lstat is Lstat of vfs.FS.
func (f *FS) Lstat(name vfs.Path) (vfs.Info, error) {
	info, err := f.FS.Lstat(name)
	return f.vol.plain(info, name.Under(f.base)), err
}

// plain turns the size on the disk into that of the content.
func (v *Volume) plain(info vfs.Info, full vfs.Path) vfs.Info {
	if !info.Mode.IsRegular() {
		return info
	}
	info.Size = plainSize(info.Size)
	if n := v.openAs(full); n != nil {
		n.mu.RLock()
		defer n.mu.RUnlock()
		info.Size = n.size
	}
	return info
}

// openAs is the node that is open under this name, or nil.
func (v *Volume) openAs(full vfs.Path) *node {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.byPath[full]
}

// ReadDir is ReadDir of vfs.FS.
func (f *FS) ReadDir(name vfs.Path) (vfs.Dir, error) {
	d, err := f.FS.ReadDir(name)
	if err != nil {
		return nil, err
	}
	return &folder{d, f.vol, name.Under(f.base)}, nil
}

type folder struct {
	vfs.Dir
	vol  *Volume
	full vfs.Path
}

func (d *folder) Next(n int) ([]vfs.Info, error) {
	infos, err := d.Dir.Next(n)
	for i := range infos {
		infos[i] = d.vol.plain(infos[i], d.full.Reserved(infos[i].Name))
	}
	return infos, err
}

// SetStat is SetStat of vfs.FS.
func (f *FS) SetStat(name vfs.Path, c vfs.Change) error {
	if c.Size == nil && f.vol.openAs(name.Under(f.base)) == nil {
		return f.FS.SetStat(name, c)
	}
	file, err := f.Open(name, vfs.Write, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.SetStat(c), file.Close())
}

// Rename is Rename of vfs.FS. Files that are open move with their names.
func (f *FS) Rename(from, to vfs.Path, replace bool) error {
	return f.vol.move(from.Under(f.base), to.Under(f.base), func() error { return f.FS.Rename(from, to, replace) })
}

// move renames while nobody writes to what is moved: a journal names the file by its
// path, and so must be brought to its end before.
func (v *Volume) move(from, to vfs.Path, rename func() error) error {
	moving := v.openBelow(from)
	for _, n := range moving {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.journal == nil {
			continue
		}
		if err := n.checkpoint(); err != nil {
			return vfs.Error("rename", from, fmt.Errorf("bring the file that is open to the disk: %w", err))
		}
	}
	if err := rename(); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.byPath, to)
	for _, n := range moving {
		if rest, ok := n.path.In(from); ok && v.byPath[n.path] == n {
			delete(v.byPath, n.path)
			n.path = rest.Under(to)
			v.byPath[n.path] = n
		}
	}
	return nil
}

// openBelow is what is open at or below dir, in the order in which it may be locked.
func (v *Volume) openBelow(dir vfs.Path) []*node {
	v.mu.Lock()
	defer v.mu.Unlock()
	var found []*node
	for path, n := range v.byPath {
		if _, ok := path.In(dir); ok {
			found = append(found, n)
		}
	}
	slices.SortFunc(found, func(a, b *node) int { return cmp.Compare(a.number, b.number) })
	return found
}

// Remove is Remove of vfs.FS.
func (f *FS) Remove(name vfs.Path) error {
	err := f.FS.Remove(name)
	if err == nil {
		f.vol.mu.Lock()
		defer f.vol.mu.Unlock()
		delete(f.vol.byPath, name.Under(f.base))
	}
	return err
}

// File is an open file of an encrypted VFS.
type File struct {
	node             *node
	name             vfs.Path
	reading, writing bool

	mu     sync.Mutex
	closed bool
	// The segment that was read last: who reads in pieces of 32 KiB wants it twice.
	cached  *[segmentSize]byte
	index   int64
	length  int
	version uint64
}

var _ vfs.File = (*File)(nil)

// ReadAt is io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || !f.reading {
		return 0, vfs.Error("read", f.name, fs.ErrClosed)
	}
	f.node.mu.RLock()
	defer f.node.mu.RUnlock()
	done, err := f.read(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return done, vfs.Error("read", f.name, err)
	}
	return done, err
}

func (f *File) read(p []byte, off int64) (int, error) {
	n := f.node
	if off < 0 {
		return 0, vfs.ErrTooLarge
	}
	if off >= n.size {
		f.forget()
		return 0, io.EOF
	}
	var atEnd error
	if rest := n.size - off; int64(len(p)) > rest {
		p, atEnd = p[:rest], io.EOF
	}
	done := 0
	for done < len(p) {
		m, err := f.readSome(p[done:], off+int64(done))
		done += m
		if err != nil {
			return done, err
		}
	}
	return done, atEnd
}

// readSome reads what memory has of the segment at off, or a run of segments from the
// disk.
func (f *File) readSome(p []byte, off int64) (int, error) {
	n := f.node
	i, in := off/segmentSize, int(off%segmentSize)
	if d := n.dirtySegment(i); d != nil {
		return copy(p, d.buf[in:d.n]), nil
	}
	if f.cached != nil && f.index == i && f.version == n.version {
		return copy(p, f.cached[in:f.length]), nil
	}
	if in == 0 && len(p) >= n.segLen(i) {
		if run := f.wholeRun(p, i); len(run) > 0 {
			length := 0
			for _, one := range run {
				length += len(one)
			}
			return length, n.readRun(i, run)
		}
	}
	if f.cached == nil {
		f.cached = takeBuffer()
	}
	length, err := n.readSegment(f.cached, i)
	if err != nil {
		f.forget()
		return 0, err
	}
	f.index, f.length, f.version = i, length, n.version
	m := copy(p, f.cached[in:length])
	if held.Load() > maxHeld {
		f.forget()
	}
	return m, nil
}

// wholeRun cuts p into the segments from first on that fit it whole and are as they are
// on the disk.
func (f *File) wholeRun(p []byte, first int64) (run [][]byte) {
	n := f.node
	for i := first; i < n.diskSegs && len(run) < maxRun && n.dirtySegment(i) == nil; i++ {
		length := n.segLen(i)
		if length == 0 || length > len(p) {
			break
		}
		run = append(run, p[:length:length])
		p = p[length:]
	}
	return run
}

func (f *File) forget() {
	if f.cached != nil {
		giveBack(f.cached)
		f.cached = nil
	}
}

// WriteAt is io.WriterAt.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if err := f.check("write"); err != nil {
		return 0, err
	}
	done, err := f.node.writeAt(p, off)
	return done, vfs.Error("write", f.name, err)
}

// check says whether f can be written to.
func (f *File) check(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return vfs.Error(op, f.name, fs.ErrClosed)
	}
	if !f.writing {
		return vfs.Error(op, f.name, fs.ErrPermission)
	}
	return nil
}

// Stat is Stat of vfs.File.
func (f *File) Stat() (vfs.Info, error) {
	f.node.mu.RLock()
	defer f.node.mu.RUnlock()
	inner, ok := f.node.file.(vfs.File)
	if !ok {
		return vfs.Info{Name: f.name.Base(), Size: f.node.size}, nil
	}
	info, err := inner.Stat()
	info.Name, info.Size = f.name.Base(), f.node.size
	return info, err
}

// SetStat is SetStat of vfs.File. Times hold although writes still wait in memory: those
// are brought to the disk first.
func (f *File) SetStat(c vfs.Change) error {
	if c.Size != nil {
		if err := f.check("truncate"); err != nil {
			return err
		}
		if err := f.node.truncate(*c.Size); err != nil {
			return vfs.Error("truncate", f.name, err)
		}
		c.Size = nil
	}
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	if f.writing && (c.ModTime != nil || c.AccessTime != nil) {
		if err := f.node.settle(); err != nil {
			return vfs.Error("setstat", f.name, err)
		}
	}
	if inner, ok := f.node.file.(vfs.File); ok {
		return inner.SetStat(c)
	}
	return nil
}

// Sync is Sync of vfs.File.
func (f *File) Sync() error {
	if !f.writing {
		return nil
	}
	if err := f.check("sync"); err != nil {
		return err
	}
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	return vfs.Error("sync", f.name, f.node.checkpoint())
}

// Close is Close of vfs.File.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	f.forget()
	return vfs.Error("close", f.name, f.node.vol.release(f.node, f.writing))
}

// Abort is Close: this layer knows nothing of uploads. What cannot be written is dropped.
func (f *File) Abort() error { return f.Close() }

// release ends one use of n.
func (v *Volume) release(n *node, writing bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var err error
	if writing && v.lastWriter(n) {
		if err = n.finish(); err != nil {
			if again := n.salvage(); again != nil {
				v.giveUp(n, again)
			}
		}
		n.fresh = false
	}
	if v.detach(n, writing) {
		err = errors.Join(err, n.file.Close())
	}
	return err
}

func (v *Volume) lastWriter(n *node) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return n.writers == 1
}

// giveUp leaves the file as a crash would: its journal is followed before it is opened
// again.
func (v *Volume) giveUp(n *node, err error) {
	v.log.Error("a file could not be brought to the disk", "file", v.pathOf(n).String(), "error", err)
	for _, d := range slices.Clone(n.dirty) {
		n.drop(d)
	}
	if n.journal == nil {
		return
	}
	v.mu.Lock()
	v.unhealed[n.path] = n.journal.path
	v.mu.Unlock()
	if err := n.journal.file.Close(); err != nil {
		v.log.Warn("close a journal", "error", err)
	}
	n.journal = nil
}
