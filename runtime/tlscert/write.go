package tlscert

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ss-setup/runtime/durable"
)

// makeDir makes the certificate's folder in one that must be there: a data folder
// that is gone is not to be papered over.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// WriteNew puts a file with secrets in place whole or not at all, also over a power cut,
// and never over one that is there. It makes dir if that is missing, but not the folder
// above it.
func WriteNew(dir, name string, content []byte) error {
	if err := makeDir(dir); err != nil {
		return fmt.Errorf("make the folder for %s: %w", name, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), fs.ErrExist)
	}
	return writeSynced(dir, name, content)
}

// writeSynced puts a file in place whole or not at all, also over a power cut. The
// temporary name is fixed, so a cut leaves at most one and the next start uses it.
func writeSynced(dir, name string, content []byte) error {
	path := filepath.Join(dir, name)
	part := path + ".new"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("put %s in place: %w", name, err)
	}
	return durable.SyncDir(dir)
}
