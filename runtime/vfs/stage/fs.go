package stage

import (
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"ss-setup/runtime/vfs"
)

// FS is a tree as one user sees it: what others are uploading is not in it. It implements
// vfs.FS.
type FS struct {
	inner   vfs.FS
	uploads *Uploads
	base    vfs.Path
	owner   string
	onFreed atomic.Pointer[func(bytes, files int64)]
}

var (
	_ vfs.FS    = (*FS)(nil)
	_ vfs.Freer = (*FS)(nil)
)

// Tree shows inner, which is the folder base of the VFS, to owner. owner is any name that
// is the user's alone.
func (u *Uploads) Tree(inner vfs.FS, base vfs.Path, owner string) *FS {
	return &FS{inner: inner, uploads: u, base: base, owner: owner}
}

// OnFreed is OnFreed of vfs.Freer.
func (f *FS) OnFreed(freed func(bytes, files int64)) { f.onFreed.Store(&freed) }

func (f *FS) freed(bytes, files int64) {
	if tell := f.onFreed.Load(); tell != nil && (bytes != 0 || files != 0) {
		(*tell)(bytes, files)
	}
}

// drop removes an upload that no operation names. up.mu is held.
func (f *FS) drop(up *upload) error {
	if up.ended {
		return nil
	}
	if err := f.uploads.discard(up); err != nil {
		return err
	}
	f.freed(up.goneSize, oneIf(up.fresh))
	return nil
}

// commit puts an upload under its name. up.mu is held.
func (f *FS) commit(up *upload) error {
	replaced, err := f.uploads.commit(up)
	if err == nil && replaced.Mode.IsRegular() {
		f.freed(replaced.Size, oneIf(up.fresh))
	}
	return err
}

