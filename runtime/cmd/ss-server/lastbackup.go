package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lastBackup remembers when a backup was last made: beside the snapshots, where it outlives
// updates. A backup of a server that did not run is not in it.
type lastBackup struct{ path string }

func lastBackupIn(state string) lastBackup {
	return lastBackup{filepath.Join(state, "snapshots", "last-backup")}
}

// time is zero where none is known.
func (l lastBackup) time() (time.Time, error) {
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look up the last backup: %w", err)
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
	if err != nil {
		return time.Time{}, fmt.Errorf("look up the last backup: %s is damaged; it is written anew with the next one: %w", l.path, err)
	}
	return at, nil
}

func (l lastBackup) note(at time.Time) error {
	part := l.path + ".part"
	err := os.WriteFile(part, []byte(at.UTC().Format(time.RFC3339)+"\n"), 0o600)
	if err == nil {
		err = os.Rename(part, l.path)
	}
	if err != nil {
		return fmt.Errorf("note the last backup: %w", err)
	}
	return nil
}
