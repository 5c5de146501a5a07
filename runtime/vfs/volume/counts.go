package volume

import (
	"errors"
	"io"
	"io/fs"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/quota"
)

// counts is a quota.Keeper in a VFS.
type counts struct {
	root *disk.FS
	name string
}

func (c counts) path() vfs.Path { return private.Reserved("quota-" + c.name) }

// Load implements quota.Keeper.
func (c counts) Load() (quota.Use, bool, error) {
	file, err := c.root.Open(c.path(), vfs.Read, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return quota.Use{}, false, nil
	}
	if err != nil {
		return quota.Use{}, false, err
	}
	raw, err := io.ReadAll(io.NewSectionReader(file, 0, 4<<10))
	if err := errors.Join(err, file.Close()); err != nil {
		return quota.Use{}, false, err
	}
	use, sure := quota.Decode(raw)
	return use, sure, nil
}

// Save implements quota.Keeper. It replaces the file in one step; calls for one name come
// one after another.
func (c counts) Save(use quota.Use, sure bool) error {
	raw, err := quota.Encode(use, sure)
	if err != nil {
		return err
	}
	part := private.Reserved("quota-" + c.name + ".part")
	if err := put(c.root, part, raw, vfs.Create|vfs.Truncate); err != nil {
		return err
	}
	if err := c.root.Rename(part, c.path(), true); err != nil {
		return err
	}
	// An old count that comes back would be relied on.
	return c.root.SyncDir(private)
}
