// Package volume is a VFS as a whole: it makes one in a folder of the machine, opens it
// with its key, and gives each session its tree.
package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/crypt"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/keyring"
	"ss-setup/runtime/vfs/quota"
	"ss-setup/runtime/vfs/stage"
)

// Kind says how a VFS keeps files.
type Kind string

// The kinds.
const (
	Disk      Kind = "disk"
	Encrypted Kind = "encrypted"
)

// Config is what a VFS needs.
type Config struct {
	Kind Kind
	Dir  string // on this machine, absolute
	// Within are folders above Dir where users may have made links, the outermost first:
	// on the way to Dir no link leads out of them.
	Within []string
	// Apart are folders of the server's own, which a VFS may neither hold nor lie in.
	Apart []string

	Disk disk.Options
	Keep time.Duration // of what is left of uploads; stage.DefaultKeep
	// InPlace writes uploads under their own name from the first byte.
	InPlace bool

	// For an encrypted VFS: where its key is kept, and the passphrase where that wraps
	// it instead of the node's master key.
	Ring       *keyring.Ring
	Passphrase string
	// KeyID is the key's name, as Create gave it, for when the copy in the VFS is gone.
	KeyID string

	Log *slog.Logger     // slog.Default()
	Now func() time.Time // time.Now
}

// What can be wrong with the folder of a VFS. Messages name the folder and the cure.
var (
	// ErrFolder: the folder cannot be used.
	ErrFolder = errors.New("folder cannot hold a VFS")
	// ErrKind: the VFS in the folder is of the other kind.
	ErrKind = errors.New("VFS of another kind")
)

var (
	private = vfs.Root.Reserved(vfs.Private)
	keyPath = private.Reserved("key")
	// partPath is the key until all of it is written: half a key would be taken for a
	// damaged one.
	partPath = private.Reserved("key.part")
)

// Create makes a VFS: its folder, where there is none, and its key. An encrypted VFS that
// is there already, as after a return to an older configuration, is taken over if its key
// can be unwrapped. As what the service will do is tried - make, write, read, rename,
// remove - it must run under the service's account. It gives the name of the key of an
// encrypted VFS.
func Create(c Config) (keyID string, err error) {
	if err := Apart(c.Dir, c.Apart); err != nil {
		return "", err
	}
	root, err := folder(c, true)
	if err != nil {
		return "", err
	}
	defer root.Close()
	_, err = root.Lstat(keyPath)
	there := err == nil
	if !there {
		err = vacant(root, c)
	} else if c.Kind != Encrypted {
		err = fmt.Errorf("%w: %s holds an encrypted VFS; make it as one, or choose another folder", ErrKind, c.Dir)
	}
	if err == nil {
		err = try(root, c.Dir)
	}
	if err != nil {
		return "", err
	}
	if there {
		return takeOver(root, c)
	}
	if c.Kind != Encrypted {
		return "", mark(root, c.Dir)
	}
	return createKey(root, c)
}

// mark makes what Open tells the folder by from the empty one that a disk is mounted on.
func mark(root *disk.FS, dir string) error {
	err := root.Mkdir(private, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = root.SyncDir(vfs.Root)
	}
	if err != nil {
		return explain(dir, "make folders in", err, cure)
	}
	return nil
}

// folder opens the folder of a VFS, and makes it first if create is set.
func folder(c Config, create bool) (*disk.FS, error) {
	way := append(slices.Clone(c.Within), c.Dir)
	if create {
		if err := makeDir(way[0]); err != nil {
			return nil, err
		}
	}
	at, err := disk.Open(way[0], c.Disk)
	if err != nil {
		return nil, explain(way[0], "open", err, cure)
	}
	for i, dir := range way[1:] {
		next, err := below(at, way[i], dir, create)
		_ = at.Close() // nothing was done in it
		if errors.Is(err, vfs.ErrBadPath) {
			return nil, fmt.Errorf("%w: on the way to %s a link leads out of %s; remove it, or name the folder that it leads to", ErrFolder, dir, way[i])
		}
		if err != nil {
			return nil, explain(dir, "open", err, cure)
		}
		at = next
	}
	return at, nil
}

