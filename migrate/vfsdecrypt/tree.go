package vfsdecrypt

import (
	"context"
	"io/fs"
	"time"
)

// File is an entry of the source.
type File struct {
	// Path is relative to the source, with slashes.
	Path   string
	Folder bool
	// Size is that of the encrypted file.
	Size     int64
	Modified time.Time
	// Passed says why an entry is not taken: a link, a device, what cannot be read.
	Passed string
}

// walk calls do for every entry of the tree in the order of names, folders before what is
// in them. Links are not followed. What cannot be read is an entry that says so.
func walk(ctx context.Context, source fs.FS, do func(File) error) error {
	return fs.WalkDir(source, ".", func(path string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if path == "." && err != nil {
			return err
		}
		f := File{Path: path}
		if err != nil {
			f.Folder, f.Passed = true, err.Error()
			return do(f)
		}
		if path == "." {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			f.Passed = err.Error()
			return do(f)
		}
		f.Modified = info.ModTime()
		switch mode := info.Mode(); {
		case mode.IsRegular():
			f.Size = info.Size()
		case mode.IsDir():
			f.Folder = true
		case mode&fs.ModeSymlink != 0:
			f.Passed = "it is a link, and links are not followed"
		default:
			f.Passed = "it is neither a file nor a folder"
		}
		return do(f)
	})
}
