//go:build linux && lab

package windows

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAReleaseIsInstalledUpdatedRolledBackRepairedAndRemoved(t *testing.T) {
	b := boot(t, "7.0.0", "7.0.1")
	b.want(nothingInstalled, setupOf("7.0.0"), "uninstall")
	r := b.want(done, setupOf("7.0.0"), "install")
	if !strings.Contains(r.output, `"setup_code":"`) {
		t.Errorf("no setup code, so the running server was not reached through its pipe:\n%s", r)
	}
	b.serves("7.0.0")
	if start := b.value(servicesKey+"ss-server", "Start"); start != "0x2" {
		t.Errorf("ss-server starts by %s, not automatically", start)
	}
	if account := b.value(servicesKey+"ss-server", "ObjectName"); account != `NT SERVICE\ss-server` {
		t.Errorf("ss-server runs as %s", account)
	}
	b.verified()
	if r := b.want(done, setupOf("7.0.0"), "install"); !strings.Contains(r.Message, "installed already") {
		t.Errorf("the same version again: %s", r)
	}

	b.restart()
	b.serves("7.0.0")
	b.note("7.0.0", "first")

	b.want(done, setupOf("7.0.1"), "install", "--update")
	b.serves("7.0.1")
	b.verified()
	if v := b.value(productKey, "DisplayVersion"); v != "7.0.1" {
		t.Errorf("Apps & Features shows %s", v)
	}
	b.want(newerInstalled, setupOf("7.0.0"), "install")
	b.want(wrongUsage, setupOf("7.0.1"), "install", "--update", "--repair")
	if notes := b.notes(2); !strings.Contains(notes, "first/") {
		t.Errorf("what was stored is lost: %q", notes)
	}

	b.want(done, installed, "rollback", "--yes")
	b.serves("7.0.0")
	b.verified()

	b.MustExec("sh", "-c", "cd '"+drive+"/Program Files/SS Server' && echo broken > lmu.cmd && rm releases/7.0.0-*/bin/lmu.exe")
	b.run(nil, "reg", "delete", productKey, "/f")
	if out, _, code := b.run(nil, installed, "verify"); code == 0 || !strings.Contains(out, productKey) {
		t.Errorf("verify ends with %d and does not tell of Apps & Features:\n%s", code, out)
	}
	b.want(done, installed, "install", "--repair")
	b.serves("7.0.0")
	b.verified()
	if !b.registered(productKey) {
		t.Error("the entry in Apps & Features was not repaired")
	}

	b.want(done, installed, "uninstall")
	if b.registered(servicesKey+"ss-server") || b.registered(productKey) || b.exists("Program Files/SS Server/releases") {
		t.Error("something is left of the programs")
	}
	if r := b.want(done, setupOf("7.0.0"), "install"); !strings.Contains(r.output, "are taken over") {
		t.Errorf("the data that were kept are not told of: %s", r)
	}
	b.serves("7.0.0")
	b.want(done, installed, "uninstall", "--purge", "--purge-files", "--yes")
	b.nothingLeft()
}

// verified wants the machine to be as the receipt says.
func (b *box) verified() {
	b.t.Helper()
	if out, errs, code := b.run(nil, installed, "verify"); code != 0 {
		b.t.Errorf("verify: %d\n%s%s", code, out, errs)
	}
}

// nothingLeft wants a machine on which the product never was.
func (b *box) nothingLeft() {
	b.t.Helper()
	for _, path := range []string{"Program Files/SS Server", "ProgramData/SS Server"} {
		if b.exists(path) {
			b.t.Errorf("%s is left:\n%s", path, b.MustExec("find", drive+"/"+path))
		}
	}
	for _, key := range []string{servicesKey + "ss-server", servicesKey + "ss-licensed", guardKey, productKey, servicesKey + `EventLog\Application\ss-server`} {
		if b.registered(key) {
			b.t.Errorf("%s is left", key)
		}
	}
	if path := b.settings(); strings.Contains(path, "SS Server") {
		b.t.Errorf("the PATH still has the program folder: %s", path)
	}
}

// note puts data into the store of generation 1, as its owner would.
func (b *box) note(version, key string) {
	b.t.Helper()
	b.service("stop", "ss-server")
	if out, errs, code := b.run(nil, b.program("ss-server"), "note", "--data", `C:\ProgramData\SS Server\data\1`, "add", key, "100"); code != 0 {
		b.t.Fatalf("note: %d %s%s", code, out, errs)
	}
	b.service("start", "ss-server")
	b.serves(version)
}

// notes lists what the store of a generation holds.
func (b *box) notes(generation int) string {
	b.t.Helper()
	b.MustExec("sh", "-c", fmt.Sprintf("rm -rf '%[1]s/look' && cp -r '%[1]s/ProgramData/SS Server/data/%[2]d' '%[1]s/look'", drive, generation))
	out, errs, code := b.run(nil, b.program("ss-server"), "note", "--data", `C:\look`, "list")
	if code != 0 {
		b.t.Fatalf("list notes: %d %s%s", code, out, errs)
	}
	return out
}

