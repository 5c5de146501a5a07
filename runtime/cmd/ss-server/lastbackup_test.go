package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheTimeOfTheLastBackupIsKept(t *testing.T) {
	state := t.TempDir()
	last := lastBackupIn(state)
	if at, err := last.time(); err != nil || !at.IsZero() {
		t.Error(at, err)
	}
	if err := os.Mkdir(filepath.Join(state, "snapshots"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, want := range []time.Time{time.Unix(1_800_000_000, 0), time.Unix(1_800_000_100, 0)} {
		if err := last.note(want); err != nil {
			t.Fatal(err)
		}
		if at, err := lastBackupIn(state).time(); err != nil || !at.Equal(want) {
			t.Error(at, err)
		}
	}
	if list, err := snapshotsIn(state).List(); err != nil || len(list) > 0 {
		t.Error("it is taken for a snapshot:", list, err)
	}
	if err := os.WriteFile(last.path, []byte("no time"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := last.time(); err == nil {
		t.Error("damage is not told")
	}
}