// below opens dir, which lies in the folder above that is open as at.
func below(at *disk.FS, above, dir string, create bool) (*disk.FS, error) {
	rel, err := filepath.Rel(above, dir)
	if err != nil {
		return nil, err
	}
	return at.Sub(vfs.Root.Reserved(strings.Split(filepath.ToSlash(rel), "/")...), create)
}

// Apart refuses folders of the server, those above them and those in them. It is an
// ErrFolder.
func Apart(dir string, others []string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%w: %q is no absolute path", ErrFolder, dir)
	}
	real := realPath(dir)
	for _, other := range others {
		o := realPath(other)
		if holds(o, real) || holds(real, o) {
			return fmt.Errorf("%w: %s and the server's own folder %s lie one in the other; choose another folder", ErrFolder, dir, other)
		}
	}
	return nil
}

// realPath is where dir is, or will be once it is made.
func realPath(dir string) string {
	dir = filepath.Clean(dir)
	for there, rest := dir, ""; ; there, rest = filepath.Dir(there), filepath.Join(filepath.Base(there), rest) {
		if real, err := filepath.EvalSymlinks(there); err == nil {
			return filepath.Join(real, rest)
		}
		if there == filepath.Dir(there) {
			return dir
		}
	}
}

func holds(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// takeOver gives the name of the key of an encrypted VFS that is there, when this node can
// unwrap it, and has the key ring keep it too.
func takeOver(root *disk.FS, c Config) (string, error) {
	v := &Volume{root: root}
	wrapped, err := v.wrapped(c)
	var key crypt.Key
	if err == nil {
		key, err = unwrap(wrapped, c)
	}
	switch {
	case errors.Is(err, crypt.ErrMaster):
		return "", fmt.Errorf("%w: %s holds an encrypted VFS of another node: restore a backup of that node, or choose another folder (%w)", ErrFolder, c.Dir, err)
	case err != nil:
		return "", fmt.Errorf("%w: %s holds an encrypted VFS that cannot be taken over: %w", ErrFolder, c.Dir, err)
	case wrapped.NeedsPassphrase() != (c.Passphrase != ""):
		return "", fmt.Errorf("%w: %s holds an encrypted VFS whose key needs no passphrase: leave it out", ErrFolder, c.Dir)
	}
	if err := c.Ring.Keep(wrapped); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return key.ID(), nil
}

// vacant refuses, for an encrypted VFS, any folder with something in it: what lies there
// in plain would stay so.
func vacant(root *disk.FS, c Config) error {
	if c.Kind != Encrypted {
		return nil
	}
	d, err := root.ReadDir(vfs.Root)
	if err != nil {
		return explain(c.Dir, "list", err, cure)
	}
	defer d.Close()
	if infos, err := d.Next(1); !errors.Is(err, io.EOF) {
		if err != nil {
			return explain(c.Dir, "list", err, cure)
		}
		return fmt.Errorf("%w: %s is not empty (%s); an encrypted VFS needs an empty folder: make it elsewhere and upload the files through the server", ErrFolder, c.Dir, infos[0].Name)
	}
	return nil
}

// try does once what the service will do all the time.
func try(root *disk.FS, dir string) error {
	from, to := vfs.Root.Reserved(vfs.TempPrefix+"try"), vfs.Root.Reserved(vfs.TempPrefix+"tried")
	steps := []struct {
		what string
		do   func() error
	}{
		{"write to", func() error { return put(root, from, []byte("try"), vfs.Create|vfs.Truncate) }},
		{"read in", func() error {
			file, err := root.Open(from, vfs.Read, 0)
			if err != nil {
				return err
			}
			_, err = file.ReadAt(make([]byte, 3), 0)
			return errors.Join(err, file.Close())
		}},
		{"rename in", func() error { return root.Rename(from, to, true) }},
		{"remove from", func() error { return root.Remove(to) }},
		{"make folders in", func() error { return errors.Join(root.Mkdir(to, 0), root.Rmdir(to)) }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return explain(dir, s.what, err, cure)
		}
	}
	return nil
}

// put writes a file and syncs it.
func put(root *disk.FS, name vfs.Path, raw []byte, flag vfs.Flag) error {
	file, err := root.Open(name, flag|vfs.Write, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(raw, 0)
	return errors.Join(err, file.Sync(), file.Close())
}

// explain names the account and, by cure, what gives it the right.
func explain(dir, what string, err error, cure func(account, dir string) string) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	if !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: cannot %s %s: %w", ErrFolder, what, dir, err)
	}
	name := account()
	return fmt.Errorf("%w: account %s may not %s %s (%w); give it the right with: %s", ErrFolder, name, what, dir, err, cure(name, dir))
}

