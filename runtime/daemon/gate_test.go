package daemon

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestGateOpensWithinAPollOfTheCommitAndStaysOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "open")
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate(path)
		opened := 0
		go gate.Watch(t.Context(), func() { opened++ })
		time.Sleep(time.Hour)
		if gate.Open() {
			t.Fatal("open without the file")
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(gatePoll)
		synctest.Wait()
		if !gate.Open() || opened != 1 {
			t.Fatalf("open %v, told %d times", gate.Open(), opened)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if !gate.Open() {
			t.Error("closed again")
		}
	})
}

func TestGateIsOpenAtOnceForACommittedGeneration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "open")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	gate := NewGate(path)
	if !gate.Open() {
		t.Error("closed")
	}
	gate.Watch(t.Context(), func() { t.Error("told of an opening that was none") })
}

func TestGateStopsWatchingWithItsDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go NewGate("/nowhere/open").Watch(ctx, func() {})
		cancel()
	})
}

func TestGateTakesNoFolderForACommit(t *testing.T) {
	if NewGate(t.TempDir()).Open() {
		t.Error("a folder opened the gate")
	}
}
