package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ss-setup/installer/machine"
	"ss-setup/installer/move"
	"ss-setup/installer/receipt"
	"ss-setup/installer/txn"
)

const (
	unit   = "/etc/systemd/system/ss-server.service"
	wanted = "/etc/systemd/system/multi-user.target.wants/ss-server.service"
)

// stepCase is a step and the machine on which it is tried.
type stepCase struct {
	step Step
	// bare: nothing was ever installed.
	bare bool
	// setup prepares the machine further.
	setup func(k *kit)
}

func server(from, to int) Store {
	return Store{Service: machine.ServerService, Account: machine.ServerService, From: from, To: to}
}

func withCopy(k *kit) {
	k.file(machine.ServerData(2)+".part/store.db", "the old stare")
	k.file(machine.ServerData(2)+".part/gone", "gone since")
}

func withGeneration2(k *kit) {
	k.release(newRelease, "new program")
	k.link(machine.Generation(2)+"/release", "../../releases/"+newRelease)
	k.file(machine.ServerData(2)+"/store.db", "the new store")
	k.file(machine.LicensedData(2)+"/license.db", "the new licenses")
}

func withDefinition(k *kit) {
	k.file(machine.Release(newRelease)+"/services/ss-server.service", "User={{.User}} {{.Mounts}}\n")
}

func newDefinition(was string) *InstallDefinition {
	return NewInstallDefinition(machine.ServerService, newRelease, "alice", was,
		machine.Definition{Source: "services/ss-server.service", Path: unit, Mode: 0o644})
}

func withSetup(k *kit) {
	k.file("/root/ss-setup", "the program")
	k.SetupProgram = k.FS.Real("/root/ss-setup")
}

func newSetup() *InstallSetup {
	return NewInstallSetup("/usr/bin/ss-setup", digest([]byte("the program")))
}

func withMove(k *kit) {
	dir := k.t.TempDir()
	must(k.t, os.MkdirAll(filepath.Dir(moved.In(dir)), 0o700))
	must(k.t, os.WriteFile(moved.In(dir), []byte("of the old machine\n"), 0o600))
	k.Moving = dir
}

var moved = move.File{Name: "server.toml"}

func newPlaceFile() *PlaceFile {
	return NewPlaceFile("/etc/ss-server/server.toml", moved.Name, digest([]byte("of the old machine\n")), "root", "ss-server", 0o640)
}

// withState has the state as it is always written.
func withState(k *kit) { must(k.t, (&NoteMove{Back: true}).Do(k.t.Context(), k.Machine)) }

func withMoved(k *kit) { must(k.t, (&NoteMove{Folder: "/srv/move"}).Do(k.t.Context(), k.Machine)) }

