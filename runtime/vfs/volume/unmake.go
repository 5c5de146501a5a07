package volume

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/keyring"
)

// ErrUsed: the VFS has been opened or holds something, so nothing of it is taken back.
var ErrUsed = errors.New("VFS in use")

// Unmake takes back what Create has made of a VFS, whose name never got into the
// configuration: the server's own folder in it, and the key of an encrypted one there and in
// the key ring. It is not for a VFS that Create took over. The folder itself stays.
func Unmake(c Config) error {
	root, err := folder(c, false)
	if err != nil {
		return err
	}
	defer root.Close()
	own := map[vfs.Path]string{vfs.Root: vfs.Private, private: "key"}
	if c.Kind != Encrypted {
		own = map[vfs.Path]string{private: ""} // there may have been files before
	}
	for dir, only := range own {
		if err := holdsOnly(root, dir, only); err != nil {
			return fmt.Errorf("take back the VFS in %s: %w", c.Dir, err)
		}
	}
	if c.Kind != Encrypted {
		return root.Rmdir(private)
	}
	wrapped, err := (&Volume{root: root}).wrapped(Config{Dir: c.Dir})
	if err != nil {
		return err
	}
	return dropKey(root, c.Ring, wrapped.ID)
}

// holdsOnly refuses a folder with anything else in it than a name.
func holdsOnly(root *disk.FS, dir vfs.Path, name string) error {
	d, err := root.ReadDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		infos, err := d.Next(2)
		for _, info := range infos {
			if info.Name != name {
				return fmt.Errorf("%w: it holds %s", ErrUsed, info.Name)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// dropKey removes a key that nothing was encrypted with: from the VFS first. As long as it
// lies there somebody may take the VFS over, and the ring keeps it.
func dropKey(root *disk.FS, ring *keyring.Ring, id string) error {
	var failed error
	for _, name := range []vfs.Path{partPath, keyPath} {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	if _, err := root.Lstat(keyPath); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(failed, err)
	}
	if err := root.Rmdir(private); err != nil && !errors.Is(err, fs.ErrNotExist) {
		failed = errors.Join(failed, err)
	}
	return errors.Join(failed, root.SyncDir(vfs.Root), ring.Remove(id))
}
