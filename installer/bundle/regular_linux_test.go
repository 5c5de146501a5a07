package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAPipePutInThePlaceOfAFileMakesNobodyWait(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(string) (*os.File, error){
		"after it was looked at": openStill, "from the start": OpenRegular,
	} {
		done := make(chan error, 1)
		go func() {
			_, err := open(pipe)
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, ErrIrregular) {
				t.Errorf("%s: error is %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: it waits", name)
		}
	}
}

func TestALinkToAFileIsOpened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.WriteFile(file, []byte("text"), 0o600), os.Symlink(file, file+"-link")); err != nil {
		t.Fatal(err)
	}
	f, err := OpenRegular(file + "-link")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