// createKey makes the key of a new VFS: first in the key ring, then in the VFS. Where that
// fails it stays in neither.
func createKey(root *disk.FS, c Config) (string, error) {
	key, err := crypt.NewKey()
	if err != nil {
		return "", err
	}
	wrapped, err := wrap(key, c)
	if err != nil {
		return "", err
	}
	if err := c.Ring.Keep(wrapped); err != nil {
		return "", err
	}
	if err := writeKey(root, wrapped); err != nil {
		return "", errors.Join(err, dropKey(root, c.Ring, key.ID()))
	}
	return key.ID(), nil
}

func wrap(key crypt.Key, c Config) (crypt.Wrapped, error) {
	if c.Passphrase != "" {
		return crypt.WrapByPassphrase(key, c.Passphrase)
	}
	master, err := c.Ring.Master()
	if err != nil {
		return crypt.Wrapped{}, err
	}
	return crypt.WrapByMaster(key, master)
}

func writeKey(root *disk.FS, w crypt.Wrapped) error {
	raw, err := w.Encode()
	if err != nil {
		return err
	}
	if err := root.Mkdir(private, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write the VFS's key to its root: %w", err)
	}
	err = put(root, partPath, raw, vfs.Create|vfs.Truncate)
	if err == nil {
		err = root.Rename(partPath, keyPath, false)
	}
	if err == nil {
		err = errors.Join(root.SyncDir(private), root.SyncDir(vfs.Root))
	}
	if err != nil {
		return fmt.Errorf("write the VFS's key to its root: %w", err)
	}
	return nil
}

// Volume is a VFS that is open. One process opens a VFS once.
type Volume struct {
	root    *disk.FS
	crypt   *crypt.Volume // nil if it is plain
	uploads *stage.Uploads
	folds   bool
	inPlace bool
}

// Open opens a VFS that Create has made. Overwriting that a crash cut is finished.
func Open(c Config) (*Volume, error) {
	c.Log = cmp.Or(c.Log, slog.Default())
	// Not every VFS of a configuration was made by Create: one may come from elsewhere.
	if err := Apart(c.Dir, c.Apart); err != nil {
		return nil, err
	}
	root, err := folder(c, false)
	if err != nil {
		return nil, err
	}
	v := &Volume{root: root, inPlace: c.InPlace}
	err = mounted(root, c.Dir)
	if err == nil {
		err = v.open(c)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the VFS in %s: %w", c.Dir, err), root.Close())
	}
	return v, nil
}

// mounted refuses a folder in which there is nothing, not even what Create has left.
func mounted(root *disk.FS, dir string) error {
	d, err := root.ReadDir(vfs.Root)
	if err != nil {
		return err
	}
	_, err = d.Next(1)
	if closing := d.Close(); closing != nil {
		return closing
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it is empty, though a VFS was made there: is its disk mounted? If it is meant to be empty, make the folder %s in it, for account %s", ErrFolder, vfs.Private, account())
	}
	return err
}

func (v *Volume) open(c Config) error {
	var content vfs.FS = v.root
	if c.Kind == Encrypted {
		key, err := v.key(c)
		if err != nil {
			return err
		}
		if v.crypt, err = crypt.NewVolume(v.root, c.Log, key); err != nil {
			return err
		}
		content = v.crypt.Tree(v.root, vfs.Root)
	} else if _, err := v.root.Lstat(keyPath); err == nil {
		return fmt.Errorf("%w: it is encrypted", ErrKind)
	}
	var err error
	if v.folds, err = v.root.FoldsCase(); err != nil {
		return err
	}
	v.uploads, err = stage.Open(content, v.root, stage.Options{Keep: c.Keep, Folds: v.folds, Now: c.Now, Log: c.Log})
	return err
}

