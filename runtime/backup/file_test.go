package backup

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFileIsWholeOrNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.zip")
	put := func(w io.Writer) error {
		_, err := Write(t.Context(), w, header(), small(), WriteOptions{})
		return err
	}
	broken := errors.New("the store is gone")
	if err := WriteFile(path, func(w io.Writer) error { return errors.Join(put(w), broken) }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if err := WriteFile(path, put); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	a, file, err := OpenFile(path, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if s, err := a.Verify(t.Context()); err != nil || s.Total() != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := WriteFile(path, put); err == nil || !strings.Contains(err.Error(), "is there already; choose another name") {
		t.Errorf("over another backup: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left %v", left)
	}
	if _, _, err := OpenFile(filepath.Dir(path), ReadOptions{}); err == nil {
		t.Error("a folder was opened")
	}
}