func TestAReleaseThatFailsLeavesTheOldOneServing(t *testing.T) {
	b := boot(t, "7.0.0", "7.0.2-exit", "7.0.2-wrong-version", "7.0.2-migrate-fails")
	b.want(done, setupOf("7.0.0"), "install")
	before := b.state()
	for _, bad := range []string{"7.0.2-exit", "7.0.2-wrong-version", "7.0.2-migrate-fails"} {
		t.Run(bad, func(t *testing.T) {
			b.t = t
			b.want(putBack, setupOf(bad), "install", "--update")
			b.serves("7.0.0")
			b.settled()
			if d := differs(before, b.state()); d != "" {
				t.Errorf("the machine is not as before:\n%s", d)
			}
		})
	}
}

func TestAFileThatAnotherProgramKeepsOpenIsRemovedAtTheNextRestart(t *testing.T) {
	b := boot(t, "7.0.0")
	b.want(done, setupOf("7.0.0"), "install")
	// A program keeps the file open that its output goes to.
	script := `ping -n 300 127.0.0.1 > "C:\Program Files\SS Server\releases\held.txt"` + "\r\n"
	if err := b.WriteFile(drive+"/hold.bat", []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	holder := b.Spawn("wine", "cmd", "/c", `C:\hold.bat`)
	for end := time.Now().Add(20 * time.Second); !b.exists("Program Files/SS Server/releases/held.txt"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody holds the file")
		}
	}
	r := b.want(doneRestart, installed, "uninstall")
	if !strings.Contains(r.output, "is removed when the machine restarts") {
		t.Errorf("it does not say what waits: %s", r)
	}
	// The program let others remove the file, which goes when it is closed: what
	// waits is the folder.
	pending := b.value(`HKLM\SYSTEM\CurrentControlSet\Control\Session Manager`, "PendingFileRenameOperations")
	if !strings.Contains(pending, `\SS Server\releases`) {
		t.Errorf("what waits for the restart is %q", pending)
	}
	holder.Kill()
}

func TestAnSsSetupThatStaysOpenIsReplacedAtTheNextRestart(t *testing.T) {
	b := boot(t, "7.0.0", "7.0.1")
	b.want(done, setupOf("7.0.0"), "install")
	holder := b.Spawn("wine", b.helper("hold"), installed)
	time.Sleep(5 * time.Second)
	r := b.want(doneRestart, setupOf("7.0.1"), "install", "--update")
	if !strings.Contains(r.output, "is replaced when the machine restarts") {
		t.Errorf("it does not say what waits: %s", r)
	}
	b.verified()
	pending := b.value(`HKLM\SYSTEM\CurrentControlSet\Control\Session Manager`, "PendingFileRenameOperations")
	if !strings.Contains(pending, "ss-setup.exe.ss-waiting") {
		t.Errorf("what waits for the restart is %q", pending)
	}
	holder.Kill()
	b.restart()
	b.serves("7.0.1")
	if b.exists("Program Files/SS Server/ss-setup.exe.ss-waiting") {
		t.Error("it waits still")
	}
	b.verified()
}

func TestAPackageThatIsCutIsRefused(t *testing.T) {
	b := boot(t, "7.0.0")
	b.MustExec("sh", "-c", "cp -r /bundles/7.0.0 '"+drive+"/cut' && truncate -s 1000000 '"+drive+"/cut/payload.tar.zst'")
	b.want(badPackage, `C:\cut\ss-setup.exe`, "install")
	b.nothingLeft()
}

// lockKey is where a run says that it has the lock.
const lockKey = `HKLM\SOFTWARE\SS Server setup run (ss-setup)`

// The first run is held fast while it has the lock, so nothing depends on who is faster.
func TestASecondRunIsToldByItsCodeWhoRuns(t *testing.T) {
	b := boot(t, "7.0.0")
	b.want(done, setupOf("7.0.0"), "install")
	first := b.Spawn("wine", installed, "install", "--repair", "-S")
	for end := time.Now().Add(recoveryTime); !b.registered(lockKey); {
		if time.Now().After(end) {
			t.Fatal("the first run takes no lock")
		}
	}
	pid := strings.TrimSpace(b.MustExec("pgrep", "-o", "-f", `ss-setup.exe install --repair -S`))
	b.MustExec("kill", "-STOP", pid)
	if !b.registered(lockKey) {
		t.Fatal("the first run was over before it could be held fast")
	}
	r := b.want(busy, setupOf("7.0.0"), "install", "--repair")
	if !strings.Contains(r.Message, "install --repair -S") {
		t.Errorf("it does not say who runs: %s", r)
	}
	b.want(busy, installed, "uninstall", "--lock-wait", "1s")
	b.MustExec("kill", "-CONT", pid)
	if out, errs, code := first.Wait(); code != 0 {
		t.Errorf("the first run: %d %s%s", code, out, errs)
	}
	b.serves("7.0.0")
	b.verified()
}

// The copy of the package's ss-setup is gone in the end, though it ran until then.
func TestTheInstalledSetupHandsOverToThatOfAPackage(t *testing.T) {
	b := boot(t, "7.0.0", "7.0.1")
	b.want(done, setupOf("7.0.0"), "install")
	b.want(done, installed, "install", "--update", "--from", `Z:\bundles\7.0.1`)
	b.serves("7.0.1")
	left := b.MustExec("sh", "-c", "find '"+drive+"/ProgramData/SS Server/setup' -name download -o -name '*.exe'")
	if strings.Contains(left, "download") {
		t.Errorf("left behind: %s", left)
	}
}