// key unwraps the VFS's key: from its root, or where that copy is gone from the ring,
// which then puts it back.
func (v *Volume) key(c Config) (crypt.Key, error) {
	wrapped, err := v.wrapped(c)
	if err != nil {
		return crypt.Key{}, err
	}
	return unwrap(wrapped, c)
}

func unwrap(wrapped crypt.Wrapped, c Config) (crypt.Key, error) {
	if wrapped.NeedsPassphrase() {
		if c.Passphrase == "" {
			return crypt.Key{}, crypt.ErrNeedsPassphrase
		}
		return wrapped.UnwrapByPassphrase(c.Passphrase)
	}
	masters, err := c.Ring.Masters()
	if err != nil {
		return crypt.Key{}, err
	}
	return wrapped.UnwrapByMaster(masters...)
}

func (v *Volume) wrapped(c Config) (crypt.Wrapped, error) {
	file, err := v.root.Open(keyPath, vfs.Read, 0)
	if errors.Is(err, fs.ErrNotExist) && c.KeyID != "" {
		wrapped, err := c.Ring.Wrapped(c.KeyID)
		if err != nil {
			return wrapped, err
		}
		c.Log.Warn("the copy of a VFS's key at its root was gone; it is put back from the key ring", "folder", c.Dir)
		return wrapped, writeKey(v.root, wrapped)
	}
	if err != nil {
		return crypt.Wrapped{}, fmt.Errorf("read its key: %w", err)
	}
	raw, err := io.ReadAll(io.NewSectionReader(file, 0, 64<<10))
	if err := errors.Join(err, file.Close()); err != nil {
		return crypt.Wrapped{}, err
	}
	return crypt.ParseWrapped(raw)
}

// Tree is a folder of a VFS as one user sees it. It is closed by who opened it.
type Tree struct {
	vfs.FS
	root *disk.FS
}

// OnFreed is OnFreed of vfs.Freer.
func (t *Tree) OnFreed(freed func(bytes, files int64)) {
	if f, ok := t.FS.(vfs.Freer); ok {
		f.OnFreed(freed)
	}
}

// Close lets go of the folder. Files that are open stay so.
func (t *Tree) Close() error { return t.root.Close() }

// Tree shows what lies below dir to owner, a name that is the user's alone; nothing leads
// out of dir. A folder that is missing is made.
func (v *Volume) Tree(dir vfs.Path, owner string) (*Tree, error) {
	root, err := v.root.Sub(dir, true)
	if err != nil {
		return nil, err
	}
	content := v.content(root, dir)
	if v.inPlace {
		return &Tree{content, root}, nil
	}
	return &Tree{v.uploads.Tree(content, dir, owner), root}, nil
}

// Content shows what lies below dir as it is stored, with what uploads have left: for
// counting, not for users.
func (v *Volume) Content(dir vfs.Path) (*Tree, error) {
	root, err := v.root.Sub(dir, false)
	if err != nil {
		return nil, err
	}
	return &Tree{v.content(root, dir), root}, nil
}

func (v *Volume) content(root *disk.FS, dir vfs.Path) vfs.FS {
	if v.crypt == nil {
		return root
	}
	return v.crypt.Tree(root, dir)
}

// Counts keeps what a quota has counted in the server's own folder of the VFS, under a
// name of letters and digits: it stays with the files that it counts.
func (v *Volume) Counts(name string) quota.Keeper { return counts{v.root, name} }

// FoldsCase says that the VFS takes upper and lower case for one.
func (v *Volume) FoldsCase() bool { return v.folds }

// Sweep removes what uploads have left and is too old, and says how many; all walks the
// whole VFS for it.
func (v *Volume) Sweep(ctx context.Context, all bool) (removed int, err error) {
	if all {
		return v.uploads.SweepAll(ctx)
	}
	return v.uploads.Sweep()
}

// Close lets go of the VFS. Trees and files of it are closed before.
func (v *Volume) Close() error { return v.root.Close() }
