package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestBackupsThatAreWrittenAtOnceLeaveEachOtherAlone(t *testing.T) {
	dir := t.TempDir()
	var writing sync.WaitGroup
	for n := range 8 {
		writing.Go(func() {
			for range 50 {
				if err := keepOne(dir, byte(n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Error("left behind:", left, err)
	}
}

// keepOne writes a byte to a file that is gone when it is closed, and reads it again.
func keepOne(dir string, want byte) error {
	f, err := spool(dir)
	if err != nil {
		return err
	}
	if _, err := f.Write([]byte{want}); err != nil {
		return errors.Join(err, f.Close())
	}
	got := make([]byte, 2)
	n, err := f.ReadAt(got, 0)
	if n != 1 || got[0] != want || !errors.Is(err, io.EOF) {
		err = errors.Join(errors.New("another byte was read"), err)
	} else {
		err = nil
	}
	return errors.Join(err, f.Close())
}

func TestTheStartTakesAwayWhatAKilledServerHasLeftOfABackup(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"backup-1.part", "store.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cleanSpool(dir)
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 || filepath.Base(left[0]) != "store.db" {
		t.Error(left)
	}
}
