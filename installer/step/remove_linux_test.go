package step

import (
	"os"
	"strings"
	"testing"

	"ss-setup/installer/machine"
)

func TestRemovingATreeNeverGoesThroughALink(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.file("/home/user/precious", "file")
	k.dir("/tree/sub", 0o755)
	// Links of the machine lead out of the root here, so they are made to lead to it.
	must(t, os.Symlink(k.FS.Real("/home/user"), k.FS.Real("/tree/sub/link")))
	must(t, os.Symlink(k.FS.Real("/home/user"), k.FS.Real("/link")))
	must(t, k.do(NewRemoveTree("/tree")))
	must(t, k.do(NewRemoveTree("/link")))
	if k.FS.Exists("/tree") || k.FS.Exists("/link") || k.text("/home/user/precious") != "file" {
		t.Error(k.snapshot())
	}
}

func TestNobodyFindsATreeHalfGoneUnderItsName(t *testing.T) {
	t.Parallel()
	for cut := 1; ; cut++ {
		k := newKit(t)
		k.file("/tree/a", "a")
		k.file("/tree/b", "b")
		err := k.cutAt(cut, func() error { return k.do(NewRemoveTree("/tree")) })
		if err == nil {
			return
		}
		if k.FS.Exists("/tree") && (k.text("/tree/a") == "" || k.text("/tree/b") == "") {
			t.Errorf("cut at call %d: %s", cut, k.snapshot())
		}
	}
}

func TestATreeThatCameBackWhileItWasRemovedIsRemovedToo(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.file("/tree/a", "a")
	k.file("/tree/b", "b")
	s := NewRemoveTree("/tree")
	_ = k.cutAt(4, func() error { return k.do(s) })
	k.file("/tree/again", "a log")
	must(t, k.do(s))
	if k.FS.Exists("/tree") || k.FS.Exists("/tree"+removingSuffix) {
		t.Error(k.snapshot())
	}
}

func TestAFolderThatIsNotEmptyStaysAndIsToldOf(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.file("/srv/ss-server/file", "of a user")
	must(t, k.do(NewRemoveEmpty("/srv/ss-server")))
	if k.text("/srv/ss-server/file") == "" || !k.warned("/srv/ss-server") {
		t.Error(k.warnings)
	}
}

func TestAnAccountStaysAsLongAsAFolderOfIts(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := &RemoveAccount{Name: "ss-server", Unless: []string{"/srv"}}
	must(t, k.do(s))
	if !k.Accounts.(*fakeAccounts).has("ss-server") || !k.warned("/srv") {
		t.Error(k.warnings)
	}
}

func TestAMountPointIsEmptiedAndStays(t *testing.T) {
	k := newKit(t)
	mountTemp(t, k.FS.Real("/srv/ss-server"))
	k.file("/srv/ss-server/sub/file", "x")
	must(t, k.do(NewRemoveTree("/srv/ss-server")))
	if !k.FS.Exists("/srv/ss-server") || k.FS.Exists("/srv/ss-server/sub") || !k.warned("mount point") {
		t.Error(k.snapshot(), k.warnings)
	}
}

func TestWhatIsMountedInATreeIsNotEmptied(t *testing.T) {
	k := newKit(t)
	mountTemp(t, k.FS.Real("/srv/ss-server/disk"))
	k.file("/srv/ss-server/disk/precious", "x")
	must(t, k.do(NewRemoveTree("/srv/ss-server")))
	if !k.warned("mounted") || !strings.Contains(k.snapshot(), "/disk/precious") {
		t.Error(k.snapshot(), k.warnings)
	}
}

func TestWhatIsMountedInATreeStaysInItsPlace(t *testing.T) {
	k := newKit(t)
	mountTemp(t, k.FS.Real("/srv/ss-server/disk"))
	k.file("/srv/ss-server/disk/precious", "x")
	must(t, k.do(NewRemoveTree("/srv/ss-server")))
	if k.text("/srv/ss-server/disk/precious") != "x" {
		t.Error(k.snapshot())
	}
}

func TestWhatIsMountedInAMountPointIsNotEmptied(t *testing.T) {
	k := newKit(t)
	mountTemp(t, k.FS.Real("/srv/ss-server"))
	mountTemp(t, k.FS.Real("/srv/ss-server/nas"))
	k.file("/srv/ss-server/nas/precious", "x")
	_ = k.do(NewRemoveTree("/srv/ss-server"))
	if k.text("/srv/ss-server/nas/precious") != "x" {
		t.Error("the mounted file system was emptied")
	}
}

func TestACollectionNeverTakesWhatIsInForce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	before := k.snapshot()
	if err := k.do(&Collect{Generations: []int{1}}); err == nil {
		t.Error("no error")
	}
	if diff := differ(before, k.snapshot()); diff != "" {
		t.Error(diff)
	}
}

func TestACollectionTakesGenerationsWithTheirDataAndReleasesThatNobodyNames(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	withGeneration2(k)
	k.release("6.9.9-cccccccc", "nobody's")
	k.file(machine.Release("my-backup")+"/notes", "an administrator's")
	must(t, k.do(&Collect{Generations: []int{2}}))
	for _, gone := range []string{
		machine.Generation(2), machine.ServerData(2), machine.LicensedData(2), machine.Release(newRelease), machine.Release("6.9.9-cccccccc"),
	} {
		if k.FS.Exists(gone) {
			t.Errorf("%s is left", gone)
		}
		if !k.FS.Exists(machine.Release("my-backup") + "/notes") {
			t.Error("what is no release was removed")
		}
	}
	if !k.FS.Exists(machine.Release(oldRelease)) || !k.FS.Exists(machine.ServerData(1)) {
		t.Error("what is in force is gone")
	}
}

func TestAStrayEntryAmongGenerationsDoesNotStopAnInstallAfterItsCommit(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.file(machine.GenerationsDir+"/notes.txt", "of the administrator")
	must(t, k.do(&Collect{}))
}
