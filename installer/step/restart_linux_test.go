package step

import (
	"errors"
	"fmt"
	"testing"

	"ss-setup/installer/machine"
)

// keepOpen has another program keep a file open, as Windows knows it: nothing can be
// put in its place before the machine restarts.
func keepOpen(k *kit, path string) {
	before := k.FS.Before
	k.FS.Before = func(op machine.Op, at string) error {
		if err := before(op, at); err != nil {
			return err
		}
		if op == machine.OpRename && at == path {
			return fmt.Errorf("rename to %s: %w", at, machine.ErrLocked)
		}
		return nil
	}
	k.ReplaceAtRestart = func(from, to string) error { return before(machine.OpRename, "at restart "+to) }
}

func TestAnSsSetupThatIsOpenElsewhereIsReplacedAtTheNextRestart(t *testing.T) {
	const path = "/usr/bin/ss-setup"
	k := newKit(t)
	withSetup(k)
	k.fileMode(path, "older", 0o755)
	keepOpen(k, path)
	var asked, told []string
	k.ReplaceAtRestart = func(from, to string) error {
		asked = append(asked, from+" to "+to+" holds "+k.text(from))
		return nil
	}
	k.AtRestart = func(path, happens string) { told = append(told, path+" "+happens) }
	must(t, k.do(newSetup()))
	if got, want := fmt.Sprint(asked), "["+path+".ss-waiting to "+path+" holds the program]"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(told), "["+path+" is replaced]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	if !WaitsForRestart(k.FS, path, newSetup().SHA256) {
		t.Error("verify would not know that it waits")
	}
	if k.text(path) != "older" {
		t.Error("it was changed all the same")
	}
}

func TestWhereNoFileCanWaitForARestartAnOpenOneFailsTheStep(t *testing.T) {
	k := newKit(t)
	withSetup(k)
	k.fileMode("/usr/bin/ss-setup", "older", 0o755)
	keepOpen(k, "/usr/bin/ss-setup")
	k.ReplaceAtRestart = nil
	if err := k.do(newSetup()); !errors.Is(err, machine.ErrLocked) {
		t.Errorf("got %v", err)
	}
	if k.FS.Exists("/usr/bin/ss-setup.ss-waiting") {
		t.Error("a file waits for nothing")
	}
}

func TestWhatWaitsForTheRestartGoesWithWhatIsRemoved(t *testing.T) {
	k := newKit(t)
	k.fileMode("/usr/bin/ss-setup", "older", 0o755)
	k.fileMode("/usr/bin/ss-setup.ss-waiting", "the program", 0o755)
	must(t, k.do(NewRemoveInstalled("/usr/bin/ss-setup", "")))
	if k.FS.Exists("/usr/bin/ss-setup") || k.FS.Exists("/usr/bin/ss-setup.ss-waiting") {
		t.Error("the next restart would bring it back")
	}
}
