// Package stage keeps uploads out of sight until they are whole.
//
// A file that is new, or replaced from its start, is written under a temporary name in
// its own folder - so that it gets what files get there - and renamed when the client
// closes it: nobody else ever sees half of it. The user who uploads sees it all along
// under its real name, in listings too, because that is how clients look what they have
// sent, set its times, and resume it.
//
// Where the session breaks off, or a write fails, what was written from the start on
// without a gap is kept, seen by the same user alone; opening it without Truncate resumes
// it. It goes after its time, or when the user starts anew. A file that is whole and
// opened without Truncate is changed in place.
//
// A record of each upload lies in the server's own folder of the VFS, so that all this
// outlives the server.
package stage

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ss-setup/runtime/vfs"
)

// DefaultKeep is how long what is left of an upload waits for its resume.
const DefaultKeep = 72 * time.Hour

// Options of Uploads.
type Options struct {
	Keep  time.Duration    // DefaultKeep
	Folds bool             // the VFS takes upper and lower case for one
	Now   func() time.Time // time.Now
	Log   *slog.Logger     // slog.Default()
}

// Uploads are those of one VFS. All trees into the same VFS must come from the same.
type Uploads struct {
	content vfs.FS // the whole VFS, as its files are read
	records vfs.FS // the whole VFS, where records lie in plain
	opt     Options

	mu      sync.Mutex
	pending map[key]*upload
}

type key struct {
	owner string
	path  vfs.Path
}

// upload is one that is not done.
type upload struct {
	owner   string
	id      string
	started time.Time
	// exclusive: it may not replace a file that others put there meanwhile.
	exclusive bool

	mu           sync.Mutex
	fresh        bool     // there was no file of its name: it is counted as one itself
	target, temp vfs.Path // from the root of the VFS
	writers      int
	salvaged     bool  // what is there can be read
	ended        bool  // it stands under its name, or is gone
	gone         bool  // it was removed
	goneSize     int64 // how long it was then
	failed       error // the write that failed first
	written      extent
}

// record is an upload in its file.
type record struct {
	Owner   string    `json:"owner"`
	Target  string    `json:"target"`
	Temp    string    `json:"temp"`
	Started time.Time `json:"started"`
	// Exclusive: it may replace no file.
	Exclusive bool `json:"exclusive,omitempty"`
}

// Open finds the uploads that were not done when the server stopped.
func Open(content, records vfs.FS, opt Options) (*Uploads, error) {
	opt.Keep = cmp.Or(opt.Keep, DefaultKeep)
	opt.Log = cmp.Or(opt.Log, slog.Default())
	if opt.Now == nil {
		opt.Now = time.Now
	}
	u := &Uploads{content: content, records: records, opt: opt, pending: make(map[key]*upload)}
	for _, dir := range []vfs.Path{vfs.Root.Reserved(vfs.Private), recordDir} {
		if err := records.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make the folder for uploads that are not done: %w", err)
		}
	}
	return u, u.load()
}

var recordDir = vfs.Root.Reserved(vfs.Private, "uploads")

func (u *Uploads) load() error {
	return each(u.records, recordDir, func(info vfs.Info) error {
		up, err := u.read(info.Name)
		if err == nil {
			_, err = u.content.Lstat(up.temp)
		}
		if err != nil {
			// The upload is done, or its record was cut when it was made.
			if err := u.records.Remove(recordDir.Reserved(info.Name)); err != nil {
				u.opt.Log.Warn("the record of an upload cannot be removed", "record", info.Name, "error", err)
			}
			return nil
		}
		_, err = u.content.Lstat(up.target)
		up.fresh = errors.Is(err, fs.ErrNotExist)
		u.pending[u.key(up.owner, up.target)] = up
		return nil
	})
}

func (u *Uploads) read(id string) (*upload, error) {
	file, err := u.records.Open(recordDir.Reserved(id), vfs.Read, 0)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.NewSectionReader(file, 0, 64<<10))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return parseRecord(id, raw)
}

func parseRecord(id string, raw []byte) (*upload, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("record of an upload: %w", err)
	}
	target, err := vfs.ParseOwn(r.Target)
	if err != nil {
		return nil, err
	}
	temp, err := vfs.ParseOwn(r.Temp)
	if err != nil {
		return nil, err
	}
	if temp.Base() != vfs.TempPrefix+id || temp.Parent() != target.Parent() {
		return nil, fmt.Errorf("record of an upload names %s for %s", temp, target)
	}
	return &upload{owner: r.Owner, id: id, started: r.Started, exclusive: r.Exclusive, target: target, temp: temp}, nil
}

