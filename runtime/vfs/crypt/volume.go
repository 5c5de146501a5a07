package crypt

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"log/slog"
	"sync"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
)

// place is where a volume keeps its files, from the root of the VFS on.
type place interface {
	open(name vfs.Path, flag vfs.Flag) (storage, error)
	remove(name vfs.Path) error
	// list names what lies in a folder; one that is missing is empty.
	list(dir vfs.Path) ([]string, error)
	mkdir(dir vfs.Path) error
	syncDir(dir vfs.Path) error
	// same says whether two open files are one.
	same(a, b storage) bool
}

// Volume is one encrypted VFS: its keys, and the files that are open in it. All trees
// into the same VFS must come from one Volume, or they do not see each other's writes.
type Volume struct {
	disk   place
	keys   map[id]Key
	active Key
	log    *slog.Logger

	seed  maphash.Seed
	paths [64]sync.Mutex // keep two from opening one name at a time

	mu     sync.Mutex
	nodes  map[id][]*node
	byPath map[vfs.Path]*node
	opened uint64 // counts, for an order of nodes
	// unhealed are files whose journal could not be followed: they are tried again
	// before they are opened.
	unhealed map[vfs.Path]vfs.Path
}

// NewVolume opens the VFS in root with its keys: new files get the first, the others
// read what was written before a change of key. Overwriting that a crash cut is brought
// to its end before it returns. log gets what an administrator must know.
func NewVolume(root *disk.FS, log *slog.Logger, keys ...Key) (*Volume, error) {
	return newVolume(onDisk{root}, log, keys...)
}

func newVolume(disk place, log *slog.Logger, keys ...Key) (*Volume, error) {
	if len(keys) == 0 {
		return nil, errors.New("an encrypted VFS needs a key")
	}
	v := &Volume{
		disk: disk, active: keys[0], keys: make(map[id]Key, len(keys)), log: log, seed: maphash.MakeSeed(),
		nodes: make(map[id][]*node), byPath: make(map[vfs.Path]*node), unhealed: make(map[vfs.Path]vfs.Path),
	}
	for _, k := range keys {
		v.keys[k.id] = k
	}
	for _, dir := range []vfs.Path{vfs.Root.Reserved(vfs.Private), v.journals()} {
		if err := disk.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make the folder that overwriting needs: %w", err)
		}
	}
	return v, v.healAll()
}

func (v *Volume) journals() vfs.Path { return vfs.Root.Reserved(vfs.Private, "journals") }

// lock keeps others from opening or moving the name meanwhile.
func (v *Volume) lock(name vfs.Path) (unlock func()) {
	m := &v.paths[maphash.String(v.seed, name.String())%uint64(len(v.paths))]
	m.Lock()
	return m.Unlock
}

func (v *Volume) pathOf(n *node) vfs.Path {
	v.mu.Lock()
	defer v.mu.Unlock()
	return n.path
}

// use is what a file is opened for.
type use struct {
	writing bool
	reset   bool // content that is there does not matter, nor whether it can be read
	salvage bool // it was never complete: what cannot be read at its end is cut off
}

