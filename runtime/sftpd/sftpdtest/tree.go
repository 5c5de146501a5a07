// Package sftpdtest is for tests and measurements of the SFTP server: storage as a site
// has it, and a site with users in memory.
package sftpdtest

import (
	"errors"
	"log/slog"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/crypt"
	"ss-setup/runtime/vfs/disk"
	"ss-setup/runtime/vfs/stage"
)

// Tree is the storage of one user.
type Tree struct {
	vfs.FS
	close func() error
}

// Close gives the folder back.
func (t *Tree) Close() error { return t.close() }

// NewTree puts a VFS into dir, an absolute path, as a server does: uploads are out of
// sight until they are whole. An encrypted one has a key that nobody keeps.
func NewTree(dir string, encrypted bool) (*Tree, error) {
	plain, err := disk.Open(dir, disk.Options{Links: true})
	if err != nil {
		return nil, err
	}
	var content vfs.FS = plain
	if encrypted {
		key, err := crypt.NewKey()
		if err != nil {
			return nil, errors.Join(err, plain.Close())
		}
		volume, err := crypt.NewVolume(plain, slog.New(slog.DiscardHandler), key)
		if err != nil {
			return nil, errors.Join(err, plain.Close())
		}
		content = volume.Tree(plain, vfs.Root)
	}
	uploads, err := stage.Open(content, plain, stage.Options{})
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return &Tree{uploads.Tree(content, vfs.Root, "kim"), plain.Close}, nil
}