// save writes the record of up. It is not synced: what a power cut takes of it, it takes
// of the upload.
func (u *Uploads) save(up *upload) error {
	raw, err := json.Marshal(record{up.owner, up.target.String(), up.temp.String(), up.started, up.exclusive})
	if err != nil {
		return err
	}
	file, err := u.records.Open(recordDir.Reserved(up.id), vfs.Write|vfs.Create|vfs.Truncate, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(raw, 0)
	return errors.Join(err, file.Close())
}

func (u *Uploads) key(owner string, path vfs.Path) key {
	if u.opt.Folds {
		path = path.Fold()
	}
	return key{owner, path}
}

// find is the upload of owner to path, or nil.
func (u *Uploads) find(owner string, path vfs.Path) *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pending[u.key(owner, path)]
}

// forget takes up out of the table and removes its record. up.mu is held.
func (u *Uploads) forget(up *upload) {
	up.ended = true
	u.mu.Lock()
	if k := u.key(up.owner, up.target); u.pending[k] == up {
		delete(u.pending, k)
	}
	u.mu.Unlock()
	if err := u.records.Remove(recordDir.Reserved(up.id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.opt.Log.Warn("the record of an upload cannot be removed", "record", up.id, "error", err)
	}
}

// discard removes what was uploaded. Handles that are open go on into nowhere. up.mu is
// held.
func (u *Uploads) discard(up *upload) error {
	if up.ended {
		return nil
	}
	up.goneSize = u.size(up.temp)
	err := u.content.Remove(up.temp)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		up.gone = true
		u.forget(up)
	}
	return err
}

// commit puts up under its name and says what it has replaced. up.mu is held.
func (u *Uploads) commit(up *upload) (replaced vfs.Info, err error) {
	if up.ended {
		return vfs.Info{Mode: fs.ModeIrregular}, nil
	}
	old, err := u.content.Lstat(up.target)
	if err != nil {
		old = vfs.Info{Mode: fs.ModeIrregular}
	}
	if err := u.content.Rename(up.temp, up.target, !up.exclusive); err != nil {
		return vfs.Info{Mode: fs.ModeIrregular}, err
	}
	u.forget(up)
	return old, nil
}

// size is that of a file; 0 if there is none.
func (u *Uploads) size(name vfs.Path) int64 {
	info, err := u.content.Lstat(name)
	if err != nil || !info.Mode.IsRegular() {
		return 0
	}
	return info.Size
}

// start makes a new upload and gives its content, open for reading and writing. One of
// the same user to the same name is left to whoever still writes it, or removed.
func (f *FS) start(name vfs.Path, mode fs.FileMode, fresh, exclusive bool) (*upload, vfs.File, error) {
	u := f.uploads
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, nil, err
	}
	id := hex.EncodeToString(random[:])
	temp := name.Parent().Reserved(vfs.TempPrefix + id)
	up := &upload{
		owner: f.owner, id: id, started: u.opt.Now(), exclusive: exclusive, fresh: fresh, salvaged: true, writers: 1,
		target: name.Under(f.base), temp: temp.Under(f.base),
	}
	content, err := f.inner.Open(temp, vfs.Read|vfs.Write|vfs.Create|vfs.Exclusive, mode)
	if err != nil {
		return nil, nil, reword(err, name)
	}
	if err := u.save(up); err != nil {
		return nil, nil, errors.Join(reword(err, name), content.Abort(), u.content.Remove(up.temp))
	}
	u.mu.Lock()
	k := u.key(f.owner, up.target)
	older := u.pending[k]
	if older == nil || !exclusive {
		u.pending[k] = up
	}
	u.mu.Unlock()
	if older == nil {
		return up, content, nil
	}
	if exclusive {
		up.mu.Lock()
		defer up.mu.Unlock()
		return nil, nil, errors.Join(vfs.Error("open", name, fs.ErrExist), content.Abort(), u.discard(up))
	}
	older.mu.Lock()
	defer older.mu.Unlock()
	// For its user the file was there: what was counted for it is now this one's.
	up.mu.Lock()
	up.fresh, older.fresh = older.fresh, false
	up.mu.Unlock()
	if older.writers == 0 {
		if err := f.drop(older); err != nil {
			u.opt.Log.Warn("what is left of an upload cannot be removed", "file", older.temp.String(), "error", err)
		}
	}
	return up, content, nil
}

// reword gives the error the name that the user knows.
func reword(err error, name vfs.Path) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return vfs.Error(pathErr.Op, name, pathErr.Err)
	}
	return err
}