// attach gives the node of the file that inner has open, and keeps inner or closes it.
func (v *Volume) attach(path vfs.Path, inner storage, u use) (*node, error) {
	n, isNew, err := v.find(path, inner, u)
	if err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	if isNew {
		return n, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.loadErr != nil {
		v.detach(n, u.writing)
		return nil, errors.Join(n.loadErr, inner.Close())
	}
	if u.writing && !n.writable {
		inner = v.swap(n, inner)
	}
	return n, inner.Close()
}

// swap gives n a file that it can write to. n.mu is held.
func (v *Volume) swap(n *node, inner storage) (old storage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old, n.file, n.writable = n.file, inner, true
	return old
}

func (v *Volume) find(path vfs.Path, inner storage, u use) (n *node, isNew bool, err error) {
	h, fileKey, err := v.readHeader(inner)
	if err != nil && u.writing && (u.reset && isFormat(err) || hasNothing(inner, err)) {
		n, err := v.create(path, inner)
		return n, true, err
	}
	if err != nil {
		return nil, false, err
	}
	v.mu.Lock()
	for _, n := range v.nodes[h.fileID] {
		if v.disk.same(n.file, inner) {
			n.use(u.writing)
			v.mu.Unlock()
			return n, false, nil
		}
	}
	n = v.insert(path, inner, h.fileID, fileKey, u.writing)
	v.mu.Unlock()
	defer n.mu.Unlock()
	if n.loadErr = n.load(u); n.loadErr != nil {
		v.detach(n, u.writing)
		return nil, false, n.loadErr
	}
	return n, true, nil
}

// hasNothing says whether a file was created and cut before its header was written.
func hasNothing(file storage, headerErr error) bool {
	size, err := file.Size()
	return err == nil && size < headerSize && errors.Is(headerErr, vfs.ErrIncomplete)
}

func (v *Volume) readHeader(inner storage) (header, []byte, error) {
	raw := make([]byte, headerSize)
	got, err := inner.ReadAt(raw, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return header{}, nil, err
	}
	h, err := parseHeader(raw[:got])
	if err != nil {
		return h, nil, err
	}
	key, ok := v.keys[h.keyID]
	if !ok {
		return h, nil, fmt.Errorf("%w (key %s)", vfs.ErrWrongKey, h.keyID)
	}
	fileKey, err := h.fileKey(key, raw)
	return h, fileKey, err
}

// insert makes a node that is locked until it is loaded. v.mu is held.
func (v *Volume) insert(path vfs.Path, inner storage, fileID id, fileKey []byte, writing bool) *node {
	v.opened++
	n := &node{
		vol: v, path: path, number: v.opened, file: inner, finalAt: -1, writable: writing,
		sealer: &sealer{fileID: fileID, fileKey: fileKey},
	}
	n.mu.Lock()
	n.use(writing)
	v.nodes[fileID] = append(v.nodes[fileID], n)
	v.byPath[path] = n
	return n
}

func (n *node) use(writing bool) {
	n.refs++
	if writing {
		n.writers++
	}
}

// create makes an empty file of inner.
func (v *Volume) create(path vfs.Path, inner storage) (*node, error) {
	h, fileKey, err := newHeader(v.active)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	n := v.insert(path, inner, h.fileID, fileKey, true)
	v.mu.Unlock()
	defer n.mu.Unlock()
	n.fresh = true
	if n.loadErr = inner.Truncate(0); n.loadErr == nil {
		n.loadErr = writeFull(inner, h.encode(), 0)
	}
	if n.loadErr != nil {
		v.detach(n, true)
		return nil, n.loadErr
	}
	return n, nil
}

// detach ends one use of n and says whether it was the last.
func (v *Volume) detach(n *node, writing bool) (last bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n.refs--
	if writing {
		n.writers--
	}
	if n.refs > 0 {
		return false
	}
	if v.byPath[n.path] == n {
		delete(v.byPath, n.path)
	}
	kept := v.nodes[n.fileID][:0]
	for _, x := range v.nodes[n.fileID] {
		if x != n {
			kept = append(kept, x)
		}
	}
	if len(kept) == 0 {
		delete(v.nodes, n.fileID)
	} else {
		v.nodes[n.fileID] = kept
	}
	return true
}

// load looks at the end of a file that is opened first. One without an end is refused to
// readers; for a writer it is shortened to what can be read.
func (n *node) load(u use) error {
	size, err := n.file.Size()
	if err != nil {
		return err
	}
	n.measure(size)
	err = n.findEnd(size)
	if mend := u.writing && (errors.Is(err, vfs.ErrIncomplete) || u.salvage && errors.Is(err, vfs.ErrDamaged)); !mend {
		return err
	}
	n.fresh = true
	good, final, err := n.readable(0)
	if err != nil {
		return err
	}
	if err := n.keep(good); err != nil {
		return err
	}
	// What a write left behind the end when the disk was full is gone; the end stands.
	n.finalAt = final
	return nil
}

// measure takes the counts from the length of the file.
func (n *node) measure(size int64) {
	n.diskPlain = plainSize(size)
	n.size = n.diskPlain
	n.diskSegs = (max(0, size-headerSize) + sealedSize - 1) / sealedSize
}

// findEnd tells whether the last segment is there and marked as such.
func (n *node) findEnd(size int64) error {
	rest := (size - headerSize) % sealedSize
	if n.diskSegs == 0 || rest > 0 && rest < overhead || rest == overhead && n.diskSegs > 1 {
		return vfs.ErrIncomplete
	}
	buf := plainBuffers.Get().(*[segmentSize]byte)
	defer plainBuffers.Put(buf)
	last := n.diskSegs - 1
	n.finalAt = last
	_, err := n.readSegment(buf, last)
	if !errors.Is(err, vfs.ErrDamaged) {
		return err
	}
	n.finalAt = -1
	_, openErr := n.readSegment(buf, last)
	if openErr == nil || rest != 0 {
		// Whole but not the last, or cut in the middle.
		return vfs.ErrIncomplete
	}
	return err
}

// readable says how many segments, from first on without a gap, can be read: a crash may
// leave some that were never written. final is the one that is marked as the last of
// the file, or -1.
func (n *node) readable(first int64) (good, final int64, err error) {
	buf := plainBuffers.Get().(*[segmentSize]byte)
	defer plainBuffers.Put(buf)
	good, final = min(first, n.diskSegs), -1
	for ; good < n.diskSegs; good++ {
		n.finalAt = -1
		_, err := n.readSegment(buf, good)
		if errors.Is(err, vfs.ErrDamaged) {
			n.finalAt = good
			if _, err = n.readSegment(buf, good); err == nil {
				final = good
			}
		}
		if errors.Is(err, vfs.ErrDamaged) {
			break
		}
		if err != nil {
			return 0, -1, err
		}
	}
	return good, final, nil
}

// keep cuts the file behind its first count segments.
func (n *node) keep(count int64) error {
	n.finalAt = -1
	size, err := n.file.Size()
	if err != nil {
		return err
	}
	if count < n.diskSegs || size < headerSize {
		if err := n.file.Truncate(offset(count)); err != nil {
			return err
		}
		size = offset(count)
	}
	n.measure(size)
	return nil
}

// healAll follows the journals that a crash has left.
func (v *Volume) healAll() error {
	names, err := v.disk.list(v.journals())
	if err != nil {
		return fmt.Errorf("look for overwriting that was cut: %w", err)
	}
	for _, name := range names {
		journalPath := v.journals().Reserved(name)
		path, err := v.heal(journalPath)
		if err != nil {
			v.log.Error("an overwrite that was cut could not be finished; the file is closed until it can", "file", path.String(), "error", err)
			v.mu.Lock()
			v.unhealed[path] = journalPath
			v.mu.Unlock()
		}
	}
	return nil
}

// healFirst follows the journal of a file that could not be healed before.
func (v *Volume) healFirst(path vfs.Path) error {
	v.mu.Lock()
	journalPath, ok := v.unhealed[path]
	v.mu.Unlock()
	if !ok {
		return nil
	}
	if _, err := v.heal(journalPath); err != nil {
		return fmt.Errorf("finish the overwrite that a crash has cut: %w", err)
	}
	v.mu.Lock()
	delete(v.unhealed, path)
	v.mu.Unlock()
	return nil
}

// heal does what a journal says, and takes it away. It can itself be cut anywhere.
func (v *Volume) heal(journalPath vfs.Path) (path vfs.Path, err error) {
	file, err := v.disk.open(journalPath, vfs.Read|vfs.Write)
	if err != nil {
		return path, err
	}
	j := &journal{vol: v, path: journalPath, file: file}
	h, err := readJournalHeader(file)
	if errors.Is(err, errTorn) {
		return path, j.remove()
	}
	if err == nil {
		path, err = vfs.ParseOwn(h.path)
	}
	if err != nil {
		return path, errors.Join(err, file.Close())
	}
	inner, err := v.disk.open(path, vfs.Read|vfs.Write)
	if errors.Is(err, fs.ErrNotExist) {
		v.log.Warn("a file whose overwriting was cut is gone", "file", path.String())
		return path, j.remove()
	}
	if err != nil {
		return path, errors.Join(err, file.Close())
	}
	j.id, j.end = h.journalID, h.length
	done, err := v.follow(j, inner, h.fileID)
	if !done {
		err = errors.Join(err, j.file.Close())
	}
	return path, errors.Join(err, inner.Close())
}

// follow does what journal j says with inner. done says that the journal is gone.
func (v *Volume) follow(j *journal, inner storage, fileID id) (done bool, err error) {
	h, fileKey, err := v.readHeader(inner)
	if err != nil && !isFormat(err) {
		return false, err
	}
	if err != nil || h.fileID != fileID {
		// Another file stands there by now.
		return true, j.remove()
	}
	if j.aead, err = derive(fileKey, "journal"); err != nil {
		return false, err
	}
	intent, ok, err := j.next()
	if err != nil {
		return false, err
	}
	if !ok || intent.kind != recordIntent {
		return true, j.remove()
	}
	n := &node{vol: v, sealer: &sealer{fileID: fileID, fileKey: fileKey}, file: inner, finalAt: -1, journal: j, base: intent.index}
	if err := n.replay(); err != nil {
		return false, err
	}
	err = n.checkpoint()
	return err == nil, err
}

func isFormat(err error) bool {
	return errors.Is(err, vfs.ErrPlainFile) || errors.Is(err, vfs.ErrIncomplete) || errors.Is(err, vfs.ErrDamaged) || errors.Is(err, vfs.ErrWrongKey)
}

// replay does the records again and finds the end of the file.
func (n *node) replay() error {
	for {
		r, ok, err := n.journal.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		switch r.kind {
		case recordWrite:
			err = writeFull(n.file, r.data, offset(r.index))
		case recordCut:
			err = applyCut(n.file, r.index, r.data)
			n.base = min(n.base, r.index+1)
		}
		if err != nil {
			return err
		}
	}
	size, err := n.file.Size()
	if err != nil {
		return err
	}
	n.measure(size)
	from := max(0, n.base-1)
	good, _, err := n.readable(from)
	if err != nil {
		return err
	}
	if good < n.base {
		return fmt.Errorf("%w: %d of %d segments are left", vfs.ErrDamaged, good, n.base)
	}
	if err := n.keep(good); err != nil {
		return err
	}
	return n.unmark(from)
}

// unmark finds the segment that is marked as the last, of those that were written last,
// so that settle can put right what is wrong with it.
func (n *node) unmark(from int64) error {
	buf := plainBuffers.Get().(*[segmentSize]byte)
	defer plainBuffers.Put(buf)
	for i := from; i < n.diskSegs; i++ {
		n.finalAt = i
		_, err := n.readSegment(buf, i)
		switch {
		case errors.Is(err, vfs.ErrDamaged):
			n.finalAt = -1
		case err != nil:
			return err
		case i < n.diskSegs-1:
			if err := n.mark(i, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// onDisk is a place on a disk VFS.
type onDisk struct{ fs *disk.FS }

func (d onDisk) open(name vfs.Path, flag vfs.Flag) (storage, error) {
	file, err := d.fs.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (d onDisk) remove(name vfs.Path) error  { return d.fs.Remove(name) }
func (d onDisk) mkdir(name vfs.Path) error   { return d.fs.Mkdir(name, 0o700) }
func (d onDisk) syncDir(name vfs.Path) error { return d.fs.SyncDir(name) }

func (d onDisk) same(a, b storage) bool {
	one, okOne := a.(*disk.File)
	two, okTwo := b.(*disk.File)
	return okOne && okTwo && one.Same(two)
}

func (d onDisk) list(dir vfs.Path) (names []string, err error) {
	folder, err := d.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	for {
		infos, err := folder.Next(100)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		for _, info := range infos {
			names = append(names, info.Name)
		}
	}
}
