package plan

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ss-setup/installer/machine"
	"ss-setup/installer/step"
)

// The command is run as cmd gets it from a person, and as PowerShell hands it on.
func TestTheCommandThatPutsCurrentBackWorksOnWindows(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "SS Server")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "current")
	command := pointCommand(machine.CurrentTarget(3), path)
	cmd := exec.Command("cmd")
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: command}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	if target, err := (&machine.FS{}).ReadPointer(path); err != nil || target != "3" {
		t.Errorf("%s: it names %q, %v", command, target, err)
	}
	if strings.Count(command, `"`) != 2 {
		t.Errorf("%s has quotes in quotes", command)
	}
}

// The account gets the right to log on as a service before its entry names it; what
// Windows has for services needs none.
func TestAManagedAccountMayLogOnAsAServiceOnWindows(t *testing.T) {
	for account, want := range map[string]string{`CORP\sftp$`: `CORP\sftp$`, `sftp$`: `sftp$`, `NT SERVICE\ss-server`: "", `NT AUTHORITY\LocalService`: ""} {
		i := &install{s: &Situation{}, action: ActionFresh, account: account, generation: 1}
		right, entry := "", ""
		for _, s := range i.definitions() {
			switch s := s.(type) {
			case *step.AllowToServe:
				right = s.Account
				if entry != "" {
					t.Errorf("%s: the entry is made first", account)
				}
			case *step.RegisterService:
				if s.Service == machine.ServerService {
					entry = s.Account
				}
			}
		}
		if right != want || entry != account {
			t.Errorf("%s: %q may, %q is registered", account, right, entry)
		}
	}
	for _, refused := range []string{`CORP\anna`, "LocalSystem", `NT AUTHORITY\SYSTEM`} {
		if err := checkServiceUser(refused); err == nil {
			t.Errorf("%s is taken", refused)
		}
	}
}

// TestNeverDoBothVersionsStartWithTheMachineOnWindows: an entry names its generation before
// that is in force, and whoever of the two got the ports first would keep the other out.
func TestNeverDoBothVersionsStartWithTheMachineOnWindows(t *testing.T) {
	for action, late := range map[string]bool{ActionUpgrade: true, ActionFresh: false, ActionForce: false} {
		i := &install{s: &Situation{}, action: action}
		registered := 0
		for _, st := range i.definitions() {
			if r, ok := st.(*step.RegisterService); ok {
				registered++
				if r.ByHand != late {
					t.Errorf("%s: %s, by hand: %v", action, r, r.ByHand)
				}
			}
		}
		enabled := 0
		for _, st := range i.enableAtLast() {
			enabled += len(st.(*step.EnableServices).Services)
		}
		if registered != 2 || (enabled == registered) != late || (enabled == 0) == late {
			t.Errorf("%s: %d registered, %d enabled at last", action, registered, enabled)
		}
	}
}