// undoable are all the steps that stand before or at the commit.
var undoable = map[string]stepCase{
	"an account": {
		step: &CreateAccount{Name: "ss-new", Home: "/var/lib/x"},
	},
	"an account whose group is somebody else's": {
		step: &CreateAccount{Name: "ss-new", Home: "/var/lib/x"},
		setup: func(k *kit) {
			k.Accounts = machine.NewAccounts(k.FS)
			k.file("/etc/.pwd.lock", "")
			k.file("/etc/group", "root:x:0:\nss-new:x:321:\n")
			k.file("/etc/gshadow", "root:*::\nss-new:a hash:anna:\n")
		},
	},
	"an account that is there": {step: &CreateAccount{Name: "ss-server", Home: "/var/lib/x"}},

	"a folder":                    {step: &CreateFolder{Path: "/srv/ss-server", Owner: "ss-server", Mode: 0o750}},
	"a folder in missing folders": {step: &CreateFolder{Path: "/a/b/c", Owner: "root", Mode: 0o700}},
	"a folder that is there with another mode": {
		step:  &CreateFolder{Path: "/srv/ss-server", Owner: "root", Mode: 0o750},
		setup: func(k *kit) { k.file("/srv/ss-server/file", "of a user"); k.dir("/srv/ss-server", 0o777) },
	},

	"a release": {step: &UnpackRelease{Release: newRelease}, setup: func(k *kit) { k.Bundle = openBundle(k.t) }},
	"a release that is there": {
		step: &UnpackRelease{Release: oldRelease},
	},
	"a set-up":    {step: newSetUp()},
	"a self-test": {step: &SelfTest{Release: newRelease, Program: "ss-server", Account: "ss-server"}},

	"the first number": {bare: true, step: &ReserveGeneration{Generation: 1}},

	"a snapshot": {
		step: &SnapshotStore{Release: oldRelease, Generation: 1},
		setup: func(k *kit) {
			old := machine.SnapshotsDir + "/store-20261121T030000Z-schema1-"
			k.file(old+"daily.db.zst", "yesterday")
			k.file(old+"update.db.zst", "the last update")
			k.Programs.(*fakePrograms).makes = machine.SnapshotsDir + "/store-20261122T080000Z-schema1-update.db.zst"
		},
	},
	"the copy of a store": {step: &CopyStore{server(1, 2)}},
	"a migration ahead":   {step: &MigrateAhead{Store: server(1, 2), Release: newRelease}},
	"a hold on a store":   {step: &HoldStore{Store: server(1, 2)}},
	"a hold on a store that may be missing": {
		step: &HoldStore{Store: server(7, 8), Optional: true},
	},
	"a new copy made equal": {step: &EqualiseStore{server(1, 2)}},

	"an empty store": {step: &MigrateStore{Store: server(0, 2), Release: newRelease}},

	"a generation": {step: &MakeGeneration{Generation: 2, Release: newRelease}},
	"the switch to another generation": {
		step: &SwitchGeneration{From: 1, To: 2}, setup: withGeneration2,
	},
	"the switch to the first generation": {
		bare: true, step: &SwitchGeneration{From: 0, To: 2}, setup: withGeneration2,
	},
	"the closing of a generation":          {step: &CloseGeneration{Generation: 1}},
	"the closing of a generation not open": {step: &CloseGeneration{Generation: 2}, setup: withGeneration2},

	"a configuration file": {step: NewWriteFile("/etc/ss-server/server.toml", "new\n", "ss-server", 0o640)},
	"a configuration file that is there": {
		step:  NewWriteFile("/etc/ss-server/server.toml", "new\n", "root", 0o644),
		setup: func(k *kit) { k.fileMode("/etc/ss-server/server.toml", "mine\n", 0o600) },
	},
	"a configuration file that moves here": {
		step:  newPlaceFile(),
		setup: withMove,
	},
	"a configuration file that moves here and is there": {
		step:  newPlaceFile(),
		setup: func(k *kit) { withMove(k); k.fileMode("/etc/ss-server/server.toml", "mine\n", 0o600) },
	},
	"what moves":           {step: &PackMove{Folder: "/srv/move", Release: oldRelease, Generation: 1, Version: "7.0.0"}},
	"the note of a move":   {step: &NoteMove{Folder: "/srv/move", Services: []machine.Startup{{Service: "ss-server"}}}, setup: withState},
	"the end of that note": {step: &NoteMove{Back: true}, setup: withMoved},
	"a configuration file that is a dangling link": {
		step:  NewWriteFile("/etc/ss-server/server.toml", "new\n", "root", 0o644),
		setup: func(k *kit) { k.link("/etc/ss-server/server.toml", "/elsewhere") },
	},

	"a secret": {step: NewMakeProbeKey(machine.ServerStateDir+"/probe.key", "ss-server", "")},
	"a secret that is there": {
		step:  NewMakeProbeKey(machine.ServerStateDir+"/probe.key", "ss-server", ""),
		setup: func(k *kit) { k.fileMode(machine.ServerStateDir+"/probe.key", "older", 0o640) },
	},
	"a shared secret": {
		step:  NewMakeProbeKey("/var/lib/missing/probe.key", "ss-server", "/etc/secret"),
		setup: func(k *kit) { k.file("/etc/secret", "shared") },
	},

	"ss-setup": {step: newSetup(), setup: withSetup},
	"ss-setup where another program has it open": {step: newSetup(), setup: func(k *kit) {
		withSetup(k)
		k.fileMode("/usr/bin/ss-setup", "older", 0o755)
		keepOpen(k, "/usr/bin/ss-setup")
	}},
	"ss-setup where an older one waits for the restart": {step: newSetup(), setup: func(k *kit) {
		withSetup(k)
		k.fileMode("/usr/bin/ss-setup", "oldest", 0o755)
		k.fileMode("/usr/bin/ss-setup.ss-waiting", "older", 0o755)
		keepOpen(k, "/usr/bin/ss-setup")
	}},
	"ss-setup in place of one that waits for the restart": {step: newSetup(), setup: func(k *kit) {
		withSetup(k)
		k.fileMode("/usr/bin/ss-setup", "oldest", 0o755)
		k.fileMode("/usr/bin/ss-setup.ss-waiting", "older", 0o755)
	}},
	"ss-setup where it is already": {step: newSetup(), setup: func(k *kit) {
		withSetup(k)
		k.fileMode("/usr/bin/ss-setup", "the program", 0o755)
	}},
	"ss-setup where it has a wrong mode": {step: newSetup(), setup: func(k *kit) {
		withSetup(k)
		k.fileMode("/usr/bin/ss-setup", "the program", 0o4711)
	}},
	"ss-setup in place of an older one": {step: newSetup(), setup: func(k *kit) {
		withSetup(k)
		k.fileMode("/usr/bin/ss-setup", "an older program", 0o711)
	}},
	"ss-setup in place of a link": {step: newSetup(), setup: func(k *kit) {
		withSetup(k)
		k.link("/usr/bin/ss-setup", "../nowhere")
	}},

	"a link":                    {step: NewInstallLink(wanted, unit)},
	"a link that is there":      {step: NewInstallLink(wanted, unit), setup: func(k *kit) { k.link(wanted, unit) }},
	"a link in place of a link": {step: NewInstallLink(wanted, unit), setup: func(k *kit) { k.link(wanted, "/dev/null") }},
	"a link in place of a file": {step: NewInstallLink(wanted, unit), setup: func(k *kit) { k.fileMode(wanted, "mine", 0o600) }},

	"a definition": {step: newDefinition(""), setup: withDefinition},
	"a definition in place of the one before": {
		step: newDefinition(digest([]byte("before"))),
		setup: func(k *kit) {
			withDefinition(k)
			k.file(unit, "before")
		},
	},
	"a definition in place of an edited one": {
		step: newDefinition(digest([]byte("before"))),
		setup: func(k *kit) {
			withDefinition(k)
			k.fileMode(unit, "edited", 0o600)
		},
	},
	"a definition in place of one that was edited twice": {
		step: newDefinition(digest([]byte("before"))),
		setup: func(k *kit) {
			withDefinition(k)
			k.fileMode(unit, "edited again", 0o600)
			k.fileMode(unit+EditedSuffix, "edited", 0o640)
		},
	},

	"a service":                          {step: newService(), setup: atRest()},
	"a service that is there":            {step: newService(), setup: withEntries("ss-server")},
	"values of a key":                    {step: newValues(), setup: withEntries()},
	"values of a key that is there":      {step: newValues(), setup: withKey("name", "other", "mine", "x")},
	"values of a key that has them":      {step: newValues(), setup: withKey("name", "value")},
	"a folder in the PATH":               {step: &AddToPath{Key: "HKLM\\key", Folder: `C:\SS`}, setup: withKey("PATH", `C:\windows;`)},
	"a folder in the PATH already":       {step: &AddToPath{Key: "HKLM\\key", Folder: `C:\SS`}, setup: withKey("Path", `"c:\ss\";C:\windows`)},
	"a folder in a PATH that is not set": {step: &AddToPath{Key: "HKLM\\key", Folder: `C:\SS`}, setup: withKey("other", "x")},
	"an access list":                     {step: NewProtectFolder("/srv", "D:PAI"), setup: withEntries()},
	"an access list in place of another": {step: NewProtectFolder("/srv", "D:PAI"), setup: withList("/srv", "D:AI")},
	"a right":                            {step: &AllowToServe{Account: `CORP\sftp$`}, setup: withEntries()},
	"a right that was there": {step: &AllowToServe{Account: `CORP\sftp$`}, setup: func(k *kit) {
		withEntries()(k)
		must(k.t, k.LogonRights.AllowToServe(`CORP\sftp$`))
	}},
	"a command": {step: NewInstallCommand("/usr/bin/lmu.cmd", "@echo off")},
	"a command in place of another": {
		step:  NewInstallCommand("/usr/bin/lmu.cmd", "@echo off"),
		setup: func(k *kit) { k.file("/usr/bin/lmu.cmd", "mine") },
	},
	"the switch of entries": {
		step: &SwitchGeneration{From: 1, To: 2},
		setup: func(k *kit) {
			withGeneration2(k)
			atRest("ss-server", "ss-licensed")(k)
		},
	},

	"an import": {
		step: &ImportBackup{Store: server(0, 2), Release: newRelease, What: "a backup"},
		setup: func(k *kit) {
			withGeneration2(k)
			k.Import = &Import{File: "/backup.zip"}
			k.file(machine.SnapshotsDir+"/store-20261121T030000Z-schema1-restore.db.zst", "of before")
			k.Programs.(*fakePrograms).makes = machine.SnapshotsDir + "/store-20261122T080000Z-schema1-restore.db.zst"
		},
	},
	"a store as it was imported": {
		step: &KeepImported{server(0, 2)},
		setup: func(k *kit) {
			withGeneration2(k)
			k.file(machine.Imported(1)+"/store.db", "of an upgrade before")
		},
	},
	"the first store as it was imported": {step: &KeepImported{server(0, 2)}, setup: withGeneration2},
	"an import of what was changed meanwhile": {
		step: &RefreshImport{Store: server(0, 2), Release: newRelease},
		setup: func(k *kit) {
			k.Import = &Import{File: "/backup.zip", Again: func(context.Context) (bool, error) { return true, nil }}
			k.file(machine.SnapshotsDir+"/store-20261121T030000Z-schema1-restore.db.zst", "of before")
			k.Programs.(*fakePrograms).makes = machine.SnapshotsDir + "/store-20261122T080000Z-schema1-restore.db.zst"
		},
	},
	"old services that end":  {step: &StopOld{OldProduct: oldProduct}, setup: withOld},
	"old services that come": {step: &StartOld{OldProduct: OldProduct{Services: []string{"ss6-web"}, Where: oldPlace}, Served: oldServed}},
	"services that do not start with the machine any more": {
		step: &DisableServices{Services: []string{"ss6-web", "ss6-idle"}}, setup: withOld,
	},
	"services that start with the machine again": {
		step: &EnableServices{Services: []machine.Startup{
			{Service: "ss6-web", Links: []machine.Link{oldLink}, Active: true},
			{Service: "ss6-idle"},
		}},
		setup: func(k *kit) { k.dir(filepath.Dir(oldLink.Path), 0o755) },
	},
	"services that go on to start with the machine": {
		step: &EnableServices{Services: []machine.Startup{{Service: "ss6-web", Links: []machine.Link{oldLink}}}}, setup: withOld,
	},
	"an entry that does not start any more": {step: &DisableServices{Services: []string{"ss-server"}}, setup: withEntries("ss-server")},
	"an entry that starts again": {
		step: &EnableServices{Services: []machine.Startup{{Service: "ss-server", Start: machine.StartAtBoot}}}, setup: withEntries("ss-server"),
	},
	"nothing in force": {step: &LeaveGeneration{From: 1}},

	"a reload":                 {step: &ReloadServices{}},
	"a reload on the way back": {step: &ReloadServices{OnUndo: true}},
	"a stop":                   {step: &StopServices{Services: []string{"ss-server", "ss-licensed"}, Generation: 1}},
	"a stop of one service":    {step: &StopServices{Services: []string{"ss-server"}, Generation: 1}},
	"a stop of what is stopped": {
		step:  &StopServices{Services: []string{"ss-server", "ss-licensed"}, Generation: 1},
		setup: func(k *kit) { clear(k.services.active) },
	},
	"a start": {
		step:  &StartServices{Services: []string{"ss-server", "ss-licensed"}},
		setup: func(k *kit) { clear(k.services.active) },
	},
	"a wait": {step: &WaitHealth{Services: []string{"ss-server"}, Generation: 1}},
	"labels": {step: &RestoreLabels{Paths: []string{"/opt"}}},
	"open more ports": {step: &OpenFirewall{Ports: []int{6443}}, setup: func(k *kit) {
		k.firewall.open = []int{22}
		k.file(machine.OpenedPortsFile, "[22]")
	}},
	"open ports":             {step: &OpenFirewall{Ports: []int{22, 6443}}, setup: func(k *kit) { k.firewall.open = []int{22, 80} }},
	"the point of no return": {step: &BeginRemoval{}},
}

