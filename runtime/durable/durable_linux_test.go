package durable

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFolderIsSyncedAndAMissingOneIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := SyncDir(dir); err != nil {
		t.Error(err)
	}
	gone := filepath.Join(dir, "gone")
	if err := SyncDir(gone); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), gone) {
		t.Error(err)
	}
}
