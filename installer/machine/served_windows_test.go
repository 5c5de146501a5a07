package machine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/windows"
)

func TestAFolderOnTheWayIsNotReplacedWhileSystemWorksInIt(t *testing.T) {
	top := t.TempDir()
	deep := filepath.Join(top, "1", "store")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	was := served
	served = []string{top}
	defer func() { served = was }()
	f := &FS{}
	err := f.at(filepath.Join(deep, "db"), func(name string) error {
		for _, dir := range []string{deep, filepath.Dir(deep)} {
			if err := os.Rename(dir, dir+".away"); !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
				t.Errorf("%s was renamed: %v", dir, err)
			}
		}
		return os.WriteFile(name, []byte("x"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	// Who makes a link of a folder has it open to write.
	writes := func() error {
		h, err := windows.CreateFile(windows.StringToUTF16Ptr(deep), windows.FILE_WRITE_ATTRIBUTES|0x2, 7, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
		if err == nil {
			err = windows.CloseHandle(h)
		}
		return err
	}
	release, err := holdParent(filepath.Join(deep, "db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := writes(); !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		t.Errorf("it was opened to write: %v", err)
	}
	release()
	if err := writes(); err != nil {
		t.Errorf("it is held for good: %v", err)
	}
	if err := f.RemoveAll(filepath.Join(top, "1")); err != nil {
		t.Error(err)
	}
	if _, err := f.Lstat(filepath.Join(deep, "db")); err == nil {
		t.Error("it is there still")
	}
	if err := f.at(filepath.Join(top, "none", "db"), func(string) error { t.Error("called"); return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// Wine makes no junctions, so what is told of one is decided here. The numbers are those
// that Microsoft documents.
func TestALinkOnTheWayIsNotFollowed(t *testing.T) {
	const directory, reparse, file = 0x10, 0x400, 0x80
	for _, c := range []struct {
		attributes uint32
		mayLead    bool
		want       error
	}{
		{directory, false, nil},
		{directory | reparse, false, errInTheWay},
		{directory | reparse, true, nil},
		{reparse, false, errInTheWay},
		{file, false, windows.ERROR_DIRECTORY},
	} {
		if err := checkHeld(windows.ByHandleFileInformation{FileAttributes: c.attributes}, c.mayLead); !errors.Is(err, c.want) {
			t.Errorf("%#x, may lead elsewhere %v: %v", c.attributes, c.mayLead, err)
		}
	}
}

func TestAFileWithSeveralNamesIsNotWrittenTo(t *testing.T) {
	dir := t.TempDir()
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	if err := os.WriteFile(theirs, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(theirs, ours); err != nil {
		t.Fatal(err)
	}
	f := &FS{}
	if _, err := f.Create(ours, 0o600); !errors.Is(err, errSeveralNames) {
		t.Errorf("emptied: %v", err)
	}
	if _, err := f.OpenWrite(ours); !errors.Is(err, errSeveralNames) {
		t.Errorf("opened to write: %v", err)
	}
	if content, err := os.ReadFile(theirs); err != nil || string(content) != "theirs" {
		t.Errorf("%q, %v", content, err)
	}
	if err := f.WriteFile(ours, []byte("new"), Attr{Mode: 0o600}); err != nil {
		t.Errorf("put in its place: %v", err)
	}
	if content, err := os.ReadFile(theirs); err != nil || string(content) != "theirs" {
		t.Errorf("%q, %v", content, err)
	}
}