// oldLink starts a service of an older product with the machine.
var oldLink = machine.Link{Path: "/etc/systemd/system/multi-user.target.wants/ss6-web.service", Target: "/etc/systemd/system/ss6-web.service"}

// withOld is a machine on which an older product serves.
func withOld(k *kit) {
	k.link(oldLink.Path, oldLink.Target)
	k.services.active["ss6-web"] = true
}

// machineFor makes the machine of a case.
func machineFor(t *testing.T, c stepCase) *kit {
	t.Helper()
	k := newKitFor(t, c.bare)
	if c.setup != nil {
		c.setup(k)
	}
	return k
}

func newKitFor(t *testing.T, bare bool) *kit {
	t.Helper()
	if bare {
		return bareKit(t)
	}
	return newKit(t)
}

// wholeCalls counts the changing calls of a whole Do.
func wholeCalls(t *testing.T, c stepCase) (calls int, after string) {
	t.Helper()
	k := machineFor(t, c)
	k.prepare(c.step)
	must(t, k.cutAt(0, func() error { return k.do(c.step) }))
	return k.calls, k.snapshot()
}

func TestUndoPutsTheMachineBackWhereverDoWasCut(t *testing.T) {
	t.Parallel()
	for name, c := range undoable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls, _ := wholeCalls(t, c)
			// Do did not run at all, was cut at every call, ran whole.
			for cut := 0; cut <= calls+1; cut++ {
				k := machineFor(t, c)
				before := k.snapshot()
				undo := k.prepare(c.step)
				if diff := differ(before, k.snapshot()); diff != "" {
					t.Fatalf("Prepare changed the machine:\n%s", diff)
				}
				if cut > 0 {
					err := k.cutAt(cut, func() error { return k.do(c.step) })
					if (cut <= calls) != errors.Is(err, errCut) {
						t.Fatalf("Do that was cut at call %d of %d: %v", cut, calls, err)
					}
				}
				for again := range 2 {
					if err := k.undo(c.step, undo); err != nil {
						t.Fatalf("undo %d after a cut at call %d of %d: %v", again+1, cut, calls, err)
					}
					if diff := differ(before, k.snapshot()); diff != "" {
						t.Fatalf("undo %d after a cut at call %d of %d left:\n%s", again+1, cut, calls, diff)
					}
				}
				if len(k.warnings) > 0 && k.warned(SaveSuffix) {
					t.Errorf("told of an edit that nobody made: %q", k.warnings)
				}
			}
		})
	}
}

func TestAnUndoThatWasCutAnywhereIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	for name, c := range undoable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for cut := 1; ; cut++ {
				k := machineFor(t, c)
				before := k.snapshot()
				undo := k.prepare(c.step)
				must(t, k.do(c.step))
				err := k.cutAt(cut, func() error { return k.undo(c.step, undo) })
				if err != nil && !errors.Is(err, errCut) {
					t.Fatal(err)
				}
				if err := k.undo(c.step, undo); err != nil {
					t.Fatalf("undo after one that was cut at call %d: %v", cut, err)
				}
				if diff := differ(before, k.snapshot()); diff != "" {
					t.Fatalf("undo after one that was cut at call %d left:\n%s", cut, diff)
				}
				if err == nil {
					return
				}
			}
		})
	}
}

func TestDoThatWasCutAnywhereIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	cases := maps.Clone(undoable)
	maps.Copy(cases, afterCommit)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls, whole := wholeCalls(t, c)
			for cut := 1; cut <= calls; cut++ {
				k := machineFor(t, c)
				k.prepare(c.step)
				_ = k.cutAt(cut, func() error { return k.do(c.step) })
				if err := k.do(c.step); err != nil {
					t.Fatalf("Do after one that was cut at call %d of %d: %v", cut, calls, err)
				}
				if diff := differ(whole, k.snapshot()); diff != "" {
					t.Fatalf("Do after one that was cut at call %d of %d differs from a whole one:\n%s", cut, calls, diff)
				}
			}
		})
	}
}