// Sweep removes what waited too long for its resume, and says how many. Called now and
// then by whoever runs the server.
func (u *Uploads) Sweep() (removed int, err error) {
	u.mu.Lock()
	all := make([]*upload, 0, len(u.pending))
	for _, up := range u.pending {
		all = append(all, up)
	}
	u.mu.Unlock()
	for _, up := range all {
		gone, one := u.expire(up)
		err = errors.Join(err, one)
		if gone {
			removed++
		}
	}
	return removed, err
}

func (u *Uploads) expire(up *upload) (gone bool, err error) {
	up.mu.Lock()
	defer up.mu.Unlock()
	if up.writers > 0 || up.ended {
		return false, nil
	}
	info, err := u.content.Lstat(up.temp)
	// A client may have given the file an old time.
	if err == nil && (u.opt.Now().Sub(info.ModTime) < u.opt.Keep || u.opt.Now().Sub(up.started) < u.opt.Keep) {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	u.opt.Log.Info("what was left of an upload has waited too long for its resume", "file", up.target.String(), "user", up.owner)
	return true, u.discard(up)
}

// SweepAll also walks the whole VFS for temporary files that no record names. It takes
// as long as a walk does.
func (u *Uploads) SweepAll(ctx context.Context) (removed int, err error) {
	removed, err = u.Sweep()
	walkErr := vfs.Walk(ctx, u.content, vfs.Root, func(path vfs.Path, info vfs.Info) error {
		old := u.opt.Now().Sub(info.ModTime) > u.opt.Keep
		// Asked for each: a client sets an old time, and may have begun since the walk did.
		if info.IsDir() || !old || !isTemp(info.Name) || u.known(path) {
			return nil
		}
		if err := u.content.Remove(path); err != nil {
			return err
		}
		removed++
		return nil
	})
	return removed, errors.Join(err, walkErr)
}

// known tells whether a temporary file belongs to an upload.
func (u *Uploads) known(temp vfs.Path) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, up := range u.pending {
		if up.temp == temp {
			return true
		}
	}
	return false
}

// ofFolder are the uploads of owner into dir, by their names; of everybody where owner is
// empty.
func (u *Uploads) ofFolder(owner string, dir vfs.Path) map[string]*upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	found := make(map[string]*upload)
	for k, up := range u.pending {
		if (owner == "" || k.owner == owner) && u.key("", up.target.Parent()) == u.key("", dir) {
			found[up.target.Base()] = up
		}
	}
	return found
}

// below are all uploads below dir.
func (u *Uploads) below(dir vfs.Path) []*upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	var found []*upload
	for _, up := range u.pending {
		if rest, ok := up.target.In(dir); ok && !rest.IsRoot() {
			found = append(found, up)
		}
	}
	return found
}

// moved follows the rename of a folder.
func (u *Uploads) moved(from, to vfs.Path) {
	for _, up := range u.below(from) {
		up.mu.Lock()
		target, okTarget := up.target.In(from)
		temp, okTemp := up.temp.In(from)
		if okTarget && okTemp && !up.ended {
			u.mu.Lock()
			delete(u.pending, u.key(up.owner, up.target))
			up.target, up.temp = target.Under(to), temp.Under(to)
			u.pending[u.key(up.owner, up.target)] = up
			u.mu.Unlock()
			if err := u.save(up); err != nil {
				u.opt.Log.Warn("the record of an upload cannot be written", "file", up.target.String(), "error", err)
			}
		}
		up.mu.Unlock()
	}
}

func each(f vfs.FS, dir vfs.Path, do func(vfs.Info) error) (err error) {
	d, err := f.ReadDir(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for {
		infos, err := d.Next(256)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, info := range infos {
			if err := do(info); err != nil {
				return err
			}
		}
	}
}

// extent is what was written from the start on without a gap, and what lies beyond it.
type extent struct {
	end    int64
	reach  int64 // how far any write went
	beyond [][2]int64
}

// add notes n bytes at off. Writes of a client that overtake each other are a few; who
// writes all over the place is told of the first gap only.
func (e *extent) add(off, n int64) {
	const kept = 256
	e.reach = max(e.reach, off+n)
	if off > e.end {
		if len(e.beyond) < kept {
			e.beyond = append(e.beyond, [2]int64{off, off + n})
		}
		return
	}
	e.end = max(e.end, off+n)
	for grown := true; grown && len(e.beyond) > 0; {
		grown = false
		e.beyond = slices.DeleteFunc(e.beyond, func(b [2]int64) bool {
			if b[0] > e.end {
				return false
			}
			grown = true
			e.end = max(e.end, b[1])
			return true
		})
	}
}

// cut notes that the file ends at size.
func (e *extent) cut(size int64) {
	e.end, e.reach = min(e.end, size), min(e.reach, size)
	e.beyond = slices.DeleteFunc(e.beyond, func(b [2]int64) bool { return b[1] > size })
}
