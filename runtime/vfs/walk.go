package vfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
)

// Walk calls do for everything below dir, folders before what is in them, and follows no
// links. What vanishes meanwhile is left out. It holds one folder open at a time.
func Walk(ctx context.Context, f FS, dir Path, do func(Path, Info) error) error {
	waiting := []Path{dir}
	for len(waiting) > 0 {
		next := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		err := walkOne(ctx, f, next, func(path Path, info Info) error {
			if info.IsDir() {
				waiting = append(waiting, path)
			}
			return do(path, info)
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func walkOne(ctx context.Context, f FS, dir Path, do func(Path, Info) error) (err error) {
	d, err := f.ReadDir(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		infos, err := d.Next(256)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, info := range infos {
			if err := do(dir.child(info.Name), info); err != nil {
				return err
			}
		}
	}
}
