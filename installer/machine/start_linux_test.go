package machine

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAPolicyMayForbidToStartServices(t *testing.T) {
	for script, want := range map[string]bool{
		"":                      true, // there is none
		"#!/bin/sh\nexit 0\n":   true,
		"#!/bin/sh\nexit 101\n": false,
		"#!/bin/sh\nexit 104\n": true,
		"#!/bin/sh\nexit 106\n": false,
		"#!/bin/sh\nexit 1\n":   true,
		"#!/bin/nowhere\n":      true,
		"#!/bin/sh\n[ $1 = b ] && [ \"$2\" = start ] && exit 101\nexit 0\n": false,
	} {
		f := &FS{Root: t.TempDir()}
		if script != "" {
			file := f.Real(PolicyFile)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if got := MayStart(t.Context(), f, "a", "b"); got != want {
			t.Errorf("%q: may start is %v, want %v", script, got, want)
		}
	}
}

func TestNoInitRunsBelowARoot(t *testing.T) {
	f := &FS{Root: t.TempDir()}
	if err := os.MkdirAll(f.Real("/run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	if InitRuns(f) {
		t.Error("an init runs in an image")
	}
}
