//go:build linux && lab

package windows

import (
	"strconv"
	"strings"
	"testing"
)

// What moves has all keys of the server. The folder C:\ hands down that every user may read;
// wine shows an access list as a mode, and Everyone in it as others; Administrators are its
// group.
func TestNobodyElseGetsIntoTheFolderOfWhatMovesOut(t *testing.T) {
	b := boot(t, "7.0.0")
	b.want(done, setupOf("7.0.0"), "install")
	b.serves("7.0.0")
	r := b.want(wrongUsage, installed, "move-out", `C:\ProgramData\SS Server\vfs\move`, "--yes")
	if !strings.Contains(r.Message+r.output, "one in the other") {
		t.Errorf("in the folder of users' files: %s", r)
	}
	if out, errs, code := b.run(nil, "cmd", "/c", "mkdir", `C:\usual`); code != 0 {
		t.Fatalf("mkdir: %d %s%s", code, out, errs)
	}
	b.want(done, installed, "move-out", `C:\move`, "--yes")
	if b.othersMay("/usual") == 0 {
		t.Fatal("others get into no folder of this machine, so this proves nothing")
	}
	if open := b.othersMay("/move"); open != 0 {
		t.Errorf("others may do %o in it", open)
	}
	if !b.exists("move/move.json") || !b.exists("move/backup.zip") || !b.exists("move/config/server.toml") {
		t.Errorf("something is missing:\n%s", b.MustExec("find", drive+"/move"))
	}
	b.want(done, installed, "move-out", "--cancel", "--yes")
	b.serves("7.0.0")
}

// othersMay is what others than the owner and Administrators may do with a folder of drive
// C:, as mode bits.
func (b *box) othersMay(path string) uint64 {
	b.t.Helper()
	mode, err := strconv.ParseUint(strings.TrimSpace(b.MustExec("stat", "-c", "%a", drive+path)), 8, 32)
	if err != nil {
		b.t.Fatal(err)
	}
	return mode & 0o007
}
