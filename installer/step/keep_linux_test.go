package step

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"ss-setup/installer/machine"
)

// written are the steps that put one file or link at a path, each with what it
// takes the place of.
func written(k *kit) map[string]Step {
	withSetup(k)
	withDefinition(k)
	return map[string]Step{
		"/usr/bin/ss-setup": newSetup(),
		wanted:              NewInstallLink(wanted, unit),
		unit:                newDefinition(""),
	}
}

func TestWhatWasEditedAfterAStepIsKeptByItsUndo(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", "foreign"} {
		k := newKit(t)
		for path, s := range written(k) {
			if before != "" {
				k.fileMode(path, before, 0o640)
			}
			undo := k.prepare(s)
			must(t, k.do(s))
			must(t, k.FS.Remove(path))
			k.fileMode(path, "edited meanwhile", 0o600)

			for range 2 {
				must(t, k.undo(s, undo))
				if got := k.text(path + SaveSuffix); got != "edited meanwhile" {
					t.Errorf("%s: kept %q", path, got)
				}
				if got := k.text(path); got != before {
					t.Errorf("%s: %q stands there, %q did before", path, got, before)
				}
			}
			if !k.warned(path + SaveSuffix) {
				t.Errorf("%s: not told: %q", path, k.warnings)
			}
		}
	}
}

func TestAnUndoCutAfterItKeptAnEditPutsTheRestBack(t *testing.T) {
	t.Parallel()
	for cut := 1; cut < 9; cut++ {
		k := newKit(t)
		withDefinition(k)
		k.fileMode(unit, "foreign", 0o640)
		before := k.snapshot()
		s := newDefinition("")
		undo := k.prepare(s)
		must(t, k.do(s))
		k.file(unit, "edited meanwhile")
		_ = k.cutAt(cut, func() error { return k.undo(s, undo) })
		must(t, k.undo(s, undo))
		if got := k.text(unit + SaveSuffix); got != "edited meanwhile" {
			t.Errorf("cut %d: kept %q", cut, got)
		}
		must(t, k.FS.Remove(unit+SaveSuffix))
		if diff := differ(before, k.snapshot()); diff != "" {
			t.Errorf("cut %d:\n%s", cut, diff)
		}
	}
}

func TestAnEditOfAFileThatAStepFoundRightIsKept(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	withSetup(k)
	k.fileMode("/usr/bin/ss-setup", "the program", 0o755)
	s := newSetup()
	undo := k.prepare(s)
	must(t, k.do(s))
	k.file("/usr/bin/ss-setup", "edited meanwhile")
	must(t, k.undo(s, undo))
	if k.text("/usr/bin/ss-setup") == "" {
		t.Error("nothing stands there any more")
	}
}

func TestAConfigurationEditedDuringAnUpdateThatFailsStaysEdited(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	path := machine.ConfigDir + "/server.toml"
	k.file(path, "mine")
	s := NewWriteFile(path, "new", "root", 0o644)
	undo := k.prepare(s)
	must(t, k.do(s))
	k.file(path, "mine, edited")
	must(t, k.undo(s, undo))
	if got := k.text(path); got != "mine, edited" {
		t.Errorf("%q", got)
	}
}

func TestWhatAnUndoKeptOutlivesTheUndoOfItsFolder(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	path := machine.ConfigDir + "/server.toml"
	folder, file := &CreateFolder{Path: machine.ConfigDir, Owner: "root", Mode: 0o755, Keep: true}, NewWriteFile(path, "new", "root", 0o644)
	folderUndo := k.prepare(folder)
	must(t, k.do(folder))
	fileUndo := k.prepare(file)
	must(t, k.do(file))
	k.file(path, "edited meanwhile")
	must(t, k.undo(file, fileUndo))
	must(t, k.undo(folder, folderUndo))
	if got := k.text(path + SaveSuffix); got != "edited meanwhile" {
		t.Errorf("told that it is kept, but it is %q", got)
	}
}

