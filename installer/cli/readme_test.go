package cli

import (
	"os"
	"strings"
	"testing"
)

func TestReadmeSaysHowEachShellLoadsItsCompletion(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, shell := range shells {
		if !strings.Contains(string(text), "ss-setup completion "+shell) {
			t.Errorf("nothing about %s", shell)
		}
	}
}
