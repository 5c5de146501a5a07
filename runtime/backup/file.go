package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// WriteFile has write make a backup at path: whole and on disk, or not at all. A file
// that is there already is never replaced.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already; choose another name, or remove it", path)
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: another backup is being made, or one was cut; remove it", part)
	}
	if err != nil {
		return fmt.Errorf("make the backup's file: %w", err)
	}
	err = write(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		// A hard link, unlike a rename, does not replace what came there meanwhile; where
		// the file system has none, the look above has to do.
		if linked := os.Link(part, path); errors.Is(linked, fs.ErrExist) {
			err = linked
		} else if linked != nil {
			err = os.Rename(part, path)
		}
	}
	if removed := os.Remove(part); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	// NTFS journals names itself and offers no way to flush a folder.
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the backup's folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync the backup's folder: %w", err)
	}
	return nil
}

// OpenFile opens the backup at path, as Open does. The file stays open until it is
// closed.
func OpenFile(path string, opt ReadOptions) (*Archive, io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open the backup: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	var a *Archive
	if err == nil {
		a, err = Open(f, info.Size(), opt)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the backup %s: %w", path, err), f.Close())
	}
	return a, f, nil
}