func TestAnEarlierSaveIsNotOverwritten(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	withSetup(k)
	k.file("/usr/bin/ss-setup"+SaveSuffix, "kept a year ago")
	s := newSetup()
	undo := k.prepare(s)
	must(t, k.do(s))
	k.file("/usr/bin/ss-setup", "edited meanwhile")
	must(t, k.undo(s, undo))
	if got := k.text("/usr/bin/ss-setup" + SaveSuffix); got != "kept a year ago" {
		t.Errorf("%q", got)
	}
}

func TestAFolderGetsItsSpecialBitsBack(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.dir(machine.FilesDir, os.ModeSetgid|0o775)
	before := k.snapshot()
	s := &CreateFolder{Path: machine.FilesDir, Owner: "ss-server", Mode: 0o750}
	undo := k.prepare(s)
	must(t, k.do(s))
	must(t, k.undo(s, undo))
	if diff := differ(before, k.snapshot()); diff != "" {
		t.Error(diff)
	}
}

func TestFoldersThatAStepMadeStayWhenSomethingElseIsInThem(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := NewInstallLink("/made/for/it/link", "/target")
	undo := k.prepare(s)
	must(t, k.do(s))
	k.file("/made/for/somebody", "else")
	must(t, k.undo(s, undo))
	if k.FS.Exists("/made/for/it") || k.text("/made/for/somebody") != "else" {
		t.Error(k.snapshot())
	}
}

func TestAFolderInTheWayIsRefusedWithTheCure(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for path, s := range written(k) {
		must(t, k.FS.Remove(path))
		k.dir(path, 0o755)
		if _, err := s.Prepare(t.Context(), k.Machine); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
	k.file("/in/the/way", "")
	if _, err := (&CreateFolder{Path: "/in/the/way"}).Prepare(t.Context(), k.Machine); err == nil {
		t.Error("no error for a file in the place of a folder")
	}
}

func TestAnEditedDefinitionIsKeptBesideTheNewOne(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	withDefinition(k)
	k.fileMode(unit, "edited", 0o700)
	s := newDefinition(digest([]byte("before")))
	k.prepare(s)
	must(t, k.do(s))
	if k.text(unit+EditedSuffix) != "edited" || k.text(unit) != "User=alice /opt/ss-server /var/lib/ss-server /srv/ss-server\n" {
		t.Error(k.snapshot())
	}
	info, err := k.FS.Lstat(unit + EditedSuffix)
	must(t, err)
	if info.Mode() != 0o600 || !info.ModTime().Equal(longAgo) {
		t.Errorf("kept with %v of %v", info.Mode(), info.ModTime())
	}
	if !k.warned(EditedSuffix) {
		t.Error("not told")
	}
}

func TestAForeignFileComesBackWithTheUninstall(t *testing.T) {
	t.Parallel()
	for name, edited := range map[string]bool{"unchanged": false, "edited": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			foreignThenInstalled(k, unit, "foreign", "installed")
			if edited {
				k.file(unit, "edited")
			}
			must(t, k.do(NewRemoveInstalled(unit, digest([]byte("installed")))))
			info, err := k.FS.Lstat(unit)
			must(t, err)
			if k.text(unit) != "foreign" || info.Mode() != 0o640 || !info.ModTime().Equal(longAgo) {
				t.Errorf("%q %v %v", k.text(unit), info.Mode(), info.ModTime())
			}
			if got := k.text(unit + SaveSuffix); (got == "edited") != edited {
				t.Errorf("kept %q", got)
			}
		})
	}
}

func TestAForeignFileThatWasWhatIsInstalledComesBackWithTheUninstall(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	foreignThenInstalled(k, unit, "the same", "the same")
	k.file(unit, "of the next release")
	must(t, k.do(NewRemoveInstalled(unit, digest([]byte("of the next release")))))
	if got := k.text(unit); got != "the same" {
		t.Errorf("%q", got)
	}
}