func TestDoASecondTimeChangesNothing(t *testing.T) {
	t.Parallel()
	cases := maps.Clone(undoable)
	maps.Copy(cases, afterCommit)
	for name, c := range cases {
		if _, holds := c.step.(*HoldStore); holds {
			continue // TestHoldingAStoreTwiceIsNoError
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := machineFor(t, c)
			k.prepare(c.step)
			must(t, k.do(c.step))
			once := k.snapshot()
			must(t, k.do(c.step))
			if diff := differ(once, k.snapshot()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryKindOfStepIsTriedHere(t *testing.T) {
	t.Parallel()
	kinds := maps.Clone(Kinds())
	for _, c := range undoable {
		delete(kinds, c.step.Kind())
	}
	for _, c := range afterCommit {
		delete(kinds, c.step.Kind())
	}
	if len(kinds) > 0 {
		t.Errorf("no test cuts: %v", slices.Sorted(maps.Keys(kinds)))
	}
}

// journalled opens a journal whose plan a receipt repeats.
func journalled(k *kit) {
	k.dir(machine.TxnDir, 0o700)
	must(k.t, k.FS.RemoveAll(machine.TxnDir))
	e := &txn.Engine[*Machine]{FS: k.FS, Dir: machine.TxnDir, Kinds: Kinds(), Log: k.Log}
	p := Plan{Verb: "install", Steps: []Step{&leave{}}}
	_, err := e.Run(k.t.Context(), k.Machine, p, txn.Options{NoRollback: true})
	must(k.t, err)
}

// leave fails, so that with --norollback the journal stays.
type leave struct{ BeginRemoval }

func (*leave) Kind() string { return "leave" }

func (*leave) Do(_ context.Context, _ *Machine) error { return errors.New("left") }

// afterCommit are the steps that are never undone when whole: the commit, those
// behind it, and those whose undo removes what was there before as well.
var afterCommit = map[string]stepCase{
	"the commit": {step: &OpenGeneration{Generation: 2}, setup: withGeneration2},
	"the receipt": {
		step: &WriteReceipt{
			Verb: "update", Generation: 2, Previous: 1, Version: "7.0.1", Release: newRelease, Digest: digest(nil),
			Services: []ServiceEntry{{"ss-server", "ss-server", true}}, Accounts: []string{"ss-server"},
			Files: []string{"/usr/bin/ss-server", "/usr/bin/missing"}, Config: []string{"/etc/passwd"}, Folders: []string{"/opt"},
		},
		setup: func(k *kit) {
			journalled(k)
			k.Bundle = openBundle(k.t)
			must(k.t, (&UnpackRelease{Release: newRelease}).Do(k.t.Context(), k.Machine))
			k.file("/usr/bin/ss-server", "a program")
		},
	},
	"the state":                 {step: &WriteState{Generation: 1, Forgotten: []int{9}}},
	"a number taken later":      {step: &ReserveGeneration{Generation: 5}},
	"the state after a removal": {step: &WriteState{Ended: 1, EndedBy: "uninstall", Kept: 1}},
	"the removal of the state":  {step: &ForgetState{}, setup: func(k *kit) { k.file(machine.Receipt(1), "{}") }},
	"a collection":              {step: &Collect{Generations: []int{2}}, setup: withGeneration2},
	"a collection of releases":  {step: &Collect{}, setup: func(k *kit) { k.release(newRelease, "x") }},
	"closed ports": {
		step: &CloseFirewall{Ports: []int{6443}},
		setup: func(k *kit) {
			k.firewall.open = []int{22, 6443}
			k.file(machine.OpenedPortsFile, "[6443]")
		},
	},
	"a folder as it was before": {
		step:  &RestoreFolder{Folder: receipt.Folder{Path: machine.FilesDir, Mode: 0o711, UID: 3, GID: 4}},
		setup: func(k *kit) { k.dir(machine.FilesDir, 0o750) },
	},
	"a folder as it was before that has gone": {
		step: &RestoreFolder{Folder: receipt.Folder{Path: machine.FilesDir, Mode: 0o711, UID: 3, GID: 4}},
	},
	"the removal of an account": {step: &RemoveAccount{Name: "ss-server"}},
	"the removal of a service":  {step: &UnregisterService{Service: "ss-server"}, setup: withEntries("ss-server")},
	"the removal of a key":      {step: &RemoveRegistry{Key: `HKLM\key`}, setup: withKey("name", "value")},
	"the removal of a folder from the PATH": {
		step: &RemoveFromPath{Key: `HKLM\key`, Folder: `C:\SS`}, setup: withKey("Path", `C:\windows;C:\SS\;D:\x`),
	},
	"the removal of a link": {step: NewRemoveInstalled(wanted, "link:"+unit), setup: func(k *kit) { k.link(wanted, unit) }},
	"the removal of a file": {step: NewRemoveInstalled(unit, ""), setup: func(k *kit) { k.file(unit, "x") }},
	"the removal of an edited file": {
		step:  NewRemoveInstalled(unit, digest([]byte("installed"))),
		setup: func(k *kit) { k.file(unit, "edited") },
	},
	"the removal of a file that replaced a foreign one": {
		step:  NewRemoveInstalled(unit, digest([]byte("installed"))),
		setup: func(k *kit) { foreignThenInstalled(k, unit, "foreign", "installed") },
	},
	"the removal of a tree":          {step: NewRemoveTree(machine.ReleasesDir), setup: func(k *kit) { k.file("/opt/other", "x") }},
	"the removal of what is gone":    {step: NewRemoveTree("/opt/gone")},
	"the removal of an empty folder": {step: NewRemoveEmpty("/srv")},
	"a copy made equal":              {step: &EqualiseStore{server(1, 2)}, setup: withCopy},
	"a repair":                       {step: &RepairStore{Store: server(1, 2), Release: newRelease}, setup: withCopy},
	"the removal of a key ring":      {step: NewRemoveUnless("/opt/ring", "vfs-*"), setup: func(k *kit) { k.file("/opt/ring/master-1.key", "x") }},
	"a migration":                    {step: &MigrateStore{Store: server(1, 2), Release: newRelease}, setup: withCopy},
}

// foreignThenInstalled makes a machine where a first install has put its file in
// the place of somebody else's.
func foreignThenInstalled(k *kit, path, foreign, installed string) {
	k.fileMode(path, foreign, 0o640)
	k.KeepOriginals = true
	must(k.t, keepOriginal(k.Machine, path, digest([]byte(installed))))
	k.file(path, installed)
}

func TestUndoingACopyRemovesItWhateverItWas(t *testing.T) {
	t.Parallel()
	for _, s := range []Step{
		&CopyStore{server(1, 2)}, &MigrateAhead{Store: server(1, 2), Release: newRelease},
		&EqualiseStore{server(1, 2)}, &MigrateStore{Store: server(1, 2), Release: newRelease},
	} {
		t.Run(s.Kind(), func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			before := k.snapshot()
			withCopy(k)
			undo := k.prepare(s)
			calls := 0
			for cut := 1; cut == 1 || cut <= calls+1; cut++ {
				err := k.cutAt(cut, func() error { return k.do(s) })
				calls = max(calls, k.calls)
				if err != nil && !errors.Is(err, errCut) {
					t.Fatal(err)
				}
				must(t, k.undo(s, undo))
				if diff := differ(before, k.snapshot()); diff != "" {
					t.Fatalf("cut at call %d:\n%s", cut, diff)
				}
				withCopy(k)
			}
		})
	}
}

func TestAnUndoNeverRemovesWhatCurrentNames(t *testing.T) {
	t.Parallel()
	for _, s := range []Step{
		&CopyStore{server(0, 1)}, &MigrateAhead{Store: server(0, 1), Release: oldRelease},
		&EqualiseStore{server(0, 1)}, &MigrateStore{Store: server(0, 1), Release: oldRelease},
		&MakeGeneration{Generation: 1, Release: oldRelease},
		&UnpackRelease{Release: oldRelease},
	} {
		t.Run(s.Kind(), func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			before := k.snapshot()
			if err := k.undo(s, json.RawMessage(`null`)); err == nil {
				t.Error("no error")
			}
			if diff := differ(before, k.snapshot()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUndoingAFolderNeverRemovesWhatCurrentNames(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		machine.ProgramDir, machine.ReleasesDir, machine.GenerationsDir, machine.ServerStateDir, machine.LicensedStateDir,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			before := k.snapshot()
			if err := k.undo(&CreateFolder{Path: path}, json.RawMessage(`{"existed":false}`)); err == nil {
				t.Error("no error")
			}
			if diff := differ(before, k.snapshot()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAStateNumberTakenLaterStaysTaken(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := &ReserveGeneration{Generation: 5}
	undo := k.prepare(s)
	must(t, k.do(s))
	must(t, k.undo(s, undo))
	state, err := LoadState(k.FS)
	must(t, err)
	if state.NextGeneration != 6 {
		t.Errorf("next generation is %d", state.NextGeneration)
	}
}

func TestTheCommitIsWhatLiesOnDisk(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	withGeneration2(k)
	s := &OpenGeneration{Generation: 2}
	for _, stage := range []struct {
		change func() error
		want   bool
	}{
		{func() error { return nil }, false},
		{func() error { return k.do(s) }, false}, // open, but not in force
		{func() error { return k.do(&SwitchGeneration{From: 1, To: 2}) }, true},
		{func() error { return k.undo(s, nil) }, true}, // what users were let into stays open
		{func() error { return k.do(&CloseGeneration{Generation: 2}) }, false},
	} {
		must(t, stage.change())
		got, err := s.Committed(t.Context(), k.Machine)
		if err != nil || got != stage.want {
			t.Errorf("committed %v, %v; want %v", got, err, stage.want)
		}
	}
}

func TestServicesThatDidNotAnswerBeforeOweNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.Prober.(*fakeProber).version = "7.0.0"
	s := &StopServices{Services: []string{"ss-server", "ss-licensed"}, Generation: 2} // nobody answers as that
	k.prepare(s)
	k.services.broken = map[string]bool{"ss-server": true}
	must(t, k.do(s))
	undo := json.RawMessage(`{"ss-server":{"active":true},"ss-licensed":{"active":true,"healthy":false}}`)
	must(t, k.undo(s, undo))
	if got := fmt.Sprint(k.services.running()); got != "[ss-licensed]" {
		t.Errorf("running: %s", got)
	}
}
