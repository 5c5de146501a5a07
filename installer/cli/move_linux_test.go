package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/installer/move"
)

// TestFoldersThatTheServersAccountMayNotUseAreToldAfterAMove: its number on this machine
// may be another one than on the old one, whose files came with theirs.
func TestFoldersThatTheServersAccountMayNotUseAreToldAfterAMove(t *testing.T) {
	above, err := os.MkdirTemp("/tmp", "moved-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(above) })
	closed, open := filepath.Join(above, "closed"), filepath.Join(above, "open")
	if err := errors.Join(os.Chmod(above, 0o755), os.Mkdir(closed, 0o700), os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	l := move.List{Folders: []move.Folder{{Path: open}, {Path: closed}, {Path: filepath.Join(above, "later"), Missing: true}}}
	s, told := mover(t, moveInVerb, "/m")
	s.account = "no-such-account-here"
	next := strings.Join(s.lookAtFiles(l), "\n")
	if want := "setfacl -R -m u:no-such-account-here:rwX,d:u:no-such-account-here:rwX " + closed; !strings.Contains(next, want) {
		t.Errorf("the cure is not told: %q", next)
	}
	if warned := told.String(); !strings.Contains(warned, closed) || strings.Contains(warned, open) {
		t.Errorf("it warns: %q", warned)
	}

	s, told = mover(t, moveInVerb, "/m")
	s.account = "no-such-account-here"
	if next := s.lookAtFiles(move.List{Folders: []move.Folder{{Path: open}}}); len(next) > 0 || told.Len() > 0 {
		t.Errorf("a folder that it may use: %q, %s", next, told)
	}
	s.account = "root"
	if next := s.lookAtFiles(l); len(next) > 0 || told.Len() > 0 {
		t.Errorf("who may do anything: %q, %s", next, told)
	}
}