func TestOnlyAFirstInstallKeepsOriginals(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.file(unit, "of the release before")
	k.link("/usr/bin/lmu", machine.Current+"/release/bin/lmu")
	for _, first := range []bool{false, true} {
		k.KeepOriginals = first
		withDefinition(k)
		must(t, k.do(newDefinition(digest([]byte("of the release before")))))
		must(t, k.do(NewInstallLink("/usr/bin/lmu", machine.Current+"/release/bin/other")))
		if got := k.FS.Exists(originalPath(unit, ".json")); got != first {
			t.Errorf("first install %v: original kept %v", first, got)
		}
		if k.FS.Exists(originalPath("/usr/bin/lmu", ".json")) {
			t.Error("a link of ours was kept as somebody else's")
		}
		k.file(unit, "of the release before")
	}
}

func TestALostStateDoesNotStopAnUninstallAfterItsCommit(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	must(t, k.FS.Remove(machine.StateFile))
	must(t, k.do(&WriteState{Ended: 1, EndedBy: "uninstall", Kept: 1}))
}

func TestHoldingAStoreTwiceIsNoError(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := &HoldStore{Store: server(1, 2)}
	must(t, k.do(s))
	must(t, k.do(s))
}

func TestAStoreThatIsHeldCannotBeOpenedByAnother(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := &HoldStore{Store: server(1, 2)}
	must(t, k.do(s))
	got := make(chan time.Duration)
	go func() {
		start := time.Now()
		lock, err := lockStore(k.FS.Real(machine.ServerData(1) + "/store.db"))
		if err == nil {
			_ = lock.Close()
		}
		got <- time.Since(start)
	}()
	const held = 60 * time.Millisecond
	time.Sleep(held)
	must(t, k.undo(s, nil))
	if waited := <-got; waited < held/2 {
		t.Errorf("another had it after %v", waited)
	}
}

func TestAMissingStoreIsToldWithTheCure(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	if err := k.do(&HoldStore{Store: server(7, 8)}); err == nil {
		t.Error("no error")
	}
}

func TestAnAccountFileGetsItsTimeBackUnlessOthersChangedItToo(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := &CreateAccount{Name: "ss-new", Home: "/x"}
	undo := k.prepare(s)
	must(t, k.do(s))
	k.file("/etc/passwd", k.text("/etc/passwd")+"bob:x:5:5::/:\n")
	must(t, k.undo(s, undo))
	info, err := k.FS.Lstat("/etc/passwd")
	must(t, err)
	if info.ModTime().Equal(longAgo) {
		t.Error("the file looks as if nobody had changed it")
	}
}

func TestAReleaseThatFailsIsToldApartFromAMachineThatDoes(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.Programs.(*fakePrograms).err = errors.New("no")
	withCopy(k)
	for _, s := range []Step{
		&SelfTest{Release: newRelease, Program: "ss-server"},
		&MigrateStore{Store: server(1, 2), Release: newRelease},
		&WaitHealth{Services: []string{"ss-server"}, Generation: 2, Version: "7.0.1"},
	} {
		if err := k.do(s); !errors.Is(err, ErrReleaseFailed) {
			t.Errorf("%s: %v", s.Kind(), err)
		}
	}
}

// A program that is ended because the run is cancelled says nothing of its release, and
// what its end is called differs between systems.
func TestARunThatIsCancelledSpeaksAgainstNoRelease(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.Programs.(*fakePrograms).err = errors.New("exit status 1")
	withCopy(k)
	k.services.broken = map[string]bool{"ss-server": true}
	asked := errors.New("somebody asked")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(asked)
	for _, s := range []Step{
		&SelfTest{Release: newRelease, Program: "ss-server"},
		&MigrateStore{Store: server(1, 2), Release: newRelease},
		&StartServices{Services: []string{"ss-server"}},
		&WaitHealth{Services: []string{"ss-server"}, Generation: 2, Version: "7.0.1"},
	} {
		if err := s.Do(ctx, k.Machine); !errors.Is(err, asked) || errors.Is(err, ErrReleaseFailed) {
			t.Errorf("%s: %v", s.Kind(), err)
		}
	}
}
