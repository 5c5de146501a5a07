package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAFolderThatNobodyIsLetIntoForItIsEmptyIsTold: the server takes it for one whose disk is
// not mounted.
func TestAFolderThatNobodyIsLetIntoForItIsEmptyIsTold(t *testing.T) {
	dir := t.TempDir()
	why, cure := empty(dir)
	if !strings.Contains(why, "empty") || !strings.Contains(cure, ".ss-server") {
		t.Errorf("%q, %q", why, cure)
	}
	if why, _ := empty(filepath.Join(dir, "missing")); why != "" {
		t.Errorf("of a folder that is not there: %q", why)
	}
	if err := os.Mkdir(filepath.Join(dir, ".ss-server"), 0o700); err != nil {
		t.Fatal(err)
	}
	if why, _ := empty(dir); why != "" {
		t.Errorf("after the cure: %q", why)
	}
}