func oneIf(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// own is the user's upload to name and where it lies, if there is one that can be read.
func (f *FS) own(name vfs.Path) (*upload, vfs.Path) {
	up := f.uploads.find(f.owner, name.Under(f.base))
	if up == nil {
		return nil, vfs.Root
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	return f.usable(up)
}

// usable says where up lies in this tree. What the server's end left of it is brought
// into a state that can be read; where nothing of it can, it goes. up.mu is held.
func (f *FS) usable(up *upload) (*upload, vfs.Path) {
	temp, ok := up.temp.In(f.base)
	if up.ended || !ok {
		return nil, vfs.Root
	}
	if up.salvaged {
		return up, temp
	}
	if s, ok := f.inner.(vfs.Salvager); ok {
		if err := s.Salvage(temp); err != nil {
			f.uploads.opt.Log.Warn("nothing can be read of an upload that was cut", "file", up.target.String(), "error", err)
			_ = f.drop(up)
			return nil, vfs.Root
		}
	}
	up.salvaged = true
	return up, temp
}

// Open is Open of vfs.FS.
func (f *FS) Open(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (vfs.File, error) {
	up, temp := f.own(name)
	switch {
	case !flag.Has(vfs.Write) && up != nil:
		file, err := f.inner.Open(temp, flag, 0)
		if err != nil {
			return nil, reword(err, name)
		}
		return &reader{file, name}, nil
	case !flag.Has(vfs.Write):
		return f.inner.Open(name, flag, 0)
	case up != nil && flag.Has(vfs.Create|vfs.Exclusive):
		return nil, vfs.Error("open", name, fs.ErrExist)
	case up != nil && !flag.Has(vfs.Truncate):
		return f.resume(name, up)
	}
	info, err := f.inner.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && flag.Has(vfs.Create):
		return f.begin(name, mode, true, flag.Has(vfs.Exclusive))
	case err != nil:
		return nil, err
	case flag.Has(vfs.Create | vfs.Exclusive):
		return nil, vfs.Error("open", name, fs.ErrExist)
	case info.IsDir():
		return nil, vfs.Error("open", name, vfs.ErrIsDir)
	case info.Mode.IsRegular() && flag.Has(vfs.Truncate):
		// The new file has the rights of the one that it replaces.
		return f.begin(name, info.Mode.Perm(), false, false)
	}
	return f.inPlace(name, flag, mode)
}

func (f *FS) begin(name vfs.Path, mode fs.FileMode, fresh, exclusive bool) (vfs.File, error) {
	up, content, err := f.start(name, mode, fresh, exclusive)
	if err != nil {
		return nil, err
	}
	return &file{File: content, fs: f, name: name, up: up}, nil
}

// resume opens what is there of an upload.
func (f *FS) resume(name vfs.Path, up *upload) (vfs.File, error) {
	up.mu.Lock()
	defer up.mu.Unlock()
	live, temp := f.usable(up)
	if live == nil {
		// It was done this very moment.
		return f.inPlace(name, vfs.Write, 0)
	}
	content, err := f.inner.Open(temp, vfs.Read|vfs.Write, 0)
	if err != nil {
		return nil, reword(err, name)
	}
	if up.writers == 0 {
		info, err := content.Stat()
		if err != nil {
			return nil, errors.Join(reword(err, name), content.Close())
		}
		up.written, up.failed = extent{end: info.Size}, nil
	}
	up.writers++
	return &file{File: content, fs: f, name: name, up: up}, nil
}

// inPlace opens a file that is whole to change it where it is.
func (f *FS) inPlace(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (vfs.File, error) {
	content, err := f.inner.Open(name, flag|vfs.Write, mode)
	if err != nil {
		return nil, err
	}
	info, err := content.Stat()
	if err != nil {
		return nil, errors.Join(err, content.Close())
	}
	return &file{File: content, fs: f, name: name, written: extent{end: info.Size}}, nil
}

// Stat is Stat of vfs.FS.
func (f *FS) Stat(name vfs.Path) (vfs.Info, error) { return f.stat(name, f.inner.Stat) }

// Lstat is Lstat of vfs.FS.
func (f *FS) Lstat(name vfs.Path) (vfs.Info, error) { return f.stat(name, f.inner.Lstat) }

func (f *FS) stat(name vfs.Path, look func(vfs.Path) (vfs.Info, error)) (vfs.Info, error) {
	if up, temp := f.own(name); up != nil {
		info, err := look(temp)
		if err == nil {
			info.Name = name.Base()
			return info, nil
		}
		// Done this very moment, or gone.
	}
	return look(name)
}

// ReadDir is ReadDir of vfs.FS.
func (f *FS) ReadDir(name vfs.Path) (vfs.Dir, error) {
	d, err := f.inner.ReadDir(name)
	if err != nil {
		return nil, err
	}
	return &folder{Dir: d, fs: f, name: name, own: f.uploads.ofFolder(f.owner, name.Under(f.base))}, nil
}

// folder hides what is the server's own and shows the user's uploads.
type folder struct {
	vfs.Dir
	fs   *FS
	name vfs.Path
	own  map[string]*upload
	done bool
}

func (d *folder) Next(n int) ([]vfs.Info, error) {
	for !d.done {
		infos, err := d.Dir.Next(n)
		if errors.Is(err, io.EOF) {
			d.done = true
			break
		}
		if err != nil {
			return nil, err
		}
		shown := infos[:0]
		for _, info := range infos {
			if _, mine := d.own[info.Name]; !mine && !vfs.IsReserved(info.Name) {
				shown = append(shown, info)
			}
		}
		if len(shown) > 0 {
			return shown, nil
		}
	}
	return d.uploads()
}

// uploads gives the user's own at the end.
func (d *folder) uploads() ([]vfs.Info, error) {
	var shown []vfs.Info
	for name := range d.own {
		delete(d.own, name)
		if info, err := d.fs.Lstat(d.name.Reserved(name)); err == nil {
			shown = append(shown, info)
		}
	}
	if len(shown) == 0 {
		return nil, io.EOF
	}
	return shown, nil
}

// Mkdir is Mkdir of vfs.FS.
func (f *FS) Mkdir(name vfs.Path, mode fs.FileMode) error {
	if up, _ := f.own(name); up != nil {
		return vfs.Error("mkdir", name, fs.ErrExist)
	}
	return f.inner.Mkdir(name, mode)
}

// Rmdir is Rmdir of vfs.FS. What cut uploads have left keeps no folder that looks empty.
func (f *FS) Rmdir(name vfs.Path) error {
	err := f.inner.Rmdir(name)
	if !errors.Is(err, vfs.ErrNotEmpty) {
		return err
	}
	for _, up := range f.uploads.ofFolder("", name.Under(f.base)) {
		up.mu.Lock()
		idle := up.writers == 0 && up.owner != f.owner
		up.mu.Unlock()
		if !idle {
			return err
		}
	}
	only := each(f.inner, name, func(info vfs.Info) error {
		if !isTemp(info.Name) {
			return vfs.ErrNotEmpty
		}
		return nil
	})
	if only != nil {
		return err
	}
	for _, up := range f.uploads.ofFolder("", name.Under(f.base)) {
		up.mu.Lock()
		discardErr := f.drop(up)
		up.mu.Unlock()
		if discardErr != nil {
			return err
		}
	}
	return f.inner.Rmdir(name)
}

// Remove is Remove of vfs.FS. It takes the user's upload with the file that it replaces.
func (f *FS) Remove(name vfs.Path) error {
	up, _ := f.own(name)
	if up == nil {
		return f.inner.Remove(name)
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	if err := f.uploads.discard(up); err != nil {
		return reword(err, name)
	}
	hidden, lookErr := f.inner.Lstat(name)
	if err := f.inner.Remove(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if lookErr == nil && hidden.Mode.IsRegular() {
		f.freed(hidden.Size, oneIf(up.fresh))
	}
	return nil
}

// Rename is Rename of vfs.FS. An upload that is renamed stands under its new name at once
// and is seen by all: the user says that this is the file.
func (f *FS) Rename(from, to vfs.Path, replace bool) error {
	hidden, fresh := vfs.Info{Mode: fs.ModeIrregular}, false
	if up, _ := f.own(to); up != nil && from != to {
		if !replace {
			return vfs.Error("rename", from, fs.ErrExist)
		}
		up.mu.Lock()
		err := f.uploads.discard(up)
		fresh = up.fresh
		up.mu.Unlock()
		if err != nil {
			return reword(err, to)
		}
		if info, err := f.inner.Lstat(to); err == nil {
			hidden = info
		}
	}
	if up, _ := f.own(from); up != nil {
		up.mu.Lock()
		err := f.commit(up)
		up.mu.Unlock()
		if err != nil {
			return reword(err, from)
		}
	}
	if err := f.inner.Rename(from, to, replace); err != nil {
		return err
	}
	if hidden.Mode.IsRegular() {
		f.freed(hidden.Size, oneIf(fresh))
	}
	f.uploads.moved(from.Under(f.base), to.Under(f.base))
	return nil
}

// SetStat is SetStat of vfs.FS.
func (f *FS) SetStat(name vfs.Path, c vfs.Change) error {
	up, temp := f.own(name)
	if up == nil {
		return f.inner.SetStat(name, c)
	}
	if err := f.inner.SetStat(temp, c); err != nil {
		return reword(err, name)
	}
	if c.Size != nil {
		up.mu.Lock()
		defer up.mu.Unlock()
		up.written.cut(*c.Size)
	}
	return nil
}

// Symlink is Symlink of vfs.FS.
func (f *FS) Symlink(target string, name vfs.Path) error {
	if up, _ := f.own(name); up != nil {
		return vfs.Error("symlink", name, fs.ErrExist)
	}
	return f.inner.Symlink(target, name)
}

// Readlink is Readlink of vfs.FS.
func (f *FS) Readlink(name vfs.Path) (string, error) { return f.inner.Readlink(name) }

// StatFS is StatFS of vfs.FS.
func (f *FS) StatFS(name vfs.Path) (vfs.Space, error) { return f.inner.StatFS(name) }

// reader is an upload that its user reads.
type reader struct {
	vfs.File
	name vfs.Path
}

func (r *reader) Stat() (vfs.Info, error) {
	info, err := r.File.Stat()
	info.Name = r.name.Base()
	return info, err
}

// file is one that is written: an upload, or where up is nil a file in its place.
type file struct {
	vfs.File
	fs   *FS
	name vfs.Path
	up   *upload

	mu      sync.Mutex
	closed  bool
	written extent // in place
}

// WriteAt is io.WriterAt. After a write has failed none succeeds: what comes later would
// leave a gap.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.broken(); err != nil {
		return 0, err
	}
	n, err := f.File.WriteAt(p, off)
	err = reword(err, f.name)
	f.note(off, int64(n), err)
	return n, err
}

func (f *file) broken() error {
	if f.up == nil {
		return nil
	}
	f.up.mu.Lock()
	defer f.up.mu.Unlock()
	return f.up.failed
}

func (f *file) note(off, n int64, err error) {
	if f.up == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.written.add(off, n)
		return
	}
	f.up.mu.Lock()
	defer f.up.mu.Unlock()
	f.up.written.add(off, n)
	// An offset that no file may have is the client's mistake, and leaves no gap.
	if err != nil && !errors.Is(err, vfs.ErrTooLarge) && f.up.failed == nil {
		f.up.failed = err
	}
}

// Stat is Stat of vfs.File.
func (f *file) Stat() (vfs.Info, error) {
	info, err := f.File.Stat()
	info.Name = f.name.Base()
	return info, reword(err, f.name)
}

// SetStat is SetStat of vfs.File.
func (f *file) SetStat(c vfs.Change) error {
	if err := f.File.SetStat(c); err != nil {
		return reword(err, f.name)
	}
	if c.Size == nil {
		return nil
	}
	if f.up == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.written.cut(*c.Size)
		return nil
	}
	f.up.mu.Lock()
	defer f.up.mu.Unlock()
	f.up.written.cut(*c.Size)
	return nil
}

// Close is Close of vfs.File.
func (f *file) Close() error { return f.end(false) }

// Abort is Abort of vfs.File.
func (f *file) Abort() error { return f.end(true) }

func (f *file) end(abort bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if f.up == nil {
		return f.endInPlace(abort)
	}
	up := f.up
	up.mu.Lock()
	defer up.mu.Unlock()
	up.writers--
	if up.gone {
		f.freeGone()
	}
	if up.writers > 0 || up.ended {
		return reword(f.File.Close(), f.name)
	}
	if abort || up.failed != nil {
		return f.keep()
	}
	before := f.fs.uploads.size(up.temp)
	if err := f.File.Close(); err != nil {
		// Of what could not be written the end of the file may be anything.
		up.salvaged = false
		f.fs.freed(max(0, before-f.fs.uploads.size(up.temp)), 0)
		return reword(err, f.name)
	}
	return reword(f.fs.commit(up), f.name)
}

// freeGone gives back what was written to an upload after it was removed. up.mu is held.
func (f *file) freeGone() {
	if info, err := f.File.Stat(); err == nil && info.Size > f.up.goneSize {
		f.fs.freed(info.Size-f.up.goneSize, 0)
		f.up.goneSize = info.Size
	}
}

// endInPlace closes a file that was changed where it is. Of what broke off, the part
// beyond a gap goes, unless somebody else has made the file longer.
func (f *file) endInPlace(abort bool) error {
	if !abort {
		return f.File.Close()
	}
	info, err := f.File.Stat()
	if w := f.written; err == nil && w.reach > w.end && w.reach == info.Size {
		err = trim(f.File, f.written.end)
		f.fs.freed(max(0, info.Size-f.written.end), 0)
	}
	return errors.Join(err, f.File.Abort())
}

// keep leaves what is whole of the upload for its resume: up.mu is held.
func (f *file) keep() error {
	up := f.up
	failed := up.failed
	before := f.fs.uploads.size(up.temp)
	err := errors.Join(trim(f.File, up.written.end), f.File.Abort())
	f.fs.freed(max(0, before-f.fs.uploads.size(up.temp)), 0)
	// A write that failed may have left more at the end of the file than can be read.
	up.salvaged = failed == nil && err == nil
	superseded := f.fs.uploads.find(up.owner, up.target) != up
	if up.written.end == 0 || superseded {
		err = errors.Join(err, f.fs.drop(up))
	}
	return reword(errors.Join(failed, err), f.name)
}

// trim cuts a file at end, if it is longer.
func trim(file vfs.File, end int64) error {
	info, err := file.Stat()
	if err != nil || info.Size <= end {
		return err
	}
	return file.SetStat(vfs.Change{Size: &end})
}

// isTemp says whether name is that of an upload that is not done.
func isTemp(name string) bool {
	return len(name) > len(vfs.TempPrefix) && name[:len(vfs.TempPrefix)] == vfs.TempPrefix
}
